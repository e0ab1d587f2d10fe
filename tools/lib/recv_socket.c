// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Reading from a socket without ever getting stuck: it is non-blocking, and who
 * waits for it waits for the end of the migration as well.
 *
 * What is encrypted is read by a TLS library, in records, which mostly are larger than what is
 * wanted of them. The rest is not in the socket any more: poll(2) says nothing of it. So nobody
 * waits before there is nothing to be read.
 */
#include <errno.h>
#include <poll.h>

#include "error.h"
#include "recv.h"

static int stopped(struct mfd_error *err)
{
	return mfd_error_set(err, ECANCELED, "the migration is over already");
}

static int poll_socket(struct mfd_recv_socket *socket, struct mfd_error *err)
{
	struct pollfd fds[] = {
		{ .fd = socket->link.fd, .events = POLLIN },
		{ .fd = socket->recv->cancel, .events = POLLIN },
	};
	int ret;

	for (;;) {
		ret = poll(fds, 2, socket->tick_ms);
		if (ret < 0 && errno != EINTR)
			return mfd_error_errno(err, errno, "poll");
		if (ret > 0)
			return fds[1].revents ? stopped(err) : 0;
		ret = socket->tick_ms >= 0 ? mfd_recv_check(socket->recv, err) : 0;
		if (ret)
			return ret;
	}
}

static int wait_readable(struct mfd_recv_socket *socket, struct mfd_error *err)
{
	int ret;

	socket->waiting = true;
	ret = poll_socket(socket, err);
	socket->waiting = false;
	return ret;
}

static int read_error(struct mfd_recv_socket *socket, int code, struct mfd_error *err)
{
	if (code == EFAULT)
		return mfd_error_set(err, code, "guest memory cannot be written");
	mfd_error_errno(err, code, "the source is gone");
	mfd_link_explain(&socket->link, true, err);
	return -code;
}

/* As readv(2), of what is at hand. What goes wrong behind that is told by the next call. */
static ssize_t read_record(struct mfd_link *link, const struct iovec *iov, int count)
{
	ssize_t n = mfd_link_recv(link, iov->iov_base, iov->iov_len), sum = n;

	while (n == (ssize_t)iov->iov_len && --count && link->tls->ops->buffered(link->tls)) {
		iov++;
		n = mfd_link_recv(link, iov->iov_base, iov->iov_len);
		if (n > 0)
			sum += n;
	}
	return sum;
}

static ssize_t read_link(struct mfd_link *link, const struct iovec *iov, int count)
{
	return link->tls ? read_record(link, iov, count) : readv(link->fd, iov, count);
}

static ssize_t read_socket(struct mfd_recv_input *input, const struct iovec *iov, int count,
			   struct mfd_error *err)
{
	struct mfd_recv_socket *socket = (struct mfd_recv_socket *)input;
	ssize_t n;
	int ret;

	while ((n = read_link(&socket->link, iov, count)) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return read_error(socket, errno, err);
		ret = wait_readable(socket, err);
		if (ret)
			return ret;
	}
	socket->recv->heard = mfd_now();
	/* a source that never stops sending is no reason not to look around */
	ret = socket->tick_ms >= 0 ? mfd_recv_check(socket->recv, err) : 0;
	return ret ? ret : n;
}

static bool readable(const struct mfd_recv_socket *socket)
{
	struct pollfd fd = { .fd = socket->link.fd, .events = POLLIN };

	return poll(&fd, 1, 0) > 0;
}

static bool ready(struct mfd_recv_input *input)
{
	struct mfd_recv_socket *socket = (struct mfd_recv_socket *)input;
	const struct mfd_tls_conn *tls = socket->link.tls;

	return (tls && tls->ops->buffered(tls)) || readable(socket);
}

/*
 * What was read between the two looks at @waiting would not be in the socket any more, nor
 * counted yet.
 */
bool mfd_recv_socket_idle(struct mfd_recv_socket *socket)
{
	return socket->waiting && !readable(socket) && socket->waiting;
}

void mfd_recv_socket_init(struct mfd_recv_socket *socket, struct mfd_recv *recv,
			  const struct mfd_link *link, int tick_ms)
{
	socket->input.read = read_socket;
	socket->input.ready = ready;
	socket->input.by_hand = link->tls;
	socket->recv = recv;
	socket->link = *link;
	socket->tick_ms = tick_ms;
}

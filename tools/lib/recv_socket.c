// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Reading from a socket without ever getting stuck: it is non-blocking, and who
 * waits for it waits for the end of the migration as well.
 */
#include <errno.h>
#include <poll.h>

#include "error.h"
#include "recv.h"

static int stopped(struct mfd_error *err)
{
	return mfd_error_set(err, ECANCELED, "the migration is over already");
}

static int wait_readable(struct mfd_recv_socket *socket, struct mfd_error *err)
{
	struct pollfd fds[] = {
		{ .fd = socket->fd, .events = POLLIN },
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

static int read_error(int code, struct mfd_error *err)
{
	if (code == EFAULT)
		return mfd_error_set(err, code, "guest memory cannot be written");
	return mfd_error_errno(err, code, "the source is gone");
}

static ssize_t read_socket(struct mfd_recv_input *input, const struct iovec *iov, int count,
			   struct mfd_error *err)
{
	struct mfd_recv_socket *socket = (struct mfd_recv_socket *)input;
	ssize_t n;
	int ret;

	while ((n = readv(socket->fd, iov, count)) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return read_error(errno, err);
		ret = wait_readable(socket, err);
		if (ret)
			return ret;
	}
	socket->recv->heard = mfd_now();
	/* a source that never stops sending is no reason not to look around */
	ret = socket->tick_ms >= 0 ? mfd_recv_check(socket->recv, err) : 0;
	return ret ? ret : n;
}

static bool ready(struct mfd_recv_input *input)
{
	struct pollfd fd = { .fd = ((struct mfd_recv_socket *)input)->fd, .events = POLLIN };

	return poll(&fd, 1, 0) > 0;
}

void mfd_recv_socket_init(struct mfd_recv_socket *socket, struct mfd_recv *recv, int fd,
			  int tick_ms)
{
	socket->input.read = read_socket;
	socket->input.ready = ready;
	socket->recv = recv;
	socket->fd = fd;
	socket->tick_ms = tick_ms;
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/* Connecting sockets to the destination without ever getting stuck. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "socket.h"

int mfd_socket_error(int fd)
{
	socklen_t size = sizeof(int);
	int code = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size))
		return errno;
	return code;
}

/* Wait a tick for @events. Return: whether they came, or a negative errno. */
static int wait_a_tick(struct mfd_session *session, int fd, short events,
		       struct mfd_error *err)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };
	int ready = poll(&poll_fd, 1, MFD_TICK_MS);
	int ret = mfd_session_check(session, err);

	return ret ? ret : ready > 0;
}

static int wait_connected(struct mfd_session *session, int fd, uint64_t since,
			  struct mfd_error *err)
{
	int ready;

	while (!(ready = wait_a_tick(session, fd, POLLOUT, err)))
		if (mfd_stalled(session, since))
			return mfd_error_errno(err, ETIMEDOUT, "cannot connect");
	if (ready < 0)
		return ready;
	ready = mfd_socket_error(fd);
	return ready ? mfd_error_errno(err, ready, "cannot connect") : 0;
}

static int connect_soon(struct mfd_session *session, int fd,
			const struct mfd_endpoint *endpoint, struct mfd_error *err)
{
	uint64_t since = mfd_now();
	int ret;

	while (connect(fd, (const struct sockaddr *)&endpoint->addr, endpoint->size)) {
		if (errno == EINPROGRESS || errno == EINTR)
			return wait_connected(session, fd, since, err);
		/* a UNIX socket's listener has its hands full, and poll() cannot tell */
		if (errno != EAGAIN || mfd_stalled(session, since))
			return mfd_error_errno(err, errno, "cannot connect");
		ret = wait_a_tick(session, -1, 0, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int mfd_socket_connect_to(struct mfd_session *session, const struct mfd_endpoint *endpoint,
			  int *out, struct mfd_error *err)
{
	int family = endpoint->addr.ss_family, one = 1, fd, ret;

	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return mfd_error_errno(err, errno, "socket");
	ret = connect_soon(session, fd, endpoint, err);
	if (!ret && (family == AF_INET || family == AF_INET6) &&
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		ret = mfd_error_errno(err, errno, "TCP_NODELAY");
	if (ret) {
		close(fd);
		return ret;
	}
	*out = fd;
	return 0;
}

int mfd_socket_connect(struct mfd_session *session, const struct mfd_address *address,
		       struct mfd_endpoint *endpoint, int *fd, struct mfd_error *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *list, *info;
	int ret;

	ret = mfd_address_reachable(address, err);
	if (ret)
		return ret;
	if (mfd_address_endpoint(address, endpoint))
		return mfd_socket_connect_to(session, endpoint, fd, err);
	ret = getaddrinfo(*address->host ? address->host : NULL, address->port, &hints,
			  &list);
	if (ret)
		return mfd_error_set(err, EHOSTUNREACH, "%s", gai_strerror(ret));
	for (info = list; info; info = info->ai_next) {
		memcpy(&endpoint->addr, info->ai_addr, info->ai_addrlen);
		endpoint->size = info->ai_addrlen;
		ret = mfd_socket_connect_to(session, endpoint, fd, err);
		if (!ret)
			break;
	}
	freeaddrinfo(list);
	return ret;
}

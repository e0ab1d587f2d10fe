// SPDX-License-Identifier: LGPL-2.1-or-later
/* Connecting sockets without ever getting stuck. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "dial.h"
#include "error.h"
#include "resolve.h"

int mfd_socket_error(int fd)
{
	socklen_t size = sizeof(int);
	int code = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size))
		return errno;
	return code;
}

/* Wait a tick for @fd to become writable. Return: whether it is, or a negative errno. */
static int wait_a_tick(const struct mfd_wait *wait, int fd, struct mfd_error *err)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	int ready = poll(&poll_fd, 1, mfd_wait_tick(wait));
	int ret = mfd_wait_check(wait, err);

	return ret ? ret : ready > 0;
}

static int wait_connected(const struct mfd_wait *wait, int fd, struct mfd_error *err)
{
	int ready;

	while (!(ready = wait_a_tick(wait, fd, err)))
		if (mfd_wait_over(wait))
			return mfd_error_errno(err, ETIMEDOUT, "cannot connect");
	if (ready < 0)
		return ready;
	ready = mfd_socket_error(fd);
	return ready ? mfd_error_errno(err, ready, "cannot connect") : 0;
}

static int connect_soon(const struct mfd_endpoint *endpoint, const struct mfd_wait *wait,
			int fd, struct mfd_error *err)
{
	int ret;

	while (connect(fd, (const struct sockaddr *)&endpoint->addr, endpoint->size)) {
		if (errno == EINPROGRESS || errno == EINTR)
			return wait_connected(wait, fd, err);
		/* a UNIX socket's listener has its hands full, and poll() cannot tell */
		if (errno != EAGAIN || mfd_wait_over(wait))
			return mfd_error_errno(err, errno, "cannot connect");
		ret = wait_a_tick(wait, -1, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int mfd_dial(const struct mfd_endpoint *endpoint, const struct mfd_wait *wait, int *out,
	     struct mfd_error *err)
{
	int fd = socket(endpoint->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int ret;

	if (fd < 0)
		return mfd_error_errno(err, errno, "socket");
	ret = connect_soon(endpoint, wait, fd, err);
	if (ret) {
		close(fd);
		return ret;
	}
	*out = fd;
	return 0;
}

static unsigned int length(const struct addrinfo *list)
{
	unsigned int nr = 0;

	for (; list; list = list->ai_next)
		nr++;
	return nr;
}

/* An equal share of the time for each of @nr. */
static struct mfd_wait share(const struct mfd_wait *wait, unsigned int nr)
{
	struct mfd_wait part = *wait;
	uint64_t now = mfd_now();

	if (wait->deadline != UINT64_MAX && wait->deadline > now)
		part.deadline = now + (wait->deadline - now) / nr;
	return part;
}

/* The best address comes first, so of the errors the first one is told. */
static int dial_any(const struct addrinfo *list, const struct mfd_wait *wait,
		    struct mfd_endpoint *endpoint, int *fd, struct mfd_error *err)
{
	struct mfd_error other = MFD_ERROR_NONE;
	struct mfd_error *reason = err;
	unsigned int nr = length(list);
	struct mfd_wait part;
	int ret, first = 0;

	for (; list; list = list->ai_next, reason = &other) {
		memcpy(&endpoint->addr, list->ai_addr, list->ai_addrlen);
		endpoint->size = list->ai_addrlen;
		part = share(wait, nr--);
		ret = mfd_dial(endpoint, &part, fd, reason);
		if (!ret)
			return 0;
		if (!first)
			first = ret;
		ret = mfd_wait_check(wait, err);
		if (ret)
			return ret;
	}
	return first;
}

int mfd_dial_address(const struct mfd_address *address, const struct mfd_wait *wait,
		     struct mfd_endpoint *endpoint, int *fd, struct mfd_error *err)
{
	struct addrinfo *list;
	int ret = mfd_address_reachable(address, err);

	if (ret)
		return ret;
	if (mfd_address_endpoint(address, endpoint))
		return mfd_dial(endpoint, wait, fd, err);
	ret = mfd_resolve(address, 0, wait, &list, err);
	if (ret)
		return ret;
	ret = dial_any(list, wait, endpoint, fd, err);
	freeaddrinfo(list);
	return ret;
}

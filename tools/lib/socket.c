// SPDX-License-Identifier: LGPL-2.1-or-later
/* Connecting a session's sockets to the destination, and what is set on them. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "error.h"
#include "socket.h"

/* the kernel's limit for TCP_KEEPIDLE and TCP_KEEPINTVL, s */
#define MAX_INTERVAL 32767

static int check(void *session, struct mfd_error *err)
{
	return mfd_session_check(session, err);
}

static int check_aside(void *session, struct mfd_error *err)
{
	return mfd_session_failure(session, err);
}

static struct mfd_wait patience(struct mfd_session *session)
{
	uint32_t stall_ms = session->params.stall_ms;

	return (struct mfd_wait) {
		.deadline = stall_ms ? mfd_wait_until(stall_ms) : UINT64_MAX,
		.check = check,
		.opaque = session,
	};
}

static int at_most(uint64_t value, int max)
{
	return value < (uint64_t)max ? (int)value : max;
}

/*
 * A destination that vanishes without a word is noticed by what it does not acknowledge:
 * probes, while there is nothing to send. TCP_USER_TIMEOUT says for how long, in either
 * case. It is longer than a call's own time-out, which can say more.
 */
static int set_options(const struct mfd_session *session, int fd, struct mfd_error *err)
{
	uint64_t stall_ms = session->params.stall_ms;
	int interval = at_most(stall_ms / 4000, MAX_INTERVAL) ?: 1;
	const struct {
		int level, name, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		/* who waits for ever does so with the system's times */
		{ IPPROTO_TCP, TCP_KEEPIDLE, interval },
		{ IPPROTO_TCP, TCP_KEEPINTVL, interval },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, at_most(2 * stall_ms, INT32_MAX) },
	};
	unsigned int i, nr = stall_ms ? sizeof(options) / sizeof(*options) : 2;

	for (i = 0; i < nr; i++)
		if (setsockopt(fd, options[i].level, options[i].name, &options[i].value,
			       sizeof(options[i].value)))
			return mfd_error_errno(err, errno, "cannot set the socket's options");
	return 0;
}

/* The end of a successful connect. */
static int connected(const struct mfd_session *session, const struct mfd_endpoint *endpoint,
		     int *fd, struct mfd_error *err)
{
	int family = endpoint->addr.ss_family, ret = 0;

	if (family == AF_INET || family == AF_INET6)
		ret = set_options(session, *fd, err);
	if (ret)
		close(*fd);
	return ret;
}

int mfd_socket_connect_to(struct mfd_session *session, const struct mfd_endpoint *endpoint,
			  int *fd, struct mfd_error *err)
{
	struct mfd_wait wait = patience(session);
	int ret = mfd_dial(endpoint, &wait, fd, err);

	return ret ? ret : connected(session, endpoint, fd, err);
}

int mfd_socket_connect(struct mfd_session *session, const struct mfd_address *address,
		       struct mfd_endpoint *endpoint, int *fd, struct mfd_error *err)
{
	struct mfd_wait wait = patience(session);
	int ret = mfd_dial_address(address, &wait, endpoint, fd, err);

	return ret ? ret : connected(session, endpoint, fd, err);
}

int mfd_socket_secure(struct mfd_session *session, struct mfd_link *link, bool aside,
		      struct mfd_error *err)
{
	struct mfd_wait wait = patience(session);
	const char *host = *session->host ? session->host : NULL;

	if (!session->params.tls)
		return 0;
	if (aside)
		wait.check = check_aside;
	return mfd_link_secure(link, session->params.tls, host, &wait, err);
}

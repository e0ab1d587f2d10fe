// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a pump waits for that takes the bytes out of its channel by itself. */
#include <errno.h>
#include <limits.h>
#include <poll.h>

#include "pump_wait.h"

static int gone(struct mfd_pump *pump, struct mfd_error *err)
{
	int code = mfd_socket_error(pump->socket.fd);

	return mfd_pump_error(pump, code ? code : EPIPE, err);
}

int mfd_pump_wait_channel(struct mfd_pump *pump, struct mfd_error *err)
{
	struct pollfd fds[] = {
		{ .fd = pump->channel, .events = POLLIN },
		{ .fd = pump->socket.fd, .events = POLLRDHUP },
	};

	while (poll(fds, 2, -1) < 0)
		if (errno != EINTR)
			return mfd_pump_error(pump, errno, err);
	return fds[1].revents ? gone(pump, err) : 0;
}

int mfd_pump_wait_socket(struct mfd_pump *pump, struct mfd_error *err)
{
	struct pollfd fd = { .fd = pump->socket.fd, .events = POLLOUT };
	unsigned int patience = pump->session->params.stall_ms;
	int ready;

	do {
		ready = poll(&fd, 1, patience && patience <= INT_MAX ? (int)patience : -1);
	} while (ready < 0 && errno == EINTR);
	if (!ready)
		return mfd_pump_stalled(pump, err);
	return ready < 0 ? mfd_pump_error(pump, errno, err) : 0;
}

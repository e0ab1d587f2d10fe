// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A pump that encrypts: out of the channel into memory, and from there through TLS. The guest
 * does not write to what is encrypted, and the module has its pages back at once.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "error.h"
#include "pump_wait.h"
#include "records.h"

/* Some full records at a time, but no more than stays in a CPU's cache. */
#define BUFFER_SIZE (8 * 16384)

/* Channel to memory. Return: bytes, 0 at the end of the stream, or an error. */
static ssize_t fill_buffer(struct mfd_pump *pump, char *buffer, struct mfd_error *err)
{
	ssize_t n;
	int ret;

	while ((n = read(pump->channel, buffer, BUFFER_SIZE)) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return mfd_pump_error(pump, errno, err);
		ret = mfd_pump_wait_channel(pump, err);
		if (ret)
			return ret;
	}
	return n;
}

/* Memory to connection. Whoever has to wait goes on with the same bytes, as TLS wants it. */
static int empty_buffer(struct mfd_pump *pump, const char *buffer, size_t left,
			struct mfd_error *err)
{
	ssize_t n;
	int ret;

	while (left) {
		n = mfd_link_send(&pump->socket, buffer, left);
		if (n >= 0) {
			buffer += n;
			left -= n;
			__atomic_fetch_add(&pump->call.bytes, n, __ATOMIC_RELAXED);
		} else if (errno == EAGAIN) {
			ret = mfd_pump_wait_socket(pump, err);
			if (ret)
				return ret;
		} else if (errno != EINTR) {
			return mfd_pump_error(pump, errno, err);
		}
	}
	return 0;
}

int mfd_records(struct mfd_pump *pump, struct mfd_error *err)
{
	char *buffer = malloc(BUFFER_SIZE);
	ssize_t n;
	int ret = 0;

	if (!buffer)
		return mfd_error_errno(err, ENOMEM, "channel %u", pump->id);
	while (!ret && (n = fill_buffer(pump, buffer, err)) != 0)
		ret = n < 0 ? n : empty_buffer(pump, buffer, n, err);
	free(buffer);
	return ret;
}

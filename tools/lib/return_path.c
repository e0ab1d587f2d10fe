// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The return path: what a destination answers, if it was asked to.
 *
 * A message is a type and a length, each a big-endian 16-bit number, and so many bytes.
 * All that matters is SHUT, by which a destination says how loading the guest went. It is the
 * only sign of success that cannot be produced by a connection's end, so by a relay, a
 * tunnel or a kernel that cleans up.
 */
#include <errno.h>
#include <string.h>

#include "error.h"
#include "return_path.h"

enum {
	HEAD = 4,

	SHUT = 1,
	PONG = 2,
	SWITCHOVER_ACK = 7,
};

static uint32_t get_be(const uint8_t *bytes, unsigned int size)
{
	uint32_t value = 0;

	while (size--)
		value = value << 8 | *bytes++;
	return value;
}

static int odd(struct mfd_error *err, unsigned int type, unsigned int length)
{
	return mfd_error_set(err, EPROTO,
			     "the destination says something on the return path that makes no sense here (message %u of %u bytes)",
			     type, length);
}

/* How it went. Return: as mfd_return_path_take. */
static int shut(uint32_t value, struct mfd_error *err)
{
	if (!value)
		return 1;
	mfd_error_set(err, EREMOTEIO,
		      "the destination says that it could not load the guest; its own log says why");
	mfd_error_of(err, MFD_ERROR_PEER);
	return -EREMOTEIO;
}

static int take_message(const uint8_t *message, unsigned int length, struct mfd_error *err)
{
	unsigned int type = get_be(message, 2);

	switch (type) {
	case SHUT:
		return length == 4 ? shut(get_be(message + HEAD, 4), err) : odd(err, type, length);
	case PONG:
		return length == 4 ? 0 : odd(err, type, length);
	case SWITCHOVER_ACK:
		return length == 0 ? 0 : odd(err, type, length);
	}
	return odd(err, type, length);
}

void *mfd_return_path_room(struct mfd_return_path *path, size_t *size)
{
	*size = sizeof(path->buffer) - path->used;
	return path->buffer + path->used;
}

int mfd_return_path_take(struct mfd_return_path *path, size_t size, struct mfd_error *err)
{
	unsigned int length;
	int ret = 0;

	path->used += size;
	while (!ret && path->used >= HEAD) {
		length = get_be(path->buffer + 2, 2);
		if (length > sizeof(path->buffer) - HEAD)
			return odd(err, get_be(path->buffer, 2), length);
		if (path->used < HEAD + length)
			break;
		ret = take_message(path->buffer, length, err);
		path->used -= HEAD + length;
		memmove(path->buffer, path->buffer + HEAD + length, path->used);
	}
	return ret;
}

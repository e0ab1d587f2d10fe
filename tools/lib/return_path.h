/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_RETURN_PATH_H
#define MFD_PRIVATE_RETURN_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mfd.h"

/* The longest message that a destination may send: type and length, and what follows. */
#define MFD_RETURN_PATH_MOST 516

/*
 * What the destination says on the main connection, taken apart. It knows nothing of
 * sockets.
 */
struct mfd_return_path {
	size_t used;
	uint8_t buffer[MFD_RETURN_PATH_MOST];
};

/* Where the next bytes go, and how many there is room for, at least 1. */
void *mfd_return_path_room(struct mfd_return_path *path, size_t *size);

/*
 * @size more bytes are there. Return: 1: the destination has the guest; 0: it has not said
 * yet; -EREMOTEIO: it has failed; -EPROTO: that makes no sense.
 */
int mfd_return_path_take(struct mfd_return_path *path, size_t size, struct mfd_error *err);

#endif /* MFD_PRIVATE_RETURN_PATH_H */

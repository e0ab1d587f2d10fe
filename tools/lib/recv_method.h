/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Decompressing payloads. Each channel has one stream of its own for the whole
 * migration, flushed at the end of each packet.
 */
#ifndef MFD_PRIVATE_RECV_METHOD_H
#define MFD_PRIVATE_RECV_METHOD_H

#include <stdbool.h>
#include <sys/uio.h>

#include "mfd_recv.h"

struct mfd_recv_method {
	/* Return: 0 or -ENOMEM. */
	int (*open)(void **stream);
	/*
	 * Go on: move @in and @out forward by what was consumed and produced,
	 * possibly nothing. *@ended: the stream is complete where it must go on.
	 * Return: NULL, or what is wrong with the input.
	 */
	const char *(*step)(void *stream, struct iovec *in, struct iovec *out, bool *ended);
	void (*close)(void *stream);
};

extern const struct mfd_recv_method mfd_recv_zlib;
extern const struct mfd_recv_method mfd_recv_zstd;

/* How to decompress, NULL: not at all. */
const struct mfd_recv_method *mfd_recv_method_find(enum mfd_method method);

/*
 * Decompress the payload @in, which must fill @out exactly and be used up by
 * it. Return: 0 or -EPROTO.
 */
int mfd_recv_method_decode(const struct mfd_recv_method *method, void *stream, struct iovec in,
			   const struct iovec *out, int count, struct mfd_error *err);

#endif /* MFD_PRIVATE_RECV_METHOD_H */

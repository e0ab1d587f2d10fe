/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where received bytes come from: a socket, or memory in tests. Whoever parses
 * them knows no more about it than this.
 */
#ifndef MFD_PRIVATE_RECV_INPUT_H
#define MFD_PRIVATE_RECV_INPUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "mfd_recv.h"

struct mfd_recv_input {
	/*
	 * Read something into @iov, as readv(2) does, waiting for it if need be.
	 * Return: bytes, 0 at the end, or a negative errno with the reason.
	 */
	ssize_t (*read)(struct mfd_recv_input *input, const struct iovec *iov, int count,
			struct mfd_error *err);
	/* Would reading not wait, be it for bytes or for the end? */
	bool (*ready)(struct mfd_recv_input *input);
	/* It writes memory as anybody does: a page that cannot be had is a signal, not EFAULT. */
	bool by_hand;
	_Atomic uint64_t bytes;		/* that were read so far */
};

/*
 * Read until the first @need bytes of @iov are there, or more if it is at hand.
 * @iov is used up on the way.
 * Return: bytes; less than @need: the input ended; or a negative errno.
 */
ssize_t mfd_recv_input_fill(struct mfd_recv_input *input, struct iovec *iov, int count,
			    size_t need, struct mfd_error *err);

#endif /* MFD_PRIVATE_RECV_INPUT_H */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a connection says first, and what it therefore is. */
#ifndef MFD_PRIVATE_RECV_HELLO_H
#define MFD_PRIVATE_RECV_HELLO_H

#include <linux/multifd_wire.h>

#include "mfd_recv.h"

enum mfd_recv_kind { MFD_RECV_MAIN, MFD_RECV_CHANNEL };

struct mfd_recv_hello {
	size_t used;
	union {
		uint8_t bytes[sizeof(struct mzp_wire_init)];
		struct mzp_wire_init init;
	};
};

/*
 * Look at the first @used bytes. Return: how many more are needed before more can
 * be said; 0: *@kind and *@id (of a channel) are known; or -EPROTO.
 */
int mfd_recv_hello_parse(const struct mfd_recv_hello *hello,
			 const struct mfd_recv_params *params, enum mfd_recv_kind *kind,
			 unsigned int *id, struct mfd_error *err);

#endif /* MFD_PRIVATE_RECV_HELLO_H */

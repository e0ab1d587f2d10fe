/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Did the state of devices end properly?
 *
 * Its sections do not say how long they are, so that only who knows the devices
 * can read them. But at the very end there are a byte 0, and a description in
 * JSON that has its length in front. Wherever such a thing seems to begin, this
 * remembers where it would end; the stream must end in one of these places.
 */
#ifndef MFD_PRIVATE_RECV_TAIL_H
#define MFD_PRIVATE_RECV_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Descriptions that seem to be under way at the same time. */
#define MFD_RECV_TAILS 16

struct mfd_recv_tail {
	uint64_t position;
	uint64_t recent;		/* the last 8 bytes */
	uint64_t ends[MFD_RECV_TAILS];	/* 0: not in use */
};

void mfd_recv_tail_add(struct mfd_recv_tail *tail, const void *data, size_t size);
bool mfd_recv_tail_complete(const struct mfd_recv_tail *tail);

#endif /* MFD_PRIVATE_RECV_TAIL_H */

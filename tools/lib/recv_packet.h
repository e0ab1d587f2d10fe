/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A packet's header: what it says, and whether it may. */
#ifndef MFD_PRIVATE_RECV_PACKET_H
#define MFD_PRIVATE_RECV_PACKET_H

#include <linux/multifd_wire.h>

#include "recv_block.h"

/* What a packet must agree with. */
struct mfd_recv_rules {
	struct mfd_recv_blocks *blocks;
	enum mfd_method method;
	/*
	 * Sources before 9.0 leave the size of an earlier payload in packets that
	 * have none. Nothing follows such a header, so by itself that is harmless.
	 */
	bool no_stale_size;
};

/* A header that has passed all checks. */
struct mfd_recv_header {
	struct mfd_recv_packet packet;
	struct mfd_recv_block *block;	/* NULL: there are no pages */
	/* offsets in the block, all of them fine: normal pages, then zero pages */
	uint64_t offset[MZP_WIRE_PAGES];
};

/*
 * Read and check a header. Fills in all of @header but the channel's number.
 * Return: 0 or -EPROTO.
 */
int mfd_recv_header_parse(struct mfd_recv_header *header, const struct mzp_wire_packet *wire,
			  const struct mfd_recv_rules *rules, struct mfd_error *err);

/* The most that a payload may have: as much as QEMU's own buffer for it. */
#define MFD_RECV_PAYLOAD_MAX	(2 * MZP_WIRE_PAGES * MFD_RECV_PAGE)

#endif /* MFD_PRIVATE_RECV_PACKET_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_PACKET_H
#define MZP_PACKET_H

#include <linux/types.h>

#include <linux/multifd_wire.h>

struct mzp_batch;

/**
 * struct mzp_packet_params - what a header says besides its pages
 * @flags: MZP_WIRE_* bits
 * @pages_alloc: pages of a packet at most
 * @payload_size: bytes that follow the header
 * @packet_num: number of the packet in the migration
 */
struct mzp_packet_params {
	u32 flags;
	u32 pages_alloc;
	u32 payload_size;
	u64 packet_num;
};

void mzp_encode_init(struct mzp_wire_init *init, const u8 *uuid, u8 channel);
void mzp_encode_packet(struct mzp_wire_packet *header, const struct mzp_packet_params *params,
		       const char *idstr, const struct mzp_batch *batch);

#endif /* MZP_PACKET_H */

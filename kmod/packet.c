// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bytes of a channel's first message and of packet headers. Pure: what is
 * written is what the layout names, everything else is zero.
 */
#include <linux/build_bug.h>
#include <linux/string.h>
#include <asm/byteorder.h>

#include "batch.h"
#include "packet.h"

/**
 * mzp_encode_init - write a channel's first message
 * @init: where to
 * @uuid: MZP_WIRE_UUID bytes
 * @channel: channel id
 *
 * Context: any.
 */
void mzp_encode_init(struct mzp_wire_init *init, const u8 *uuid, u8 channel)
{
	BUILD_BUG_ON(sizeof(*init) != 64);

	memset(init, 0, sizeof(*init));
	init->magic = cpu_to_be32(MZP_WIRE_MAGIC);
	init->version = cpu_to_be32(MZP_WIRE_VERSION);
	memcpy(init->uuid, uuid, MZP_WIRE_UUID);
	init->id = channel;
}

/**
 * mzp_encode_packet - write a packet's header
 * @header: where to
 * @params: what it says besides its pages
 * @idstr: name of the RAM block, shorter than MZP_WIRE_IDSTR bytes; NULL: no
 *	block
 * @batch: the pages, whose offsets go first the normal ones, then the zero
 *	ones; NULL: no pages
 *
 * Context: any.
 */
void mzp_encode_packet(struct mzp_wire_packet *header, const struct mzp_packet_params *params,
		       const char *idstr, const struct mzp_batch *batch)
{
	unsigned int i;

	BUILD_BUG_ON(sizeof(*header) != 320 + 8 * MZP_WIRE_PAGES);

	memset(header, 0, sizeof(*header));
	header->magic = cpu_to_be32(MZP_WIRE_MAGIC);
	header->version = cpu_to_be32(MZP_WIRE_VERSION);
	header->flags = cpu_to_be32(params->flags);
	header->pages_alloc = cpu_to_be32(params->pages_alloc);
	header->payload_size = cpu_to_be32(params->payload_size);
	header->packet_num = cpu_to_be64(params->packet_num);
	if (idstr)
		strscpy(header->idstr, idstr, sizeof(header->idstr));
	if (!batch)
		return;

	header->normal_pages = cpu_to_be32(batch->nr_normal);
	header->zero_pages = cpu_to_be32(batch->nr_zero);
	for (i = 0; i < batch->nr_normal; i++)
		header->offset[i] = cpu_to_be64(batch->normal[i]);
	for (i = 0; i < batch->nr_zero; i++)
		header->offset[batch->nr_normal + i] = cpu_to_be64(batch->zero[i]);
}

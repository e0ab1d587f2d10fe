// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Checking a packet's header.
 *
 * Every number in it is the source's word. None of them gets any further than
 * this file unless the table of rules in recv_check.h allows it; what comes out
 * is safe to use without a second look.
 */
#include <endian.h>
#include <string.h>

#include "recv_check.h"
#include "recv_packet.h"

static const uint32_t method_flags[] = {
	[MFD_METHOD_NONE] = MZP_WIRE_NONE,
	[MFD_METHOD_ZLIB] = MZP_WIRE_ZLIB,
	[MFD_METHOD_ZSTD] = MZP_WIRE_ZSTD,
};

static int check_flags(const struct mfd_recv_packet *packet, const struct mfd_recv_rules *rules,
		       struct mfd_error *err)
{
	uint32_t flags = packet->flags, method = flags & MZP_WIRE_METHOD_MASK;

	if (flags & MZP_WIRE_DEVICE_STATE)
		return mfd_recv_reject(err, flags & MZP_WIRE_SYNC ? RECV_DEVICE_STATE_SYNC :
				       RECV_DEVICE_STATE, "flags 0x%x", flags);
	if (flags & ~(MZP_WIRE_SYNC | MZP_WIRE_METHOD_MASK))
		return mfd_recv_reject(err, RECV_FLAGS, "0x%x", flags);
	/* a packet without pages need not name the method */
	if (method != method_flags[rules->method] &&
	    (method || packet->normal_pages || packet->zero_pages))
		return mfd_recv_reject(err, RECV_METHOD, "flags 0x%x", flags);
	return 0;
}

static int check_counts(const struct mfd_recv_packet *packet, uint32_t alloc,
			struct mfd_error *err)
{
	if (alloc > MZP_WIRE_PAGES)
		return mfd_recv_reject(err, RECV_PAGES_ALLOC, "%u", alloc);
	if (packet->normal_pages > alloc)
		return mfd_recv_reject(err, RECV_NORMAL_PAGES, "%u of %u",
				       packet->normal_pages, alloc);
	if (packet->zero_pages > alloc - packet->normal_pages)
		return mfd_recv_reject(err, RECV_ZERO_PAGES, "%u and %u of %u",
				       packet->normal_pages, packet->zero_pages, alloc);
	return 0;
}

static int check_payload(const struct mfd_recv_packet *packet,
			 const struct mfd_recv_rules *rules, struct mfd_error *err)
{
	uint32_t size = packet->payload_size;

	if (!packet->normal_pages) {
		if (size && rules->no_stale_size)
			return mfd_recv_reject(err, RECV_PAYLOAD_ALONE, "%u bytes", size);
		return 0;
	}
	if (!size || (rules->method == MFD_METHOD_NONE &&
		      size != packet->normal_pages * MFD_RECV_PAGE))
		return mfd_recv_reject(err, RECV_PAYLOAD_SIZE, "%u bytes for %u pages", size,
				       packet->normal_pages);
	if (size > MFD_RECV_PAYLOAD_MAX)
		return mfd_recv_reject(err, RECV_PAYLOAD_BOUND, "%u bytes", size);
	return 0;
}

static int find_block(struct mfd_recv_header *header, const struct mzp_wire_packet *wire,
		      const struct mfd_recv_rules *rules, struct mfd_error *err)
{
	if (!memchr(wire->idstr, '\0', sizeof(wire->idstr)))
		return mfd_recv_reject(err, RECV_IDSTR_END, "%.32s…", wire->idstr);
	header->block = mfd_recv_blocks_find(rules->blocks, wire->idstr);
	if (!header->block)
		return mfd_recv_reject(err, RECV_IDSTR, "%.64s", wire->idstr);
	return 0;
}

static int check_offsets(struct mfd_recv_header *header, const struct mzp_wire_packet *wire,
			 struct mfd_error *err)
{
	uint32_t i, pages = header->packet.normal_pages + header->packet.zero_pages;
	int ret = 0;

	for (i = 0; i < pages && !ret; i++) {
		header->offset[i] = be64toh(wire->offset[i]);
		ret = mfd_recv_block_check(header->block, header->offset[i], err);
	}
	return ret;
}

int mfd_recv_header_parse(struct mfd_recv_header *header, const struct mzp_wire_packet *wire,
			  const struct mfd_recv_rules *rules, struct mfd_error *err)
{
	struct mfd_recv_packet *packet = &header->packet;
	int ret;

	if (be32toh(wire->magic) != MZP_WIRE_MAGIC)
		return mfd_recv_reject(err, RECV_MAGIC, "0x%08x", be32toh(wire->magic));
	if (be32toh(wire->version) != MZP_WIRE_VERSION)
		return mfd_recv_reject(err, RECV_VERSION, "%u", be32toh(wire->version));
	packet->size = sizeof(*packet);
	packet->flags = be32toh(wire->flags);
	packet->normal_pages = be32toh(wire->normal_pages);
	packet->zero_pages = be32toh(wire->zero_pages);
	packet->payload_size = be32toh(wire->payload_size);
	packet->packet_num = be64toh(wire->packet_num);
	header->block = NULL;
	ret = check_flags(packet, rules, err);
	if (!ret)
		ret = check_counts(packet, be32toh(wire->pages_alloc), err);
	if (!ret)
		ret = check_payload(packet, rules, err);
	if (ret || !(packet->normal_pages || packet->zero_pages))
		return ret;
	ret = find_block(header, wire, rules, err);
	return ret ? ret : check_offsets(header, wire, err);
}

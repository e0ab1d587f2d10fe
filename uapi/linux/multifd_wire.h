/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The multifd wire format, as QEMU's migration receivers expect it.
 *
 * Everything is big-endian and packed. The layout is a matter of fact shared
 * with QEMU; the names are this project's. Kernel and tools use this header,
 * so that there is one description of each byte.
 */
#ifndef _UAPI_LINUX_MULTIFD_WIRE_H
#define _UAPI_LINUX_MULTIFD_WIRE_H

#include <linux/types.h>

/* The first four bytes of a channel and of each packet. */
#define MZP_WIRE_MAGIC		0x11223344u
#define MZP_WIRE_VERSION	1u

#define MZP_WIRE_PAGE_SIZE	4096u
/* A packet's offset table always has room for this many pages (512 KiB). */
#define MZP_WIRE_PAGES		128u
#define MZP_WIRE_IDSTR		256u	/* NUL-terminated, so 255 bytes of name */
#define MZP_WIRE_UUID		16u

/* mzp_wire_packet.flags */
#define MZP_WIRE_SYNC		0x01u
#define MZP_WIRE_METHOD_MASK	0x3eu
#define MZP_WIRE_NONE		0x00u
#define MZP_WIRE_ZLIB		0x02u
#define MZP_WIRE_ZSTD		0x04u
/* Device state packets have another layout (QEMU 10.0 and newer). */
#define MZP_WIRE_DEVICE_STATE	0x40u

/**
 * struct mzp_wire_init - a channel's first message
 * @magic: %MZP_WIRE_MAGIC
 * @version: %MZP_WIRE_VERSION
 * @uuid: the VM's UUID; must equal the destination's, all zero when it has none
 * @id: channel id, 0 … channels - 1, each used once
 * @unused1: zero
 * @unused2: zero
 */
struct mzp_wire_init {
	__be32 magic;
	__be32 version;
	__u8 uuid[MZP_WIRE_UUID];
	__u8 id;
	__u8 unused1[7];
	__be64 unused2[4];
} __attribute__((packed));

/**
 * struct mzp_wire_packet - a packet's header, @payload_size bytes of pages
 * behind it
 * @magic: %MZP_WIRE_MAGIC
 * @version: %MZP_WIRE_VERSION
 * @flags: MZP_WIRE_* bits
 * @pages_alloc: how many pages the sender's packets hold at most
 * @normal_pages: how many pages are in the payload
 * @payload_size: bytes behind the header (QEMU's next_packet_size)
 * @packet_num: one counter over all channels of a migration
 * @zero_pages: how many pages are zero and have only an offset (QEMU 9.0 and
 *	newer; ignored by older receivers)
 * @unused32: zero
 * @unused64: zero
 * @idstr: the RAM block's name, NUL-terminated and NUL-padded
 * @offset: byte offsets in the block: the normal pages', then the zero pages',
 *	then zeros
 */
struct mzp_wire_packet {
	__be32 magic;
	__be32 version;
	__be32 flags;
	__be32 pages_alloc;
	__be32 normal_pages;
	__be32 payload_size;
	__be64 packet_num;
	__be32 zero_pages;
	__be32 unused32;
	__be64 unused64[3];
	char idstr[MZP_WIRE_IDSTR];
	__be64 offset[MZP_WIRE_PAGES];
} __attribute__((packed));

#endif /* _UAPI_LINUX_MULTIFD_WIRE_H */

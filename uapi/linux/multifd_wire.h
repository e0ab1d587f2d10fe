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

/* The main connection begins with these two. */
#define MZP_WIRE_MAIN_MAGIC	0x5145564du
#define MZP_WIRE_MAIN_VERSION	3u
/* The format of the section of RAM. */
#define MZP_WIRE_RAM_VERSION	4u

/**
 * enum mzp_wire_section - the first byte of a section on the main connection
 * @MZP_SECTION_EOF: the end; a description of the devices may follow
 * @MZP_SECTION_START: something that comes in parts begins: id, name, instance, version
 * @MZP_SECTION_PART: it goes on: id
 * @MZP_SECTION_END: its last part: id
 * @MZP_SECTION_FULL: something that comes as a whole; the same as START otherwise
 * @MZP_SECTION_SUB: a part of another section that not every source sends
 * @MZP_SECTION_VMDESC: the description, in JSON
 * @MZP_SECTION_CONFIG: the configuration, ahead of all others
 * @MZP_SECTION_COMMAND: enum mzp_wire_command (2), length (2), data
 * @MZP_SECTION_FOOTER: what START, PART, END and FULL end with: id
 */
enum mzp_wire_section {
	MZP_SECTION_EOF		= 0x00,
	MZP_SECTION_START	= 0x01,
	MZP_SECTION_PART	= 0x02,
	MZP_SECTION_END		= 0x03,
	MZP_SECTION_FULL	= 0x04,
	MZP_SECTION_SUB		= 0x05,
	MZP_SECTION_VMDESC	= 0x06,
	MZP_SECTION_CONFIG	= 0x07,
	MZP_SECTION_COMMAND	= 0x08,
	MZP_SECTION_FOOTER	= 0x7e,
};

/**
 * enum mzp_wire_record - the low bits of a RAM record's first eight bytes
 * @MZP_RECORD_ZERO: a page that is zero
 * @MZP_RECORD_BLOCKS: the list of blocks
 * @MZP_RECORD_PAGE: a page, whose contents follow
 * @MZP_RECORD_END: the end of the section
 * @MZP_RECORD_CONTINUE: with ZERO or PAGE: the block is that of the record before
 * @MZP_RECORD_XBZRLE: a page as the difference to what it was before
 * @MZP_RECORD_HOOK: of RDMA
 * @MZP_RECORD_COMPRESS: a page compressed by itself (before QEMU 9.1)
 * @MZP_RECORD_FLUSH: wait here for the SYNC of all channels
 */
enum mzp_wire_record {
	MZP_RECORD_ZERO		= 0x002,
	MZP_RECORD_BLOCKS	= 0x004,
	MZP_RECORD_PAGE		= 0x008,
	MZP_RECORD_END		= 0x010,
	MZP_RECORD_CONTINUE	= 0x020,
	MZP_RECORD_XBZRLE	= 0x040,
	MZP_RECORD_HOOK		= 0x080,
	MZP_RECORD_COMPRESS	= 0x100,
	MZP_RECORD_FLUSH	= 0x200,
};

/**
 * enum mzp_wire_command - what a source asks for on the main connection
 * @MZP_COMMAND_OPEN_RETURN_PATH: replies from now on; no data
 * @MZP_COMMAND_PING: a PONG with the same number (4)
 * @MZP_COMMAND_POSTCOPY_ADVISE: postcopy may follow
 * @MZP_COMMAND_POSTCOPY_LISTEN: postcopy begins
 * @MZP_COMMAND_POSTCOPY_RUN: the guest runs here
 * @MZP_COMMAND_POSTCOPY_DISCARD: pages that are stale
 * @MZP_COMMAND_PACKAGED: a stream within the stream, of postcopy
 * @MZP_COMMAND_ENABLE_COLO: COLO begins
 * @MZP_COMMAND_POSTCOPY_RESUME: postcopy goes on after a broken connection
 * @MZP_COMMAND_RECV_BITMAP: asks for the bitmap of what has arrived, to do so
 * @MZP_COMMAND_SWITCHOVER_START: the last sections come now (QEMU 10.0 and newer)
 */
enum mzp_wire_command {
	MZP_COMMAND_OPEN_RETURN_PATH	= 1,
	MZP_COMMAND_PING		= 2,
	MZP_COMMAND_POSTCOPY_ADVISE	= 3,
	MZP_COMMAND_POSTCOPY_LISTEN	= 4,
	MZP_COMMAND_POSTCOPY_RUN	= 5,
	MZP_COMMAND_POSTCOPY_DISCARD	= 6,
	MZP_COMMAND_PACKAGED		= 7,
	MZP_COMMAND_ENABLE_COLO		= 8,
	MZP_COMMAND_POSTCOPY_RESUME	= 9,
	MZP_COMMAND_RECV_BITMAP		= 10,
	MZP_COMMAND_SWITCHOVER_START	= 11,
};

/**
 * enum mzp_wire_reply - what a destination says on the return path: this (2), length (2), data
 * @MZP_REPLY_SHUT: it is done: 0 if it has taken all, or 1 (4)
 * @MZP_REPLY_PONG: the number of a PING (4)
 * @MZP_REPLY_SWITCHOVER_ACK: nothing here holds up the last round; no data
 */
enum mzp_wire_reply {
	MZP_REPLY_SHUT			= 1,
	MZP_REPLY_PONG			= 2,
	MZP_REPLY_SWITCHOVER_ACK	= 7,
};

#endif /* _UAPI_LINUX_MULTIFD_WIRE_H */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything that is checked in what a source sends, in one table: each rule has
 * a name for the code, and words for people. The words stay the same from
 * release to release; details, such as the offending number, follow them.
 */
#ifndef MFD_PRIVATE_RECV_CHECK_H
#define MFD_PRIVATE_RECV_CHECK_H

#include "error.h"

/* rule, its words */
#define MFD_RECV_CHECKS(CHECK) \
	/* who connects */ \
	CHECK(MAGIC, "wrong magic") \
	CHECK(VERSION, "unknown version") \
	CHECK(TLS, "the source uses TLS, but no credentials were given for it here") \
	CHECK(HANDSHAKE, "the connection ended before it said what it is") \
	CHECK(CHANNEL_ID, "channel id out of range") \
	CHECK(CHANNEL_TWICE, "a second connection with the same channel id") \
	CHECK(MAIN_TWICE, "a second main connection") \
	CHECK(CONNECTIONS, "more connections than a main one and the channels") \
	CHECK(UUID, "the source has another UUID") \
	/* packets */ \
	CHECK(PACKET_EOF, "the connection ended inside a packet") \
	CHECK(DEVICE_STATE, "device state in a packet, which is not supported here") \
	CHECK(DEVICE_STATE_SYNC, "SYNC on a packet of device state") \
	CHECK(FLAGS, "unknown flags") \
	CHECK(METHOD, "another compression method than was agreed") \
	CHECK(PAGES_ALLOC, "pages_alloc is more than a packet has room for") \
	CHECK(NORMAL_PAGES, "normal_pages is more than pages_alloc") \
	CHECK(ZERO_PAGES, "zero_pages is more than is left of pages_alloc") \
	CHECK(IDSTR_END, "the block's name is not terminated") \
	CHECK(IDSTR, "unknown block") \
	CHECK(BLOCKS_LATE, "pages ahead of the list of blocks") \
	CHECK(OFFSET_ALIGN, "the offset of a page is not a multiple of the page size") \
	CHECK(OFFSET_RANGE, "a page beyond the end of its block") \
	CHECK(PAYLOAD_SIZE, "the payload has not the size of the normal pages") \
	CHECK(PAYLOAD_BOUND, "the payload is too large") \
	CHECK(PAYLOAD_ALONE, "a payload without normal pages") \
	CHECK(DECODE, "the payload cannot be decompressed") \
	CHECK(DECODE_SHORT, "the payload holds less than the normal pages") \
	CHECK(DECODE_LONG, "the payload holds more than the normal pages") \
	CHECK(DECODE_END, "the compressed stream ends, and should not") \
	/* the main connection */ \
	CHECK(MAIN_EOF, "the connection ended before the migration did") \
	CHECK(MAIN_VERSION, "unknown version of the stream") \
	CHECK(NO_CONFIGURATION, "the stream does not start with a configuration") \
	CHECK(MACHINE_NAME, "the machine type's name is too long") \
	CHECK(MACHINE, "the source has another machine type") \
	CHECK(PAGE_SIZE, "the source has another page size") \
	CHECK(SUBSECTION, "the configuration asks for something that is not supported here") \
	CHECK(COMMAND, "the source uses something that is not supported here") \
	CHECK(DEAF, "the source does not read what it is told on its return path") \
	CHECK(PING, "a question without a return path for the answer") \
	CHECK(COMMAND_SIZE, "a command of the wrong size") \
	CHECK(SECTION_TYPE, "unknown kind of section") \
	CHECK(SECTION_ID, "a section that was not begun") \
	CHECK(SECTION_EARLY, "a section that is not RAM, ahead of the end of RAM") \
	CHECK(EARLY_FORMAT, "an early section in an unknown format") \
	CHECK(SECTION_FOOTER, "a section without its footer") \
	CHECK(NAME_NUL, "a name with a NUL byte in it") \
	CHECK(RAM_FORMAT, "an unknown format of RAM") \
	CHECK(RAM_TWICE, "RAM is set up a second time") \
	CHECK(RAM_ENDED, "RAM goes on behind its last section") \
	CHECK(RAM_UNENDED, "the migration ended before RAM did") \
	CHECK(RECORD, "unknown kind of record") \
	CHECK(RECORD_UNSUPPORTED, "a record that is not supported here") \
	CHECK(RECORD_CONTINUE, "a record goes on with a block, but none is before it") \
	CHECK(ZERO_FILL, "a zero page that is not filled with zeros") \
	CHECK(BLOCKS_TWICE, "a second list of blocks") \
	CHECK(BLOCKS_TOTAL, "the lengths of the blocks do not add up") \
	CHECK(BLOCKS_ABSENT, "the source does not have this block") \
	CHECK(BLOCKS_NONE, "no list of blocks") \
	CHECK(BLOCK_TWICE, "a block is there twice") \
	CHECK(BLOCK_LENGTH, "a block has another length") \
	CHECK(FLUSH, "the source flushes in another way than its version should") \
	CHECK(FLUSH_LATE, "a flush record, but the set-up had none") \
	CHECK(SYNC_MISSING, "a channel ended before its SYNC") \
	CHECK(SYNC_EXTRA, "a SYNC that the main connection did not ask for") \
	CHECK(DESCRIPTION, "the end is not followed by a description") \
	CHECK(TRAILING, "data behind the end") \
	CHECK(DEVICE_END, "the state of devices ended too early")

enum mfd_recv_check {
#define MFD_RECV_NAME(name, text) RECV_##name,
	MFD_RECV_CHECKS(MFD_RECV_NAME)
#undef MFD_RECV_NAME
	RECV_NR_CHECKS
};

/* The words of a rule. */
const char *mfd_recv_check_text(enum mfd_recv_check check);

/*
 * A rule is broken: @err, which may be NULL, gets its words, then the formatted
 * details in brackets, if there are any. Return: -EPROTO.
 */
int mfd_recv_reject(struct mfd_error *err, enum mfd_recv_check check, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif /* MFD_PRIVATE_RECV_CHECK_H */

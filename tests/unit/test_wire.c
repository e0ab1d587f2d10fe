// SPDX-License-Identifier: GPL-2.0-only
/* The wire layout, against Documentation's tables and not against itself. */
#include <linux/multifd_wire.h>

#include "unit.h"

#define FIELD(type, member, at, length) do { \
	assert_int_equal(offsetof(struct type, member), at); \
	assert_int_equal(sizeof(((struct type *)0)->member), length); \
} while (0)

TEST(first_message)
{
	assert_int_equal(sizeof(struct mzp_wire_init), 64);
	FIELD(mzp_wire_init, magic, 0, 4);
	FIELD(mzp_wire_init, version, 4, 4);
	FIELD(mzp_wire_init, uuid, 8, 16);
	FIELD(mzp_wire_init, id, 24, 1);
	FIELD(mzp_wire_init, unused1, 25, 7);
	FIELD(mzp_wire_init, unused2, 32, 32);
}

TEST(packet_header)
{
	assert_int_equal(sizeof(struct mzp_wire_packet), 1344);
	FIELD(mzp_wire_packet, magic, 0, 4);
	FIELD(mzp_wire_packet, version, 4, 4);
	FIELD(mzp_wire_packet, flags, 8, 4);
	FIELD(mzp_wire_packet, pages_alloc, 12, 4);
	FIELD(mzp_wire_packet, normal_pages, 16, 4);
	FIELD(mzp_wire_packet, payload_size, 20, 4);
	FIELD(mzp_wire_packet, packet_num, 24, 8);
	FIELD(mzp_wire_packet, zero_pages, 32, 4);
	FIELD(mzp_wire_packet, unused32, 36, 4);
	FIELD(mzp_wire_packet, unused64, 40, 24);
	FIELD(mzp_wire_packet, idstr, 64, 256);
	FIELD(mzp_wire_packet, offset, 320, 1024);
}

TEST(constants)
{
	assert_int_equal(MZP_WIRE_MAGIC, 0x11223344);
	assert_int_equal(MZP_WIRE_VERSION, 1);
	assert_int_equal(MZP_WIRE_SYNC, 1);
	assert_int_equal(MZP_WIRE_METHOD_MASK, 0x3e);
	assert_int_equal(MZP_WIRE_NONE, 0);
	assert_int_equal(MZP_WIRE_ZLIB, 2);
	assert_int_equal(MZP_WIRE_ZSTD, 4);
	assert_int_equal(MZP_WIRE_DEVICE_STATE, 0x40);
	assert_int_equal(MZP_WIRE_PAGES * MZP_WIRE_PAGE_SIZE, 512 * 1024);
}

TEST(main_connection)
{
	static const unsigned int sections[] = {
		MZP_SECTION_EOF, MZP_SECTION_START, MZP_SECTION_PART, MZP_SECTION_END,
		MZP_SECTION_FULL, MZP_SECTION_SUB, MZP_SECTION_VMDESC, MZP_SECTION_CONFIG,
		MZP_SECTION_COMMAND,
	}, records[] = {
		MZP_RECORD_ZERO, MZP_RECORD_BLOCKS, MZP_RECORD_PAGE, MZP_RECORD_END,
		MZP_RECORD_CONTINUE, MZP_RECORD_XBZRLE, MZP_RECORD_HOOK, MZP_RECORD_COMPRESS,
		MZP_RECORD_FLUSH,
	};
	size_t i;

	assert_int_equal(MZP_WIRE_MAIN_MAGIC, 0x5145564d);
	assert_int_equal(MZP_WIRE_MAIN_VERSION, 3);
	assert_int_equal(MZP_WIRE_RAM_VERSION, 4);
	for (i = 0; i < sizeof(sections) / sizeof(*sections); i++)
		assert_int_equal(sections[i], i);
	assert_int_equal(MZP_SECTION_FOOTER, 0x7e);
	for (i = 0; i < sizeof(records) / sizeof(*records); i++)
		assert_int_equal(records[i], 2 << i);
	assert_int_equal(MZP_COMMAND_OPEN_RETURN_PATH, 1);
	assert_int_equal(MZP_COMMAND_PING, 2);
	assert_int_equal(MZP_COMMAND_PACKAGED, 7);
	assert_int_equal(MZP_COMMAND_ENABLE_COLO, 8);
	assert_int_equal(MZP_COMMAND_POSTCOPY_RESUME, 9);
	assert_int_equal(MZP_COMMAND_RECV_BITMAP, 10);
	assert_int_equal(MZP_COMMAND_SWITCHOVER_START, 11);
	assert_int_equal(MZP_REPLY_SHUT, 1);
	assert_int_equal(MZP_REPLY_PONG, 2);
	assert_int_equal(MZP_REPLY_SWITCHOVER_ACK, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_message),
		cmocka_unit_test(packet_header),
		cmocka_unit_test(constants),
		cmocka_unit_test(main_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

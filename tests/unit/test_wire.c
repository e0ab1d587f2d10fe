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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_message),
		cmocka_unit_test(packet_header),
		cmocka_unit_test(constants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only
/* kmod/packet.c: every byte of what it writes, over memory that was not zero. */
#include "unit.h"

#include "shim/kernel.h"
#include "batch.h"
#include "packet.h"

/* Big-endian, and independent of the code under test. */
static u64 be(const unsigned char *bytes, unsigned int n)
{
	u64 value = 0;

	while (n--)
		value = value << 8 | *bytes++;
	return value;
}

static void all_zero(const unsigned char *bytes, unsigned int from, unsigned int to)
{
	for (; from < to; from++)
		assert_int_equal(bytes[from], 0);
}

TEST(first_message)
{
	static const u8 uuid[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xff };
	unsigned char bytes[64 + 1];

	memset(bytes, 0xee, sizeof(bytes));
	mzp_encode_init((struct mzp_wire_init *)bytes, uuid, 254);
	assert_int_equal(be(bytes, 4), 0x11223344);
	assert_int_equal(be(bytes + 4, 4), 1);
	assert_memory_equal(bytes + 8, uuid, 16);
	assert_int_equal(bytes[24], 254);
	all_zero(bytes, 25, 64);
	assert_int_equal(bytes[64], 0xee);
}

TEST(sync_packet)
{
	static const struct mzp_packet_params params = {
		.flags = MZP_WIRE_SYNC | MZP_WIRE_ZSTD,
		.pages_alloc = 128,
		.packet_num = 0x0102030405060708,
	};
	unsigned char bytes[1344 + 1];

	memset(bytes, 0xee, sizeof(bytes));
	mzp_encode_packet((struct mzp_wire_packet *)bytes, &params, NULL, NULL);
	assert_int_equal(be(bytes, 4), 0x11223344);
	assert_int_equal(be(bytes + 4, 4), 1);
	assert_int_equal(be(bytes + 8, 4), 5);
	assert_int_equal(be(bytes + 12, 4), 128);
	all_zero(bytes, 16, 24);
	assert_int_equal(be(bytes + 24, 8), 0x0102030405060708);
	all_zero(bytes, 32, 1344);
	assert_int_equal(bytes[1344], 0xee);
}

/* A packet with @normal and @zero pages, whose offsets need all 64 bits. */
static void check(unsigned int normal, unsigned int zero, const char *idstr)
{
	struct mzp_packet_params params = {
		.pages_alloc = 128,
		.payload_size = normal * 4096,
		.packet_num = 77,
	};
	unsigned char bytes[1344 + 1];
	struct mzp_batch batch = { .nr_normal = normal, .nr_zero = zero };
	unsigned int i;

	for (i = 0; i < normal; i++)
		batch.normal[i] = 0x1020304050607000 + i;
	for (i = 0; i < zero; i++)
		batch.zero[i] = 0xf1f2f3f4f5f6f000 + i;
	memset(bytes, 0xee, sizeof(bytes));
	mzp_encode_packet((struct mzp_wire_packet *)bytes, &params, idstr, &batch);
	assert_int_equal(be(bytes + 8, 4), 0);
	assert_int_equal(be(bytes + 16, 4), normal);
	assert_int_equal(be(bytes + 20, 4), normal * 4096);
	assert_int_equal(be(bytes + 24, 8), 77);
	assert_int_equal(be(bytes + 32, 4), zero);
	all_zero(bytes, 36, 64);
	assert_memory_equal(bytes + 64, idstr, strlen(idstr));
	all_zero(bytes, 64 + strlen(idstr), 320);
	for (i = 0; i < normal; i++)
		assert_int_equal(be(bytes + 320 + i * 8, 8), 0x1020304050607000 + i);
	for (i = 0; i < zero; i++)
		assert_int_equal(be(bytes + 320 + (normal + i) * 8, 8), 0xf1f2f3f4f5f6f000 + i);
	all_zero(bytes, 320 + (normal + zero) * 8, 1344);
	assert_int_equal(bytes[1344], 0xee);
}

TEST(packet_with_pages)
{
	char longest[256];

	check(1, 0, "a");
	check(0, 1, "ram0");
	check(3, 5, "/objects/mem");
	check(128, 0, "pc.ram");
	check(0, 128, "pc.ram");
	check(100, 28, "pc.ram");
	memset(longest, 'x', 255);
	longest[255] = '\0';
	check(1, 1, longest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_message),
		cmocka_unit_test(sync_packet),
		cmocka_unit_test(packet_with_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

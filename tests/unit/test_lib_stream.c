// SPDX-License-Identifier: GPL-2.0-only
/* libmfd: the bytes of QEMU's main connection. */
#include "unit.h"

#include <errno.h>

#include "error.h"
#include "stream.h"

static unsigned char out[4 << 20];
static size_t out_used;
static unsigned int sinks;
static int sink_fails;

static int sink(void *opaque, const void *data, size_t size, struct mfd_error *err)
{
	assert_ptr_equal(opaque, out);
	assert_true(size > 0);
	sinks++;
	if (sink_fails)
		return mfd_error_set(err, EPIPE, "the peer is gone");
	assert_true(out_used + size <= sizeof(out));
	memcpy(out + out_used, data, size);
	out_used += size;
	return 0;
}

static struct mfd_stream *new_stream(void)
{
	struct mfd_stream *stream = malloc(sizeof(*stream));

	assert_non_null(stream);
	memset(stream, 0xee, sizeof(*stream));
	mfd_stream_init(stream, sink, out);
	out_used = 0;
	sinks = 0;
	sink_fails = 0;
	return stream;
}

/* Flush, and compare with @expected: hex digits, and text in 'quotes'. */
static void expect(struct mfd_stream *stream, const char *expected)
{
	static unsigned char bytes[4096];
	unsigned int value;
	size_t n = 0;

	for (; *expected; expected++) {
		if (*expected == ' ')
			continue;
		if (*expected == '\'') {
			while (*++expected != '\'')
				bytes[n++] = *expected;
			continue;
		}
		assert_int_equal(sscanf(expected, "%2x", &value), 1);
		bytes[n++] = value;
		expected++;
	}
	assert_int_equal(mfd_stream_flush(stream, NULL), 0);
	assert_int_equal(out_used, n);
	assert_memory_equal(out, bytes, n);
	out_used = 0;
}

TEST(whole_migration)
{
	struct mfd_stream *stream = new_stream();

	mfd_stream_header(stream, "none");
	expect(stream, "5145564d 00000003 07 00000004 'none'");
	mfd_stream_header(stream, "virt-10.0");
	expect(stream, "5145564d 00000003 07 00000009 'virt-10.0'"
	       "05 1e 'configuration/target-page-bits' 00000001 0000000c");

	mfd_stream_setup_begin(stream, 0x3000);
	mfd_stream_setup_block(stream, "ram0", 0x2000);
	mfd_stream_setup_block(stream, "b", 0x1000);
	mfd_stream_section_end(stream, true);
	expect(stream,
	       "01 00000001 03 'ram' 00000000 00000004  0000000000003004"
	       "04 'ram0' 0000000000002000  01 'b' 0000000000001000"
	       "0000000000000200 0000000000000010 7e 00000001");

	mfd_stream_section_begin(stream, false);
	mfd_stream_zero_page(stream, "ram0", 0x1000);
	mfd_stream_zero_page(stream, "ram0", 0);
	mfd_stream_zero_page(stream, "b", 0x123456789abcd000);
	mfd_stream_zero_page(stream, "ram0", 0x1000);
	mfd_stream_section_end(stream, false);
	expect(stream,
	       "02 00000001"
	       "0000000000001002 04 'ram0' 00  0000000000000022 00"
	       "123456789abcd002 01 'b' 00  0000000000001002 04 'ram0' 00"
	       "0000000000000010 7e 00000001");

	/* a new section names its first block again */
	mfd_stream_section_begin(stream, true);
	mfd_stream_zero_page(stream, "ram0", 0x1000);
	mfd_stream_section_end(stream, true);
	mfd_stream_eof(stream);
	expect(stream,
	       "03 00000001 0000000000001002 04 'ram0' 00"
	       "0000000000000200 0000000000000010 7e 00000001  00 06 00000002 '{}'");
	free(stream);
}

TEST(longest_idstr)
{
	struct mfd_stream *stream = new_stream();
	char idstr[256];
	int i;

	memset(idstr, 'x', 255);
	idstr[255] = '\0';
	mfd_stream_section_begin(stream, false);
	mfd_stream_zero_page(stream, idstr, 0);
	mfd_stream_zero_page(stream, idstr, 0x1000);
	assert_int_equal(mfd_stream_flush(stream, NULL), 0);
	assert_int_equal(out_used, 5 + 8 + 1 + 255 + 1 + 8 + 1);
	assert_int_equal(out[5 + 8], 255);
	for (i = 0; i < 255; i++)
		assert_int_equal(out[5 + 9 + i], 'x');
	assert_int_equal(out[5 + 8 + 1 + 255 + 1 + 7], 0x22);
	free(stream);
}

/* More than its buffer holds comes out whole and in order. */
TEST(more_than_a_buffer)
{
	struct mfd_stream *stream = new_stream();
	const unsigned int pages = 100000;
	unsigned int i;
	size_t at;

	mfd_stream_section_begin(stream, false);
	for (i = 0; i < pages; i++)
		mfd_stream_zero_page(stream, "ram0", i * 4096ull);
	assert_int_equal(mfd_stream_flush(stream, NULL), 0);
	assert_int_equal(out_used, 5 + 14 + (pages - 1) * 9);
	assert_true(sinks > 1);
	for (i = 1, at = 5 + 14; i < pages; i++, at += 9) {
		uint64_t expected = i * 4096ull | 0x22, found = 0;
		int byte;

		for (byte = 0; byte < 8; byte++)
			found = found << 8 | out[at + byte];
		assert_int_equal(found, expected);
		assert_int_equal(out[at + 8], 0);
	}
	free(stream);
}

TEST(first_error_is_kept)
{
	struct mfd_stream *stream = new_stream();
	struct mfd_error error = { .size = sizeof(error) };
	unsigned int i;

	sink_fails = 1;
	for (i = 0; i < 100000; i++)
		mfd_stream_zero_page(stream, "ram0", i * 4096ull);
	assert_int_equal(sinks, 1);
	sink_fails = 0;
	assert_int_equal(mfd_stream_flush(stream, &error), -EPIPE);
	assert_int_equal(error.code, EPIPE);
	assert_string_equal(error.text, "the peer is gone");
	mfd_stream_eof(stream);
	assert_int_equal(mfd_stream_flush(stream, NULL), -EPIPE);
	/* nothing reached the peer behind the hole */
	assert_int_equal(out_used, 0);
	assert_int_equal(sinks, 1);
	free(stream);
}

TEST(nothing_to_flush)
{
	struct mfd_stream *stream = new_stream();

	assert_int_equal(mfd_stream_flush(stream, NULL), 0);
	assert_int_equal(sinks, 0);
	free(stream);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_migration),
		cmocka_unit_test(longest_idstr),
		cmocka_unit_test(more_than_a_buffer),
		cmocka_unit_test(first_error_is_kept),
		cmocka_unit_test(nothing_to_flush),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

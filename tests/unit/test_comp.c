// SPDX-License-Identifier: GPL-2.0-only
/*
 * kmod/comp*.c, with libz and libzstd in the kernel's place: whatever pages hold
 * and however packets are cut, a destination has each packet's pages when it has
 * the packet. MZP_SEED chooses another of the random sequences.
 */
#include "unit.h"

#include "shim/kernel.h"
#include "comp.h"
#include "../bench/decode.h"

#define PAGES MZP_WIRE_PAGES

static struct folio *guest;	/* as many pages as a packet may have */

enum contents { FLAT, TEXT, NOISE, WORDS, HALF, ECHO, KINDS };

static void fill(unsigned char *page, enum contents kind)
{
	static const char text[] = "the quick brown fox jumps over a lazy dog and so on ";
	unsigned int echo = unit_random() % PAGES;
	unsigned int i;

	for (i = 0; i < PAGE_SIZE; i += 8) {
		uint64_t word = unit_random();

		if (kind == FLAT)
			word = 0x2020202020202020;
		else if (kind == WORDS)
			word = 0xffff888000000000 | word % 0x1000000;
		else if (kind == TEXT || (kind == HALF && i >= PAGE_SIZE / 2))
			memcpy(&word, text + word % (sizeof(text) - 8), 8);
		memcpy(page + i, &word, 8);
	}
	/* any page, so one before this one or the last packet's */
	if (kind == ECHO && guest->page[echo].bytes != page)
		memcpy(page, guest->page[echo].bytes, PAGE_SIZE);
}

/* Runs of alike pages, most of them short. */
static void fill_packet(unsigned int nr)
{
	unsigned int i = 0;

	while (i < nr) {
		enum contents kind = unit_random() % KINDS;
		unsigned int run = 1 + unit_random() % (unit_random() % 4 ? 3 : 40);

		for (; run && i < nr; run--)
			fill(guest->page[i++].bytes, kind);
	}
}

struct stream {
	struct mzp_comp comp;
	struct decode *decode;
	unsigned int packets;
};

static void stream_open(struct stream *stream, u32 method, int level)
{
	memset(stream, 0, sizeof(*stream));
	assert_true(mzp_comp_available(method));
	assert_int_equal(mzp_comp_init(&stream->comp, method, level), 0);
	stream->decode = decode_open(method == MZP_METHOD_ZSTD);
}

static void stream_close(struct stream *stream)
{
	mzp_comp_destroy(&stream->comp);
	decode_close(stream->decode);
}

/* Compress the first pages of the guest, decode and compare. Return: bytes. */
static size_t send(struct stream *stream, unsigned int nr)
{
	static unsigned char to[PAGES * PAGE_SIZE];
	struct page *page[PAGES];
	const char *why;
	ssize_t size;
	unsigned int i;

	for (i = 0; i < nr; i++)
		page[i] = &guest->page[i];
	size = mzp_comp_pages(&stream->comp, page, nr);
	if (size <= 0 || size > MZP_COMP_MAX)
		fail_msg("packet %u: %zd bytes", stream->packets, size);
	why = decode_packet(stream->decode, stream->comp.payload, size, to, nr);
	if (why)
		fail_msg("packet %u of %u pages: %s", stream->packets, nr, why);
	for (i = 0; i < nr; i++)
		if (memcmp(to + i * PAGE_SIZE, page[i]->bytes, PAGE_SIZE))
			fail_msg("packet %u: page %u differs", stream->packets, i);
	stream->packets++;
	return size;
}

static void random_packets(u32 method, int level, unsigned int packets)
{
	struct stream stream;
	unsigned int nr;

	stream_open(&stream, method, level);
	while (stream.packets < packets) {
		nr = unit_random() % 3 ? 1 + unit_random() % PAGES : PAGES;
		fill_packet(nr);
		send(&stream, nr);
	}
	stream_close(&stream);
}

TEST(zlib_packets)
{
	random_packets(MZP_METHOD_ZLIB, 1, 60);
	random_packets(MZP_METHOD_ZLIB, 4, 30);
	random_packets(MZP_METHOD_ZLIB, 9, 15);
}

TEST(zstd_packets)
{
	random_packets(MZP_METHOD_ZSTD, 1, 60);
	random_packets(MZP_METHOD_ZSTD, 3, 60);
	random_packets(MZP_METHOD_ZSTD, 9, 15);
	random_packets(MZP_METHOD_ZSTD, 19, 3);
}

/* Single pages: every packet is a boundary. */
TEST(small_packets)
{
	static const u32 method[] = { MZP_METHOD_ZLIB, MZP_METHOD_ZSTD };
	struct stream stream;
	unsigned int m, i;

	for (m = 0; m < ARRAY_SIZE(method); m++) {
		stream_open(&stream, method[m], 1);
		for (i = 0; i < 2000; i++) {
			fill_packet(1);
			send(&stream, 1);
		}
		stream_close(&stream);
	}
}

/* Noise is stored: five bytes a page; and two for the stream's head. */
TEST(zlib_noise)
{
	struct stream stream;
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		fill(guest->page[i].bytes, NOISE);
	stream_open(&stream, MZP_METHOD_ZLIB, 1);
	assert_int_equal(send(&stream, PAGES), 2 + PAGES * (PAGE_SIZE + 5));
	assert_int_equal(send(&stream, PAGES), PAGES * (PAGE_SIZE + 5));
	assert_int_equal(send(&stream, 1), PAGE_SIZE + 5);
	stream_close(&stream);
}

/* Noise and text by turns, the worst that storing can do to the history. */
TEST(zlib_turns)
{
	struct stream stream;
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		fill(guest->page[i].bytes, i % 2 ? NOISE : TEXT);
	stream_open(&stream, MZP_METHOD_ZLIB, 1);
	assert_true(send(&stream, PAGES) < PAGES * PAGE_SIZE * 4 / 5);
	assert_true(send(&stream, PAGES) < PAGES * PAGE_SIZE * 4 / 5);
	stream_close(&stream);
}

/* Level 1 has a window of 2 MiB: four packets, then a frame begins anew. */
TEST(zstd_frames)
{
	static const unsigned char magic[] = { 0x28, 0xb5, 0x2f, 0xfd };
	struct stream stream;
	unsigned int i;

	stream_open(&stream, MZP_METHOD_ZSTD, 1);
	for (i = 0; i < 14; i++) {
		fill_packet(PAGES);
		send(&stream, PAGES);
		assert_int_equal(!memcmp(stream.comp.payload, magic, sizeof(magic)), i % 4 == 0);
	}
	stream_close(&stream);
}

TEST(what_is_noise)
{
	unsigned char *page = guest->page[0].bytes;
	unsigned int i;

	for (i = 0; i < 1000; i++) {
		fill(page, NOISE);
		assert_true(mzp_page_is_noise(page));
	}
	for (i = 0; i < 1000; i++) {
		fill(page, (enum contents[]){ FLAT, TEXT, WORDS, HALF }[i % 4]);
		assert_false(mzp_page_is_noise(page));
	}
	/* the same piece of noise over and over */
	for (i = 64; i <= PAGE_SIZE / 4; i *= 2) {
		fill(page, NOISE);
		for (unsigned int at = i; at < PAGE_SIZE; at += i)
			memcpy(page + at, page, i);
		assert_false(mzp_page_is_noise(page));
	}
	/* 64 values only, as in base64: a quarter can be saved */
	fill(page, NOISE);
	for (i = 0; i < PAGE_SIZE; i++)
		page[i] &= 63;
	assert_false(mzp_page_is_noise(page));
}

TEST(no_memory)
{
	unsigned int i;

	for (i = 1; i <= 5; i++) {
		struct mzp_comp zlib = { }, zstd = { };

		shim_fail = i;
		assert_int_equal(mzp_comp_init(&zlib, MZP_METHOD_ZLIB, 1), -ENOMEM);
		mzp_comp_destroy(&zlib);
		shim_fail = i;
		assert_int_equal(mzp_comp_init(&zstd, MZP_METHOD_ZSTD, 1), -ENOMEM);
		mzp_comp_destroy(&zstd);
	}
	shim_fail = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zlib_packets),
		cmocka_unit_test(zstd_packets),
		cmocka_unit_test(small_packets),
		cmocka_unit_test(zlib_noise),
		cmocka_unit_test(zlib_turns),
		cmocka_unit_test(zstd_frames),
		cmocka_unit_test(what_is_noise),
		cmocka_unit_test(no_memory),
	};
	unsigned long seed = strtoul(getenv("MZP_SEED") ?: "0", NULL, 0);
	int failed;

	print_message("MZP_SEED=%lu\n", seed);
	for (; seed; seed--)
		unit_random();
	guest = shim_folio(PAGES, 0);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	put_page(&guest->page[0]);
	return failed;
}

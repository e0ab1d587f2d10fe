// SPDX-License-Identifier: GPL-2.0-only
/*
 * What goes out: every byte of the channels' streams, and that the memory they
 * carry is the memory that was handed over.
 */
#include "mem.h"

#include <endian.h>

static void first_message(void **state)
{
	struct mzp_setup setup = setup_for(3);
	struct session s;

	(void)state;
	session_open(&s, &setup);
	for (unsigned int i = 0; i < 3; i++) {
		uint8_t got[64], want[64] = { 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 1 };

		memcpy(want + 8, setup.uuid, 16);
		want[24] = i;
		read_exactly(s.ch[i], got, sizeof(got));
		assert_memory_equal(got, want, sizeof(want));
		assert_false(readable(s.ch[i]));
	}
	session_close(&s);
}

/* The same, seen from the outside: with no struct of ours between us and the bytes. */
static void packet_bytes(void **state)
{
	static const char idstr[] = "0000:00:1f.2/pc.ram";
	struct mzp_setup setup = setup_for(1);
	uint8_t head[1344], want[1344] = { 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 1 }, page[PAGE];
	struct session s;
	struct mem m;
	uint32_t num;

	(void)state;
	mem_init(&m, idstr, 300);
	mem_set(&m, 1, ZERO);
	mem_set(&m, 2, DATA);
	mem_set(&m, 260, DATA);
	session_open(&s, &setup);
	mem_add(&m, &s, NULL);
	session_wait(&s, session_send(&s, m.block_id, 1, 2, 0));
	session_wait(&s, session_send(&s, m.block_id, 259, 2, 0));
	session_wait(&s, session_sync(&s));
	read_exactly(s.ch[0], head, 64);

	for (unsigned int i = 0; i < 2; i++) {
		static const uint64_t normal[] = { 0x2000, 0x104000 }, zero[] = { 0x1000, 0x103000 };

		read_exactly(s.ch[0], head, sizeof(head));
		memset(want + 8, 0, sizeof(want) - 8);
		want[15] = 128;				/* pages_alloc */
		want[19] = 1;				/* normal_pages */
		want[22] = 0x10;			/* payload */
		memcpy(want + 24, head + 24, 8);	/* packet_num: below */
		want[35] = 1;				/* zero_pages */
		memcpy(want + 64, idstr, sizeof(idstr));
		*(uint64_t *)(want + 320) = htobe64(normal[i]);
		*(uint64_t *)(want + 328) = htobe64(zero[i]);
		assert_memory_equal(head, want, sizeof(head));
		assert_int_equal(*(uint32_t *)(head + 24), 0);
		if (i)
			assert_true(be32toh(*(uint32_t *)(head + 28)) > num);
		num = be32toh(*(uint32_t *)(head + 28));
		read_exactly(s.ch[0], page, sizeof(page));
		assert_true(page_is(page, DATA, m.tag, i ? 260 : 2, 1));
	}

	read_exactly(s.ch[0], head, sizeof(head));
	memset(want + 8, 0, sizeof(want) - 8);
	want[11] = 1;
	want[15] = 128;
	memcpy(want + 24, head + 24, 8);
	assert_memory_equal(head, want, sizeof(head));
	assert_false(readable(s.ch[0]));
	session_close(&s);
	mem_free(&m);
}

/*
 * Bits for a part of a window: about one in @rare, or all but one in -@rare; the
 * first in any case.
 */
static uint64_t *some_bits(uint64_t count, int rare, uint64_t *random)
{
	uint64_t *bits = calloc((count + 63) / 64, 8);

	must(bits);
	for (uint64_t n = 0; n < count; n++) {
		bool chosen = !rnd_below(random, abs(rare));

		bits[n / 64] |= (uint64_t)(rare > 0 ? chosen : !chosen) << n % 64;
	}
	bits[0] |= 1;
	return bits;
}

struct rounds {
	const char *name;
	enum mzp_detection detection;
	unsigned int packet_pages, channels, ring;
	enum rx_how how;
	uint64_t pages[2];	/* of the blocks; the second may be missing */
	unsigned int flags;
	const char *idstr;
};

/* Round after round; each page turns from anything to anything else and back. */
static void run_rounds(void **state)
{
	static const struct {
		enum mzp_send_format format;
		int rare;
		bool fresh;
	} plan[] = {
		{ MZP_SEND_ALL, 0, true },
		{ MZP_SEND_BITMAP, 9, false },
		{ MZP_SEND_RANGES, 3, false },
		{ MZP_SEND_BITMAP, -9, false },
		{ MZP_SEND_ALL, 0, false },
		{ MZP_SEND_RANGES, -7, false },
	};
	const struct rounds *r = *state;
	struct mzp_setup setup = setup_for(r->channels);
	uint64_t random = 0x5eed + r->packet_pages + r->channels;
	unsigned int blocks = r->pages[1] ? 2 : 1;
	struct session s;
	struct mem m[2];
	struct rx rx;

	setup.detection = r->detection;
	setup.packet_pages = r->packet_pages;
	setup.ring_packets = r->ring;
	session_open(&s, &setup);
	rx_init(&rx, &s, r->how);
	for (unsigned int i = 0; i < blocks; i++) {
		mem_init(&m[i], i ? "second" : r->idstr ?: "first", r->pages[i]);
		mem_add(&m[i], &s, &rx);
		mem_shuffle(&m[i], &random);
	}
	for (unsigned int round = 0; round < ARRAY_SIZE(plan); round++) {
		uint32_t flags = plan[round].fresh ? MZP_SEND_FRESH : r->flags;
		struct sent sent[4];
		unsigned int jobs = 0;

		/* with two blocks: half of each in turn */
		for (unsigned int half = 0; half < blocks; half++) {
			for (unsigned int i = 0; i < blocks; i++) {
				uint64_t first = half ? m[i].pages / 2 : 0;
				uint64_t end = half + 1 < blocks ? m[i].pages / 2 : m[i].pages;
				uint64_t *bits = NULL;

				if (first == end)
					continue;
				if (plan[round].format != MZP_SEND_ALL)
					bits = some_bits(end - first, plan[round].rare, &random);
				sent[jobs++] = mem_send(&m[i], &s, first, end - first, bits,
							plan[round].format, flags);
				free(bits);
			}
		}
		session_sync(&s);
		rx_round(&rx);
		for (unsigned int i = 0; i < jobs; i++)
			mem_check_job(&s, &sent[i]);
		for (unsigned int i = 0; i < blocks; i++) {
			mem_check(&m[i]);
			mem_shuffle(&m[i], &random);
		}
		rx_next_round(&rx);
	}
	/* the SYNCs are out, but may not have been counted yet */
	session_wait(&s, 0);
	session_end(&s);
	rx_end(&rx);
	for (unsigned int i = 0; i < r->channels; i++)
		close(s.ch[i]);
	rx_free(&rx);
	for (unsigned int i = 0; i < blocks; i++)
		mem_free(&m[i]);
}

#define LONG_NAME \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"
_Static_assert(sizeof(LONG_NAME) == 256, "255 bytes and a NUL");

#define MODE(detection, pages, how) \
	{ #detection "_" #pages, MZP_DETECTION_##detection, pages, 2, 0, how, { 1000 }, 0, NULL }

static struct rounds rounds[] = {
	MODE(NONE, 1, RX_READ),
	MODE(NONE, 7, RX_SPLICE),
	MODE(NONE, 128, RX_READ),
	MODE(LEGACY, 1, RX_SPLICE),
	MODE(LEGACY, 7, RX_READ),
	MODE(LEGACY, 128, RX_SPLICE),
	MODE(MULTIFD, 1, RX_READ),
	MODE(MULTIFD, 7, RX_SPLICE),
	MODE(MULTIFD, 128, RX_READ),
	{ "MULTIFD_zero_bitmap", MZP_DETECTION_MULTIFD, 0, 2, 0, RX_READ, { 777 },
	  MZP_SEND_ZERO_BITMAP, NULL },
	{ "one_page", MZP_DETECTION_MULTIFD, 0, 2, 0, RX_READ, { 1 }, 0, NULL },
	{ "129_pages", MZP_DETECTION_MULTIFD, 0, 2, 1, RX_SPLICE, { 129 }, 0, NULL },
	{ "two_blocks", MZP_DETECTION_MULTIFD, 5, 3, 2, RX_SPLICE, { 333, 65 }, 0, NULL },
	{ "two_blocks_legacy", MZP_DETECTION_LEGACY, 0, 3, 1, RX_READ, { 641, 64 }, 0, NULL },
	{ "one_channel", MZP_DETECTION_MULTIFD, 16, 1, 1, RX_READ, { 1000 }, 0, NULL },
	{ "eight_channels", MZP_DETECTION_MULTIFD, 4, 8, 1, RX_SPLICE, { 1000 }, 0, NULL },
	{ "255_channels", MZP_DETECTION_MULTIFD, 2, 255, 1, RX_READ, { 1000, 129 }, 0, NULL },
	{ "long_idstr", MZP_DETECTION_MULTIFD, 0, 1, 0, RX_READ, { 130 }, 0, LONG_NAME },
};

/*
 * All rounds are handed over before anything is read, so that the workers are
 * held up by rings that differ in what they wait for.
 */
static void rounds_ahead(void **state)
{
	struct mzp_setup setup = setup_for(8);
	uint64_t random = 11, *bits[5];
	struct sent sent[5];
	struct session s;
	struct mem m;
	struct rx rx;

	(void)state;
	setup.packet_pages = 3;
	setup.ring_packets = 2;
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	mem_init(&m, "ahead", 1500);
	mem_add(&m, &s, &rx);
	mem_shuffle(&m, &random);
	/* each page in one of the rounds, so that one in the wrong round is seen */
	for (unsigned int i = 0; i < 5; i++) {
		bits[i] = calloc(1500 / 64 + 1, 8);
		must(bits[i]);
	}
	for (unsigned int page = 0; page < 1500; page++)
		bits[rnd_below(&random, 5)][page / 64] |= 1ull << page % 64;
	for (unsigned int i = 0; i < 5; i++) {
		sent[i] = mem_send(&m, &s, 0, 1500, bits[i], MZP_SEND_BITMAP, 0);
		session_sync(&s);
		if (i == 2)
			session_sync(&s);
	}
	for (unsigned int i = 0; i < 5; i++) {
		memset(m.sent, 0, m.pages);
		for (unsigned int page = 0; page < 1500; page++)
			m.sent[page] = bits[i][page / 64] >> page % 64 & 1;
		rx_round(&rx);
		/* the pages of all rounds are expected at the end only */
		for (unsigned int page = 0; page < 1500; page++)
			must((m.rx->seen[page] != RX_NOTHING) == m.sent[page],
			     "round %u, page %u", i, page);
		mem_check_job(&s, &sent[i]);
		rx_next_round(&rx);
		if (i == 2) {
			uint64_t packets = rx.page_packets;

			rx_round(&rx);
			must(rx.page_packets == packets, "a round with nothing in it");
		}
	}
	mem_check(&m);
	session_wait(&s, 0);
	session_end(&s);
	rx_end(&rx);
	rx_free(&rx);
	mem_free(&m);
}

/* An idle session's SYNCs; and a channel that is only fetched when all is done. */
static void late_channel(void **state)
{
	struct mzp_setup setup = setup_for(1);
	struct session s = { .setup = setup };
	struct sent sent;
	struct mem m;
	struct rx rx;

	(void)state;
	s.fd = mzp_open();
	works(mzp_setup(s.fd, &setup));
	mem_init(&m, "late", 200);
	mem_set_range(&m, 10, 100, DATA);
	m.block_id = session_block(&s, m.idstr, m.base, m.pages * PAGE);
	session_wait(&s, session_sync(&s));
	sent = mem_send(&m, &s, 0, m.pages, NULL, MZP_SEND_ALL, MZP_SEND_FRESH);
	session_wait(&s, session_sync(&s));
	works(mzp_channel(s.fd, 0, 0, &s.ch[0]));
	rx_init(&rx, &s, RX_READ);
	m.rx = rx_add_block(&rx, m.idstr, m.pages, NULL);
	rx_round(&rx);
	must(!rx.page_packets);
	rx_round(&rx);
	mem_check_job(&s, &sent);
	mem_check(&m);
	session_close(&s);
	rx_free(&rx);
	mem_free(&m);
}

/* A job with nothing in it, and windows that start anywhere. */
static void windows(void **state)
{
	struct mzp_setup setup = setup_for(2);
	uint64_t random = 3, none[2] = { 0 };
	struct session s;
	struct mem m;
	struct rx rx;

	(void)state;
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	mem_init(&m, "windows", 400);
	mem_add(&m, &s, &rx);
	mem_shuffle(&m, &random);
	for (unsigned int i = 0; i < 40; i++) {
		uint64_t first = rnd_below(&random, 400);
		uint64_t count = 1 + rnd_below(&random, 400 - first);
		uint64_t *bits = some_bits(count, i % 2 ? 2 : -5, &random);
		struct sent sent;

		sent = mem_send(&m, &s, first, count, bits, i % 3, i % 4 ? 0 : MZP_SEND_ZERO_BITMAP);
		session_sync(&s);
		rx_round(&rx);
		mem_check_job(&s, &sent);
		mem_check(&m);
		rx_next_round(&rx);
		mem_set(&m, rnd_below(&random, 400), rnd_below(&random, KINDS));
		free(bits);
	}
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t packets = rx.page_packets;
		struct sent sent = mem_send(&m, &s, 7, 100, none, MZP_SEND_BITMAP, 0);

		mem_check_job(&s, &sent);
		session_sync(&s);
		rx_round(&rx);
		must(rx.page_packets == packets);
	}
	session_close(&s);
	rx_free(&rx);
	mem_free(&m);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest plain[] = {
		cmocka_unit_test(first_message),
		cmocka_unit_test(packet_bytes),
		cmocka_unit_test(rounds_ahead),
		cmocka_unit_test(late_channel),
		cmocka_unit_test(windows),
	};
	struct CMUnitTest tests[ARRAY_SIZE(plain) + ARRAY_SIZE(rounds)];

	memcpy(tests, plain, sizeof(plain));
	for (unsigned int i = 0; i < ARRAY_SIZE(rounds); i++)
		tests[ARRAY_SIZE(plain) + i] = (struct CMUnitTest){
			.name = rounds[i].name, .test_func = run_rounds, .initial_state = &rounds[i],
		};
	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Channels that compress: a receiver that stops after any packet has all pages
 * so far, whatever they hold and whatever came before.
 *
 * rx decodes each packet when its last byte is there and insists on exactly its
 * pages, which it compares with the memory. What is left for here is to make
 * memory that is awkward for a compressor, to know how each packet must be
 * composed, and how long its payload may be.
 */
#include "kit.h"
#include "rx.h"

#include <endian.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* --- what pages hold */

enum contents {
	NOTHING,	/* zeros */
	FLAT,		/* one byte, over and over */
	TEXT,		/* words */
	NOISE,		/* what does not compress */
	HALVES,		/* one of the last two at the front, the other behind it */
	SPECKS,		/* words with some noise in between */
	ECHO,		/* what one of the pages before has, from some place on */
	CONTENTS
};

static void noise(uint8_t *at, size_t n, uint64_t *random)
{
	for (size_t i = 0; i < n; i += 8) {
		uint64_t word = rnd(random);

		memcpy(at + i, &word, min(n - i, 8ul));
	}
}

static void text(uint8_t *at, size_t n, uint64_t *random)
{
	enum { WORDS = 64, LENGTH = 10 };
	static char word[WORDS][LENGTH];
	uint64_t letters = 1;

	/* the first words are frequent, the last ones rare */
	for (unsigned int w = 0; w < WORDS && !word[0][0]; w++)
		for (unsigned int i = 0; i < 2 + w % (LENGTH - 2); i++)
			word[WORDS - 1 - w][i] = 'a' + rnd_below(&letters, 26);
	while (n) {
		const char *next = word[rnd_below(random, 1 + rnd_below(random, WORDS))];
		size_t length = min(n, strlen(next) + 1);

		memcpy(at, next, length);
		at[length - 1] = ' ';
		at += length;
		n -= length;
	}
}

/* @number pages are before this one. */
static void fill_page(uint8_t *page, uint64_t number, enum contents contents, uint64_t *random)
{
	uint64_t back = min(number, 1 + rnd_below(random, rnd_below(random, 2) ? 7 : 40));
	size_t cut = rnd_below(random, PAGE);

	switch (contents) {
	case NOTHING:
		memset(page, 0, PAGE);
		break;
	case FLAT:
		memset(page, 1 + rnd_below(random, 255), PAGE);
		break;
	case TEXT:
		text(page, PAGE, random);
		break;
	case NOISE:
		noise(page, PAGE, random);
		break;
	case HALVES:
		noise(page, PAGE, random);
		text(cut % 2 ? page : page + PAGE / 2, PAGE / 2, random);
		break;
	case SPECKS:
		text(page, PAGE, random);
		for (unsigned int i = 0; i < 6; i++)
			noise(page + rnd_below(random, PAGE - 200), 8 + rnd_below(random, 192), random);
		break;
	default:
		noise(page, PAGE, random);
		if (back)
			memcpy(page + cut, page - back * PAGE, PAGE - cut);
	}
}

static uint8_t *memory(uint64_t pages)
{
	uint8_t *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(at != MAP_FAILED);
	thp_off(at, pages * PAGE);
	return at;
}

/* --- receiving */

/* Receive in pieces of all sizes, up to the next SYNC. */
static void receive_round(struct rx_chan *c, uint64_t *random)
{
	static uint8_t buf[100000];
	unsigned int syncs = c->syncs + 1;

	while (c->syncs < syncs) {
		static const unsigned int most[] = { 2, 100, 5000, sizeof(buf) };
		size_t n = 1 + rnd_below(random, most[rnd_below(random, ARRAY_SIZE(most))]);
		ssize_t got = sys(read(c->fd, buf, n));

		must(got > 0 && (size_t)got <= n);
		rx_feed(c, buf, got);
	}
}

/* --- each packet by itself */

/* What the pages of a packet are. */
enum pattern {
	ALL_NOTHING,
	ALL_FLAT,
	ALL_TEXT,
	ALL_NOISE,
	ALL_HALVES,
	ALL_SPECKS,
	ALL_ECHO,
	NOISE_IN_TEXT,	/* one page of it */
	TEXT_IN_NOISE,
	BY_TURNS,	/* noise, text, noise, … */
	ANY,
	PATTERNS
};

static enum contents contents_of(enum pattern pattern, unsigned int page, unsigned int pages,
				 uint64_t *random)
{
	switch (pattern) {
	case ALL_NOTHING ... ALL_ECHO:
		return (enum contents)pattern;
	case NOISE_IN_TEXT:
		return page == pages / 2 ? NOISE : TEXT;
	case TEXT_IN_NOISE:
		return page == pages / 2 ? TEXT : NOISE;
	case BY_TURNS:
		return page % 2 ? TEXT : NOISE;
	default:
		return rnd_below(random, CONTENTS);
	}
}
_Static_assert((int)ALL_NOTHING == NOTHING && (int)ALL_ECHO == ECHO, "same order");

struct planned {
	enum pattern pattern;
	unsigned int pages, normal;
};

/* Each pattern behind each. */
enum { PACKETS = 2 * PATTERNS * PATTERNS };

static struct plan {
	struct planned packet[PACKETS];
	unsigned int next;
	uint64_t out;		/* of the pages, of text and of all */
	uint64_t text_in, in;	/* what came of them */
} plan;

/*
 * Deflate's stored blocks and zstd's raw ones cost a few bytes for some KiB, and
 * a packet needs a few to end with; the first has the stream's head.
 */
static size_t incompressible(size_t bytes)
{
	return bytes + bytes / 512 + 64;
}

static void planned_packet(struct rx_chan *c)
{
	const struct mzp_wire_packet *p = &c->message.packet;
	const struct planned *want = &plan.packet[plan.next];
	size_t size = be32toh(p->payload_size), bytes = want->normal * PAGE;

	if (be32toh(p->flags) & MZP_WIRE_SYNC)
		return;
	must(plan.next < PACKETS);
	must(be32toh(p->normal_pages) == want->normal, "packet %u: %u pages, not %u", plan.next,
	     be32toh(p->normal_pages), want->normal);
	must(be32toh(p->zero_pages) == want->pages - want->normal);
	must(c->decoder.out == plan.out + bytes);
	must(size <= incompressible(bytes), "packet %u, %u: %zu bytes became %zu", plan.next,
	     want->pattern, bytes, size);
	if (want->pages >= 7 && want->pattern == ALL_FLAT)
		must(size < bytes / 20, "packet %u: %zu bytes became %zu", plan.next, bytes, size);
	if (want->pages >= 7 && want->pattern == ALL_TEXT)
		must(size < bytes / 10 * 6, "packet %u: %zu bytes became %zu", plan.next, bytes, size);
	if (want->pattern == ALL_TEXT)
		plan.text_in += size;
	plan.in += size;
	plan.out += bytes;
	plan.next++;
}

static uint64_t make_plan(bool slow, uint64_t *random)
{
	static const unsigned int sizes[] = { 1, 2, 1, 3, 7, 1, 5, 2, 12 };
	static const unsigned int large[] = { 128, 33, 127, 64, 65, 128 };
	uint64_t pages = 0;

	memset(&plan, 0, sizeof(plan));
	for (unsigned int i = 0; i < PACKETS; i++) {
		struct planned *p = &plan.packet[i];

		p->pattern = i % 2 ? i / 2 % PATTERNS : i / 2 / PATTERNS;
		p->pages = sizes[rnd_below(random, ARRAY_SIZE(sizes))];
		/* of each pattern, one that is; not where that takes seconds */
		if (i / 2 % PATTERNS == i / 2 / PATTERNS && i % 2 && (!slow || p->pattern == ANY))
			p->pages = large[p->pattern % ARRAY_SIZE(large)];
		pages += p->pages;
	}
	return pages;
}

static void fill_packet(struct planned *p, uint8_t *ram, uint64_t first, uint64_t *random)
{
	p->normal = 0;
	for (unsigned int i = 0; i < p->pages; i++) {
		enum contents contents = contents_of(p->pattern, i, p->pages, random);

		fill_page(ram + (first + i) * PAGE, first + i, contents, random);
		p->normal += contents != NOTHING;
	}
}

struct level {
	const char *name;
	enum mzp_method method;
	int level;
};

/*
 * A job that fits into a packet is one, with one channel. All are handed over at
 * once, so that the compressor is ahead of the receiver by a ring; and then once
 * more with other contents, with all that was before in its memory.
 */
static void every_packet(void **state)
{
	const struct level *level = *state;
	struct mzp_setup setup = setup_for(1);
	bool slow = level->level > 9;
	uint64_t random = 77 + level->level, pages = make_plan(slow, &random), first;
	uint8_t *ram = memory(pages);
	struct session s;
	struct rx rx;
	uint32_t id;

	setup.method = level->method;
	setup.level = level->level;
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	rx.packet = planned_packet;
	rx_add_block(&rx, "ram", pages, ram);
	id = session_block(&s, "ram", ram, pages * PAGE);
	for (unsigned int round = 0; round < (slow ? 1 : 2); round++) {
		plan.next = 0;
		first = 0;
		for (unsigned int i = 0; i < PACKETS; i++) {
			struct planned *p = &plan.packet[i];

			fill_packet(p, ram, first, &random);
			session_send(&s, id, first, p->pages, 0);
			first += p->pages;
		}
		session_sync(&s);
		receive_round(&rx.chan[0], &random);
		must(plan.next == PACKETS);
		rx_next_round(&rx);
	}
	/* they do compress, noise or not */
	must(plan.in < plan.out / 10 * 8, "%ju bytes became %ju", (uintmax_t)plan.out,
	     (uintmax_t)plan.in);
	session_wait(&s, 0);
	session_end(&s);
	rx_end(&rx);
	sys(close(s.ch[0]));
	rx_free(&rx);
	munmap(ram, pages * PAGE);
}

#define LEVEL(method, level) { "packets_" #method "_" #level, MZP_METHOD_##method, level }
static const struct level levels[] = {
	LEVEL(ZLIB, 1), LEVEL(ZLIB, 2), LEVEL(ZLIB, 3), LEVEL(ZLIB, 4), LEVEL(ZLIB, 5),
	LEVEL(ZLIB, 6), LEVEL(ZLIB, 7), LEVEL(ZLIB, 8), LEVEL(ZLIB, 9),
	/* one at least of each of its strategies */
	LEVEL(ZSTD, 1), LEVEL(ZSTD, 2), LEVEL(ZSTD, 3), LEVEL(ZSTD, 5), LEVEL(ZSTD, 7),
	LEVEL(ZSTD, 9), LEVEL(ZSTD, 13), LEVEL(ZSTD, 16), LEVEL(ZSTD, 18), LEVEL(ZSTD, 19),
};

/* --- several channels, rounds, all ways to find zero pages */

struct mode {
	const char *name;
	enum mzp_method method;
	int level;
	enum mzp_detection detection;
	unsigned int packet_pages, channels, ring;
	enum rx_how how;
};

static void check_seen(const struct mode *mode, const struct rx_block *b, const uint8_t *ram,
		       const uint64_t *sent)
{
	static const int zero[] = {
		[MZP_DETECTION_NONE] = RX_NORMAL,
		[MZP_DETECTION_LEGACY] = RX_NOTHING,
		[MZP_DETECTION_MULTIFD] = RX_ZERO,
	};
	static const uint8_t nothing[PAGE];

	for (uint64_t page = 0; page < b->pages; page++) {
		int want = RX_NORMAL;

		if (!(sent[page / 64] >> page % 64 & 1))
			want = RX_NOTHING;
		else if (!memcmp(ram + page * PAGE, nothing, PAGE))
			want = zero[mode->detection];
		must(b->seen[page] == want, "page %ju came as %u, not %u", (uintmax_t)page,
		     b->seen[page], want);
	}
}

static void rounds(void **state)
{
	enum { PAGES = 700, ROUNDS = 4 };
	const struct mode *mode = *state;
	struct mzp_setup setup = setup_for(mode->channels);
	uint64_t random = 5 + mode->packet_pages, sent[PAGES / 64 + 1];
	uint8_t *ram = memory(PAGES);
	struct mzp_send send = {
		.size = sizeof(send), .format = MZP_SEND_BITMAP, .page_count = PAGES,
		.input = (uintptr_t)sent,
	};
	struct rx_block *b;
	struct session s;
	struct rx rx;

	setup.method = mode->method;
	setup.level = mode->level;
	setup.detection = mode->detection;
	setup.packet_pages = mode->packet_pages;
	setup.ring_packets = mode->ring;
	session_open(&s, &setup);
	rx_init(&rx, &s, mode->how);
	b = rx_add_block(&rx, "ram", PAGES, ram);
	send.block_id = session_block(&s, "ram", ram, PAGES * PAGE);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		memset(sent, round ? 0 : 0xff, sizeof(sent));
		for (uint64_t page = 0, run = 0; page < PAGES; page++) {
			if (round && rnd_below(&random, 3))
				continue;
			run = run ?: 1 + rnd_below(&random, 9);
			/* whole packets of a kind, and all mixed up */
			fill_page(ram + page * PAGE, page,
				  round % 2 ? rnd_below(&random, CONTENTS) : page / run % CONTENTS,
				  &random);
			sent[page / 64] |= 1ull << page % 64;
		}
		works(mzp(s.fd, MZP_IOC_SEND, &send));
		session_sync(&s);
		rx_round(&rx);
		check_seen(mode, b, ram, sent);
		session_wait(&s, 0);
		rx_next_round(&rx);
	}
	session_end(&s);
	rx_end(&rx);
	for (unsigned int i = 0; i < mode->channels; i++)
		sys(close(s.ch[i]));
	rx_free(&rx);
	munmap(ram, PAGES * PAGE);
}

#define MODE(method, level, detection, pages, channels, ring, how)                              \
	{ "rounds_" #method "_" #detection "_" #pages "_pages_" #channels "_channels",          \
	  MZP_METHOD_##method, level, MZP_DETECTION_##detection, pages, channels, ring, how }
static const struct mode modes[] = {
	MODE(ZLIB, 1, MULTIFD, 1, 4, 0, RX_SPLICE),
	MODE(ZLIB, 6, MULTIFD, 7, 3, 1, RX_READ),
	MODE(ZLIB, 9, LEGACY, 100, 2, 2, RX_SPLICE),
	MODE(ZLIB, 0, NONE, 128, 4, 0, RX_READ),
	MODE(ZSTD, 1, MULTIFD, 1, 4, 0, RX_READ),
	MODE(ZSTD, 3, MULTIFD, 7, 3, 1, RX_SPLICE),
	MODE(ZSTD, 9, LEGACY, 100, 2, 2, RX_READ),
	MODE(ZSTD, 0, NONE, 128, 4, 0, RX_SPLICE),
	MODE(ZLIB, 1, MULTIFD, 16, 16, 1, RX_READ),
	MODE(ZSTD, 1, MULTIFD, 16, 16, 1, RX_SPLICE),
};

/* --- levels */

/* All that one channel says for some pages of text. */
static size_t one_stream(enum mzp_method method, int level, uint8_t *out, size_t room)
{
	enum { PAGES = 300 };
	struct mzp_setup setup = setup_for(1);
	uint8_t *ram = memory(PAGES);
	uint64_t random = 1;
	struct session s;
	size_t got = 0;
	ssize_t n;

	for (uint64_t page = 0; page < PAGES; page++)
		fill_page(ram + page * PAGE, page, page % 10 ? TEXT : ECHO, &random);
	setup.method = method;
	setup.level = level;
	session_open(&s, &setup);
	session_send(&s, session_block(&s, "ram", ram, PAGES * PAGE), 0, PAGES, 0);
	session_wait(&s, session_sync(&s));
	session_end(&s);
	while ((n = sys(read(s.ch[0], out + got, room - got))))
		got += n;
	must(got < room);
	sys(close(s.ch[0]));
	munmap(ram, PAGES * PAGE);
	return got;
}

/* The level gets to the compressor; without one it is the default. */
static void levels_matter(void **state)
{
	enum { ROOM = 2 * MIB };
	static uint8_t a[ROOM], b[ROOM];

	(void)state;
	for (enum mzp_method method = MZP_METHOD_ZLIB; method <= MZP_METHOD_ZSTD; method++) {
		struct mzp_info info = { .size = sizeof(info), .method = method };
		int fd = mzp_open();
		size_t n, m;

		works(mzp(fd, MZP_IOC_INFO, &info));
		close(fd);
		n = one_stream(method, info.level_default, a, ROOM);
		m = one_stream(method, 0, b, ROOM);
		must(n == m && !memcmp(a, b, n), "method %u: %zu bytes, %zu by default", method, n,
		     m);
		m = one_stream(method, info.level_max, b, ROOM);
		must(m < n, "method %u: %zu bytes at level %d, %zu at level %d", method, m,
		     info.level_max, n, info.level_default);
	}
}

/*
 * A channel's stream is one over all its packets: what has been sent need not be
 * sent again, in the next packet either.
 */
static void packets_remember(void **state)
{
	enum { PAGES = 20 };
	uint8_t *ram = memory(PAGES);
	uint64_t random = 3;

	(void)state;
	text(ram, PAGE, &random);
	for (uint64_t page = 1; page < PAGES; page++)
		memcpy(ram + page * PAGE, ram, PAGE);
	for (enum mzp_method method = MZP_METHOD_ZLIB; method <= MZP_METHOD_ZSTD; method++) {
		struct mzp_setup setup = setup_for(1);
		uint64_t first = 0;
		struct session s;
		struct rx rx;
		uint32_t id;

		setup.method = method;
		setup.packet_pages = 1;
		session_open(&s, &setup);
		rx_init(&rx, &s, RX_READ);
		rx_add_block(&rx, "ram", PAGES, ram);
		id = session_block(&s, "ram", ram, PAGES * PAGE);
		for (uint64_t page = 0; page < PAGES; page++) {
			uint64_t before = rx.chan[0].decoder.in, size;

			session_send(&s, id, page, 1, 0);
			session_sync(&s);
			rx_round(&rx);
			size = rx.chan[0].decoder.in - before;
			first = first ?: size;
			must(!page || size < first / 2, "method %u: %ju bytes, and %ju bytes again",
			     method, (uintmax_t)first, (uintmax_t)size);
		}
		session_close(&s);
		rx_free(&rx);
	}
	munmap(ram, PAGES * PAGE);
}

/* --- ends */

/* In the middle of it, wherever that is. */
static void cancel_amid(void **state)
{
	enum { PAGES = 600 };
	uint8_t *ram = memory(PAGES), buf[5000];
	uint64_t random = 9;

	(void)state;
	for (uint64_t page = 0; page < PAGES; page++)
		fill_page(ram + page * PAGE, page, rnd_below(&random, CONTENTS), &random);
	for (unsigned int i = 0; i < 24; i++) {
		struct mzp_setup setup = setup_for(1 + i % 3);
		struct session s;
		ssize_t n;

		setup.method = i % 2 ? MZP_METHOD_ZLIB : MZP_METHOD_ZSTD;
		setup.level = i % 4 ? 1 : 9;
		setup.packet_pages = i % 5 ? 0 : 3;
		session_open(&s, &setup);
		session_send(&s, session_block(&s, "ram", ram, PAGES * PAGE), 0, PAGES, 0);
		for (unsigned int reads = rnd_below(&random, 40); reads; reads--)
			must(sys(read(s.ch[0], buf, sizeof(buf))) > 0);
		switch (i / 2 % 3) {
		case 0:
			works(mzp_cancel(s.fd));
			break;
		case 1:
			sys(close(s.fd));
			s.fd = -1;
			break;
		default:
			sys(close(s.ch[0]));
			s.ch[0] = -1;
		}
		do {
			n = s.ch[0] < 0 ? -1 : read(s.ch[0], buf, sizeof(buf));
		} while (n > 0);
		/* closed when all was in the rings, it ends as it should */
		if (s.ch[0] >= 0 && (n || s.fd >= 0))
			must(n == -1 && errno == ECANCELED, "%zd: %s", n, strerror(errno));
		for (unsigned int c = 0; c < setup.channels; c++)
			if (s.ch[c] >= 0)
				close(s.ch[c]);
		if (s.fd >= 0)
			close(s.fd);
	}
	until(module_refs() == 0);
	munmap(ram, PAGES * PAGE);
}

/* --- memory */

#define CGROUPS "/sys/fs/cgroup"
#define CGROUP CGROUPS "/mzp-comp"

/* Two processes in a cgroup: one that sets up sessions, and one that just is there. */
struct crowd {
	int go[2], answer[2];
};

static void bystander(void *arg)
{
	struct crowd *crowd = arg;
	char c;

	/* larger than the other, so that it would be the one to be killed */
	file_put(CGROUP "/cgroup.procs", "0");
	memset(memory(24 * MIB / PAGE), 1, 24 * MIB);
	write_exactly(crowd->answer[1], "", 1);
	/* until the test goes */
	read_exactly(crowd->go[0], &c, 1);
}

static long cgroup_number(const char *file, const char *key)
{
	char path[96];

	snprintf(path, sizeof(path), CGROUP "/%s", file);
	return file_number(path, key);
}

struct greedy {
	enum mzp_method method;
	int level;
	unsigned int channels;
	int result[2];
};

/* What SETUP says, and what the cgroup is charged for it. */
static void greedy(void *arg)
{
	const struct greedy *g = arg;
	struct mzp_setup setup = setup_for(g->channels);
	long charge[3];
	int fd, err;

	setup.method = g->method;
	setup.level = g->level;
	setup.ring_packets = 1;
	file_put(CGROUP "/cgroup.procs", "0");
	fd = mzp_open();
	charge[0] = cgroup_number("memory.current", NULL);
	err = mzp_setup(fd, &setup);
	charge[1] = cgroup_number("memory.current", NULL);
	charge[2] = err;
	write_exactly(g->result[1], charge, sizeof(charge));
	/* it is still good for a smaller one */
	if (err) {
		setup.channels = 1;
		setup.level = 1;
		works(mzp_setup(fd, &setup));
	}
	close(fd);
}

static void have_cgroup(const char *max)
{
	if (access(CGROUPS "/cgroup.controllers", R_OK))
		skip();
	file_put(CGROUPS "/cgroup.subtree_control", "+memory");
	/* one that a test left behind when it failed */
	if (!access(CGROUP, F_OK))
		until(!rmdir(CGROUP));
	sys(mkdir(CGROUP, 0755));
	file_put(CGROUP "/memory.max", max);
}

/* The compressors' memory is the caller's, and given back. */
static void memory_is_charged(void **state)
{
	static const struct {
		enum mzp_method method;
		long least;	/* KiB a channel that it cannot do without */
	} cases[] = {
		/* a window and its hash chains; and a packet that did not shrink */
		{ MZP_METHOD_ZLIB, 256 + 512 },
		{ MZP_METHOD_ZSTD, 512 + 512 },
	};
	enum { CHANNELS = 16 };

	(void)state;
	have_cgroup("max");
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct greedy g = { cases[i].method, 1, CHANNELS, { -1, -1 } };
		long charge[3], before = cgroup_number("memory.current", NULL), after;

		sys(pipe2(g.result, O_CLOEXEC));
		reap(child(greedy, &g), 0);
		read_exactly(g.result[0], charge, sizeof(charge));
		must(!charge[2], "%s", kit_errno(charge[2]));
		must(charge[1] - charge[0] >= CHANNELS * cases[i].least * 1024,
		     "method %u: charged %ld bytes", cases[i].method, charge[1] - charge[0]);
		until(module_refs() == 0);
		/* but for what the kernel counts in larger pieces */
		until((after = cgroup_number("memory.current", NULL)) < before + 2 * (long)MIB);
	}
	until(!rmdir(CGROUP));
}

/* More than the caller may have: an error for the caller, and nobody dies of it. */
static void memory_runs_out(void **state)
{
	static const struct greedy cases[] = {
		{ MZP_METHOD_ZSTD, 19, 1, { -1, -1 } },
		{ MZP_METHOD_ZSTD, 19, 255, { -1, -1 } },
		{ MZP_METHOD_ZSTD, 1, 255, { -1, -1 } },
		{ MZP_METHOD_ZLIB, 9, 255, { -1, -1 } },
	};
	struct crowd crowd;
	pid_t pid;
	char c;

	(void)state;
	have_cgroup("50331648");
	sys(pipe2(crowd.go, O_CLOEXEC));
	sys(pipe2(crowd.answer, O_CLOEXEC));
	pid = child(bystander, &crowd);
	read_exactly(crowd.answer[0], &c, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct greedy g = cases[i];
		long charge[3];

		sys(pipe2(g.result, O_CLOEXEC));
		reap(child(greedy, &g), 0);
		read_exactly(g.result[0], charge, sizeof(charge));
		must(charge[2] == ENOMEM, "case %u: %s", i, kit_errno(charge[2]));
		must(!waitpid(pid, NULL, WNOHANG), "the other process is gone");
		must(!cgroup_number("memory.events", "oom_kill "));
		must(charge[1] < charge[0] + 2 * (long)MIB, "case %u: %ld bytes are left", i,
		     charge[1] - charge[0]);
		until(module_refs() == 0);
	}
	write_exactly(crowd.go[1], "", 1);
	reap(pid, 0);
	until(!rmdir(CGROUP));
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest plain[] = {
		cmocka_unit_test(levels_matter),
		cmocka_unit_test(packets_remember),
		cmocka_unit_test(cancel_amid),
		cmocka_unit_test(memory_is_charged),
		cmocka_unit_test(memory_runs_out),
	};
	struct CMUnitTest tests[ARRAY_SIZE(plain) + ARRAY_SIZE(levels) + ARRAY_SIZE(modes)];
	struct CMUnitTest *next = tests + ARRAY_SIZE(plain);

	memcpy(tests, plain, sizeof(plain));
	for (unsigned int i = 0; i < ARRAY_SIZE(levels); i++)
		*next++ = (struct CMUnitTest){
			.name = levels[i].name, .test_func = every_packet,
			.initial_state = (void *)&levels[i],
		};
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++)
		*next++ = (struct CMUnitTest){
			.name = modes[i].name, .test_func = rounds,
			.initial_state = (void *)&modes[i],
		};
	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

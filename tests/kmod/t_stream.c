// SPDX-License-Identifier: GPL-2.0-only
/*
 * What goes out: every byte of the channels' streams, and that the memory they
 * carry is the memory that was handed over.
 */
#include "mem.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

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
	sys(close(s.fd));
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
	sys(close(s.fd));
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

/*
 * One round of memory that is already there, whatever it is made of: by
 * address, or as contents of @fd from @offset on.
 */
static void one_round_of(struct mem *m, int fd, uint64_t offset, uint32_t flags)
{
	for (unsigned int detection = 0; detection < 3; detection++) {
		struct mzp_setup setup = setup_for(2);
		struct session s;
		struct sent sent;
		struct rx rx;

		setup.detection = detection;
		setup.packet_pages = 50;
		session_open(&s, &setup);
		rx_init(&rx, &s, detection % 2 ? RX_SPLICE : RX_READ);
		if (fd < 0)
			mem_add(m, &s, &rx);
		else
			mem_add_fd(m, &s, &rx, fd, offset);
		sent = mem_send(m, &s, 0, m->pages, NULL, MZP_SEND_ALL, flags);
		session_sync(&s);
		rx_round(&rx);
		mem_check_job(&s, &sent);
		mem_check(m);
		session_close(&s);
		rx_free(&rx);
	}
}

static void one_round(struct mem *m, uint32_t flags)
{
	one_round_of(m, -1, 0, flags);
}

static int file_of(uint64_t length)
{
	int fd = sys(memfd_create("guest", MFD_CLOEXEC));

	sys(ftruncate(fd, length));
	return fd;
}

static void memfd_shared(void **state)
{
	uint64_t random = 21;
	int fd = file_of(500 * PAGE);
	struct mem m;

	(void)state;
	mem_init_at(&m, "shared", 500, mmap(NULL, 500 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
					    fd, 0), true);
	mem_shuffle(&m, &random);
	one_round(&m, 0);
	mem_shuffle(&m, &random);
	one_round(&m, MZP_SEND_FRESH);
	mem_free(&m);
	close(fd);
}

/* The file itself, from its start and from somewhere else on, mapped or not. */
static void memfd_by_fd(void **state)
{
	enum { BEFORE = 77, PAGES = 500 };
	uint64_t random = 22;
	int fd = file_of((BEFORE + PAGES) * PAGE), ro;
	char path[64];
	struct mem m;

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = sys(open(path, O_RDONLY | O_CLOEXEC));
	for (uint64_t before = 0; before <= BEFORE; before += BEFORE) {
		mem_init_at(&m, "file", PAGES, mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
						    MAP_SHARED, fd, before * PAGE), true);
		for (uint64_t i = 0; i < PAGES; i++)
			mem_set(&m, i, ABSENT);
		mem_shuffle(&m, &random);
		one_round_of(&m, ro, before * PAGE, MZP_SEND_FRESH);
		mem_shuffle(&m, &random);
		one_round_of(&m, fd, before * PAGE, 0);
		munmap(m.base, PAGES * PAGE);
		one_round_of(&m, ro, before * PAGE, 0);
		mem_free(&m);
	}
	close(fd);
	close(ro);
}

static void memfd_huge(void **state)
{
	struct mem m;
	int fd;

	(void)state;
	if (huge_pool(4) < 4)
		skip();
	fd = sys(memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB));
	sys(ftruncate(fd, 8 * MIB));
	mem_init_at(&m, "huge", 1536, mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
					   0), true);
	/* the second huge page is a hole, and so is the fourth, which is not in the block */
	mem_set_range(&m, 5, 300, DATA);
	mem_set(&m, 511, ONE);
	mem_set_range(&m, 1024, 100, DATA);
	one_round(&m, MZP_SEND_FRESH);
	one_round_of(&m, fd, 0, 0);
	one_round_of(&m, fd, 0, MZP_SEND_FRESH);
	/* a block that starts and ends within huge pages */
	m.base += 100 * PAGE;
	m.kind += 100;
	m.version += 100;
	m.pages = 1000;
	for (unsigned int i = 0; i < 1000; i++) {
		if (m.kind[i] >= ZERO)
			mem_set(&m, i, DATA);
	}
	one_round(&m, 0);
	one_round_of(&m, fd, 100 * PAGE, 0);
	must(file_number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", NULL) == 2);
	m.base -= 100 * PAGE;
	m.kind -= 100;
	m.version -= 100;
	m.pages = 2048;
	mem_free(&m);
	close(fd);
	huge_pool(0);
}

/* Allocated, and never written: logically zero, whatever is in that memory. */
static void memfd_fallocated(void **state)
{
	int fd = file_of(400 * PAGE);
	uint8_t *before = mmap(NULL, 16 * MIB, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mem m;

	(void)state;
	must(before != MAP_FAILED);
	/* what it must not be made of */
	memset(before, 0xbd, 16 * MIB);
	munmap(before, 16 * MIB);
	sys(fallocate(fd, 0, 0, 300 * PAGE));
	mem_init_at(&m, "fallocated", 400, mmap(NULL, 400 * PAGE, PROT_READ | PROT_WRITE,
						MAP_SHARED, fd, 0), true);
	one_round_of(&m, fd, 0, 0);
	one_round(&m, 0);
	for (unsigned int i = 0; i < 400; i += 3)
		mem_set(&m, i, i % 2 ? DATA : ZERO);
	one_round_of(&m, fd, 0, 0);
	one_round_of(&m, fd, 0, MZP_SEND_FRESH);
	one_round(&m, 0);
	mem_free(&m);
	close(fd);
}

/* The block keeps what it needs: the caller's fd may go. */
static void fd_is_kept(void **state)
{
	struct mzp_setup setup = setup_for(1);
	uint64_t random = 4;
	int fd = file_of(100 * PAGE);
	struct session s;
	struct sent sent;
	struct mem m;
	struct rx rx;

	(void)state;
	mem_init_at(&m, "kept", 100, mmap(NULL, 100 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
					  0), true);
	mem_shuffle(&m, &random);
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	mem_add_fd(&m, &s, &rx, fd, 0);
	close(fd);
	munmap(m.base, 100 * PAGE);
	sent = mem_send(&m, &s, 0, 100, NULL, MZP_SEND_ALL, 0);
	session_sync(&s);
	rx_round(&rx);
	mem_check_job(&s, &sent);
	mem_check(&m);
	session_close(&s);
	rx_free(&rx);
	mem_free(&m);
}

/* Pages that only the file has, and page tables do not: never absent. */
static void memfd_not_mapped_yet(void **state)
{
	int fd = file_of(300 * PAGE);
	uint64_t page[PAGE / 8];
	struct mem m;

	(void)state;
	mem_init_at(&m, "cached", 300, mmap(NULL, 300 * PAGE, PROT_READ, MAP_SHARED, fd, 0), true);
	for (unsigned int i = 0; i < 300; i += 2) {
		m.kind[i] = DATA;
		page_fill(page, DATA, m.tag, i, 0);
		must(pwrite(fd, page, PAGE, i * PAGE) == PAGE);
	}
	one_round(&m, MZP_SEND_FRESH);
	mem_free(&m);
	close(fd);
}

/* The file's page where it was not written, the process's where it was. */
static void private_file(void **state)
{
	int fd = file_of(300 * PAGE);
	uint64_t page[PAGE / 8];
	struct mem m;

	(void)state;
	mem_init_at(&m, "private", 300, mmap(NULL, 300 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE,
					     fd, 0), true);
	for (unsigned int i = 0; i < 300; i += 3) {
		m.kind[i] = DATA;
		page_fill(page, DATA, m.tag, i, 0);
		must(pwrite(fd, page, PAGE, i * PAGE) == PAGE);
	}
	for (unsigned int i = 0; i < 300; i += 4)
		mem_set(&m, i, i % 8 ? ZERO : DATA);
	one_round(&m, MZP_SEND_FRESH);
	one_round(&m, 0);
	mem_free(&m);
	close(fd);
}

/* A file that is not in memory at all, ending in the middle of a page. */
static void ordinary_file(void **state)
{
	static const int prots[] = { MAP_SHARED, MAP_PRIVATE };
	struct stat st;
	uint64_t pages;
	int fd = sys(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));

	(void)state;
	sys(fstat(fd, &st));
	pages = (st.st_size + PAGE - 1) / PAGE;
	for (unsigned int i = 0; i < 2; i++) {
		uint8_t *want = calloc(pages, PAGE);
		struct mzp_setup setup = setup_for(1);
		struct session s;
		struct rx rx;
		void *map = mmap(NULL, pages * PAGE, PROT_READ, prots[i], fd, 0);
		uint32_t id;

		must(want && map != MAP_FAILED);
		session_open(&s, &setup);
		rx_init(&rx, &s, RX_READ);
		rx_add_block(&rx, "file", pages, NULL);
		id = session_block(&s, "file", map, pages * PAGE);
		session_send(&s, id, 0, pages, 0);
		session_sync(&s);
		rx_round(&rx);
		for (ssize_t done = 0; done < st.st_size; ) {
			ssize_t n = sys(pread(fd, want + done, st.st_size - done, done));

			must(n > 0);
			done += n;
		}
		for (uint64_t page = 0; page < pages; page++)
			must(rx.block[0].seen[page]);
		must(!memcmp(rx.block[0].shadow, want, pages * PAGE));
		session_close(&s);
		rx_free(&rx);
		munmap(map, pages * PAGE);
		free(want);
	}
	close(fd);
}

/* Huge pages, whole, split and with a window that starts within one. */
static void transparent_huge(void **state)
{
	uint8_t *area = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *base = (uint8_t *)(((uintptr_t)area + 2 * MIB - 1) & -2 * MIB);
	struct mem m;

	(void)state;
	mem_init_at(&m, "thp", 1536, base, false);
	thp_on(base, 6 * MIB);
	/* touching one page brings in the neighbours, as zeros */
	mem_set(&m, 0, DATA);
	memset(m.kind + 1, HOLE, 511);
	mem_set_range(&m, 100, 30, DATA);
	mem_set(&m, 511, ONE);
	mem_set(&m, 512, DATA);
	memset(m.kind + 513, HOLE, 511);
	mem_set_range(&m, 600, 3, ONE);
	/* a hole in the middle splits it */
	mem_set_range(&m, 700, 10, ABSENT);
	/* only read: perhaps the huge zero page */
	must(!*(volatile uint8_t *)(base + 5 * MIB));
	memset(m.kind + 1024, HOLE, 512);
	/* not known, with any number of zeros in between, which ABSENT is */
	for (unsigned int i = 0; i < 1024; i++)
		m.kind[i] = m.kind[i] == ABSENT ? HOLE : m.kind[i];
	one_round(&m, 0);
	one_round(&m, MZP_SEND_FRESH);
	/* give the rest back to mmap's length */
	mem_free(&m);
}

static void hugetlb(void **state)
{
	struct mem m;
	void *base;

	(void)state;
	if (huge_pool(4) < 2)
		skip();
	base = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	mem_init_at(&m, "hugetlb", 1024, base, false);
	memset(m.kind, HOLE, 1024);
	mem_set_range(&m, 3, 200, DATA);
	mem_set(&m, 511, ONE);
	one_round(&m, 0);
	mem_set(&m, 700, DATA);
	one_round(&m, 0);
	mem_free(&m);
	huge_pool(0);
}

/* What is in swap is data. */
static void swapped(void **state)
{
	int fd = file_of(1000 * PAGE);
	struct mem m;
	long out;

	(void)state;
	if (system("{ modprobe zram && echo 64M >/sys/block/zram0/disksize && "
		   "mkswap /dev/zram0 && swapon /dev/zram0; } >/dev/null 2>&1"))
		skip();
	mem_init(&m, "swapped", 2000);
	for (unsigned int i = 0; i < 2000; i++)
		mem_set(&m, i, i % 7 ? DATA : i % 2 ? ABSENT : ONE);
	sys(madvise(m.base, m.pages * PAGE, MADV_PAGEOUT));
	out = file_number("/proc/self/status", "VmSwap:");
	must(out > 1000, "only %ld kB went out", out);
	one_round(&m, MZP_SEND_FRESH);
	sys(madvise(m.base, m.pages * PAGE, MADV_PAGEOUT));
	one_round(&m, 0);
	mem_free(&m);

	mem_init_at(&m, "swapped", 1000, mmap(NULL, 1000 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
					      fd, 0), true);
	for (unsigned int i = 0; i < 1000; i++) {
		if (i % 5)
			mem_set(&m, i, DATA);
	}
	for (unsigned int i = 0; i < 4; i++) {
		/* only what is mapped goes out */
		for (unsigned int j = 0; j < 1000; j++)
			must(j % 5 == 0 || *(volatile uint64_t *)(m.base + j * PAGE));
		sys(madvise(m.base, m.pages * PAGE, MADV_PAGEOUT));
		out = file_number("/proc/meminfo", "SwapFree:");
		out = file_number("/proc/meminfo", "SwapTotal:") - out;
		must(out > 1000, "only %ld kB went out", out);
		one_round_of(&m, i % 2 ? fd : -1, 0, i / 2 ? MZP_SEND_FRESH : 0);
	}
	mem_free(&m);
	close(fd);
	must(!system("swapoff /dev/zram0 && echo 1 >/sys/block/zram0/reset"));
}

/* Shared with a child since fork: right contents, and neither of them gets copies. */
static void forked_memory(void **state)
{
	struct mem m;
	uint64_t before[200], after[200];
	int fd, go[2];
	pid_t pid;

	(void)state;
	mem_init(&m, "forked", 200);
	mem_set_range(&m, 0, 150, DATA);
	sys(pipe2(go, O_CLOEXEC));
	pid = sys(fork());
	if (!pid) {
		char c;

		close(go[1]);
		_exit(read(go[0], &c, 1) != 0);
	}
	fd = sys(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	must(pread(fd, before, sizeof(before), (uintptr_t)m.base / PAGE * 8) == sizeof(before));
	must(before[0] & ((1ull << 55) - 1), "no page frame numbers");
	one_round(&m, 0);
	must(pread(fd, after, sizeof(after), (uintptr_t)m.base / PAGE * 8) == sizeof(after));
	assert_memory_equal(before, after, sizeof(before));
	close(go[1]);
	reap(pid, 0);
	close(fd);
	mem_free(&m);
}

struct restore {
	int uffd;
	struct mem *m;
	bool on_demand;
};

static void restore_page(struct restore *r, uint64_t page)
{
	uint64_t content[PAGE / 8];
	struct uffdio_copy copy = {
		.dst = (uintptr_t)r->m->base + page * PAGE,
		.src = (uintptr_t)content,
		.len = PAGE,
	};

	page_fill(content, DATA, r->m->tag, page, 0);
	if (ioctl(r->uffd, UFFDIO_COPY, &copy))
		must(errno == EEXIST);
}

static void *restore(void *arg)
{
	struct restore *r = arg;
	struct uffd_msg msg;

	for (uint64_t page = 0; !r->on_demand && page < r->m->pages; page++)
		restore_page(r, page);
	while (read(r->uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		must(msg.event == UFFD_EVENT_PAGEFAULT);
		restore_page(r, (msg.arg.pagefault.address - (uintptr_t)r->m->base) / PAGE);
	}
	return NULL;
}

/*
 * A VMM that is being restored itself: pages that userfaultfd has not brought in
 * yet are not zero. Either their contents go out or the job fails; never zeros,
 * and never a wait without end.
 */
static void restored(bool on_demand)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct restore r = { .on_demand = on_demand };
	struct mzp_setup setup = setup_for(1);
	struct mzp_wait w = { 0 };
	struct thread t;
	struct session s;
	struct mem m;
	struct rx rx;
	uint64_t job;

	mem_init(&m, "restored", 200);
	r.m = &m;
	r.uffd = sys(syscall(SYS_userfaultfd, O_CLOEXEC));
	sys(ioctl(r.uffd, UFFDIO_API, &api));
	reg.range.start = (uintptr_t)m.base;
	reg.range.len = m.pages * PAGE;
	sys(ioctl(r.uffd, UFFDIO_REGISTER, &reg));
	/* some pages are there already */
	for (unsigned int i = 0; i < 200; i++) {
		if (i % 4 == 0)
			restore_page(&r, i);
		m.kind[i] = DATA;
	}

	setup.ring_packets = 16;
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	mem_add(&m, &s, &rx);
	job = session_send(&s, m.block_id, 0, 200, MZP_SEND_FRESH);
	session_sync(&s);
	thread_start(&t, restore, &r);
	works(mzp_wait(s.fd, job, 20 * 1000000000l, &w));
	rx_round(&rx);
	for (unsigned int i = 0; i < 200; i++) {
		must(m.rx->seen[i] != RX_ZERO, "page %u", i);
		if (m.rx->seen[i] == RX_NORMAL)
			must(page_is(m.rx->shadow + i * PAGE, DATA, m.tag, i, 0), "page %u", i);
		else
			must(w.error, "page %u was left out without a word", i);
	}
	must(!w.absent && !w.zero);
	session_close(&s);
	rx_free(&rx);
	pthread_cancel(t.pthread);
	thread_join(&t);
	close(r.uffd);
	mem_free(&m);
}

/* All pages come by themselves, sooner or later. */
static void userfault(void **state)
{
	(void)state;
	restored(false);
}

/* They come only when somebody needs them. */
static void userfault_on_demand(void **state)
{
	(void)state;
	restored(true);
}

/* Memory that the caller itself cannot read does not go out either. */
static void not_readable(void **state)
{
	struct mzp_setup setup = setup_for(1);
	struct mzp_wait w = { 0 };
	struct session s;
	struct rx rx;
	void *map = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t id[4];
	unsigned int blocks = 0;
	void *vvar = NULL;
	char line[256], name[32];
	FILE *smaps;
	int fd;

	(void)state;
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	id[blocks++] = session_block(&s, "none", map, PAGE);
	/*
	 * The kernel's own pages, in a process's address space. Since 7.1, those
	 * that are not as a device's may be read like any.
	 */
	smaps = fopen("/proc/self/smaps", "re");
	must(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		if (strstr(line, " [vvar")) {
			vvar = (void *)strtoul(line, NULL, 16);
			must(sscanf(strchr(line, '['), "[%31[a-z_]]", name) == 1);
		} else if (!strncmp(line, "VmFlags:", 8)) {
			if (vvar && strstr(line, " io "))
				id[blocks++] = session_block(&s, name, vvar, PAGE);
			vvar = NULL;
		}
	}
	fclose(smaps);
	must(blocks == 2 || blocks == 3);
	fd = syscall(SYS_memfd_secret, O_CLOEXEC);
	if (fd >= 0) {
		sys(ftruncate(fd, PAGE));
		map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		must(map != MAP_FAILED);
		memset(map, 1, PAGE);
		id[blocks++] = session_block(&s, "secret", map, PAGE);
	}
	for (unsigned int i = 0; i < blocks; i++) {
		works(mzp_wait(s.fd, session_send(&s, id[i], 0, 1, 0), -1, &w));
		/* what even looking at it does not make readable, is given up after a while */
		must(w.error == EFAULT || w.error == EBUSY, "block %u: %s", i, kit_errno(w.error));
		must(w.error_block == id[i] && !w.error_offset);
		must(!w.normal && !w.zero && !w.absent);
	}
	session_sync(&s);
	rx_round(&rx);
	must(!rx.page_packets);
	session_close(&s);
	rx_free(&rx);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest plain[] = {
		cmocka_unit_test(first_message),
		cmocka_unit_test(packet_bytes),
		cmocka_unit_test(rounds_ahead),
		cmocka_unit_test(late_channel),
		cmocka_unit_test(windows),
		cmocka_unit_test(memfd_shared),
		cmocka_unit_test(memfd_by_fd),
		cmocka_unit_test(memfd_huge),
		cmocka_unit_test(memfd_fallocated),
		cmocka_unit_test(fd_is_kept),
		cmocka_unit_test(memfd_not_mapped_yet),
		cmocka_unit_test(private_file),
		cmocka_unit_test(ordinary_file),
		cmocka_unit_test(transparent_huge),
		cmocka_unit_test(hugetlb),
		cmocka_unit_test(swapped),
		cmocka_unit_test(forked_memory),
		cmocka_unit_test(userfault),
		cmocka_unit_test(userfault_on_demand),
		cmocka_unit_test(not_readable),
	};
	struct CMUnitTest tests[ARRAY_SIZE(plain) + ARRAY_SIZE(rounds)];

	memcpy(tests, plain, sizeof(plain));
	for (unsigned int i = 0; i < ARRAY_SIZE(rounds); i++)
		tests[ARRAY_SIZE(plain) + i] = (struct CMUnitTest){
			.name = rounds[i].name, .test_func = run_rounds, .initial_state = &rounds[i],
		};
	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

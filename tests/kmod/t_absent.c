// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that was never touched: it costs nothing, neither memory here nor
 * bytes on the wire.
 */
#include "mem.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* What this process has allocated, and what of @base's mapping is there. */
struct usage {
	long rss, page_tables, swap, mapped, anon;
};

/* Add up what /proc/self/smaps says about @length bytes at @base. */
static long smaps(const void *base, uint64_t length, const char *what)
{
	static char text[1 << 20];
	size_t n = 0, len = strlen(what);
	ssize_t part;
	int fd = sys(open("/proc/self/smaps", O_RDONLY | O_CLOEXEC));
	bool inside = false;
	long sum = 0, vmas = 0;

	while ((part = sys(read(fd, text + n, sizeof(text) - 1 - n))))
		n += part;
	close(fd);
	text[n] = 0;
	for (char *line = text; line && *line; ) {
		unsigned long from, to;
		char *next = strchr(line, '\n');

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
			inside = from < (uintptr_t)base + length && to > (uintptr_t)base;
			vmas += inside;
		} else if (inside && !strncmp(line, what, len)) {
			sum += strtol(line + len, NULL, 10);
		}
		line = next ? next + 1 : NULL;
	}
	must(vmas);
	return sum;
}

static struct usage usage(const void *base, uint64_t length)
{
	static const char status[] = "/proc/self/status";
	struct usage u;

	u.mapped = smaps(base, length, "Rss:");
	u.anon = smaps(base, length, "Anonymous:") + smaps(base, length, "AnonHugePages:");
	u.swap = file_number(status, "VmSwap:");
	u.page_tables = file_number(status, "VmPTE:");
	u.rss = file_number(status, "VmRSS:");
	return u;
}

static void same_usage(const struct usage *before, const struct usage *after)
{
	must(after->mapped == before->mapped, "%ld kB, then %ld", before->mapped, after->mapped);
	must(after->anon == before->anon, "%ld kB, then %ld", before->anon, after->anon);
	must(after->page_tables == before->page_tables, "%ld kB, then %ld", before->page_tables,
	     after->page_tables);
	must(after->rss == before->rss, "%ld kB, then %ld", before->rss, after->rss);
}

/* In a mapping that stays apart from its neighbours, which would be counted with it. */
static uint8_t *untouched(uint64_t length)
{
	uint8_t *area = mmap(NULL, length + 4 * MIB, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(area != MAP_FAILED);
	area = (uint8_t *)(((uintptr_t)area + 2 * MIB) & -2 * MIB);
	sys(mprotect(area, length, PROT_READ | PROT_WRITE));
	return area;
}

/*
 * Send @base's pages in one round and see that nothing was allocated for it. The
 * receiver's block is all zero but for what the module sends, or compares with @source.
 */
static struct mzp_wait send_and_compare(struct session *s, struct rx *rx, struct rx_block *b,
					const char *idstr, uint8_t *base, uint32_t flags)
{
	struct usage before, after;
	struct mzp_wait w = { 0 };
	uint64_t job;
	uint32_t id;

	id = session_block(s, idstr, base, b->pages * PAGE);
	/* twice: the first time is for all that the first time needs */
	for (unsigned int i = 0; i < 2; i++) {
		before = usage(base, b->pages * PAGE);
		job = session_send(s, id, 0, b->pages, flags);
		session_sync(s);
		rx_round(rx);
		works(mzp_wait(s->fd, job, -1, &w));
		after = usage(base, b->pages * PAGE);
		must(!w.error, "%s", kit_errno(w.error));
		must(w.submitted == b->pages);
		must(w.submitted == w.normal + w.zero + w.absent);
		must(after.mapped == before.mapped && after.anon == before.anon);
		must(!i || after.page_tables == before.page_tables);
		if (!i)
			rx_next_round(rx);
	}
	/* the receiver has all the memory that it needs only if nothing came */
	if (!b->normal && !b->zero)
		same_usage(&before, &after);
	return w;
}

#define IDSTR "pc.ram"

static void fresh_8g(void **state)
{
	struct mzp_setup setup = setup_for(2);
	uint64_t pages = 8 * GIB / PAGE;
	uint8_t *base = untouched(8 * GIB);
	struct session s;
	struct rx_block *b;
	struct mzp_wait w;
	struct rx rx;

	(void)state;
	for (unsigned int detection = 0; detection < 3; detection++) {
		setup.detection = detection;
		session_open(&s, &setup);
		rx_init(&rx, &s, RX_READ);
		b = rx_add_block(&rx, IDSTR, pages, base);
		w = send_and_compare(&s, &rx, b, IDSTR, base, MZP_SEND_FRESH);
		must(w.absent == pages && !w.normal && !w.zero);
		must(!rx.page_packets);
		must(rx.chan[0].packets == 2 && rx.chan[1].packets == 2);
		must(usage(base, 8 * GIB).mapped == 0);
		session_close(&s);
		rx_free(&rx);
	}
	munmap(base, 8 * GIB);
}

/* Huge pages would be allocated 2 MiB at a time. */
static void fresh_8g_huge(void **state)
{
	struct mzp_setup setup = setup_for(2);
	uint64_t pages = 8 * GIB / PAGE;
	uint8_t *base = untouched(8 * GIB);
	struct session s;
	struct rx_block *b;
	struct mzp_wait w;
	struct rx rx;

	(void)state;
	thp_on(base, 8 * GIB);
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	b = rx_add_block(&rx, IDSTR, pages, base);
	w = send_and_compare(&s, &rx, b, IDSTR, base, MZP_SEND_FRESH);
	must(w.absent == pages);
	must(!rx.page_packets);
	session_close(&s);
	rx_free(&rx);
	munmap(base, 8 * GIB);
}

/* Later rounds: all of it goes out, as offsets. */
static void not_fresh(void **state)
{
	struct mzp_setup setup = setup_for(2);
	uint64_t length = 512 * MIB, pages = length / PAGE;
	uint8_t *base = untouched(length);
	struct session s;
	struct rx_block *b;
	struct mzp_wait w;
	struct rx rx;

	(void)state;
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	b = rx_add_block(&rx, IDSTR, pages, base);
	w = send_and_compare(&s, &rx, b, IDSTR, base, 0);
	must(w.absent == pages);
	must(b->zero == pages && !b->normal);
	must(usage(base, length).mapped == 0);
	session_close(&s);
	rx_free(&rx);
	munmap(base, length);
}

/* Nobody looks for zeros, so contents must travel, and still come from nowhere. */
static void not_fresh_as_normal(void **state)
{
	struct mzp_setup setup = setup_for(2);
	uint64_t length = 64 * MIB, pages = length / PAGE;
	uint8_t *base = untouched(length);
	uint8_t zero[PAGE] = { 0 };
	struct session s;
	struct rx_block *b;
	struct rx rx;

	(void)state;
	setup.detection = MZP_DETECTION_NONE;
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_SPLICE);
	b = rx_add_block(&rx, IDSTR, pages, NULL);
	memset(b->shadow, 0x77, length);
	send_and_compare(&s, &rx, b, IDSTR, base, 0);
	must(b->normal == pages && !b->zero);
	for (uint64_t i = 0; i < pages; i++)
		must(!memcmp(b->shadow + i * PAGE, zero, PAGE), "page %ju", (uintmax_t)i);
	must(usage(base, length).mapped == 0);
	session_close(&s);
	rx_free(&rx);
	munmap(base, length);
}

/* A bitmap for the main connection's sake, and still nothing read. */
static void not_fresh_legacy(void **state)
{
	struct mzp_setup setup = setup_for(2);
	uint64_t length = 512 * MIB, pages = length / PAGE, job;
	uint8_t *base = untouched(length);
	uint64_t *bits = calloc(pages / 64, 8);
	struct mzp_wait w = { .zero_bitmap = (uintptr_t)bits, .zero_bitmap_pages = pages };
	struct session s;
	struct rx rx;
	uint32_t id;

	(void)state;
	must(bits);
	setup.detection = MZP_DETECTION_LEGACY;
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	rx_add_block(&rx, IDSTR, pages, base);
	id = session_block(&s, IDSTR, base, length);
	for (unsigned int i = 0; i < 2; i++) {
		job = session_send(&s, id, 0, pages, i ? 0 : MZP_SEND_FRESH);
		session_sync(&s);
		rx_round(&rx);
		works(mzp_wait(s.fd, job, -1, &w));
		must(!w.error && w.absent == pages);
		for (uint64_t n = 0; n < pages / 64; n++)
			must(bits[n] == (i ? ~0ull : 0));
	}
	must(!rx.page_packets);
	must(usage(base, length).mapped == 0);
	session_close(&s);
	rx_free(&rx);
	free(bits);
	munmap(base, length);
}

/* A few pages here and there. */
static void sparse(void **state)
{
	enum { TOUCHED = 1000 };
	struct mzp_setup setup = setup_for(2);
	uint64_t pages = 8 * GIB / PAGE, random = 8, zeros = 0;
	uint8_t *base = untouched(8 * GIB);
	static uint64_t page[TOUCHED];
	struct session s;
	struct rx_block *b;
	struct mzp_wait w;
	struct rx rx;

	(void)state;
	thp_off(base, 8 * GIB);
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	b = rx_add_block(&rx, IDSTR, pages, base);
	for (unsigned int i = 0; i < TOUCHED; i++) {
		page[i] = i * (pages / TOUCHED) + rnd_below(&random, pages / TOUCHED);
		if (i % 10)
			page_fill(base + page[i] * PAGE, DATA, 1, i, 0);
		else
			memset(base + page[i] * PAGE, 0, PAGE);
		zeros += i % 10 == 0;
	}
	w = send_and_compare(&s, &rx, b, IDSTR, base, MZP_SEND_FRESH);
	must(w.normal == TOUCHED - zeros && w.zero == zeros && w.absent == pages - TOUCHED);
	must(b->normal == TOUCHED - zeros && b->zero == zeros);
	for (unsigned int i = 0; i < TOUCHED; i++)
		must(b->seen[page[i]] == (i % 10 ? RX_NORMAL : RX_ZERO), "page %ju",
		     (uintmax_t)page[i]);
	must(usage(base, 8 * GIB).mapped == TOUCHED * 4);
	session_close(&s);
	rx_free(&rx);
	munmap(base, 8 * GIB);
}

/* Only ever read: the kernel's zero page, or its huge one, is mapped there. */
static void send_read(uint8_t *base, uint64_t length)
{
	struct mzp_setup setup = setup_for(1);
	uint64_t pages = length / PAGE;
	struct session s;
	struct rx_block *b;
	struct mzp_wait w;
	struct rx rx;

	for (uint64_t i = 0; i < pages; i++)
		must(!*(volatile uint8_t *)(base + i * PAGE));
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	b = rx_add_block(&rx, IDSTR, pages, base);
	w = send_and_compare(&s, &rx, b, IDSTR, base, 0);
	must(!w.normal && w.zero + w.absent == pages);
	must(b->zero == pages);
	session_close(&s);
	rx_free(&rx);
	munmap(base, length);
}

static void only_read(void **state)
{
	uint8_t *base = untouched(8 * MIB);

	(void)state;
	thp_off(base, 8 * MIB);
	send_read(base, 8 * MIB);
}

static void only_read_huge(void **state)
{
	uint8_t *base = untouched(8 * MIB);

	(void)state;
	thp_on(base, 8 * MIB);
	send_read(base, 8 * MIB);
}

/* What was given back is as if it had never been there. */
static void given_back(void **state)
{
	struct mzp_setup setup = setup_for(1);
	uint64_t length = 8 * MIB, pages = length / PAGE;
	uint8_t *base = untouched(length);
	struct session s;
	struct rx_block *b;
	struct mzp_wait w;
	struct rx rx;

	(void)state;
	thp_off(base, length);
	memset(base, 0x42, length);
	sys(madvise(base, length, MADV_DONTNEED));
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	b = rx_add_block(&rx, IDSTR, pages, base);
	w = send_and_compare(&s, &rx, b, IDSTR, base, MZP_SEND_FRESH);
	must(w.absent == pages);
	must(!rx.page_packets);
	session_close(&s);
	rx_free(&rx);
	munmap(base, length);
}

/* What a file has allocated, in bytes. */
static uint64_t allocated(int fd)
{
	struct stat st;

	sys(fstat(fd, &st));
	return st.st_blocks * 512ul;
}

/* Holes of a file: by its mapping and by itself, untouched and nearly so. */
static void memfd(void **state)
{
	enum { TOUCHED = 300 };
	struct mzp_setup setup = setup_for(2);
	uint64_t pages = 8 * GIB / PAGE, random = 15;
	static uint64_t page[TOUCHED];

	(void)state;
	for (unsigned int how = 0; how < 6; how++) {
		bool by_fd = how & 1, private = how >= 4;
		unsigned int touched = how >= 2 ? TOUCHED : 0;
		int fd = sys(memfd_create("holes", MFD_CLOEXEC));
		uint32_t id;
		struct session s;
		struct rx_block *b;
		struct mzp_wait w = { 0 };
		struct rx rx;
		uint8_t *map;
		uint64_t before, content[PAGE / 8];
		long tables;

		sys(ftruncate(fd, 8 * GIB));
		map = mmap(NULL, 8 * GIB, PROT_READ | PROT_WRITE,
			   (private ? MAP_PRIVATE : MAP_SHARED) | MAP_NORESERVE, fd, 0);
		must(map != MAP_FAILED);
		for (unsigned int i = 0; i < touched; i++) {
			page[i] = i * (pages / TOUCHED) + rnd_below(&random, pages / TOUCHED);
			page_fill(content, DATA, 1, i, 0);
			must(pwrite(fd, content, PAGE, page[i] * PAGE) == PAGE);
		}
		before = allocated(fd);
		must(before == touched * PAGE);
		tables = file_number("/proc/self/status", "VmPTE:");
		session_open(&s, &setup);
		rx_init(&rx, &s, RX_READ);
		b = rx_add_block(&rx, IDSTR, pages, NULL);
		if (by_fd)
			works(mzp_block_add_fd(s.fd, IDSTR, fd, 0, 8 * GIB, &id));
		else
			id = session_block(&s, IDSTR, map, 8 * GIB);
		works(mzp_wait(s.fd, session_send(&s, id, 0, pages, MZP_SEND_FRESH), -1, &w));
		must(!w.error && w.normal == touched && w.absent == pages - touched && !w.zero,
		     "%ju normal, %ju zero", (uintmax_t)w.normal, (uintmax_t)w.zero);
		must(allocated(fd) == before);
		if (!touched)
			must(file_number("/proc/self/status", "VmPTE:") == tables);
		session_sync(&s);
		rx_round(&rx);
		must(b->normal == touched && !b->zero);
		for (unsigned int i = 0; i < touched; i++)
			must(page_is(b->shadow + page[i] * PAGE, DATA, 1, i, 0));
		rx_next_round(&rx);
		/* a later round, in a part of it */
		works(mzp_send_all(s.fd, id, 0, 65536, 0, NULL));
		session_sync(&s);
		rx_round(&rx);
		must(b->normal + b->zero == 65536);
		works(mzp_wait(s.fd, 0, -1, &w));
		must(!w.error && !w.zero && w.absent == b->zero);
		must(allocated(fd) == before);
		session_close(&s);
		rx_free(&rx);
		munmap(map, 8 * GIB);
		close(fd);
	}
}

/* Huge pages of a file, and private ones, of which a hole must not take any. */
static void hugetlb(void **state)
{
	static const char free_pages[] =
		"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
	struct mzp_setup setup = setup_for(1);
	uint64_t length = 8 * MIB, pages = length / PAGE;

	(void)state;
	if (huge_pool(5) < 5)
		skip();
	for (unsigned int how = 0; how < 3; how++) {
		int fd = sys(memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB));
		struct mzp_wait w = { 0 };
		struct session s;
		struct rx rx;
		uint8_t *map;
		uint32_t id;

		sys(ftruncate(fd, length));
		map = mmap(NULL, length, PROT_READ | PROT_WRITE, how ? MAP_SHARED : MAP_PRIVATE, fd, 0);
		must(map != MAP_FAILED);
		map[3 * MIB] = 1;
		session_open(&s, &setup);
		rx_init(&rx, &s, RX_READ);
		rx_add_block(&rx, IDSTR, pages, map);
		if (how == 2)
			works(mzp_block_add_fd(s.fd, IDSTR, fd, 0, length, &id));
		else
			id = session_block(&s, IDSTR, map, length);
		for (unsigned int fresh = 0; fresh < 2; fresh++) {
			uint64_t job = session_send(&s, id, 0, pages, fresh);

			session_sync(&s);
			rx_round(&rx);
			works(mzp_wait(s.fd, job, -1, &w));
			must(!w.error && w.normal == 1 && w.zero == 511 && w.absent == pages - 512,
			     "%ju normal, %ju zero", (uintmax_t)w.normal, (uintmax_t)w.zero);
			must(file_number(free_pages, NULL) == 4);
			rx_next_round(&rx);
		}
		session_close(&s);
		rx_free(&rx);
		munmap(map, length);
		close(fd);
		until(file_number(free_pages, NULL) == 5);
	}
	huge_pool(0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(fresh_8g),
		cmocka_unit_test(fresh_8g_huge),
		cmocka_unit_test(not_fresh),
		cmocka_unit_test(not_fresh_as_normal),
		cmocka_unit_test(not_fresh_legacy),
		cmocka_unit_test(sparse),
		cmocka_unit_test(only_read),
		cmocka_unit_test(only_read_huge),
		cmocka_unit_test(given_back),
		cmocka_unit_test(memfd),
		cmocka_unit_test(hugetlb),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

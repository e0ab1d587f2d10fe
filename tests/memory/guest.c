// SPDX-License-Identifier: GPL-2.0-only
#include "guest.h"

#include <sys/stat.h>
#include <sys/wait.h>

#define IDSTR "pc.ram"
#define DATA_TAG 77

const struct way ways[3] = {
	{ "fresh", MZP_DETECTION_MULTIFD, MZP_SEND_FRESH, RX_SPLICE },
	{ "later", MZP_DETECTION_MULTIFD, 0, RX_READ },
	{ "none", MZP_DETECTION_NONE, 0, RX_SPLICE },
};

struct guest *guest_new(uint64_t pages)
{
	struct guest *g = calloc(1, sizeof(*g));

	must(g);
	g->pages = pages;
	g->fd = -1;
	g->kind = calloc(pages, 1);
	g->id = calloc(pages, sizeof(*g->id));
	must(g->kind && g->id);
	return g;
}

void guest_free(struct guest *g)
{
	if (g->other) {
		kill(g->other, SIGKILL);
		waitpid(g->other, NULL, 0);
	}
	if (g->area)
		munmap(g->area, g->area_length);
	if (g->fd >= 0)
		close(g->fd);
	free(g->kind);
	free(g->id);
	free(g);
}

void *guest_place(struct guest *g, uint64_t align, uint64_t skew)
{
	g->area_length = (g->pages + skew + 2) * PAGE + 2 * align;
	g->area = mmap(NULL, g->area_length, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(g->area != MAP_FAILED);
	return (uint8_t *)(((uintptr_t)g->area + align) & -align) + skew * PAGE;
}

void guest_map(struct guest *g, uint64_t skew, int prot, int flags, int fd, uint64_t offset)
{
	void *place = guest_place(g, HUGE, skew);

	g->base = mmap(place, g->pages * PAGE, prot, flags | MAP_FIXED | MAP_NORESERVE, fd,
		       offset);
	must(g->base == place, "%s", strerror(errno));
}

void guest_data(void *page, uint64_t id)
{
	page_fill(page, DATA, DATA_TAG, id, 0);
}

static uint64_t new_id(void)
{
	static uint64_t last;

	return ++last;
}

void guest_write(struct guest *g, uint64_t page, enum kind kind)
{
	uint8_t *at = g->base + page * PAGE;

	g->kind[page] = kind;
	if (kind == ZERO) {
		*(volatile uint8_t *)at = 1;
		memset(at, 0, PAGE);
		return;
	}
	g->id[page] = new_id();
	guest_data(at, g->id[page]);
}

void guest_pwrite(struct guest *g, uint64_t page, enum kind kind)
{
	uint64_t contents[PAGE / 8] = { 0 };

	g->kind[page] = kind;
	if (kind != ZERO) {
		g->id[page] = new_id();
		guest_data(contents, g->id[page]);
	}
	must(pwrite(g->fd, contents, PAGE, g->offset + page * PAGE) == PAGE);
}

void guest_read(struct guest *g, uint64_t page, enum kind kind)
{
	if (g->kind[page] == ABSENT) {
		must(!*(volatile uint8_t *)(g->base + page * PAGE));
		g->kind[page] = kind;
	}
}

void guest_mix(struct guest *g, uint64_t seed, enum kind read,
	       void (*write)(struct guest *g, uint64_t page, enum kind kind))
{
	for (uint64_t page = 0; page < g->pages; ) {
		uint64_t what = rnd_below(&seed, 6);
		uint64_t run = rnd_below(&seed, 2) ? 1 : 1 + rnd_below(&seed, 30);

		for (; run && page < g->pages; run--, page++) {
			if (what >= 3)
				write(g, page, DATA);
			else if (what == 2)
				write(g, page, ZERO);
			else if (what == 1 && g->base)
				guest_read(g, page, read);
		}
	}
}

uint64_t guest_count(const struct guest *g, enum kind kind)
{
	uint64_t count = 0;

	for (uint64_t page = 0; page < g->pages; page++)
		count += g->kind[page] == kind;
	return count;
}

long guest_smaps(const struct guest *g, const char *key)
{
	static char text[1 << 20];
	uintptr_t start = (uintptr_t)g->base, end = start + g->pages * PAGE;
	size_t n = 0, len = strlen(key);
	bool inside = false;
	long sum = 0;
	ssize_t part;
	int fd;

	if (!g->base)
		return 0;
	fd = sys(open("/proc/self/smaps", O_RDONLY | O_CLOEXEC));
	while ((part = sys(read(fd, text + n, sizeof(text) - 1 - n))))
		n += part;
	close(fd);
	text[n] = 0;
	for (char *line = text; line && *line; ) {
		unsigned long from, to;
		char *next = strchr(line, '\n');

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = from < end && to > start;
		else if (inside && !strncmp(line, key, len) && line[len] == ':')
			sum += strtol(line + len + 1, NULL, 10);
		line = next ? next + 1 : NULL;
	}
	return sum;
}

void guest_pagemap(const struct guest *g, uint64_t *entries)
{
	size_t length = g->pages * sizeof(*entries);
	int fd = sys(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));

	must(pread(fd, entries, length, (uintptr_t)g->base / PAGE * sizeof(*entries)) ==
	     (ssize_t)length);
	close(fd);
}

static long free_pages(const char *size)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%skB/free_hugepages",
		 size);
	return access(path, R_OK) ? 0 : file_number(path, NULL);
}

struct footprint footprint(const struct guest *g)
{
	static const char meminfo[] = "/proc/meminfo", rollup[] = "/proc/self/smaps_rollup";
	struct footprint f = { 0 };
	struct stat st;

	/* what each CPU has counted for itself */
	file_put("/proc/sys/vm/stat_refresh", "1");
	f.rss = guest_smaps(g, "Rss");
	f.pss = guest_smaps(g, "Pss");
	f.anon = guest_smaps(g, "Anonymous");
	f.dirty = guest_smaps(g, "Private_Dirty") + guest_smaps(g, "Shared_Dirty");
	f.thp = guest_smaps(g, "AnonHugePages") + guest_smaps(g, "ShmemPmdMapped");
	f.hugetlb = guest_smaps(g, "Private_Hugetlb") + guest_smaps(g, "Shared_Hugetlb");
	f.swap = guest_smaps(g, "Swap");
	f.process_rss = file_number(rollup, "\nRss:");
	f.process_anon = file_number(rollup, "\nAnonymous:");
	f.tables = file_number("/proc/self/status", "VmPTE:");
	f.shmem = file_number(meminfo, "Shmem:");
	f.free_huge = free_pages("2048");
	f.free_giant = free_pages("1048576");
	f.ksm_shared = file_number("/sys/kernel/mm/ksm/pages_shared", NULL);
	f.ksm_sharing = file_number("/sys/kernel/mm/ksm/pages_sharing", NULL);
	if (g->fd >= 0 && !fstat(g->fd, &st))
		f.file = st.st_blocks / 2;
	return f;
}

/* Nothing was populated, unshared, swapped or dirtied, unless the guest says so. */
static void compare(const struct guest *g, const char *where, const struct footprint *a,
		    const struct footprint *b)
{
#define SAME(what) must(b->what == a->what, "%s: " #what " was %ld, is %ld", where, a->what, b->what)
#define UP_TO(what, more) must(b->what <= a->what + (more), "%s: " #what " was %ld, is %ld, swap was %ld", \
			       where, a->what, b->what, a->swap)
	long swapped = g->swaps_in ? a->swap : 0;

	SAME(thp);
	SAME(free_huge);
	SAME(free_giant);
	SAME(ksm_shared);
	SAME(ksm_sharing);
	if (g->swaps_in) {
		UP_TO(anon, swapped);
		UP_TO(process_anon, swapped);
		UP_TO(shmem, swapped);
		UP_TO(rss, swapped);
		UP_TO(swap, 0);
	} else {
		SAME(anon);
		SAME(process_anon);
		SAME(shmem);
		SAME(dirty);
		SAME(swap);
		SAME(file);
	}
	if (!g->swaps_in && !g->maps) {
		SAME(rss);
		SAME(pss);
		SAME(hugetlb);
		SAME(process_rss);
		SAME(tables);
	}
#undef SAME
#undef UP_TO
}

/* For all that the first time needs, of the session and of this process. */
static void warm_up(struct session *s, struct rx *rx)
{
	enum { PAGES = 1024 };
	static uint8_t memory[PAGES * PAGE] __attribute__((aligned(PAGE)));
	uint64_t job;

	for (unsigned int i = 0; i < PAGES; i++)
		memory[i * PAGE] = i & 3;
	rx_add_block(rx, "warm", PAGES, memory);
	job = session_send(s, session_block(s, "warm", memory, sizeof(memory)), 0, PAGES, 0);
	session_sync(s);
	rx_round(rx);
	session_wait(s, job);
	rx_next_round(rx);
}

static void check_page(const struct guest *g, const struct rx_block *b, const struct way *way,
		       const char *where, uint64_t page)
{
	static const uint8_t nothing[PAGE];
	const uint8_t *got = b->shadow + page * PAGE;
	int want;

	if (g->kind[page] == DATA || way->detection == MZP_DETECTION_NONE)
		want = RX_NORMAL;
	else if (g->kind[page] == ABSENT && way->flags & MZP_SEND_FRESH)
		want = RX_NOTHING;
	else
		want = RX_ZERO;
	must(b->seen[page] == want, "%s: page %ju, kind %u, came as %u", where, (uintmax_t)page,
	     g->kind[page], b->seen[page]);
	if (g->kind[page] != DATA)
		must(!memcmp(got, nothing, PAGE), "%s: page %ju is not zero", where,
		     (uintmax_t)page);
	else
		must(page_is(got, DATA, DATA_TAG, g->id[page], 0), "%s: page %ju is wrong", where,
		     (uintmax_t)page);
}

struct attempt {
	struct session s;
	struct rx rx;
	struct rx_block *b;
	uint32_t id;
};

static void attempt_open(struct attempt *a, struct guest *g, bool by_fd, const struct way *way,
			 unsigned int channels)
{
	struct mzp_setup setup = setup_for(channels);

	setup.detection = way->detection;
	session_open(&a->s, &setup);
	rx_init(&a->rx, &a->s, way->how);
	warm_up(&a->s, &a->rx);
	a->b = rx_add_block(&a->rx, IDSTR, g->pages, NULL);
	if (by_fd)
		works(mzp_block_add_fd(a->s.fd, IDSTR, g->fd, g->offset, g->pages * PAGE, &a->id));
	else
		a->id = session_block(&a->s, IDSTR, g->base, g->pages * PAGE);
	memset(a->b->shadow, 0, g->pages * PAGE);
	memset(a->b->seen, 0, g->pages);
}

static void attempt_close(struct attempt *a)
{
	session_close(&a->s);
	rx_free(&a->rx);
}

/* What the mapping's soft-dirty bits say. */
#define SOFT_DIRTY (1ull << 55)
static void nothing_written(const struct guest *g, const char *where)
{
	uint64_t *entry = malloc(g->pages * sizeof(*entry));

	must(entry);
	guest_pagemap(g, entry);
	for (uint64_t page = 0; page < g->pages; page++)
		must(!(entry[page] & SOFT_DIRTY), "%s: page %ju was written", where,
		     (uintmax_t)page);
	free(entry);
}

void guest_send(struct guest *g, bool by_fd, const struct way *way)
{
	struct footprint before, after;
	struct mzp_wait w = { 0 };
	struct attempt a;
	char where[32];
	uint64_t job;

	snprintf(where, sizeof(where), "%s by %s", way->name, by_fd ? "fd" : "address");
	attempt_open(&a, g, by_fd, way, 2);
	if (g->written)
		file_put("/proc/self/clear_refs", "4");
	footprint(g);
	before = footprint(g);
	job = session_send(&a.s, a.id, 0, g->pages, way->flags);
	session_sync(&a.s);
	rx_round(&a.rx);
	works(mzp_wait(a.s.fd, job, -1, &w));
	after = footprint(g);
	must(!w.error, "%s: %s at page %ju", where, kit_errno(w.error),
	     (uintmax_t)(w.error_offset / PAGE));
	compare(g, where, &before, &after);
	if (g->written)
		nothing_written(g, where);
	for (uint64_t page = 0; page < g->pages; page++)
		check_page(g, a.b, way, where, page);
	must(w.submitted == g->pages);
	must(w.absent == guest_count(g, ABSENT), "%s: %ju absent", where, (uintmax_t)w.absent);
	if (way->detection == MZP_DETECTION_NONE) {
		must(!w.zero && w.normal == g->pages - w.absent, "%s: %ju normal", where,
		     (uintmax_t)w.normal);
	} else {
		must(w.zero == guest_count(g, ZERO), "%s: %ju zero", where, (uintmax_t)w.zero);
		must(w.normal == guest_count(g, DATA), "%s: %ju normal", where,
		     (uintmax_t)w.normal);
	}
	attempt_close(&a);
	if (g->check)
		g->check(g);
}

void guest_check(struct guest *g)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
		if (g->base)
			guest_send(g, false, &ways[i]);
		if (g->fd >= 0)
			guest_send(g, true, &ways[i]);
	}
}

void guest_fails(struct guest *g, bool by_fd, int error, uint64_t page)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
		struct mzp_wait w = { 0 };
		struct attempt a;
		uint64_t job;

		attempt_open(&a, g, by_fd, &ways[i], 1);
		job = session_send(&a.s, a.id, 0, g->pages, ways[i].flags);
		session_sync(&a.s);
		rx_round(&a.rx);
		works(mzp_wait(a.s.fd, job, -1, &w));
		must((int)w.error == error, "%s: %s, not %s", ways[i].name, kit_errno(w.error),
		     kit_errno(error));
		must(w.error_offset == page * PAGE && w.error_block == a.id,
		     "%s: page %ju, not %ju", ways[i].name, (uintmax_t)(w.error_offset / PAGE),
		     (uintmax_t)page);
		must(w.submitted == g->pages);
		must(w.normal + w.zero + w.absent == page);
		for (uint64_t n = 0; n < page; n++)
			check_page(g, a.b, &ways[i], ways[i].name, n);
		for (uint64_t n = page; n < g->pages; n++)
			must(a.b->seen[n] == RX_NOTHING, "%s: page %ju came", ways[i].name,
			     (uintmax_t)n);
		attempt_close(&a);
	}
}

bool have_swap(void)
{
	return file_number("/proc/meminfo", "SwapTotal:") > 0;
}

void swap_needed(void)
{
	if (!have_swap())
		skip_since("no swap space");
}

void sysfs_put(const char *path, long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", value);
	file_put(path, text);
}

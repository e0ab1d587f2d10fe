// SPDX-License-Identifier: GPL-2.0-only
#include "arena.h"
#include "stress.h"

enum { ARENA_PAGES = 2048, WORDS = PAGE / 8 };

struct arena *arenas[2];
unsigned int nr_arenas;

bool bit(const uint64_t *bits, uint64_t n)
{
	return bits[n / 64] >> n % 64 & 1;
}

/* How well a version of a page compresses. */
enum look { FLAT, NOISE, HALF_NOISE, ZEROS, LOOKS };

static enum look look_of(uint64_t page, uint32_t version)
{
	return compressed() ? (page + version / 2) % LOOKS : FLAT;
}

uint64_t word_of(uint64_t page, uint32_t version, unsigned int i)
{
	uint64_t plain = (page + 1) << 32 | version;
	uint64_t hidden = plain * 0xd1342543de82ef95 + (i + 1) * 0x9e3779b97f4a7c15;

	switch (look_of(page, version)) {
	case NOISE:
		return hidden;
	case HALF_NOISE:
		return i / 8 % 2 ? plain : hidden;
	case ZEROS:
		return 0;
	default:
		return plain;
	}
}

/* --- wild pages */

void take(struct arena *a, uint64_t first, uint64_t count)
{
	for (uint64_t page = first; page < first + count; page++)
		__atomic_fetch_add(&a->started[page], 2, __ATOMIC_SEQ_CST);
}

void give_back(struct arena *a, uint64_t first, uint64_t count)
{
	for (uint64_t page = first; page < first + count; page++) {
		uint64_t *at = (uint64_t *)(a->base + page * PAGE);
		uint32_t version = a->started[page];

		for (unsigned int i = 0; i < WORDS; i++)
			at[i] = word_of(page, version, i);
		__atomic_store_n(&a->committed[page], version, __ATOMIC_SEQ_CST);
	}
}

const struct run *own_run(struct arena *a, uint64_t *seed, unsigned int me)
{
	for (;;) {
		const struct run *run = &a->run[rnd_below(seed, a->runs)];

		if (run->owner == me)
			return run;
	}
}

void any_range(struct arena *a, uint64_t *seed, uint8_t **at, uint64_t *length)
{
	uint64_t first = rnd_below(seed, a->pages), count = 1 + rnd_below(seed, 700);

	if (rnd_below(seed, 2)) {
		first -= first % 512;
		count = 512 * (1 + rnd_below(seed, 3));
	}
	count = min(count, a->pages - first);
	*at = a->base + first * PAGE;
	*length = count * PAGE;
}

/* --- all of it */

void remap(struct arena *a, uint64_t first, uint64_t count)
{
	void *at = a->base + first * PAGE;

	must(mmap(at, count * PAGE, RW,
		  MAP_FIXED | MAP_NORESERVE | (a->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED),
		  a->fd, a->fd < 0 ? 0 : first * PAGE) == at);
}

static void stable_page(struct arena *a, uint64_t page, bool same)
{
	uint64_t *want = (uint64_t *)(a->want + page * PAGE);
	uint32_t version = 1;

	a->stable[page / 64] |= 1ull << page % 64;
	guest_data(want, same ? 1 + page / 8 : 100000 + page);
	/* of all looks but zero */
	while (look_of(page, version) == ZEROS)
		version += 2;
	for (unsigned int i = 0; i < WORDS && compressed(); i++)
		want[i] = word_of(page, version, i);
	memcpy(a->base + page * PAGE, a->want + page * PAGE, PAGE);
}

static void wild_run(struct arena *a, uint64_t first, uint64_t count)
{
	struct run *run = &a->run[a->runs];

	must(a->runs < RUNS);
	*run = (struct run){ first, count, a->runs % (stress->threads ?: 1) };
	a->runs++;
	for (uint64_t page = first; page < first + count; page++) {
		a->wild[page / 64] |= 1ull << page % 64;
		a->started[page] = 1;
	}
	give_back(a, first, count);
}

struct arena *arena_new(bool file, uint64_t *seed)
{
	struct arena *a = calloc(1, sizeof(*a));
	uint64_t pages = a->pages = ARENA_PAGES, page = 0;
	bool huge = stress->flags & (HUGE_TOO | HUGE_ONLY), same = stress->flags & SAME;

	must(a);
	a->fd = -1;
	if (file) {
		a->fd = sys(memfd_create("stress", MFD_CLOEXEC));
		sys(ftruncate(a->fd, pages * PAGE));
	}
	a->base = PLACES + nr_arenas * GIB;
	remap(a, 0, pages);
	if (huge && thp_there())
		thp_on(a->base, pages * PAGE);
	else
		thp_off(a->base, pages * PAGE);
	a->want = calloc(pages, PAGE);
	a->stable = calloc(pages / 64, 8);
	a->wild = calloc(pages / 64, 8);
	a->started = calloc(pages, 4);
	a->committed = calloc(pages, 4);
	a->lo = calloc(pages, 4);
	must(a->want && a->stable && a->wild && a->started && a->committed && a->lo);
	while (page < pages) {
		uint64_t count = 1 + rnd_below(seed, rnd_below(seed, 2) ? 3 : 60);
		bool wild = rnd_below(seed, 2);

		if (stress->flags & UPPER_HALF) {
			wild = page >= pages / 2;
			count = wild ? pages : pages / 2;
		} else if (stress->flags & LARGE && page / 512 % 4 < 3) {
			/* the extent of a page table: all wild, or all stable */
			wild = page / 512 % 4 < 2;
			count = 512;
		}
		count = min(count, pages - page);
		if (wild)
			wild_run(a, page, count);
		for (uint64_t i = 0; i < count && !wild; i++)
			stable_page(a, page + i, same);
		page += count;
	}
	must(a->runs >= (stress->threads ?: 1));
	return a;
}

void arena_free(struct arena *a)
{
	munmap(a->base, a->pages * PAGE);
	if (a->fd >= 0)
		close(a->fd);
	free(a->want);
	free(a->stable);
	free(a->wild);
	free(a->started);
	free(a->committed);
	free(a->lo);
	free(a);
}

/* --- what arrives of wild pages */

/* Some version of a page could be seen as zero. */
static bool maybe_zero(uint64_t page, uint32_t lo, uint32_t hi)
{
	if (!compressed())
		return hi > lo;
	for (uint32_t version = lo; version <= hi; version += 2)
		if (look_of(page, version) == ZEROS)
			return true;
	return false;
}

static int same_front(uint64_t a, uint64_t b)
{
	return a == b ? 8 : __builtin_ctzl(a ^ b) / 8;
}

static int same_back(uint64_t a, uint64_t b)
{
	return a == b ? 8 : __builtin_clzl(a ^ b) / 8;
}

/* Of two versions, or of one and zero, where the copy of a page met its writer. */
static bool is_torn(uint64_t page, unsigned int i, uint64_t got, uint32_t lo, uint32_t hi)
{
	int front = 0, back = 0;

	if (maybe_zero(page, lo, hi)) {
		front = same_front(got, 0);
		back = same_back(got, 0);
	}
	for (uint32_t version = lo; version <= hi; version += 2) {
		uint64_t word = word_of(page, version, i);

		front = max(front, same_front(got, word));
		back = max(back, same_back(got, word));
	}
	return front + back >= 8;
}

/* A word is of one version; *@version: that of the word before, which it mostly is, too. */
static bool is_whole(uint64_t page, unsigned int i, uint64_t got, uint32_t lo, uint32_t hi,
		     uint32_t *version)
{
	if (word_of(page, *version, i) == got)
		return true;
	for (uint32_t v = lo; v <= hi; v += 2) {
		if (word_of(page, v, i) == got) {
			*version = v;
			return true;
		}
	}
	return false;
}

void check_wild(struct arena *a, const struct view *v, uint64_t page, uint32_t flags,
		bool failed)
{
	uint32_t lo = a->lo[page], version = lo;
	uint32_t hi = __atomic_load_n(&a->started[page], __ATOMIC_SEQ_CST);
	const uint64_t *got = (uint64_t *)(v->rx->shadow + page * PAGE);
	unsigned int torn = 0;

	switch (v->rx->seen[page]) {
	case RX_NOTHING:
		must(failed || (flags & MZP_SEND_FRESH && hi > lo), "wild page %ju did not come",
		     (uintmax_t)page);
		return;
	case RX_ZERO:
		must(maybe_zero(page, lo, hi), "wild page %ju came as zero, version %u",
		     (uintmax_t)page, lo);
		return;
	}
	must(hi > lo || look_of(page, lo) != ZEROS, "zero page %ju came as a normal one",
	     (uintmax_t)page);
	for (unsigned int i = 0; i < WORDS; i++) {
		if (!got[i]) {
			must(maybe_zero(page, lo, hi), "wild page %ju: word %u is zero, version %u",
			     (uintmax_t)page, i, lo);
			continue;
		}
		if (is_whole(page, i, got[i], lo, hi, &version))
			continue;
		torn++;
		must(is_torn(page, i, got[i], lo, hi),
		     "wild page %ju: word %u is %jx, versions %u to %u", (uintmax_t)page, i,
		     (uintmax_t)got[i], lo, hi);
	}
	/* the writer is the faster one by far: they do not meet at every word */
	must(torn < WORDS / 8, "wild page %ju: %u words of two versions", (uintmax_t)page, torn);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Private anonymous memory, in small pages and in huge ones, whoever it is shared
 * with: the right bytes arrive, counted for what they are, and at the source
 * nothing is populated, unshared, swapped in without need, or marked dirty.
 */
#include "kinds.h"

#include <sys/utsname.h>

#define KSM "/sys/kernel/mm/ksm/"

static void small(void **state)
{
	struct guest *g = anonymous(PAGES, false);

	(void)state;
	g->written = true;
	guest_mix(g, 1, ABSENT, guest_write);
	guest_check(g);
	guest_free(g);
}

static void untouched(void **state)
{
	(void)state;
	for (unsigned int huge = 0; huge < 1u + thp_there(); huge++) {
		struct guest *g = anonymous(8 * 512, huge);

		guest_check(g);
		must(!guest_smaps(g, "Rss"));
		guest_free(g);
	}
}

/* What the kernel's huge zero page is: modules can tell it from others since 6.18. */
static uint8_t huge_zero(void)
{
	unsigned int major, minor;
	struct utsname name;

	sys(uname(&name));
	must(sscanf(name.release, "%u.%u", &major, &minor) == 2);
	return major > 6 || (major == 6 && minor >= 18) ? ABSENT : ZERO;
}

/* Huge pages: one full, one touched in one place, one only read, one untouched. */
static void huge(void **state)
{
	struct guest *g = guest_new(4 * 512 + 100);
	uint64_t page;

	(void)state;
	guest_map(g, 512 - 50, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	thp_on(g->base, g->pages * PAGE);
	for (page = 50; page < 50 + 512; page++)
		guest_write(g, page, DATA);
	for (; page < 50 + 1024; page++)
		g->kind[page] = ZERO;
	guest_write(g, 50 + 512 + 77, DATA);
	guest_read(g, 50 + 1024 + 5, ABSENT);
	memset(g->kind + 50 + 1024, huge_zero(), 512);
	/* the remainders, which no huge page fits into */
	for (page = 0; page < 50; page += 2)
		guest_write(g, page, DATA);
	must(guest_smaps(g, "AnonHugePages") == 4096);
	g->written = true;
	guest_check(g);
	must(guest_smaps(g, "AnonHugePages") == 4096);
	guest_free(g);
}

/* The kernel's zero page and its huge one. */
static void zero_page(void **state)
{
	(void)state;
	for (unsigned int huge = 0; huge < 1u + thp_there(); huge++) {
		struct guest *g = anonymous(4 * 512, huge);

		for (uint64_t page = 0; page < g->pages; page++)
			guest_read(g, page, ABSENT);
		for (uint64_t page = 512 - 3; huge && page < 4 * 512 - 3; page++)
			g->kind[page] = huge_zero();
		g->written = true;
		guest_check(g);
		guest_free(g);
	}
}

static void swapped(void **state)
{
	(void)state;
	swap_needed();
	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
		struct guest *g = anonymous(PAGES, false);

		g->swaps_in = true;
		guest_mix(g, 4 + i, ABSENT, guest_write);
		page_out(g);
		must(guest_smaps(g, "Swap") >= 4 * (long)guest_count(g, DATA) * 9 / 10);
		guest_send(g, false, &ways[i]);
		guest_free(g);
	}
}

/* Some of it is back, and the swap space still has a copy. */
static void swap_cache(void **state)
{
	struct guest *g;

	(void)state;
	swap_needed();
	g = anonymous(PAGES, false);
	g->swaps_in = true;
	guest_mix(g, 6, ABSENT, guest_write);
	page_out(g);
	touch(g, 5);
	guest_check(g);
	guest_free(g);
}

/* Swapped as a whole while huge. */
static void swapped_huge(void **state)
{
	struct guest *g;

	(void)state;
	swap_needed();
	g = anonymous(4 * 512, true);
	g->swaps_in = true;
	for (uint64_t page = 509; page < 509 + 512; page++)
		guest_write(g, page, DATA);
	page_out(g);
	guest_check(g);
	guest_free(g);
}

static long ksm(const char *what)
{
	char path[64];

	snprintf(path, sizeof(path), KSM "%s", what);
	return file_number(path, NULL);
}

static void ksm_stop(void)
{
	/* 2: and take apart what is merged */
	sysfs_put(KSM "run", 2);
	sysfs_put(KSM "run", 0);
	sysfs_put(KSM "use_zero_pages", 0);
}

/* Eight pages with the same contents each, and zero pages, which are merged too. */
static void merged(void **state)
{
	(void)state;
	for (unsigned int zero_pages = 0; zero_pages < 2; zero_pages++) {
		struct guest *g = anonymous(PAGES, false);
		long scans;

		guest_mix(g, 7, ABSENT, guest_write);
		for (uint64_t page = 0; page < g->pages; page++) {
			if (g->kind[page] != DATA)
				continue;
			g->id[page] = 1000000 + page / 8;
			guest_data(g->base + page * PAGE, g->id[page]);
		}
		sysfs_put(KSM "use_zero_pages", zero_pages);
		sysfs_put(KSM "sleep_millisecs", 0);
		sysfs_put(KSM "pages_to_scan", 10000);
		sys(madvise(g->base, g->pages * PAGE, MADV_MERGEABLE));
		sysfs_put(KSM "run", 1);
		scans = ksm("full_scans");
		until(ksm("full_scans") >= scans + 4);
		/* it stays as it is */
		sysfs_put(KSM "run", 0);
		must(ksm("pages_sharing") > (long)guest_count(g, DATA) / 2);
		for (uint64_t page = 0; zero_pages && page < g->pages; page++)
			if (g->kind[page] == ZERO)
				g->kind[page] = ABSENT;
		g->written = true;
		guest_check(g);
		ksm_stop();
		guest_free(g);
	}
}

/* Shared with a child; part of it has been written since, by one of the two. */
static void forked(void **state)
{
	struct guest *g = anonymous(PAGES, false);
	long rss, pss;

	(void)state;
	guest_mix(g, 8, ABSENT, guest_write);
	g->other = child(wait_for_death, NULL);
	for (uint64_t page = 0; page < g->pages; page += 10)
		guest_write(g, page, DATA);
	rss = guest_smaps(g, "Rss");
	pss = guest_smaps(g, "Pss");
	must(pss < rss * 2 / 3, "%ld of %ld", pss, rss);
	g->written = true;
	guest_check(g);
	must(guest_smaps(g, "Pss") == pss);
	guest_free(g);
}

/* Huge pages shared with a child. */
static void forked_huge(void **state)
{
	struct guest *g = guest_new(1024);

	(void)state;
	guest_map(g, 0, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	thp_on(g->base, g->pages * PAGE);
	for (uint64_t page = 0; page < 1024; page++)
		guest_write(g, page, DATA);
	must(guest_smaps(g, "AnonHugePages") == 4096);
	g->other = child(wait_for_death, NULL);
	g->written = true;
	guest_check(g);
	guest_free(g);
}

/* Given up, though still there as long as nobody is short of memory. */
static void freed(void **state)
{
	struct guest *g = anonymous(PAGES, false);

	(void)state;
	guest_mix(g, 9, ABSENT, guest_write);
	sys(madvise(g->base, g->pages * PAGE, MADV_FREE));
	guest_check(g);
	guest_free(g);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(small),
		cmocka_unit_test(untouched),
		cmocka_unit_test(huge),
		cmocka_unit_test(zero_page),
		cmocka_unit_test(swapped),
		cmocka_unit_test(swap_cache),
		cmocka_unit_test(swapped_huge),
		cmocka_unit_test(merged),
		cmocka_unit_test(forked),
		cmocka_unit_test(forked_huge),
		cmocka_unit_test(freed),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings of files on a disk, whether their pages are mapped, cached or still to
 * be read: the right bytes arrive, and nothing of the file gets dirty.
 */
#include "kinds.h"

/* What /proc/kpageflags says of the pages that are mapped. */
#define KPF_DIRTY (1ull << 4)
static uint64_t dirty_pages(struct guest *g)
{
	uint64_t *entry = malloc(g->pages * 8), flags, count = 0, mapped = 0;
	int fd = sys(open("/proc/kpageflags", O_RDONLY | O_CLOEXEC));

	must(entry);
	guest_pagemap(g, entry);
	for (uint64_t page = 0; page < g->pages; page++) {
		uint64_t pfn = entry[page] & ((1ull << 55) - 1);

		if (!(entry[page] >> 63))
			continue;
		must(pfn);
		mapped++;
		must(pread(fd, &flags, 8, pfn * 8) == 8);
		count += !!(flags & KPF_DIRTY);
	}
	must(mapped);
	close(fd);
	free(entry);
	return count;
}

/* A file on a disk, or skip the test. */
static int disk_needed(void)
{
	int fd = disk_file();

	if (fd < 0)
		skip_since("no disk with ext4");
	return fd;
}

static void disk(int prot, int flags)
{
	static const char *const states[] = { "cached", "mapped", "evicted" };
	int fd = disk_needed();

	for (unsigned int i = 0; i < ARRAY_SIZE(states); i++) {
		struct guest *g = guest_new(PAGES);

		sys(ftruncate(fd, 0));
		sys(ftruncate(fd, PAGES * PAGE));
		g->fd = fd;
		guest_mix(g, 25 + i, ZERO, guest_pwrite);
		g->fd = -1;
		/* there is no telling what the holes are, short of reading them */
		for (uint64_t page = 0; page < PAGES; page++)
			if (g->kind[page] == ABSENT)
				g->kind[page] = ZERO;
		sys(fsync(fd));
		sys(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
		guest_map(g, 0, prot, flags, fd, 0);
		for (uint64_t page = 0; i == 0 && page < PAGES; page++) {
			uint64_t word;

			must(pread(fd, &word, 8, page * PAGE) == 8);
		}
		if (i == 1)
			sys(madvise(g->base, PAGES * PAGE, MADV_POPULATE_READ));
		if (flags == MAP_PRIVATE) {
			for (uint64_t page = 0; page < PAGES; page += 7)
				guest_write(g, page, page % 2 ? DATA : ZERO);
		}
		/* of what is in the page cache, a shared mapping's is not even mapped */
		g->maps = flags == MAP_PRIVATE || i == 2;
		guest_check(g);
		if (flags == MAP_SHARED) {
			sys(madvise(g->base, PAGES * PAGE, MADV_POPULATE_READ));
			must(!dirty_pages(g));
		}
		guest_free(g);
	}
	disk_done(fd);
}

static void shared(void **state)
{
	(void)state;
	disk(PROT_READ | PROT_WRITE, MAP_SHARED);
}

static void read_only(void **state)
{
	(void)state;
	disk(PROT_READ, MAP_SHARED);
}

static void private(void **state)
{
	(void)state;
	disk(PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

static void too_short(void **state)
{
	int fd = disk_needed();

	(void)state;
	for (unsigned int private = 0; private < 2; private++) {
		struct guest *g = guest_new(PAGES);

		sys(ftruncate(fd, 0));
		sys(ftruncate(fd, 777 * PAGE));
		for (uint64_t page = 0; page < 777; page++)
			g->kind[page] = ZERO;
		guest_map(g, 0, PROT_READ, private ? MAP_PRIVATE : MAP_SHARED, fd, 0);
		guest_fails(g, false, EFAULT, 777);
		guest_free(g);
	}
	disk_done(fd);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(shared),
		cmocka_unit_test(read_only),
		cmocka_unit_test(private),
		cmocka_unit_test(too_short),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

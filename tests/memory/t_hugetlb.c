// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages of hugetlbfs, shared, private or only in its files: the right bytes
 * arrive, counted for what they are, and no huge page is taken from the pool or
 * copied for our sake.
 */
#include "kinds.h"

#include <linux/memfd.h>

static void shared(void **state)
{
	struct guest *g = guest_new(5 * 512);

	(void)state;
	huge_needed(8);
	g->offset = HUGE;
	huge_file(g);
	guest_map(g, 0, RW, MAP_SHARED, g->fd, HUGE);
	write_huge(g, 512);
	write_huge(g, 3 * 512);
	/* set aside: those are cleared at once */
	sys(fallocate(g->fd, 0, HUGE + 4 * HUGE, HUGE));
	memset(g->kind + 4 * 512, ZERO, 512);
	guest_check(g);
	must(footprint(g).free_huge == 5);
	guest_free(g);
	want_huge(0);
}

/* Through the file, of which nothing is mapped. */
static void only_cached(void **state)
{
	struct guest *g = guest_new(4 * 512);
	uint8_t *base;

	(void)state;
	huge_needed(8);
	huge_file(g);
	base = g->base = mmap(NULL, g->pages * PAGE, RW, MAP_SHARED | MAP_NORESERVE, g->fd, 0);
	must(base != MAP_FAILED);
	write_huge(g, 2 * 512);
	munmap(base, g->pages * PAGE);
	g->base = NULL;
	guest_map(g, 0, RW, MAP_SHARED, g->fd, 0);
	guest_check(g);
	must(footprint(g).free_huge == 7);
	guest_free(g);
	want_huge(0);
}

static void private(void **state)
{
	(void)state;
	huge_needed(8);
	for (unsigned int how = 0; how < 3; how++) {
		struct guest *g = guest_new(5 * 512);
		int fd;

		huge_file(g);
		fd = g->fd;
		g->fd = -1;
		if (how == 1) {
			/* the file has data, and of that, some is hidden */
			guest_map(g, 0, RW, MAP_SHARED, fd, 0);
			write_huge(g, 0);
			write_huge(g, 512);
			munmap(g->area, g->area_length);
		}
		if (how == 2)
			guest_map(g, 0, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
		else
			guest_map(g, 0, RW, MAP_PRIVATE, fd, 0);
		write_huge(g, 512);
		write_huge(g, 3 * 512);
		/* what only the file has is mapped when it is needed */
		g->maps = how == 1;
		guest_check(g);
		guest_free(g);
		close(fd);
	}
	want_huge(0);
}

/* Shared by fork: a huge page is not copied for our sake. */
static void forked(void **state)
{
	struct guest *g = guest_new(3 * 512);

	(void)state;
	huge_needed(4);
	guest_map(g, 0, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	write_huge(g, 512);
	g->other = child(wait_for_death, NULL);
	guest_check(g);
	must(footprint(g).free_huge == 3);
	guest_free(g);
	want_huge(0);
}

/* The first GiB holds data, the second is a hole; the block is where they meet. */
static void giant(void **state)
{
	static const char nr[] =
		"/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages";

	(void)state;
	if (access(nr, R_OK) || file_number(nr, NULL) < 1)
		skip_since("no page of 1 GiB");
	for (unsigned int private = 0; private < 2; private++) {
		struct guest *g = guest_new(2 * PAGES);
		int fd = sys(memfd_create("giant", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_1GB));
		uint8_t *map, *place = guest_place(g, GIB, 0);

		munmap(g->area, g->area_length);
		sys(ftruncate(fd, 2 * GIB));
		map = mmap(place, 2 * GIB, RW, (private ? MAP_PRIVATE : MAP_SHARED) | MAP_NORESERVE,
			   fd, 0);
		must(map != MAP_FAILED);
		g->area = map;
		g->area_length = 2 * GIB;
		g->base = map + GIB - PAGES * PAGE;
		g->offset = GIB - PAGES * PAGE;
		for (uint64_t page = 0; page < PAGES; page++) {
			g->kind[page] = ZERO;
			if (page % 3)
				guest_write(g, page, DATA);
		}
		if (!private)
			g->fd = fd;
		guest_check(g);
		must(footprint(g).free_giant == file_number(nr, NULL) - 1);
		guest_free(g);
		if (private)
			close(fd);
	}
}

static void too_short(void **state)
{
	(void)state;
	huge_needed(4);
	for (unsigned int private = 0; private < 2; private++) {
		struct guest *g = guest_new(4 * 512);

		huge_file(g);
		guest_map(g, 0, RW, private ? MAP_PRIVATE : MAP_SHARED, g->fd, 0);
		sys(ftruncate(g->fd, 2 * HUGE));
		write_huge(g, 512);
		guest_fails(g, false, EFAULT, 1024);
		if (!private)
			guest_fails(g, true, EFAULT, 1024);
		guest_free(g);
	}
	want_huge(0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(shared),
		cmocka_unit_test(only_cached),
		cmocka_unit_test(private),
		cmocka_unit_test(forked),
		cmocka_unit_test(giant),
		cmocka_unit_test(too_short),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

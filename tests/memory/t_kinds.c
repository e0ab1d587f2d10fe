// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every kind of memory that a VMM may have: the right bytes arrive, counted for
 * what they are, and at the source nothing is populated, unshared, swapped in
 * without need, or marked dirty.
 */
#include "guest.h"

#include <linux/memfd.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define KSM "/sys/kernel/mm/ksm/"
#define THP "/sys/kernel/mm/transparent_hugepage/"
#define RW (PROT_READ | PROT_WRITE)

/* Not a multiple of anything. */
enum { PAGES = 1037 };

/* --- private anonymous memory */

static struct guest *anonymous(uint64_t pages, int advice)
{
	struct guest *g = guest_new(pages);

	guest_map(g, 3, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sys(madvise(g->base, pages * PAGE, advice));
	return g;
}

static void anon_small(void **state)
{
	struct guest *g = anonymous(PAGES, MADV_NOHUGEPAGE);

	(void)state;
	g->written = true;
	guest_mix(g, 1, ABSENT, guest_write);
	guest_check(g);
	guest_free(g);
}

static void anon_untouched(void **state)
{
	(void)state;
	for (unsigned int huge = 0; huge < 2; huge++) {
		struct guest *g = anonymous(8 * 512, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);

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
static void anon_huge(void **state)
{
	struct guest *g = guest_new(4 * 512 + 100);
	uint64_t page;

	(void)state;
	guest_map(g, 512 - 50, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sys(madvise(g->base, g->pages * PAGE, MADV_HUGEPAGE));
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
static void anon_zero_page(void **state)
{
	(void)state;
	for (unsigned int huge = 0; huge < 2; huge++) {
		struct guest *g = anonymous(4 * 512, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);

		for (uint64_t page = 0; page < g->pages; page++)
			guest_read(g, page, ABSENT);
		for (uint64_t page = 512 - 3; huge && page < 4 * 512 - 3; page++)
			g->kind[page] = huge_zero();
		g->written = true;
		guest_check(g);
		guest_free(g);
	}
}

/* Map what is there, or about one of each @every / 2. */
static void touch(struct guest *g, unsigned int every)
{
	for (uint64_t page = 0; page < g->pages; page += 1 + page % every) {
		if (g->kind[page] != ABSENT)
			(void)*(volatile uint8_t *)(g->base + page * PAGE);
	}
}

static void page_out(struct guest *g)
{
	long swap;

	sys(madvise(g->base, g->pages * PAGE, MADV_PAGEOUT));
	/* pages on their way there are counted when they are gone */
	swap = guest_smaps(g, "Swap");
	must(swap > 0, "nothing went to swap");
}

static void anon_swapped(void **state)
{
	(void)state;
	if (!have_swap())
		skip();
	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
		struct guest *g = anonymous(PAGES, MADV_NOHUGEPAGE);

		g->swaps_in = true;
		guest_mix(g, 4 + i, ABSENT, guest_write);
		page_out(g);
		must(guest_smaps(g, "Swap") >= 4 * (long)guest_count(g, DATA) * 9 / 10);
		guest_send(g, false, &ways[i]);
		guest_free(g);
	}
}

/* Some of it is back, and the swap space still has a copy. */
static void anon_swap_cache(void **state)
{
	struct guest *g;

	(void)state;
	if (!have_swap())
		skip();
	g = anonymous(PAGES, MADV_NOHUGEPAGE);
	g->swaps_in = true;
	guest_mix(g, 6, ABSENT, guest_write);
	page_out(g);
	touch(g, 5);
	guest_check(g);
	guest_free(g);
}

/* Swapped as a whole while huge. */
static void anon_swapped_huge(void **state)
{
	struct guest *g;

	(void)state;
	if (!have_swap())
		skip();
	g = anonymous(4 * 512, MADV_HUGEPAGE);
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
static void anon_ksm(void **state)
{
	(void)state;
	for (unsigned int zero_pages = 0; zero_pages < 2; zero_pages++) {
		struct guest *g = anonymous(PAGES, MADV_NOHUGEPAGE);
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

static void wait_for_death(void *arg)
{
	(void)arg;
	for (;;)
		pause();
}

/* Shared with a child; part of it has been written since, by one of the two. */
static void anon_forked(void **state)
{
	struct guest *g = anonymous(PAGES, MADV_NOHUGEPAGE);
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
static void anon_forked_huge(void **state)
{
	struct guest *g = guest_new(1024);

	(void)state;
	guest_map(g, 0, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sys(madvise(g->base, g->pages * PAGE, MADV_HUGEPAGE));
	for (uint64_t page = 0; page < 1024; page++)
		guest_write(g, page, DATA);
	must(guest_smaps(g, "AnonHugePages") == 4096);
	g->other = child(wait_for_death, NULL);
	g->written = true;
	guest_check(g);
	guest_free(g);
}

/* Given up, though still there as long as nobody is short of memory. */
static void anon_free(void **state)
{
	struct guest *g = anonymous(PAGES, MADV_NOHUGEPAGE);

	(void)state;
	guest_mix(g, 9, ABSENT, guest_write);
	sys(madvise(g->base, g->pages * PAGE, MADV_FREE));
	guest_check(g);
	guest_free(g);
}

/* --- write-protected by userfaultfd: nobody is to be told of our reading */

static int uffd_wp(struct guest *g)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	struct uffdio_register reg = {
		.range = { (uintptr_t)g->base, g->pages * PAGE },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect wp = { .range = reg.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	int uffd = sys(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));

	sys(ioctl(uffd, UFFDIO_API, &api));
	if (ioctl(uffd, UFFDIO_REGISTER, &reg)) {
		close(uffd);
		return -1;
	}
	sys(ioctl(uffd, UFFDIO_WRITEPROTECT, &wp));
	return uffd;
}

#define PAGEMAP_WP (1ull << 57)
static uint64_t write_protected(struct guest *g)
{
	uint64_t *entry = malloc(g->pages * 8), count = 0;

	must(entry);
	guest_pagemap(g, entry);
	for (uint64_t page = 0; page < g->pages; page++)
		count += !!(entry[page] & PAGEMAP_WP);
	free(entry);
	return count;
}

static void protected(struct guest *g)
{
	int uffd = uffd_wp(g);
	uint64_t count;

	if (uffd < 0) {
		guest_free(g);
		skip();
	}
	count = write_protected(g);
	must(count);
	guest_check(g);
	must(write_protected(g) == count);
	must(!readable(uffd), "a fault was reported");
	close(uffd);
	guest_free(g);
}

static void anon_write_protected(void **state)
{
	struct guest *g = anonymous(PAGES, MADV_NOHUGEPAGE);

	(void)state;
	guest_mix(g, 10, ABSENT, guest_write);
	protected(g);
}

/* --- shared memory of files without a disk */

static struct guest *shared_memfd(uint64_t pages, uint64_t offset, unsigned int flags)
{
	struct guest *g = guest_new(pages);

	g->fd = sys(memfd_create("ram", MFD_CLOEXEC | flags));
	g->offset = offset;
	sys(ftruncate(g->fd, offset + pages * PAGE));
	guest_map(g, 0, RW, MAP_SHARED, g->fd, offset);
	return g;
}

static void shmem_mapped(void **state)
{
	struct guest *g = shared_memfd(PAGES, 0, 0);

	(void)state;
	guest_mix(g, 11, ZERO, guest_write);
	g->written = true;
	guest_check(g);
	guest_free(g);
}

/* The block is somewhere in the middle of its file. */
static void shmem_offset(void **state)
{
	struct guest *g = shared_memfd(PAGES, 333 * PAGE, 0);

	(void)state;
	sys(ftruncate(g->fd, GIB));
	guest_mix(g, 12, ZERO, guest_write);
	for (uint64_t page = 0; page < 333; page++)
		must(pwrite(g->fd, "before", 6, page * PAGE) == 6);
	must(pwrite(g->fd, "behind", 6, (333 + PAGES) * PAGE) == 6);
	guest_check(g);
	guest_free(g);
}

static void shmem_only_cached(void **state)
{
	struct guest *g = shared_memfd(PAGES, 0, 0);
	uint8_t *base = g->base;

	(void)state;
	/* not by reading its holes either */
	g->base = NULL;
	guest_mix(g, 13, ZERO, guest_pwrite);
	g->base = base;
	guest_check(g);
	must(!guest_smaps(g, "Rss"));
	guest_free(g);
}

/* The same with a mapping that forbids writing, of an fd that does, too. */
static void shmem_read_only(void **state)
{
	struct guest *g = guest_new(PAGES);
	int fd = sys(memfd_create("ram", MFD_CLOEXEC));
	char path[32];

	(void)state;
	sys(ftruncate(fd, PAGES * PAGE));
	g->fd = fd;
	guest_mix(g, 14, ZERO, guest_pwrite);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	g->fd = sys(open(path, O_RDONLY | O_CLOEXEC));
	guest_map(g, 0, PROT_READ, MAP_SHARED, g->fd, 0);
	guest_check(g);
	guest_free(g);
	close(fd);
}

static void shmem_swapped(void **state)
{
	(void)state;
	if (!have_swap())
		skip();
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(ways); i++) {
		struct guest *g = shared_memfd(PAGES, 0, 0);
		uint8_t *base = g->base;

		g->swaps_in = true;
		/* what is only read would not go to swap, but get lost again */
		g->base = NULL;
		guest_mix(g, 15 + i, ZERO, guest_pwrite);
		g->base = base;
		touch(g, 1);
		page_out(g);
		guest_send(g, i & 1, &ways[i / 2]);
		guest_free(g);
	}
}

/* Room that was set aside holds nothing, though each page of it is there. */
static void shmem_fallocated(void **state)
{
	struct guest *g = shared_memfd(PAGES, 0, 0);
	uint8_t *base = g->base;

	(void)state;
	sys(fallocate(g->fd, 0, 0, PAGES * PAGE));
	must(footprint(g).file == PAGES * 4);
	guest_check(g);
	/* now some of it is written */
	g->base = NULL;
	guest_mix(g, 16, ZERO, guest_pwrite);
	g->base = base;
	guest_check(g);
	must(!guest_smaps(g, "Rss"));
	guest_free(g);
}

static void shmem_huge(void **state)
{
	struct guest *g;

	(void)state;
	file_put(THP "shmem_enabled", "force");
	g = shared_memfd(4 * 512, 0, 0);
	for (uint64_t page = 0; page < 1024; page++)
		g->kind[page] = ZERO;
	for (uint64_t page = 0; page < 512; page++)
		guest_write(g, page, DATA);
	guest_write(g, 512 + 300, DATA);
	/* one that was set aside; writing to a part of it clears all of it */
	sys(fallocate(g->fd, 0, 3 * HUGE, HUGE));
	file_put(THP "shmem_enabled", "never");
	must(footprint(g).file == 3 * 2048);
	must(guest_smaps(g, "ShmemPmdMapped") == 4096);
	g->written = true;
	guest_check(g);
	for (uint64_t page = 3 * 512; page < 4 * 512; page++)
		g->kind[page] = ZERO;
	guest_pwrite(g, 3 * 512 + 44, DATA);
	guest_check(g);
	must(guest_smaps(g, "ShmemPmdMapped") == 4096);
	guest_free(g);
}

/* A huge page, of which a part was given back. */
static void shmem_huge_punched(void **state)
{
	struct guest *g;

	(void)state;
	file_put(THP "shmem_enabled", "force");
	g = shared_memfd(2 * 512, 0, 0);
	for (uint64_t page = 0; page < 2 * 512; page++)
		guest_write(g, page, DATA);
	/* or khugepaged would fill the hole when it comes by */
	file_put(THP "shmem_enabled", "never");
	sys(madvise(g->base + 100 * PAGE, 700 * PAGE, MADV_REMOVE));
	memset(g->kind + 100, ABSENT, 700);
	/* where it could not be split, it was cleared instead */
	if (footprint(g).file == 2 * 2048)
		memset(g->kind + 100, ZERO, 700);
	else
		must(footprint(g).file == 4 * (1024 - 700), "%ld", footprint(g).file);
	guest_check(g);
	guest_free(g);
}

static void shmem_write_protected(void **state)
{
	struct guest *g = shared_memfd(PAGES, 0, 0);

	(void)state;
	guest_mix(g, 17, ZERO, guest_write);
	protected(g);
}

static void shmem_sealed(void **state)
{
	struct guest *g = shared_memfd(PAGES, 0, MFD_ALLOW_SEALING);

	(void)state;
	guest_mix(g, 18, ZERO, guest_write);
	munmap(g->base, PAGES * PAGE);
	sys(fcntl(g->fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
	g->base = NULL;
	guest_check(g);
	guest_free(g);
	g = shared_memfd(PAGES, 0, MFD_ALLOW_SEALING);
	guest_mix(g, 19, ZERO, guest_write);
	sys(fcntl(g->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	guest_check(g);
	guest_free(g);
}

static void shared_anonymous(void **state)
{
	struct guest *g = guest_new(PAGES);
	char path[64];

	(void)state;
	guest_map(g, 0, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)g->base,
		 (unsigned long)g->base + PAGES * PAGE);
	g->fd = sys(open(path, O_RDWR | O_CLOEXEC));
	guest_mix(g, 20, ZERO, guest_write);
	g->written = true;
	guest_check(g);
	guest_free(g);
}

static void system_v(void **state)
{
	struct guest *g = guest_new(PAGES);
	int id = sys(shmget(IPC_PRIVATE, PAGES * PAGE, IPC_CREAT | 0600));
	void *place = guest_place(g, HUGE, 0);
	char path[64];

	(void)state;
	g->base = shmat(id, place, SHM_REMAP);
	must(g->base == place);
	sys(shmctl(id, IPC_RMID, NULL));
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)g->base,
		 (unsigned long)g->base + PAGES * PAGE);
	g->fd = sys(open(path, O_RDWR | O_CLOEXEC));
	guest_mix(g, 21, ZERO, guest_write);
	guest_check(g);
	guest_free(g);
}

static void tmpfs_file(void **state)
{
	static const char path[] = "/dev/shm/kinds";

	(void)state;
	for (unsigned int huge = 0; huge < 2; huge++) {
		struct guest *g = guest_new(huge ? 3 * 512 : PAGES);

		if (huge)
			sys(mount("huge", "/dev/shm", "tmpfs", 0, "huge=always"));
		g->fd = sys(open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
		sys(unlink(path));
		sys(ftruncate(g->fd, g->pages * PAGE));
		guest_map(g, 0, RW, MAP_SHARED, g->fd, 0);
		if (!huge) {
			guest_mix(g, 22, ZERO, guest_write);
		} else {
			for (uint64_t page = 512; page < 1024; page++)
				g->kind[page] = ZERO;
			guest_write(g, 700, DATA);
			must(footprint(g).file == 2048);
		}
		guest_check(g);
		guest_free(g);
		if (huge)
			sys(umount("/dev/shm"));
	}
}

/* --- a private mapping of such a file: own pages over the file's over holes */

static void private_shmem(void **state)
{
	struct guest *g = guest_new(PAGES);
	int fd = sys(memfd_create("ram", MFD_CLOEXEC));
	uint64_t seed = 23;

	(void)state;
	sys(ftruncate(fd, 100 * PAGE + PAGES * PAGE));
	g->fd = fd;
	g->offset = 100 * PAGE;
	guest_mix(g, 23, ZERO, guest_pwrite);
	/* the file is not the block: some of it is hidden */
	g->fd = -1;
	guest_map(g, 5, RW, MAP_PRIVATE, fd, 100 * PAGE);
	for (uint64_t page = 0; page < PAGES; page++) {
		switch (rnd_below(&seed, 6)) {
		case 0:
			guest_write(g, page, DATA);
			break;
		case 1:
			guest_write(g, page, ZERO);
			break;
		case 2: {
			/* own, and given up again */
			uint64_t id = g->id[page];
			enum kind kind = g->kind[page];

			guest_write(g, page, DATA);
			sys(madvise(g->base + page * PAGE, PAGE, MADV_DONTNEED));
			g->id[page] = id;
			/* by the way, the file has got a page */
			g->kind[page] = kind == ABSENT ? ZERO : kind;
			break;
		}
		case 3:
			guest_read(g, page, ZERO);
		}
	}
	/* the file's pages are mapped when they are needed */
	g->maps = true;
	guest_check(g);
	guest_free(g);
	close(fd);
}

static void private_shmem_swapped(void **state)
{
	struct guest *g;
	int fd;

	(void)state;
	if (!have_swap())
		skip();
	g = guest_new(PAGES);
	fd = sys(memfd_create("ram", MFD_CLOEXEC));
	sys(ftruncate(fd, PAGES * PAGE));
	g->fd = fd;
	guest_mix(g, 24, ZERO, guest_pwrite);
	guest_map(g, 5, RW, MAP_PRIVATE, fd, 0);
	g->fd = -1;
	for (uint64_t page = 0; page < PAGES; page += 1 + page % 4)
		guest_write(g, page, DATA);
	page_out(g);
	g->swaps_in = true;
	g->maps = true;
	guest_check(g);
	guest_free(g);
	close(fd);
}

/* --- huge pages of hugetlbfs */

static bool want_huge(long pages)
{
	sysfs_put("/proc/sys/vm/nr_hugepages", pages);
	return file_number("/proc/sys/vm/nr_hugepages", NULL) >= pages;
}

/* A whole huge page that holds data: every third of its pages. */
static void write_huge(struct guest *g, uint64_t page, bool through_file)
{
	for (uint64_t i = page; i < page + 512; i++) {
		g->kind[i] = ZERO;
		if (i % 3)
			continue;
		if (!through_file) {
			guest_write(g, i, DATA);
			continue;
		}
		g->kind[i] = DATA;
		g->id[i] = 5000000 + i;
	}
}

static void huge_file(struct guest *g)
{
	g->fd = sys(memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB));
	sys(ftruncate(g->fd, g->offset + g->pages * PAGE));
}

static void hugetlb_shared(void **state)
{
	struct guest *g = guest_new(5 * 512);

	(void)state;
	if (!want_huge(8))
		skip();
	g->offset = HUGE;
	huge_file(g);
	guest_map(g, 0, RW, MAP_SHARED, g->fd, HUGE);
	write_huge(g, 512, false);
	write_huge(g, 3 * 512, false);
	/* set aside: those are cleared at once */
	sys(fallocate(g->fd, 0, HUGE + 4 * HUGE, HUGE));
	memset(g->kind + 4 * 512, ZERO, 512);
	guest_check(g);
	must(footprint(g).free_huge == 5);
	guest_free(g);
	want_huge(0);
}

/* Through the file, of which nothing is mapped. */
static void hugetlb_only_cached(void **state)
{
	struct guest *g = guest_new(4 * 512);
	uint8_t *base;

	(void)state;
	if (!want_huge(8))
		skip();
	huge_file(g);
	base = g->base = mmap(NULL, g->pages * PAGE, RW, MAP_SHARED | MAP_NORESERVE, g->fd, 0);
	must(base != MAP_FAILED);
	write_huge(g, 2 * 512, false);
	munmap(base, g->pages * PAGE);
	g->base = NULL;
	guest_map(g, 0, RW, MAP_SHARED, g->fd, 0);
	guest_check(g);
	must(footprint(g).free_huge == 7);
	guest_free(g);
	want_huge(0);
}

static void hugetlb_private(void **state)
{
	(void)state;
	if (!want_huge(8))
		skip();
	for (unsigned int how = 0; how < 3; how++) {
		struct guest *g = guest_new(5 * 512);
		int fd;

		huge_file(g);
		fd = g->fd;
		g->fd = -1;
		if (how == 1) {
			/* the file has data, and of that, some is hidden */
			guest_map(g, 0, RW, MAP_SHARED, fd, 0);
			write_huge(g, 0, false);
			write_huge(g, 512, false);
			munmap(g->area, g->area_length);
		}
		if (how == 2)
			guest_map(g, 0, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
		else
			guest_map(g, 0, RW, MAP_PRIVATE, fd, 0);
		write_huge(g, 512, false);
		write_huge(g, 3 * 512, false);
		/* what only the file has is mapped when it is needed */
		g->maps = how == 1;
		guest_check(g);
		guest_free(g);
		close(fd);
	}
	want_huge(0);
}

/* Shared by fork: a huge page is not copied for our sake. */
static void hugetlb_forked(void **state)
{
	struct guest *g = guest_new(3 * 512);

	(void)state;
	if (!want_huge(4))
		skip();
	guest_map(g, 0, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	write_huge(g, 512, false);
	g->other = child(wait_for_death, NULL);
	guest_check(g);
	must(footprint(g).free_huge == 3);
	guest_free(g);
	want_huge(0);
}

/* The first GiB holds data, the second is a hole; the block is where they meet. */
static void hugetlb_giant(void **state)
{
	static const char nr[] =
		"/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages";

	(void)state;
	if (access(nr, R_OK) || file_number(nr, NULL) < 1)
		skip();
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

/* --- files on a disk */

#define DISK "/run/kinds.disk"
#define DISK_MOUNT "/run/kinds"

/* An ext4 in a file; returns the fd of a file in it. */
static int disk_file(void)
{
	int fd;

	if (access(DISK_MOUNT "/lost+found", F_OK)) {
		if (system("modprobe -q loop && modprobe -q ext4 && "
			   "truncate -s 64M " DISK " && mke2fs -q -t ext4 -F " DISK " && "
			   "mkdir -p " DISK_MOUNT " && mount -o loop " DISK " " DISK_MOUNT))
			return -1;
	}
	fd = sys(open(DISK_MOUNT "/image", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
	return fd;
}

static void disk_done(int fd)
{
	close(fd);
	must(!system("umount " DISK_MOUNT " && rm -f " DISK));
}

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


static void disk(int prot, int flags)
{
	static const char *const states[] = { "cached", "mapped", "evicted" };
	int fd = disk_file();

	if (fd < 0)
		skip();
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

static void disk_shared(void **state)
{
	(void)state;
	disk(PROT_READ | PROT_WRITE, MAP_SHARED);
}

static void disk_read_only(void **state)
{
	(void)state;
	disk(PROT_READ, MAP_SHARED);
}

static void disk_private(void **state)
{
	(void)state;
	disk(PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

/* --- what cannot be read: never zero, and named to the page */

static void guarded(void **state)
{
	static const struct {
		const char *name;
		uint64_t page, pages;
		int prot;	/* -1: nothing is mapped there */
	} guards[] = {
		{ "none in the middle", 500, 3, PROT_NONE },
		{ "none at the start", 0, 1, PROT_NONE },
		{ "none at the end", PAGES - 1, 1, PROT_NONE },
		{ "nothing in the middle", 700, 100, -1 },
		{ "nothing at the end", PAGES - 40, 40, -1 },
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(guards) * 3; i++) {
		bool untouched = i % 3 == 1, file = i % 3 == 2;
		struct guest *g = guest_new(PAGES);
		uint8_t *at;
		int fd = -1;

		if (file) {
			fd = sys(memfd_create("ram", MFD_CLOEXEC));
			sys(ftruncate(fd, PAGES * PAGE));
		}
		guest_map(g, 0, RW, file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
		sys(madvise(g->base, PAGES * PAGE, MADV_NOHUGEPAGE));
		if (!untouched)
			guest_mix(g, 26 + i, file ? ZERO : ABSENT, guest_write);
		at = g->base + guards[i / 3].page * PAGE;
		if (guards[i / 3].prot < 0)
			sys(munmap(at, guards[i / 3].pages * PAGE));
		else
			sys(mprotect(at, guards[i / 3].pages * PAGE, guards[i / 3].prot));
		guest_fails(g, false, EFAULT, guards[i / 3].page);
		guest_free(g);
		if (file)
			close(fd);
	}
}

/* Guards that are not among the pages to be sent do not matter. */
static void guard_left_out(void **state)
{
	struct mzp_setup setup = setup_for(1);
	struct guest *g = anonymous(PAGES, MADV_NOHUGEPAGE);
	struct mzp_range range[2];
	struct mzp_send send = {
		.size = sizeof(send),
		.format = MZP_SEND_RANGES,
		.page_count = PAGES,
		.input = (uintptr_t)range,
		.nr_ranges = 2,
	};
	struct session s;
	struct mzp_wait w;
	struct rx rx;

	(void)state;
	guest_mix(g, 50, ABSENT, guest_write);
	sys(mprotect(g->base + 300 * PAGE, 9 * PAGE, PROT_NONE));
	range[0] = (struct mzp_range){ 0, 300 * PAGE, 0 };
	range[1] = (struct mzp_range){ 309 * PAGE, PAGES * PAGE, 0 };
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	rx_add_block(&rx, "ram", PAGES, NULL);
	send.block_id = session_block(&s, "ram", g->base, PAGES * PAGE);
	works(mzp(s.fd, MZP_IOC_SEND, &send));
	session_sync(&s);
	rx_round(&rx);
	w = session_wait(&s, send.job_id);
	must(w.submitted == PAGES - 9);
	session_close(&s);
	rx_free(&rx);
	guest_free(g);
}

/* Where the file has ended, memory is mapped though there is none. */
static void file_too_short(void **state)
{
	(void)state;
	for (unsigned int private = 0; private < 2; private++) {
		struct guest *g = guest_new(PAGES);

		g->fd = sys(memfd_create("ram", MFD_CLOEXEC));
		sys(ftruncate(g->fd, PAGES * PAGE));
		guest_map(g, 0, RW, private ? MAP_PRIVATE : MAP_SHARED, g->fd, 0);
		guest_mix(g, 51, ZERO, guest_pwrite);
		/* the last page is there in part */
		sys(ftruncate(g->fd, 600 * PAGE + 1));
		if (g->kind[600] == DATA) {
			uint64_t page[PAGE / 8] = { 0 };

			must(pwrite(g->fd, page, PAGE, 600 * PAGE) == PAGE);
			g->kind[600] = ZERO;
		}
		sys(ftruncate(g->fd, 600 * PAGE + 1));
		guest_fails(g, false, EFAULT, 601);
		if (!private)
			guest_fails(g, true, EFAULT, 601);
		sys(ftruncate(g->fd, 0));
		guest_fails(g, false, EFAULT, 0);
		if (!private)
			guest_fails(g, true, EFAULT, 0);
		guest_free(g);
	}
}

static void disk_too_short(void **state)
{
	int fd = disk_file();

	(void)state;
	if (fd < 0)
		skip();
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

static void hugetlb_too_short(void **state)
{
	(void)state;
	if (!want_huge(4))
		skip();
	for (unsigned int private = 0; private < 2; private++) {
		struct guest *g = guest_new(4 * 512);

		huge_file(g);
		guest_map(g, 0, RW, private ? MAP_PRIVATE : MAP_SHARED, g->fd, 0);
		sys(ftruncate(g->fd, 2 * HUGE));
		write_huge(g, 512, false);
		guest_fails(g, false, EFAULT, 1024);
		if (!private)
			guest_fails(g, true, EFAULT, 1024);
		guest_free(g);
	}
	want_huge(0);
}

/* Broken memory is an error of its own. */
static void poisoned(void **state)
{
	(void)state;
	for (unsigned int shared = 0; shared < 2; shared++) {
		struct guest *g = shared ? shared_memfd(PAGES, 0, 0) :
					   anonymous(PAGES, MADV_NOHUGEPAGE);

		for (uint64_t page = 0; page < PAGES; page++)
			guest_write(g, page, DATA);
		if (madvise(g->base + 444 * PAGE, PAGE, MADV_HWPOISON)) {
			must(errno == EINVAL || errno == EPERM);
			guest_free(g);
			skip();
		}
		guest_fails(g, false, EHWPOISON, 444);
		if (shared)
			guest_fails(g, true, EHWPOISON, 444);
		guest_free(g);
	}
}

/* --- memory by fd: which files, and whose */

static int add_fd(struct session *s, int fd)
{
	uint32_t id;
	int err = mzp_block_add_fd(s->fd, "file", fd, 0, HUGE, &id);

	if (!err)
		works(mzp_block_remove(s->fd, id));
	return err;
}

static void refused(void **state)
{
	struct mzp_setup setup = setup_for(1);
	struct session s;
	int fd, disk, p[2];
	char path[64];

	(void)state;
	session_open(&s, &setup);
	/* one that is fine */
	fd = sys(memfd_create("ram", MFD_CLOEXEC));
	works(add_fd(&s, fd));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	close(fd);
	gives(EBADF, add_fd(&s, fd));
	gives(EBADF, add_fd(&s, -1));
	gives(EBADF, add_fd(&s, 1 << 20));

	fd = sys(memfd_create("ram", MFD_CLOEXEC));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	disk = sys(open(path, O_WRONLY | O_CLOEXEC));
	gives(EACCES, add_fd(&s, disk));
	close(disk);
	/* names it, but does not open it */
	disk = sys(open(path, O_PATH | O_CLOEXEC));
	gives(EBADF, add_fd(&s, disk));
	close(disk);
	close(fd);

	disk = disk_file();
	if (disk >= 0) {
		gives(EOPNOTSUPP, add_fd(&s, disk));
		disk_done(disk);
	}
	fd = sys(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	gives(EOPNOTSUPP, add_fd(&s, fd));
	close(fd);
	fd = sys(open("/dev/zero", O_RDWR | O_CLOEXEC));
	gives(EOPNOTSUPP, add_fd(&s, fd));
	close(fd);
	fd = sys(open("/dev/mem", O_RDONLY | O_CLOEXEC));
	gives(EOPNOTSUPP, add_fd(&s, fd));
	close(fd);
	fd = sys(open("/proc/self/status", O_RDONLY | O_CLOEXEC));
	gives(EOPNOTSUPP, add_fd(&s, fd));
	close(fd);
	fd = sys(open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	gives(EOPNOTSUPP, add_fd(&s, fd));
	close(fd);
	sys(pipe2(p, O_CLOEXEC));
	gives(EOPNOTSUPP, add_fd(&s, p[0]));
	gives(EACCES, add_fd(&s, p[1]));
	close(p[0]);
	close(p[1]);
	gives(EOPNOTSUPP, add_fd(&s, s.fd));
	gives(EOPNOTSUPP, add_fd(&s, s.ch[0]));
	session_close(&s);
}

/* Secrets are not for the kernel to read, by no way. */
static void secret(void **state)
{
	struct mzp_setup setup = setup_for(1);
	int fd = syscall(SYS_memfd_secret, O_CLOEXEC);
	struct guest *g;
	struct session s;

	(void)state;
	if (fd < 0)
		skip();
	g = guest_new(16);
	sys(ftruncate(fd, g->pages * PAGE));
	guest_map(g, 0, RW, MAP_SHARED, fd, 0);
	memset(g->base + 5 * PAGE, 0x42, PAGE);
	session_open(&s, &setup);
	gives(EOPNOTSUPP, add_fd(&s, fd));
	session_close(&s);
	/* it is mapped and accessible, only not to the kernel */
	guest_fails(g, false, EFAULT, 0);
	guest_free(g);
	close(fd);
}

struct vmm {
	int ready[2];
	struct guest *g;
};

static void be_vmm(void *arg)
{
	struct vmm *vmm = arg;

	sys(write(vmm->ready[1], "", 1));
	wait_for_death(NULL);
}

/* The memory is another process's, and only its /proc says where. */
static void other_process(void **state)
{
	(void)state;
	for (unsigned int huge = 0; huge < 2; huge++) {
		struct guest *g = guest_new(huge ? 3 * 512 : PAGES);
		struct vmm vmm = { .g = g };
		char path[64], c;
		int fd;

		if (huge && !want_huge(4)) {
			guest_free(g);
			break;
		}
		if (huge) {
			huge_file(g);
			guest_map(g, 0, RW, MAP_SHARED, g->fd, 0);
			write_huge(g, 512, false);
			munmap(g->area, g->area_length);
			g->area = g->base = NULL;
		} else {
			g->fd = sys(memfd_create("ram", 0));
			sys(ftruncate(g->fd, PAGES * PAGE));
			guest_mix(g, 60, ZERO, guest_pwrite);
		}
		sys(pipe2(vmm.ready, O_CLOEXEC));
		g->other = child(be_vmm, &vmm);
		must(read(vmm.ready[0], &c, 1) == 1);
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", g->other, g->fd);
		fd = sys(open(path, O_RDONLY | O_CLOEXEC));
		must(fd != g->fd);
		/* from now on it is only his */
		close(g->fd);
		g->fd = fd;
		guest_check(g);
		guest_free(g);
		close(vmm.ready[0]);
		close(vmm.ready[1]);
	}
	want_huge(0);
}

static long channel_stat(int fd, const char *key)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return file_number(path, key);
}

/*
 * The ring is full and the job far from its end when the file changes: what is
 * in the ring stays as it was, and the rest is as it is now.
 */
static void change_midway(bool truncate)
{
	struct mzp_setup setup = setup_for(1);
	enum { BIG = 8192, RING = 2 * 128 };
	struct guest *g = shared_memfd(BIG, 0, 0);
	static const uint8_t nothing[PAGE];
	uint64_t job, page, first, in_ring;

	for (unsigned int by_fd = 0; by_fd < 2; by_fd++) {
		struct mzp_wait w = { 0 };
		struct session s;
		struct rx_block *b;
		struct rx rx;
		uint32_t id;

		sys(ftruncate(g->fd, BIG * PAGE));
		for (page = 0; page < BIG; page++)
			guest_write(g, page, DATA);
		setup.ring_packets = 2;
		session_open(&s, &setup);
		rx_init(&rx, &s, RX_SPLICE);
		b = rx_add_block(&rx, "ram", BIG, NULL);
		if (by_fd)
			works(mzp_block_add_fd(s.fd, "ram", g->fd, 0, BIG * PAGE, &id));
		else
			id = session_block(&s, "ram", g->base, BIG * PAGE);
		job = session_send(&s, id, 0, BIG, 0);
		until(channel_stat(s.ch[0], "mzp-ring-full:"));
		gives(ETIMEDOUT, mzp_wait(s.fd, job, 0, &w));
		in_ring = w.normal;
		must(in_ring && in_ring <= RING, "%ju", (uintmax_t)in_ring);
		session_sync(&s);
		if (truncate)
			sys(ftruncate(g->fd, BIG / 2 * PAGE));
		else
			sys(fallocate(g->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE * 1,
				      (BIG - 1) * PAGE));
		rx_round(&rx);
		works(mzp_wait(s.fd, job, -1, &w));
		if (truncate) {
			must(w.error == EFAULT);
			must(w.error_offset == BIG / 2 * PAGE, "%jx", (uintmax_t)w.error_offset);
			must(w.normal == BIG / 2);
		} else {
			must(!w.error);
			must(w.normal + w.absent == BIG && !w.zero);
			must(w.normal >= in_ring && w.normal <= in_ring + 128);
		}
		first = truncate ? BIG / 2 : w.normal;
		for (page = 0; page < BIG; page++) {
			const uint8_t *got = b->shadow + page * PAGE;
			uint64_t want[PAGE / 8];

			if (page >= first) {
				must(b->seen[page] == (truncate ? RX_NOTHING : RX_ZERO),
				     "page %ju", (uintmax_t)page);
				must(!memcmp(got, nothing, PAGE));
				continue;
			}
			guest_data(want, g->id[page]);
			must(b->seen[page] == RX_NORMAL);
			must(!memcmp(got, want, PAGE), "page %ju is wrong", (uintmax_t)page);
		}
		session_close(&s);
		rx_free(&rx);
	}
	guest_free(g);
}

static void punched_midway(void **state)
{
	(void)state;
	change_midway(false);
}

static void truncated_midway(void **state)
{
	(void)state;
	change_midway(true);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(anon_small),
		cmocka_unit_test(anon_untouched),
		cmocka_unit_test(anon_huge),
		cmocka_unit_test(anon_zero_page),
		cmocka_unit_test(anon_swapped),
		cmocka_unit_test(anon_swap_cache),
		cmocka_unit_test(anon_swapped_huge),
		cmocka_unit_test(anon_ksm),
		cmocka_unit_test(anon_forked),
		cmocka_unit_test(anon_forked_huge),
		cmocka_unit_test(anon_free),
		cmocka_unit_test(anon_write_protected),
		cmocka_unit_test(shmem_mapped),
		cmocka_unit_test(shmem_offset),
		cmocka_unit_test(shmem_only_cached),
		cmocka_unit_test(shmem_read_only),
		cmocka_unit_test(shmem_swapped),
		cmocka_unit_test(shmem_fallocated),
		cmocka_unit_test(shmem_huge),
		cmocka_unit_test(shmem_huge_punched),
		cmocka_unit_test(shmem_write_protected),
		cmocka_unit_test(shmem_sealed),
		cmocka_unit_test(shared_anonymous),
		cmocka_unit_test(system_v),
		cmocka_unit_test(tmpfs_file),
		cmocka_unit_test(private_shmem),
		cmocka_unit_test(private_shmem_swapped),
		cmocka_unit_test(hugetlb_shared),
		cmocka_unit_test(hugetlb_only_cached),
		cmocka_unit_test(hugetlb_private),
		cmocka_unit_test(hugetlb_forked),
		cmocka_unit_test(hugetlb_giant),
		cmocka_unit_test(disk_shared),
		cmocka_unit_test(disk_read_only),
		cmocka_unit_test(disk_private),
		cmocka_unit_test(guarded),
		cmocka_unit_test(guard_left_out),
		cmocka_unit_test(file_too_short),
		cmocka_unit_test(disk_too_short),
		cmocka_unit_test(hugetlb_too_short),
		cmocka_unit_test(poisoned),
		cmocka_unit_test(refused),
		cmocka_unit_test(secret),
		cmocka_unit_test(other_process),
		cmocka_unit_test(punched_midway),
		cmocka_unit_test(truncated_midway),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

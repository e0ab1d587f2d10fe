// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of files without a disk, mapped shared or privately, or only known by
 * its fd: the right bytes arrive, counted for what they are, and at the source
 * nothing is populated, unshared, swapped in without need, or marked dirty. Behind
 * the end of a file that has become shorter there is an error, and never zero.
 */
#include "kinds.h"

#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/shm.h>

static void mapped(void **state)
{
	struct guest *g = shared_memfd(PAGES, 0, 0);

	(void)state;
	guest_mix(g, 11, ZERO, guest_write);
	g->written = true;
	guest_check(g);
	guest_free(g);
}

/* The block is somewhere in the middle of its file. */
static void offset(void **state)
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

static void only_cached(void **state)
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
static void read_only(void **state)
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

static void swapped(void **state)
{
	(void)state;
	swap_needed();
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
static void fallocated(void **state)
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

static void huge(void **state)
{
	struct guest *g;

	(void)state;
	shmem_huge_pages("force");
	g = shared_memfd(4 * 512, 0, 0);
	for (uint64_t page = 0; page < 1024; page++)
		g->kind[page] = ZERO;
	for (uint64_t page = 0; page < 512; page++)
		guest_write(g, page, DATA);
	guest_write(g, 512 + 300, DATA);
	/* one that was set aside; writing to a part of it clears all of it */
	sys(fallocate(g->fd, 0, 3 * HUGE, HUGE));
	shmem_huge_pages("never");
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
static void huge_punched(void **state)
{
	struct guest *g;

	(void)state;
	shmem_huge_pages("force");
	g = shared_memfd(2 * 512, 0, 0);
	for (uint64_t page = 0; page < 2 * 512; page++)
		guest_write(g, page, DATA);
	/* or khugepaged would fill the hole when it comes by */
	shmem_huge_pages("never");
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

static void sealed(void **state)
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
	for (unsigned int huge = 0; huge < 1u + thp_there(); huge++) {
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

static void private(void **state)
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

static void private_swapped(void **state)
{
	struct guest *g;
	int fd;

	(void)state;
	swap_needed();
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

/* --- a file that becomes shorter, or gets a hole */

/* Where the file has ended, memory is mapped though there is none. */
static void too_short(void **state)
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
		until(fd_number(s.ch[0], "mzp-ring-full:"));
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
		cmocka_unit_test(mapped),
		cmocka_unit_test(offset),
		cmocka_unit_test(only_cached),
		cmocka_unit_test(read_only),
		cmocka_unit_test(swapped),
		cmocka_unit_test(fallocated),
		cmocka_unit_test(huge),
		cmocka_unit_test(huge_punched),
		cmocka_unit_test(sealed),
		cmocka_unit_test(shared_anonymous),
		cmocka_unit_test(system_v),
		cmocka_unit_test(tmpfs_file),
		cmocka_unit_test(private),
		cmocka_unit_test(private_swapped),
		cmocka_unit_test(too_short),
		cmocka_unit_test(punched_midway),
		cmocka_unit_test(truncated_midway),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

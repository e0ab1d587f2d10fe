// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that was set aside with fallocate() and never written has pages, and
 * these have bytes: whatever was there before. They must arrive as zeros.
 *
 * So that it would be seen, all of free memory is filled with a pattern first.
 * That works only if the kernel does not clear memory as it hands it out:
 * init_on_alloc=0 on its command line.
 */
#include "kinds.h"

#include <linux/memfd.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define POISON 0x5a

enum { FILE_PAGES = 8192 };

/* Skip the test where the kernel clears what it gives out. */
static void stale_needed(void)
{
	char line[4096];
	int fd = sys(open("/proc/cmdline", O_RDONLY | O_CLOEXEC));
	ssize_t n = sys(read(fd, line, sizeof(line) - 1));

	close(fd);
	line[n] = 0;
	if (!strstr(line, "init_on_alloc=0"))
		skip_since("the kernel clears all memory");
}

static void fill_memory(void *arg)
{
	uint64_t length = *(uint64_t *)arg;
	uint8_t *base = mmap(NULL, length, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(base != MAP_FAILED);
	memset(base, POISON, length);
}

/* Write most of what is free, and free it again. */
static void poison(void)
{
	uint64_t length = file_number("/proc/meminfo", "MemAvailable:") * 1024ul / 100 * 85;

	file_put("/proc/sys/vm/drop_caches", "3");
	reap(child(fill_memory, &length), 0);
}

static void never_written(int fd, bool private)
{
	struct guest *g = guest_new(FILE_PAGES);

	g->fd = fd;
	sys(ftruncate(fd, g->pages * PAGE));
	poison();
	sys(fallocate(fd, 0, 0, g->pages * PAGE));
	must(footprint(g).file == FILE_PAGES * 4, "%ld", footprint(g).file);
	guest_map(g, 0, RW, private ? MAP_PRIVATE : MAP_SHARED, fd, 0);
	if (private) {
		/* nor what lies beneath the page of the mapping's own */
		guest_write(g, 77, DATA);
		g->fd = -1;
		g->kind[77] = DATA;
	}
	guest_check(g);
	if (!private) {
		/* Some is written: what is beside it is as it was. */
		for (uint64_t page = 0; page < FILE_PAGES; page += 1000)
			must(pwrite(fd, "x", 1, page * PAGE + 99) == 1);
		g->fd = fd;
		for (unsigned int by_fd = 0; by_fd < 2; by_fd++) {
			struct mzp_setup setup = setup_for(1);
			struct mzp_wait w;
			struct rx_block *b;
			struct session s;
			struct rx rx;
			uint64_t job;
			uint32_t id;

			setup.detection = MZP_DETECTION_NONE;
			session_open(&s, &setup);
			rx_init(&rx, &s, RX_SPLICE);
			b = rx_add_block(&rx, "ram", FILE_PAGES, NULL);
			if (by_fd)
				works(mzp_block_add_fd(s.fd, "ram", fd, 0, FILE_PAGES * PAGE, &id));
			else
				id = session_block(&s, "ram", g->base, FILE_PAGES * PAGE);
			job = session_send(&s, id, 0, FILE_PAGES, 0);
			session_sync(&s);
			rx_round(&rx);
			w = session_wait(&s, job);
			must(w.normal >= 9);
			for (uint64_t i = 0; i < FILE_PAGES * PAGE; i++)
				must(b->shadow[i] == (i % (1000 * PAGE) == 99 ? 'x' : 0),
				     "byte %jx is %x", (uintmax_t)i, b->shadow[i]);
			session_close(&s);
			rx_free(&rx);
		}
	}
	if (private)
		close(fd);
	guest_free(g);
}

static void shmem(void **state)
{
	(void)state;
	stale_needed();
	never_written(sys(memfd_create("ram", MFD_CLOEXEC)), false);
}

static void shmem_huge(void **state)
{
	(void)state;
	stale_needed();
	shmem_huge_pages("force");
	never_written(sys(memfd_create("ram", MFD_CLOEXEC)), false);
	shmem_huge_pages("never");
}

static void tmpfs(void **state)
{
	int fd;

	(void)state;
	stale_needed();
	fd = sys(open("/dev/shm/stale", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
	sys(unlink("/dev/shm/stale"));
	never_written(fd, false);
}

static void private_shmem(void **state)
{
	(void)state;
	stale_needed();
	never_written(sys(memfd_create("ram", MFD_CLOEXEC)), true);
}

/* hugetlbfs clears what is set aside, at once. */
static void hugetlb(void **state)
{
	struct guest *g = guest_new(8 * 512);
	uint64_t page;

	(void)state;
	stale_needed();
	poison();
	huge_needed(8);
	g->fd = sys(memfd_create("ram", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB));
	sys(ftruncate(g->fd, g->pages * PAGE));
	sys(fallocate(g->fd, 0, 0, 6 * HUGE));
	for (page = 0; page < 6 * 512; page++)
		g->kind[page] = ZERO;
	guest_map(g, 0, RW, MAP_SHARED, g->fd, 0);
	guest_check(g);
	guest_free(g);
	sysfs_put("/proc/sys/vm/nr_hugepages", 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(shmem),
		cmocka_unit_test(shmem_huge),
		cmocka_unit_test(tmpfs),
		cmocka_unit_test(private_shmem),
		cmocka_unit_test(hugetlb),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

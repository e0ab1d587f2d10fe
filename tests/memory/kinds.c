// SPDX-License-Identifier: GPL-2.0-only
#include "kinds.h"

#include <linux/memfd.h>

#define DISK "/run/kinds.disk"
#define DISK_MOUNT "/run/kinds"

struct guest *anonymous(uint64_t pages, bool huge)
{
	struct guest *g = guest_new(pages);

	guest_map(g, 3, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (huge)
		thp_on(g->base, pages * PAGE);
	else
		thp_off(g->base, pages * PAGE);
	return g;
}

struct guest *shared_memfd(uint64_t pages, uint64_t offset, unsigned int flags)
{
	struct guest *g = guest_new(pages);

	g->fd = sys(memfd_create("ram", MFD_CLOEXEC | flags));
	g->offset = offset;
	sys(ftruncate(g->fd, offset + pages * PAGE));
	guest_map(g, 0, RW, MAP_SHARED, g->fd, offset);
	return g;
}

void shmem_huge_pages(const char *when)
{
	thp_needed();
	file_put("/sys/kernel/mm/transparent_hugepage/shmem_enabled", when);
}

bool want_huge(long pages)
{
	sysfs_put("/proc/sys/vm/nr_hugepages", pages);
	return file_number("/proc/sys/vm/nr_hugepages", NULL) >= pages;
}

void huge_needed(long pages)
{
	if (!want_huge(pages))
		skip_since("no huge pages");
}

void huge_file(struct guest *g)
{
	g->fd = sys(memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB));
	sys(ftruncate(g->fd, g->offset + g->pages * PAGE));
}

void write_huge(struct guest *g, uint64_t page)
{
	for (uint64_t i = page; i < page + 512; i++) {
		g->kind[i] = ZERO;
		if (i % 3 == 0)
			guest_write(g, i, DATA);
	}
}

int disk_file(void)
{
	if (access(DISK_MOUNT "/lost+found", F_OK)) {
		if (system("modprobe -q loop && modprobe -q ext4 && "
			   "truncate -s 64M " DISK " && mke2fs -q -t ext4 -F " DISK " && "
			   "mkdir -p " DISK_MOUNT " && mount -o loop " DISK " " DISK_MOUNT))
			return -1;
	}
	return sys(open(DISK_MOUNT "/image", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
}

void disk_done(int fd)
{
	close(fd);
	must(!system("umount " DISK_MOUNT " && rm -f " DISK));
}

void touch(struct guest *g, unsigned int every)
{
	for (uint64_t page = 0; page < g->pages; page += 1 + page % every) {
		if (g->kind[page] != ABSENT)
			(void)*(volatile uint8_t *)(g->base + page * PAGE);
	}
}

void page_out(struct guest *g)
{
	long swap;

	sys(madvise(g->base, g->pages * PAGE, MADV_PAGEOUT));
	/* pages on their way there are counted when they are gone */
	swap = guest_smaps(g, "Swap");
	must(swap > 0, "nothing went to swap");
}

void wait_for_death(void *arg)
{
	(void)arg;
	for (;;)
		pause();
}

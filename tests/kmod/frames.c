// SPDX-License-Identifier: GPL-2.0-only
#include "frames.h"

#include <fcntl.h>
#include <sys/mman.h>

enum { KPF_MMAP = 11, KPF_ANON = 12 };

struct frames *frames_new(void)
{
	void *p = mmap(NULL, sizeof(struct frames), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must(p != MAP_FAILED);
	return p;
}

void frames_watch(struct frames *f, const void *base, uint64_t pages)
{
	int fd = sys(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	uint64_t entry;

	for (uint64_t i = 0; i < pages && f->nr < FRAMES_MAX; i++) {
		must(pread(fd, &entry, 8, ((uintptr_t)base / PAGE + i) * 8) == 8);
		/* Present, and not of a file. */
		if (entry >> 63 && !(entry >> 61 & 1))
			f->pfn[f->nr++] = entry & ((1ull << 55) - 1);
	}
	close(fd);
}

static unsigned int frames_left(const struct frames *f)
{
	int fd = sys(open("/proc/kpageflags", O_RDONLY | O_CLOEXEC));
	unsigned int left = 0;
	uint64_t flags;

	for (unsigned int i = 0; i < f->nr; i++) {
		must(pread(fd, &flags, 8, f->pfn[i] * 8) == 8);
		left += flags >> KPF_ANON & 1 && !(flags >> KPF_MMAP & 1);
	}
	close(fd);
	return left;
}

void frames_gone(const struct frames *f)
{
	unsigned int tries = 0;

	while (frames_left(f)) {
		must(tries++ < 200, "%u pages are still held", frames_left(f));
		/* CPUs have lists of pages that are about to go; this empties them. */
		file_put("/proc/sys/vm/compact_memory", "1");
		usleep(1000 * tries);
	}
}

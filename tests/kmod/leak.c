// SPDX-License-Identifier: GPL-2.0-only
#include "leak.h"

#include <fcntl.h>
#include <sys/mman.h>

long huge_pages(const char *what)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-2048kB/%s", what);
	return access(path, F_OK) ? 0 : file_number(path, NULL);
}

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

	for (uint64_t i = 0; i < pages && f->nr < WATCHED; i++) {
		must(pread(fd, &entry, 8, ((uintptr_t)base / PAGE + i) * 8) == 8);
		if (entry >> 63)
			f->pfn[f->nr++] = entry & ((1ull << 55) - 1);
	}
	close(fd);
}

static unsigned int frames_leaked(const struct frames *f)
{
	enum { KPF_MMAP = 11, KPF_ANON = 12 };
	int fd = sys(open("/proc/kpageflags", O_RDONLY | O_CLOEXEC));
	unsigned int leaked = 0;
	uint64_t flags;

	for (unsigned int i = 0; i < f->nr; i++) {
		must(pread(fd, &flags, 8, f->pfn[i] * 8) == 8);
		leaked += (flags >> KPF_ANON & 1) && !(flags >> KPF_MMAP & 1);
	}
	close(fd);
	return leaked;
}

void all_gone(const struct frames *f)
{
	unsigned int tries = 0;

	until(module_refs() == 0);
	until(huge_pages("free_hugepages") == huge_pages("nr_hugepages"));
	while (f && frames_leaked(f)) {
		must(tries++ < 200, "%u pages are still held", frames_leaked(f));
		/* CPUs keep some new pages back for a while; this makes them let go */
		if (tries % 20 == 2)
			file_put("/proc/sys/vm/compact_memory", "1");
		usleep(10000);
	}
}

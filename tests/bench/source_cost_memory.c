// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/memfd.h>

#include "source_cost_memory.h"

#define PAGE 4096ul
#define HUGE (2ul << 20)

static const struct memory_kind kinds[MEMORY_KINDS] = {
	{ "anonymous", .advice = MADV_NOHUGEPAGE },
	{ "huge", .advice = MADV_HUGEPAGE },
	{ "memfd", .file = true, .advice = MADV_NORMAL },
	{ "file", .file = true, .by_fd = true, .advice = MADV_NORMAL },
	{ "hugetlb", .file = true, .file_flags = MFD_HUGETLB | MFD_HUGE_2MB,
	  .advice = MADV_NORMAL },
};

const struct memory_kind *memory_kind(const char *name)
{
	for (unsigned int i = 0; i < MEMORY_KINDS; i++)
		if (!strcmp(name, kinds[i].name))
			return &kinds[i];
	errx(2, "unknown kind of memory %s", name);
}

static void set_huge_pages(size_t nr)
{
	FILE *file = fopen("/proc/sys/vm/nr_hugepages", "w");

	if (!file || fprintf(file, "%zu\n", nr) < 0 || fclose(file))
		err(1, "huge pages");
}

/* Where a huge page may begin. */
static unsigned char *reserve(size_t size)
{
	unsigned char *at = mmap(NULL, size + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		err(1, "memory");
	return at + HUGE - (uintptr_t)at % HUGE;
}

void memory_make(struct memory *memory, const struct memory_kind *kind, size_t size)
{
	size_t at;

	*memory = (struct memory) { .kind = kind, .size = size, .fd = -1 };
	if (kind->file_flags & MFD_HUGETLB)
		set_huge_pages(size / HUGE);
	if (kind->file) {
		memory->fd = memfd_create("memory", kind->file_flags);
		if (memory->fd < 0 || ftruncate(memory->fd, size))
			err(1, "memfd");
	}
	memory->base = mmap(reserve(size), size, PROT_READ | PROT_WRITE,
			    MAP_FIXED | (kind->file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS),
			    memory->fd, 0);
	if (memory->base == MAP_FAILED)
		err(1, "memory");
	/* a kernel that knows no huge pages has none that are not wanted */
	if (madvise(memory->base, size, kind->advice) &&
	    (errno != EINVAL || kind->advice == MADV_HUGEPAGE))
		err(1, "memory");
	for (at = 0; at < size; at += PAGE)
		memset(memory->base + at, 1 + at / PAGE % 255, PAGE);
}

void memory_drop(struct memory *memory)
{
	munmap(memory->base, memory->size);
	if (memory->fd >= 0)
		close(memory->fd);
	if (memory->kind->file_flags & MFD_HUGETLB)
		set_huge_pages(0);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What becomes of the memory, and of the files, that sessions have as their blocks,
 * while these are being sent.
 */
#include "fuzz_call.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

int call_map(uint64_t *r)
{
	uint8_t *at;
	size_t length;
	int fd = chance(r, 40) ? any(files, FILES, r) : -1;

	part(r, &at, &length);
	return mmap(at, length, chance(r, 90) ? PROT_READ | PROT_WRITE : pick(r, 4),
		    MAP_FIXED | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0) |
		    (fd >= 0 && chance(r, 60) ? MAP_SHARED : MAP_PRIVATE),
		    fd, fd < 0 ? 0 : pick(r, 64) * PAGE) == MAP_FAILED;
}

int call_unmap(uint64_t *r)
{
	uint8_t *at;
	size_t length;

	part(r, &at, &length);
	return munmap(at, length) < 0;
}

int call_remap(uint64_t *r)
{
	uint8_t *from, *to;
	size_t length, other;

	part(r, &from, &length);
	part(r, &to, &other);
	length = min(length, other);
	return mremap(from, length, length, MREMAP_MAYMOVE | MREMAP_FIXED |
		      (chance(r, 30) ? MREMAP_DONTUNMAP : 0), to) == MAP_FAILED;
}

int call_advise(uint64_t *r)
{
	static const int advice[] = {
		MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_PAGEOUT, MADV_COLD, MADV_COLLAPSE,
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_WILLNEED,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_DONTFORK, MADV_WIPEONFORK,
	};
	uint8_t *at;
	size_t length;

	part(r, &at, &length);
	return madvise(at, length, advice[pick(r, ARRAY_SIZE(advice))]) < 0;
}

int call_protect(uint64_t *r)
{
	uint8_t *at;
	size_t length;

	part(r, &at, &length);
	return mprotect(at, length, chance(r, 70) ? PROT_READ | PROT_WRITE : pick(r, 4)) < 0;
}

/* Through the kernel, which does not mind what is not mapped. */
int call_touch(uint64_t *r)
{
	static const uint8_t zeros[PAGE];
	uint8_t data[PAGE];
	struct iovec from = { data, PAGE }, to = { memory + pick(r, MEMORY_PAGES) * PAGE, PAGE };

	memset(data, chance(r, 70) ? 1 + pick(r, 255) : 0, sizeof(data));
	if (chance(r, 20))
		from.iov_base = (void *)zeros;
	return process_vm_writev(getpid(), &from, 1, &to, 1, 0) < 0;
}

int call_file(uint64_t *r)
{
	int fd = any(files, FILES, r);

	switch (pick(r, 5)) {
	case 0:
		return ftruncate(fd, pick(r, 256) * PAGE) < 0;
	case 1:
		return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 pick(r, 256) * PAGE, (1 + pick(r, 64)) * PAGE) < 0;
	case 2:
		return fallocate(fd, 0, pick(r, 256) * PAGE, (1 + pick(r, 32)) * PAGE) < 0;
	case 3:
		return pwrite(fd, memory, PAGE, pick(r, 256) * PAGE) < 0;
	}
	place(files, FILES, memfd_create("fuzz", MFD_CLOEXEC), r);
	return 0;
}

/* Answer for a page that somebody may be waiting for, or have it not be there any more. */
int call_supply(uint64_t *r)
{
	uint64_t page = pick(r, LAZY_PAGES), length = (1 + pick(r, LAZY_PAGES - page)) * PAGE;
	uint8_t *at = lazy + page * PAGE;
	struct uffdio_copy copy = { .dst = (uintptr_t)at, .src = (uintptr_t)memory, .len = length };
	struct uffdio_zeropage zero = { .range = { (uintptr_t)at, length } };
	struct uffdio_range wake = { (uintptr_t)lazy, LAZY_PAGES * PAGE };

	switch (pick(r, 4)) {
	case 0:
		return madvise(at, length, MADV_DONTNEED) < 0;
	case 1:
		return ioctl(uffd, UFFDIO_ZEROPAGE, &zero) < 0;
	case 2:
		return ioctl(uffd, UFFDIO_WAKE, &wake) < 0;
	}
	return ioctl(uffd, UFFDIO_COPY, &copy) < 0;
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/* RAM blocks of a destination; recv_block.h explains what is done to memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recv_block.h"
#include "recv_check.h"

/* Linux's, from 5.14 on; not every C library has them. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

static uint64_t words(uint64_t length)
{
	return (length / MFD_RECV_PAGE + 63) / 64;
}

static int check_block(struct mfd_recv_blocks *blocks, const char *idstr, uint64_t length,
		       struct mfd_error *err)
{
	size_t size = strlen(idstr);

	if (!size || size > 255)
		return mfd_error_set(err, EINVAL, "a block's name has 1 to 255 bytes");
	if (!length || length % MFD_RECV_PAGE)
		return mfd_error_set(err, EINVAL, "block %.64s: %llu bytes are not whole pages",
				     idstr, (unsigned long long)length);
	if (mfd_recv_blocks_find(blocks, idstr))
		return mfd_error_set(err, EEXIST, "there is a block %.64s already", idstr);
	return 0;
}

static void free_block(struct mfd_recv_block *block)
{
	free((void *)block->data);
	free((void *)block->there);
	free(block);
}

static struct mfd_recv_block *new_block(const char *idstr, void *memory, uint64_t length)
{
	struct mfd_recv_block *block = calloc(1, sizeof(*block));

	if (!block)
		return NULL;
	block->data = calloc(words(length), sizeof(*block->data));
	block->there = calloc(words(length), sizeof(*block->there));
	if (!block->data || !block->there) {
		free_block(block);
		return NULL;
	}
	strcpy(block->idstr, idstr);
	block->memory = memory;
	block->length = length;
	return block;
}

static void append(struct mfd_recv_blocks *blocks, struct mfd_recv_block *block)
{
	struct mfd_recv_block **end = &blocks->first;

	while (*end)
		end = &(*end)->next;
	*end = block;
}

int mfd_recv_blocks_add(struct mfd_recv_blocks *blocks, const char *idstr, void *memory,
			uint64_t length, bool fresh, struct mfd_error *err)
{
	struct mfd_recv_block *block;
	int ret = check_block(blocks, idstr, length, err);

	if (ret)
		return ret;
	if ((uintptr_t)memory % MFD_RECV_PAGE)
		return mfd_error_set(err, EINVAL, "block %.64s: %p is not the start of a page",
				     idstr, memory);
	block = new_block(idstr, memory, length);
	if (!block)
		return mfd_error_errno(err, ENOMEM, "block %.64s", idstr);
	if (!fresh)
		memset((void *)block->data, 0xff, words(length) * sizeof(*block->data));
	append(blocks, block);
	return 0;
}

static uint64_t bit(uint64_t offset)
{
	return 1ull << offset / MFD_RECV_PAGE % 64;
}

static bool test(_Atomic uint64_t *bits, uint64_t offset)
{
	return atomic_load_explicit(&bits[offset / MFD_RECV_PAGE / 64], memory_order_relaxed) &
	       bit(offset);
}

/* Mostly it is set already, so nobody else's cache line is taken away for nothing. */
static void set(_Atomic uint64_t *bits, uint64_t offset)
{
	if (!test(bits, offset))
		atomic_fetch_or_explicit(&bits[offset / MFD_RECV_PAGE / 64], bit(offset),
					 memory_order_relaxed);
}

static void find_range(struct mfd_recv_block *block, uint64_t start, uint64_t end)
{
	uint64_t offset;

	for (offset = start; offset < end; offset += MFD_RECV_PAGE)
		set(block->data, offset);
}

/*
 * Find the file's holes: nothing is there that a zero page would have to clear.
 * Where a file system does not tell, all is data. The file position, which is
 * the caller's, is put back.
 */
static void find_data(struct mfd_recv_block *block, int fd, uint64_t offset)
{
	off_t before = lseek(fd, 0, SEEK_CUR), start, hole = offset;
	off_t end = offset + block->length;

	while (hole < end) {
		start = lseek(fd, hole, SEEK_DATA);
		if (start < 0 && errno == ENXIO)
			break;
		hole = start < 0 ? -1 : lseek(fd, start, SEEK_HOLE);
		if (hole < 0) {
			find_range(block, 0, block->length);
			break;
		}
		if (start < end)
			find_range(block, (start - offset) / MFD_RECV_PAGE * MFD_RECV_PAGE,
				    (hole < end ? hole : end) - offset);
	}
	if (before >= 0)
		lseek(fd, before, SEEK_SET);
}

int mfd_recv_blocks_map(struct mfd_recv_blocks *blocks, const char *idstr, int fd,
			uint64_t offset, uint64_t length, struct mfd_error *err)
{
	struct mfd_recv_block *block;
	int ret = check_block(blocks, idstr, length, err);
	struct stat st;
	void *memory;

	if (ret)
		return ret;
	if (fstat(fd, &st))
		return mfd_error_errno(err, errno, "block %.64s", idstr);
	if (offset > (uint64_t)st.st_size || length > (uint64_t)st.st_size - offset)
		return mfd_error_set(err, EINVAL, "block %.64s: the file ends before the block",
				     idstr);
	memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	if (memory == MAP_FAILED)
		return mfd_error_errno(err, errno, "block %.64s: cannot map it", idstr);
	block = new_block(idstr, memory, length);
	if (!block) {
		munmap(memory, length);
		return mfd_error_errno(err, ENOMEM, "block %.64s", idstr);
	}
	block->mapped = true;
	find_data(block, fd, offset);
	append(blocks, block);
	return 0;
}

struct mfd_recv_block *mfd_recv_blocks_find(struct mfd_recv_blocks *blocks, const char *idstr)
{
	struct mfd_recv_block *block;

	for (block = blocks->first; block; block = block->next)
		if (!strcmp(block->idstr, idstr))
			return block;
	return NULL;
}

void mfd_recv_blocks_free(struct mfd_recv_blocks *blocks)
{
	struct mfd_recv_block *block;

	while ((block = blocks->first)) {
		blocks->first = block->next;
		if (block->mapped)
			munmap(block->memory, block->length);
		free_block(block);
	}
}

/* A block has at least one page, so nothing here can wrap around. */
int mfd_recv_block_check(const struct mfd_recv_block *block, uint64_t offset,
			 struct mfd_error *err)
{
	if (offset % MFD_RECV_PAGE)
		return mfd_recv_reject(err, RECV_OFFSET_ALIGN, "0x%llx in %.64s",
				       (unsigned long long)offset, block->idstr);
	if (offset > block->length - MFD_RECV_PAGE)
		return mfd_recv_reject(err, RECV_OFFSET_RANGE, "0x%llx in %.64s",
				       (unsigned long long)offset, block->idstr);
	return 0;
}

bool mfd_recv_block_touch(struct mfd_recv_block *block, uint64_t offset)
{
	bool there = test(block->there, offset);

	set(block->data, offset);
	set(block->there, offset);
	return !there;
}

static int no_memory(const struct mfd_recv_block *block, uint64_t offset, int code,
		     struct mfd_error *err)
{
	mfd_error_set(err, code, "guest memory cannot be written (0x%llx in %.64s)",
		      (unsigned long long)offset, block->idstr);
	mfd_error_of(err, MFD_ERROR_MEMORY);
	mfd_error_page(err, block->idstr, offset);
	return -code;
}

int mfd_recv_block_populate(struct mfd_recv_block *block, uint64_t offset, uint64_t size,
			    bool write, struct mfd_error *err)
{
	int advice = write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
	uint64_t end = offset + size;

	/* older kernels cannot, nor can memory that is not the kernel's to give */
	if (!madvise(block->memory + offset, size, advice) || errno == EINVAL)
		return 0;
	for (; offset < end; offset += MFD_RECV_PAGE)
		if (madvise(block->memory + offset, MFD_RECV_PAGE, advice))
			return no_memory(block, offset, errno, err);
	return 0;
}

static int clear(struct mfd_recv_block *block, uint64_t offset, struct mfd_error *err)
{
	int ret = 0;

	if (mfd_recv_block_touch(block, offset))
		ret = mfd_recv_block_populate(block, offset, MFD_RECV_PAGE, true, err);
	if (ret)
		return ret;
	memset(block->memory + offset, 0, MFD_RECV_PAGE);
	return 1;
}

int mfd_recv_block_clear(struct mfd_recv_block *block, uint64_t offset, struct mfd_error *err)
{
	const uint8_t *page = block->memory + offset;
	int ret = 0;

	if (!test(block->data, offset))
		return 0;
	if (!test(block->there, offset))
		ret = mfd_recv_block_populate(block, offset, MFD_RECV_PAGE, false, err);
	if (ret)
		return ret;
	/* all bytes are like the one before, and the first is zero */
	if (!*page && !memcmp(page, page + 1, MFD_RECV_PAGE - 1))
		return 0;
	return clear(block, offset, err);
}

// SPDX-License-Identifier: GPL-2.0-only
/* libmfd's receiver: what it does to memory, and above all what it does not. */
#include "unit.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recv_block.h"

#define PAGE MFD_RECV_PAGE

static struct mfd_recv_blocks blocks;

static int new_file(uint64_t size)
{
	int fd = memfd_create("recv", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	return fd;
}

static uint64_t allocated(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_blocks * 512ull;
}

static struct mfd_recv_block *map(const char *idstr, int fd, uint64_t offset, uint64_t length)
{
	struct mfd_error err = { .size = sizeof(err) };

	if (mfd_recv_blocks_map(&blocks, idstr, fd, offset, length, &err))
		fail_msg("%s", err.text);
	return mfd_recv_blocks_find(&blocks, idstr);
}

/* A terabyte of nothing is announced as zero, and nothing happens. */
TEST(holes_stay_holes)
{
	int fd = new_file(1ull << 40);
	struct mfd_recv_block *block = map("large", fd, 0, 1ull << 40);
	uint64_t offset;

	for (offset = 0; offset < 1ull << 40; offset += 997 * PAGE)
		assert_false(mfd_recv_block_clear(block, offset, NULL));
	assert_int_equal(allocated(fd), 0);
	mfd_recv_blocks_free(&blocks);
	close(fd);
}

TEST(received_pages_are_cleared)
{
	int fd = new_file(8 * PAGE);
	struct mfd_recv_block *block = map("ram", fd, 0, 8 * PAGE);

	mfd_recv_block_touch(block, 5 * PAGE);
	block->memory[6 * PAGE - 1] = 1;
	assert_true(mfd_recv_block_clear(block, 5 * PAGE, NULL));
	assert_int_equal(block->memory[6 * PAGE - 1], 0);
	/* it is zero now, so it is not written again */
	assert_false(mfd_recv_block_clear(block, 5 * PAGE, NULL));
	assert_int_equal(allocated(fd), PAGE);
	mfd_recv_blocks_free(&blocks);
	close(fd);
}

/* What was in a file before is known from its holes, wherever the block starts. */
TEST(data_of_before_is_cleared)
{
	uint64_t start, first, nr, offset;
	struct mfd_recv_block *block;
	static uint8_t data[3 * PAGE];
	off_t position;
	int fd;

	memset(data, 7, sizeof(data));
	for (start = 0; start < 3; start++) {
		fd = new_file(64 * PAGE);
		/* two stretches of data, the one at the block's very end too */
		assert_int_equal(pwrite(fd, data, sizeof(data), (start + 4) * PAGE), sizeof(data));
		assert_int_equal(pwrite(fd, data, sizeof(data), 61 * PAGE), sizeof(data));
		position = lseek(fd, 4711, SEEK_SET);
		first = allocated(fd);
		block = map("ram", fd, start * PAGE, (63 - start) * PAGE);
		assert_int_equal(lseek(fd, 0, SEEK_CUR), position);
		for (offset = 0, nr = 0; offset < block->length; offset += PAGE)
			nr += mfd_recv_block_clear(block, offset, NULL);
		assert_int_equal(nr, 5);
		assert_int_equal(allocated(fd), first);
		for (offset = 0; offset < 63 * PAGE; offset += PAGE) {
			assert_int_equal(pread(fd, data, 1, offset), 1);
			assert_int_equal(data[0], 0);
		}
		/* behind the block is somebody else's */
		assert_int_equal(pread(fd, data, 1, 63 * PAGE), 1);
		assert_int_equal(data[0], 7);
		mfd_recv_blocks_free(&blocks);
		close(fd);
	}
}

/* Memory of which nothing is known is read, and written only if it has to be. */
TEST(unknown_memory_is_read)
{
	uint8_t *memory = aligned_alloc(PAGE, 3 * PAGE);
	struct mfd_recv_block *block;

	assert_non_null(memory);
	memset(memory, 0, 3 * PAGE);
	memory[PAGE] = 1;
	assert_int_equal(mfd_recv_blocks_add(&blocks, "ram", memory, 3 * PAGE, false, NULL), 0);
	block = mfd_recv_blocks_find(&blocks, "ram");
	assert_false(mfd_recv_block_clear(block, 0, NULL));
	assert_true(mfd_recv_block_clear(block, PAGE, NULL));
	assert_int_equal(memory[PAGE], 0);
	mfd_recv_blocks_free(&blocks);
	free(memory);
}

static void assert_no_memory(int ret, const struct mfd_error *err, uint64_t offset)
{
	assert_int_equal(ret, -EFAULT);
	assert_int_equal(err->kind, MFD_ERROR_MEMORY);
	assert_string_equal(err->block, "ram");
	assert_int_equal(err->offset, offset);
}

/* Where there is none, it is said: where a file ends, as where a file system is full. */
TEST(memory_that_is_not_there)
{
	int fd = new_file(2 * PAGE);
	uint8_t *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct mfd_error err = { .size = sizeof(err) };
	struct mfd_recv_block *block;

	assert_ptr_not_equal(memory, MAP_FAILED);
	memory[PAGE] = 1;
	assert_int_equal(mfd_recv_blocks_add(&blocks, "ram", memory, 4 * PAGE, false, NULL), 0);
	block = mfd_recv_blocks_find(&blocks, "ram");
	assert_int_equal(mfd_recv_block_clear(block, PAGE, &err), 1);
	assert_no_memory(mfd_recv_block_clear(block, 3 * PAGE, &err), &err, 3 * PAGE);
	assert_int_equal(mfd_recv_block_populate(block, 0, 2 * PAGE, true, &err), 0);
	assert_no_memory(mfd_recv_block_populate(block, 0, 4 * PAGE, true, &err), &err, 2 * PAGE);
	mfd_recv_blocks_free(&blocks);
	munmap(memory, 4 * PAGE);
	close(fd);
}

/* Huge pages that were not reserved, of which there are none. */
TEST(no_huge_pages)
{
	size_t size = 2ull << 20;
	uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
			       MAP_HUGETLB | MAP_NORESERVE, -1, 0);
	struct mfd_error err = { .size = sizeof(err) };
	struct mfd_recv_block *block;

	if (memory == MAP_FAILED)
		skip();
	assert_int_equal(mfd_recv_blocks_add(&blocks, "ram", memory, size, false, NULL), 0);
	block = mfd_recv_blocks_find(&blocks, "ram");
	assert_no_memory(mfd_recv_block_populate(block, size - PAGE, PAGE, true, &err), &err,
			 size - PAGE);
	mfd_recv_blocks_free(&blocks);
	munmap(memory, size);
}

TEST(wrong_blocks)
{
	uint8_t *memory = aligned_alloc(PAGE, 2 * PAGE);
	int fd = new_file(4 * PAGE);
	char name[257];

	assert_non_null(memory);
	memset(name, 'n', 256);
	name[256] = '\0';
	assert_int_equal(mfd_recv_blocks_add(&blocks, name, memory, PAGE, true, NULL), -EINVAL);
	assert_int_equal(mfd_recv_blocks_add(&blocks, "", memory, PAGE, true, NULL), -EINVAL);
	assert_int_equal(mfd_recv_blocks_add(&blocks, "a", memory, 0, true, NULL), -EINVAL);
	assert_int_equal(mfd_recv_blocks_add(&blocks, "a", memory, 100, true, NULL), -EINVAL);
	assert_int_equal(mfd_recv_blocks_add(&blocks, "a", memory + 8, PAGE, true, NULL), -EINVAL);
	assert_int_equal(mfd_recv_blocks_add(&blocks, "a", memory, PAGE, true, NULL), 0);
	assert_int_equal(mfd_recv_blocks_add(&blocks, "a", memory, PAGE, true, NULL), -EEXIST);
	name[255] = '\0';
	assert_int_equal(mfd_recv_blocks_add(&blocks, name, memory, PAGE, true, NULL), 0);
	assert_int_equal(mfd_recv_blocks_map(&blocks, "b", fd, 0, 5 * PAGE, NULL), -EINVAL);
	assert_int_equal(mfd_recv_blocks_map(&blocks, "b", fd, 4 * PAGE, PAGE, NULL), -EINVAL);
	assert_int_equal(mfd_recv_blocks_map(&blocks, "b", fd, UINT64_MAX - PAGE + 1, PAGE, NULL),
			 -EINVAL);
	assert_int_equal(mfd_recv_blocks_map(&blocks, "b", fd, 100, PAGE, NULL), -EINVAL);
	assert_int_equal(mfd_recv_blocks_map(&blocks, "b", -1, 0, PAGE, NULL), -EBADF);
	mfd_recv_blocks_free(&blocks);
	close(fd);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holes_stay_holes),
		cmocka_unit_test(received_pages_are_cleared),
		cmocka_unit_test(data_of_before_is_cleared),
		cmocka_unit_test(unknown_memory_is_read),
		cmocka_unit_test(memory_that_is_not_there),
		cmocka_unit_test(no_huge_pages),
		cmocka_unit_test(wrong_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only
/* kmod/arena.c: memory is zeroed, disjoint, and written once. */
#include "unit.h"

#include "shim/kernel.h"
#include "arena.h"

#define NR 400

/* Take @size bytes, with a page reserved for them. */
static void *take(struct mzp_arena *arena, unsigned int size, struct bio_vec *buf)
{
	int err = mzp_arena_reserve(arena, 1, GFP_KERNEL);
	unsigned int nr = arena->nr;

	if (err) {
		assert_int_equal(err, -ENOMEM);
		return NULL;
	}
	/* reserving what is reserved already changes nothing */
	assert_int_equal(mzp_arena_reserve(arena, 1, GFP_KERNEL), 0);
	assert_int_equal(arena->nr, nr);
	return mzp_arena_take(arena, size, buf);
}

TEST(written_once)
{
	struct mzp_arena arena = { 0 };
	unsigned char *memory[NR];
	struct bio_vec buf[NR];
	unsigned int size[NR], i, k, pages = 0;

	for (i = 0; i < NR; i++) {
		size[i] = unit_random() % 3 ? 1344 : 64;
		memory[i] = take(&arena, size[i], &buf[i]);
		assert_non_null(memory[i]);
		assert_int_equal((uintptr_t)memory[i] % 8, 0);
		assert_int_equal(buf[i].bv_len, size[i]);
		assert_true(buf[i].bv_offset + buf[i].bv_len <= PAGE_SIZE);
		assert_ptr_equal(page_address(buf[i].bv_page) + buf[i].bv_offset, memory[i]);
		pages += !i || buf[i].bv_page != buf[i - 1].bv_page;
		/* zero when it comes, so nobody else's */
		for (k = 0; k < size[i]; k++)
			assert_int_equal(memory[i][k], 0);
		memset(memory[i], i % 255 + 1, size[i]);
	}
	/* what is reserved and was not taken */
	assert_int_equal(shim_folios, pages + arena.nr - 1);
	mzp_arena_drop(&arena);
	assert_int_equal(arena.nr, 0);
	/* three big ones to a page at least */
	assert_in_range(pages, 1, NR / 3 + 1);
	assert_int_equal(shim_folios, pages);
	/* dropped by their holders in some other order */
	for (i = 0; i < NR; i++) {
		k = i * 7 % NR;
		assert_int_equal(memory[k][0], k % 255 + 1);
		assert_int_equal(memory[k][size[k] - 1], k % 255 + 1);
		put_page(buf[k].bv_page);
	}
	assert_int_equal(shim_folios, 0);
}

TEST(page_is_not_reused_when_its_holders_are_gone)
{
	struct mzp_arena arena = { 0 };
	unsigned char *first, *second;
	struct bio_vec buf;

	first = take(&arena, 64, &buf);
	put_page(buf.bv_page);
	second = take(&arena, 64, &buf);
	assert_true(second >= first + 64);
	put_page(buf.bv_page);
	mzp_arena_drop(&arena);
	assert_int_equal(shim_folios, 0);
}

TEST(exactly_a_page)
{
	struct mzp_arena arena = { 0 };
	struct bio_vec buf[2];

	assert_non_null(take(&arena, PAGE_SIZE, &buf[0]));
	assert_non_null(take(&arena, PAGE_SIZE, &buf[1]));
	assert_ptr_not_equal(buf[0].bv_page, buf[1].bv_page);
	mzp_arena_drop(&arena);
	put_page(buf[0].bv_page);
	put_page(buf[1].bv_page);
	assert_int_equal(shim_folios, 0);
}

TEST(no_memory)
{
	struct mzp_arena arena = { 0 };
	struct bio_vec buf;

	shim_fail = 1;
	assert_null(take(&arena, 64, &buf));
	/* and it can be tried again */
	assert_non_null(take(&arena, 64, &buf));
	put_page(buf.bv_page);
	mzp_arena_drop(&arena);
	mzp_arena_drop(&arena);
	assert_int_equal(shim_folios, 0);
}

TEST(pieces)
{
	static unsigned char data[40 * PAGE_SIZE];
	struct mzp_arena arena = { 0 };
	struct bio_vec head, buf[64];
	unsigned int i, n, size, at, round;

	for (i = 0; i < sizeof(data); i++)
		data[i] = unit_random();
	for (round = 0; round < 200; round++) {
		size = unit_random() % sizeof(data);
		assert_int_equal(mzp_arena_reserve(&arena, 42, GFP_KERNEL), 0);
		mzp_arena_take(&arena, 1344, &head);
		n = mzp_arena_write(&arena, data, size, buf);
		assert_in_range(n, 0, size / PAGE_SIZE + 2);
		for (i = 0, at = 0; i < n; i++) {
			assert_true(buf[i].bv_offset + buf[i].bv_len <= PAGE_SIZE);
			assert_memory_equal(page_address(buf[i].bv_page) + buf[i].bv_offset,
					    data + at, buf[i].bv_len);
			at += buf[i].bv_len;
			put_page(buf[i].bv_page);
		}
		assert_int_equal(at, size);
		put_page(head.bv_page);
	}
	mzp_arena_drop(&arena);
	assert_int_equal(shim_folios, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_once),
		cmocka_unit_test(page_is_not_reused_when_its_holders_are_gone),
		cmocka_unit_test(exactly_a_page),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

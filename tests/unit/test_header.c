// SPDX-License-Identifier: GPL-2.0-only
/* kmod/header.c: header memory is zeroed, disjoint, and written once. */
#include "unit.h"

#include "shim/kernel.h"
#include "header.h"

#define NR 400

static void *header_alloc(struct mzp_headers *headers, unsigned int size, struct bio_vec *buf)
{
	int err = mzp_header_reserve(headers, size, GFP_KERNEL);
	struct page *page = headers->page;
	unsigned int used = headers->used;

	if (err) {
		assert_int_equal(err, -ENOMEM);
		return NULL;
	}
	/* reserving what is reserved already changes nothing */
	assert_int_equal(mzp_header_reserve(headers, size, GFP_KERNEL), 0);
	assert_ptr_equal(headers->page, page);
	assert_int_equal(headers->used, used);
	return mzp_header_take(headers, size, buf);
}

TEST(written_once)
{
	struct mzp_headers headers = { 0 };
	unsigned char *memory[NR];
	struct bio_vec buf[NR];
	unsigned int size[NR], i, k, pages = 0;

	for (i = 0; i < NR; i++) {
		size[i] = unit_random() % 3 ? 1344 : 64;
		memory[i] = header_alloc(&headers, size[i], &buf[i]);
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
	mzp_headers_drop(&headers);
	assert_null(headers.page);
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
	struct mzp_headers headers = { 0 };
	unsigned char *first, *second;
	struct bio_vec buf;

	first = header_alloc(&headers, 64, &buf);
	put_page(buf.bv_page);
	second = header_alloc(&headers, 64, &buf);
	assert_true(second >= first + 64);
	put_page(buf.bv_page);
	mzp_headers_drop(&headers);
	assert_int_equal(shim_folios, 0);
}

TEST(exactly_a_page)
{
	struct mzp_headers headers = { 0 };
	struct bio_vec buf[2];

	assert_non_null(header_alloc(&headers, PAGE_SIZE, &buf[0]));
	assert_non_null(header_alloc(&headers, PAGE_SIZE, &buf[1]));
	assert_ptr_not_equal(buf[0].bv_page, buf[1].bv_page);
	mzp_headers_drop(&headers);
	put_page(buf[0].bv_page);
	put_page(buf[1].bv_page);
	assert_int_equal(shim_folios, 0);
}

TEST(no_memory)
{
	struct mzp_headers headers = { 0 };
	struct bio_vec buf;

	shim_fail = 1;
	assert_null(header_alloc(&headers, 64, &buf));
	/* and it can be tried again */
	assert_non_null(header_alloc(&headers, 64, &buf));
	put_page(buf.bv_page);
	mzp_headers_drop(&headers);
	mzp_headers_drop(&headers);
	assert_int_equal(shim_folios, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_once),
		cmocka_unit_test(page_is_not_reused_when_its_holders_are_gone),
		cmocka_unit_test(exactly_a_page),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

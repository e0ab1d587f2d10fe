// SPDX-License-Identifier: GPL-2.0-only
/* kmod/zero.c: each single bit of a page counts, wherever among others the page is. */
#include "unit.h"

#include "shim/kernel.h"
#include "zero.h"

/* Each is exactly a page of memory, so that reading on is seen. */
static void make(struct page *page, struct page **pages, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		page[i].bytes = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
		assert_non_null(page[i].bytes);
		memset(page[i].bytes, 0, PAGE_SIZE);
		pages[i] = &page[i];
	}
}

static void destroy(struct page *page, unsigned int nr)
{
	while (nr--)
		free(page[nr].bytes);
}

static bool is_zero(struct page **page)
{
	unsigned long zero = ~0ul;

	mzp_zero_find(page, 1, &zero);
	/* bits beyond the pages mean nothing */
	return zero & 1;
}

TEST(every_bit)
{
	struct page page, *pages;
	unsigned int i;

	make(&page, &pages, 1);
	assert_true(is_zero(&pages));
	for (i = 0; i < PAGE_SIZE * 8; i++) {
		page.bytes[i / 8] = 1u << (i % 8);
		assert_false(is_zero(&pages));
		page.bytes[i / 8] = 0;
	}
	assert_true(is_zero(&pages));
	memset(page.bytes, 0xff, PAGE_SIZE);
	assert_false(is_zero(&pages));
	destroy(&page, 1);
}

/* Any number of pages, many or few of them zero; the others show it at once, or late. */
TEST(mixed)
{
	struct page page[MZP_WIRE_PAGES], *pages[MZP_WIRE_PAGES];
	unsigned int round, i, nr, byte[MZP_WIRE_PAGES];

	make(page, pages, MZP_WIRE_PAGES);
	for (round = 0; round < 2000; round++) {
		unsigned long zero[MZP_WIRE_PAGES / 64];

		unsigned int one_in = 1 + unit_random() % MZP_WIRE_PAGES;

		nr = 1 + unit_random() % MZP_WIRE_PAGES;
		memset(zero, round % 2 ? 0xff : 0, sizeof(zero));
		for (i = 0; i < nr; i++) {
			byte[i] = unit_random() % one_in ? 0 : 1 + unit_random() % (PAGE_SIZE - 1);
			page[i].bytes[byte[i]] = !!byte[i];
		}
		mzp_zero_find(pages, nr, zero);
		for (i = 0; i < nr; i++) {
			assert_int_equal(zero[i / 64] >> (i % 64) & 1, !byte[i]);
			page[i].bytes[byte[i]] = 0;
		}
	}
	destroy(page, MZP_WIRE_PAGES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_bit),
		cmocka_unit_test(mixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only
/* kmod/zero.c: each single bit of a page counts. */
#include "unit.h"

#include "shim/kernel.h"
#include "zero.h"

TEST(every_bit)
{
	/* exactly a page, so that reading on is seen */
	unsigned char *page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	unsigned int i;

	assert_non_null(page);
	memset(page, 0, PAGE_SIZE);
	assert_true(mzp_page_is_zero(page));
	for (i = 0; i < PAGE_SIZE * 8; i++) {
		page[i / 8] = 1u << (i % 8);
		assert_false(mzp_page_is_zero(page));
		page[i / 8] = 0;
	}
	assert_true(mzp_page_is_zero(page));
	memset(page, 0xff, PAGE_SIZE);
	assert_false(mzp_page_is_zero(page));
	free(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

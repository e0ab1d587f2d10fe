// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's search for zero pages for a program: compiled as kernel code,
 * together with kmod/zero.c, and linked into scan_native. How any address comes
 * to have a struct page is told in comp_glue.c.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "zero.h"

unsigned int bench_kernel_zeros(void *const *page, unsigned int nr);

/* How many of the pages are zero. */
unsigned int bench_kernel_zeros(void *const *page, unsigned int nr)
{
	DECLARE_BITMAP(zero, MZP_WIRE_PAGES);
	struct page *pages[MZP_WIRE_PAGES];
	unsigned int i, zeros = 0;

	for (i = 0; i < nr; i++)
		pages[i] = virt_to_page(page[i]);
	mzp_zero_find(pages, nr, zero);
	for (i = 0; i < nr; i++)
		zeros += test_bit(i, zero);
	return zeros;
}

MODULE_LICENSE("GPL");

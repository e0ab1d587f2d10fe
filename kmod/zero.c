// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is this page all zero?
 *
 * Most pages that are not zero show it in one of a few words, so these are
 * looked at first: one cache line each instead of 64. What is left is read
 * eight words at a time, which compilers turn into code that keeps up with
 * memory.
 *
 * The guest may write while we read. A page that is zero in each word at the
 * moment it is read counts as zero: a write after the page was handed over is
 * the dirty log's business, and the page is sent again.
 */
#include <linux/build_bug.h>
#include <linux/mm.h>

#include "zero.h"

#define MZP_PAGE_WORDS (PAGE_SIZE / sizeof(u64))

static bool mzp_samples_are_zero(const u64 *word)
{
	return !(word[0] | word[MZP_PAGE_WORDS / 2] | word[MZP_PAGE_WORDS - 1]);
}

/**
 * mzp_page_is_zero - whether a page holds nothing but zero bytes
 * @page: PAGE_SIZE bytes, mapped in the kernel; others may write to it
 *
 * Context: any.
 * Return: true if each word read was zero.
 */
bool mzp_page_is_zero(const void *page)
{
	const u64 *word = page;
	unsigned int i;

	BUILD_BUG_ON(MZP_PAGE_WORDS % 8);

	if (!mzp_samples_are_zero(word))
		return false;
	for (i = 0; i < MZP_PAGE_WORDS; i += 8) {
		if ((word[i] | word[i + 1] | word[i + 2] | word[i + 3]) |
		    (word[i + 4] | word[i + 5] | word[i + 6] | word[i + 7]))
			return false;
	}
	return true;
}

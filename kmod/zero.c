// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which pages are all zero?
 *
 * As long as all of them were, the next one is read whole, eight words at a time,
 * while the lines of the page after the next are being fetched: a guest's pages are
 * scattered, and the CPU's own prefetcher stops at the end of each.
 *
 * From the first one on that is not, many are likely not to be, and most of these show
 * it in one of a few words. So three cache lines of each page are looked at, by loads
 * that wait for memory all at once, since none depends on another: waiting for the
 * first lines of every page takes longer than reading it. Pages that pass are read
 * whole as above.
 *
 * So plain words keep up with memory, and with what vectors do without prefetch,
 * and no FPU section is needed, in which nobody could preempt us.
 *
 * The guest may write while we read. A page that is zero in each word at the
 * moment it is read counts as zero: a write after the page was handed over is
 * the dirty log's business, and the page is sent again.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/mm.h>
#include <linux/prefetch.h>

#include "zero.h"

#define MZP_PAGE_WORDS	(PAGE_SIZE / sizeof(u64))
#define MZP_LINE_WORDS	8

/* How many candidates ahead of the one that is read lines are fetched. */
#define MZP_ZERO_AHEAD	2

/* All memory has an address in the kernel: there is no highmem with 64 bits. */
static const u64 *mzp_zero_words(const struct page *page)
{
	BUILD_BUG_ON(BITS_PER_LONG != 64);
	return page_address(page);
}

static bool mzp_zero_samples(const u64 *word)
{
	return !(word[0] | word[MZP_PAGE_WORDS / 2] | word[MZP_PAGE_WORDS - 1]);
}

static bool mzp_zero_whole(const u64 *word, const u64 *ahead)
{
	unsigned int i;

	BUILD_BUG_ON(MZP_PAGE_WORDS % MZP_LINE_WORDS);

	for (i = 0; i < MZP_PAGE_WORDS; i += MZP_LINE_WORDS) {
		prefetch(ahead + i);
		if ((word[i] | word[i + 1] | word[i + 2] | word[i + 3]) |
		    (word[i + 4] | word[i + 5] | word[i + 6] | word[i + 7]))
			return false;
	}
	return true;
}

/* How many pages from the first one on are zero; set their bits. */
static unsigned int mzp_zero_run(struct page *const *page, unsigned int nr, unsigned long *zero)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		unsigned int ahead = min(i + MZP_ZERO_AHEAD, nr - 1);

		if (!mzp_zero_whole(mzp_zero_words(page[i]), mzp_zero_words(page[ahead])))
			break;
		__set_bit(i, zero);
	}
	return i;
}

/* Set the bits of the zero pages among [@from, @nr). */
static void mzp_zero_candidates(struct page *const *page, unsigned int from, unsigned int nr,
				unsigned long *zero)
{
	/* Candidates' indexes, the last one repeated so that there is always one ahead. */
	u8 like[MZP_WIRE_PAGES + MZP_ZERO_AHEAD];
	unsigned int i, likes = 0;

	for (i = from; i < nr; i++) {
		like[likes] = i;
		likes += mzp_zero_samples(mzp_zero_words(page[i]));
	}
	if (!likes)
		return;
	for (i = 0; i < MZP_ZERO_AHEAD; i++)
		like[likes + i] = like[likes - 1];
	for (i = 0; i < likes; i++)
		if (mzp_zero_whole(mzp_zero_words(page[like[i]]),
				   mzp_zero_words(page[like[i + MZP_ZERO_AHEAD]])))
			__set_bit(like[i], zero);
}

/**
 * mzp_zero_find - find pages that hold nothing but zero bytes
 * @page: @nr pages; others may write to them
 * @nr: 1 to MZP_WIRE_PAGES
 * @zero: bitmap of @nr bits: those of the pages of which each word was zero when
 *	it was read are set, the others cleared
 *
 * Context: any.
 */
void mzp_zero_find(struct page *const *page, unsigned int nr, unsigned long *zero)
{
	unsigned int nr_zero;

	bitmap_zero(zero, nr);
	nr_zero = mzp_zero_run(page, nr, zero);
	if (nr_zero < nr)
		mzp_zero_candidates(page, nr_zero + 1, nr, zero);
}

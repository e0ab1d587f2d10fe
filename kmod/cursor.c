// SPDX-License-Identifier: GPL-2.0-only
/*
 * Walks the pages of a job once, in ascending order, whatever way they were
 * given: a window, a dirty bitmap or ranges. Pure: no locks, no allocation.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/minmax.h>

#include "cursor.h"

static u64 mzp_span_end(const struct mzp_span *span)
{
	return span->first + span->count;
}

/**
 * mzp_cursor_pages - how many pages the cursor stands for
 * @cursor: a cursor that nothing was taken from yet
 *
 * Context: any; takes time in proportion to the input.
 * Return: number of pages.
 */
u64 mzp_cursor_pages(const struct mzp_cursor *cursor)
{
	u64 pages = 0, done, part;
	u32 i;

	if (cursor->span) {
		for (i = 0; i < cursor->nr_spans; i++)
			pages += cursor->span[i].count;
		return pages;
	}
	if (!cursor->bitmap)
		return cursor->window.count;

	/* bitmap_weight() counts in unsigned int. */
	for (done = 0; done < cursor->window.count; done += part) {
		part = min_t(u64, cursor->window.count - done, 1u << 30);
		pages += bitmap_weight(cursor->bitmap + done / BITS_PER_LONG, part);
	}
	return pages;
}

/* The first page at or behind @next that is meant; the window's end if none. */
static u64 mzp_cursor_seek(struct mzp_cursor *cursor)
{
	u64 end = mzp_span_end(&cursor->window);

	if (cursor->bitmap)
		return cursor->window.first +
		       find_next_bit(cursor->bitmap, cursor->window.count,
				     cursor->next - cursor->window.first);
	if (!cursor->span)
		return cursor->next;

	while (cursor->at < cursor->nr_spans &&
	       mzp_span_end(&cursor->span[cursor->at]) <= cursor->next)
		cursor->at++;
	if (cursor->at == cursor->nr_spans)
		return end;
	return max(cursor->next, cursor->span[cursor->at].first);
}

/**
 * mzp_cursor_take - hand out the next pages
 * @cursor: the cursor
 * @page: where to put their numbers, ascending
 * @max: how many at most
 *
 * Context: the caller keeps others off the cursor.
 * Return: how many; less than @max only if there are no more.
 */
unsigned int mzp_cursor_take(struct mzp_cursor *cursor, u64 *page, unsigned int max)
{
	u64 end = mzp_span_end(&cursor->window);
	unsigned int n = 0;

	while (n < max && cursor->next < end) {
		u64 at = mzp_cursor_seek(cursor);

		if (at >= end) {
			cursor->next = end;
			break;
		}
		page[n++] = at;
		cursor->next = at + 1;
	}
	/* Look ahead, so that the end is known when the last page is taken. */
	if (cursor->next < end && mzp_cursor_seek(cursor) >= end)
		cursor->next = end;
	return n;
}

/**
 * mzp_cursor_done - whether all pages were handed out
 * @cursor: the cursor
 *
 * Context: as mzp_cursor_take().
 * Return: true if mzp_cursor_take() would return 0. (A fresh cursor over an
 * empty bitmap is not yet known to be done.)
 */
bool mzp_cursor_done(const struct mzp_cursor *cursor)
{
	return cursor->next >= mzp_span_end(&cursor->window);
}

/**
 * mzp_cursor_end - hand out no more pages
 * @cursor: the cursor
 *
 * Context: as mzp_cursor_take().
 */
void mzp_cursor_end(struct mzp_cursor *cursor)
{
	cursor->next = mzp_span_end(&cursor->window);
}

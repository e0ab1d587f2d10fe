// SPDX-License-Identifier: GPL-2.0-only
/*
 * Walks the pages of a job once, in ascending order, whatever way they were
 * given: a window, a dirty bitmap or ranges. Pure: no locks, no allocation.
 */
#include <linux/bitmap.h>
#include <linux/minmax.h>

#include "cursor.h"

/*
 * Pages of a bitmap that are passed over in one go, at most: 32 KiB of it, for
 * others may spin for a lock meanwhile.
 */
#define MZP_SEEK_PAGES 0x40000ull

static u64 mzp_span_end(const struct mzp_span *span)
{
	return span->first + span->count;
}

/* How many of the bits from @from to @to - 1 are set. */
static u64 mzp_bitmap_count(const unsigned long *bitmap, u64 from, u64 to)
{
	u64 pages = 0;

	for (; from < to && from % BITS_PER_LONG; from++)
		pages += test_bit(from, bitmap);
	for (; from + BITS_PER_LONG <= to; from += BITS_PER_LONG)
		pages += hweight_long(bitmap[from / BITS_PER_LONG]);
	for (; from < to; from++)
		pages += test_bit(from, bitmap);
	return pages;
}

static bool mzp_cursor_seek_bitmap(struct mzp_cursor *cursor)
{
	u64 from = cursor->next - cursor->window.first;
	u64 limit = min(cursor->window.count, from + MZP_SEEK_PAGES);
	u64 found = find_next_bit(cursor->bitmap, limit, from);

	cursor->next = cursor->window.first + found;
	return found < limit;
}

static bool mzp_cursor_seek_spans(struct mzp_cursor *cursor)
{
	while (cursor->at < cursor->nr_spans &&
	       mzp_span_end(&cursor->span[cursor->at]) <= cursor->next)
		cursor->at++;
	if (cursor->at == cursor->nr_spans) {
		mzp_cursor_end(cursor);
		return false;
	}
	cursor->next = max(cursor->next, cursor->span[cursor->at].first);
	return true;
}

/*
 * Move to the first page from @next on that is meant, but not over too many
 * that are not. Return: whether @next is meant.
 */
static bool mzp_cursor_seek(struct mzp_cursor *cursor)
{
	if (mzp_cursor_done(cursor))
		return false;
	if (cursor->bitmap)
		return mzp_cursor_seek_bitmap(cursor);
	if (cursor->span)
		return mzp_cursor_seek_spans(cursor);
	return true;
}

/* The end of the pages from @next on, which is meant, that all are; of @max at most. */
static u64 mzp_cursor_run_end(const struct mzp_cursor *cursor, unsigned int max)
{
	u64 from = cursor->next - cursor->window.first;
	u64 end = cursor->next + max;

	if (cursor->bitmap)
		return cursor->window.first +
		       find_next_zero_bit(cursor->bitmap, min(cursor->window.count, from + max),
					  from);
	if (cursor->span)
		end = min(end, mzp_span_end(&cursor->span[cursor->at]));
	return min(end, mzp_span_end(&cursor->window));
}

/**
 * mzp_cursor_take - hand out the next pages
 * @cursor: the cursor
 * @page: where to put their numbers, ascending
 * @max: how many at most
 *
 * A stretch of a bitmap that is empty for long ends the call early. The end is
 * known as soon as the last page is handed out, unless such a stretch follows.
 *
 * Context: the caller keeps others off the cursor.
 * Return: how many; less than @max, even 0, does not mean that there are no
 * more.
 */
unsigned int mzp_cursor_take(struct mzp_cursor *cursor, u64 *page, unsigned int max)
{
	unsigned int n = 0;
	u64 end;

	while (mzp_cursor_seek(cursor) && n < max) {
		end = mzp_cursor_run_end(cursor, max - n);
		while (cursor->next < end)
			page[n++] = cursor->next++;
	}
	return n;
}

/* Where a skip that would take too long for one go has to stop. */
static u64 mzp_cursor_skip_limit(const struct mzp_cursor *cursor, u64 to)
{
	if (cursor->bitmap)
		return min(to, cursor->next + MZP_SEEK_PAGES);
	/* The one that @next is in. */
	if (cursor->span)
		return min(to, mzp_span_end(&cursor->span[cursor->at]));
	return to;
}

/**
 * mzp_cursor_skip - hand out all pages up to a point at once
 * @cursor: the cursor
 * @to: where to go on, at most the window's end
 *
 * Does nothing if the cursor is there already, and may stop early.
 *
 * Context: as mzp_cursor_take().
 * Return: how many pages were handed out thereby.
 */
u64 mzp_cursor_skip(struct mzp_cursor *cursor, u64 to)
{
	u64 pages;

	if (!mzp_cursor_seek(cursor))
		return 0;
	to = mzp_cursor_skip_limit(cursor, to);
	if (cursor->next >= to)
		return 0;
	pages = to - cursor->next;
	if (cursor->bitmap)
		pages = mzp_bitmap_count(cursor->bitmap, cursor->next - cursor->window.first,
					 to - cursor->window.first);
	cursor->next = to;
	mzp_cursor_seek(cursor);
	return pages;
}

/**
 * mzp_cursor_done - whether all pages were handed out
 * @cursor: the cursor
 *
 * Context: as mzp_cursor_take().
 * Return: true if there are no more; false if there may be.
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

/**
 * mzp_cursor_give_input - give the bitmap or the ranges back to their owner
 * @cursor: the cursor
 *
 * Context: as mzp_cursor_take().
 * Return: what nobody looks at any more, once; NULL if that has been had, was not
 * there, or is still needed.
 */
void *mzp_cursor_give_input(struct mzp_cursor *cursor)
{
	void *input;

	if (!mzp_cursor_done(cursor))
		return NULL;
	input = cursor->bitmap ? (void *)cursor->bitmap : (void *)cursor->span;
	cursor->bitmap = NULL;
	cursor->span = NULL;
	return input;
}

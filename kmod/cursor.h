/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_CURSOR_H
#define MZP_CURSOR_H

#include <linux/types.h>

/**
 * struct mzp_span - pages @first to @first + @count - 1 of a block
 * @first: first page
 * @count: pages, at least 1
 */
struct mzp_span {
	u64 first;
	u64 count;
};

/**
 * struct mzp_cursor - where a job is in the pages that it was given
 * @window: the pages that the job may touch
 * @bitmap: bit n for page window.first + n, nothing set behind the window; or
 *	NULL
 * @span: ascending, disjoint spans in the window; or NULL
 * @nr_spans: number of @span
 * @next: pages before this one have been handed out
 * @at: index into @span of the one that @next is in or before
 *
 * Without @bitmap and @span all pages of the window are meant. The array belongs
 * to the cursor's owner, who can have it back when the cursor is done.
 */
struct mzp_cursor {
	struct mzp_span window;
	unsigned long *bitmap;
	struct mzp_span *span;
	u32 nr_spans;
	u32 at;
	u64 next;
};

unsigned int mzp_cursor_take(struct mzp_cursor *cursor, u64 *page, unsigned int max);
u64 mzp_cursor_skip(struct mzp_cursor *cursor, u64 to);
bool mzp_cursor_done(const struct mzp_cursor *cursor);
void mzp_cursor_end(struct mzp_cursor *cursor);
void *mzp_cursor_give_input(struct mzp_cursor *cursor);

#endif /* MZP_CURSOR_H */

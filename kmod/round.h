/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_ROUND_H
#define MZP_ROUND_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/types.h>

struct mzp_job;

/**
 * struct mzp_counts - what became of pages
 * @normal: sent with their contents
 * @zero: read, and found zero
 * @absent: not read, since they hold no data
 * @lost: given up after an error
 */
struct mzp_counts {
	u64 normal;
	u64 zero;
	u64 absent;
	u64 lost;
};

static inline u64 mzp_counts_total(const struct mzp_counts *counts)
{
	return counts->normal + counts->zero + counts->absent + counts->lost;
}

/* Only one thread adds to @sum; others may read it at any time. */
static inline void mzp_counts_add(struct mzp_counts *sum, const struct mzp_counts *counts)
{
	WRITE_ONCE(sum->normal, sum->normal + counts->normal);
	WRITE_ONCE(sum->zero, sum->zero + counts->zero);
	WRITE_ONCE(sum->absent, sum->absent + counts->absent);
	WRITE_ONCE(sum->lost, sum->lost + counts->lost);
}

/**
 * struct mzp_tally - what some jobs come to
 * @pages: handed over with them
 * @counts: what became of these
 */
struct mzp_tally {
	u64 pages;
	struct mzp_counts counts;
};

/**
 * struct mzp_round - what is handed over between two SYNCs
 * @ref: the session's while it is the last one, one for each channel that is in
 *	it, each of its SENDs, and the round before it
 * @jobs: SENDs with pages left to take, in order
 * @sync: the SYNC that ends it, or NULL: it is still to come; a reference
 * @next: the round behind @sync, or NULL; a reference
 * @number: the first is 1; fixed. One that does not count has that of the next.
 * @start: when its first job came, in ns of the monotonic clock
 * @submitted: pages handed over
 * @counts: what became of them
 *
 * Channels can be in different rounds at once, one ahead of the other. All but
 * @ref is under the session's queue lock.
 */
struct mzp_round {
	struct kref ref;
	struct list_head jobs;
	struct mzp_job *sync;
	struct mzp_round *next;
	u32 number;
	u64 start;
	u64 submitted;
	struct mzp_counts counts;
};

struct mzp_round *mzp_round_new(void);
struct mzp_round *mzp_round_get(struct mzp_round *round);
void mzp_round_put(struct mzp_round *round);

#endif /* MZP_ROUND_H */

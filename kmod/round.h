/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_ROUND_H
#define MZP_ROUND_H

#include <linux/kref.h>
#include <linux/types.h>

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
 * struct mzp_round - what is handed over between two SYNCs
 * @ref: the session's, and one for each job
 * @number: the first is 1; set when its SYNC comes
 * @start: when its first job came, in ns of the monotonic clock
 * @submitted: pages handed over
 * @counts: what became of them
 *
 * Workers can be at several rounds at once, one channel ahead of the other; each
 * job knows its own. Under the session lock.
 */
struct mzp_round {
	struct kref ref;
	u32 number;
	u64 start;
	u64 submitted;
	struct mzp_counts counts;
};

struct mzp_round *mzp_round_new(void);
struct mzp_round *mzp_round_get(struct mzp_round *round);
void mzp_round_put(struct mzp_round *round);

#endif /* MZP_ROUND_H */

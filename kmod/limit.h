/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_LIMIT_H
#define MZP_LIMIT_H

#include <linux/ktime.h>
#include <linux/spinlock.h>
#include <linux/types.h>

/* What was not used for so long is lost: a tenth of a second's bytes. */
#define MZP_LIMIT_CREDIT_NS	(NSEC_PER_SEC / 10)

/**
 * struct mzp_limit - how fast a session's packets may come
 * @rate: bytes per second; 0: no limit. Written under @lock, read anywhere.
 * @own: what its owner wants, likewise; under @lock
 * @given: what an administrator has set; under @lock. The lower one is @rate.
 * @preset: the host's, in place of @own if that is 0; under @lock
 * @cap: the host's, in place of @given if that is 0; under @lock
 * @lock: protects the others
 * @next: when the next packet may be made, in ns of the monotonic clock
 */
struct mzp_limit {
	u64 rate;
	u64 own;
	u64 given;
	u64 preset;
	u64 cap;
	spinlock_t lock; /* see above */
	u64 next;
};

void mzp_limit_init(struct mzp_limit *limit);
void mzp_limit_set(struct mzp_limit *limit, u64 *whose, u64 rate);
u64 mzp_limit_wait(struct mzp_limit *limit);
void mzp_limit_charge(struct mzp_limit *limit, u64 bytes);

#endif /* MZP_LIMIT_H */

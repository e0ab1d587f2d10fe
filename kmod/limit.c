// SPDX-License-Identifier: GPL-2.0-only
/*
 * A cap on what a session sends: bytes per second, over all of its channels.
 *
 * Each packet moves the time at which the next one may be made by what it costs
 * at the given rate. A packet is never cut: channels that look at the same
 * moment can each make one, and what is too much thereby is waited for
 * afterwards. So the long run is exact, and what can come at once is bounded.
 */
#include <linux/math64.h>
#include <linux/minmax.h>

#include "limit.h"

/**
 * mzp_limit_init - no limit
 * @limit: zeroed memory
 *
 * Context: any.
 */
void mzp_limit_init(struct mzp_limit *limit)
{
	spin_lock_init(&limit->lock);
}

/**
 * mzp_limit_set - set the limit, from now on
 * @limit: the limit
 * @whose: its @own, @given, @preset or @cap
 * @rate: bytes per second; 0: no limit
 *
 * The caller has the session's channels looked at afterwards.
 *
 * Context: process.
 */
void mzp_limit_set(struct mzp_limit *limit, u64 *whose, u64 rate)
{
	spin_lock(&limit->lock);
	*whose = rate;
	WRITE_ONCE(limit->rate, min_not_zero(limit->own ?: limit->preset,
					     limit->given ?: limit->cap));
	limit->next = ktime_get_ns();
	spin_unlock(&limit->lock);
}

/**
 * mzp_limit_wait - whether a packet may be made
 * @limit: the limit
 *
 * Context: process.
 * Return: 0, or until when to wait before the next look, in ns of the monotonic
 * clock.
 */
u64 mzp_limit_wait(struct mzp_limit *limit)
{
	u64 next;

	if (likely(!READ_ONCE(limit->rate)))
		return 0;
	spin_lock(&limit->lock);
	next = limit->rate ? limit->next : 0;
	spin_unlock(&limit->lock);
	return next > ktime_get_ns() ? next : 0;
}

/**
 * mzp_limit_charge - a packet was made
 * @limit: the limit
 * @bytes: its size, at most a few MiB
 *
 * Context: process.
 */
void mzp_limit_charge(struct mzp_limit *limit, u64 bytes)
{
	u64 now;

	if (likely(!READ_ONCE(limit->rate)))
		return;
	now = ktime_get_ns();
	spin_lock(&limit->lock);
	if (limit->rate) {
		limit->next = max(limit->next, now - MZP_LIMIT_CREDIT_NS);
		limit->next += DIV64_U64_ROUND_UP(bytes * NSEC_PER_SEC, limit->rate);
	}
	spin_unlock(&limit->lock);
}

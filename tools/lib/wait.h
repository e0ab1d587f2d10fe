/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_WAIT_H
#define MFD_PRIVATE_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "clock.h"
#include "mfd.h"

/* How often who waits looks around. */
#define MFD_WAIT_MS 100

/*
 * How long a call may wait for somebody else.
 * @deadline: on the clock of mfd_now(); UINT64_MAX: for ever
 * @check: looks, about ten times a second, whether to go on: returns 0, or a negative errno
 *	with its reason in @err. May be NULL.
 * @opaque: for @check
 */
struct mfd_wait {
	uint64_t deadline;
	int (*check)(void *opaque, struct mfd_error *err);
	void *opaque;
};

static inline uint64_t mfd_wait_until(uint32_t timeout_ms)
{
	return mfd_now() + timeout_ms * 1000000ull;
}

static inline int mfd_wait_check(const struct mfd_wait *wait, struct mfd_error *err)
{
	return wait->check ? wait->check(wait->opaque, err) : 0;
}

static inline bool mfd_wait_over(const struct mfd_wait *wait)
{
	return mfd_now() >= wait->deadline;
}

/* What poll() may wait: until the deadline, but not longer than one look around. */
static inline int mfd_wait_tick(const struct mfd_wait *wait)
{
	uint64_t now = mfd_now();

	if (now >= wait->deadline)
		return 0;
	if (wait->deadline - now >= MFD_WAIT_MS * 1000000ull)
		return MFD_WAIT_MS;
	return (wait->deadline - now) / 1000000 + 1;
}

#endif /* MFD_PRIVATE_WAIT_H */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_CLOCK_H
#define MFD_PRIVATE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds since some moment, whatever becomes of the time of day. */
static inline uint64_t mfd_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

#endif /* MFD_PRIVATE_CLOCK_H */

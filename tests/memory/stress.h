/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stress: which memory it wants, and what is done to that while it is sent.
 */
#ifndef STRESS_H
#define STRESS_H

#include "kit.h"

struct arena;

struct stress {
	const char *name;
	enum { ANON = 1, FILES = 2, HUGE_TOO = 4, LARGE = 8, SAME = 16, UPPER_HALF = 32,
	       SWAP = 64, ZLIB = 128, ZSTD = 256, HARDER = 512, HUGE_ONLY = 1024 } flags;
	unsigned int threads;
	bool may_fail;			/* wild memory may be gone when a worker comes */
	void (*act)(struct arena *a, uint64_t *seed, unsigned int me);
	void (*begin)(void);
	void (*end)(void);
};

/* The one that this is about. */
extern const struct stress *stress;

/* Its channels compress. */
bool compressed(void);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A life: a process whose threads make the calls that its genes tell.
 */
#ifndef FUZZ_LIFE_H
#define FUZZ_LIFE_H

#include "fuzz_call.h"

enum { GENES = 8 };

struct genes {
	unsigned int nr;
	uint64_t gene[GENES];
};

/* Live it, and end. */
void life(const struct genes *g, struct progress *progress);
/*
 * Find out whether the kernel can make calls fail inside, as lives then have it do, and
 * make it do so without a word.
 */
void faults_quiet(void);
/* Say what came of each kind of call. */
void report_calls(void);

#endif

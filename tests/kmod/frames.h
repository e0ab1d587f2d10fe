/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Leaked references on anonymous pages: nobody has the page mapped any more, and
 * yet it is still somebody's. kmemleak knows nothing of pages.
 */
#ifndef FRAMES_H
#define FRAMES_H

#include "kit.h"

#define FRAMES_MAX 4096

struct frames {
	unsigned int nr;
	uint64_t pfn[FRAMES_MAX];
};

/* In memory that a child and its parent share. */
struct frames *frames_new(void);
/* Note where the anonymous pages are that are there, as far as there is room. */
void frames_watch(struct frames *f, const void *base, uint64_t pages);
/* Wait until all of them were given back, after the memory was unmapped. */
void frames_gone(const struct frames *f);

#endif

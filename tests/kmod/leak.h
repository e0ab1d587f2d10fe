/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Leaks of page references. A huge page goes back to its pool only with the
 * last reference; a small one that was leaked is still somebody's anonymous memory, but
 * nobody has it mapped.
 */
#ifndef LEAK_H
#define LEAK_H

#include "kit.h"

/* What the pool says of itself, in pages, such as its "free_hugepages"; 0 without a pool. */
long huge_pages(const char *what);

#define WATCHED 4096
struct frames {
	unsigned int nr;
	uint64_t pfn[WATCHED];
};

/* In memory that a child and its parent share. */
struct frames *frames_new(void);
/* Note where the pages are that are there, as far as there is room. */
void frames_watch(struct frames *f, const void *base, uint64_t pages);
/*
 * Wait until none of the module's files is open, and no page is held: no huge one, and
 * of the small ones none of @f, which may be NULL.
 */
void all_gone(const struct frames *f);

#endif

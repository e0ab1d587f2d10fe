/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Leaks of whatever a session held. A huge page goes back to its pool only with the
 * last reference; see frames.h for small ones.
 */
#ifndef LEAK_H
#define LEAK_H

#include "frames.h"

/* What the pool says of itself, in pages, such as its "free_hugepages"; 0 without a pool. */
long huge_pages(const char *what);

/*
 * Wait until none of the module's files is open, and no page is held: no huge one, and
 * of the small ones none of @f, which may be NULL.
 */
void all_gone(const struct frames *f);

#endif

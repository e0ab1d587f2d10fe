/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_LARGE_H
#define MZP_LARGE_H

#include <linux/gfp.h>
#include <linux/types.h>

/*
 * For kvmalloc() and its like, of sizes that the caller of an ioctl chooses. If
 * the memory cgroup has no room, the caller gets ENOMEM, and nobody is killed to
 * make room; nor is it worth a warning.
 */
#define MZP_GFP_LARGE (GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* The same for what may be many megabytes. */
void *mzp_large_alloc(size_t nr, size_t size, gfp_t zero);

#endif /* MZP_LARGE_H */

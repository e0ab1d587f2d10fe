/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_LARGE_H
#define MZP_LARGE_H

#include <linux/gfp.h>
#include <linux/types.h>

void *mzp_large_alloc(size_t nr, size_t size, gfp_t zero);

#endif /* MZP_LARGE_H */

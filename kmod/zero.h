/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_ZERO_H
#define MZP_ZERO_H

#include <linux/types.h>

#include <linux/multifd_wire.h>

struct page;

void mzp_zero_find(struct page *const *page, unsigned int nr, unsigned long *zero);

#endif /* MZP_ZERO_H */

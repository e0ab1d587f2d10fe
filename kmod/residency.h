/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_RESIDENCY_H
#define MZP_RESIDENCY_H

#include <linux/types.h>

#include <linux/multifd_wire.h>

struct mm_struct;
struct page;

/**
 * struct mzp_residency - what is known of some consecutive pages
 * @nr: how many
 * @held: bit n is set unless page n is known to be zero without reading it
 * @page: the pages whose contents could be had by the way, one reference each;
 *	NULL for the others. Only where @held is set.
 */
struct mzp_residency {
	unsigned int nr;
	DECLARE_BITMAP(held, MZP_WIRE_PAGES);
	struct page *page[MZP_WIRE_PAGES];
};

void mzp_residency_init(struct mzp_residency *res, unsigned int nr);
void mzp_residency_drop(struct mzp_residency *res);

void mzp_residency_look(struct mm_struct *mm, unsigned long addr, struct mzp_residency *res);
unsigned long mzp_residency_next(struct mm_struct *mm, unsigned long addr, unsigned long end);

#endif /* MZP_RESIDENCY_H */

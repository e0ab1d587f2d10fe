/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_RESIDENCY_H
#define MZP_RESIDENCY_H

#include <linux/types.h>

#include <linux/multifd_wire.h>

struct mm_struct;
struct page;

/**
 * enum mzp_resident - what is known of a page
 * @MZP_UNKNOWN: nothing yet
 * @MZP_ABSENT: it holds no data, so it is zero
 * @MZP_HELD: it has to be read
 * @MZP_TAKEN: it has to be read, and we have a reference on it
 */
enum mzp_resident {
	MZP_UNKNOWN,
	MZP_ABSENT,
	MZP_HELD,
	MZP_TAKEN,
};

/**
 * struct mzp_residency - what is known of some consecutive pages
 * @nr: how many
 * @state: of enum mzp_resident
 * @page: those that are MZP_TAKEN, one reference each
 */
struct mzp_residency {
	unsigned int nr;
	u8 state[MZP_WIRE_PAGES];
	struct page *page[MZP_WIRE_PAGES];
};

void mzp_residency_init(struct mzp_residency *res, unsigned int nr);
void mzp_residency_fill(struct mzp_residency *res, unsigned int at, unsigned int nr,
			enum mzp_resident state);
unsigned int mzp_residency_alike(const struct mzp_residency *res, unsigned int at);
void mzp_residency_drop(struct mzp_residency *res);

void mzp_residency_look(struct mm_struct *mm, unsigned long addr, struct mzp_residency *res);
unsigned long mzp_residency_next(struct mm_struct *mm, unsigned long addr, unsigned long end);

#endif /* MZP_RESIDENCY_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_RESIDENCY_H
#define MZP_RESIDENCY_H

struct mm_struct;

void mzp_residency(struct mm_struct *mm, unsigned long addr, unsigned int nr,
		   unsigned long *held);

#endif /* MZP_RESIDENCY_H */

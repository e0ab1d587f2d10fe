/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_GRAB_H
#define MZP_GRAB_H

struct mm_struct;
struct page;

int mzp_grab(unsigned long addr, unsigned int nr, struct page **page);
int mzp_grab_fetch(struct mm_struct *mm, unsigned long addr, unsigned int nr,
		   struct page **page);

#endif /* MZP_GRAB_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_GRAB_H
#define MZP_GRAB_H

#include <linux/mm.h>

int mzp_grab(struct mm_struct *mm, unsigned long addr, unsigned int nr, struct page **page);
int mzp_grab_wait(struct mm_struct *mm, unsigned long addr, unsigned int nr,
		  struct page **page);

/*
 * Whether @page's memory is broken, as far as is known. Of a hugetlb page, the whole
 * page is. To be asked before it is read.
 */
static inline bool mzp_page_poisoned(struct page *page)
{
	struct folio *folio = page_folio(page);

	return PageHWPoison(page) || (folio_test_hugetlb(folio) && folio_test_hwpoison(folio));
}

#endif /* MZP_GRAB_H */

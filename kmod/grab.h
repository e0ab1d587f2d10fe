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

	return PageHWPoison(page) || (folio_test_hwpoison(folio) && folio_test_hugetlb(folio));
}

/*
 * Whether @folio can have more references, as try_get_page() decides it: not if there are
 * so many that their number has become negative. Something keeps it, such as a reference of the
 * caller's, or an entry of a page table whose lock is held.
 */
static inline bool mzp_folio_countable(const struct folio *folio)
{
	return !WARN_ON_ONCE(folio_ref_count(folio) <= 0);
}

#endif /* MZP_GRAB_H */

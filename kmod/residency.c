// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which pages hold data at all?
 *
 * A page of private anonymous memory that was never written has no page-table
 * entry, or one that points to the kernel's shared zero page. Such a page is
 * zero: that is known without reading it, and reading it would only cost a
 * fault and, for what the fault maps, memory. So the page tables are walked
 * here, and never a page is read, faulted in or allocated.
 *
 * Absent is not zero in general. Everything but these two cases is left to be
 * read the ordinary way: swapped, migrating, poisoned, guarded or otherwise
 * marked entries; memory that is not anonymous (a hole in its page tables says
 * nothing about the file behind it); memory without read permission or without
 * a VMA (reading it must fail, not yield zeros); and memory registered with
 * userfaultfd for missing or minor faults, where a hole means that the contents
 * are still to come.
 *
 * Why the walk is safe. The caller holds mmap_lock for reading, which keeps the
 * VMA, and with it the upper levels of its page tables: they are freed only by
 * munmap, mremap and exit, which detach the VMA under mmap_lock for writing
 * first. A table of PTEs can be replaced by a huge page; in an anonymous VMA
 * that too happens only under mmap_lock for writing (khugepaged,
 * MADV_COLLAPSE), and the other direction, a split, only adds a table. Newer
 * kernels free empty PTE tables while mmap_lock is held for reading
 * (MADV_DONTNEED), but after an RCU grace period only; so the entry of the
 * level above is read once, inside rcu_read_lock(), and the table that it named
 * is used only until rcu_read_unlock(). Entries change under us all the time;
 * each is read once, and either value was right at a moment after the page had
 * been handed over.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/rcupdate.h>
#include <linux/userfaultfd_k.h>

#include "residency.h"

/* Whether a hole in @vma's page tables, or the zero page, means zero. */
static bool mzp_vma_absent_is_zero(struct vm_area_struct *vma)
{
	return vma_is_anonymous(vma) && (vma->vm_flags & VM_READ) &&
	       !userfaultfd_missing(vma) && !userfaultfd_minor(vma);
}

static bool mzp_pte_holds_data(pte_t pte)
{
	if (pte_none(pte))
		return false;
	return !pte_present(pte) || !is_zero_pfn(pte_pfn(pte));
}

/*
 * The table of PTEs for @addr, or NULL. When NULL, *@held says whether all of
 * the range that the table would cover holds data (a huge page, or an entry
 * that has to be looked at by a fault) or none of it does.
 */
static pte_t *mzp_pte_table(struct mm_struct *mm, unsigned long addr, bool *held)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud, pudval;
	pmd_t *pmd, pmdval;

	*held = false;
	if (pgd_none(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	if (p4d_none(*p4d))
		return NULL;
	pud = pud_offset(p4d, addr);
	pudval = READ_ONCE(*pud);
	if (pud_none(pudval))
		return NULL;
	*held = true;
	if (!pud_present(pudval) || pud_leaf(pudval))
		return NULL;
	pmd = pmd_offset(pud, addr);
	pmdval = READ_ONCE(*pmd);
	*held = !pmd_none(pmdval);
	if (!pmd_present(pmdval) || pmd_leaf(pmdval) || pmd_bad(pmdval))
		return NULL;
	return pte_offset_kernel(&pmdval, addr);
}

/* As mzp_residency(), for pages that one table of PTEs covers. */
static void mzp_walk_table(struct mm_struct *mm, unsigned long addr, unsigned int nr,
			   unsigned long *held, unsigned int bit)
{
	bool all;
	pte_t *pte;
	unsigned int i;

	rcu_read_lock();
	pte = mzp_pte_table(mm, addr, &all);
	for (i = 0; i < nr; i++) {
		if (pte ? mzp_pte_holds_data(READ_ONCE(pte[i])) : all)
			__set_bit(bit + i, held);
	}
	rcu_read_unlock();
}

static void mzp_walk_vma(struct mm_struct *mm, unsigned long addr, unsigned long end,
			 unsigned long *held, unsigned int bit)
{
	unsigned long next;

	for (; addr < end; addr = next) {
		unsigned int nr;

		next = pmd_addr_end(addr, end);
		nr = (next - addr) >> PAGE_SHIFT;
		mzp_walk_table(mm, addr, nr, held, bit);
		bit += nr;
	}
}

/**
 * mzp_residency - find the pages of a range that have to be read
 * @mm: whose memory
 * @addr: start of the range, page-aligned
 * @nr: pages
 * @held: bit n is set for page n unless that page is known to be zero without
 *	reading it
 *
 * Nothing is read, faulted in or allocated.
 *
 * Context: mmap_lock of @mm is held for reading, and @mm has users.
 */
void mzp_residency(struct mm_struct *mm, unsigned long addr, unsigned int nr,
		   unsigned long *held)
{
	unsigned long start = addr, end = addr + nr * PAGE_SIZE, next;

	mmap_assert_locked(mm);
	bitmap_zero(held, nr);
	for (; addr < end; addr = next) {
		struct vm_area_struct *vma = find_vma(mm, addr);
		unsigned int bit = (addr - start) >> PAGE_SHIFT;

		next = end;
		if (vma)
			next = min(end, vma->vm_start <= addr ? vma->vm_end : vma->vm_start);
		if (vma && vma->vm_start <= addr && mzp_vma_absent_is_zero(vma))
			mzp_walk_vma(mm, addr, next, held, bit);
		else
			bitmap_set(held, bit, (next - addr) >> PAGE_SHIFT);
	}
}

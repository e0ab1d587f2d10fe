// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which pages of an address space hold data at all?
 *
 * A page of private anonymous memory that was never written has no page-table
 * entry, or one that points to the kernel's shared zero page. A page of mapped
 * shmem or hugetlbfs that was never written is a hole in its file. Such a page
 * is zero: that is known without reading it, and reading it would only cost a
 * fault and, for what the fault maps, memory. So page tables and page caches
 * are looked at here, and never a page is read, faulted in or allocated.
 *
 * Absent is not zero in general. All else is left to be read the ordinary way:
 * swapped, migrating, poisoned, guarded or otherwise marked entries; mappings
 * of other files; memory without read permission or without a VMA (reading it
 * must fail, not yield zeros); devices' memory; and what is missing in memory
 * registered with userfaultfd for missing or minor faults: there the contents
 * are still to come.
 *
 * What is looked at, by kind of VMA:
 *
 *   private anonymous        page tables
 *   registered for missing   page tables, for zero pages that the handler has
 *     or minor faults          supplied; all else has to be read
 *   shmem, hugetlbfs, or a   page tables, for what is in the way of the file;
 *     file on a disk           where they say nothing, the page cache (cache.c)
 *   anything else            nothing: it has to be read
 *
 * Why the walk of the page tables is safe. The caller holds mmap_lock for
 * reading, which keeps the VMA, and with it the upper levels of its page
 * tables: they are freed only by munmap, mremap and exit, which detach the VMA
 * under mmap_lock for writing first. A table of PTEs goes when its pages are
 * collapsed into a huge one (older kernels hold mmap_lock for writing then)
 * and, on newer kernels, when MADV_DONTNEED has emptied it; what does that with
 * mmap_lock held for reading frees it after an RCU grace period only. So the
 * entry of the level above is read once, inside rcu_read_lock(), and when it
 * still is the same after the table's lock was taken, the table is in use as
 * long as the lock is held.
 *
 * Why the lock is needed. Reclaim, migration, copy on write, mprotect, NUMA
 * balancing and KSM clear an entry before they write its new value, and some of
 * them put the old one back. Without the lock, a page that holds data could be
 * seen as absent in between. That is true of huge entries as well, so an empty
 * PMD or PUD is looked at again under its lock.
 *
 * Under the lock an entry can be relied on: what it says was so at a moment
 * after the page had been handed over.
 *
 * Anonymous pages that are present are taken while the lock is held: that costs less
 * than to find them again, and GUP would refuse some of them or be slow (grab.c). As long as
 * an entry maps a page, it has a reference on it, so the page cannot be freed under us;
 * and it cannot be a file's, a device's, secret or the zero page. All other pages are GUP's.
 *
 * Shared mappings of hugetlbfs are the exception: processes can share their
 * tables, and unshare them without our mmap_lock. These are not walked.
 */
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/rcupdate.h>
#include <linux/userfaultfd_k.h>

#include "cache.h"
#include "compat.h"
#include "fault.h"
#include "grab.h"
#include "residency.h"

/* Tables that one call of mzp_residency_next() looks at, at most. */
#define MZP_NEXT_TABLES 1024

/**
 * mzp_residency_init - nothing is known yet
 * @res: whatever
 * @nr: pages, at most MZP_WIRE_PAGES
 *
 * Context: any.
 */
void mzp_residency_init(struct mzp_residency *res, unsigned int nr)
{
	res->nr = nr;
	memset(res->state, MZP_UNKNOWN, nr);
}

/**
 * mzp_residency_fill - decide on pages of which nothing is known
 * @res: the residency
 * @at: first page
 * @nr: pages
 * @state: what they are; not MZP_TAKEN
 *
 * Context: any.
 */
void mzp_residency_fill(struct mzp_residency *res, unsigned int at, unsigned int nr,
			enum mzp_resident state)
{
	for (; nr; at++, nr--) {
		if (res->state[at] == MZP_UNKNOWN)
			res->state[at] = state;
	}
}

/**
 * mzp_residency_alike - how many pages have the same state
 * @res: the residency
 * @at: the first of them
 *
 * Context: any.
 * Return: at least 1.
 */
unsigned int mzp_residency_alike(const struct mzp_residency *res, unsigned int at)
{
	unsigned int end = at + 1;

	while (end < res->nr && res->state[end] == res->state[at])
		end++;
	return end - at;
}

/**
 * mzp_residency_drop - drop the references that nobody has taken over
 * @res: the residency
 *
 * Context: may sleep.
 */
void mzp_residency_drop(struct mzp_residency *res)
{
	unsigned int i;

	for (i = 0; i < res->nr; i++) {
		if (res->state[i] == MZP_TAKEN)
			put_page(res->page[i]);
	}
	res->nr = 0;
}

/**
 * enum mzp_tables - what a VMA's page tables can say
 * @MZP_TABLES_ANON: a hole is zero
 * @MZP_TABLES_LAZY: a hole is still to be filled
 * @MZP_TABLES_PRIVATE: a hole says nothing: the file's page is seen through it
 * @MZP_TABLES_SHARED: nor does a page that is present: it is the file's
 * @MZP_TABLES_NONE: they are not to be looked at
 */
enum mzp_tables {
	MZP_TABLES_ANON,
	MZP_TABLES_LAZY,
	MZP_TABLES_PRIVATE,
	MZP_TABLES_SHARED,
	MZP_TABLES_NONE,
};

static enum mzp_resident mzp_none_means(enum mzp_tables tables)
{
	switch (tables) {
	case MZP_TABLES_ANON:
		return MZP_ABSENT;
	case MZP_TABLES_LAZY:
		return MZP_HELD;
	default:
		return MZP_UNKNOWN;
	}
}

static enum mzp_resident mzp_present_means(enum mzp_tables tables, bool zero)
{
	if (tables == MZP_TABLES_SHARED)
		return MZP_UNKNOWN;
	return zero ? MZP_ABSENT : MZP_HELD;
}

static enum mzp_resident mzp_pte_means(pte_t pte, enum mzp_tables tables)
{
	if (pte_present(pte))
		return mzp_present_means(tables, is_zero_pfn(pte_pfn(pte)));
	/* That a hole is write-protected makes it no less a hole. */
	if (pte_none(pte) || mzp_pte_is_uffd_marker(pte))
		return mzp_none_means(tables);
	return MZP_HELD;
}

/*
 * Take @nr pages of one folio, mapped by a table whose lock is held, for @res from @at on, if
 * they are anonymous and not a device's. Pages that @res has keep the references they have.
 */
static inline void mzp_take_mapped(struct page *page, unsigned int nr, struct mzp_residency *res,
				   unsigned int at)
{
	struct folio *folio = page_folio(page);
	unsigned int i, taken = 0;

	if (!folio_test_anon(folio) || folio_is_zone_device(folio) || mzp_fault() ||
	    !mzp_folio_countable(folio))
		return;
	for (i = 0; i < nr; i++) {
		if (res->state[at + i] == MZP_TAKEN)
			continue;
		res->state[at + i] = MZP_TAKEN;
		res->page[at + i] = page + i;
		taken++;
	}
	folio_ref_add(folio, taken);
}

static bool mzp_pmd_is_table(pmd_t pmd)
{
	return pmd_present(pmd) && !pmd_leaf(pmd) && !pmd_bad(pmd);
}

static enum mzp_resident mzp_pmd_means(pmd_t pmd, enum mzp_tables tables)
{
	if (pmd_none(pmd))
		return mzp_none_means(tables);
	if (!pmd_present(pmd) || !pmd_leaf(pmd))
		return MZP_HELD;
	return mzp_present_means(tables, mzp_pmd_is_zero(pmd));
}

/* The same for @nr pages from @addr on, which @pmd covers. */
static enum mzp_resident mzp_look_huge(struct mm_struct *mm, pmd_t *pmd, unsigned long addr,
				       unsigned int nr, enum mzp_tables tables,
				       struct mzp_residency *res, unsigned int at)
{
	spinlock_t *lock = pmd_lock(mm, pmd);
	enum mzp_resident state = mzp_pmd_means(*pmd, tables);

	if (res && state == MZP_HELD && pmd_present(*pmd) && pmd_leaf(*pmd))
		mzp_take_mapped(pmd_page(*pmd) + ((addr & ~PMD_MASK) >> PAGE_SHIFT), nr, res, at);
	spin_unlock(lock);
	return state;
}

static enum mzp_resident mzp_pud_means(struct mm_struct *mm, pud_t *pud, enum mzp_tables tables)
{
	spinlock_t *lock = pud_lock(mm, pud);
	pud_t pudval = *pud;

	spin_unlock(lock);
	if (pud_none(pudval))
		return mzp_none_means(tables);
	if (!pud_present(pudval) || !pud_leaf(pudval))
		return MZP_HELD;
	return mzp_present_means(tables, false);
}

/*
 * The PMD for @addr; or NULL, and in *@state what the level above says of
 * *@size bytes.
 */
static pmd_t *mzp_find_pmd(struct mm_struct *mm, unsigned long addr, enum mzp_tables tables,
			   unsigned long *size, enum mzp_resident *state)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud, pudval;

	*state = mzp_none_means(tables);
	*size = PGDIR_SIZE;
	if (pgd_none(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	*size = P4D_SIZE;
	if (p4d_none(*p4d))
		return NULL;
	pud = pud_offset(p4d, addr);
	pudval = READ_ONCE(*pud);
	*size = PUD_SIZE;
	if (pud_none(pudval) || !pud_present(pudval) || pud_leaf(pudval)) {
		*state = mzp_pud_means(mm, pud, tables);
		return NULL;
	}
	*size = PMD_SIZE;
	return pmd_offset(pud, addr);
}

/*
 * How many pages from @addr on, of @nr that the table at @pmdval covers, it
 * says *@state of. 0: @pmd does not point to that table any more. Under RCU.
 * Those that can be taken are.
 */
static unsigned int mzp_look_table(struct mm_struct *mm, pmd_t *pmd, pmd_t pmdval,
				   unsigned long addr, unsigned int nr, enum mzp_tables tables,
				   enum mzp_resident *state, struct mzp_residency *res,
				   unsigned int at)
{
	spinlock_t *lock = pte_lockptr(mm, &pmdval);
	pte_t *pte = pte_offset_kernel(&pmdval, addr);
	unsigned int i = 0;

	spin_lock(lock);
	if (pmd_same(pmdval, READ_ONCE(*pmd))) {
		for (i = 0; i < nr; i++) {
			pte_t pteval = READ_ONCE(pte[i]);
			enum mzp_resident means = mzp_pte_means(pteval, tables);

			if (!i)
				*state = means;
			else if (means != *state)
				break;
			if (res && means == MZP_HELD && pte_present(pteval) &&
			    !pte_special(pteval))
				mzp_take_mapped(pte_page(pteval), 1, res, at + i);
		}
	}
	spin_unlock(lock);
	return i;
}

/* The same for whatever @pmd is. */
static unsigned int mzp_look_pmd(struct mm_struct *mm, pmd_t *pmd, unsigned long addr,
				 unsigned int nr, enum mzp_tables tables,
				 enum mzp_resident *state, struct mzp_residency *res,
				 unsigned int at)
{
	unsigned int alike = 0;

	rcu_read_lock();
	while (!alike) {
		pmd_t pmdval = READ_ONCE(*pmd);

		if (mzp_pmd_is_table(pmdval)) {
			alike = mzp_look_table(mm, pmd, pmdval, addr, nr, tables, state, res, at);
		} else {
			*state = mzp_look_huge(mm, pmd, addr, nr, tables, res, at);
			alike = nr;
		}
	}
	rcu_read_unlock();
	return alike;
}

/*
 * The end of the pages from @addr to @end that the page tables say the same of,
 * *@state, as far as one table goes. With @res, those that can be taken are, for its pages
 * from @at on.
 */
static unsigned long mzp_look_alike(struct mm_struct *mm, unsigned long addr, unsigned long end,
				    enum mzp_tables tables, enum mzp_resident *state,
				    struct mzp_residency *res, unsigned int at)
{
	unsigned long size, stop;
	pmd_t *pmd = mzp_find_pmd(mm, addr, tables, &size, state);

	stop = ALIGN_DOWN(addr, size) + size;
	/* At the very top, there is nothing behind. */
	if (stop > end || stop < addr)
		stop = end;
	if (!pmd)
		return stop;
	return addr + PAGE_SIZE * mzp_look_pmd(mm, pmd, addr, (stop - addr) >> PAGE_SHIFT,
					       tables, state, res, at);
}

static void mzp_look_tables(struct vm_area_struct *vma, unsigned long addr, unsigned long end,
			    enum mzp_tables tables, struct mzp_residency *res, unsigned int at)
{
	struct mzp_residency *takes = is_vm_hugetlb_page(vma) ? NULL : res;
	enum mzp_resident state;
	unsigned long next;

	for (; addr < end; addr = next) {
		next = mzp_look_alike(vma->vm_mm, addr, end, tables, &state, takes, at);
		mzp_residency_fill(res, at, (next - addr) >> PAGE_SHIFT, state);
		at += (next - addr) >> PAGE_SHIFT;
	}
}

/* Not VM_SHARED, which mappings of a file opened for reading lack. */
static bool mzp_vma_shared(const struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_MAYSHARE;
}

static pgoff_t mzp_vma_index(const struct vm_area_struct *vma, unsigned long addr)
{
	return vma->vm_pgoff + ((addr - vma->vm_start) >> PAGE_SHIFT);
}

/* Whether there is anything to know of @vma without reading it. */
static bool mzp_vma_knowable(const struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_READ &&
	       !(vma->vm_flags & (VM_IO | VM_PFNMAP | VM_MIXEDMAP));
}

/* What the page tables can say, and in *@mapping the file that can say more. */
static enum mzp_tables mzp_vma_kind(struct vm_area_struct *vma, struct address_space **mapping)
{
	*mapping = NULL;
	if (!mzp_vma_knowable(vma))
		return MZP_TABLES_NONE;
	if (is_vm_hugetlb_page(vma) && mzp_vma_shared(vma)) {
		if (!userfaultfd_missing(vma) && !userfaultfd_minor(vma))
			*mapping = vma->vm_file->f_mapping;
		return MZP_TABLES_NONE;
	}
	if (userfaultfd_missing(vma) || userfaultfd_minor(vma))
		return MZP_TABLES_LAZY;
	if (vma_is_anonymous(vma))
		return MZP_TABLES_ANON;
	if (!vma->vm_file || !mzp_cache_usable(vma->vm_file->f_mapping))
		return MZP_TABLES_NONE;
	*mapping = vma->vm_file->f_mapping;
	return mzp_vma_shared(vma) ? MZP_TABLES_SHARED : MZP_TABLES_PRIVATE;
}

/* Look at a part of a VMA. */
static void mzp_look_vma(struct vm_area_struct *vma, unsigned long addr, unsigned long end,
			 struct mzp_residency *res, unsigned int at)
{
	unsigned int nr = (end - addr) >> PAGE_SHIFT;
	struct address_space *mapping;
	enum mzp_tables tables = mzp_vma_kind(vma, &mapping);

	if (tables != MZP_TABLES_NONE)
		mzp_look_tables(vma, addr, end, tables, res, at);
	if (mapping)
		mzp_cache_look(mapping, mzp_vma_index(vma, addr), nr, res, at);
	mzp_residency_fill(res, at, nr, MZP_HELD);
}

/**
 * mzp_residency_look - find out which pages of a range hold data
 * @mm: whose memory
 * @addr: start of the range, page-aligned
 * @res: initialised; of each page something is known afterwards
 *
 * Nothing is read, faulted in or allocated.
 *
 * Context: mmap_lock of @mm is held for reading, and @mm has users. The page
 * references in @res are the caller's.
 */
void mzp_residency_look(struct mm_struct *mm, unsigned long addr, struct mzp_residency *res)
{
	unsigned long start = addr, end = addr + res->nr * PAGE_SIZE, next;

	lockdep_assert_held(&mm->mmap_lock);
	for (; addr < end; addr = next) {
		struct vm_area_struct *vma = find_vma(mm, addr);
		unsigned int at = (addr - start) >> PAGE_SHIFT;

		next = end;
		if (vma)
			next = min(end, vma->vm_start <= addr ? vma->vm_end : vma->vm_start);
		if (vma && vma->vm_start <= addr)
			mzp_look_vma(vma, addr, next, res, at);
		else
			mzp_residency_fill(res, at, (next - addr) >> PAGE_SHIFT, MZP_HELD);
	}
}

/* Skip what page tables say is @hole; *@budget tables at most. */
static unsigned long mzp_next_in_tables(struct mm_struct *mm, unsigned long addr,
					unsigned long end, enum mzp_tables tables,
					enum mzp_resident hole, unsigned int *budget)
{
	enum mzp_resident state;
	unsigned long next;

	for (; addr < end && *budget; addr = next, --*budget) {
		next = mzp_look_alike(mm, addr, end, tables, &state, NULL, 0);
		if (state != hole)
			break;
		cond_resched();
	}
	return addr;
}

/* The next page of a VMA from @addr to @end that is not known to be zero. */
static unsigned long mzp_next_in_vma(struct vm_area_struct *vma, unsigned long addr,
				     unsigned long end, unsigned int *budget)
{
	struct address_space *mapping;
	enum mzp_tables tables = mzp_vma_kind(vma, &mapping);
	pgoff_t index, next;

	if (!mapping)
		return tables == MZP_TABLES_ANON ?
		       mzp_next_in_tables(vma->vm_mm, addr, end, tables, MZP_ABSENT, budget) :
		       addr;
	if (!mzp_cache_knows_holes(mapping))
		return addr;
	index = mzp_vma_index(vma, addr);
	next = mzp_cache_next(mapping, index, mzp_vma_index(vma, end));
	end = addr + ((next - index) << PAGE_SHIFT);
	if (tables == MZP_TABLES_NONE)
		return end;
	/* As far as the tables say nothing, the file decides. */
	return mzp_next_in_tables(vma->vm_mm, addr, end, tables, MZP_UNKNOWN, budget);
}

/**
 * mzp_residency_next - find the next page that may hold data
 * @mm: whose memory
 * @addr: where to start, page-aligned
 * @end: where to stop, page-aligned
 *
 * Steps over whole tables and files that are empty. Stops early where going on
 * would take long, or cannot be done in great steps.
 *
 * Context: as mzp_residency_look().
 * Return: an address from @addr to @end; all pages before it are zero.
 */
unsigned long mzp_residency_next(struct mm_struct *mm, unsigned long addr, unsigned long end)
{
	unsigned int budget = MZP_NEXT_TABLES;

	lockdep_assert_held(&mm->mmap_lock);
	while (addr < end && budget) {
		struct vm_area_struct *vma = find_vma(mm, addr);
		unsigned long stop;

		if (!vma || vma->vm_start > addr)
			break;
		stop = min(end, vma->vm_end);
		addr = mzp_next_in_vma(vma, addr, stop, &budget);
		if (addr < stop)
			break;
		budget--;
	}
	return addr;
}

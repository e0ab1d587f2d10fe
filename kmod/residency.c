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
 * must fail, not yield zeros); and memory registered with userfaultfd for
 * missing or minor faults, where a hole means that the contents are still to
 * come.
 *
 * How each kind of VMA is looked at:
 *
 *   private anonymous          page tables
 *   shmem, hugetlbfs, shared   page cache of the file (cache.c)
 *   shmem, private             page tables; where they say nothing, the page cache
 *   hugetlbfs, private         GUP, told not to populate
 *   a file on a disk, shared   page cache, for what it has
 *   anything else              not at all
 *
 * Why the walk of the page tables is safe. The caller holds mmap_lock for
 * reading, which keeps the VMA, and with it the upper levels of its page
 * tables: they are freed only by munmap, mremap and exit, which detach the VMA
 * under mmap_lock for writing first. A table of PTEs may go while mmap_lock is
 * held for reading (in a file's VMA when pages are collapsed into a huge one,
 * and by MADV_DONTNEED on newer kernels), but is freed only after an RCU grace
 * period. So the entry of the level above is read once, inside rcu_read_lock(),
 * and when it still is the same after the table's lock was taken, the table is
 * in use as long as the lock is held.
 *
 * Why the lock is needed. Reclaim, migration, copy on write, mprotect, NUMA
 * balancing and KSM clear an entry before they write its new value, and some of
 * them put the old one back. Without the lock, a page that
 * holds data could be seen as absent in between. That is true of a PMD as well.
 * Upper levels have no huge entries in the VMAs that are walked.
 *
 * Under the lock an entry can be relied on: what it says was so at a moment
 * after the page had been handed over.
 *
 * The tables of hugetlbfs are not walked: other processes can share them, and
 * unshare them without our mmap_lock.
 */
#include <linux/bitmap.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/rcupdate.h>
#include <linux/shmem_fs.h>
#include <linux/userfaultfd_k.h>

#include "cache.h"
#include "compat.h"
#include "residency.h"

/* Table entries that one call of mzp_residency_next() looks at, at most. */
#define MZP_NEXT_STEPS 4096

/**
 * mzp_residency_init - nothing is known yet, so all pages are absent
 * @res: whatever
 * @nr: pages, at most MZP_WIRE_PAGES
 *
 * Context: any.
 */
void mzp_residency_init(struct mzp_residency *res, unsigned int nr)
{
	res->nr = nr;
	bitmap_zero(res->held, nr);
	memset(res->page, 0, nr * sizeof(*res->page));
}

/**
 * mzp_residency_drop - drop the references that nobody has taken over
 * @res: filled in
 *
 * Context: may sleep.
 */
void mzp_residency_drop(struct mzp_residency *res)
{
	unsigned int i;

	for (i = 0; i < res->nr; i++) {
		if (res->page[i])
			put_page(res->page[i]);
		res->page[i] = NULL;
	}
}

static bool mzp_vma_readable(const struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_READ;
}

/* Whether holes are still to be filled by a userfaultfd handler. */
static bool mzp_vma_lazy(struct vm_area_struct *vma)
{
	return userfaultfd_missing(vma) || userfaultfd_minor(vma);
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

static bool mzp_pte_holds_data(pte_t pte, bool anonymous)
{
	if (pte_none(pte))
		return false;
	/* Over a file, a zero page hides what the file has there. */
	return !anonymous || !pte_present(pte) || !is_zero_pfn(pte_pfn(pte));
}

/* The PMD for @addr, or NULL and in *@size how much the hole above it covers. */
static pmd_t *mzp_pmd(struct mm_struct *mm, unsigned long addr, unsigned long *size)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud;

	*size = PGDIR_SIZE;
	if (pgd_none(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	*size = P4D_SIZE;
	if (p4d_none(*p4d))
		return NULL;
	pud = pud_offset(p4d, addr);
	*size = PUD_SIZE;
	if (pud_none(READ_ONCE(*pud)))
		return NULL;
	*size = PMD_SIZE;
	return pmd_offset(pud, addr);
}

static bool mzp_pmd_is_table(pmd_t pmd)
{
	return pmd_present(pmd) && !pmd_leaf(pmd) && !pmd_bad(pmd);
}

static bool mzp_pmd_is_none(struct mm_struct *mm, pmd_t *pmd)
{
	spinlock_t *lock = pmd_lock(mm, pmd);
	bool none = pmd_none(*pmd);

	spin_unlock(lock);
	return none;
}

/*
 * How many pages from @addr on, of @nr that the table at @pmdval covers, are
 * all absent (*@held is false) or all hold data (it is true). 0: @pmd does not
 * point to that table any more. Under RCU.
 */
static unsigned int mzp_look_table(struct mm_struct *mm, pmd_t *pmd, pmd_t pmdval,
				   unsigned long addr, unsigned int nr, bool anonymous,
				   bool *held)
{
	spinlock_t *lock = pte_lockptr(mm, &pmdval);
	pte_t *pte = pte_offset_kernel(&pmdval, addr);
	unsigned int i = 0;

	spin_lock(lock);
	if (pmd_same(pmdval, READ_ONCE(*pmd))) {
		*held = mzp_pte_holds_data(READ_ONCE(*pte), anonymous);
		for (i = 1; i < nr; i++) {
			if (mzp_pte_holds_data(READ_ONCE(pte[i]), anonymous) != *held)
				break;
		}
	}
	spin_unlock(lock);
	return i;
}

/* The same for whatever @pmd is. */
static unsigned int mzp_look_alike(struct mm_struct *mm, pmd_t *pmd, unsigned long addr,
				   unsigned int nr, bool anonymous, bool *held)
{
	unsigned int alike;

	rcu_read_lock();
	do {
		pmd_t pmdval = READ_ONCE(*pmd);

		if (mzp_pmd_is_table(pmdval)) {
			alike = mzp_look_table(mm, pmd, pmdval, addr, nr, anonymous, held);
		} else {
			*held = !pmd_none(pmdval) || !mzp_pmd_is_none(mm, pmd);
			alike = nr;
		}
	} while (!alike);
	rcu_read_unlock();
	return alike;
}

/*
 * The end of the pages from @addr to @end that are all alike, absent or not,
 * as far as one table says.
 */
static unsigned long mzp_alike_end(struct mm_struct *mm, unsigned long addr,
				   unsigned long end, bool anonymous, bool *held)
{
	unsigned long size;
	pmd_t *pmd = mzp_pmd(mm, addr, &size);
	unsigned long stop = ALIGN_DOWN(addr, size) + size;

	/* At the very top, there is nothing behind. */
	if (stop > end || stop < addr)
		stop = end;
	*held = false;
	if (!pmd)
		return stop;
	return addr + PAGE_SIZE * mzp_look_alike(mm, pmd, addr, (stop - addr) >> PAGE_SHIFT,
						 anonymous, held);
}

static void mzp_look_tables(struct mm_struct *mm, unsigned long addr, unsigned long end,
			    bool anonymous, struct mzp_residency *res, unsigned int at)
{
	unsigned long next;
	bool held;

	for (; addr < end; addr = next) {
		unsigned int nr;

		next = mzp_alike_end(mm, addr, end, anonymous, &held);
		nr = (next - addr) >> PAGE_SHIFT;
		if (held)
			bitmap_set(res->held, at, nr);
		at += nr;
	}
}

/* Page tables first; where they say nothing, the file. */
static void mzp_look_private_shmem(struct vm_area_struct *vma, unsigned long addr,
				   unsigned long end, struct mzp_residency *res,
				   unsigned int at)
{
	unsigned int nr = (end - addr) >> PAGE_SHIFT, i, next;

	mzp_look_tables(vma->vm_mm, addr, end, false, res, at);
	for (i = find_next_zero_bit(res->held, at + nr, at); i < at + nr;
	     i = find_next_zero_bit(res->held, at + nr, next)) {
		next = find_next_bit(res->held, at + nr, i);
		mzp_cache_look(vma->vm_file->f_mapping,
			       mzp_vma_index(vma, addr + ((i - at) << PAGE_SHIFT)), next - i,
			       res, i);
	}
}

/*
 * GUP with FOLL_DUMP does not populate a hole but says -EFAULT, and with
 * FOLL_HWPOISON, memory without contents says so. What remains of -EFAULT is
 * memory behind the end of the file, which is for a later read to complain
 * about.
 */
static void mzp_look_private_hugetlb(struct vm_area_struct *vma, unsigned long addr,
				     unsigned long end, struct mzp_residency *res,
				     unsigned int at)
{
	const struct inode *inode = file_inode(vma->vm_file);
	unsigned long huge = vma_kernel_pagesize(vma), next;

	for (; addr < end; addr = next) {
		unsigned int nr;
		long got;

		next = min(end, ALIGN_DOWN(addr, huge) + huge);
		nr = (next - addr) >> PAGE_SHIFT;
		got = mzp_get_user_pages_remote(vma->vm_mm, addr, nr,
						FOLL_DUMP | FOLL_HWPOISON | FOLL_NOWAIT,
						&res->page[at], NULL);
		if (got != -EFAULT ||
		    (u64)mzp_vma_index(vma, addr) << PAGE_SHIFT >= i_size_read(inode))
			bitmap_set(res->held, at, nr);
		at += nr;
	}
}

/* Look at a part of a VMA that may be read. */
static void mzp_look_vma(struct vm_area_struct *vma, unsigned long addr, unsigned long end,
			 struct mzp_residency *res, unsigned int at)
{
	unsigned int nr = (end - addr) >> PAGE_SHIFT;
	struct address_space *mapping = vma->vm_file ? vma->vm_file->f_mapping : NULL;

	if (vma_is_anonymous(vma))
		mzp_look_tables(vma->vm_mm, addr, end, true, res, at);
	else if (is_vm_hugetlb_page(vma) && !mzp_vma_shared(vma))
		mzp_look_private_hugetlb(vma, addr, end, res, at);
	else if (mapping && mzp_vma_shared(vma) && mzp_cache_usable(mapping))
		mzp_cache_look(mapping, mzp_vma_index(vma, addr), nr, res, at);
	else if (mapping && shmem_mapping(mapping))
		mzp_look_private_shmem(vma, addr, end, res, at);
	else
		bitmap_set(res->held, at, nr);
}

/**
 * mzp_residency_look - find out which pages of a range hold data
 * @mm: whose memory
 * @addr: start of the range, page-aligned
 * @res: initialised; filled in
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
		if (vma && vma->vm_start <= addr && mzp_vma_readable(vma) && !mzp_vma_lazy(vma))
			mzp_look_vma(vma, addr, next, res, at);
		else
			bitmap_set(res->held, at, (next - addr) >> PAGE_SHIFT);
	}
}

static unsigned long mzp_next_anonymous(struct vm_area_struct *vma, unsigned long addr,
					unsigned long end, unsigned int *steps)
{
	unsigned long next;
	bool held;

	for (; addr < end && *steps; addr = next) {
		next = mzp_alike_end(vma->vm_mm, addr, end, true, &held);
		if (held)
			break;
		--*steps;
	}
	return addr;
}

static unsigned long mzp_next_cached(struct vm_area_struct *vma, unsigned long addr,
				     unsigned long end)
{
	pgoff_t index = mzp_vma_index(vma, addr);
	pgoff_t next = mzp_cache_next(vma->vm_file->f_mapping, index, mzp_vma_index(vma, end));

	return addr + ((next - index) << PAGE_SHIFT);
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
	unsigned int steps = MZP_NEXT_STEPS;

	lockdep_assert_held(&mm->mmap_lock);
	while (addr < end && steps) {
		struct vm_area_struct *vma = find_vma(mm, addr);
		unsigned long stop, next;

		if (!vma || vma->vm_start > addr || !mzp_vma_readable(vma) || mzp_vma_lazy(vma))
			break;
		stop = min(end, vma->vm_end);
		if (vma_is_anonymous(vma))
			next = mzp_next_anonymous(vma, addr, stop, &steps);
		else if (vma->vm_file && mzp_vma_shared(vma) &&
			 mzp_cache_knows_holes(vma->vm_file->f_mapping))
			next = mzp_next_cached(vma, addr, stop);
		else
			break;
		addr = next;
		if (next < stop)
			break;
		steps--;
	}
	return addr;
}

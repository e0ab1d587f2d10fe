// SPDX-License-Identifier: GPL-2.0-only
/*
 * References on pages that hold data.
 *
 * A plain reference, not a pin: a pin for reading would unshare pages that are
 * shared after fork or merged by KSM, that is, allocate and copy them. A
 * reference keeps the page, not the mapping: if the VMM's page is replaced (by
 * a copy on write, a discard, a migration to another node), ours keeps contents
 * that were current after the page had been handed over, which is what a sender
 * of live memory needs.
 *
 * A worker serves many sessions and must not wait in one's page fault, be it
 * for a disk, a file server or a userfaultfd handler. So workers take only what
 * is mapped, and never fault. What is not mapped, a channel's reader faults in, in
 * its own process, from which it can be interrupted.
 *
 * Anonymous pages that are present have been taken already where they were seen
 * (residency.c). All others come here.
 *
 * Fast GUP refuses pages that are present: those that NUMA balancing has marked to
 * see who uses them, those with a protection key that the thread is denied, and those
 * that userfaultfd protects. None of that concerns us, who read what the VMM's owner
 * could read. The slower GUP, under mmap_lock, takes them without a fault.
 */
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/userfaultfd_k.h>

#include "compat.h"
#include "fault.h"
#include "grab.h"

static long mzp_grab_fast(struct mm_struct *mm, unsigned long addr, unsigned int nr,
			  struct page **page)
{
	if (current->mm != mm || mzp_fault())
		return 0;
	return get_user_pages_fast_only(addr, nr, 0, page);
}

/* As much as there is of @nr pages in one VMA, without fast GUP. */
static long mzp_grab_vma(struct vm_area_struct *vma, unsigned long addr, unsigned long nr,
			 unsigned int flags, struct page **page)
{
	nr = min(nr, (vma->vm_end - addr) >> PAGE_SHIFT);
	return mzp_get_user_pages_remote(vma->vm_mm, addr, nr,
					 flags | FOLL_HWPOISON | MZP_FOLL_HINTED, page);
}

/* The VMA at @addr, if it can be read; NULL if not. mmap_lock is held. */
static struct vm_area_struct *mzp_grab_find(struct mm_struct *mm, unsigned long addr)
{
	struct vm_area_struct *vma = vma_lookup(mm, addr);

	return vma && vma->vm_flags & VM_READ ? vma : NULL;
}

/**
 * mzp_grab - take references on consecutive pages that are present
 * @mm: whose memory, with users
 * @addr: of the first page, page-aligned
 * @nr: pages, at least 1
 * @page: where to put them
 *
 * Context: any that may take a spinlock; waits for nobody.
 * Return: the number of pages taken, from 1 to @nr, whose references are the
 * caller's; or -EAGAIN: the first one is not to be had at the moment.
 */
int mzp_grab(struct mm_struct *mm, unsigned long addr, unsigned int nr, struct page **page)
{
	struct vm_area_struct *vma;
	long got = mzp_grab_fast(mm, addr, nr, page);

	if (got > 0)
		return got;
	if (!mmap_read_trylock(mm))
		return -EAGAIN;
	vma = mzp_grab_find(mm, addr);
	/* Some kernels take a fault on hugetlbfs whatever they are told. */
	if (vma && !is_vm_hugetlb_page(vma))
		got = mzp_grab_vma(vma, addr, nr, FOLL_NOFAULT, page);
	mmap_read_unlock(mm);
	return got > 0 ? got : -EAGAIN;
}

/* Whether GUP could go round in circles; see below. */
static bool mzp_vma_lazy(struct vm_area_struct *vma)
{
	return userfaultfd_missing(vma) || userfaultfd_minor(vma);
}

/*
 * One fault, as a read would take it; unlocks mmap_lock. Return: 0 if it is
 * worth another look.
 */
static int mzp_fault_in(struct mm_struct *mm, struct vm_area_struct *vma, unsigned long addr)
{
	vm_fault_t fault;

	fault = handle_mm_fault(vma, addr, FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE |
				FAULT_FLAG_INTERRUPTIBLE | FAULT_FLAG_REMOTE, NULL);
	/* Both say that it was unlocked on the way. */
	if (!(fault & (VM_FAULT_RETRY | VM_FAULT_COMPLETED)))
		mmap_read_unlock(mm);
	/* The memory cgroup may find some yet. */
	if (fault & VM_FAULT_OOM)
		return 0;
	return fault & VM_FAULT_ERROR ? vm_fault_to_errno(fault, FOLL_HWPOISON) ?: -EFAULT : 0;
}

/**
 * mzp_grab_wait - take references on consecutive pages, and wait for them
 * @mm: whose memory, with users
 * @addr: of the first page, page-aligned
 * @nr: pages, at least 1
 * @page: where to put them
 *
 * GUP without waiting takes what it can. What has to be waited for is faulted
 * in by itself, and not by GUP: in some kernels that goes round in circles with
 * mmap_lock held while a userfaultfd is being closed, and so keeps it from
 * being closed. For that reason memory that is registered with one is only
 * faulted in; it is for the caller to look again.
 *
 * Context: process; takes mmap_lock; sleeps, for I/O and for other processes. A
 * signal ends that, and so does a wake-up of a task that waits for a userfaultfd
 * handler.
 * Return: the number of pages taken, whose references are the caller's; 0: it
 * is worth another look, unless a signal is pending; or a negative errno: the first
 * page cannot be read.
 */
int mzp_grab_wait(struct mm_struct *mm, unsigned long addr, unsigned int nr,
		  struct page **page)
{
	struct vm_area_struct *vma;
	long got = mzp_grab_fast(mm, addr, nr, page);

	if (got > 0)
		return got;
	if (mmap_read_lock_killable(mm))
		return 0;
	vma = mzp_grab_find(mm, addr);
	got = -EFAULT;
	if (!vma)
		goto unlock;
	if (mzp_vma_lazy(vma))
		got = is_vm_hugetlb_page(vma) ? 0 :
		      max(mzp_grab_vma(vma, addr, nr, FOLL_NOFAULT, page), 0L);
	else
		got = mzp_grab_vma(vma, addr, nr, FOLL_NOWAIT, page);
	/* There may be memory in a moment: the caller looks again, for so long. */
	if (!got || got == -ENOMEM)
		return mzp_fault_in(mm, vma, addr);
unlock:
	mmap_read_unlock(mm);
	return got;
}

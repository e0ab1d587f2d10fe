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
 * is mapped, and never fault. What is not mapped, the slow lane faults in.
 */
#include <linux/mm.h>
#include <linux/userfaultfd_k.h>

#include "compat.h"
#include "fault.h"
#include "grab.h"

/**
 * mzp_grab - take references on consecutive pages that are mapped
 * @addr: of the first page, page-aligned, in the address space that this thread
 *	uses (kthread_use_mm())
 * @nr: pages, at least 1
 * @page: where to put them
 *
 * Context: a worker; does not wait.
 * Return: the number of pages taken, from 1 to @nr, whose references are the
 * caller's; or -EAGAIN: the first one is not mapped readable at the moment.
 */
int mzp_grab(unsigned long addr, unsigned int nr, struct page **page)
{
	int got = mzp_fault() ? 0 : get_user_pages_fast_only(addr, nr, 0, page);

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
				FAULT_FLAG_REMOTE, NULL);
	/* Both say that it was unlocked on the way. */
	if (!(fault & (VM_FAULT_RETRY | VM_FAULT_COMPLETED)))
		mmap_read_unlock(mm);
	/* The memory cgroup may find some yet. */
	if (fault & VM_FAULT_OOM)
		return 0;
	return fault & VM_FAULT_ERROR ? vm_fault_to_errno(fault, FOLL_HWPOISON) ?: -EFAULT : 0;
}

/**
 * mzp_grab_fetch - take references on consecutive pages that are not mapped
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
 * Context: the slow lane; takes mmap_lock; sleeps, for I/O and for other
 * processes, until SIGKILL.
 * Return: the number of pages taken, whose references are the caller's; 0: it
 * is worth another look; or a negative errno: the first page cannot be read.
 */
int mzp_grab_fetch(struct mm_struct *mm, unsigned long addr, unsigned int nr,
		   struct page **page)
{
	struct vm_area_struct *vma;
	long got = -EFAULT;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = vma_lookup(mm, addr);
	if (!vma || !(vma->vm_flags & VM_READ))
		goto unlock;
	if (!mzp_vma_lazy(vma)) {
		nr = min_t(unsigned long, nr, (vma->vm_end - addr) >> PAGE_SHIFT);
		got = mzp_get_user_pages_remote(mm, addr, nr, FOLL_NOWAIT | FOLL_HWPOISON, page);
		/* There may be memory in a moment: the caller looks again, for so long. */
		if (got && got != -ENOMEM)
			goto unlock;
	}
	return mzp_fault_in(mm, vma, addr);
unlock:
	mmap_read_unlock(mm);
	return got;
}

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
 * A worker serves many sessions and must not wait in one's page fault. So pages
 * that are mapped are taken without a fault, and for the others the fault is
 * tried without waiting: where it would have to wait (for a swapped page to be
 * read, for instance) it only starts what is needed, and the caller comes back
 * later.
 */
#include <linux/mm.h>

#include "compat.h"
#include "grab.h"

static int mzp_grab_slow(struct mm_struct *mm, unsigned long addr, unsigned int nr,
			 struct page **page)
{
	long got;

	mmap_read_lock(mm);
	got = mzp_get_user_pages_remote(mm, addr, nr, FOLL_NOWAIT, page);
	mmap_read_unlock(mm);
	return got ? got : -EAGAIN;
}

/**
 * mzp_grab - take references on consecutive pages
 * @mm: whose memory; in use by this thread (kthread_use_mm())
 * @addr: of the first page, page-aligned
 * @nr: pages, at least 1
 * @page: where to put them
 *
 * Context: may sleep, though not for I/O or for other processes; takes
 * mmap_lock.
 * Return: the number of pages taken, from 1 to @nr, whose references are the
 * caller's; -EAGAIN: the first one needs time, try later; -EFAULT,
 * -EHWPOISON, …: the first one cannot be read.
 */
int mzp_grab(struct mm_struct *mm, unsigned long addr, unsigned int nr, struct page **page)
{
	int got = get_user_pages_fast_only(addr, nr, 0, page);

	return got > 0 ? got : mzp_grab_slow(mm, addr, nr, page);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of a size that the caller of an ioctl chooses.
 *
 * If it does not fit into the caller's memory cgroup, the caller gets an error,
 * and that is all. Of what kvmalloc() got before it failed, newer kernels take
 * care in a work item; until that has run, the cgroup is full, and whoever in it
 * needs a page next may be killed for it. There the pages are allocated here, so
 * that they are gone when the error is reported.
 */
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "large.h"

/*
 * If the memory cgroup has no room, the caller gets ENOMEM, and nobody is killed
 * to make room; nor is it worth a warning.
 */
#define MZP_GFP_LARGE (GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

static void mzp_free_pages(struct page **page, unsigned int nr)
{
	while (nr--)
		__free_page(page[nr]);
	kvfree(page);
}

/* Pages that are mapped one after the other; kvfree() frees them. */
static void *mzp_alloc_mapped(size_t size, gfp_t gfp)
{
	unsigned int want = DIV_ROUND_UP(size, PAGE_SIZE), nr;
	struct page **page = kvmalloc_array(want, sizeof(*page), MZP_GFP_LARGE);
	void *at;

	if (!page)
		return NULL;
	for (nr = 0; nr < want; nr++) {
		page[nr] = fatal_signal_pending(current) ? NULL : alloc_page(gfp);
		if (!page[nr])
			goto fail;
	}
	at = vmap(page, nr, VM_MAP | VM_MAP_PUT_PAGES, PAGE_KERNEL);
	if (at)
		return at;
fail:
	mzp_free_pages(page, nr);
	return NULL;
}

/**
 * mzp_large_alloc - allocate memory
 * @nr: elements
 * @size: bytes of each
 * @zero: __GFP_ZERO, or 0
 *
 * Context: may sleep. Charged to the current memory cgroup.
 * Return: the memory, which kvfree() frees, or NULL.
 */
void *mzp_large_alloc(size_t nr, size_t size, gfp_t zero)
{
	gfp_t gfp = MZP_GFP_LARGE | zero;
	size_t bytes;
	void *at;

	if (check_mul_overflow(nr, size, &bytes) || bytes > INT_MAX)
		return NULL;
	if (!MZP_VMALLOC_FAILS_LATE)
		return kvmalloc(bytes, gfp);
	at = kmalloc(bytes, gfp);
	return at || bytes <= PAGE_SIZE ? at : mzp_alloc_mapped(bytes, gfp);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory for packet headers.
 *
 * A header that was spliced may sit in a pipe, a socket's queue or a network
 * card long after the reader consumed it, and each of these reads it by
 * reference. So header memory is written once: pages are filled from the front,
 * each header holds a reference on its page, and a page that is full is let go
 * and never written again. The last holder frees it.
 *
 * The pages come from the page allocator, since slab memory cannot be
 * referenced like this, and are zeroed, so that what nobody wrote is no secret.
 */
#include <linux/bvec.h>
#include <linux/gfp.h>
#include <linux/mm.h>

#include "header.h"

/**
 * mzp_header_reserve - see to it that the next header has its memory
 * @headers: where it is to be
 * @size: bytes, at most PAGE_SIZE
 * @gfp: how to allocate
 *
 * Context: as @gfp says; callers with the same @headers exclude each other.
 * Charged to the memory cgroup that is active.
 * Return: 0 or -ENOMEM.
 */
int mzp_header_reserve(struct mzp_headers *headers, unsigned int size, gfp_t gfp)
{
	if (headers->page && headers->used + size > PAGE_SIZE)
		mzp_headers_drop(headers);
	if (!headers->page) {
		headers->page = alloc_page(gfp | __GFP_ACCOUNT | __GFP_ZERO | __GFP_NOWARN);
		headers->used = 0;
	}
	return headers->page ? 0 : -ENOMEM;
}

/**
 * mzp_header_take - take the memory that was reserved
 * @headers: where from
 * @size: as it was reserved
 * @buf: filled in to describe the memory, with a page reference that is the
 *	caller's
 *
 * Context: any; callers with the same @headers exclude each other.
 * Return: the memory, zeroed, to be written before anyone else sees @buf.
 */
void *mzp_header_take(struct mzp_headers *headers, unsigned int size, struct bio_vec *buf)
{
	get_page(headers->page);
	buf->bv_page = headers->page;
	buf->bv_offset = headers->used;
	buf->bv_len = size;
	headers->used += ALIGN(size, sizeof(u64));
	return page_address(buf->bv_page) + buf->bv_offset;
}

/**
 * mzp_headers_drop - let go of the page that is being filled
 * @headers: whose
 *
 * Context: any. Headers handed out before stay valid.
 */
void mzp_headers_drop(struct mzp_headers *headers)
{
	if (headers->page)
		put_page(headers->page);
	headers->page = NULL;
}

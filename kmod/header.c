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
 * mzp_header_alloc - memory for one header
 * @headers: where to take it from
 * @size: bytes, at most PAGE_SIZE
 * @buf: filled in to describe the memory, with a page reference that is the
 *	caller's
 *
 * Context: may sleep; callers with the same @headers exclude each other.
 * Return: the memory, zeroed, to be written before anyone else sees @buf; or
 * NULL.
 */
void *mzp_header_alloc(struct mzp_headers *headers, unsigned int size, struct bio_vec *buf)
{
	if (headers->page && headers->used + size > PAGE_SIZE)
		mzp_headers_drop(headers);
	if (!headers->page) {
		headers->page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN);
		if (!headers->page)
			return NULL;
		headers->used = 0;
	}
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

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pages of one packet, partitioned into normal and zero.
 */
#include <linux/bvec.h>
#include <linux/mm.h>

#include "batch.h"

/**
 * mzp_batch_add_normal - add a page that travels with its contents
 * @batch: the batch, with less than MZP_WIRE_PAGES pages
 * @offset: of the page in its block, in bytes
 * @page: the page; the batch takes over a reference
 *
 * Context: the batch's owner.
 */
void mzp_batch_add_normal(struct mzp_batch *batch, u64 offset, struct page *page)
{
	batch->normal[batch->nr_normal] = offset;
	batch->page[batch->nr_normal] = page;
	batch->nr_normal++;
}

/**
 * mzp_batch_add_zero - add a page that travels as an offset only
 * @batch: the batch, with less than MZP_WIRE_PAGES pages
 * @offset: of the page in its block, in bytes
 *
 * Context: the batch's owner.
 */
void mzp_batch_add_zero(struct mzp_batch *batch, u64 offset)
{
	batch->zero[batch->nr_zero++] = offset;
}

/* Whether @page lies right behind the end of @buf, in the same folio. */
static bool mzp_buf_continues(const struct bio_vec *buf, struct page *page)
{
	/* Within a folio, page structures follow one another as pages do. */
	return page_folio(page) == page_folio(buf->bv_page) &&
	       page == buf->bv_page + (buf->bv_len >> PAGE_SHIFT);
}

/**
 * mzp_batch_take_pages - the contents of the batch's normal pages as buffers
 * @batch: the batch
 * @buf: room for as many buffers as there are normal pages
 *
 * Neighbours in one folio become one buffer, which is one pipe buffer
 * and one fragment later on, and holds one reference: a folio lives or dies as
 * a whole.
 *
 * Context: the batch's owner. The page references are the buffers' afterwards;
 * the offsets stay.
 * Return: the number of buffers.
 */
unsigned int mzp_batch_take_pages(struct mzp_batch *batch, struct bio_vec *buf)
{
	unsigned int i, n = 0;

	for (i = 0; i < batch->nr_normal; i++) {
		struct page *page = batch->page[i];

		if (n && mzp_buf_continues(&buf[n - 1], page)) {
			buf[n - 1].bv_len += PAGE_SIZE;
			put_page(page);
			continue;
		}
		buf[n].bv_page = page;
		buf[n].bv_offset = 0;
		buf[n].bv_len = PAGE_SIZE;
		n++;
	}
	return n;
}

/**
 * mzp_batch_release - drop the references on the pages
 * @batch: the batch
 *
 * Context: the batch's owner; may sleep. The offsets stay.
 */
void mzp_batch_release(struct mzp_batch *batch)
{
	unsigned int i;

	for (i = 0; i < batch->nr_normal; i++)
		put_page(batch->page[i]);
}

/**
 * mzp_batch_drop - forget the pages and drop their references
 * @batch: the batch
 *
 * Context: the batch's owner; may sleep.
 */
void mzp_batch_drop(struct mzp_batch *batch)
{
	mzp_batch_release(batch);
	batch->nr_normal = 0;
	batch->nr_zero = 0;
}

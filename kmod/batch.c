// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pages of one packet, partitioned into normal and zero.
 */
#include <linux/bvec.h>
#include <linux/mm.h>

#include "batch.h"

/* How many of @nr pages lie one behind the other, in the folio of the first one. */
static unsigned int mzp_pages_adjoining(struct page *const *page, unsigned int nr)
{
	unsigned int n = 1;

	/* Within a folio, page structures follow one another as pages do. */
	while (n < nr && page[n] == page[0] + n && page_folio(page[n]) == page_folio(page[0]))
		n++;
	return n;
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
	unsigned int i, n = 0, alike;

	for (i = 0; i < batch->nr_normal; i += alike) {
		struct page *page = batch->page[i];

		alike = mzp_pages_adjoining(&batch->page[i], batch->nr_normal - i);
		if (alike > 1)
			folio_put_refs(page_folio(page), alike - 1);
		buf[n++] = (struct bio_vec) {
			.bv_page = page, .bv_len = alike << PAGE_SHIFT,
		};
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

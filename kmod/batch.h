/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_BATCH_H
#define MZP_BATCH_H

#include <linux/types.h>

#include <linux/multifd_wire.h>

struct bio_vec;
struct page;

/**
 * struct mzp_batch - the pages of one packet to be
 * @nr_normal: pages that travel with their contents
 * @nr_zero: pages that travel as an offset only
 * @normal: byte offsets in the block
 * @page: the pages at @normal, one reference each
 * @zero: byte offsets in the block
 */
struct mzp_batch {
	unsigned int nr_normal;
	unsigned int nr_zero;
	u64 normal[MZP_WIRE_PAGES];
	struct page *page[MZP_WIRE_PAGES];
	u64 zero[MZP_WIRE_PAGES];
};

static inline unsigned int mzp_batch_pages(const struct mzp_batch *batch)
{
	return batch->nr_normal + batch->nr_zero;
}

/**
 * mzp_batch_add_normal - add a page that travels with its contents
 * @batch: the batch, with less than MZP_WIRE_PAGES pages
 * @offset: of the page in its block, in bytes
 * @page: the page; the batch takes over a reference
 *
 * Context: the batch's owner.
 */
static inline void mzp_batch_add_normal(struct mzp_batch *batch, u64 offset, struct page *page)
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
static inline void mzp_batch_add_zero(struct mzp_batch *batch, u64 offset)
{
	batch->zero[batch->nr_zero++] = offset;
}

unsigned int mzp_batch_take_pages(struct mzp_batch *batch, struct bio_vec *buf);
void mzp_batch_release(struct mzp_batch *batch);
void mzp_batch_drop(struct mzp_batch *batch);

#endif /* MZP_BATCH_H */

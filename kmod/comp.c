// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compression, whatever the method.
 *
 * The guest can write to a page while we read it. A compressor that looks at
 * its input twice could then be made to see two different things, and be
 * steered out of its bounds. So each page is copied to a page of our own first,
 * and the compressor sees only that. The copy stays in the CPU's nearest cache,
 * from where the method's stream takes it; compared to compressing it costs
 * nothing.
 *
 * Some methods are at their slowest with pages that do not compress. For these
 * such pages are looked for, and stored. Each time that costs the history that
 * later pages could refer to; but noise only dilutes what a compressor learns of
 * the pages around it, and with single pages of it stored, streams came out
 * smaller, not larger.
 */
#include <linux/err.h>
#include <linux/highmem.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "comp.h"
#include "large.h"

/* Index: enum mzp_method. */
static const struct mzp_comp_ops *const mzp_comps[] = {
	[MZP_METHOD_ZLIB] = &mzp_comp_zlib,
	[MZP_METHOD_ZSTD] = &mzp_comp_zstd,
};

/**
 * mzp_comp_ops - a method's description
 * @method: mzp_comp_known()
 *
 * Context: any.
 * Return: the description; NULL for MZP_METHOD_NONE.
 */
const struct mzp_comp_ops *mzp_comp_ops(u32 method)
{
	return mzp_comps[array_index_nospec(method, ARRAY_SIZE(mzp_comps))];
}

/**
 * mzp_comp_known - whether there is such a method
 * @method: of enum mzp_method, or anything
 *
 * Context: any.
 */
bool mzp_comp_known(u32 method)
{
	return method == MZP_METHOD_NONE ||
	       (method < ARRAY_SIZE(mzp_comps) && mzp_comp_ops(method));
}

/**
 * mzp_comp_available - whether a method can be used with this kernel
 * @method: of enum mzp_method, or anything
 *
 * Context: any.
 */
bool mzp_comp_available(u32 method)
{
	const struct mzp_comp_ops *ops;

	if (!mzp_comp_known(method))
		return false;
	ops = mzp_comp_ops(method);
	return !ops || ops->available();
}

/**
 * mzp_comp_init - make a channel's compressor
 * @comp: zeroed memory
 * @method: mzp_comp_available()
 * @level: in the method's range
 *
 * Context: may sleep; memory is charged to the current memory cgroup.
 * Return: 0 or a negative errno; either way mzp_comp_destroy() is to be called.
 */
int mzp_comp_init(struct mzp_comp *comp, u32 method, int level)
{
	const struct mzp_comp_ops *ops = mzp_comp_ops(method);
	void *stream;

	if (!ops)
		return 0;
	comp->page = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
	comp->payload = mzp_large_alloc(1, MZP_COMP_MAX, 0);
	if (!comp->page || !comp->payload)
		return -ENOMEM;
	stream = ops->create(level);
	if (IS_ERR(stream))
		return PTR_ERR(stream);
	comp->ops = ops;
	comp->stream = stream;
	comp->memory = PAGE_SIZE + MZP_COMP_MAX + ops->memory(level);
	return 0;
}

/**
 * mzp_comp_destroy - free a channel's compressor
 * @comp: the compressor, or what mzp_comp_init() left of it
 *
 * Context: may sleep.
 */
void mzp_comp_destroy(struct mzp_comp *comp)
{
	if (comp->ops)
		comp->ops->destroy(comp->stream);
	kvfree(comp->payload);
	free_page((unsigned long)comp->page);
}

static int mzp_comp_page(struct mzp_comp *comp, struct page *page)
{
	const struct mzp_comp_ops *ops = comp->ops;
	const void *contents = kmap_local_page(page);

	memcpy(comp->page, contents, PAGE_SIZE);
	kunmap_local(contents);
	if (ops->store && mzp_page_is_noise(comp->page))
		return ops->store(comp->stream, comp->page);
	return ops->add(comp->stream, comp->page);
}

/**
 * mzp_comp_pages - compress the pages of a packet
 * @comp: the compressor, not of MZP_METHOD_NONE
 * @page: the pages; others may write to them
 * @nr: how many, 1 to MZP_WIRE_PAGES
 *
 * Context: the channel's producer; may sleep, and takes its time.
 * Return: bytes of the payload at @comp->payload; or a negative errno: the
 * stream is broken.
 */
ssize_t mzp_comp_pages(struct mzp_comp *comp, struct page **page, unsigned int nr)
{
	unsigned int i;
	int err = 0;

	comp->ops->begin(comp->stream, comp->payload);
	for (i = 0; i < nr && !err; i++) {
		err = mzp_comp_page(comp, page[i]);
		cond_resched();
	}
	return err ?: comp->ops->end(comp->stream);
}

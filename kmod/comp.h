/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_COMP_H
#define MZP_COMP_H

#include <linux/types.h>

#include <linux/multifd_wire.h>
#include <linux/multifd_zp.h>

struct page;

/*
 * What a packet's payload comes to at most: pages that do not compress, and a
 * page for what a format adds to them. QEMU's receiver takes twice the pages.
 */
#define MZP_COMP_MAX ((MZP_WIRE_PAGES + 1) * MZP_WIRE_PAGE_SIZE)

/**
 * struct mzp_comp_ops - a method
 * @wire: its bits in a packet's flags
 * @level_min: lowest level
 * @level_max: highest level whose workspace is reasonable
 * @level_default: what QEMU uses unless told otherwise
 * @available: whether this kernel has what it needs
 * @memory: bytes that a stream of a level takes
 * @create: make a stream: its state, or an error pointer. May sleep; memory is
 *	charged to the current memory cgroup.
 * @destroy: free it
 * @begin: begin a packet, whose payload goes to a buffer of MZP_COMP_MAX bytes
 * @add: compress a page that nobody else can write to; negative errno on error
 * @store: take such a page as it is; later pages cannot refer to what was before
 *	it. Negative errno on error. NULL: noise needs no such help.
 * @end: flush, so that the receiver can have all pages: bytes of the payload,
 *	or a negative errno
 *
 * The stream is one over all packets of a channel, as QEMU wants it. An error
 * breaks it for good.
 */
struct mzp_comp_ops {
	u32 wire;
	int level_min;
	int level_max;
	int level_default;
	bool (*available)(void);
	size_t (*memory)(int level);
	void *(*create)(int level);
	void (*destroy)(void *stream);
	void (*begin)(void *stream, void *payload);
	int (*add)(void *stream, const void *page);
	int (*store)(void *stream, const void *page);
	ssize_t (*end)(void *stream);
};

/**
 * struct mzp_comp - a channel's compressor
 * @ops: its method; NULL: none
 * @stream: its state
 * @page: where a page is copied to first
 * @payload: where the compressed bytes of a packet are put together
 * @memory: bytes that all of this takes
 *
 * Owned by the channel's producer.
 */
struct mzp_comp {
	const struct mzp_comp_ops *ops;
	void *stream;
	void *page;
	void *payload;
	size_t memory;
};

extern const struct mzp_comp_ops mzp_comp_zlib;
extern const struct mzp_comp_ops mzp_comp_zstd;

bool mzp_comp_known(u32 method);
bool mzp_comp_available(u32 method);
const struct mzp_comp_ops *mzp_comp_ops(u32 method);

int mzp_comp_init(struct mzp_comp *comp, u32 method, int level);
void mzp_comp_destroy(struct mzp_comp *comp);
bool mzp_page_is_noise(const void *page);
ssize_t mzp_comp_pages(struct mzp_comp *comp, struct page **page, unsigned int nr);

/* Pages that a packet's own bytes take at most: its header, and its payload. */
static inline unsigned int mzp_comp_pages_max(const struct mzp_comp *comp)
{
	return comp->ops ? 1 + MZP_COMP_MAX / MZP_WIRE_PAGE_SIZE : 1;
}

static inline u32 mzp_comp_wire(const struct mzp_comp *comp)
{
	return comp->ops ? comp->ops->wire : MZP_WIRE_NONE;
}

#endif /* MZP_COMP_H */

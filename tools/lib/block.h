/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_BLOCK_H
#define MFD_PRIVATE_BLOCK_H

#include "session.h"

struct mfd_slot;

/* A named stretch of the guest's memory. */
struct mfd_block {
	struct mfd_block *next;
	struct mfd_session *session;
	uint32_t id;
	uint64_t length;
	uint64_t *dirty;		/* a bit a page: to be sent; or NULL */
	uint64_t nr_dirty;
	struct mfd_slot *slots;		/* what KVM calls parts of it; under dirty_lock, too */
	char idstr[256];
};

static inline uint64_t mfd_block_pages(const struct mfd_block *block)
{
	return block->length / block->session->page_size;
}

/* Free the block, which nobody knows any more. */
void mfd_block_free(struct mfd_block *block);

/* Free all of them. */
void mfd_blocks_free(struct mfd_session *session);

#endif /* MFD_PRIVATE_BLOCK_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_BLOCK_H
#define MZP_BLOCK_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/types.h>

#include <linux/multifd_wire.h>

struct mzp_cmd;

/**
 * struct mzp_block - a RAM block of the guest
 * @ref: the session's, and one for each job
 * @node: in the session's blocks; session lock
 * @id: what user space calls it by
 * @unfinished: jobs that are not done; session lock
 * @addr: where it starts in the session's address space
 * @pages: length
 * @idstr: name, NUL-terminated
 *
 * All but @node and @unfinished never changes.
 */
struct mzp_block {
	struct kref ref;
	struct list_head node;
	u32 id;
	unsigned int unfinished;
	unsigned long addr;
	u64 pages;
	char idstr[MZP_WIRE_IDSTR];
};

static inline unsigned long mzp_block_addr(const struct mzp_block *block, u64 page)
{
	return block->addr + (page << PAGE_SHIFT);
}

void mzp_block_put(struct mzp_block *block);

int mzp_ioctl_block_add(struct mzp_cmd *cmd);
int mzp_ioctl_block_remove(struct mzp_cmd *cmd);

#endif /* MZP_BLOCK_H */

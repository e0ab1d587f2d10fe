/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_BLOCK_H
#define MZP_BLOCK_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/types.h>

#include <linux/multifd_wire.h>

struct file;
struct mm_struct;
struct mzp_cmd;
struct mzp_residency;
struct mzp_session;
struct page;

/**
 * struct mzp_block - a RAM block of the guest
 * @ref: the session's, and one for each job
 * @node: in the session's blocks; session lock
 * @id: what user space calls it by
 * @unfinished: jobs that are not done; written under the session's queue lock, read
 *	anywhere
 * @file: whose contents it is, or NULL
 * @index: where it starts in @file, in pages
 * @addr: without @file: where it starts in the session's address space
 * @pages: length
 * @idstr: name, NUL-terminated
 *
 * The rest never changes.
 */
struct mzp_block {
	struct kref ref;
	struct list_head node;
	u32 id;
	unsigned int unfinished;
	struct file *file;
	pgoff_t index;
	unsigned long addr;
	u64 pages;
	char idstr[MZP_WIRE_IDSTR];
};

/* Whether its pages are found by way of the session's address space. */
static inline bool mzp_block_needs_mm(const struct mzp_block *block)
{
	return !block->file;
}

struct mzp_block *mzp_block_find(struct mzp_session *session, u32 id);
int mzp_block_may_read(const struct mzp_block *block, u64 page, u64 nr);
int mzp_block_look(const struct mzp_block *block, struct mm_struct *mm, u64 page,
		   struct mzp_residency *res, bool wait);
int mzp_block_grab(const struct mzp_block *block, struct mm_struct *mm, u64 page,
		   unsigned int nr, struct page **pages, bool wait);
u64 mzp_block_next(const struct mzp_block *block, struct mm_struct *mm, u64 page, u64 end);
void mzp_block_put(struct mzp_block *block);

int mzp_ioctl_block_add(struct mzp_cmd *cmd);
int mzp_ioctl_block_remove(struct mzp_cmd *cmd);

#endif /* MZP_BLOCK_H */

// SPDX-License-Identifier: GPL-2.0-only
/*
 * RAM blocks: stretches of guest memory that have a name at the receiver.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/oom.h>
#include <linux/overflow.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "block.h"
#include "cache.h"
#include "cmd.h"
#include "fault.h"
#include "grab.h"
#include "residency.h"
#include "session.h"

static void mzp_block_free(struct kref *ref)
{
	struct mzp_block *block = container_of(ref, struct mzp_block, ref);

	if (block->file)
		fput(block->file);
	kfree(block);
}

/**
 * mzp_block_put - drop a reference
 * @block: the block
 *
 * Context: any.
 */
void mzp_block_put(struct mzp_block *block)
{
	kref_put(&block->ref, mzp_block_free);
}

/**
 * mzp_block_find - find a session's block
 * @session: the session
 * @id: the block's id
 *
 * Context: the session lock is held, and protects what is returned.
 * Return: the block, or NULL.
 */
struct mzp_block *mzp_block_find(struct mzp_session *session, u32 id)
{
	struct mzp_block *block;

	lockdep_assert_held(&session->lock);
	list_for_each_entry(block, &session->blocks, node) {
		if (block->id == id)
			return block;
	}
	return NULL;
}

static unsigned long mzp_block_addr(const struct mzp_block *block, u64 page)
{
	return block->addr + (page << PAGE_SHIFT);
}

/**
 * mzp_block_may_read - whether the caller may read a part of a block now
 * @block: the block
 * @page: where the part starts, from the start of the block
 * @nr: pages
 *
 * Memory is the caller's own. Of a file, the kernel asks security modules at each
 * read, not only when it is opened; whoever has SEND read it is asked in the same way.
 *
 * Context: process; may wait for user space that was asked.
 * Return: 0 or a negative errno.
 */
int mzp_block_may_read(const struct mzp_block *block, u64 page, u64 nr)
{
	loff_t start;

	if (!block->file)
		return 0;
	start = (block->index + page) << PAGE_SHIFT;
	return rw_verify_area(READ, block->file, &start, nr << PAGE_SHIFT);
}

/* Return: 0, or -EAGAIN: it is taken, or the wait was interrupted for good. */
static int mzp_block_lock(struct mm_struct *mm, bool wait)
{
	if (wait)
		return mmap_read_lock_killable(mm) ? -EAGAIN : 0;
	return mmap_read_trylock(mm) ? 0 : -EAGAIN;
}

/**
 * mzp_block_look - find out which pages hold data
 * @block: the block
 * @mm: the session's address space, with users if mzp_block_needs_mm()
 * @page: first page, from the start of the block
 * @res: initialised; filled in
 * @wait: the caller may wait for mmap_lock
 *
 * A killed process can lose its pages before it loses its address space, to the
 * OOM reaper or to process_mrelease(2). That is noted before the first page goes, so
 * if it is not noted after the look, what was seen to be absent was never there.
 *
 * Context: a producer.
 * Return: 0, and the page references in @res are the caller's; -EAGAIN:
 * mmap_lock cannot be had at the moment; -ESRCH: the address space is being
 * emptied.
 */
int mzp_block_look(const struct mzp_block *block, struct mm_struct *mm, u64 page,
		   struct mzp_residency *res, bool wait)
{
	int err = 0;

	if (block->file) {
		mzp_cache_look(block->file->f_mapping, block->index + page, res->nr, res, 0);
		return 0;
	}
	if (mzp_fault() || mzp_block_lock(mm, wait))
		return -EAGAIN;
	mzp_residency_look(mm, mzp_block_addr(block, page), res);
	if (check_stable_address_space(mm)) {
		mzp_residency_drop(res);
		err = -ESRCH;
	}
	mmap_read_unlock(mm);
	return err;
}

/**
 * mzp_block_grab - take references on consecutive pages that have to be read
 * @block: the block
 * @mm: the session's address space, with users if mzp_block_needs_mm()
 * @page: first page, from the start of the block
 * @nr: pages, at least 1
 * @pages: where to put them
 * @wait: the caller may wait for them
 *
 * What could be had of a file at once, mzp_block_look() has taken already.
 *
 * Context: a producer; with @wait it sleeps, also for I/O and for other processes.
 * Return: as mzp_grab() or, with @wait, mzp_grab_wait().
 */
int mzp_block_grab(const struct mzp_block *block, struct mm_struct *mm, u64 page,
		   unsigned int nr, struct page **pages, bool wait)
{
	if (!wait)
		return block->file ? -EAGAIN :
				     mzp_grab(mm, mzp_block_addr(block, page), nr, pages);
	if (mzp_fault())
		return -EIO;
	if (block->file)
		return mzp_cache_fetch(block->file->f_mapping, block->index + page);
	return mzp_grab_wait(mm, mzp_block_addr(block, page), nr, pages);
}

/**
 * mzp_block_next - find the next page that may hold data
 * @block: the block
 * @mm: the session's address space, with users if mzp_block_needs_mm()
 * @page: where to start, from the start of the block
 * @end: where to stop
 *
 * Context: a producer; does not wait.
 * Return: a page from @page to @end; all before it are zero.
 */
u64 mzp_block_next(const struct mzp_block *block, struct mm_struct *mm, u64 page, u64 end)
{
	unsigned long addr, next;

	if (block->file)
		return mzp_cache_next(block->file->f_mapping, block->index + page,
				      block->index + end) - block->index;
	if (!mmap_read_trylock(mm))
		return page;
	addr = mzp_block_addr(block, page);
	next = mzp_residency_next(mm, addr, mzp_block_addr(block, end));
	/* As for mzp_block_look(), which is going to say so. */
	if (check_stable_address_space(mm))
		next = addr;
	mmap_read_unlock(mm);
	return page + ((next - addr) >> PAGE_SHIFT);
}

static int mzp_block_check_place(const struct mzp_block_add *arg, u64 start, u64 limit)
{
	u64 end;

	if (!PAGE_ALIGNED(start))
		return -EINVAL;
	return check_add_overflow(start, (u64)arg->length, &end) || end > limit ? -EOVERFLOW : 0;
}

static int mzp_block_check(const struct mzp_block_add *arg)
{
	if (arg->flags & ~MZP_BLOCK_FD || arg->__reserved)
		return -EINVAL;
	if (!arg->idstr_len || arg->idstr_len >= MZP_WIRE_IDSTR)
		return -EINVAL;
	if (!arg->length || !PAGE_ALIGNED(arg->length))
		return -EINVAL;
	if (arg->flags & MZP_BLOCK_FD)
		return arg->addr ? -EINVAL : mzp_block_check_place(arg, arg->offset, LLONG_MAX);
	if (arg->fd || arg->offset)
		return -EINVAL;
	return mzp_block_check_place(arg, arg->addr, TASK_SIZE);
}

static int mzp_block_open(struct mzp_block *block, const struct mzp_block_add *arg)
{
	struct file *file = fget(arg->fd);
	int err = 0;

	if (!file)
		return -EBADF;
	if (!(file->f_mode & FMODE_READ))
		err = -EACCES;
	else if (!mzp_cache_knows_holes(file->f_mapping))
		err = -EOPNOTSUPP;
	if (err) {
		fput(file);
		return err;
	}
	block->file = file;
	block->index = arg->offset >> PAGE_SHIFT;
	return 0;
}

static int mzp_block_fill(struct mzp_block *block, const struct mzp_block_add *arg)
{
	block->addr = arg->addr;
	block->pages = arg->length >> PAGE_SHIFT;
	if (copy_from_user(block->idstr, u64_to_user_ptr(arg->idstr), arg->idstr_len))
		return -EFAULT;
	if (strlen(block->idstr) != arg->idstr_len)
		return -EINVAL;
	return arg->flags & MZP_BLOCK_FD ? mzp_block_open(block, arg) : 0;
}

static struct mzp_block *mzp_block_new(const struct mzp_block_add *arg)
{
	struct mzp_block *block = kzalloc(sizeof(*block), GFP_KERNEL_ACCOUNT);
	int err;

	if (!block)
		return ERR_PTR(-ENOMEM);
	kref_init(&block->ref);
	err = mzp_block_fill(block, arg);
	if (err) {
		mzp_block_put(block);
		return ERR_PTR(err);
	}
	return block;
}

static int mzp_block_admit(struct mzp_session *session, const struct mzp_block *block)
{
	struct mzp_block *other;

	list_for_each_entry(other, &session->blocks, node) {
		if (!strcmp(other->idstr, block->idstr))
			return -EEXIST;
		if (other->id == block->id)
			return -ENOSPC;
	}
	return session->nr_blocks < MZP_MAX_BLOCKS ? 0 : -ENOSPC;
}

/**
 * mzp_ioctl_block_add - MZP_IOC_BLOCK_ADD
 * @cmd: the command, on a session that is in use
 *
 * Context: process; takes the session lock.
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_block_add(struct mzp_cmd *cmd)
{
	struct mzp_session *session = cmd->session;
	struct mzp_block_add *arg = cmd->arg;
	struct mzp_block *block;
	int err = mzp_block_check(arg);

	if (err)
		return err;
	block = mzp_block_new(arg);
	if (IS_ERR(block))
		return PTR_ERR(block);
	block->id = atomic_inc_return(&session->last_block);
	arg->block_id = block->id;
	err = mzp_cmd_reply(cmd);
	if (err)
		goto put;

	mutex_lock(&session->lock);
	err = mzp_session_usable(session);
	if (!err)
		err = mzp_block_admit(session, block);
	if (!err) {
		list_add_tail(&block->node, &session->blocks);
		WRITE_ONCE(session->nr_blocks, session->nr_blocks + 1);
	}
	mutex_unlock(&session->lock);
put:
	if (err)
		mzp_block_put(block);
	return err;
}

/**
 * mzp_ioctl_block_remove - MZP_IOC_BLOCK_REMOVE
 * @cmd: the command, on a session that is in use
 *
 * Context: process; takes the session lock.
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_block_remove(struct mzp_cmd *cmd)
{
	struct mzp_session *session = cmd->session;
	struct mzp_block_remove *arg = cmd->arg;
	struct mzp_block *block;
	int err;

	if (arg->flags || arg->__reserved)
		return -EINVAL;

	mutex_lock(&session->lock);
	err = mzp_session_usable(session);
	if (err)
		goto unlock;
	block = mzp_block_find(session, arg->block_id);
	if (!block) {
		err = -ENOENT;
	} else if (READ_ONCE(block->unfinished)) {
		err = -EBUSY;
	} else {
		list_del(&block->node);
		WRITE_ONCE(session->nr_blocks, session->nr_blocks - 1);
		mzp_block_put(block);
	}
unlock:
	mutex_unlock(&session->lock);
	return err;
}

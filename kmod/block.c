// SPDX-License-Identifier: GPL-2.0-only
/*
 * RAM blocks: stretches of guest memory that have a name at the receiver.
 */
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "block.h"
#include "session.h"

static void mzp_block_free(struct kref *ref)
{
	kfree(container_of(ref, struct mzp_block, ref));
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

static int mzp_block_check(const struct mzp_block_add *arg)
{
	u64 end;

	if (arg->flags)
		return -EOPNOTSUPP;
	if (!arg->idstr_len || arg->idstr_len >= MZP_WIRE_IDSTR)
		return -EINVAL;
	if (!arg->length || !PAGE_ALIGNED(arg->length) || !PAGE_ALIGNED(arg->addr))
		return -EINVAL;
	if (check_add_overflow((u64)arg->addr, (u64)arg->length, &end) || end > TASK_SIZE)
		return -EOVERFLOW;
	return 0;
}

static struct mzp_block *mzp_block_new(const struct mzp_block_add *arg)
{
	struct mzp_block *block = kzalloc(sizeof(*block), GFP_KERNEL_ACCOUNT);

	if (!block)
		return ERR_PTR(-ENOMEM);
	kref_init(&block->ref);
	block->addr = arg->addr;
	block->pages = arg->length >> PAGE_SHIFT;
	if (copy_from_user(block->idstr, u64_to_user_ptr(arg->idstr), arg->idstr_len)) {
		kfree(block);
		return ERR_PTR(-EFAULT);
	}
	if (strlen(block->idstr) != arg->idstr_len) {
		kfree(block);
		return ERR_PTR(-EINVAL);
	}
	return block;
}

static int mzp_block_admit(struct mzp_session *session, const struct mzp_block *block)
{
	struct mzp_block *other;
	unsigned int nr = 0;

	list_for_each_entry(other, &session->blocks, node) {
		if (!strcmp(other->idstr, block->idstr))
			return -EEXIST;
		if (other->id == block->id)
			return -ENOSPC;
		nr++;
	}
	return nr < MZP_MAX_BLOCKS ? 0 : -ENOSPC;
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
	if (!err)
		list_add_tail(&block->node, &session->blocks);
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
		return -EOPNOTSUPP;

	mutex_lock(&session->lock);
	err = mzp_session_usable(session);
	if (err)
		goto unlock;
	block = mzp_session_block(session, arg->block_id);
	if (!block) {
		err = -ENOENT;
	} else if (block->unfinished) {
		err = -EBUSY;
	} else {
		list_del(&block->node);
		mzp_block_put(block);
	}
unlock:
	mutex_unlock(&session->lock);
	return err;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The argument structure of an ioctl: how it comes in and how it goes back.
 */
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "cmd.h"

/**
 * mzp_cmd_fetch - copy the argument structure from the caller
 * @cmd: the command; @user, @arg and @arg_size are set
 * @min_size: of the structure's first version
 *
 * Context: process.
 * Return: 0; -EFAULT; -EINVAL: it is too short; -E2BIG: it is too long, or has
 * members that this kernel does not know.
 */
int mzp_cmd_fetch(struct mzp_cmd *cmd, u32 min_size)
{
	if (get_user(cmd->user_size, (u32 __user *)cmd->user))
		return -EFAULT;
	if (cmd->user_size < min_size)
		return -EINVAL;
	/* Nobody means it; and the tail would be searched for what is not zero. */
	if (cmd->user_size > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(cmd->arg, cmd->arg_size, cmd->user, cmd->user_size);
}

/**
 * mzp_cmd_reply - copy the argument structure back to the caller
 * @cmd: the command
 *
 * Called before anything that the caller could not undo is made known, so that
 * a caller who is told of a failure knows that nothing has happened.
 *
 * Context: process; no lock is held, since user memory may take its time.
 * Return: 0 or -EFAULT.
 */
int mzp_cmd_reply(struct mzp_cmd *cmd)
{
	return copy_to_user(cmd->user, cmd->arg, min(cmd->user_size, cmd->arg_size)) ?
		-EFAULT : 0;
}

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_CMD_H
#define MZP_CMD_H

#include <linux/types.h>

struct mzp_session;

/**
 * struct mzp_cmd - an ioctl on its way
 * @session: the session
 * @user: the caller's argument structure
 * @user_size: how long the caller says it is
 * @arg: kernel copy of the argument structure
 * @arg_size: how long that is
 */
struct mzp_cmd {
	struct mzp_session *session;
	void __user *user;
	u32 user_size;
	void *arg;
	u32 arg_size;
};

int mzp_cmd_fetch(struct mzp_cmd *cmd, u32 min_size);
int mzp_cmd_reply(struct mzp_cmd *cmd);

#endif /* MZP_CMD_H */

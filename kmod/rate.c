// SPDX-License-Identifier: GPL-2.0-only
/*
 * RATE: the limit that a VMM sets itself.
 */
#include "cmd.h"
#include "rate.h"
#include "session.h"

/**
 * mzp_ioctl_rate - MZP_IOC_RATE
 * @cmd: the command, on a session that was set up
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_rate(struct mzp_cmd *cmd)
{
	struct mzp_session *session = cmd->session;
	const struct mzp_rate *arg = cmd->arg;

	if (arg->flags)
		return -EINVAL;
	mzp_session_set_rate(session, &session->limit.own, arg->rate);
	return 0;
}

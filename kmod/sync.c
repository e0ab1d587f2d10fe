// SPDX-License-Identifier: GPL-2.0-only
/*
 * SYNC: ends a round.
 */
#include <linux/bvec.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include <linux/multifd_wire.h>

#include "arena.h"
#include "cmd.h"
#include "job.h"
#include "session.h"

/*
 * The headers are allocated here, where a failure can be reported, so that a
 * SYNC once handed over cannot fail.
 */
static int mzp_sync_prepare(struct mzp_session *session, struct mzp_job *job)
{
	struct mzp_arena arena = { };
	unsigned int i, nr = session->nr_channels;

	if (mzp_job_charge(job, &job->memory, nr * (sizeof(*job->own) +
						   sizeof(struct mzp_wire_packet))))
		return -ENOMEM;
	job->round = mzp_round_new();
	job->own = kvcalloc(nr, sizeof(*job->own), GFP_KERNEL_ACCOUNT);
	if (!job->round || !job->own)
		return -ENOMEM;
	job->nr_own = nr;
	job->syncs_left = nr;
	for (i = 0; i < nr; i++) {
		if (mzp_arena_reserve(&arena, 1, GFP_KERNEL))
			break;
		mzp_arena_take(&arena, sizeof(struct mzp_wire_packet), &job->own[i]);
	}
	mzp_arena_drop(&arena);
	return i == nr ? 0 : -ENOMEM;
}

/**
 * mzp_ioctl_sync - MZP_IOC_SYNC
 * @cmd: the command, on a session that is in use
 *
 * Context: process; takes the queue lock.
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_sync(struct mzp_cmd *cmd)
{
	struct mzp_session *session = cmd->session;
	struct mzp_sync *arg = cmd->arg;
	struct mzp_job *job;
	int err;

	if (arg->flags & ~(MZP_SYNC_NO_RESULT | MZP_SYNC_NO_ROUND))
		return -EINVAL;
	job = mzp_job_new(session);
	if (!job)
		return -ENOMEM;
	job->kind = MZP_JOB_SYNC;
	job->no_result = arg->flags & MZP_SYNC_NO_RESULT;
	job->no_round = arg->flags & MZP_SYNC_NO_ROUND;
	err = mzp_sync_prepare(session, job);
	if (!err) {
		arg->job_id = job->no_result ? 0 : job->id;
		err = mzp_cmd_reply(cmd);
	}
	if (!err)
		err = mzp_job_start(job);
	if (err)
		mzp_job_discard(job);
	return err;
}

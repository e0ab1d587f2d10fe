// SPDX-License-Identifier: GPL-2.0-only
/*
 * STATUS: how far a session is, for the VMM.
 */
#include "channel.h"
#include "cmd.h"
#include "pending.h"
#include "session.h"
#include "status.h"

static enum mzp_state mzp_status_state(enum mzp_phase phase)
{
	switch (phase) {
	case MZP_NEW:
	case MZP_READY:
		break;
	case MZP_ENDING:
		return MZP_STATE_ENDING;
	case MZP_ENDED:
		return MZP_STATE_ENDED;
	case MZP_FAILED:
		return MZP_STATE_FAILED;
	}
	return MZP_STATE_READY;
}

/* All of it at one moment. */
static void mzp_status_jobs(struct mzp_session *session, struct mzp_status *arg)
{
	spin_lock(&session->queue_lock);
	arg->state = mzp_status_state(session->phase);
	arg->reason = session->reason;
	arg->error = session->first_error;
	arg->error_block = session->error_id;
	arg->error_offset = session->error_page << PAGE_SHIFT;
	arg->submitted = session->all.pages;
	arg->normal = session->all.counts.normal;
	arg->zero = session->all.counts.zero;
	arg->absent = session->all.counts.absent;
	arg->lost = session->all.counts.lost;
	arg->pending_pages = session->pending.pages;
	arg->syncs = session->syncs;
	arg->jobs = session->nr_jobs;
	arg->jobs_unfinished = session->unfinished;
	spin_unlock(&session->queue_lock);
}

/* What was taken first, so that it is never more than what was made. */
static void mzp_status_bytes(const struct mzp_session *session, struct mzp_status *arg)
{
	unsigned int i;

	arg->pending_bytes = max_t(s64, atomic64_read(&session->pending.bytes), 0);
	arg->ring_pages = max_t(s64, atomic64_read(&session->pending.ring_pages), 0);
	arg->__reserved = 0;
	arg->bytes_taken = 0;
	arg->bytes_made = 0;
	for (i = 0; i < session->nr_channels; i++)
		arg->bytes_taken += READ_ONCE(session->channel[i]->stats.bytes_read);
	/* Whoever took bytes had seen them in the ring, behind their being counted. */
	smp_rmb();
	for (i = 0; i < session->nr_channels; i++)
		arg->bytes_made += READ_ONCE(session->channel[i]->stats.bytes);
}

/**
 * mzp_ioctl_status - MZP_IOC_STATUS
 * @cmd: the command, on a session that was set up
 *
 * Context: process; takes the queue lock.
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_status(struct mzp_cmd *cmd)
{
	struct mzp_session *session = cmd->session;
	struct mzp_status *arg = cmd->arg;

	if (arg->flags)
		return -EINVAL;
	mzp_status_jobs(session, arg);
	mzp_status_bytes(session, arg);
	arg->rate = READ_ONCE(session->limit.rate);
	return mzp_cmd_reply(cmd);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * INJECT: bytes of the VMM's own, between two packets of a channel.
 *
 * They are a job of one channel. Its pages, which are the module's own, go into the ring
 * by as many slots as they need, with nothing in between, since whoever runs the channel
 * finishes them before it does anything else.
 */
#include <linux/bvec.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "channel.h"
#include "cmd.h"
#include "inject.h"
#include "job.h"
#include "session.h"

/* VFIO hands over device state in pieces of up to 1 MiB, which get a header in front. */
#define MZP_MAX_INJECT SZ_2M

/* Copy what is left into one page more. */
static int mzp_inject_copy_page(struct mzp_job *job, const char __user *user, u32 left)
{
	struct bio_vec *buf = &job->own[job->nr_own];
	u32 part = min_t(u32, left, PAGE_SIZE);
	struct page *page = alloc_page(GFP_KERNEL_ACCOUNT);

	if (!page)
		return -ENOMEM;
	buf->bv_page = page;
	buf->bv_offset = 0;
	buf->bv_len = part;
	job->nr_own++;
	return copy_from_user(page_address(page), user, part) ? -EFAULT : 0;
}

static int mzp_inject_copy(struct mzp_job *job, const struct mzp_inject *arg)
{
	const char __user *user = u64_to_user_ptr(arg->data);
	unsigned int nr = DIV_ROUND_UP(arg->length, PAGE_SIZE);
	u32 done;
	int err;

	if (mzp_job_charge(job, &job->memory, nr * (sizeof(*job->own) + PAGE_SIZE)))
		return -ENOMEM;
	job->own = kvcalloc(nr, sizeof(*job->own), GFP_KERNEL_ACCOUNT);
	if (!job->own)
		return -ENOMEM;
	for (done = 0; done < arg->length; done += PAGE_SIZE) {
		err = mzp_inject_copy_page(job, user + done, arg->length - done);
		if (err)
			return err;
	}
	job->length = arg->length;
	return 0;
}

/**
 * mzp_inject_move - move as much of a job's bytes to a packet as that has room for
 * @job: of INJECT
 * @packet: empty
 * @bytes: set to how many
 *
 * Context: whoever runs the job's channel.
 * Return: whether that was all.
 */
bool mzp_inject_move(struct mzp_job *job, struct mzp_packet *packet, u32 *bytes)
{
	packet->nr = 0;
	packet->own = true;
	*bytes = 0;
	while (packet->nr < MZP_PACKET_BUFS && job->moved < job->nr_own) {
		struct bio_vec *buf = &job->own[job->moved++];

		packet->buf[packet->nr++] = *buf;
		*bytes += buf->bv_len;
		buf->bv_page = NULL;
	}
	return job->moved == job->nr_own;
}

/**
 * mzp_ioctl_inject - MZP_IOC_INJECT
 * @cmd: the command, on a session that was set up
 *
 * Context: process; takes the queue lock.
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_inject(struct mzp_cmd *cmd)
{
	struct mzp_session *session = cmd->session;
	const struct mzp_inject *arg = cmd->arg;
	struct mzp_job *job;
	u32 id;
	int err;

	if (arg->flags || arg->channel >= session->nr_channels || !arg->length ||
	    arg->length > MZP_MAX_INJECT)
		return -EINVAL;
	id = array_index_nospec(arg->channel, session->nr_channels);
	job = mzp_job_new(session);
	if (!job)
		return -ENOMEM;
	job->kind = MZP_JOB_INJECT;
	job->no_result = true;
	job->channel = session->channel[id];
	err = mzp_inject_copy(job, arg);
	if (!err)
		err = mzp_job_start(job);
	if (err)
		mzp_job_discard(job);
	return err;
}

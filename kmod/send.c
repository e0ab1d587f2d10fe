// SPDX-License-Identifier: GPL-2.0-only
/*
 * SEND: copies what pages the caller means, and makes a job of it.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "block.h"
#include "cmd.h"
#include "job.h"
#include "session.h"

/* Input is copied in parts, between which others and signals get their turn. */
#define MZP_COPY_BYTES	0x100000ul
#define MZP_COPY_RANGES	1024

#define MZP_SEND_FLAGS	(MZP_SEND_FRESH | MZP_SEND_ZERO_BITMAP | MZP_SEND_NO_RESULT)

/* Whether WAIT is to get a bitmap of zero pages. */
static bool mzp_send_keeps_zeros(const struct mzp_session *session, const struct mzp_send *arg)
{
	return arg->flags & MZP_SEND_ZERO_BITMAP || session->detection == MZP_DETECTION_LEGACY;
}

static int mzp_send_check(const struct mzp_session *session, const struct mzp_send *arg)
{
	u64 end;

	if (arg->flags & ~MZP_SEND_FLAGS || arg->__reserved || arg->format > MZP_SEND_RANGES)
		return -EINVAL;
	if (arg->flags & MZP_SEND_ZERO_BITMAP && session->detection == MZP_DETECTION_NONE)
		return -EINVAL;
	if (arg->flags & MZP_SEND_NO_RESULT && mzp_send_keeps_zeros(session, arg))
		return -EINVAL;
	if (check_add_overflow((u64)arg->first_page, (u64)arg->page_count, &end))
		return -EOVERFLOW;
	if (!arg->page_count)
		return -EINVAL;
	if (arg->format == MZP_SEND_ALL && arg->input)
		return -EINVAL;
	/* Ranges are disjoint and not empty. */
	if (arg->format == MZP_SEND_RANGES)
		return arg->nr_ranges && arg->nr_ranges <= arg->page_count ? 0 : -EINVAL;
	if (arg->nr_ranges || arg->ranges_base)
		return -EINVAL;
	return 0;
}

static int mzp_send_copy_bitmap(struct mzp_job *job, const struct mzp_send *arg)
{
	const char __user *user = u64_to_user_ptr(arg->input);
	size_t size = BITS_TO_LONGS(arg->page_count) * sizeof(long), done, part;
	unsigned long *bitmap = mzp_job_alloc(job, &job->input, size / sizeof(long), sizeof(long));

	job->cursor.bitmap = bitmap;
	if (!bitmap)
		return -ENOMEM;
	for (done = 0; done < size; done += part) {
		part = min_t(size_t, size - done, MZP_COPY_BYTES);
		if (copy_from_user((char *)bitmap + done, user + done, part))
			return -EFAULT;
		if (done + part == size && arg->page_count % BITS_PER_LONG)
			bitmap[size / sizeof(long) - 1] &= BITMAP_LAST_WORD_MASK(arg->page_count);
		job->submitted += bitmap_weight(bitmap + done / sizeof(long), part * BITS_PER_BYTE);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/* Turn a range from user space into pages of the block. */
static int mzp_send_span(const struct mzp_send *arg, const struct mzp_range *range, u64 behind,
			 struct mzp_span *span)
{
	u64 start, end;

	if (range->start < arg->ranges_base)
		return -ERANGE;
	start = range->start - arg->ranges_base;
	end = range->end - arg->ranges_base;
	if (range->end <= range->start || !PAGE_ALIGNED(start) || !PAGE_ALIGNED(end))
		return -EINVAL;
	span->first = start >> PAGE_SHIFT;
	span->count = (end - start) >> PAGE_SHIFT;
	if (span->first < arg->first_page ||
	    span->first + span->count > arg->first_page + arg->page_count)
		return -ERANGE;
	return span->first < behind ? -EINVAL : 0;
}

static int mzp_send_copy_ranges(struct mzp_job *job, const struct mzp_send *arg)
{
	const struct mzp_range __user *user = u64_to_user_ptr(arg->input);
	struct mzp_range range;
	u64 behind = 0;
	u32 i;
	int err;

	job->cursor.nr_spans = arg->nr_ranges;
	job->cursor.span = mzp_job_alloc(job, &job->input, arg->nr_ranges,
					 sizeof(*job->cursor.span));
	if (!job->cursor.span)
		return -ENOMEM;
	for (i = 0; i < arg->nr_ranges; i++) {
		struct mzp_span *span = &job->cursor.span[i];

		if (copy_from_user(&range, &user[i], sizeof(range)))
			return -EFAULT;
		err = mzp_send_span(arg, &range, behind, span);
		if (err)
			return err;
		behind = span->first + span->count;
		job->submitted += span->count;
		if (i % MZP_COPY_RANGES)
			continue;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static int mzp_send_copy_input(struct mzp_job *job, const struct mzp_send *arg)
{
	switch (arg->format) {
	case MZP_SEND_BITMAP:
		return mzp_send_copy_bitmap(job, arg);
	case MZP_SEND_RANGES:
		return mzp_send_copy_ranges(job, arg);
	}
	job->submitted = arg->page_count;
	return 0;
}

/* No channel will take up a job without pages, and so none would free its input. */
static void mzp_send_none(struct mzp_job *job)
{
	void *input;

	mzp_cursor_end(&job->cursor);
	input = mzp_cursor_give_input(&job->cursor);
	if (input)
		mzp_job_free_input(job, input);
}

/* All of a SEND that can be done without knowing the block. */
static int mzp_send_prepare(struct mzp_session *session, struct mzp_job *job,
			    const struct mzp_send *arg)
{
	int err;

	job->kind = MZP_JOB_SEND;
	job->fresh = arg->flags & MZP_SEND_FRESH;
	job->no_result = arg->flags & MZP_SEND_NO_RESULT;
	job->window.first = arg->first_page;
	job->window.count = arg->page_count;
	job->cursor.window = job->window;
	job->cursor.next = job->window.first;
	err = mzp_send_copy_input(job, arg);
	if (err)
		return err;
	if (!job->submitted)
		mzp_send_none(job);
	if (mzp_send_keeps_zeros(session, arg)) {
		job->zero_bitmap = mzp_job_alloc(job, &job->memory, BITS_TO_LONGS(arg->page_count),
						 sizeof(long));
		if (!job->zero_bitmap)
			return -ENOMEM;
	}
	return 0;
}

/*
 * Find the block. The window is checked before memory in proportion to it is
 * asked for.
 */
static int mzp_send_bind(struct mzp_session *session, struct mzp_job *job,
			 const struct mzp_send *arg)
{
	struct mzp_block *block;
	int err = 0;

	mutex_lock(&session->lock);
	block = mzp_block_find(session, arg->block_id);
	if (!block) {
		err = -ENOENT;
	} else if (arg->first_page + arg->page_count > block->pages) {
		err = -ERANGE;
	} else {
		kref_get(&block->ref);
		job->block = block;
	}
	mutex_unlock(&session->lock);
	return err ?: mzp_block_may_read(block, arg->first_page, arg->page_count);
}

static int mzp_send_start(struct mzp_session *session, struct mzp_job *job)
{
	int err = mzp_session_usable(session);

	mutex_lock(&session->lock);
	/* It may have been removed meanwhile. */
	if (!err && mzp_block_find(session, job->block->id) != job->block)
		err = -ENOENT;
	if (!err)
		err = mzp_job_start(job);
	mutex_unlock(&session->lock);
	return err;
}

/**
 * mzp_ioctl_send - MZP_IOC_SEND
 * @cmd: the command, on a session that is in use
 *
 * Context: process; takes the session lock.
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_send(struct mzp_cmd *cmd)
{
	struct mzp_session *session = cmd->session;
	struct mzp_send *arg = cmd->arg;
	struct mzp_job *job;
	int err = mzp_send_check(session, arg);

	if (err)
		return err;
	job = mzp_job_new(session);
	if (!job)
		return -ENOMEM;
	err = mzp_send_bind(session, job, arg);
	if (!err)
		err = mzp_send_prepare(session, job, arg);
	if (!err) {
		arg->job_id = job->no_result ? 0 : job->id;
		arg->pages = job->submitted;
		err = mzp_cmd_reply(cmd);
	}
	if (!err)
		err = mzp_send_start(session, job);
	if (err)
		mzp_job_discard(job);
	return err;
}

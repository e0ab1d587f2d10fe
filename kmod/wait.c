// SPDX-License-Identifier: GPL-2.0-only
/*
 * WAIT: waits for jobs, tells what they came to, and forgets them.
 *
 * What a WAIT for all tells is a sum that is kept while jobs become done and are
 * forgotten, so it costs the same for one job and for thousands. What it has told it
 * forgets afterwards, and nothing else: while the answer was on its way, for as long
 * as the caller liked, other jobs may have become done. These have a higher order.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "block.h"
#include "cmd.h"
#include "job.h"
#include "queue.h"
#include "session.h"
#include "wait.h"

/* Output is copied in parts, between which others and signals get their turn. */
#define MZP_COPY_BYTES	0x100000ul

/* Whether WAIT's caller can go on; NULL stands for all jobs. */
static bool mzp_wait_over(const struct mzp_session *session, const struct mzp_job *job)
{
	if (job)
		return mzp_queue_done(job);
	return !READ_ONCE(session->unfinished) || mzp_session_failed(session);
}

/**
 * mzp_wait_time - how long a caller wants to wait
 * @timeout_ns: as the caller says it; negative: without end
 *
 * Context: any.
 * Return: the same for wait_event_interruptible_hrtimeout().
 */
ktime_t mzp_wait_time(s64 timeout_ns)
{
	return timeout_ns < 0 ? KTIME_MAX : ns_to_ktime(timeout_ns);
}

/**
 * mzp_wait_result - make an errno of what a wait came to
 * @err: what wait_event_…() returned
 * @timeout_ns: how long the wait was to be; set to what is left of it
 * @user: where the caller has that
 * @end: when it would have been over
 *
 * If a signal came first, the command can simply be run again.
 *
 * Context: process.
 * Return: 0; -ETIMEDOUT; -ERESTARTSYS; or -EFAULT.
 */
int mzp_wait_result(int err, s64 *timeout_ns, __s64 __user *user, ktime_t end)
{
	if (err == -ETIME)
		return -ETIMEDOUT;
	if (err != -ERESTARTSYS || *timeout_ns < 0)
		return err;
	*timeout_ns = max_t(s64, ktime_to_ns(ktime_sub(end, ktime_get())), 0);
	return put_user(*timeout_ns, user) ?: err;
}

static int mzp_wait_sleep(struct mzp_cmd *cmd, const struct mzp_job *job)
{
	struct mzp_wait __user *user = cmd->user;
	struct mzp_session *session = cmd->session;
	struct mzp_wait *arg = cmd->arg;
	ktime_t time = mzp_wait_time(arg->timeout_ns), end = ktime_add_safe(ktime_get(), time);
	int err = wait_event_interruptible_hrtimeout(session->done, mzp_wait_over(session, job),
						     time);

	return mzp_wait_result(err, &arg->timeout_ns, &user->timeout_ns, end);
}

static void mzp_wait_report_error(struct mzp_wait *arg, const struct mzp_job *job)
{
	arg->error = job->error;
	if (!job->error && !job->done && mzp_session_failed(job->session))
		arg->error = -mzp_session_error(job->session);
	if (job->error && job->block) {
		arg->error_block = job->block->id;
		arg->error_offset = job->error_page << PAGE_SHIFT;
	}
}

static void mzp_wait_report_counts(struct mzp_wait *arg, const struct mzp_counts *counts)
{
	arg->normal += counts->normal;
	arg->zero += counts->zero;
	arg->absent += counts->absent;
}

static void mzp_wait_report(struct mzp_wait *arg, const struct mzp_job *job)
{
	mzp_wait_report_error(arg, job);
	arg->submitted = job->submitted;
	mzp_wait_report_counts(arg, &job->counts);
}

static int mzp_wait_bitmap(const struct mzp_wait *arg, const struct mzp_job *job)
{
	size_t size = BITS_TO_LONGS(job->window.count) * sizeof(long), done, part;
	char __user *user = u64_to_user_ptr(arg->zero_bitmap);

	for (done = 0; user && done < size; done += part) {
		part = min_t(size_t, size - done, MZP_COPY_BYTES);
		if (copy_to_user(user + done, (char *)job->zero_bitmap + done, part))
			return -EFAULT;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static int mzp_wait_check_bitmap(const struct mzp_wait *arg, const struct mzp_job *job)
{
	if (!arg->zero_bitmap)
		return 0;
	if (!job->zero_bitmap)
		return -ENODATA;
	return arg->zero_bitmap_pages < job->window.count ? -ENOSPC : 0;
}

static int mzp_wait_job(struct mzp_cmd *cmd, struct mzp_job *job)
{
	struct mzp_session *session = cmd->session;
	struct mzp_wait *arg = cmd->arg;
	int err = mzp_wait_check_bitmap(arg, job), waited;

	if (err)
		return err;
	waited = mzp_wait_sleep(cmd, job);
	if (waited && waited != -ETIMEDOUT)
		return waited;

	spin_lock(&session->queue_lock);
	mzp_wait_report(arg, job);
	spin_unlock(&session->queue_lock);
	err = waited ? 0 : mzp_wait_bitmap(arg, job);
	err = err ?: mzp_cmd_reply(cmd) ?: waited;
	if (err)
		return err;
	return mzp_job_fetch(job) ? 0 : -ENOENT;
}

static int mzp_wait_one(struct mzp_cmd *cmd)
{
	const struct mzp_wait *arg = cmd->arg;
	struct mzp_job *job = mzp_job_find(cmd->session, arg->job_id);
	int err;

	if (!job)
		return -ENOENT;
	err = mzp_wait_job(cmd, job);
	mzp_job_put(job);
	return err;
}

/*
 * What all jobs that are done come to; with @so_far also those that are not, as
 * in a session that is over. Return: the order of the first job that is not in it.
 */
static u64 mzp_wait_sum(struct mzp_session *session, struct mzp_wait *arg, bool so_far)
{
	const struct mzp_job *broken;
	u64 end;

	spin_lock(&session->queue_lock);
	end = session->over;
	broken = list_first_entry_or_null(&session->broken, struct mzp_job, node);
	if (broken)
		mzp_wait_report_error(arg, broken);
	else if (mzp_session_failed(session) && session->unfinished)
		arg->error = -mzp_session_error(session);
	arg->submitted = session->told.pages;
	mzp_wait_report_counts(arg, &session->told.counts);
	if (so_far || mzp_session_failed(session)) {
		arg->submitted += session->untold.pages;
		mzp_wait_report_counts(arg, &session->untold.counts);
	}
	spin_unlock(&session->queue_lock);
	return end;
}

/* The first job of @list, if its order is below @end, with a reference. */
static struct mzp_job *mzp_wait_first(struct mzp_session *session, struct list_head *list, u64 end)
{
	struct mzp_job *job;

	spin_lock(&session->queue_lock);
	job = list_first_entry_or_null(list, struct mzp_job, node);
	if (job && job->order < end)
		kref_get(&job->ref);
	else
		job = NULL;
	spin_unlock(&session->queue_lock);
	return job;
}

static void mzp_wait_forget(struct mzp_session *session, struct list_head *list, u64 end)
{
	struct mzp_job *job;

	while ((job = mzp_wait_first(session, list, end))) {
		mzp_job_fetch(job);
		mzp_job_put(job);
		cond_resched();
	}
}

/* A session that is over gets no more jobs, and all that it has count as done. */
static void mzp_wait_forget_all(struct mzp_session *session)
{
	struct mzp_job *job;
	unsigned long id = 0;

	for (;;) {
		spin_lock(&session->queue_lock);
		job = xa_find(&session->jobs, &id, ULONG_MAX, XA_PRESENT);
		if (job)
			kref_get(&job->ref);
		spin_unlock(&session->queue_lock);
		if (!job)
			return;
		mzp_job_fetch(job);
		mzp_job_put(job);
		cond_resched();
	}
}

static int mzp_wait_all(struct mzp_cmd *cmd)
{
	struct mzp_session *session = cmd->session;
	struct mzp_wait *arg = cmd->arg;
	int waited = mzp_wait_sleep(cmd, NULL), err;
	bool failed = mzp_session_failed(session);
	u64 end;

	if (waited && waited != -ETIMEDOUT)
		return waited;
	end = mzp_wait_sum(session, arg, waited);
	err = mzp_cmd_reply(cmd) ?: waited;
	if (err)
		return err;
	mzp_wait_forget(session, &session->broken, end);
	mzp_wait_forget(session, &session->finished, end);
	if (failed)
		mzp_wait_forget_all(session);
	return 0;
}

static int mzp_wait_check(const struct mzp_wait *arg)
{
	if (arg->flags || arg->__reserved || arg->__reserved2)
		return -EINVAL;
	if (arg->zero_bitmap && (!arg->job_id || arg->zero_bitmap_pages % BITS_PER_LONG))
		return -EINVAL;
	return 0;
}

/**
 * mzp_ioctl_wait - MZP_IOC_WAIT
 * @cmd: the command, on a session that was set up
 *
 * Context: process; sleeps as long as the caller asked for, interruptibly;
 * takes the queue lock.
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_wait(struct mzp_cmd *cmd)
{
	struct mzp_wait *arg = cmd->arg;
	int err = mzp_wait_check(arg);

	if (err)
		return err;
	arg->error = 0;
	arg->error_block = 0;
	arg->error_offset = 0;
	arg->submitted = 0;
	arg->normal = 0;
	arg->zero = 0;
	arg->absent = 0;
	return arg->job_id ? mzp_wait_one(cmd) : mzp_wait_all(cmd);
}

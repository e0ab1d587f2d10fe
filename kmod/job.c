// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jobs: what SEND and SYNC hand over, and what WAIT hands back.
 *
 * Active jobs are in one list, in the order in which they came. A channel takes
 * pages from the first job in its own epoch; its epoch is the number of SYNC
 * packets that it has emitted. So on each channel, by itself:
 *
 *  - SYNC n goes out when no job before it has pages left to take, that is,
 *    behind all that this channel took of them;
 *  - pages of jobs behind SYNC n go out after it.
 *
 * That is all the order that the protocol asks for (the receiver waits for the
 * SYNC of every channel), and no channel waits for another.
 *
 * A job leaves the active list when its last page is taken (or all channels
 * have emitted its SYNC), and is done when all that was taken is accounted for,
 * which channels do after the packet is in the ring.
 */
#include <linux/bitmap.h>
#include <linux/bvec.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "arena.h"
#include "block.h"
#include "channel.h"
#include "event.h"
#include "job.h"
#include "large.h"
#include "session.h"
#include "trace.h"

/* Input is copied in parts, between which others and signals get their turn. */
#define MZP_COPY_BYTES	0x100000ul
#define MZP_COPY_RANGES	1024

static void mzp_job_free(struct kref *ref)
{
	struct mzp_job *job = container_of(ref, struct mzp_job, ref);
	unsigned int i;

	for (i = 0; i < job->nr_sync; i++) {
		if (job->sync[i].bv_page)
			put_page(job->sync[i].bv_page);
	}
	kvfree(job->sync);
	kvfree(job->cursor.bitmap);
	kvfree(job->cursor.span);
	kvfree(job->zero_bitmap);
	if (job->block)
		mzp_block_put(job->block);
	mzp_round_put(job->round);
	kfree(job);
}

/**
 * mzp_job_put - drop a reference
 * @job: the job
 *
 * Context: may sleep.
 */
void mzp_job_put(struct mzp_job *job)
{
	kref_put(&job->ref, mzp_job_free);
}

/*
 * A job that is not known yet. Memory for its place among the jobs is had now,
 * not under the lock, on which workers wait.
 */
static struct mzp_job *mzp_job_new(struct mzp_session *session)
{
	struct mzp_job *job = kzalloc(sizeof(*job), GFP_KERNEL_ACCOUNT);

	if (!job)
		return NULL;
	kref_init(&job->ref);
	INIT_LIST_HEAD(&job->node);
	job->id = atomic64_inc_return(&session->last_job);
	if (xa_reserve(&session->jobs, job->id, GFP_KERNEL_ACCOUNT)) {
		kfree(job);
		return NULL;
	}
	return job;
}

/* Forget a job that did not get to be known. */
static void mzp_job_discard(struct mzp_session *session, struct mzp_job *job)
{
	xa_release(&session->jobs, job->id);
	mzp_job_put(job);
}

/* Pages that did not get as far as to be accounted for. */
static void mzp_job_count_lost(struct mzp_session *session, struct mzp_job *job)
{
	struct mzp_counts lost = { .lost = job->submitted - mzp_counts_total(&job->counts) };

	mzp_counts_add(&job->round->counts, &lost);
	mzp_counts_add(&session->counts, &lost);
}

static void mzp_job_finish(struct mzp_session *session, struct mzp_job *job)
{
	lockdep_assert_held(&session->lock);
	mzp_job_count_lost(session, job);
	list_del_init(&job->node);
	WRITE_ONCE(job->done, true);
	WRITE_ONCE(session->unfinished, session->unfinished - 1);
	if (job->block)
		job->block->unfinished--;
	wake_up_all(&session->done);
}

/* Take note of a change: leave the active list, be done. */
static void mzp_job_settle(struct mzp_session *session, struct mzp_job *job)
{
	lockdep_assert_held(&session->lock);
	if (job->done || !mzp_cursor_done(&job->cursor))
		return;
	list_del_init(&job->node);
	if (mzp_counts_total(&job->counts) == job->taken)
		mzp_job_finish(session, job);
}

/**
 * mzp_job_next - find what a channel has to do next
 * @session: the session
 * @epoch: SYNC packets that the channel has emitted so far
 * @job: set to the job to take pages of, or whose SYNC packet to emit; a
 *	reference, which is the caller's
 *
 * Context: the channel's producer; takes the session lock.
 * Return: what to do; with MZP_NEXT_IDLE, @job is not set.
 */
enum mzp_next mzp_job_next(struct mzp_session *session, u32 epoch, struct mzp_job **job)
{
	enum mzp_next next = MZP_NEXT_IDLE;
	struct mzp_job *it;

	mutex_lock(&session->lock);
	list_for_each_entry(it, &session->active, node) {
		if (it->epoch != epoch)
			continue;
		kref_get(&it->ref);
		*job = it;
		next = it->block ? MZP_NEXT_PAGES : MZP_NEXT_SYNC;
		break;
	}
	mutex_unlock(&session->lock);
	return next;
}

/**
 * mzp_job_take - take pages of a job to a channel
 * @session: the session
 * @job: the job
 * @page: where to put their numbers in the block
 * @max: how many at most
 *
 * Context: the channel's producer, which owes mzp_job_account() what becomes
 * of them; takes the session lock.
 * Return: how many; 0: the job has none left.
 */
unsigned int mzp_job_take(struct mzp_session *session, struct mzp_job *job, u64 *page,
			  unsigned int max)
{
	unsigned int nr;

	mutex_lock(&session->lock);
	nr = mzp_cursor_take(&job->cursor, page, max);
	job->taken += nr;
	mzp_job_settle(session, job);
	mutex_unlock(&session->lock);
	return nr;
}

/**
 * mzp_job_skip - take all pages of a job up to a point at once
 * @session: the session
 * @job: the job
 * @to: where to go on; at most the end of the job's window
 *
 * Pages that other channels have taken are not among them.
 *
 * Context: as mzp_job_take(); the caller knows what becomes of all pages behind
 * those that it took before.
 * Return: how many pages were taken thereby.
 */
u64 mzp_job_skip(struct mzp_session *session, struct mzp_job *job, u64 to)
{
	u64 nr;

	mutex_lock(&session->lock);
	nr = mzp_cursor_skip(&job->cursor, to);
	job->taken += nr;
	mzp_job_settle(session, job);
	mutex_unlock(&session->lock);
	return nr;
}

/**
 * mzp_job_account - tell what became of pages that were taken
 * @session: the session
 * @job: the job
 * @counts: of pages that were not accounted for before; those that were sent
 *	are in the ring already
 *
 * Context: the channel's producer; takes the session lock.
 */
void mzp_job_account(struct mzp_session *session, struct mzp_job *job,
		     const struct mzp_counts *counts)
{
	mutex_lock(&session->lock);
	if (!job->done) {
		mzp_counts_add(&job->counts, counts);
		mzp_counts_add(&job->round->counts, counts);
		mzp_counts_add(&session->counts, counts);
		mzp_job_settle(session, job);
	}
	mutex_unlock(&session->lock);
}

/**
 * mzp_job_synced - tell that a channel has emitted a SYNC packet
 * @session: the session
 * @job: the SYNC
 *
 * Context: the channel's producer; takes the session lock.
 */
void mzp_job_synced(struct mzp_session *session, struct mzp_job *job)
{
	mutex_lock(&session->lock);
	if (!job->done && !--job->syncs_left) {
		mzp_job_finish(session, job);
		session->syncs++;
		mzp_event_synced(session, job->round);
	}
	mutex_unlock(&session->lock);
}

/**
 * mzp_job_fail - end a job that cannot go on
 * @session: the session
 * @job: the job
 * @error: negative errno
 * @page: the page that could not be sent
 *
 * Channels take no more pages of it; what they took before goes out.
 *
 * Context: the channel's producer, which still owes mzp_job_account(); takes
 * the session lock.
 */
void mzp_job_fail(struct mzp_session *session, struct mzp_job *job, int error, u64 page)
{
	mutex_lock(&session->lock);
	if (!job->error) {
		job->error = -error;
		job->error_page = page;
	}
	mzp_session_note_error(session, error, job->block, page);
	session->incomplete = true;
	mzp_cursor_end(&job->cursor);
	mutex_unlock(&session->lock);
}

/**
 * mzp_jobs_abort - end all jobs that are not done
 * @session: the session
 * @error: negative errno
 *
 * Channels may still hold references; what they account for later is
 * ignored.
 *
 * Context: the session lock is held.
 */
void mzp_jobs_abort(struct mzp_session *session, int error)
{
	struct mzp_job *job;
	unsigned long id;

	lockdep_assert_held(&session->lock);
	xa_for_each(&session->jobs, id, job) {
		if (job->done)
			continue;
		job->error = job->error ?: -error;
		mzp_cursor_end(&job->cursor);
		mzp_job_finish(session, job);
	}
}

/**
 * mzp_jobs_free - forget all jobs of a session that nobody uses any more
 * @session: the session
 *
 * Context: may sleep.
 */
void mzp_jobs_free(struct mzp_session *session)
{
	struct mzp_job *job;
	unsigned long id;

	xa_for_each(&session->jobs, id, job)
		mzp_job_put(job);
	xa_destroy(&session->jobs);
}

/*
 * A SEND is counted in the session's round, which a SYNC ends: that one has
 * brought the next.
 */
static void mzp_job_join_round(struct mzp_session *session, struct mzp_job *job)
{
	struct mzp_round *round = session->round;

	if (!round->start)
		round->start = ktime_get_ns();
	if (job->block) {
		job->round = mzp_round_get(round);
		round->submitted += job->submitted;
		session->submitted += job->submitted;
	} else {
		round->number = session->epoch + 1;
		swap(session->round, job->round);
		trace_multifd_send_sync_main(session->id, round->number, round->submitted);
	}
}

/* Make a job known, and the channels start on it. Its place is reserved. */
static int mzp_job_start(struct mzp_session *session, struct mzp_job *job)
{
	lockdep_assert_held(&session->lock);
	if (session->nr_jobs == MZP_MAX_JOBS)
		return -EAGAIN;
	xa_store(&session->jobs, job->id, job, GFP_NOWAIT);
	session->nr_jobs++;
	session->job_memory += job->memory;
	WRITE_ONCE(session->unfinished, session->unfinished + 1);
	job->epoch = session->epoch;
	mzp_job_join_round(session, job);
	if (job->block) {
		job->block->unfinished++;
		if (!job->submitted) {
			mzp_job_finish(session, job);
			return 0;
		}
	} else {
		session->epoch++;
	}
	list_add_tail(&job->node, &session->active);
	mzp_session_kick(session);
	return 0;
}

static int mzp_send_check(const struct mzp_session *session, const struct mzp_send *arg)
{
	u64 end;

	if (arg->flags & ~(MZP_SEND_FRESH | MZP_SEND_ZERO_BITMAP) || arg->__reserved ||
	    arg->format > MZP_SEND_RANGES)
		return -EOPNOTSUPP;
	if (arg->flags & MZP_SEND_ZERO_BITMAP && session->detection == MZP_DETECTION_NONE)
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

static unsigned long *mzp_bitmap_alloc(u64 bits)
{
	return mzp_large_alloc(BITS_TO_LONGS(bits), sizeof(long), __GFP_ZERO);
}

static int mzp_send_copy_bitmap(struct mzp_job *job, const struct mzp_send *arg)
{
	const char __user *user = u64_to_user_ptr(arg->input);
	size_t size = BITS_TO_LONGS(arg->page_count) * sizeof(long), done, part;
	unsigned long *bitmap = mzp_bitmap_alloc(arg->page_count);

	job->cursor.bitmap = bitmap;
	if (!bitmap)
		return -ENOMEM;
	job->memory += size;
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
	job->cursor.span = mzp_large_alloc(arg->nr_ranges, sizeof(*job->cursor.span),
					   __GFP_ZERO);
	if (!job->cursor.span)
		return -ENOMEM;
	job->memory += arg->nr_ranges * sizeof(*job->cursor.span);
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

/* All of a SEND that can be done without knowing the block. */
static int mzp_send_prepare(struct mzp_session *session, struct mzp_job *job,
			    const struct mzp_send *arg)
{
	int err;

	job->fresh = arg->flags & MZP_SEND_FRESH;
	job->window.first = arg->first_page;
	job->window.count = arg->page_count;
	job->cursor.window = job->window;
	job->cursor.next = job->window.first;
	err = mzp_send_copy_input(job, arg);
	if (err)
		return err;
	if (arg->flags & MZP_SEND_ZERO_BITMAP || session->detection == MZP_DETECTION_LEGACY) {
		job->zero_bitmap = mzp_bitmap_alloc(arg->page_count);
		if (!job->zero_bitmap)
			return -ENOMEM;
		job->memory += BITS_TO_LONGS(arg->page_count) * sizeof(long);
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
	block = mzp_session_block(session, arg->block_id);
	if (!block) {
		err = -ENOENT;
	} else if (arg->first_page + arg->page_count > block->pages) {
		err = -ERANGE;
	} else {
		kref_get(&block->ref);
		job->block = block;
	}
	mutex_unlock(&session->lock);
	return err;
}

static int mzp_send_start(struct mzp_session *session, struct mzp_job *job)
{
	int err;

	mutex_lock(&session->lock);
	err = mzp_session_usable(session);
	/* It may have been removed meanwhile. */
	if (!err && mzp_session_block(session, job->block->id) != job->block)
		err = -ENOENT;
	if (!err)
		err = mzp_job_start(session, job);
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
		arg->job_id = job->id;
		arg->pages = job->submitted;
		err = mzp_cmd_reply(cmd);
	}
	if (!err)
		err = mzp_send_start(session, job);
	if (err)
		mzp_job_discard(session, job);
	return err;
}

/*
 * The headers are allocated here, where a failure can be reported, so that a
 * SYNC once handed over cannot fail.
 */
static int mzp_sync_prepare(struct mzp_session *session, struct mzp_job *job)
{
	struct mzp_arena arena = { };
	unsigned int i;

	job->round = mzp_round_new();
	job->sync = kvcalloc(session->nr_channels, sizeof(*job->sync), GFP_KERNEL_ACCOUNT);
	if (!job->round || !job->sync)
		return -ENOMEM;
	job->nr_sync = session->nr_channels;
	job->syncs_left = session->nr_channels;
	for (i = 0; i < job->nr_sync; i++) {
		if (mzp_arena_reserve(&arena, 1, GFP_KERNEL))
			break;
		mzp_arena_take(&arena, sizeof(struct mzp_wire_packet), &job->sync[i]);
	}
	mzp_arena_drop(&arena);
	job->memory += job->nr_sync * (sizeof(*job->sync) + sizeof(struct mzp_wire_packet));
	return i == job->nr_sync ? 0 : -ENOMEM;
}

/**
 * mzp_ioctl_sync - MZP_IOC_SYNC
 * @cmd: the command, on a session that is in use
 *
 * Context: process; takes the session lock.
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_sync(struct mzp_cmd *cmd)
{
	struct mzp_session *session = cmd->session;
	struct mzp_sync *arg = cmd->arg;
	struct mzp_job *job;
	int err;

	if (arg->flags)
		return -EOPNOTSUPP;
	job = mzp_job_new(session);
	if (!job)
		return -ENOMEM;
	err = mzp_sync_prepare(session, job);
	if (!err) {
		arg->job_id = job->id;
		err = mzp_cmd_reply(cmd);
	}
	if (!err) {
		mutex_lock(&session->lock);
		err = mzp_session_usable(session);
		if (!err)
			err = mzp_job_start(session, job);
		mutex_unlock(&session->lock);
	}
	if (err)
		mzp_job_discard(session, job);
	return err;
}

/* Whether WAIT's caller can go on; NULL stands for all jobs. */
static bool mzp_wait_over(const struct mzp_session *session, const struct mzp_job *job)
{
	return job ? READ_ONCE(job->done) : !READ_ONCE(session->unfinished);
}

static int mzp_wait_sleep(struct mzp_session *session, const struct mzp_job *job,
			  s64 timeout_ns)
{
	int err;

	if (timeout_ns < 0)
		err = wait_event_interruptible(session->done, mzp_wait_over(session, job));
	else
		err = wait_event_interruptible_hrtimeout(session->done,
							 mzp_wait_over(session, job),
							 ns_to_ktime(timeout_ns));
	if (err == -ETIME)
		return -ETIMEDOUT;
	return err ? -EINTR : 0;
}

static void mzp_wait_report(struct mzp_wait *arg, const struct mzp_job *job)
{
	if (job->error && !arg->error) {
		arg->error = job->error;
		if (job->block) {
			arg->error_block = job->block->id;
			arg->error_offset = job->error_page << PAGE_SHIFT;
		}
	}
	arg->submitted += job->submitted;
	arg->normal += job->counts.normal;
	arg->zero += job->counts.zero;
	arg->absent += job->counts.absent;
}

/* Forget a job that is done; false if another caller was faster. */
static bool mzp_wait_fetch(struct mzp_session *session, struct mzp_job *job)
{
	lockdep_assert_held(&session->lock);
	if (xa_load(&session->jobs, job->id) != job || WARN_ON_ONCE(!job->done))
		return false;
	xa_erase(&session->jobs, job->id);
	session->nr_jobs--;
	session->job_memory -= job->memory;
	mzp_job_put(job);
	return true;
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
	waited = mzp_wait_sleep(session, job, arg->timeout_ns);
	if (waited && waited != -ETIMEDOUT)
		return waited;

	mutex_lock(&session->lock);
	mzp_wait_report(arg, job);
	mutex_unlock(&session->lock);
	err = waited ? 0 : mzp_wait_bitmap(arg, job);
	err = err ?: mzp_cmd_reply(cmd) ?: waited;
	if (err)
		return err;

	mutex_lock(&session->lock);
	err = mzp_wait_fetch(session, job) ? 0 : -ENOENT;
	mutex_unlock(&session->lock);
	return err;
}

static int mzp_wait_one(struct mzp_cmd *cmd)
{
	struct mzp_session *session = cmd->session;
	struct mzp_wait *arg = cmd->arg;
	struct mzp_job *job;
	int err;

	mutex_lock(&session->lock);
	job = xa_load(&session->jobs, arg->job_id);
	if (job)
		kref_get(&job->ref);
	mutex_unlock(&session->lock);
	if (!job)
		return -ENOENT;
	err = mzp_wait_job(cmd, job);
	mzp_job_put(job);
	return err;
}

/* Add up what all jobs have come to, whether they are done or not. */
static void mzp_wait_sum_so_far(struct mzp_session *session, struct mzp_wait *arg)
{
	struct mzp_job *job;
	unsigned long id;

	mutex_lock(&session->lock);
	xa_for_each(&session->jobs, id, job)
		mzp_wait_report(arg, job);
	mutex_unlock(&session->lock);
}

/* Add up what those that are done came to. Return: what they are marked with. */
static u64 mzp_wait_sum(struct mzp_session *session, struct mzp_wait *arg)
{
	struct mzp_job *job;
	unsigned long id;
	u64 number;

	mutex_lock(&session->lock);
	number = ++session->waits;
	xa_for_each(&session->jobs, id, job) {
		/* Others were handed over after we woke up. */
		if (!job->done)
			continue;
		mzp_wait_report(arg, job);
		job->told = number;
	}
	mutex_unlock(&session->lock);
	return number;
}

/*
 * Forget what this WAIT has told, and nothing else. While the answer was on its way,
 * for as long as the caller liked, jobs may have become done, and some with a lower
 * id than others may have come only then: an id is taken before the input is read.
 * What another WAIT has told since is for that one to forget.
 */
static void mzp_wait_fetch_told(struct mzp_session *session, u64 number)
{
	struct mzp_job *job;
	unsigned long id;

	mutex_lock(&session->lock);
	xa_for_each(&session->jobs, id, job)
		if (job->told == number)
			mzp_wait_fetch(session, job);
	mutex_unlock(&session->lock);
}

static int mzp_wait_all(struct mzp_cmd *cmd)
{
	struct mzp_session *session = cmd->session;
	struct mzp_wait *arg = cmd->arg;
	int err, waited;
	u64 number;

	waited = mzp_wait_sleep(session, NULL, arg->timeout_ns);
	if (waited == -ETIMEDOUT) {
		mzp_wait_sum_so_far(session, arg);
		return mzp_cmd_reply(cmd) ?: waited;
	}
	if (waited)
		return waited;
	number = mzp_wait_sum(session, arg);
	err = mzp_cmd_reply(cmd);
	if (err)
		return err;
	mzp_wait_fetch_told(session, number);
	return 0;
}

static int mzp_wait_check(const struct mzp_wait *arg)
{
	if (arg->flags || arg->__reserved || arg->__reserved2)
		return -EOPNOTSUPP;
	if (arg->zero_bitmap && (!arg->job_id || arg->zero_bitmap_pages % BITS_PER_LONG))
		return -EINVAL;
	return 0;
}

/**
 * mzp_ioctl_wait - MZP_IOC_WAIT
 * @cmd: the command, on a session that was set up
 *
 * Context: process; sleeps as long as the caller asked for, interruptibly;
 * takes the session lock.
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

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The queue that channels take pages from: a session's rounds, and in each of them
 * the SENDs with pages left, in the order in which they came.
 *
 * A channel is in one round. It takes pages of that round's first job. When no job
 * has pages left to take, and the round's SYNC has come, it emits that, and is in
 * the next round. So on each channel, by itself:
 *
 *  - a SYNC goes out behind all that this channel took of the jobs before it;
 *  - pages of jobs behind a SYNC go out after it.
 *
 * That is all the order that the protocol asks for (the receiver waits for the
 * SYNC of every channel), and no channel waits for another.
 *
 * What INJECT hands over is in a queue of its channel's own, in the order of rounds, and
 * goes first in its round.
 *
 * A job leaves its round when its last page is taken, and is done when all that
 * was taken is accounted for, which channels do after the packet is in the ring.
 *
 * All of it is under the session's queue lock, a spinlock: workers take it, and
 * whoever holds it cannot be preempted, so nobody can keep them waiting. No section
 * walks jobs, and a step over a bitmap or ranges is bounded (cursor.c).
 *
 * When a session fails, all its jobs count as done, as they are. What channels
 * account for afterwards is ignored, so that what a WAIT has told stays true.
 */
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "block.h"
#include "channel.h"
#include "event.h"
#include "job.h"
#include "queue.h"
#include "session.h"
#include "trace.h"

/* All sums that a job's pages are in, but for that of those with a result. */
static void mzp_queue_count(struct mzp_job *job, const struct mzp_counts *counts)
{
	struct mzp_session *session = job->session;

	mzp_counts_add(&job->counts, counts);
	if (job->round)
		mzp_counts_add(&job->round->counts, counts);
	mzp_counts_add(&session->all.counts, counts);
	WRITE_ONCE(session->pending.pages,
		   session->pending.pages - mzp_counts_total(counts));
}

static void mzp_queue_finish(struct mzp_session *session, struct mzp_job *job)
{
	struct mzp_counts lost = { .lost = job->submitted - mzp_counts_total(&job->counts) };

	lockdep_assert_held(&session->queue_lock);
	if (!job->no_result)
		mzp_job_count(job, &session->untold, -1);
	mzp_queue_count(job, &lost);
	if (job->no_result) {
		xa_erase(&session->jobs, job->id);
		session->nr_jobs--;
		list_del_init(&job->node);
	} else {
		mzp_job_count(job, &session->told, 1);
		job->order = session->over++;
		list_move_tail(&job->node, job->error ? &session->broken : &session->finished);
	}
	WRITE_ONCE(session->unfinished, session->unfinished - 1);
	if (job->block)
		WRITE_ONCE(job->block->unfinished, job->block->unfinished - 1);
	/* Whoever sees this reads the result without the lock. */
	smp_store_release(&job->done, true);
}

/**
 * struct mzp_settled - what is left to do without the lock
 * @done: the job is done: tell who waits for it
 * @over: so is the session, one way or the other
 * @input: nobody needs any more what its pages were given by; free it
 */
struct mzp_settled {
	bool done;
	bool over;
	void *input;
};

static struct mzp_settled mzp_queue_settle_done(struct mzp_job *job)
{
	mzp_queue_finish(job->session, job);
	return (struct mzp_settled) { .done = true, .over = mzp_session_finish(job->session) };
}

/* Take note of a change: leave the round, be done. */
static struct mzp_settled mzp_queue_settle(struct mzp_job *job)
{
	struct mzp_settled settled = { };
	void *input;

	if (job->done || !mzp_cursor_done(&job->cursor))
		return settled;
	list_del_init(&job->node);
	input = mzp_cursor_give_input(&job->cursor);
	if (mzp_counts_total(&job->counts) == job->taken)
		settled = mzp_queue_settle_done(job);
	settled.input = input;
	return settled;
}

/* The caller has a reference on the job. */
static void mzp_queue_settled(struct mzp_job *job, struct mzp_settled settled)
{
	struct mzp_session *session = job->session;

	if (settled.input)
		mzp_job_free_input(job, settled.input);
	if (!settled.done)
		return;
	wake_up_all(&session->done);
	if (settled.over)
		mzp_session_finished(session);
	if (job->no_result)
		mzp_job_put(job);
}

static enum mzp_next mzp_queue_pick(struct mzp_channel *channel, struct mzp_job **job)
{
	struct mzp_round *round = channel->round;

	*job = list_first_entry_or_null(&channel->injects, struct mzp_job, node);
	if (*job && (*job)->round == round)
		return MZP_NEXT_INJECT;
	*job = list_first_entry_or_null(&round->jobs, struct mzp_job, node);
	if (*job)
		return MZP_NEXT_PAGES;
	*job = round->sync;
	return *job ? MZP_NEXT_SYNC : MZP_NEXT_IDLE;
}

/**
 * mzp_queue_next - find what a channel has to do next
 * @channel: run by the caller
 * @job: set to the job to take pages of, or whose packet or bytes to emit; a
 *	reference, which is the caller's
 *
 * Context: takes the queue lock.
 * Return: what to do; with MZP_NEXT_IDLE, @job is NULL.
 */
enum mzp_next mzp_queue_next(struct mzp_channel *channel, struct mzp_job **job)
{
	struct mzp_session *session = channel->session;
	enum mzp_next next;

	spin_lock(&session->queue_lock);
	next = mzp_queue_pick(channel, job);
	if (*job)
		kref_get(&(*job)->ref);
	spin_unlock(&session->queue_lock);
	return next;
}

/**
 * mzp_queue_take - take pages of a job to a channel
 * @job: the job
 * @page: where to put their numbers in the block
 * @max: how many at most
 * @over: set to whether the job has none left
 *
 * Context: the channel's producer, which owes mzp_queue_account() what becomes
 * of them; takes the queue lock.
 * Return: how many; 0 without @over: it was a long way to the next ones, call
 * again.
 */
unsigned int mzp_queue_take(struct mzp_job *job, u64 *page, unsigned int max, bool *over)
{
	struct mzp_session *session = job->session;
	struct mzp_settled settled;
	unsigned int nr;

	spin_lock(&session->queue_lock);
	nr = mzp_cursor_take(&job->cursor, page, max);
	job->taken += nr;
	*over = mzp_cursor_done(&job->cursor);
	settled = mzp_queue_settle(job);
	spin_unlock(&session->queue_lock);
	mzp_queue_settled(job, settled);
	return nr;
}

/**
 * mzp_queue_skip - take all pages of a job up to a point at once
 * @job: the job
 * @to: where to go on; at most the end of the job's window
 *
 * Pages that other channels have taken are not among them. It may stop early.
 *
 * Context: as mzp_queue_take(); the caller knows what becomes of all pages behind
 * those that it took before.
 * Return: how many pages were taken thereby.
 */
u64 mzp_queue_skip(struct mzp_job *job, u64 to)
{
	struct mzp_session *session = job->session;
	struct mzp_settled settled;
	u64 nr;

	spin_lock(&session->queue_lock);
	nr = mzp_cursor_skip(&job->cursor, to);
	job->taken += nr;
	settled = mzp_queue_settle(job);
	spin_unlock(&session->queue_lock);
	mzp_queue_settled(job, settled);
	return nr;
}

/**
 * mzp_queue_account - tell what became of pages that were taken
 * @job: the job
 * @counts: of pages that were not accounted for before; those that were sent
 *	are in the ring already
 *
 * Context: the channel's producer; takes the queue lock.
 */
void mzp_queue_account(struct mzp_job *job, const struct mzp_counts *counts)
{
	struct mzp_session *session = job->session;
	struct mzp_settled settled;

	spin_lock(&session->queue_lock);
	if (!mzp_session_failed(session)) {
		mzp_queue_count(job, counts);
		if (!job->no_result)
			mzp_counts_add(&session->untold.counts, counts);
	}
	settled = mzp_queue_settle(job);
	spin_unlock(&session->queue_lock);
	mzp_pending_look(&session->pending);
	mzp_queue_settled(job, settled);
}

/*
 * The VMM fetched its log of dirty pages when it began with this round, and before that
 * when it began with the round before: what it handed over was written in between.
 */
static void mzp_queue_round_done(struct mzp_session *session, const struct mzp_round *round)
{
	lockdep_assert_held(&session->queue_lock);
	if (session->rounds++) {
		session->dirty_pages = round->submitted;
		session->dirty_ns = round->start - session->round_start;
	}
	session->round_start = round->start;
	mzp_event_synced(session, round);
}

/**
 * mzp_queue_synced - tell that a channel has emitted a SYNC packet
 * @channel: run by the caller; it is in the next round afterwards
 * @job: the SYNC
 *
 * Context: takes the queue lock.
 */
void mzp_queue_synced(struct mzp_channel *channel, struct mzp_job *job)
{
	struct mzp_session *session = channel->session;
	struct mzp_round *round = channel->round;
	struct mzp_settled settled = { };

	spin_lock(&session->queue_lock);
	channel->round = mzp_round_get(round->next);
	if (!--job->syncs_left && !mzp_session_failed(session)) {
		session->syncs++;
		if (!job->no_round)
			mzp_queue_round_done(session, round);
		settled = mzp_queue_settle_done(job);
	}
	spin_unlock(&session->queue_lock);
	mzp_queue_settled(job, settled);
	mzp_round_put(round);
}

/**
 * mzp_queue_injected - tell that all bytes of an INJECT are in the ring
 * @job: the INJECT
 *
 * Context: whoever runs its channel; takes the queue lock.
 */
void mzp_queue_injected(struct mzp_job *job)
{
	struct mzp_session *session = job->session;
	struct mzp_settled settled = { };

	spin_lock(&session->queue_lock);
	if (!mzp_session_failed(session))
		settled = mzp_queue_settle_done(job);
	spin_unlock(&session->queue_lock);
	mzp_queue_settled(job, settled);
}

/**
 * mzp_queue_fail - end a job that cannot go on
 * @job: the job
 * @error: negative errno
 * @page: the page that could not be sent
 *
 * Channels take no more pages of it; what they took before goes out.
 *
 * Context: the channel's producer, which still owes mzp_queue_account(); takes
 * the queue lock.
 */
void mzp_queue_fail(struct mzp_job *job, int error, u64 page)
{
	struct mzp_session *session = job->session;

	spin_lock(&session->queue_lock);
	if (!job->error) {
		job->error = -error;
		job->error_page = page;
	}
	mzp_session_note_error(session, error, job->block, page);
	session->incomplete = true;
	mzp_cursor_end(&job->cursor);
	spin_unlock(&session->queue_lock);
}

/* A SYNC ends the round; what it has brought is the next one. */
static void mzp_queue_add_sync(struct mzp_session *session, struct mzp_job *job)
{
	struct mzp_round *round = session->round, *next = job->round;

	job->round = NULL;
	next->number = round->number + !job->no_round;
	kref_get(&job->ref);
	atomic64_add(session->nr_channels * sizeof(struct mzp_wire_packet),
		     &session->pending.bytes);
	round->sync = job;
	round->next = mzp_round_get(next);
	session->round = next;
	trace_multifd_send_sync_main(session->id, round->number, round->submitted);
	/* Channels are in it, so this is not the last reference. */
	mzp_round_put(round);
}

static void mzp_queue_add_send(struct mzp_session *session, struct mzp_job *job)
{
	struct mzp_round *round = session->round;

	job->round = mzp_round_get(round);
	WRITE_ONCE(job->block->unfinished, job->block->unfinished + 1);
	round->submitted += job->submitted;
	session->all.pages += job->submitted;
	WRITE_ONCE(session->pending.pages, session->pending.pages + job->submitted);
	if (!job->no_result)
		session->untold.pages += job->submitted;
	list_add_tail(&job->node, &round->jobs);
	/* It is done if it has no pages; its input is gone then. */
	mzp_queue_settle(job);
}

static void mzp_queue_add_inject(struct mzp_session *session, struct mzp_job *job)
{
	job->round = mzp_round_get(session->round);
	list_add_tail(&job->node, &job->channel->injects);
	atomic64_add(job->length, &session->pending.bytes);
}

/**
 * mzp_queue_add - have channels start on a job
 * @job: the job; new
 *
 * Context: the queue lock is held; the session is usable.
 */
void mzp_queue_add(struct mzp_job *job)
{
	struct mzp_session *session = job->session;

	lockdep_assert_held(&session->queue_lock);
	session->nr_jobs++;
	WRITE_ONCE(session->unfinished, session->unfinished + 1);
	if (!session->round->start)
		session->round->start = ktime_get_ns();
	switch (job->kind) {
	case MZP_JOB_SEND:
		mzp_queue_add_send(session, job);
		break;
	case MZP_JOB_SYNC:
		mzp_queue_add_sync(session, job);
		break;
	case MZP_JOB_INJECT:
		mzp_queue_add_inject(session, job);
		break;
	}
}

/**
 * mzp_queue_done - whether nothing more will happen to a job
 * @job: the job
 *
 * Context: any. If so, its results can be read without a lock.
 */
bool mzp_queue_done(const struct mzp_job *job)
{
	/* Pairs with mzp_queue_finish(). */
	return smp_load_acquire(&job->done) || mzp_session_phase(job->session) == MZP_FAILED;
}

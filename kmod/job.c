// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jobs: what SEND, SYNC and INJECT hand over, from their making until WAIT has fetched
 * the result, or until they are done if they have none. In between they are in a queue
 * (queue.c).
 *
 * What they hold is paid for by the memory cgroup of who called SEND, and counted
 * for each user, since not everybody is in a memory cgroup, and what the kernel holds
 * for a process is nothing that the OOM killer looks at.
 */
#include <linux/bvec.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "block.h"
#include "channel.h"
#include "job.h"
#include "large.h"
#include "queue.h"
#include "session.h"
#include "sessions.h"

static void mzp_job_uncharge(struct mzp_job *job, size_t bytes)
{
	atomic_long_sub(bytes, &job->session->job_memory);
	mzp_account_uncharge(job->session->account, bytes);
}

/**
 * mzp_job_charge - count memory that a job takes
 * @job: the job
 * @part: its @input or @memory, which grows
 * @bytes: by how much
 *
 * Context: any; the job is not known yet.
 * Return: 0, or -ENOMEM: the user's jobs hold too much already.
 */
int mzp_job_charge(struct mzp_job *job, size_t *part, size_t bytes)
{
	int err = mzp_account_charge(job->session->account, bytes);

	if (err)
		return err;
	atomic_long_add(bytes, &job->session->job_memory);
	*part += bytes;
	return 0;
}

/**
 * mzp_job_alloc - have memory for a job, and count it
 * @job: the job, which is not known yet
 * @part: as for mzp_job_charge()
 * @nr: elements
 * @size: bytes of each
 *
 * Context: may sleep; memory is charged to the current memory cgroup.
 * Return: zeroed memory, which kvfree() frees, or NULL.
 */
void *mzp_job_alloc(struct mzp_job *job, size_t *part, size_t nr, size_t size)
{
	void *at;

	if (nr > MZP_MAX_JOB_MEMORY / size || mzp_job_charge(job, part, nr * size))
		return NULL;
	at = mzp_large_alloc(nr, size, __GFP_ZERO);
	if (!at) {
		mzp_job_uncharge(job, nr * size);
		*part -= nr * size;
	}
	return at;
}

/**
 * mzp_job_free_input - free what a job's pages were given by
 * @job: the job
 * @input: of mzp_cursor_give_input()
 *
 * Context: may sleep.
 */
void mzp_job_free_input(struct mzp_job *job, void *input)
{
	kvfree(input);
	mzp_job_uncharge(job, job->input);
}

static void mzp_job_free(struct kref *ref)
{
	struct mzp_job *job = container_of(ref, struct mzp_job, ref);
	void *input;
	unsigned int i;

	for (i = 0; i < job->nr_own; i++) {
		if (job->own[i].bv_page)
			put_page(job->own[i].bv_page);
	}
	mzp_cursor_end(&job->cursor);
	input = mzp_cursor_give_input(&job->cursor);
	if (input)
		mzp_job_free_input(job, input);
	kvfree(job->own);
	kvfree(job->zero_bitmap);
	mzp_job_uncharge(job, job->memory);
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

/**
 * mzp_job_new - make a job that is not known yet
 * @session: whose
 *
 * Memory for its place among the jobs is had now, not under a lock.
 *
 * Context: may sleep; memory is charged to the current memory cgroup.
 * Return: the job, or NULL.
 */
struct mzp_job *mzp_job_new(struct mzp_session *session)
{
	struct mzp_job *job = kzalloc(sizeof(*job), GFP_KERNEL_ACCOUNT);

	if (!job)
		return NULL;
	kref_init(&job->ref);
	INIT_LIST_HEAD(&job->node);
	job->session = session;
	job->id = atomic64_inc_return(&session->last_job);
	if (xa_reserve(&session->jobs, job->id, GFP_KERNEL_ACCOUNT)) {
		kfree(job);
		return NULL;
	}
	return job;
}

/**
 * mzp_job_discard - forget a job that did not get to be known
 * @job: the job; the caller's reference is dropped
 *
 * Context: may sleep.
 */
void mzp_job_discard(struct mzp_job *job)
{
	xa_release(&job->session->jobs, job->id);
	mzp_job_put(job);
}

static void mzp_job_kick(struct mzp_session *session, struct mzp_channel *channel)
{
	if (channel)
		mzp_claim_kick(channel);
	else
		mzp_session_kick(session);
}

/**
 * mzp_job_start - make a job known, and have channels start on it
 * @job: the job; the caller's reference is the session's afterwards
 *
 * Context: process; takes the queue lock. Of a SEND, the session lock is held, so that
 * its block stays.
 * Return: 0; -EAGAIN: there are too many; or why the session is over.
 */
int mzp_job_start(struct mzp_job *job)
{
	struct mzp_session *session = job->session;
	struct mzp_channel *channel = job->channel;
	bool done = false, forget = job->no_result;
	int err;

	spin_lock(&session->queue_lock);
	err = mzp_session_usable(session);
	if (!err && session->nr_jobs == MZP_MAX_JOBS)
		err = -EAGAIN;
	if (!err) {
		/* Its place is reserved. */
		xa_store(&session->jobs, job->id, job, GFP_NOWAIT);
		mzp_queue_add(job);
		done = job->done;
	}
	spin_unlock(&session->queue_lock);
	if (err)
		return err;
	if (!done) {
		mzp_job_kick(session, channel);
		return 0;
	}
	wake_up_all(&session->done);
	if (forget)
		mzp_job_put(job);
	return 0;
}

/**
 * mzp_job_count - add a job to a sum, or take it away
 * @job: the job
 * @tally: of its session
 * @sign: 1 or -1
 *
 * Context: the queue lock is held.
 */
void mzp_job_count(const struct mzp_job *job, struct mzp_tally *tally, int sign)
{
	lockdep_assert_held(&job->session->queue_lock);
	tally->pages += sign * (s64)job->submitted;
	tally->counts.normal += sign * (s64)job->counts.normal;
	tally->counts.zero += sign * (s64)job->counts.zero;
	tally->counts.absent += sign * (s64)job->counts.absent;
	tally->counts.lost += sign * (s64)job->counts.lost;
}

/**
 * mzp_job_find - find a job whose result nobody has fetched
 * @session: the session
 * @id: what user space calls it by
 *
 * Context: takes the queue lock.
 * Return: the job, with a reference that is the caller's, or NULL.
 */
struct mzp_job *mzp_job_find(struct mzp_session *session, u64 id)
{
	struct mzp_job *job;

	spin_lock(&session->queue_lock);
	job = xa_load(&session->jobs, id);
	if (job && !job->no_result)
		kref_get(&job->ref);
	else
		job = NULL;
	spin_unlock(&session->queue_lock);
	return job;
}

/**
 * mzp_job_fetch - forget a job that is done
 * @job: the job; the session's reference is dropped
 *
 * Context: may sleep; the caller holds a reference; takes the queue lock.
 * Return: false if another caller was faster.
 */
bool mzp_job_fetch(struct mzp_job *job)
{
	struct mzp_session *session = job->session;
	bool mine;

	spin_lock(&session->queue_lock);
	mine = xa_load(&session->jobs, job->id) == job && !WARN_ON_ONCE(!mzp_queue_done(job));
	if (mine) {
		xa_erase(&session->jobs, job->id);
		list_del_init(&job->node);
		session->nr_jobs--;
		if (!job->no_result)
			mzp_job_count(job, job->done ? &session->told : &session->untold, -1);
		if (!job->done) {
			/* Its session has failed, and whoever still has pages of it lets go. */
			WRITE_ONCE(session->unfinished, session->unfinished - 1);
			/* Pairs with mzp_queue_done(). */
			smp_store_release(&job->done, true);
		}
	}
	spin_unlock(&session->queue_lock);
	if (mine)
		mzp_job_put(job);
	return mine;
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

	xa_for_each(&session->jobs, id, job) {
		mzp_job_put(job);
		cond_resched();
	}
	xa_destroy(&session->jobs);
}

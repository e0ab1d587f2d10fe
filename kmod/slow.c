// SPDX-License-Identifier: GPL-2.0-only
/*
 * The slow lane: a thread of the session's own that waits for what needs time.
 *
 * Workers serve all sessions and wait for nobody. A channel whose next page is
 * not mapped (it is swapped out, on a disk, or a userfaultfd handler has yet to
 * supply it), whose address space is locked, whose memory cgroup has no memory
 * left at the moment, is handed to this thread, which gets what is needed,
 * however long it takes, and queues the channel again: then the worker finds it
 * there. If it has gone again meanwhile, that is repeated, with a pause, so that
 * nothing spins.
 *
 * Channels of a session that may send no more for a while rest here too, besides
 * what is got for others, until the time has come, something else has happened to
 * them, or the session is over.
 *
 * A handler that never answers holds up nobody but its own session. When the
 * session is over, the thread gets a SIGKILL, which ends such a wait; it then
 * only hands channels back.
 *
 * A channel in the queue or in the thread's hands is owned, in the sense of
 * worker.c, so it has no other user, and the session cannot go away.
 */
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "block.h"
#include "channel.h"
#include "fault.h"
#include "session.h"
#include "slow.h"
#include "worker.h"

/**
 * mzp_slow_init - a slow lane without a thread
 * @slow: zeroed memory
 *
 * Context: any.
 */
void mzp_slow_init(struct mzp_slow *slow)
{
	spin_lock_init(&slow->lock);
	INIT_LIST_HEAD(&slow->queue);
	INIT_LIST_HEAD(&slow->resting);
	init_waitqueue_head(&slow->wait);
}

static struct mzp_channel *mzp_slow_pop(struct mzp_slow *slow)
{
	struct mzp_channel *channel;

	spin_lock(&slow->lock);
	channel = list_first_entry_or_null(&slow->queue, struct mzp_channel, node);
	if (channel)
		list_del(&channel->node);
	spin_unlock(&slow->lock);
	return channel;
}

/* Whether a resting channel may have something to do: also SYNCs, which are not limited. */
static bool mzp_slow_rested(struct mzp_session *session, const struct mzp_channel *channel)
{
	return mzp_worker_kicked(channel) || READ_ONCE(session->error) ||
	       READ_ONCE(session->ended) || !mzp_limit_wait(&session->limit);
}

static bool mzp_slow_any_rested(struct mzp_session *session)
{
	const struct mzp_channel *channel;

	list_for_each_entry(channel, &session->slow.resting, node) {
		if (mzp_slow_rested(session, channel))
			return true;
	}
	return false;
}

static void mzp_slow_rouse(struct mzp_session *session)
{
	struct mzp_channel *channel, *next;

	list_for_each_entry_safe(channel, next, &session->slow.resting, node) {
		if (!mzp_slow_rested(session, channel))
			continue;
		list_del(&channel->node);
		mzp_worker_queue(channel);
	}
}

/* Wait for channels that need something, or for when those that rest may go on. */
static void mzp_slow_wait(struct mzp_session *session)
{
	struct mzp_slow *slow = &session->slow;
	u64 until, now;

	if (list_empty(&slow->resting)) {
		/* Idle, not interruptible: a SIGKILL stays pending for good. */
		wait_event_idle(slow->wait,
				!list_empty_careful(&slow->queue) || kthread_should_stop());
		return;
	}
	until = mzp_limit_wait(&session->limit);
	now = ktime_get_ns();
	/* Interruptible, for the SIGKILL; then none will rest any more. */
	if (until > now)
		wait_event_interruptible_hrtimeout(slow->wait,
						   !list_empty_careful(&slow->queue) ||
						   mzp_slow_any_rested(session),
						   ns_to_ktime(until - now));
}

/*
 * Get what the channel needs, but for time. Return: pages that were got, or a
 * negative errno.
 */
static int mzp_slow_get(struct mzp_channel *channel)
{
	const struct mzp_block *block = channel->job->block;
	struct mm_struct *mm = channel->session->mm;
	struct mzp_fetch *fetch = &channel->fetch;

	switch (fetch->need) {
	case MZP_NEED_LOCK:
		return mzp_block_wait(mm);
	case MZP_NEED_PAGE:
		if (mzp_fault())
			return -EIO;
		return mzp_block_fetch(block, mm, fetch->first, min(fetch->nr, MZP_FETCH_PAGES),
				       fetch->page);
	case MZP_NEED_MEMORY:
		return mzp_arena_reserve(&channel->arena, mzp_comp_pages_max(&channel->comp),
					 GFP_KERNEL);
	case MZP_NEED_TIME:
		break;
	}
	return 0;
}

/* Nothing was got for a while, though each time it was worth another look. */
static void mzp_slow_pause(const struct mzp_fetch *fetch)
{
	/* Others may well hold mmap_lock a few times in a row. */
	if (fetch->stalls > (fetch->need == MZP_NEED_LOCK ? 16 : 1))
		schedule_timeout_idle(1);
}

static void mzp_slow_serve(struct mzp_channel *channel)
{
	struct mzp_fetch *fetch = &channel->fetch;
	int got = 0;

	if (fetch->need == MZP_NEED_TIME) {
		list_add_tail(&channel->node, &channel->session->slow.resting);
		return;
	}
	mzp_slow_pause(fetch);
	if (!READ_ONCE(channel->session->error))
		got = mzp_slow_get(channel);
	fetch->got = max(got, 0);
	fetch->error = min(got, 0);
	mzp_worker_queue(channel);
}

static int mzp_slow_fn(void *data)
{
	struct mzp_session *session = data;
	struct mzp_slow *slow = &session->slow;
	struct mzp_channel *channel;

	/* From the kernel only; no user may end a session's waits for good. */
	allow_kernel_signal(SIGKILL);
	set_active_memcg(session->memcg);
	for (;;) {
		mzp_slow_wait(session);
		mzp_slow_rouse(session);
		channel = mzp_slow_pop(slow);
		if (channel)
			mzp_slow_serve(channel);
		else if (kthread_should_stop())
			return 0;
	}
}

/**
 * mzp_slow_start - start the slow lane's thread
 * @session: the session
 *
 * Context: process; sleeps; the session is being set up.
 * Return: 0 or a negative errno.
 */
int mzp_slow_start(struct mzp_session *session)
{
	struct task_struct *task;

	task = kthread_run(mzp_slow_fn, session, "mzp-slow/%llu", session->id);
	if (IS_ERR(task))
		return PTR_ERR(task);
	session->slow.task = task;
	return 0;
}

/**
 * mzp_slow_submit - have the slow lane get what a channel needs
 * @channel: owned by the caller; the slow lane owns it from now on, and a
 *	worker later
 *
 * Context: a worker.
 */
void mzp_slow_submit(struct mzp_channel *channel)
{
	struct mzp_session *session = channel->session;
	struct mzp_slow *slow = &session->slow;

	/* Once it is in the queue, the channel does not keep the session for us. */
	mzp_session_get(session);
	spin_lock(&slow->lock);
	list_add_tail(&channel->node, &slow->queue);
	spin_unlock(&slow->lock);
	wake_up(&slow->wait);
	mzp_session_put(session);
}

/**
 * mzp_slow_wake - have channels that rest looked at again
 * @slow: the slow lane; what is new was written before
 *
 * Context: any.
 */
void mzp_slow_wake(struct mzp_slow *slow)
{
	if (wq_has_sleeper(&slow->wait))
		wake_up(&slow->wait);
}

/**
 * mzp_slow_interrupt - end a wait in the slow lane for good
 * @slow: of a session that is over
 *
 * Context: the session lock is held.
 */
void mzp_slow_interrupt(struct mzp_slow *slow)
{
	if (slow->task)
		send_sig(SIGKILL, slow->task, 1);
}

/**
 * mzp_slow_stop - stop the thread
 * @slow: of a session that nobody uses any more
 *
 * Context: sleeps until the thread is gone, which has nothing to do.
 */
void mzp_slow_stop(struct mzp_slow *slow)
{
	if (slow->task)
		kthread_stop(slow->task);
	slow->task = NULL;
}

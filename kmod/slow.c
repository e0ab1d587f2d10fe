// SPDX-License-Identifier: GPL-2.0-only
/*
 * The slow lane: a thread of the session's own that waits for what needs time.
 *
 * Workers serve all sessions and wait for nobody. A channel whose next page is
 * not mapped (it is swapped out, on a disk, or a userfaultfd handler has yet to
 * supply it), whose address space is locked, or whose memory cgroup has no
 * memory left at the moment, is handed to this thread, which gets what is
 * needed, however long it takes, and queues the channel again: then the worker
 * finds it there. If it has gone again meanwhile, that is repeated, with a
 * pause, so that nothing spins.
 *
 * A handler that never answers holds up nobody but its own session. When the
 * session is over, the thread gets a SIGKILL, which ends such a wait; it then
 * only hands channels back.
 *
 * A channel in the queue or in the thread's hands is owned, in the sense of
 * worker.c, so it has no other user, and the session cannot go away.
 */
#include <linux/kthread.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "block.h"
#include "channel.h"
#include "header.h"
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

static int mzp_slow_reserve(struct mzp_channel *channel)
{
	struct mem_cgroup *memcg = set_active_memcg(channel->session->memcg);
	int err = mzp_header_reserve(&channel->headers, sizeof(struct mzp_wire_packet),
				     GFP_KERNEL);

	set_active_memcg(memcg);
	return err;
}

/* Get what the channel needs. Return: 0 if it can go on, or a negative errno. */
static int mzp_slow_get(struct mzp_channel *channel)
{
	const struct mzp_block *block = channel->job->block;
	const struct mzp_take *take = &channel->take;
	struct mm_struct *mm = channel->session->mm;

	switch (channel->need) {
	case MZP_NEED_LOCK:
		return mzp_block_wait(mm);
	case MZP_NEED_PAGE:
		return mzp_block_fetch(block, mm, take->page[take->pos], mzp_take_run(take));
	case MZP_NEED_HEADER:
		return mzp_slow_reserve(channel);
	}
	return 0;
}

static void mzp_slow_serve(struct mzp_channel *channel)
{
	if (channel->need == MZP_NEED_PAGE && channel->stalls > 1)
		schedule_timeout_idle(1);
	if (!READ_ONCE(channel->session->error) && !channel->slow_error)
		channel->slow_error = mzp_slow_get(channel);
	mzp_worker_queue(channel);
}

static int mzp_slow_fn(void *data)
{
	struct mzp_slow *slow = data;

	allow_signal(SIGKILL);
	for (;;) {
		struct mzp_channel *channel;

		/* Idle, not interruptible: a SIGKILL stays pending for good. */
		set_current_state(TASK_IDLE);
		channel = mzp_slow_pop(slow);
		if (!channel && !kthread_should_stop()) {
			schedule();
			continue;
		}
		__set_current_state(TASK_RUNNING);
		if (!channel)
			return 0;
		mzp_slow_serve(channel);
	}
}

/**
 * mzp_slow_start - start the slow lane's thread
 * @session: the session
 *
 * Context: process; sleeps; the session lock is held.
 * Return: 0 or a negative errno.
 */
int mzp_slow_start(struct mzp_session *session)
{
	struct task_struct *task;

	task = kthread_run(mzp_slow_fn, &session->slow, "mzp-slow/%llu", session->id);
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
	struct mzp_slow *slow = &channel->session->slow;

	spin_lock(&slow->lock);
	list_add_tail(&channel->node, &slow->queue);
	spin_unlock(&slow->lock);
	wake_up_process(slow->task);
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

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who runs a channel, that is, makes its packets: one at a time, a worker or the
 * channel's reader.
 *
 * Workers look ahead: they run a channel while its reader has other things to do.
 * The reader runs it when it needs packets and there are none. It takes the channel
 * out of a worker's queue for that, so that it never waits for a worker that does not
 * get to run, and what a worker cannot have without waiting it gets in its own time.
 *
 * The states and who changes them (enum mzp_claim_state says what they mean):
 *
 *   kick        IDLE, LEFT -> RUNNING    and gives it to a worker at once
 *               IDLE       -> LEFT       if there is none, or if a reader sleeps
 *               RUNNING    -> KICKED
 *   worker      QUEUED     -> RUNNING    under its queue's lock
 *   reader,     QUEUED     -> RUNNING    under that queue's lock, out of it
 *   or the end  IDLE, LEFT -> RUNNING
 *   runner      KICKED     -> RUNNING    before it looks for work
 *               RUNNING    -> IDLE       if there was none
 *               any        -> QUEUED     if there is more, for a worker
 *               any        -> LEFT       if there is more, for the reader
 *
 * Why no two run it: RUNNING is entered from a state in which nobody does, by one
 * compare-and-exchange or under the lock of the one queue that it is in, and only who
 * entered it leaves it (KICKED is RUNNING, to others).
 *
 * Why no kick is lost. Whoever kicks has written what is new before, and a full
 * barrier follows. If it then reads
 *
 *  - IDLE: it changes that, or somebody else just has, and it looks again;
 *  - LEFT or QUEUED: whoever takes the channel up passes through RUNNING, by an
 *    exchange that is a full barrier, and looks for work behind it. That exchange
 *    came after the read, so the look sees what is new;
 *  - RUNNING: it makes that KICKED. The runner, which may be past its look, cannot go
 *    to IDLE then, but looks again;
 *  - KICKED: the runner will look again, likewise behind a full barrier.
 *
 * What is left to a reader because it sleeps, it may not come for: it may have been
 * woken just before, for another packet or by a signal. So both, the one who leaves it and
 * the reader who sleeps no more, look at what the other did, with a full barrier between,
 * and one of them gives it to a worker.
 *
 * Why nothing is held for good when the session fails. Whoever ends it sets the phase, and
 * then takes each channel, or makes RUNNING KICKED. Whoever then gives such a channel up
 * either leaves it to a worker, who sees the phase, or looks at it after having left the
 * channel to a reader (mzp_claim_release()).
 *
 * Why no reader sleeps though there is work. A reader counts itself as waiting, then
 * looks (wait_event()) at the ring and at the state, and sleeps if the ring is
 * empty and the state IDLE, RUNNING or KICKED. Each change to LEFT or QUEUED, and
 * each run that has made packets, is followed by a look at whether anyone sleeps there
 * (mzp_channel_wake(), with a full barrier before it). A runner that is a worker
 * waits for nothing. One that has been preempted for good by a real-time thread keeps
 * the channel with it: that, only a session without workers is safe from.
 *
 * Channels in a queue hold a reference on their session, which whoever takes them out
 * of there takes over.
 *
 * tests/model has this as a model, which a model checker goes through with `make check`, whole
 * and without each rule.
 */
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "channel.h"
#include "claim.h"
#include "runqueue.h"
#include "session.h"

/**
 * mzp_claim_init - prepare a new channel
 * @channel: the channel; its session's CPUs are set
 *
 * Context: any.
 */
void mzp_claim_init(struct mzp_channel *channel)
{
	struct mzp_claim *claim = &channel->claim;

	atomic_set(&claim->state, MZP_IDLE);
	claim->queue = -1;
	/* It keeps its place in the round per CPU. */
	preempt_disable();
	claim->cpu = cpumask_any_and_distribute(channel->session->cpus, cpu_possible_mask);
	preempt_enable();
}

/* A reader that sleeps for want of packets does it itself: it has nothing else to do. */
static bool mzp_claim_for_worker(const struct mzp_channel *channel)
{
	return channel->session->workers && mzp_runqueues_up() &&
	       (!atomic_read(&channel->claim.waiting) || mzp_ring_fill(&channel->ring));
}

/**
 * mzp_claim_kick - have somebody look at a channel
 * @channel: the channel; what they should find has been written. The caller keeps
 *	its session alive during the call.
 *
 * Context: any; takes a run queue's lock.
 */
void mzp_claim_kick(struct mzp_channel *channel)
{
	struct mzp_claim *claim = &channel->claim;

	/* Pairs with the exchanges to MZP_RUNNING; see above. */
	smp_mb();
	for (;;) {
		int state = atomic_read(&claim->state);

		if (state == MZP_QUEUED || state == MZP_KICKED)
			return;
		if (state == MZP_RUNNING) {
			if (atomic_cmpxchg(&claim->state, state, MZP_KICKED) == state)
				break;
		} else if (mzp_claim_for_worker(channel)) {
			if (atomic_cmpxchg(&claim->state, state, MZP_RUNNING) == state) {
				mzp_claim_release(channel, MZP_PRODUCED_SOME);
				return;
			}
		} else if (state == MZP_LEFT ||
			   atomic_cmpxchg(&claim->state, state, MZP_LEFT) == state) {
			/* The reader may have left meanwhile; pairs with mzp_claim_wait_end(). */
			mzp_claim_pass_on(channel);
			break;
		}
	}
	mzp_channel_wake(channel);
}

/**
 * mzp_claim_take - run a channel that nobody runs
 * @channel: the channel, whose session the caller keeps
 *
 * Context: process; takes a run queue's lock.
 * Return: whether the caller runs it from now on, and owes mzp_claim_release().
 */
bool mzp_claim_take(struct mzp_channel *channel)
{
	struct mzp_claim *claim = &channel->claim;

	for (;;) {
		int state = atomic_read(&claim->state);

		if (state == MZP_RUNNING || state == MZP_KICKED)
			return false;
		if (state == MZP_QUEUED) {
			if (!mzp_runqueue_remove(channel))
				continue;
			/* The queue's; the caller has another. */
			mzp_session_put(channel->session);
			return true;
		}
		if (atomic_cmpxchg(&claim->state, state, MZP_RUNNING) == state)
			return true;
	}
}

/**
 * mzp_claim_take_or_kick - run a channel, or have its runner look again
 * @channel: as for mzp_claim_take()
 *
 * The caller wakes the runner afterwards, which may sleep until the rate allows more.
 *
 * Context: as mzp_claim_take().
 * Return: as mzp_claim_take().
 */
bool mzp_claim_take_or_kick(struct mzp_channel *channel)
{
	do {
		if (mzp_claim_take(channel))
			return true;
		/* It may have become idle meanwhile. */
	} while (atomic_cmpxchg(&channel->claim.state, MZP_RUNNING, MZP_KICKED) < MZP_RUNNING);
	return false;
}

/**
 * mzp_claim_look - what happened so far is about to be looked at
 * @channel: run by the caller
 *
 * Context: any. A full barrier.
 */
void mzp_claim_look(struct mzp_channel *channel)
{
	atomic_xchg(&channel->claim.state, MZP_RUNNING);
}

/**
 * mzp_claim_kicked - whether something has happened since then
 * @channel: run by the caller
 *
 * Context: any.
 */
bool mzp_claim_kicked(const struct mzp_channel *channel)
{
	return atomic_read(&channel->claim.state) == MZP_KICKED;
}

/**
 * mzp_claim_open - whether there may be something to do for a reader
 * @channel: the channel
 *
 * Context: any.
 */
bool mzp_claim_open(const struct mzp_channel *channel)
{
	int state = atomic_read(&channel->claim.state);

	return state == MZP_LEFT || state == MZP_QUEUED;
}

/*
 * Take back what was left to a reader who has other things to do, for a worker. Not what
 * a worker would only leave again.
 */
static bool mzp_claim_take_left(struct mzp_channel *channel)
{
	struct mzp_claim *claim = &channel->claim;

	return atomic_read(&claim->state) == MZP_LEFT && !READ_ONCE(claim->needs_reader) &&
	       mzp_claim_for_worker(channel) && mzp_claim_take(channel);
}

/* Give a channel up, to whom it is for. Return: whether that is its reader. */
static bool mzp_claim_give_up(struct mzp_channel *channel, enum mzp_produced produced)
{
	struct mzp_claim *claim = &channel->claim;

	WRITE_ONCE(claim->needs_reader, produced == MZP_PRODUCED_LEFT);
	if (produced == MZP_PRODUCED_NOTHING &&
	    atomic_cmpxchg(&claim->state, MZP_RUNNING, MZP_IDLE) == MZP_RUNNING)
		return false;
	/* Whoever found nothing was kicked. */
	if (produced != MZP_PRODUCED_LEFT && mzp_claim_for_worker(channel) &&
	    mzp_runqueue_add(channel)) {
		mzp_channel_wake(channel);
		return false;
	}
	/* Full barrier: whoever kicked it before has set the phase before that. */
	atomic_xchg(&claim->state, MZP_LEFT);
	return true;
}

/**
 * mzp_claim_release - run a channel no more
 * @channel: run by the caller, who still keeps its session
 * @produced: what came of it
 *
 * If the end of the session has kicked what is then left to a reader, the reader may be
 * gone, and it is let go of here. Goes round once more for each further kick, or for each
 * reader that has left, at most.
 *
 * Context: process; takes a run queue's lock.
 */
void mzp_claim_release(struct mzp_channel *channel, enum mzp_produced produced)
{
	while (mzp_claim_give_up(channel, produced)) {
		if (unlikely(mzp_session_failed(channel->session))) {
			if (!mzp_channel_let_go(channel))
				return;
			produced = MZP_PRODUCED_NOTHING;
		} else {
			/* The reader may have left; pairs with mzp_claim_wait_end(). */
			if (!mzp_claim_take_left(channel)) {
				mzp_channel_wake(channel);
				return;
			}
			produced = MZP_PRODUCED_SOME;
		}
	}
}

/**
 * mzp_claim_pass_on - give a worker what was left to a reader who has other things to do
 * @channel: the channel
 *
 * Context: as mzp_claim_release().
 */
void mzp_claim_pass_on(struct mzp_channel *channel)
{
	if (mzp_claim_take_left(channel))
		mzp_claim_release(channel, MZP_PRODUCED_SOME);
}

/**
 * mzp_claim_wait_begin - a reader is about to sleep for want of packets
 * @channel: the channel
 *
 * Context: any. A full barrier; the caller looks at the ring and the state afterwards.
 */
void mzp_claim_wait_begin(struct mzp_channel *channel)
{
	atomic_inc(&channel->claim.waiting);
	/* Pairs with mzp_claim_kick(): it sees us waiting, or we see what it did. */
	smp_mb__after_atomic();
}

/**
 * mzp_claim_wait_end - it sleeps no more
 * @channel: the channel
 * @comes: it runs the channel next, if that is left to it
 *
 * If not, what was left to it since it would have nothing else to do goes to a worker.
 *
 * Context: as mzp_claim_release().
 */
void mzp_claim_wait_end(struct mzp_channel *channel, bool comes)
{
	atomic_dec(&channel->claim.waiting);
	/* Pairs with mzp_claim_kick(): it sees us gone, or we see what it left. */
	smp_mb__after_atomic();
	if (!comes)
		mzp_claim_pass_on(channel);
}

/**
 * mzp_claim_note_reader - note which reader runs a channel
 * @channel: run by the caller
 * @task: the caller, or NULL: it is about to release the channel
 *
 * Context: takes the session's queue lock.
 */
void mzp_claim_note_reader(struct mzp_channel *channel, struct task_struct *task)
{
	spin_lock(&channel->session->queue_lock);
	channel->claim.reader = task;
	spin_unlock(&channel->session->queue_lock);
}

/**
 * mzp_claim_wake_reader - wake the reader that runs a channel, whatever it waits for
 * @channel: of a session that is over
 *
 * Ends a wait for a userfaultfd handler; in all others it only looks once more.
 *
 * Context: the session's queue lock is held, so the reader cannot go away.
 * Return: whether there is one.
 */
bool mzp_claim_wake_reader(struct mzp_channel *channel)
{
	struct task_struct *reader = channel->claim.reader;

	lockdep_assert_held(&channel->session->queue_lock);
	if (reader)
		wake_up_process(reader);
	return reader;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the readers of a channel have in common, by whatever way they read: they make
 * the packets that are missing, and wait if there is nothing to make them of.
 *
 * They do that in their own context. So what it takes is theirs: page faults, I/O, the
 * wait for a userfaultfd handler, for memory or for the session's rate, and CPU time,
 * with all that limits it. Signals end it. The end of the session does, too: it wakes
 * who has claimed the channel.
 *
 * Nothing is locked meanwhile but the claim, so others can close, cancel and look.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "channel.h"
#include "claim.h"
#include "host.h"
#include "reader.h"
#include "session.h"

/**
 * mzp_reader_ready - whether there is anything for a reader: data, work, the end, or an
 *	error
 * @channel: the channel
 *
 * Context: any.
 */
bool mzp_reader_ready(const struct mzp_channel *channel)
{
	return mzp_ring_fill(&channel->ring) || mzp_claim_open(channel) ||
	       mzp_session_phase(channel->session) >= MZP_ENDED;
}

/**
 * mzp_reader_again - wake whoever polls: the session may send more by now
 * @work: the channel's
 *
 * Context: a work item.
 */
void mzp_reader_again(struct work_struct *work)
{
	mzp_channel_wake(container_of(to_delayed_work(work), struct mzp_channel, again));
}

/**
 * mzp_reader_pollable - whether poll(2) should say that the channel can be read
 * @channel: the channel; the caller is in its wait queue
 *
 * If only the session's rate is in the way, the caller is woken when it is not.
 *
 * Context: process.
 */
bool mzp_reader_pollable(struct mzp_channel *channel)
{
	u64 until, now;

	if (mzp_ring_fill(&channel->ring))
		return true;
	if (!mzp_claim_open(channel))
		return false;
	until = mzp_host_wait(&channel->session->limit);
	now = ktime_get_ns();
	if (until <= now)
		return true;
	mod_delayed_work(system_wq, &channel->again, nsecs_to_jiffies(until - now) + 1);
	return false;
}

/* For people: how much was made by readers, and in what time. */
static void mzp_reader_count(struct mzp_channel *channel, u64 ns, u64 packets)
{
	mzp_stat_add(&channel->stats.reader_ns, ns);
	mzp_stat_add(&channel->stats.reader_packets, packets);
}

/**
 * mzp_reader_produce - make packets, if nobody else does
 * @channel: the channel, which is not locked
 * @patience: what may be waited for
 *
 * Context: process; sleeps as @patience says.
 * Return: 1: something has changed, look again; 0: there is nothing to do; -EBUSY:
 * somebody else does it; -EAGAIN: it would take more patience; -ERESTARTSYS: a signal is
 * pending.
 */
int mzp_reader_produce(struct mzp_channel *channel, enum mzp_patience patience)
{
	u64 packets, start = ktime_get_ns();
	enum mzp_produced produced;

	if (!mzp_claim_take(channel))
		return -EBUSY;
	packets = channel->stats.packets;
	mzp_claim_note_reader(channel, current);
	produced = mzp_producer_run(channel, patience);
	mzp_claim_note_reader(channel, NULL);
	packets = channel->stats.packets - packets;
	mzp_reader_count(channel, ktime_get_ns() - start, packets);
	mzp_claim_release(channel, produced);
	if (packets || mzp_ring_fill(&channel->ring) || mzp_session_failed(channel->session))
		return 1;
	if (produced == MZP_PRODUCED_NOTHING)
		return 0;
	if (signal_pending(current))
		return -ERESTARTSYS;
	return produced == MZP_PRODUCED_LEFT && patience != MZP_PATIENCE_ALL ? -EAGAIN : 1;
}

static int mzp_reader_wait(struct mzp_channel *channel)
{
	int err;

	mzp_claim_wait_begin(channel);
	err = wait_event_interruptible(channel->readable, mzp_reader_ready(channel));
	mzp_claim_wait_end(channel, !err && !mzp_ring_fill(&channel->ring));
	return err;
}

/**
 * mzp_reader_fill - have a packet in the ring
 * @channel: the channel, which is not locked; its ring was empty
 * @patience: MZP_PATIENCE_ALL: wait until there is one
 *
 * Context: process; sleeps as @patience says.
 * Return: 0: it is worth another look; -EAGAIN: there is none at the moment;
 * -ERESTARTSYS: a signal is pending.
 */
int mzp_reader_fill(struct mzp_channel *channel, enum mzp_patience patience)
{
	int ret;

	for (;;) {
		ret = mzp_reader_produce(channel, patience);
		if (ret && ret != -EBUSY)
			return min(ret, 0);
		if (patience != MZP_PATIENCE_ALL)
			return -EAGAIN;
		ret = mzp_reader_wait(channel);
		/* What was left to us, we do now, before anything else can come between. */
		if (ret || mzp_ring_fill(&channel->ring) ||
		    mzp_session_phase(channel->session) >= MZP_ENDED)
			return ret;
	}
}

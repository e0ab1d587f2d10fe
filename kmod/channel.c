// SPDX-License-Identifier: GPL-2.0-only
/*
 * A channel: one stream of packets, with a ring between who makes them (producer.c) and
 * who reads them (file.c, pipe.c, socket.c).
 *
 * Each byte comes out once and in order, because bytes are taken only under the
 * read lock, and the position moves by exactly what was passed on: by what a copy to
 * user space really copied, by the length of the buffer that the pipe really took, or by
 * what the socket accepted. Whatever ends a read early (a fault, a signal, a full pipe or
 * socket, an empty ring) leaves the position behind the last byte that was passed on. So
 * the ways to read can follow one another in one stream.
 *
 * Waiting never happens under a lock that others need: no lock is held while a reader
 * waits for packets, or makes them.
 *
 * When the session is over before its time, the ring must be emptied though its
 * reader may be stuck in a page fault, or gone for good. Whoever sees it is
 * over tries the read lock: either they get it and empty the ring, or its
 * holder will look again after dropping it.
 */
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "channel.h"
#include "claim.h"
#include "packet.h"
#include "producer.h"
#include "reader.h"
#include "session.h"

/* The first message goes through the ring, like a packet without pages. */
static int mzp_channel_greet(struct mzp_channel *channel)
{
	struct mzp_packet *packet = mzp_ring_room(&channel->ring);
	struct mzp_wire_init *init;

	if (mzp_arena_reserve(&channel->arena, 1, GFP_KERNEL))
		return -ENOMEM;
	init = mzp_arena_take(&channel->arena, sizeof(*init), &packet->buf[0]);
	mzp_encode_init(init, channel->session->uuid, channel->id);
	packet->nr = 1;
	mzp_stat_add(&channel->stats.bytes, sizeof(*init));
	atomic64_add(sizeof(*init), &channel->session->pending.bytes);
	mzp_ring_publish(&channel->ring);
	return 0;
}

/**
 * mzp_channel_new - make a channel whose ring holds its first message
 * @session: whose channel; no reference is taken
 * @id: channel id
 * @setup: what the session is set up with
 *
 * Context: may sleep; memory is charged to the current memory cgroup.
 * Return: the channel, or an error pointer.
 */
struct mzp_channel *mzp_channel_new(struct mzp_session *session, unsigned int id,
				    const struct mzp_setup *setup)
{
	struct mzp_channel *channel = kzalloc(sizeof(*channel), GFP_KERNEL_ACCOUNT);
	int err;

	if (!channel)
		return ERR_PTR(-ENOMEM);
	channel->session = session;
	channel->id = id;
	mutex_init(&channel->read_lock);
	init_waitqueue_head(&channel->readable);
	INIT_DELAYED_WORK(&channel->again, mzp_reader_again);
	mzp_claim_init(channel);
	channel->round = mzp_round_get(session->round);
	INIT_LIST_HEAD(&channel->injects);
	err = mzp_comp_init(&channel->comp, setup->method, setup->level) ?:
	      mzp_ring_init(&channel->ring, setup->ring_packets) ?:
	      mzp_channel_greet(channel);
	if (err) {
		mzp_channel_free(channel);
		return ERR_PTR(err);
	}
	return channel;
}

/* Give the first packet's slot back. Return: as mzp_ring_release(). */
static bool mzp_channel_release(struct mzp_channel *channel, const struct mzp_packet *packet)
{
	channel->buf = 0;
	atomic64_sub(packet->pages, &channel->session->pending.ring_pages);
	return mzp_ring_release(&channel->ring);
}

/*
 * Move the position by @bytes of the first packet, and with @drop drop the references of the
 * buffers that are behind it then. Return: as mzp_ring_release().
 */
static bool mzp_channel_move(struct mzp_channel *channel, struct mzp_packet *packet, size_t bytes,
			     bool drop)
{
	/* Behind the header are the guest's own pages, or what was made of them. */
	bool guest = !channel->comp.ops && !packet->own;
	size_t own_gone = 0, guest_gone = 0;
	unsigned int i;

	bytes += channel->offset;
	for (i = channel->buf; i < packet->nr && bytes >= packet->buf[i].bv_len; i++) {
		if (guest && i)
			guest_gone += packet->buf[i].bv_len;
		else
			own_gone += packet->buf[i].bv_len;
		bytes -= packet->buf[i].bv_len;
		if (drop)
			put_page(packet->buf[i].bv_page);
	}
	channel->buf = i;
	channel->offset = bytes;
	mzp_stat_add(&channel->stats.pages_gone, guest_gone >> PAGE_SHIFT);
	mzp_stat_add(&channel->stats.own_gone, own_gone);
	return i == packet->nr && mzp_channel_release(channel, packet);
}

/* Drop what is left of the first packet, or all of it. */
static void mzp_channel_drop_packet(struct mzp_channel *channel)
{
	struct mzp_packet *packet = mzp_ring_first(&channel->ring);
	size_t bytes = 0;
	unsigned int i;

	for (i = channel->buf; i < packet->nr; i++)
		bytes += packet->buf[i].bv_len;
	bytes -= channel->offset;
	mzp_pending_take(&channel->session->pending, bytes);
	mzp_channel_move(channel, packet, bytes, true);
}

/**
 * mzp_channel_free - free a channel that nobody uses any more
 * @channel: the channel
 *
 * Context: may sleep.
 */
void mzp_channel_free(struct mzp_channel *channel)
{
	cancel_delayed_work_sync(&channel->again);
	/* It can be one that others have done without us. */
	if (channel->job)
		mzp_job_put(channel->job);
	mzp_round_put(channel->round);
	if (channel->ring.slot) {
		while (mzp_ring_first(&channel->ring)) {
			mzp_channel_drop_packet(channel);
			cond_resched();
		}
	}
	mzp_ring_destroy(&channel->ring);
	mzp_comp_destroy(&channel->comp);
	mzp_arena_drop(&channel->arena);
	kfree(channel);
}

/**
 * mzp_channel_drain - empty the ring of a channel whose session is over
 * @channel: the channel
 *
 * Context: may sleep, but waits for nobody. If a reader is at work, it does it
 * instead when it is done.
 */
void mzp_channel_drain(struct mzp_channel *channel)
{
	/* The session's error was set before; pairs with mzp_channel_unlock(). */
	smp_mb();
	while (mzp_ring_fill(&channel->ring) && mutex_trylock(&channel->read_lock)) {
		while (mzp_ring_first(&channel->ring)) {
			mzp_channel_drop_packet(channel);
			cond_resched();
		}
		mutex_unlock(&channel->read_lock);
		/* What was published meanwhile by one whose trylock failed. */
		smp_mb();
	}
}

/**
 * mzp_channel_let_go - let go of what a channel has
 * @channel: the channel; its session is over, and kept by the caller
 *
 * Context: may sleep, but waits for nobody. If somebody runs the channel, or a reader
 * is at work, they do it instead when they are done.
 * Return: whether the caller runs the channel from now on, and owes mzp_claim_release().
 */
bool mzp_channel_let_go(struct mzp_channel *channel)
{
	bool taken = mzp_claim_take_or_kick(channel);

	if (taken)
		mzp_producer_abandon(channel);
	else
		mzp_channel_drain(channel);
	wake_up_all(&channel->readable);
	return taken;
}

/**
 * mzp_channel_stop - let go of what a channel has, and of the channel
 * @channel: as for mzp_channel_let_go()
 *
 * Context: as mzp_channel_let_go().
 */
void mzp_channel_stop(struct mzp_channel *channel)
{
	if (mzp_channel_let_go(channel))
		mzp_claim_release(channel, MZP_PRODUCED_NOTHING);
}

/**
 * mzp_channel_wake - tell the reader that there is something new
 * @channel: the channel
 *
 * Context: any. What is new must have been written before.
 */
void mzp_channel_wake(struct mzp_channel *channel)
{
	/* Has a full barrier. */
	if (wq_has_sleeper(&channel->readable))
		wake_up_interruptible_poll(&channel->readable, EPOLLIN | EPOLLRDNORM);
}

/**
 * mzp_channel_unlock - stop taking bytes
 * @channel: locked by mzp_channel_lock()
 *
 * Context: may sleep.
 */
void mzp_channel_unlock(struct mzp_channel *channel)
{
	mutex_unlock(&channel->read_lock);
	/*
	 * Pairs with mzp_channel_drain(): either its trylock comes after our
	 * unlock and succeeds, or we see the error that made it try.
	 */
	smp_mb();
	if (unlikely(mzp_session_failed(channel->session)))
		mzp_channel_drain(channel);
}

/**
 * mzp_channel_lock - lock a channel for taking bytes, without waiting for any
 * @channel: the channel
 * @nowait: do not even wait for another reader
 *
 * Context: process.
 * Return: 1: locked, with data; 0: the end; -EAGAIN: no data yet; -EBUSY: with @nowait,
 * another reader is there; -ERESTARTSYS; or why the session is over.
 */
int mzp_channel_lock(struct mzp_channel *channel, bool nowait)
{
	const struct mzp_session *session = channel->session;
	enum mzp_phase phase;

	if (nowait) {
		if (!mutex_trylock(&channel->read_lock))
			return -EBUSY;
	} else if (mutex_lock_interruptible(&channel->read_lock)) {
		return -ERESTARTSYS;
	}
	/* Before the ring: a session ends after its last packet is in there. */
	phase = mzp_session_phase(session);
	if (phase != MZP_FAILED && mzp_ring_first(&channel->ring))
		return 1;
	if (READ_ONCE(session->unfinished))
		mzp_stat_add(&channel->stats.ring_empty, 1);
	mzp_channel_unlock(channel);
	if (phase == MZP_FAILED)
		return mzp_session_error(session);
	return phase == MZP_ENDED ? 0 : -EAGAIN;
}

/**
 * mzp_channel_advance - move the position behind what was passed on
 * @channel: locked
 * @packet: the ring's first one
 * @bytes: as far as that; they lie in the packet
 *
 * References of buffers that the position is behind then are the caller's. The caller
 * also owes mzp_pending_take(), for all that it takes at once.
 *
 * Context: any.
 * Return: whether its producer waits for the room that there is now, and the caller
 * owes it a kick.
 */
bool mzp_channel_advance(struct mzp_channel *channel, struct mzp_packet *packet, size_t bytes)
{
	mzp_stat_add(&channel->stats.bytes_read, bytes);
	return mzp_channel_move(channel, packet, bytes, false);
}

/**
 * mzp_channel_consume - move the position behind what nobody needs any more
 * @channel: locked
 * @packet: the ring's first one
 * @bytes: as far as that; they lie in the packet
 *
 * As mzp_channel_advance(), but the references are dropped.
 *
 * Context: may sleep.
 * Return: as mzp_channel_advance().
 */
bool mzp_channel_consume(struct mzp_channel *channel, struct mzp_packet *packet, size_t bytes)
{
	mzp_stat_add(&channel->stats.bytes_read, bytes);
	return mzp_channel_move(channel, packet, bytes, true);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A ring of finished packets between one producer (whoever has claimed the
 * channel) and one consumer (whoever holds the channel's read lock).
 *
 * Terms: a slot belongs to the producer until mzp_ring_publish() moves @head
 * past it, and to the consumer from then until mzp_ring_release() moves @tail
 * past it. So each slot has one owner at any time and needs no lock:
 *
 *  - publish stores @head with release; the consumer loads it with acquire,
 *    and so sees the whole slot.
 *  - release stores @tail with release, after the last read of the slot; the
 *    producer loads it with acquire before it writes the slot again.
 *
 * Backpressure: a producer that finds no room sets @starved and looks again; a
 * consumer that frees a slot then looks at @starved. With a full barrier
 * between each one's store and load, one of them sees the other: either the
 * producer sees the room, or the consumer sees @starved and kicks. No wake-up
 * can be lost. The consumer kicks when half of the ring is free, so that packets are
 * made some at a time: it gets there, or it still has packets to take.
 */
#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "large.h"
#include "ring.h"

/**
 * mzp_ring_init - make an empty ring
 * @ring: zeroed memory
 * @size: slots, a power of two
 *
 * Context: may sleep. The slots are charged to the current memory cgroup.
 * Return: 0 or -ENOMEM.
 */
int mzp_ring_init(struct mzp_ring *ring, u32 size)
{
	ring->slot = mzp_large_alloc(size, sizeof(*ring->slot), __GFP_ZERO);
	if (!ring->slot)
		return -ENOMEM;
	ring->size = size;
	return 0;
}

/**
 * mzp_ring_destroy - free the slots of an empty ring
 * @ring: the ring; nobody uses it any more
 *
 * Context: may sleep. Page references in unread packets are the caller's to
 * drop beforehand.
 */
void mzp_ring_destroy(struct mzp_ring *ring)
{
	kvfree(ring->slot);
	ring->slot = NULL;
}

/**
 * mzp_ring_fill - how many packets wait for the reader
 * @ring: the ring
 *
 * Context: any; what it returns may be old already.
 * Return: 0 to the ring's size.
 */
u32 mzp_ring_fill(const struct mzp_ring *ring)
{
	/* Tail first: then the head is not behind it, though it may be too far ahead. */
	u32 tail = smp_load_acquire(&ring->tail);
	/* Acquire: who sees a packet here may read it (pairs with publish). */
	u32 head = smp_load_acquire(&ring->head);

	return min(head - tail, ring->size);
}

static bool mzp_ring_full(const struct mzp_ring *ring)
{
	/* Pairs with the store in mzp_ring_release(): its slot is free to write. */
	return ring->head - smp_load_acquire(&ring->tail) == ring->size;
}

/**
 * mzp_ring_room - the slot for the next packet
 * @ring: the ring
 *
 * Context: the producer. When it returns NULL, mzp_ring_release() tells the
 * consumer to kick the producer when half of the ring is free.
 * Return: the slot, to be filled and published, or NULL: no room.
 */
struct mzp_packet *mzp_ring_room(struct mzp_ring *ring)
{
	if (mzp_ring_full(ring)) {
		WRITE_ONCE(ring->starved, 1);
		/* Pairs with the barrier in mzp_ring_release(). */
		smp_mb();
		if (mzp_ring_full(ring))
			return NULL;
		WRITE_ONCE(ring->starved, 0);
	}
	return &ring->slot[ring->head & (ring->size - 1)];
}

/**
 * mzp_ring_publish - hand the slot from mzp_ring_room() to the consumer
 * @ring: the ring
 *
 * Context: the producer. The slot and the page references in it are the
 * consumer's from now on.
 */
void mzp_ring_publish(struct mzp_ring *ring)
{
	/* Pairs with mzp_ring_fill(): the slot is written before it is seen. */
	smp_store_release(&ring->head, ring->head + 1);
}

/**
 * mzp_ring_first - the oldest unread packet
 * @ring: the ring
 *
 * Context: the consumer.
 * Return: the packet, or NULL if the ring is empty.
 */
struct mzp_packet *mzp_ring_first(struct mzp_ring *ring)
{
	if (!mzp_ring_fill(ring))
		return NULL;
	return &ring->slot[ring->tail & (ring->size - 1)];
}

/**
 * mzp_ring_release - give the oldest packet's slot back
 * @ring: the ring; not empty
 *
 * Context: the consumer, which has passed on or dropped all the page
 * references.
 * Return: whether the producer waits for room, there is enough of it, and so it must
 * be kicked.
 */
bool mzp_ring_release(struct mzp_ring *ring)
{
	/* Pairs with mzp_ring_full(): our reads of the slot are over. */
	smp_store_release(&ring->tail, ring->tail + 1);
	/* Pairs with the barrier in mzp_ring_room(). */
	smp_mb();
	return READ_ONCE(ring->starved) && mzp_ring_fill(ring) <= ring->size / 2 &&
	       xchg(&ring->starved, 0);
}

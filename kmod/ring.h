/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_RING_H
#define MZP_RING_H

#include <linux/bvec.h>
#include <linux/cache.h>
#include <linux/types.h>

#include <linux/multifd_wire.h>

/*
 * A header and pages; or a header and compressed bytes, which can take a page
 * more than they had, and need not start with a page.
 */
#define MZP_PACKET_BUFS (1 + MZP_WIRE_PAGES + 2)

/**
 * struct mzp_packet - a finished packet: a header and the pages behind it
 * @nr: how many of @buf are used
 * @pages: guest pages that it stands for, normal and zero
 * @own: there is nothing of the guest's in it
 * @buf: what the reader is to get, in order; one page reference each
 */
struct mzp_packet {
	unsigned int nr;
	u16 pages;
	bool own;
	struct bio_vec buf[MZP_PACKET_BUFS];
};

/**
 * struct mzp_ring - finished packets between one producer and one reader
 * @slot: the packets, a power of two of them
 * @size: how many
 * @head: packets published so far; only the producer writes it
 * @starved: the producer found no room and went away; whoever clears it owes it
 *	a kick
 * @tail: packets consumed so far; only the consumer writes it
 *
 * @head and @tail run freely and wrap at 2^32; their difference is the fill.
 */
struct mzp_ring {
	struct mzp_packet *slot;
	u32 size;

	u32 head ____cacheline_aligned_in_smp;
	int starved;

	u32 tail ____cacheline_aligned_in_smp;
};

int mzp_ring_init(struct mzp_ring *ring, u32 size);
void mzp_ring_destroy(struct mzp_ring *ring);
u32 mzp_ring_fill(const struct mzp_ring *ring);

/* the producer's side */
struct mzp_packet *mzp_ring_room(struct mzp_ring *ring);
void mzp_ring_publish(struct mzp_ring *ring);

/* the consumer's side */
struct mzp_packet *mzp_ring_first(struct mzp_ring *ring);
bool mzp_ring_release(struct mzp_ring *ring);

#endif /* MZP_RING_H */

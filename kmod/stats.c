// SPDX-License-Identifier: GPL-2.0-only
/*
 * What channels have counted, added up for people who ask. The channels go on
 * counting meanwhile, so numbers that are read one after the other need not fit
 * each other to the last page.
 */
#include <linux/mm.h>

#include "channel.h"
#include "stats.h"

/* A difference of two such counters, of which the second follows the first. */
static u64 mzp_stats_left(u64 came, u64 gone)
{
	return came > gone ? came - gone : 0;
}

static void mzp_stats_add_counts(struct mzp_counts *sum, const struct mzp_counts *counts)
{
	sum->normal += READ_ONCE(counts->normal);
	sum->zero += READ_ONCE(counts->zero);
	sum->absent += READ_ONCE(counts->absent);
	sum->lost += READ_ONCE(counts->lost);
}

/* What is in the ring, and is not what it was spared to copy. */
static void mzp_stats_add_ring(struct mzp_stats *sum, const struct mzp_channel *channel)
{
	const struct mzp_channel_stats *stats = &channel->stats;
	const struct mzp_ring *ring = &channel->ring;
	u64 own = READ_ONCE(stats->bytes);

	if (!channel->comp.ops) {
		/* It may be ahead of the bytes that it is part of. */
		own = mzp_stats_left(own, READ_ONCE(stats->payload));
		sum->pages_held += mzp_stats_left(READ_ONCE(stats->sent),
						  READ_ONCE(stats->pages_gone));
	}
	sum->ring_packets += mzp_ring_fill(ring);
	sum->ring_size += ring->size;
	sum->memory += sizeof(*channel) + channel->comp.memory + ring->size * sizeof(*ring->slot) +
		       mzp_stats_left(own, READ_ONCE(stats->own_gone));
}

/**
 * mzp_stats_add - add a channel's counters
 * @sum: what to add them to
 * @channel: the channel
 *
 * Context: any.
 */
void mzp_stats_add(struct mzp_stats *sum, const struct mzp_channel *channel)
{
	const struct mzp_channel_stats *stats = &channel->stats;

	mzp_stats_add_counts(&sum->counts, &stats->counts);
	sum->bytes_in += READ_ONCE(stats->sent) << PAGE_SHIFT;
	sum->bytes_payload += READ_ONCE(stats->payload);
	sum->bytes_out += READ_ONCE(stats->bytes);
	sum->bytes_read += READ_ONCE(stats->bytes_read);
	sum->bytes_encrypted += READ_ONCE(stats->bytes_encrypted);
	sum->packets += READ_ONCE(stats->packets);
	sum->syncs += READ_ONCE(stats->syncs);
	sum->ring_full += READ_ONCE(stats->ring_full) + READ_ONCE(stats->socket_full);
	sum->ring_empty += READ_ONCE(stats->ring_empty);
	sum->left += READ_ONCE(stats->left);
	sum->waits += READ_ONCE(stats->waits);
	sum->throttled += READ_ONCE(stats->throttled);
	sum->busy_ns += READ_ONCE(stats->busy_ns);
	sum->reader_packets += READ_ONCE(stats->reader_packets);
	sum->reader_ns += READ_ONCE(stats->reader_ns);
	mzp_stats_add_ring(sum, channel);
}

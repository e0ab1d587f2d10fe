/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_STATS_H
#define MZP_STATS_H

#include <linux/cache.h>
#include <linux/types.h>

#include "round.h"

struct mzp_channel;

/**
 * struct mzp_channel_stats - a channel's counters
 * @counts: pages; accounted for so far
 * @packets: emitted, SYNC packets included
 * @syncs: SYNC packets emitted
 * @sent: normal pages in the packets emitted
 * @zeros: zero pages in them
 * @payload: bytes that these came to
 * @bytes: emitted, headers included
 * @ring_full: times that a worker found no room in the ring
 * @left: times that a worker left a page, a lock or memory to the reader
 * @waits: times that a reader waited for a page or a lock
 * @throttled: times that it had to wait because of the session's rate
 * @busy_ns: time that workers spent on the channel
 * @reader_packets: packets that readers made
 * @reader_ns: time that they took for all they made, waits included
 * @bytes_read: that the reader took
 * @bytes_encrypted: of these, those that PUMP gave to a socket that the kernel encrypts
 * @ring_empty: times that the reader found nothing though there was work
 * @socket_full: times that PUMP found no room in its socket
 * @pages_gone: guest pages that have left the ring
 * @own_gone: bytes of the module's own memory that have left the ring
 *
 * The first part is written by the channel's producer, the second under its
 * read lock; read anywhere, so each is a word that is written whole.
 */
struct mzp_channel_stats {
	struct mzp_counts counts;
	u64 packets;
	u64 syncs;
	u64 sent;
	u64 zeros;
	u64 payload;
	u64 bytes;
	u64 ring_full;
	u64 left;
	u64 waits;
	u64 throttled;
	u64 busy_ns;
	u64 reader_packets;
	u64 reader_ns;

	u64 bytes_read ____cacheline_aligned_in_smp;
	u64 bytes_encrypted;
	u64 ring_empty;
	u64 socket_full;
	u64 pages_gone;
	u64 own_gone;
};

/* Only one thread writes each counter; others may read it at any time. */
static inline void mzp_stat_add(u64 *counter, u64 n)
{
	WRITE_ONCE(*counter, *counter + n);
}

/**
 * struct mzp_stats - counters of a channel, or of several together
 * @counts: pages
 * @bytes_in: contents of the normal pages that were sent
 * @bytes_payload: what these came to
 * @bytes_out: put in the rings
 * @bytes_read: taken out of them
 * @bytes_encrypted: of these, those that the kernel encrypts
 * @packets: put in the rings
 * @syncs: SYNC packets among them
 * @ring_full: times that a ring, or PUMP's socket, had no room
 * @ring_empty: times that it had nothing though there was work
 * @left: times that something was left to the reader
 * @waits: times that a reader waited for a page or a lock
 * @throttled: times that a channel had to wait because of its session's rate
 * @busy_ns: time that workers spent
 * @reader_packets: packets that readers made
 * @reader_ns: time that readers spent
 * @ring_packets: packets in the rings now
 * @ring_size: packets that they can hold
 * @pages_held: references on guest pages in the rings now
 * @memory: bytes of the module's own memory
 */
struct mzp_stats {
	struct mzp_counts counts;
	u64 bytes_in;
	u64 bytes_payload;
	u64 bytes_out;
	u64 bytes_read;
	u64 bytes_encrypted;
	u64 packets;
	u64 syncs;
	u64 ring_full;
	u64 ring_empty;
	u64 left;
	u64 waits;
	u64 throttled;
	u64 busy_ns;
	u64 reader_packets;
	u64 reader_ns;
	u32 ring_packets;
	u32 ring_size;
	u32 pages_held;
	u64 memory;
};

void mzp_stats_add(struct mzp_stats *sum, const struct mzp_channel *channel);

#endif /* MZP_STATS_H */

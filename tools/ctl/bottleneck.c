// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a session is waiting for.
 *
 * Packets are made, by workers and by readers, and are sent, by readers. A reader that
 * finds a ring empty makes a burst of packets, or waits for one: ring-empty. If sending
 * them is slower than making them, it then finds its socket full, or a worker finds the
 * ring full: ring-full. So for each burst there is one that counts as empty, and whether
 * most of them also count as full tells what is slower, however full the rings happen to
 * be at the moment of looking. (A reader that takes bytes to user space may have other
 * reasons to come late. To us, that is the network, too.)
 *
 * If making is slower, it need not be for want of CPU time. What a reader waited for
 * was perhaps held back by the rate limit, or a page that had to be brought in.
 * A reader waits at most once for each of these, so one of them is the cause if
 * it accounts for the larger part of the waits.
 */
#include <linux/multifd_wire.h>

#include "bottleneck.h"

static uint64_t done(const struct ctl_session *session)
{
	const struct ctl_counters *count = &session->count;

	return count->normal + count->zero + count->absent + count->lost + count->packets;
}

/* Nothing was to be done, or only to be read. */
static bool idle(const struct ctl_session *now, const struct ctl_session *before)
{
	return !now->jobs_unfinished && (!before || done(now) == done(before));
}

/* Neither full nor empty rings were found, nor anything else. */
static bool nothing_found(const struct ctl_counters *end, const struct ctl_counters *start)
{
	return end->ring_full == start->ring_full && end->ring_empty == start->ring_empty &&
	       end->throttled == start->throttled && end->waits == start->waits;
}

/* At its limit a packet of each channel takes longer than these two are apart. */
static bool hardly_may_send(const struct ctl_session *now, const struct ctl_session *before)
{
	double seconds = (now->age - before->age) / 1e9;

	return now->rate && now->rate * seconds <
	       (double)now->channels * now->packet_pages * MZP_WIRE_PAGE_SIZE;
}

enum ctl_bottleneck ctl_bottleneck(const struct ctl_session *now,
				   const struct ctl_session *before)
{
	static const struct ctl_session nothing;
	const struct ctl_counters *end = &now->count, *start;
	uint64_t full, empty, throttled, waits;

	if (idle(now, before))
		return end->ring_packets ? CTL_NETWORK : CTL_IDLE;
	start = before ? &before->count : &nothing.count;
	/* it may not have come that far for longer: one that hardly may send, or that is slow */
	if (before && nothing_found(end, start) && 2 * end->ring_packets <= end->ring_size) {
		if (hardly_may_send(now, before))
			return CTL_RATE;
		start = &nothing.count;
	}
	full = end->ring_full - start->ring_full;
	empty = end->ring_empty - start->ring_empty;
	throttled = end->throttled - start->throttled;
	waits = end->waits - start->waits;
	if (throttled > full && 2 * throttled > empty)
		return CTL_RATE;
	if (2 * full > empty || (!empty && 2 * end->ring_packets > end->ring_size))
		return CTL_NETWORK;
	return 2 * waits > empty ? CTL_PAGES : CTL_CPUS;
}

const char *ctl_bottleneck_word(enum ctl_bottleneck bottleneck)
{
	static const char *const words[] = {
		[CTL_IDLE] = "idle",
		[CTL_RATE] = "rate-limit",
		[CTL_NETWORK] = "network",
		[CTL_PAGES] = "source-pages",
		[CTL_CPUS] = "cpus",
	};

	return words[bottleneck];
}

const char *ctl_bottleneck_sentence(enum ctl_bottleneck bottleneck)
{
	static const char *const sentences[] = {
		[CTL_IDLE] = "for the VMM: all that was handed over is sent",
		[CTL_RATE] = "for its rate limit: it sends as fast as it may",
		[CTL_NETWORK] = "for the network or the destination: rings and sockets are full",
		[CTL_PAGES] = "for the source's pages: they have to be brought in",
		[CTL_CPUS] = "for CPU time: packets are sent faster than they are made",
	};

	return sentences[bottleneck];
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a session is waiting for.
 *
 * Each ring has a worker at one end and a reader at the other. Whoever is the
 * faster of the two has to wait for the other, and each such wait is counted:
 * ring-full when a worker goes away because there is no room, ring-empty when a
 * reader finds nothing though there is work. So the side that waits less often is
 * the slower one, however full the rings happen to be at the moment of looking.
 *
 * If it is the workers' side, they may not be to blame. What a reader waited for
 * was perhaps held back by the rate limit, or a page that had to be brought in.
 * A reader waits at most once for each of these, so one of them is the cause if
 * it accounts for the larger part of the waits.
 */
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

enum ctl_bottleneck ctl_bottleneck(const struct ctl_session *now,
				   const struct ctl_session *before)
{
	static const struct ctl_session nothing;
	const struct ctl_counters *end = &now->count, *start;
	uint64_t full, empty, throttled, stalls;

	if (idle(now, before))
		return end->ring_packets ? CTL_NETWORK : CTL_IDLE;
	start = before ? &before->count : &nothing.count;
	full = end->ring_full - start->ring_full;
	empty = end->ring_empty - start->ring_empty;
	throttled = end->throttled - start->throttled;
	stalls = end->stalls - start->stalls;
	if (throttled > full && 2 * throttled > empty)
		return CTL_RATE;
	if (full > empty || (full == empty && 2 * end->ring_packets > end->ring_size))
		return CTL_NETWORK;
	return 2 * stalls > empty ? CTL_PAGES : CTL_WORKERS;
}

const char *ctl_bottleneck_word(enum ctl_bottleneck bottleneck)
{
	static const char *const words[] = {
		[CTL_IDLE] = "idle",
		[CTL_RATE] = "rate-limit",
		[CTL_NETWORK] = "network",
		[CTL_PAGES] = "source-pages",
		[CTL_WORKERS] = "workers",
	};

	return words[bottleneck];
}

const char *ctl_bottleneck_sentence(enum ctl_bottleneck bottleneck)
{
	static const char *const sentences[] = {
		[CTL_IDLE] = "for the VMM: all that was handed over is sent",
		[CTL_RATE] = "for its rate limit: it sends as fast as it may",
		[CTL_NETWORK] = "for the network or the destination: workers find no room in the rings",
		[CTL_PAGES] = "for the source's pages: they have to be brought in (stalls)",
		[CTL_WORKERS] = "for the workers: readers find the rings empty",
	};

	return sentences[bottleneck];
}

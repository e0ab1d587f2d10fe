/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_CHANNEL_H
#define MZP_CHANNEL_H

#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "arena.h"
#include "batch.h"
#include "claim.h"
#include "classify.h"
#include "comp.h"
#include "job.h"
#include "producer.h"
#include "residency.h"
#include "ring.h"
#include "stats.h"

struct mzp_session;
struct mzp_setup;

/**
 * struct mzp_channel - one stream of packets
 * @session: whose it is; fixed
 * @id: channel id; fixed
 *
 * @claim: who may run it, that is, make its packets; see claim.c
 *
 * @patience: what may be waited for
 * @need: what keeps it from going on
 * @stalls: times in a row that a page was waited for in vain
 * @stalled: when that began, in jiffies
 * @round: whose jobs it takes pages of, or whose SYNC it emits next; a reference
 * @injects: INJECTs whose bytes are not all in the ring, in order; session's queue lock
 * @job: whose pages are in @take and @batch, or NULL
 * @take: pages that were taken and are not classified yet
 * @residency: scratch memory
 * @batch: pages of the packet to be
 * @counts: what became of @job's pages since they were last accounted for
 * @comp: compresses what is to be sent
 * @arena: where headers and compressed bytes are written
 *
 * @ring: finished packets
 * @readable: woken when there is something new for the reader
 * @again: wakes it when the session may send more
 *
 * @read_lock: serialises readers, and whoever empties the ring of a session
 *	that is over
 * @buf: index of the buffer that the next byte comes from, in the ring's first
 *	packet
 * @offset: bytes of that buffer that were read
 *
 * @handed_out: the fd was asked for; session lock
 * @stats: counters
 *
 * From @patience to @arena belongs to whoever has claimed the channel. @buf and
 * @offset are under @read_lock.
 */
struct mzp_channel {
	struct mzp_session *session;
	unsigned int id;

	struct mzp_claim claim;

	enum mzp_patience patience;
	enum mzp_need need;
	unsigned int stalls;
	unsigned long stalled;
	struct mzp_round *round;
	struct list_head injects;
	struct mzp_job *job;
	struct mzp_take take;
	struct mzp_residency residency;
	struct mzp_batch batch;
	struct mzp_counts counts;
	struct mzp_comp comp;
	struct mzp_arena arena;

	struct mzp_ring ring;
	wait_queue_head_t readable;
	struct delayed_work again;

	struct mutex read_lock; /* see above */
	unsigned int buf;
	unsigned int offset;

	bool handed_out;
	struct mzp_channel_stats stats;
};

/*
 * Whether who runs the channel may wait for pages and the like: a reader, and not while
 * there are packets that it should send first.
 */
static inline bool mzp_may_wait(const struct mzp_channel *channel)
{
	return channel->patience != MZP_PATIENCE_NONE && !mzp_ring_fill(&channel->ring);
}

struct mzp_channel *mzp_channel_new(struct mzp_session *session, unsigned int id,
				    const struct mzp_setup *setup);
void mzp_channel_free(struct mzp_channel *channel);
bool mzp_channel_let_go(struct mzp_channel *channel);
void mzp_channel_stop(struct mzp_channel *channel);
void mzp_channel_drain(struct mzp_channel *channel);
void mzp_channel_wake(struct mzp_channel *channel);

/* for its readers */
int mzp_channel_lock(struct mzp_channel *channel, bool nowait);
void mzp_channel_unlock(struct mzp_channel *channel);
bool mzp_channel_advance(struct mzp_channel *channel, struct mzp_packet *packet, size_t bytes);
bool mzp_channel_consume(struct mzp_channel *channel, struct mzp_packet *packet, size_t bytes);

#endif /* MZP_CHANNEL_H */

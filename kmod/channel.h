/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_CHANNEL_H
#define MZP_CHANNEL_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "arena.h"
#include "batch.h"
#include "comp.h"
#include "job.h"
#include "residency.h"
#include "ring.h"
#include "slow.h"
#include "stats.h"

struct mzp_cmd;
struct mzp_session;
struct mzp_setup;

/**
 * struct mzp_take - pages that a producer has taken from its job
 * @page: their numbers in the block, ascending
 * @nr: how many
 * @pos: how many of them have been looked at
 */
struct mzp_take {
	u64 page[MZP_WIRE_PAGES];
	unsigned int nr;
	unsigned int pos;
};

/* How many of the pages from take->pos on follow one another in the block. */
static inline unsigned int mzp_take_run(const struct mzp_take *take)
{
	unsigned int n = 1;

	while (take->pos + n < take->nr && take->page[take->pos + n] == take->page[take->pos] + n)
		n++;
	return n;
}

/**
 * struct mzp_channel - one stream of packets
 * @session: whose it is; fixed
 * @id: channel id; fixed
 *
 * @state: of enum mzp_channel_state; see worker.c
 * @node: in a worker's queue; that worker's lock
 * @cpu: the worker that has it or had it last; owned by who owns the channel
 * @fetch: what the slow lane is to get; owned likewise
 *
 * @epoch: SYNC packets emitted so far
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
 * From @epoch to @arena belongs to the producer: the worker that owns the
 * channel. @buf and @offset are under @read_lock.
 */
struct mzp_channel {
	struct mzp_session *session;
	unsigned int id;

	atomic_t state;
	struct list_head node;
	int cpu;
	struct mzp_fetch fetch;

	u32 epoch;
	struct mzp_job *job;
	struct mzp_take take;
	struct mzp_residency residency;
	struct mzp_batch batch;
	struct mzp_counts counts;
	struct mzp_comp comp;
	struct mzp_arena arena;

	struct mzp_ring ring;
	wait_queue_head_t readable;

	struct mutex read_lock; /* see above */
	unsigned int buf;
	unsigned int offset;

	bool handed_out;
	struct mzp_channel_stats stats;
};

struct mzp_channel *mzp_channel_new(struct mzp_session *session, unsigned int id,
				    const struct mzp_setup *setup);
void mzp_channel_free(struct mzp_channel *channel);
void mzp_channel_drain(struct mzp_channel *channel);
void mzp_channel_wake(struct mzp_channel *channel);

int mzp_ioctl_channel(struct mzp_cmd *cmd);

#endif /* MZP_CHANNEL_H */

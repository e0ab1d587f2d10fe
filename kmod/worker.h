/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_WORKER_H
#define MZP_WORKER_H

#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/types.h>

struct mzp_channel;

/**
 * struct mzp_share - a session's place in the queue of one worker
 * @node: in the worker's queue, if it has channels
 * @channels: the session's channels that the worker is to run, in order
 * @served: the worker has run one of its channels; the worker's own
 *
 * Under the worker's lock.
 */
struct mzp_share {
	struct list_head node;
	struct list_head channels;
	bool served;
};

/**
 * struct mzp_worker_stats - a worker's counters
 * @busy_ns: time that it worked for channels
 * @runs: times that it took up a channel
 * @packets: that it put in rings
 * @sessions: sessions that it has worked for
 */
struct mzp_worker_stats {
	u64 busy_ns;
	u64 runs;
	u64 packets;
	u64 sessions;
};

/**
 * struct mzp_worker_look - how a worker is
 * @up: it takes work
 * @queued: channels that wait for it
 * @stats: its counters
 */
struct mzp_worker_look {
	bool up;
	unsigned int queued;
	struct mzp_worker_stats stats;
};

struct mzp_worker_look mzp_worker_look(unsigned int cpu);
unsigned int mzp_workers_up(void);
int mzp_workers_start(void);
void mzp_workers_stop(void);

struct mzp_share __percpu *mzp_worker_share(void);
void mzp_worker_adopt(struct mzp_channel *channel);
void mzp_worker_kick(struct mzp_channel *channel);
bool mzp_worker_kicked(const struct mzp_channel *channel);
void mzp_worker_queue(struct mzp_channel *channel);

#endif /* MZP_WORKER_H */

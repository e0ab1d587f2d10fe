/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_WORKER_H
#define MZP_WORKER_H

#include <linux/list.h>
#include <linux/percpu.h>

struct mzp_channel;

/**
 * struct mzp_share - a session's place in the queue of one worker
 * @node: in the worker's queue, if it has channels
 * @channels: the session's channels that the worker is to run, in order
 *
 * Under the worker's lock.
 */
struct mzp_share {
	struct list_head node;
	struct list_head channels;
};

int mzp_workers_start(void);
void mzp_workers_stop(void);

struct mzp_share __percpu *mzp_worker_share(void);
void mzp_worker_adopt(struct mzp_channel *channel);
void mzp_worker_kick(struct mzp_channel *channel);
void mzp_worker_queue(struct mzp_channel *channel);

#endif /* MZP_WORKER_H */

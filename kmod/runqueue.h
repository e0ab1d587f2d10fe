/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_RUNQUEUE_H
#define MZP_RUNQUEUE_H

#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/types.h>

struct mzp_channel;
struct task_struct;

/**
 * struct mzp_share - a session's place in one run queue
 * @node: in the queue, if it has channels
 * @channels: the session's channels that wait there, in order
 * @served: the queue's worker has run one of its channels; the worker's own
 *
 * Under the queue's lock.
 */
struct mzp_share {
	struct list_head node;
	struct list_head channels;
	bool served;
};

struct mzp_share __percpu *mzp_runqueue_share(void);
bool mzp_runqueue_add(struct mzp_channel *channel);
bool mzp_runqueue_remove(struct mzp_channel *channel);

/* for its worker */
void mzp_runqueues_init(void);
void mzp_runqueue_open(unsigned int cpu, struct task_struct *worker);
void mzp_runqueue_close(unsigned int cpu);
bool mzp_runqueue_pending(unsigned int cpu);
struct mzp_channel *mzp_runqueue_next(unsigned int cpu);
void mzp_runqueue_rest(unsigned int cpu);

/* for those who want to know */
bool mzp_runqueue_is_up(unsigned int cpu);
bool mzp_runqueue_is_busy(unsigned int cpu);
unsigned int mzp_runqueue_length(unsigned int cpu);
unsigned int mzp_runqueues_up(void);

#endif /* MZP_RUNQUEUE_H */

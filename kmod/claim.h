/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_CLAIM_H
#define MZP_CLAIM_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/types.h>

struct mzp_channel;
struct task_struct;

/**
 * enum mzp_claim_state - who has a channel
 * @MZP_IDLE: nobody, and when somebody last looked there was nothing to do
 * @MZP_LEFT: nobody, and its reader is to look
 * @MZP_QUEUED: a worker is to run it; its reader may, too, if it is faster
 * @MZP_RUNNING: somebody runs it
 * @MZP_KICKED: somebody runs it, and something has happened since they looked
 */
enum mzp_claim_state {
	MZP_IDLE,
	MZP_LEFT,
	MZP_QUEUED,
	MZP_RUNNING,
	MZP_KICKED,
};

/**
 * enum mzp_produced - what came of running a channel
 * @MZP_PRODUCED_NOTHING: there is nothing to do, until it is kicked
 * @MZP_PRODUCED_SOME: some work was done, and there may be more
 * @MZP_PRODUCED_LEFT: the reader has to get something, or to wait for it
 */
enum mzp_produced {
	MZP_PRODUCED_NOTHING,
	MZP_PRODUCED_SOME,
	MZP_PRODUCED_LEFT,
};

/**
 * struct mzp_claim - who may run a channel
 * @state: of enum mzp_claim_state
 * @node: while it is MZP_QUEUED, in a run queue; that queue's lock
 * @queue: the CPU of that run queue, or -1; that queue's lock
 * @cpu: the CPU of the run queue that it was in last; a hint
 * @waiting: readers that sleep until there is something for them
 * @needs_reader: with MZP_LEFT: a worker has been there, and needed to wait
 * @reader: the reader that runs it, or NULL; the session's queue lock
 */
struct mzp_claim {
	atomic_t state;
	struct list_head node;
	int queue;
	int cpu;
	atomic_t waiting;
	bool needs_reader;
	struct task_struct *reader;
};

void mzp_claim_init(struct mzp_channel *channel);
void mzp_claim_kick(struct mzp_channel *channel);
bool mzp_claim_take(struct mzp_channel *channel);
bool mzp_claim_take_or_kick(struct mzp_channel *channel);
void mzp_claim_look(struct mzp_channel *channel);
bool mzp_claim_kicked(const struct mzp_channel *channel);
bool mzp_claim_open(const struct mzp_channel *channel);
void mzp_claim_release(struct mzp_channel *channel, enum mzp_produced produced);
void mzp_claim_pass_on(struct mzp_channel *channel);
void mzp_claim_wait_begin(struct mzp_channel *channel);
void mzp_claim_wait_end(struct mzp_channel *channel, bool comes);
void mzp_claim_note_reader(struct mzp_channel *channel, struct task_struct *task);
bool mzp_claim_wake_reader(struct mzp_channel *channel);

#endif /* MZP_CLAIM_H */

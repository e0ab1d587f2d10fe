/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_JOB_H
#define MZP_JOB_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/types.h>

#include "cursor.h"
#include "round.h"

struct bio_vec;
struct mzp_block;
struct mzp_channel;
struct mzp_cmd;
struct mzp_session;

/**
 * enum mzp_job_kind - what a job is
 * @MZP_JOB_SEND: pages
 * @MZP_JOB_SYNC: the end of a round
 * @MZP_JOB_INJECT: bytes of the VMM's own
 */
enum mzp_job_kind {
	MZP_JOB_SEND,
	MZP_JOB_SYNC,
	MZP_JOB_INJECT,
};

/**
 * struct mzp_job - a SEND, a SYNC or an INJECT
 * @ref: the session's until the result is fetched, or without a result until it is
 *	done; one for each channel that has pages of it; and of a SYNC one of its round
 * @session: whose; it outlives the job; fixed
 * @node: of a SEND: in the round's jobs; of an INJECT: in its channel's; once done, in
 *	the session's finished or broken ones, if it has a result
 * @id: what user space calls it by; fixed
 * @kind: what it is; fixed
 * @no_result: nobody will ask what came of it; fixed
 * @no_round: of a SYNC: the round that it ends does not count; fixed
 * @block: of a SEND: whose pages are sent; fixed
 * @round: of a SEND or INJECT: which it belongs to; of a SYNC: the one that it begins,
 *	until it is handed over
 * @fresh: absent pages need not be sent; fixed
 * @window: the pages that @zero_bitmap is about; fixed
 * @cursor: what has been handed to channels
 * @zero_bitmap: bit n: page window.first + n is zero and the receiver has to be
 *	told; or NULL. Set with atomic bit operations while the job runs,
 *	constant when it is done.
 * @own: memory of our own that goes into the rings; no page once it is there. Of a
 *	SYNC: its packets' headers, one for each channel, which alone touches its own. Of
 *	an INJECT: its bytes, which whoever runs its channel moves.
 * @nr_own: how many buffers
 * @syncs_left: channels that have not emitted their SYNC packet
 * @channel: of an INJECT: where the bytes go; fixed
 * @moved: how many buffers of them were moved
 * @length: how many bytes in all; fixed
 * @input: bytes of the cursor's input; fixed
 * @memory: bytes of the rest, but for small change; fixed
 * @submitted: pages to send; fixed
 * @taken: pages that channels have taken so far
 * @counts: what became of them
 * @error: errno that ended the job, or 0
 * @error_page: the page that could not be sent
 * @done: nothing more will happen; the rest does not change any more
 * @order: how many jobs were done before it
 *
 * What is not fixed is under the session's queue lock. A job of a session that has
 * failed counts as done.
 */
struct mzp_job {
	struct kref ref;
	struct mzp_session *session;
	struct list_head node;
	u64 id;
	enum mzp_job_kind kind;
	bool no_result;
	bool no_round;
	struct mzp_block *block;
	struct mzp_round *round;
	bool fresh;
	struct mzp_span window;
	struct mzp_cursor cursor;
	unsigned long *zero_bitmap;
	struct bio_vec *own;
	unsigned int nr_own;
	unsigned int syncs_left;
	struct mzp_channel *channel;
	unsigned int moved;
	u32 length;
	size_t input;
	size_t memory;
	u64 submitted;
	u64 taken;
	struct mzp_counts counts;
	int error;
	u64 error_page;
	bool done;
	u64 order;
};

struct mzp_job *mzp_job_new(struct mzp_session *session);
void mzp_job_discard(struct mzp_job *job);
void mzp_job_put(struct mzp_job *job);
int mzp_job_charge(struct mzp_job *job, size_t *part, size_t bytes);
void *mzp_job_alloc(struct mzp_job *job, size_t *part, size_t nr, size_t size);
void mzp_job_free_input(struct mzp_job *job, void *input);
int mzp_job_start(struct mzp_job *job);
void mzp_job_count(const struct mzp_job *job, struct mzp_tally *tally, int sign);
struct mzp_job *mzp_job_find(struct mzp_session *session, u64 id);
bool mzp_job_fetch(struct mzp_job *job);
void mzp_jobs_free(struct mzp_session *session);

int mzp_ioctl_send(struct mzp_cmd *cmd);
int mzp_ioctl_sync(struct mzp_cmd *cmd);
int mzp_ioctl_wait(struct mzp_cmd *cmd);

#endif /* MZP_JOB_H */

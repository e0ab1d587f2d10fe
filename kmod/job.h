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
struct mzp_cmd;
struct mzp_session;

/**
 * struct mzp_job - a SEND or a SYNC
 * @ref: the session's until the result is fetched, and one for each channel
 *	that has pages of it
 * @node: in the session's active jobs
 * @id: what user space calls it by; fixed
 * @block: whose pages are sent; NULL: this is a SYNC; fixed
 * @epoch: number of SYNCs before it; fixed
 * @round: which it belongs to; fixed
 * @fresh: absent pages need not be sent; fixed
 * @window: the pages that @zero_bitmap is about; fixed
 * @cursor: what has been handed to channels
 * @zero_bitmap: bit n: page window.first + n is zero and the receiver has to be
 *	told; or NULL. Set with atomic bit operations while the job runs,
 *	constant when it is done.
 * @sync: the SYNC packets' headers, one for each channel, which alone touches
 *	its own; no page once emitted
 * @nr_sync: how many
 * @syncs_left: channels that have not emitted theirs
 * @memory: bytes that it takes, but for small change; fixed
 * @submitted: pages to send; fixed
 * @taken: pages that channels have taken so far
 * @counts: what became of them
 * @error: errno that ended the job, or 0
 * @error_page: the page that could not be sent
 * @done: nothing more will happen; the rest does not change any more
 * @told: number of the WAIT for all jobs that added this one up last, or 0
 *
 * What is not fixed is under the session lock.
 */
struct mzp_job {
	struct kref ref;
	struct list_head node;
	u64 id;
	struct mzp_block *block;
	u32 epoch;
	struct mzp_round *round;
	bool fresh;
	struct mzp_span window;
	struct mzp_cursor cursor;
	unsigned long *zero_bitmap;
	struct bio_vec *sync;
	unsigned int nr_sync;
	unsigned int syncs_left;
	size_t memory;
	u64 submitted;
	u64 taken;
	struct mzp_counts counts;
	int error;
	u64 error_page;
	bool done;
	u64 told;
};

/**
 * enum mzp_next - what a channel has to do next
 * @MZP_NEXT_IDLE: nothing, for now
 * @MZP_NEXT_PAGES: send pages
 * @MZP_NEXT_SYNC: emit a SYNC packet
 */
enum mzp_next {
	MZP_NEXT_IDLE,
	MZP_NEXT_PAGES,
	MZP_NEXT_SYNC,
};

enum mzp_next mzp_job_next(struct mzp_session *session, u32 epoch, struct mzp_job **job);
unsigned int mzp_job_take(struct mzp_session *session, struct mzp_job *job, u64 *page,
			  unsigned int max);
u64 mzp_job_skip(struct mzp_session *session, struct mzp_job *job, u64 to);
void mzp_job_account(struct mzp_session *session, struct mzp_job *job,
		     const struct mzp_counts *counts);
void mzp_job_synced(struct mzp_session *session, struct mzp_job *job);
void mzp_job_fail(struct mzp_session *session, struct mzp_job *job, int error, u64 page);
void mzp_job_put(struct mzp_job *job);

void mzp_jobs_abort(struct mzp_session *session, int error);
void mzp_jobs_free(struct mzp_session *session);

int mzp_ioctl_send(struct mzp_cmd *cmd);
int mzp_ioctl_sync(struct mzp_cmd *cmd);
int mzp_ioctl_wait(struct mzp_cmd *cmd);

#endif /* MZP_JOB_H */

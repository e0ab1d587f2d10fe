/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_QUEUE_H
#define MZP_QUEUE_H

#include <linux/types.h>

struct mzp_channel;
struct mzp_counts;
struct mzp_job;
struct mzp_session;

/**
 * enum mzp_next - what a channel has to do next
 * @MZP_NEXT_IDLE: nothing, for now
 * @MZP_NEXT_PAGES: send pages
 * @MZP_NEXT_SYNC: emit a SYNC packet
 * @MZP_NEXT_INJECT: emit bytes of the VMM's own
 */
enum mzp_next {
	MZP_NEXT_IDLE,
	MZP_NEXT_PAGES,
	MZP_NEXT_SYNC,
	MZP_NEXT_INJECT,
};

enum mzp_next mzp_queue_next(struct mzp_channel *channel, struct mzp_job **job);
unsigned int mzp_queue_take(struct mzp_job *job, u64 *page, unsigned int max, bool *over);
u64 mzp_queue_skip(struct mzp_job *job, u64 to);
void mzp_queue_account(struct mzp_job *job, const struct mzp_counts *counts);
void mzp_queue_synced(struct mzp_channel *channel, struct mzp_job *job);
void mzp_queue_injected(struct mzp_job *job);
void mzp_queue_fail(struct mzp_job *job, int error, u64 page);
void mzp_queue_add(struct mzp_job *job);
bool mzp_queue_done(const struct mzp_job *job);

#endif /* MZP_QUEUE_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_PENDING_H
#define MZP_PENDING_H

#include <linux/atomic.h>
#include <linux/poll.h>
#include <linux/types.h>
#include <linux/wait.h>

struct file;
struct mzp_cmd;
struct mzp_session;

/**
 * struct mzp_pending - what was handed over and is still to be dealt with
 * @pages: not accounted for yet; written under the session's queue lock, read anywhere
 * @bytes: in the rings, or to be put there by SYNC or INJECT
 * @ring_pages: of the packets in the rings
 * @max_pages: the mark that is waited for
 * @max_bytes: likewise
 * @below: woken when no more than that is pending, or the session has failed
 */
struct mzp_pending {
	u64 pages;
	atomic64_t bytes;
	atomic64_t ring_pages;
	u64 max_pages;
	u64 max_bytes;
	wait_queue_head_t below;
};

void mzp_pending_init(struct mzp_pending *pending);
void mzp_pending_look(struct mzp_pending *pending);
void mzp_pending_take(struct mzp_pending *pending, size_t bytes);
void mzp_pending_wake(struct mzp_pending *pending);
__poll_t mzp_pending_poll(struct mzp_session *session, struct file *file, poll_table *wait);

int mzp_ioctl_wait_pending(struct mzp_cmd *cmd);

#endif /* MZP_PENDING_H */

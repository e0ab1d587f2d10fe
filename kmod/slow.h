/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_SLOW_H
#define MZP_SLOW_H

#include <linux/list.h>
#include <linux/spinlock.h>

struct mzp_channel;
struct mzp_session;
struct task_struct;

/**
 * enum mzp_need - what keeps a channel from going on
 * @MZP_NEED_LOCK: mmap_lock
 * @MZP_NEED_PAGE: the page at its position
 * @MZP_NEED_HEADER: memory for a header
 */
enum mzp_need {
	MZP_NEED_LOCK,
	MZP_NEED_PAGE,
	MZP_NEED_HEADER,
};

/**
 * struct mzp_slow - a session's slow lane
 * @task: the thread; fixed once the session is set up
 * @lock: protects @queue
 * @queue: channels whose next page needs time
 */
struct mzp_slow {
	struct task_struct *task;
	spinlock_t lock; /* see above */
	struct list_head queue;
};

void mzp_slow_init(struct mzp_slow *slow);
int mzp_slow_start(struct mzp_session *session);
void mzp_slow_submit(struct mzp_channel *channel);
void mzp_slow_interrupt(struct mzp_slow *slow);
void mzp_slow_stop(struct mzp_slow *slow);

#endif /* MZP_SLOW_H */

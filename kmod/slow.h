/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_SLOW_H
#define MZP_SLOW_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

struct mzp_channel;
struct mzp_session;
struct task_struct;

/**
 * enum mzp_need - what keeps a channel from going on
 * @MZP_NEED_LOCK: mmap_lock
 * @MZP_NEED_PAGE: the page at its position
 * @MZP_NEED_MEMORY: memory for a packet's own bytes
 * @MZP_NEED_TIME: nothing; it must not send more for a while
 */
enum mzp_need {
	MZP_NEED_LOCK,
	MZP_NEED_PAGE,
	MZP_NEED_MEMORY,
	MZP_NEED_TIME,
};

/* Enough to be worth the way to the slow lane, few enough to be back soon. */
#define MZP_FETCH_PAGES 16u

/**
 * struct mzp_fetch - what a channel is in the slow lane for, and what came of
 * it
 * @need: what keeps it
 * @first: with MZP_NEED_PAGE: first page that is needed, in its block
 * @nr: how many are, one behind the other
 * @got: how many of them are in @page
 * @page: pages that were got, one reference each
 * @error: negative errno if the first one cannot be had, or 0
 * @stalls: times in a row that nothing was got
 * @since: when that began, in jiffies
 */
struct mzp_fetch {
	enum mzp_need need;
	u64 first;
	unsigned int nr;
	unsigned int got;
	struct page *page[MZP_FETCH_PAGES];
	int error;
	unsigned int stalls;
	unsigned long since;
};

/**
 * struct mzp_slow - a session's slow lane
 * @task: the thread; fixed once the session is set up
 * @lock: protects @queue
 * @queue: channels that need something
 * @resting: those that need time only; the thread's own
 * @wait: where the thread waits for them
 */
struct mzp_slow {
	struct task_struct *task;
	spinlock_t lock; /* see above */
	struct list_head queue;
	struct list_head resting;
	wait_queue_head_t wait;
};

void mzp_slow_init(struct mzp_slow *slow);
int mzp_slow_start(struct mzp_session *session);
void mzp_slow_submit(struct mzp_channel *channel);
void mzp_slow_wake(struct mzp_slow *slow);
void mzp_slow_interrupt(struct mzp_slow *slow);
void mzp_slow_stop(struct mzp_slow *slow);

#endif /* MZP_SLOW_H */

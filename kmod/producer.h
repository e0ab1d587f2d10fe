/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_PRODUCER_H
#define MZP_PRODUCER_H

#include "claim.h"

struct mzp_channel;

/**
 * enum mzp_patience - what a producer may wait for
 * @MZP_PATIENCE_NONE: nothing: it serves others, too, or must not sleep
 * @MZP_PATIENCE_PAGES: pages, locks, memory: what reading a file may wait for
 * @MZP_PATIENCE_ALL: also until the session may send more
 */
enum mzp_patience {
	MZP_PATIENCE_NONE,
	MZP_PATIENCE_PAGES,
	MZP_PATIENCE_ALL,
};

/**
 * enum mzp_need - what keeps an impatient producer from going on
 * @MZP_NEED_LOCK: mmap_lock
 * @MZP_NEED_PAGE: the page at its position
 * @MZP_NEED_MEMORY: memory for a packet's own bytes
 * @MZP_NEED_TIME: nothing; the session must not send more for a while
 */
enum mzp_need {
	MZP_NEED_LOCK,
	MZP_NEED_PAGE,
	MZP_NEED_MEMORY,
	MZP_NEED_TIME,
};

enum mzp_produced mzp_producer_run(struct mzp_channel *channel, enum mzp_patience patience);
void mzp_producer_abandon(struct mzp_channel *channel);

#endif /* MZP_PRODUCER_H */

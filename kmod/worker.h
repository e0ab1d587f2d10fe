/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_WORKER_H
#define MZP_WORKER_H

#include <linux/types.h>

/**
 * struct mzp_worker_stats - a worker's counters
 * @busy_ns: time that it worked for channels
 * @runs: times that it took up a channel
 * @packets: that it put in rings
 * @sessions: sessions that it has worked for
 */
struct mzp_worker_stats {
	u64 busy_ns;
	u64 runs;
	u64 packets;
	u64 sessions;
};

struct mzp_worker_stats mzp_worker_stats(unsigned int cpu);
int mzp_workers_start(void);
void mzp_workers_stop(void);

#endif /* MZP_WORKER_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_WORKER_H
#define MZP_WORKER_H

struct mzp_channel;

int mzp_workers_start(void);
void mzp_workers_stop(void);

void mzp_worker_adopt(struct mzp_channel *channel);
void mzp_worker_kick(struct mzp_channel *channel);
void mzp_worker_queue(struct mzp_channel *channel);

#endif /* MZP_WORKER_H */

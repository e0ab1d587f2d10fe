/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_RECV_WORKER_H
#define MFD_PRIVATE_RECV_WORKER_H

#include "recv.h"

/* Start a thread for each channel; all are connected. */
int mfd_recv_workers_start(struct mfd_recv *recv, struct mfd_error *err);

/*
 * For the main connection: wait until all channels are at their next SYNC, then
 * let them go on.
 */
int mfd_recv_workers_flush(struct mfd_recv *recv, struct mfd_error *err);

/* The main connection has ended: wait until the channels have, properly. */
int mfd_recv_workers_finish(struct mfd_recv *recv, struct mfd_error *err);

/*
 * Wait for the threads to be gone. They are at their ends, or the migration has
 * failed, and then they soon are.
 */
void mfd_recv_workers_join(struct mfd_recv *recv);

#endif /* MFD_PRIVATE_RECV_WORKER_H */

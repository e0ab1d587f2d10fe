/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_RECV_H
#define MFD_PRIVATE_RECV_H

#include <pthread.h>

#include "clock.h"
#include "recv_channel.h"
#include "recv_listener.h"
#include "recv_main.h"
#include "recv_socket.h"

/* How often a waiting main thread looks around, and calls the progress function. */
#define MFD_RECV_TICK_MS 100

/* A channel's connection, and the thread that serves it. */
struct mfd_recv_worker {
	struct mfd_recv *recv;
	struct mfd_recv_socket socket;
	struct mfd_recv_channel channel;
	pthread_t thread;
	bool started;
	uint64_t reached;		/* SYNCs it came to; under the lock */
	bool ended;			/* under the lock */
};

/*
 * One incoming migration. The thread that calls the library's functions is also
 * the one that serves the main connection; each channel has a thread from when
 * all are connected until mfd_recv_run returns.
 *
 * Whoever fails first writes down why, and makes the cancel eventfd readable for
 * good: everybody who waits for a socket waits for it as well, and everybody who
 * waits for the condition looks at the failure.
 */
struct mfd_recv {
	_Atomic uint32_t state;		/* of enum mfd_recv_state */
	struct mfd_recv_params params;
	struct mfd_compat compat;
	char machine[256];
	struct mfd_recv_blocks blocks;
	struct mfd_recv_rules rules;
	struct mfd_recv_listener listener;
	struct mfd_recv_socket main_socket;
	struct mfd_recv_main main;
	struct mfd_recv_worker *workers;	/* params.channels of them */
	uint64_t told;			/* when progress was last called, ns */

	int cancel;			/* eventfd */
	_Atomic uint64_t heard;		/* when the source last said something, ns; 0: not yet */
	_Atomic uint64_t begun;		/* when it first did */
	_Atomic uint64_t ended;		/* when all was over; 0: not yet */
	_Atomic uint64_t strangers;	/* connections that were not the source */

	pthread_mutex_t lock;
	pthread_cond_t changed;		/* anything below, or of a worker's */
	uint64_t released;		/* SYNCs that channels may pass */
	bool concluded;			/* all is there: it cannot fail any more */
	struct mfd_error failure;	/* the first one */
};

/*
 * Make the migration fail for the reason @why, unless it has one or is over. Any thread.
 */
void mfd_recv_fail(struct mfd_recv *recv, const struct mfd_error *why);

/*
 * For the main thread when it waits, every tick: has the migration failed, or has
 * the source been silent for too long? Calls the progress function.
 */
int mfd_recv_check(struct mfd_recv *recv, struct mfd_error *err);

/* Wait for a change, @ms at most. Call with the lock. */
void mfd_recv_wait_change(struct mfd_recv *recv, unsigned int ms);

#endif /* MFD_PRIVATE_RECV_H */

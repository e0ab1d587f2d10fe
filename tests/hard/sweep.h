/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whatever fails inside the kernel: each call is made with its first allocation
 * or user copy failing, then with its second, and so on until nothing is left
 * to fail. A call that fails says why, and has done nothing: it can be made
 * again, and then a round of the session is right to the last byte. In the end
 * nothing is left of the session: not itself, not its RLIMIT_MEMLOCK charge, not
 * a reference on a page.
 */
#ifndef SWEEP_H
#define SWEEP_H

#include "frames.h"
#include "mem.h"

enum { PAGES = 48, CHANNELS = 2 };

/* A session on its way through its life. */
enum stage { CLOSED, OPEN, SET_UP, READABLE, WITH_BLOCK, SENT, SYNCED, DONE };

struct state {
	enum stage stage;
	struct session s;
	struct rx rx;
	struct mem m;
	int memfd;
	struct frames frames;
	struct sent sent;
	uint64_t sync;
	uint32_t extra;		/* a block that is only there to be removed */
	int pipe[2], nl, events, ep;
	bool broken;		/* what the netlink socket holds is of no use */
	uint64_t number;
	uint64_t bits[1];
	uint8_t buf[64 * 1024];
};

/* Arguments of its SETUP. */
struct mzp_setup state_setup(void);
/* Without CAP_IPC_LOCK, and with room for one session: what stays charged is missed. */
void limit_memlock(void);
/* There is one at a time. */
struct state *state_new(enum stage stage);
void advance_to(struct state *st, enum stage stage);
/* Nothing may be left of it. */
void state_free(struct state *st);
/* Close it, unless that was done before. */
void close_fd(int *fd);

struct sweep {
	enum stage from;			/* how far the session is before */
	void (*prepare)(struct state *st);
	int (*act)(struct state *st);		/* 0 or an errno */
	enum stage to;				/* how far it is after that has worked */
	bool may_differ;			/* other errors than ENOMEM and EFAULT */
	void (*finish)(struct state *st);	/* instead of a round */
};

/* Make the call with each failure, each time of a new session, and say how many there were. */
void sweep(const struct sweep *what);

/* Steps that several sweeps have. */

/* SETUP, on CPU 0 only. */
int act_setup(struct state *st);
/* Somebody listens to events. */
void prepare_events(struct state *st);
/* Events, and a job that is not done: more pages than the rings have room for. */
void prepare_pending(struct state *st);
/* The session has been cancelled, and what was not done with it. */
void finish_cancel(struct state *st);

#endif

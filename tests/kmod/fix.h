/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of the ioctls share: a session that is in a known state, and
 * the commands' arguments.
 */
#ifndef FIX_H
#define FIX_H

#include "kit.h"

/* The argument of any command. */
union arg {
	uint32_t size;
	uint8_t bytes[256];
	struct mzp_info info;
	struct mzp_setup setup;
	struct mzp_block_add add;
	struct mzp_block_remove remove;
	struct mzp_channel_get channel;
	struct mzp_send send;
	struct mzp_sync sync;
	struct mzp_wait wait;
	struct mzp_cancel cancel;
	struct mzp_pump pump;
	struct mzp_status status;
	struct mzp_wait_pending pending;
	struct mzp_end end;
	struct mzp_inject inject;
	struct mzp_rate rate;
};

/* A session in which one more call of any command works. */
struct fix {
	int fd;
	uint8_t *ram;
	uint32_t block, spare;
	uint64_t job;
};
#define RAM_PAGES 64ul

/* Memory, and a session that still needs its SETUP. */
void fix_open_bare(struct fix *f);
/* Set up, with two blocks and a job that is done and whose result was not fetched. */
void fix_open(struct fix *f);
/* A session whose ring of 2 × 8 pages is full and which has more to do. */
void fix_open_full(struct fix *f);
void fix_close(struct fix *f);

/* Fill in what BLOCK_ADD needs to make one more block of the memory. */
void fill_add(struct fix *f, union arg *a);
/* Take from the channel of fix_open_full()'s session all that its job gives. */
void drain(struct fix *f);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* An input whose bytes are in memory, and which may come in pieces. */
#ifndef FEED_H
#define FEED_H

#include <stdbool.h>

#include "recv_block.h"
#include "recv_input.h"

struct feed {
	struct mfd_recv_input input;
	const uint8_t *data;
	size_t left;
	size_t piece;		/* as much at a time at most */
	bool open;		/* nothing comes behind the data, not even the end */
	bool stuck;		/* so somebody would wait for ever */
};

void feed_init(struct feed *feed, const uint8_t *data, size_t size, size_t piece);

/*
 * Blocks as the seeds have one: ram0 of four pages; and @two: "b" of a single page, of
 * which nothing is known. Around them are the sanitizer's red zones.
 */
void feed_blocks(struct mfd_recv_blocks *blocks, bool two);

/* The blocks are not needed any more; their memory is kept for the next time. */
void feed_done(struct mfd_recv_blocks *blocks);

#endif /* FEED_H */

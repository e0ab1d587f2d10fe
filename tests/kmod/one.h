/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A session of one channel, whose stream describes itself (see rx.c) and carries
 * pages that are known: a byte that is lost, repeated or moved is noticed at the latest
 * one packet later. And one that reads from it once, in a thread.
 */
#ifndef ONE_H
#define ONE_H

#include "mem.h"

/* One channel, and a block in which data and zeros alternate. */
struct one {
	struct session s;
	struct rx rx;
	struct mem m;
	struct sent sent;
	int ch;
};

/* With @pages in the block; @ring and @packet_pages are those of struct mzp_setup. */
void one_open(struct one *o, uint64_t pages, unsigned int ring, unsigned int packet_pages);
/* The same, set up like this. */
void one_open_as(struct one *o, uint64_t pages, const struct mzp_setup *setup);
/* Send the whole block, and a SYNC. */
void one_send(struct one *o);
/* What the channel says of that in the end, and its length: what another session says of it. */
uint8_t *one_stream(const struct one *o, size_t *length);
/* All that was sent has been fed to the receiver. */
void one_check(struct one *o);
/* Close the session first; the channel must then be at its proper end. */
void one_close(struct one *o);

/* A pipe with room for @size bytes at least; returns for how many. */
int make_pipe(int p[2], int size);

struct reader {
	int ch, to;		/* splice to @to unless -1 */
	unsigned int flags;
	uint8_t *buf;
	size_t n;
	ssize_t got;
	int err;
};

/* Read once, as struct reader @arg says, and note in it what came of it. */
void *reader(void *arg);
/* The number of the system call that it makes. */
long reader_call(const struct reader *r);

#endif

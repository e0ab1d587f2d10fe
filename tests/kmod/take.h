/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whoever takes what a channel gives: by each of the ways that there are, one after the
 * other in one stream if need be, and each of them waits for more as it can.
 */
#ifndef TAKE_H
#define TAKE_H

#include "kit.h"

enum way { BY_READ, BY_SPLICE, BY_PUMP, WAYS };

struct take {
	int ch, pipe[2], socket[2];
};

#define TAKE_MAX 65536ul

void take_init(struct take *t, int ch);
/* Closes the channel, too. */
void take_free(struct take *t);
/* Take some bytes, @n or TAKE_MAX at most. Return how many; 0: the end; or -errno. */
ssize_t take(struct take *t, enum way way, void *buf, size_t n);

/* A thread that does so until that ends or fails. */
struct taker {
	struct thread thread;
	struct take take;
	enum way way;		/* WAYS: each time another */
	uint64_t bytes;		/* so far */
	/* gets what comes, or is NULL */
	void (*feed)(void *arg, const uint8_t *data, size_t n);
	void *arg;
	uint64_t random;
	int err;
};

void taker_start(struct taker *t, int ch, enum way way,
		 void (*feed)(void *arg, const uint8_t *data, size_t n), void *arg);
/* Wait until it sleeps in its system call. */
void taker_sleeps(const struct taker *t);
/* Wait until it is over, and close the channel: 0 at a proper end, or an errno. */
int taker_end(struct taker *t);

#endif

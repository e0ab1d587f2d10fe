/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CONNECTIONS_H
#define CONNECTIONS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

/* Of a destination. */
struct connection {
	int fd;
	uint64_t bytes;		/* that came, for who counts them */
	pthread_t thread;
};

#define MAX_CONNECTIONS 257

/*
 * Take @nr connections, and serve each in a thread of its own, which is given the struct
 * connection, until all threads have ended. Return: the sum of bytes.
 */
uint64_t serve_connections(int listener, int nr, void *(*serve)(void *connection));

/*
 * Serve one: let the kernel throw away what comes, which TCP can do without copying it, and
 * count it; in one call so much at most.
 */
extern size_t discard_at_once;
void *discard(void *connection);
/* The same, and end it at this end, too. */
void *drain(void *connection);

#endif /* CONNECTIONS_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CONNECTIONS_H
#define CONNECTIONS_H

#include <pthread.h>
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

#endif /* CONNECTIONS_H */

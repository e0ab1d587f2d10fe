/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SOURCE_COST_WAYS_H
#define SOURCE_COST_WAYS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "source_cost_memory.h"

#define WAYS 13
#define PIPE_SIZE (1 << 20)

struct channel;

struct way {
	const char *name;
	/* out of the module, or else out of memory, or else just encryption */
	void (*from_channel)(struct channel *channel);
	void (*from_memory)(struct channel *channel);
	void (*encrypt)(uint64_t bytes, size_t record);
	uint32_t setup_flags;
	size_t record;
	bool nonblock, ktls, gnutls, to_nowhere;
};

struct channel {
	const struct way *way;
	const struct memory *memory;
	/* it is one of so many, and without the module it sends so often */
	int id, channels, rounds;
	int fd;
	int socket;
	int pipe[2];
	struct tls *tls;
	/* what went to the socket, and of it encryption's own */
	uint64_t bytes;
	uint64_t records;
	pthread_t thread;
};

extern const struct way ways[WAYS];

#endif /* SOURCE_COST_WAYS_H */

// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <sys/socket.h>

#include "connections.h"

uint64_t serve_connections(int listener, int nr, void *(*serve)(void *connection))
{
	static struct connection connection[MAX_CONNECTIONS];
	uint64_t sum = 0;
	int i;

	for (i = 0; i < nr; i++) {
		connection[i].fd = accept(listener, NULL, NULL);
		if (connection[i].fd < 0)
			err(1, "accept");
		errno = pthread_create(&connection[i].thread, NULL, serve, &connection[i]);
		if (errno)
			err(1, "thread");
	}
	for (i = 0; i < nr; i++) {
		pthread_join(connection[i].thread, NULL);
		sum += connection[i].bytes;
	}
	return sum;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A destination that takes everything and keeps nothing: what a source can do
 * when the receiver is not in its way.
 *
 * Usage: sink CONNECTIONS [BYTES]
 *
 * Prints the TCP port on 127.0.0.1 where it listens, takes that many
 * connections, lets the kernel throw away what comes on them, which TCP can do
 * without copying it, at most BYTES (default 4 MiB) in one call, and prints how many bytes
 * there were. Then it waits for the end of its input, so that what it has cost can be seen.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "connections.h"

static size_t at_once = 1 << 22;

static void *drain(void *arg)
{
	struct connection *connection = arg;
	ssize_t n;

	while ((n = recv(connection->fd, NULL, at_once, MSG_TRUNC)) > 0)
		connection->bytes += n;
	if (n < 0)
		err(1, "recv");
	/* libmfd ends the channels when the main connection was ended at both ends */
	shutdown(connection->fd, SHUT_WR);
	return NULL;
}

static int listen_here(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t size = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, size) || listen(fd, MAX_CONNECTIONS) ||
	    getsockname(fd, (struct sockaddr *)&addr, &size))
		err(1, "socket");
	printf("%d\n", ntohs(addr.sin_port));
	fflush(stdout);
	return fd;
}

int main(int argc, char **argv)
{
	int nr = argc > 1 ? atoi(argv[1]) : 0;

	if (argc == 3)
		at_once = strtoul(argv[2], NULL, 10);
	if (nr < 1 || nr > MAX_CONNECTIONS || argc > 3 || !at_once)
		errx(2, "see the usage in the source");
	printf("%" PRIu64 "\n", serve_connections(listen_here(), nr, drain));
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A destination that takes everything and keeps nothing: what a source can do
 * when the receiver is not in its way.
 *
 * Usage: sink CONNECTIONS
 *
 * Prints the TCP port on 127.0.0.1 where it listens, takes that many
 * connections, lets the kernel throw away what comes on them, which TCP can do
 * without copying it, and prints how many bytes there were.
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
	int nr = argc == 2 ? atoi(argv[1]) : 0;

	if (nr < 1 || nr > MAX_CONNECTIONS)
		errx(2, "see the usage in the source");
	printf("%" PRIu64 "\n", serve_connections(listen_here(), nr, drain));
	return 0;
}

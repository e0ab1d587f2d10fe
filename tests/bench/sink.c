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
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CONNECTIONS 257

struct connection {
	int fd;
	uint64_t bytes;
	pthread_t thread;
};

static void *drain(void *arg)
{
	struct connection *connection = arg;
	ssize_t n;

	while ((n = recv(connection->fd, NULL, 1 << 22, MSG_TRUNC)) > 0)
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
	static struct connection connections[MAX_CONNECTIONS];
	int nr = argc == 2 ? atoi(argv[1]) : 0, i, fd;
	uint64_t sum = 0;

	if (nr < 1 || nr > MAX_CONNECTIONS)
		errx(2, "see the usage in the source");
	fd = listen_here();
	for (i = 0; i < nr; i++) {
		connections[i].fd = accept(fd, NULL, NULL);
		if (connections[i].fd < 0)
			err(1, "accept");
		errno = pthread_create(&connections[i].thread, NULL, drain, &connections[i]);
		if (errno)
			err(1, "thread");
	}
	for (i = 0; i < nr; i++) {
		pthread_join(connections[i].thread, NULL);
		sum += connections[i].bytes;
	}
	printf("%" PRIu64 "\n", sum);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A destination that puts all that comes into fresh memory, and looks at none of it: what
 * receiving costs at least.
 *
 * Usage: pour SOCKET CONNECTIONS FILE BYTES
 *
 * Listens at the UNIX socket SOCKET, takes that many connections, and reads what comes on
 * them into FILE, which is mapped and has BYTES: each into the next piece that nobody has
 * had, and at the end from the front again, until all have ended.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "connections.h"

/* What a packet has, so that as many calls are made as a receiver would need. */
#define PIECE (512 << 10)

static char *memory;
static size_t size, next;

static void *pour(void *arg)
{
	struct connection *connection = arg;
	ssize_t n = 1;

	while (n > 0) {
		char *at = memory + __atomic_fetch_add(&next, PIECE, __ATOMIC_RELAXED) % size;
		size_t done = 0;

		for (; done < PIECE && n > 0; done += n)
			n = recv(connection->fd, at + done, PIECE - done, 0);
	}
	if (n < 0)
		err(1, "recv");
	return NULL;
}

static int listen_at(const char *path, int connections)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		errx(2, "the socket's name is too long");
	strcpy(addr.sun_path, path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, connections))
		err(1, "%s", path);
	return fd;
}

static char *map(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	char *at;

	if (fd < 0 || ftruncate(fd, size))
		err(1, "%s", path);
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		err(1, "%s", path);
	return at;
}

int main(int argc, char **argv)
{
	int n = argc == 5 ? atoi(argv[2]) : 0;

	if (n < 1 || n > MAX_CONNECTIONS)
		errx(2, "usage: pour SOCKET CONNECTIONS FILE BYTES");
	size = strtoul(argv[4], NULL, 10) / PIECE * PIECE;
	if (!size)
		errx(2, "at least %d bytes", PIECE);
	memory = map(argv[3]);
	serve_connections(listen_at(argv[1], n), n, pour);
	return 0;
}

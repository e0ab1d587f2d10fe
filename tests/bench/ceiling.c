// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the machine can do at most: to read memory, to copy it, and to send it
 * to itself over TCP.
 *
 * Usage: ceiling [MEGABYTES [RUNS]]
 *
 * One thread reads and copies; TCP has a second one, which throws away what
 * comes. Prints a line of JSON for each of these: MB/s of every run.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SEND_SIZE (512 << 10)

static size_t size;
static unsigned char *from, *to;
static int sender, receiver;

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void read_all(void)
{
	const uint64_t *word = (const uint64_t *)from;
	static volatile uint64_t keep;
	uint64_t sum[4] = { 0 };

	for (size_t i = 0; i < size / 8; i += 4) {
		sum[0] |= word[i];
		sum[1] |= word[i + 1];
		sum[2] |= word[i + 2];
		sum[3] |= word[i + 3];
	}
	keep = sum[0] | sum[1] | sum[2] | sum[3];
	(void)keep;
}

static void copy_all(void)
{
	memcpy(to, from, size);
}

static void *receive(void *arg)
{
	size_t left = size;
	ssize_t n;

	while (left) {
		n = recv(receiver, NULL, left, MSG_TRUNC);
		if (n <= 0)
			err(1, "recv");
		left -= n;
	}
	return arg;
}

static void send_all(void)
{
	size_t done = 0;
	pthread_t thread;
	ssize_t n;

	errno = pthread_create(&thread, NULL, receive, NULL);
	if (errno)
		err(1, "thread");
	while (done < size) {
		n = send(sender, from + done, size - done < SEND_SIZE ? size - done : SEND_SIZE, 0);
		if (n < 0)
			err(1, "send");
		done += n;
	}
	pthread_join(thread, NULL);
}

static void connect_both(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t length = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sender = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || sender < 0 || bind(fd, (struct sockaddr *)&addr, length) || listen(fd, 1) ||
	    getsockname(fd, (struct sockaddr *)&addr, &length) ||
	    connect(sender, (struct sockaddr *)&addr, length))
		err(1, "socket");
	receiver = accept(fd, NULL, NULL);
	if (receiver < 0)
		err(1, "accept");
}

static void measure(const char *what, void (*function)(void), int runs)
{
	function();
	printf("{\"kind\": \"ceiling\", \"what\": \"%s\", \"mb_s\": [", what);
	for (int run = 0; run < runs; run++) {
		double start = seconds();

		function();
		printf("%s%.1f", run ? ", " : "", size / 1e6 / (seconds() - start));
	}
	printf("]}\n");
	fflush(stdout);
}

static unsigned char *memory(void)
{
	unsigned char *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (mem == MAP_FAILED)
		err(1, "memory");
	memset(mem, 0x5a, size);
	return mem;
}

int main(int argc, char **argv)
{
	int runs = argc > 2 ? atoi(argv[2]) : 5;

	size = (size_t)(argc > 1 ? atoi(argv[1]) : 256) << 20;
	from = memory();
	to = memory();
	connect_both();
	measure("read", read_all, runs);
	measure("memcpy", copy_all, runs);
	measure("TCP loopback", send_all, runs);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the machine can do at most: to read memory, to copy it, and to send it to
 * itself over TCP, copied by send(2) or as it is, page by page, by splice(2).
 *
 * Usage: ceiling [MEGABYTES [RUNS [WHERE]]]
 *
 * One thread reads, copies and sends; TCP has a second one, which throws away what
 * comes. Prints a line of JSON for each of these: MB/s of every run, and the first
 * thread's CPU time, s/GiB. WHERE is the machine's name in it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
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
static int file, pipe_fds[2];
static unsigned char *from, *to;
static int sender, receiver;

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
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

static void send_some(size_t at, size_t length)
{
	while (length) {
		ssize_t n = send(sender, from + at, length, 0);

		if (n < 0)
			err(1, "send");
		at += n;
		length -= n;
	}
}

static void splice_some(size_t at, size_t length)
{
	loff_t offset = at;
	ssize_t in, n;

	while (length) {
		in = splice(file, &offset, pipe_fds[1], NULL, length, SPLICE_F_MOVE);
		if (in <= 0)
			err(1, "splice");
		for (length -= in; in; in -= n) {
			n = splice(pipe_fds[0], NULL, sender, NULL, in,
				   SPLICE_F_MOVE | SPLICE_F_MORE);
			if (n <= 0)
				err(1, "splice to the socket");
		}
	}
}

static void over_tcp(void (*some)(size_t, size_t))
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, receive, NULL);
	if (errno)
		err(1, "thread");
	for (size_t at = 0; at < size; at += SEND_SIZE)
		some(at, size - at < SEND_SIZE ? size - at : SEND_SIZE);
	pthread_join(thread, NULL);
}

static void send_all(void)
{
	over_tcp(send_some);
}

static void splice_all(void)
{
	over_tcp(splice_some);
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

static void print(const char *name, const double *value, int number)
{
	printf(", \"%s\": [", name);
	for (int i = 0; i < number; i++)
		printf("%s%.5g", i ? ", " : "", value[i]);
	printf("]");
}

static void measure(const char *where, const char *what, void (*function)(void), int runs)
{
	double speed[runs], cpu[runs];

	function();
	for (int run = 0; run < runs; run++) {
		double wall = seconds(CLOCK_MONOTONIC), spent = seconds(CLOCK_THREAD_CPUTIME_ID);

		function();
		speed[run] = size / 1e6 / (seconds(CLOCK_MONOTONIC) - wall);
		cpu[run] = (seconds(CLOCK_THREAD_CPUTIME_ID) - spent) / size * (1 << 30);
	}
	printf("{\"kind\": \"ceiling\", \"where\": \"%s\", \"what\": \"%s\"", where, what);
	print("mb_s", speed, runs);
	print("cpu_s", cpu, runs);
	printf("}\n");
	fflush(stdout);
}

static unsigned char *memory(int fd)
{
	unsigned char *mem;

	if (fd < 0 || ftruncate(fd, size))
		err(1, "a file in memory");
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (mem == MAP_FAILED)
		err(1, "memory");
	memset(mem, 0x5a, size);
	return mem;
}

int main(int argc, char **argv)
{
	int runs = argc > 2 ? atoi(argv[2]) : 5;
	const char *where = argc > 3 ? argv[3] : "here";

	if (runs < 1)
		errx(2, "at least one run");
	size = (size_t)(argc > 1 ? atoi(argv[1]) : 256) << 20;
	file = memfd_create("from", MFD_CLOEXEC);
	from = memory(file);
	to = memory(memfd_create("to", MFD_CLOEXEC));
	if (pipe(pipe_fds) || fcntl(pipe_fds[1], F_SETPIPE_SZ, SEND_SIZE) < 0)
		err(1, "pipe");
	connect_both();
	measure(where, "read", read_all, runs);
	measure(where, "memcpy", copy_all, runs);
	measure(where, "TCP, send", send_all, runs);
	measure(where, "TCP, splice", splice_all, runs);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * How late a thread gets its CPU: what a vCPU feels of a migration.
 *
 * Usage: latency [--fifo]
 *
 * On each CPU that it may use, a thread sleeps a millisecond again and again,
 * and takes down by how much each sleep was too long: what a timer of a guest
 * would be late. With --fifo these threads come before all others, so that what is
 * left is how long the kernel keeps a CPU, and not whom its scheduler likes better.
 * Prints an empty line when all have begun. Ends when stdin does, and prints the
 * distribution, in microseconds: a JSON list of [up to, how often].
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define PERIOD_NS 1000000ull
/* 32 classes for each doubling: within 3 % of the true value. */
#define CLASSES_LOG 5
#define CLASSES (1 << CLASSES_LOG)
#define BUCKETS (40 * CLASSES)

struct probe {
	pthread_t thread;
	pthread_barrier_t *begun;
	int cpu;
	unsigned long count[BUCKETS];
};

static atomic_bool over;
static bool fifo;

static unsigned int bucket_of(uint64_t ns)
{
	unsigned int log;

	if (ns < CLASSES)
		return ns;
	log = 63 - __builtin_clzll(ns);
	log = (log - CLASSES_LOG + 1) * CLASSES + (ns >> (log - CLASSES_LOG)) - CLASSES;
	return log < BUCKETS ? log : BUCKETS - 1;
}

/* The first value that is not in the bucket any more. */
static uint64_t bucket_end(unsigned int bucket)
{
	unsigned int log = bucket / CLASSES;

	if (!log)
		return bucket + 1;
	return (uint64_t)(bucket % CLASSES + CLASSES + 1) << (log - 1);
}

static void *run(void *arg)
{
	struct probe *probe = arg;
	struct timespec ts;
	uint64_t then;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(probe->cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(1, "CPU %d", probe->cpu);
	if (fifo && sched_setscheduler(0, SCHED_FIFO, &(struct sched_param) { .sched_priority = 1 }))
		err(1, "SCHED_FIFO");
	pthread_barrier_wait(probe->begun);
	while (!over) {
		then = clock_ns(CLOCK_MONOTONIC) + PERIOD_NS;
		ts.tv_sec = then / 1000000000;
		ts.tv_nsec = then % 1000000000;
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
			;
		probe->count[bucket_of(clock_ns(CLOCK_MONOTONIC) - then)]++;
	}
	return NULL;
}

static void print(const struct probe *probes, int nr)
{
	const char *comma = "";
	unsigned int bucket;

	printf("[");
	for (bucket = 0; bucket < BUCKETS; bucket++) {
		unsigned long count = 0;

		for (int i = 0; i < nr; i++)
			count += probes[i].count[bucket];
		if (!count)
			continue;
		printf("%s[%.3f, %lu]", comma, bucket_end(bucket) / 1e3, count);
		comma = ", ";
	}
	printf("]\n");
}

int main(int argc, char **argv)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	struct probe *probes = calloc(CPU_SETSIZE, sizeof(*probes));
	pthread_barrier_t begun;
	cpu_set_t set;
	int nr = 0;

	fifo = argc == 2 && !strcmp(argv[1], "--fifo");
	if (argc > 1 + fifo)
		errx(2, "see the usage in the source");
	if (!probes || sched_getaffinity(0, sizeof(set), &set))
		err(1, "CPUs");
	mlockall(MCL_CURRENT | MCL_FUTURE);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set))
			probes[nr++].cpu = cpu;
	pthread_barrier_init(&begun, NULL, nr + 1);
	for (int i = 0; i < nr; i++) {
		probes[i].begun = &begun;
		errno = pthread_create(&probes[i].thread, NULL, run, &probes[i]);
		if (errno)
			err(1, "thread");
	}
	pthread_barrier_wait(&begun);
	puts("");
	fflush(stdout);
	while (poll(&in, 1, -1) < 0 && errno == EINTR)
		;
	over = true;
	for (int i = 0; i < nr; i++)
		pthread_join(probes[i].thread, NULL);
	print(probes, nr);
	return 0;
}

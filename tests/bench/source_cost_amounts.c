// SPDX-License-Identifier: GPL-2.0-only
/* What time and what else has passed: as the kernel counts it, for all of the machine. */
#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "source_cost_amounts.h"

#define MAX_THREADS 256

struct tasks {
	int nr;
	int pid[MAX_THREADS];
};

static struct tasks workers, softirqs;

/* The threads of the kernel whose names begin so. */
static void find_tasks(struct tasks *tasks, const char *prefix)
{
	char path[64], name[64];
	struct dirent *entry;
	DIR *dir = opendir("/proc");
	FILE *file;

	if (!dir)
		err(1, "/proc");
	while ((entry = readdir(dir))) {
		if (!isdigit((unsigned char)*entry->d_name) || tasks->nr == MAX_THREADS)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/comm", atoi(entry->d_name));
		file = fopen(path, "r");
		if (file && fgets(name, sizeof(name), file) &&
		    !strncmp(name, prefix, strlen(prefix)))
			tasks->pid[tasks->nr++] = atoi(entry->d_name);
		if (file)
			fclose(file);
	}
	closedir(dir);
}

void amounts_find_tasks(void)
{
	find_tasks(&workers, "multifd_zp/");
	find_tasks(&softirqs, "ksoftirqd/");
}

static uint64_t tasks_ns(const struct tasks *tasks)
{
	uint64_t sum = 0, ns;
	char path[64];
	FILE *file;
	int i;

	for (i = 0; i < tasks->nr; i++) {
		snprintf(path, sizeof(path), "/proc/%d/schedstat", tasks->pid[i]);
		file = fopen(path, "r");
		if (!file || fscanf(file, "%" SCNu64, &ns) != 1)
			err(1, "%s", path);
		fclose(file);
		sum += ns;
	}
	return sum;
}

static uint64_t process_ns(pid_t pid)
{
	clockid_t clock;

	errno = clock_getcpuclockid(pid, &clock);
	if (errno)
		err(1, "the receiver's clock");
	return clock_ns(clock);
}

static uint64_t switches(void)
{
	uint64_t value = 0;
	char line[4096];
	FILE *file = fopen("/proc/stat", "r");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "ctxt %" SCNu64, &value) == 1)
			break;
	if (!file)
		err(1, "/proc/stat");
	fclose(file);
	return value;
}

/* The second line that begins with Tcp: has the values; OutSegs is the eleventh. */
static uint64_t segments(void)
{
	uint64_t value = 0;
	char line[1024];
	FILE *file = fopen("/proc/net/snmp", "r");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Tcp: %*u %*u %*u %*d %*u %*u %*u %*u %*u %*u %" SCNu64,
			   &value) == 1)
			break;
	if (!file)
		err(1, "/proc/net/snmp");
	fclose(file);
	return value;
}

struct amounts amounts_now(pid_t receiver)
{
	return (struct amounts) {
		.threads = clock_ns(CLOCK_PROCESS_CPUTIME_ID),
		.workers = tasks_ns(&workers),
		.softirq = tasks_ns(&softirqs),
		.receiver = receiver ? process_ns(receiver) : 0,
		.wall = clock_ns(CLOCK_MONOTONIC),
		.switches = switches(),
		.segments = segments(),
	};
}

// SPDX-License-Identifier: GPL-2.0-only
#include "nth.h"

#include <dirent.h>
#include <fcntl.h>

int nth_open(pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/fail-nth", tid, tid);
	if (tid == getpid())
		snprintf(path, sizeof(path), "/proc/thread-self/fail-nth");
	return sys(open(path, O_RDWR | O_CLOEXEC));
}

void nth_arm(int fd, unsigned int n)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", n);

	/* It may be this that fails, for what was armed before. */
	while (pwrite(fd, text, length, 0) != length)
		must(errno == EFAULT);
}

bool nth_disarm(int fd)
{
	char text[16] = "";
	ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
	/* Where reading the answer was what failed, nothing had before. */
	bool failed = got > 0 && !atoi(text);

	nth_arm(fd, 0);
	return failed;
}

void fault_file(const char *what, const char *file, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", what, file);
	file_put(path, value);
}

bool faults_ready(void)
{
	static bool ready;

	if (ready || access("/sys/kernel/debug/failslab", F_OK))
		return ready;
	fault_file("failslab", "ignore-gfp-wait", "N");
	fault_file("fail_page_alloc", "ignore-gfp-wait", "N");
	fault_file("fail_page_alloc", "ignore-gfp-highmem", "N");
	fault_file("fail_page_alloc", "min-order", "0");
	fault_file("failslab", "verbose", "0");
	fault_file("fail_page_alloc", "verbose", "0");
	fault_file("fail_usercopy", "verbose", "0");
	ready = true;
	return ready;
}

pid_t find_task(const char *name)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	pid_t found = 0;

	must(dir);
	while (!found && (entry = readdir(dir))) {
		char path[300], comm[32] = "";
		int fd;

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, comm, sizeof(comm) - 1) > 0) {
			comm[strcspn(comm, "\n")] = 0;
			if (!strcmp(comm, name))
				found = atoi(entry->d_name);
		}
		close(fd);
	}
	closedir(dir);
	return found;
}

pid_t task_named(const char *name)
{
	pid_t found = find_task(name);

	must(found, "there is no task %s", name);
	return found;
}

// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "source_cost_late.h"

static struct {
	pid_t pid;
	/* it ends when this is closed */
	int life;
	FILE *said;
} late;

static void run(int life, int said)
{
	char path[PATH_MAX] = "";

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0 ||
	    dup2(life, STDIN_FILENO) < 0 || dup2(said, STDOUT_FILENO) < 0 || chdir(dirname(path)))
		err(1, "latency");
	execl("latency", "latency", "--fifo", NULL);
	err(1, "latency");
}

void late_begin(void)
{
	int life[2], said[2];

	if (pipe2(life, O_CLOEXEC) || pipe2(said, O_CLOEXEC))
		err(1, "pipe");
	late.pid = fork();
	if (late.pid < 0)
		err(1, "fork");
	if (!late.pid)
		run(life[0], said[1]);
	close(life[0]);
	close(said[1]);
	late.life = life[1];
	late.said = fdopen(said[0], "r");
	if (!late.said || getc(late.said) != '\n')
		errx(1, "latency did not begin");
}

const char *late_end(void)
{
	static char line[1 << 16];

	close(late.life);
	if (!fgets(line, sizeof(line), late.said))
		errx(1, "latency says nothing");
	fclose(late.said);
	waitpid(late.pid, NULL, 0);
	line[strcspn(line, "\n")] = '\0';
	return line;
}

// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "beside.h"

static void path_of(const char *name, char *path, size_t size)
{
	char self[PATH_MAX] = "";

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0 ||
	    (size_t)snprintf(path, size, "%s/%s", dirname(self), name) >= size)
		err(1, "%s", name);
}

void beside_start(struct beside *beside, const char *const *arguments)
{
	posix_spawn_file_actions_t actions;
	int input[2], output[2];
	char path[PATH_MAX];

	path_of(arguments[0], path, sizeof(path));
	if (pipe2(input, O_CLOEXEC) || pipe2(output, O_CLOEXEC))
		err(1, "pipe");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
	/* not a fork, which would share this program's memory, and so change what it costs */
	errno = posix_spawn(&beside->pid, path, &actions, NULL, (char *const *)arguments, environ);
	if (errno)
		err(1, "%s", path);
	posix_spawn_file_actions_destroy(&actions);
	close(input[0]);
	close(output[1]);
	beside->input = input[1];
	beside->output = fdopen(output[0], "r");
	if (!beside->output)
		err(1, "pipe");
}

void beside_line(struct beside *beside, char *line, size_t size)
{
	if (!fgets(line, size, beside->output))
		errx(1, "the program beside this one says nothing");
	line[strcspn(line, "\n")] = '\0';
}

void beside_finish(struct beside *beside)
{
	if (beside->input >= 0)
		close(beside->input);
	beside->input = -1;
}

void beside_end(struct beside *beside)
{
	beside_finish(beside);
	fclose(beside->output);
	waitpid(beside->pid, NULL, 0);
}

// SPDX-License-Identifier: GPL-2.0-only
#include "trace.h"

#include <fcntl.h>

#define TRACING "/sys/kernel/tracing/"

void trace_begin(void)
{
	int fd;

	if (access(TRACING "trace", R_OK | W_OK))
		skip_since("the kernel has no trace");
	trace_end();
	/* This empties the trace, too, so it is not done when one ends. */
	if (!access(TRACING "kprobe_events", W_OK))
		close(sys(open(TRACING "kprobe_events", O_WRONLY | O_TRUNC | O_CLOEXEC)));
	file_put(TRACING "trace_clock", "mono");
	/* opening it to write empties it */
	fd = sys(open(TRACING "trace", O_WRONLY | O_TRUNC | O_CLOEXEC));
	close(fd);
	file_put(TRACING "tracing_on", "1");
}

void trace_event(const char *event)
{
	char path[128];

	snprintf(path, sizeof(path), TRACING "events/%s/enable", event);
	file_put(path, "1");
}

bool trace_calls(const char *function)
{
	int fd = open(TRACING "kprobe_events", O_WRONLY | O_APPEND | O_CLOEXEC);
	char text[128];
	ssize_t put;

	if (fd < 0)
		return false;
	snprintf(text, sizeof(text), "p:mzp_test/%s %s", function, function);
	put = write(fd, text, strlen(text));
	close(fd);
	if (put < 0)
		return false;
	snprintf(text, sizeof(text), "mzp_test/%s", function);
	trace_event(text);
	return true;
}

void trace_end(void)
{
	file_put(TRACING "tracing_on", "0");
	file_put(TRACING "events/enable", "0");
}

/* "  TASK-PID  [CPU] FLAGS SECONDS: EVENT: TEXT"; false if it is a comment. */
static bool parse(char *line, struct traced *t)
{
	char *cpu = strstr(line, " ["), *time, *text;

	if (line[0] == '#' || !cpu)
		return false;
	*cpu = 0;
	t->task = line + strspn(line, " ");
	time = strchr(cpu + 1, ']') + 2;
	time = strchr(time + strspn(time, " "), ' ');
	t->time = strtod(time, &text);
	must(text[0] == ':' && text[1] == ' ', "no time: %s", time);
	t->event = text + 2;
	text = strchr(t->event, ':');
	must(text, "no event: %s", t->event);
	*text = 0;
	t->text = text + 1 + strspn(text + 1, " ");
	return true;
}

void trace_each(void (*fn)(const struct traced *t, void *arg), void *arg)
{
	FILE *f = fopen(TRACING "trace", "re");
	struct traced t;
	char *line = NULL;
	size_t room = 0;

	must(f);
	while (getline(&line, &room, f) > 0) {
		if (parse(line, &t))
			fn(&t, arg);
	}
	free(line);
	fclose(f);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/* mfdctl's commands. */
#ifndef CTL_H
#define CTL_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

struct mfd_error;

/* What a command returns if it was called wrongly, and the exit status then. */
#define CTL_USAGE 2

/**
 * struct ctl_command - one of mfdctl's commands
 * @name: as it is typed
 * @arguments: what may follow
 * @summary: what it does, on one line
 * @help: all about it
 * @run: do it; @argv[0] is the command. Returns 0, a negative errno, or CTL_USAGE;
 *	if it is not 0, @err has the reason, or its text is empty because that
 *	was said already
 */
struct ctl_command {
	const char *name;
	const char *arguments;
	const char *summary;
	const char *help;
	int (*run)(int argc, char **argv, struct mfd_error *err);
};

extern const struct ctl_command ctl_info_command, ctl_stats_command, ctl_top_command,
				ctl_monitor_command, ctl_history_command, ctl_cancel_command,
				ctl_limit_command, ctl_host_command, ctl_drain_command,
				ctl_version_command, ctl_bugreport_command;

/*
 * The arguments behind the options: at most one, a session's id; *@given tells
 * whether it was there. Returns 0 or CTL_USAGE.
 */
int ctl_session_argument(int argc, char **argv, bool *given, uint64_t *id,
			 struct mfd_error *err);

/* Nothing may stand behind the options. Returns 0 or CTL_USAGE. */
int ctl_no_argument(int argc, char **argv, struct mfd_error *err);

/* The options of commands that have none but --json. Returns 0 or CTL_USAGE. */
int ctl_json_option(int argc, char **argv, bool *json);

void ctl_pause(double seconds);

#endif /* CTL_H */

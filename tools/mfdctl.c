// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl: see what the migrations of this machine are doing, and limit or end them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>

#include "ctl/ctl.h"
#include "ctl/export.h"
#include "ctl/text.h"
#include "lib/error.h"
#include "program.h"

#define PROGRAM "mfdctl"

static const struct ctl_command *const commands[] = {
	&ctl_stats_command, &ctl_top_command, &ctl_monitor_command, &ctl_history_command,
	&ctl_info_command, &ctl_limit_command, &ctl_cancel_command, &ctl_host_command,
	&ctl_drain_command, &ctl_version_command, &ctl_bugreport_command,
};

#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void help(void)
{
	size_t i;

	puts("Usage: " PROGRAM " COMMAND [ARGUMENT]…\n"
	     "\n"
	     "See what the migrations that run through multifd_zp.ko are doing, and limit or end\n"
	     "them.\n");
	for (i = 0; i < NR_COMMANDS; i++)
		printf("  %-9s %s\n", commands[i]->name, commands[i]->summary);
	puts("\n"
	     "  " PROGRAM " COMMAND --help tells more.\n"
	     "  With --json, an error is an object on standard output, too: `error`, with\n"
	     "  `message`, `errno`, `name` and `status`.\n"
	     "\n"
	     "A session is a migration's source: a process that has /dev/multifd_zp open. It is\n"
	     "known by a number, which stats and top show. Users see sessions of their own; to\n"
	     "see those of others, events, what is past, and to limit or cancel, takes CAP_NET_ADMIN.\n"
	     "\n"
	     "Exit status: 0; 1: it did not work; 2: usage.\n"
	     "\n"
	     "Examples:\n"
	     "  Who migrates, how fast, and what does it wait for?\n"
	     "    " PROGRAM " stats\n"
	     "  The same as it goes on:\n"
	     "    " PROGRAM " top\n"
	     "  Leave some of the network, and of the CPUs, to others:\n"
	     "    sudo " PROGRAM " limit 12 --rate 100M --cpus 0-3\n"
	     "  Tell when rounds are over, and how migrations end:\n"
	     "    sudo " PROGRAM " monitor\n"
	     "  What has become of the last ones?\n"
	     "    sudo " PROGRAM " history");
}

static void command_help(const struct ctl_command *command)
{
	printf("Usage: " PROGRAM " %s %s\n\n%s", command->name, command->arguments,
	       command->help);
}

static const struct ctl_command *find(const char *name)
{
	size_t i;

	for (i = 0; i < NR_COMMANDS; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

int ctl_session_argument(int argc, char **argv, bool *given, uint64_t *id,
			 struct mfd_error *err)
{
	*given = optind < argc;
	if (!*given)
		return 0;
	if (optind + 1 < argc) {
		mfd_error_set(err, EINVAL, "one session at most, not also '%.64s'",
			      argv[optind + 1]);
		return CTL_USAGE;
	}
	return ctl_parse_id(argv[optind], id, err) ? CTL_USAGE : 0;
}

int ctl_no_argument(int argc, char **argv, struct mfd_error *err)
{
	if (optind == argc)
		return 0;
	mfd_error_set(err, EINVAL, "unexpected argument '%.64s'", argv[optind]);
	return CTL_USAGE;
}

int ctl_json_option(int argc, char **argv, bool *json)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	*json = false;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'j')
			return CTL_USAGE;
		*json = true;
	}
	return 0;
}

void ctl_pause(double seconds)
{
	const struct timespec pause = {
		.tv_sec = seconds,
		.tv_nsec = (seconds - (time_t)seconds) * 1e9,
	};

	nanosleep(&pause, NULL);
}

static bool is_help(const char *argument)
{
	return !strcmp(argument, "--help") || !strcmp(argument, "-h");
}

/* For programs that read the output as JSON: an error is an object as well. */
static void print_json_error(const char *text, int code, int status)
{
	struct json_object *object = json_object_new_object(), *error = json_object_new_object();
	const char *name = strerrorname_np(code);

	json_object_object_add(error, "message", json_object_new_string(text));
	json_object_object_add(error, "errno", json_object_new_int(code));
	json_object_object_add(error, "name", name ? json_object_new_string(name) : NULL);
	json_object_object_add(error, "status", json_object_new_int(status));
	json_object_object_add(object, "error", error);
	ctl_json_print(object);
}

/* What failed, on standard error. Returns the exit status. */
static int tell_error(const char *name, int ret, const struct mfd_error *err)
{
	if (*err->text) {
		fprintf(stderr, PROGRAM ": ");
		ctl_put(stderr, err->text, 0);
		if (ret == CTL_USAGE)
			fprintf(stderr, " (see %s --help)", name);
		fputc('\n', stderr);
	} else if (ret == CTL_USAGE) {
		/* getopt has said why */
		fprintf(stderr, PROGRAM ": see %s --help\n", name);
	}
	return ret == CTL_USAGE ? CTL_USAGE : 1;
}

static int run(const struct ctl_command *command, int argc, char **argv)
{
	struct mfd_error err = { .size = sizeof(err) };
	static char name[32];
	bool json = false;
	int i, ret, status;

	for (i = 1; i < argc; i++) {
		json |= !strcmp(argv[i], "--json");
		if (is_help(argv[i])) {
			command_help(command);
			return 0;
		}
	}
	/* for what getopt says */
	snprintf(name, sizeof(name), PROGRAM " %s", command->name);
	argv[0] = name;
	ret = command->run(argc, argv, &err);
	if (!ret)
		return 0;
	status = tell_error(name, ret, &err);
	if (json)
		print_json_error(*err.text ? err.text : "the arguments are wrong",
				 err.code ? err.code : EINVAL, status);
	return status;
}

static int no_command(const char *name)
{
	fprintf(stderr, PROGRAM ": no command '%.64s' (see " PROGRAM " --help)\n", name);
	return CTL_USAGE;
}

/* help, or help COMMAND */
static int help_with(int argc, char **argv)
{
	const struct ctl_command *command = argc > 1 ? find(argv[1]) : NULL;

	if (argc > 1 && !command)
		return no_command(argv[1]);
	if (command)
		command_help(command);
	else
		help();
	return 0;
}

int main(int argc, char **argv)
{
	const struct ctl_command *command = argc > 1 ? find(argv[1]) : NULL;
	int status = 0;

	program_start();
	if (command) {
		status = run(command, argc - 1, argv + 1);
	} else if (argc > 1 && !strcmp(argv[1], "help")) {
		status = help_with(argc - 1, argv + 1);
	} else if (argc > 1 && is_help(argv[1])) {
		help();
	} else if (argc > 1 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))) {
		char *version[] = { argv[1], NULL };

		status = run(&ctl_version_command, 1, version);
	} else if (argc > 1) {
		status = no_command(argv[1]);
	} else {
		fprintf(stderr, PROGRAM ": a command is missing (see " PROGRAM " --help)\n");
		status = CTL_USAGE;
	}
	if (fflush(stdout) || ferror(stdout)) {
		perror(PROGRAM);
		return status ? status : PROGRAM_UNREPORTED;
	}
	return status;
}

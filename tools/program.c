// SPDX-License-Identifier: GPL-2.0-only
/* What all programs that migrate do with their command line, and about limits. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "program.h"

int program_usage(const struct program *program, const char *wrong)
{
	fprintf(stderr, "%s: %s (see %s --help)\n", program->name, wrong, program->name);
	return PROGRAM_USAGE;
}

int program_failed(const struct program *program, const struct mfd_error *err)
{
	fprintf(stderr, "%s: %s\n", program->name, err->text);
	return 1;
}

int program_end(const struct program *program, int status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	fprintf(stderr, "%s: standard output: %s\n", program->name, strerror(errno));
	return status ? status : PROGRAM_UNREPORTED;
}

static void open_standard_files(void)
{
	int fd;

	/* the lowest number that is free is taken */
	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			_exit(1);
}

void program_start(void)
{
	open_standard_files();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

static int open_output(const char *file, int flags, struct mfd_error *err)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC | flags, 0600);

	if (fd >= 0)
		return fd;
	err->code = errno;
	snprintf(err->text, sizeof(err->text), "%.128s: %s", file,
		 errno == ENXIO ? "nobody reads this FIFO" : strerror(errno));
	return -err->code;
}

int program_open_output(const char *file, struct mfd_error *err)
{
	int fd = open_output(file, O_TRUNC, err);

	if (fd >= 0)
		fcntl(fd, F_SETFL, 0);
	return fd;
}

int program_check_output(const char *file, struct mfd_error *err)
{
	int fd = file ? open_output(file, 0, err) : -1;

	if (!file)
		return 0;
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

void program_raise_open_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

int program_parse(const struct program *program, void *options, int argc, char **argv)
{
	struct mfd_error err = { .size = sizeof(err) };
	static char name[32];
	int option;

	/* for what getopt says */
	snprintf(name, sizeof(name), "%s", program->name);
	if (argc)
		argv[0] = name;
	while ((option = getopt_long(argc, argv, "hV", program->options, NULL)) != -1) {
		switch (option) {
		case 'h':
		case OPT_HELP:
			program->help();
			return 0;
		case 'V':
		case OPT_VERSION:
			printf("%s %s\n", program->name, MZP_VERSION);
			return 0;
		case '?':
			/* getopt has said why */
			fprintf(stderr, "%s: see %s --help\n", program->name, program->name);
			return PROGRAM_USAGE;
		}
		if (program->take(options, option, optarg, &err))
			return program_usage(program, err.text);
	}
	if (optind < argc)
		return program_usage(program, "there are only options, no other arguments");
	return -1;
}

// SPDX-License-Identifier: GPL-2.0-only
/* What all programs that migrate do with their command line, and about limits. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "program.h"

int program_usage(const struct program *program, const char *wrong)
{
	fprintf(stderr, "%s: %s (see %s --help)\n", program->name, wrong, program->name);
	return PROGRAM_USAGE;
}

void program_open_standard_files(void)
{
	int fd;

	/* each call takes the lowest number that is free */
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
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
	int option;

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

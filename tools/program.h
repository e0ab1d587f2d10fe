/* SPDX-License-Identifier: GPL-2.0-only */
/* What all programs that migrate do with their command line, and about limits. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <getopt.h>

#include "lib/mfd.h"

/* The exit status when a program was called wrongly. */
#define PROGRAM_USAGE 2
/* All is done, but that could not be written where it was to be. */
#define PROGRAM_UNREPORTED 3
/* It failed at the end: the destination may have the guest, or not. */
#define PROGRAM_UNKNOWN 4

/**
 * struct program - how a program is called
 * @name: its name
 * @options: for getopt_long(), with PROGRAM_OPTIONS among them
 * @help: print what --help shows
 * @take: keep one option's @arg in the @options that program_parse() was given.
 *	Returns 0, or something else with a message.
 */
struct program {
	const char *name;
	const struct option *options;
	void (*help)(void);
	int (*take)(void *options, int option, const char *arg, struct mfd_error *err);
};

enum {
	OPT_HELP = 0x100,
	OPT_VERSION,
	OPT_PROGRAM,		/* others' start here */
};

/* For a program's struct option array. */
#define PROGRAM_OPTIONS \
	{ "help", no_argument, NULL, OPT_HELP }, \
	{ "version", no_argument, NULL, OPT_VERSION }

/*
 * Before anything else. /dev/null is opened for those of stdin, stdout and stderr that are
 * closed: otherwise the first files that are opened take their places, and what is printed
 * goes there, into a guest's memory if that is what it is. To write to a pipe that nobody
 * reads, or beyond what a file may hold, is an error like others, and not the end.
 */
void program_start(void);

/*
 * Open a file that something will be written to at the end, so that what is wrong with it is
 * known at the beginning. Nobody waits for a FIFO's reader. Return: fd or a negative errno.
 */
int program_open_output(const char *file, struct mfd_error *err);

/* Could it be opened? What it holds stays. NULL: no file. Return: 0 or a negative errno. */
int program_check_output(const char *file, struct mfd_error *err);

/* Take the command line apart. Return: -1 to go on, or the exit status. */
int program_parse(const struct program *program, void *options, int argc, char **argv);

/*
 * Allow as many open files as the system does. The usual limit is for the sake of
 * programs that use select(), and a migration may have 255 channels of two files each.
 */
void program_raise_open_files(void);

/* Say what is wrong with the command line. Return: PROGRAM_USAGE. */
int program_usage(const struct program *program, const char *wrong);

/* Say that it does not work. Return: 1. */
int program_failed(const struct program *program, const struct mfd_error *err);

/* What is still to be written to stdout is written. Return: the exit status. */
int program_end(const struct program *program, int status);

#endif /* PROGRAM_H */

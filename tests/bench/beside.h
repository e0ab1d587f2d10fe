/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef BESIDE_H
#define BESIDE_H

#include <stdio.h>
#include <sys/types.h>

/* A program that runs, in the folder where this one is. It ends when its input does. */
struct beside {
	pid_t pid;
	int input;
	FILE *output;
};

/* @arguments: the program's name, what it is told, and NULL */
void beside_start(struct beside *beside, const char *const *arguments);
/* The next line that it says, without its end. If there is none, this program ends. */
void beside_line(struct beside *beside, char *line, size_t size);
/* There is no more input. */
void beside_finish(struct beside *beside);
/* The same, and wait until it is gone. */
void beside_end(struct beside *beside);

#endif /* BESIDE_H */

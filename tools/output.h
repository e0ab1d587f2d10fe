/* SPDX-License-Identifier: GPL-2.0-only */
/* Where a program writes to: perhaps a terminal, perhaps one that nobody reads. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdbool.h>

/* Is it a terminal on which a line can be replaced? */
bool output_can_draw(int fd);

/* How wide a terminal is; 80, if it does not say. */
unsigned int output_columns(int fd);

/*
 * Would a write have to wait? Whoever does not read, or has stopped the terminal's output, does
 * not mean to stop a migration.
 */
bool output_would_wait(int fd);

#endif /* OUTPUT_H */

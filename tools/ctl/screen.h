/* SPDX-License-Identifier: GPL-2.0-only */
/* A terminal that is drawn upon, and whose keys are read one by one. */
#ifndef CTL_SCREEN_H
#define CTL_SCREEN_H

#include <stdbool.h>
#include <stdio.h>

/*
 * Take the terminal over until ctl_screen_close(), also when a signal ends the
 * program. Returns false if standard input or output is none; nothing else may
 * be called then.
 */
bool ctl_screen_open(void);
void ctl_screen_close(void);

/* Where to print the next picture; ctl_screen_show() shows what of it fits. */
FILE *ctl_screen_begin(void);
void ctl_screen_show(void);

/*
 * Wait for a key. Returns it; 0 when @ms have passed or the terminal was
 * resized; -1 when the terminal is gone or the program is to end.
 */
int ctl_screen_key(int ms);

#endif /* CTL_SCREEN_H */

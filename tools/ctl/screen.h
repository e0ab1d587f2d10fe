/* SPDX-License-Identifier: GPL-2.0-only */
/* A terminal that is drawn upon, and whose keys are read one by one. */
#ifndef CTL_SCREEN_H
#define CTL_SCREEN_H

#include <stdbool.h>

enum ctl_look { CTL_PLAIN, CTL_BOLD, CTL_MARKED };

/* Keys that are no characters. */
enum ctl_key {
	CTL_KEY_NONE,
	CTL_KEY_ENTER = 0x1000,
	CTL_KEY_ESCAPE,
	CTL_KEY_ERASE,
	CTL_KEY_UP,
	CTL_KEY_DOWN,
	CTL_KEY_PAGE_UP,
	CTL_KEY_PAGE_DOWN,
	CTL_KEY_FIRST,
	CTL_KEY_LAST,
	CTL_KEY_REPAINT,
};

/*
 * Take the terminal over until ctl_screen_close(); whatever ends the program puts it back as
 * it was, and so does what stops it, until it is continued. Return: false if standard input
 * or output is no terminal that can; nothing else may be called then.
 */
bool ctl_screen_open(void);

void ctl_screen_close(void);

void ctl_screen_size(unsigned int *height, unsigned int *width);

/* What is in a row from now on; what does not fit is left out. */
void ctl_screen_row(unsigned int row, const char *text, enum ctl_look look);

/* Rows from there on are empty. Show it all, with the cursor nowhere. */
void ctl_screen_show(unsigned int rows);

/*
 * Wait for a key. Return: it; CTL_KEY_NONE when @ms have passed or the terminal was resized;
 * -1 when the terminal is gone or the program is to end.
 */
int ctl_screen_key(int ms);

#endif /* CTL_SCREEN_H */

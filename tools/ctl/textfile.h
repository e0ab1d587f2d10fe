/* SPDX-License-Identifier: GPL-2.0-only */
/* A file that others read at any time: it is there whole, or not at all. */
#ifndef CTL_TEXTFILE_H
#define CTL_TEXTFILE_H

#include <stdio.h>

struct mfd_error;

/* What is to become @path; with its name, for the other calls. Returns 0 or a negative errno. */
struct ctl_textfile {
	const char *path;
	char *name;
	FILE *file;
};
int ctl_textfile_open(struct ctl_textfile *text, const char *path, struct mfd_error *err);
/* Put it at its place, readable by all. Returns 0 or a negative errno. */
int ctl_textfile_publish(struct ctl_textfile *text, struct mfd_error *err);

#endif /* CTL_TEXTFILE_H */

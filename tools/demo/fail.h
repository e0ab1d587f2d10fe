/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DEMO_FAIL_H
#define DEMO_FAIL_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/mfd.h"

/* "WHAT: what errno says". Return: -errno. */
static inline int demo_fail(struct mfd_error *err, const char *what)
{
	err->code = errno;
	snprintf(err->text, sizeof(err->text), "%.128s: %s", what, strerror(errno));
	return -err->code;
}

/* Something is not as it should be, and @why says it all. */
static inline int demo_wrong(struct mfd_error *err, int code, const char *why)
{
	err->code = code;
	snprintf(err->text, sizeof(err->text), "%.200s", why);
	return -code;
}

#endif /* DEMO_FAIL_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CALL_H
#define CALL_H

#include <err.h>
#include <sys/ioctl.h>

/* The ioctl called @name, or the end of the program. */
static inline void call(int fd, unsigned long command, void *argument, const char *name)
{
	if (ioctl(fd, command, argument))
		err(1, "%s", name);
}

#endif /* CALL_H */

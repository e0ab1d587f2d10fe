/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's trace of what it does, for tests in which nobody can look meanwhile.
 */
#ifndef TRACE_H
#define TRACE_H

#include "kit.h"

/* Begin anew; skips the test if the kernel has no trace. */
void trace_begin(void);
/* Have an event, or all of a group: "power/suspend_resume", "cpuhp". */
void trace_event(const char *event);
/* Have calls of a kernel function as events of its own name; false if that cannot be. */
bool trace_calls(const char *function);
/* No more events; those that came stay. */
void trace_end(void);

struct traced {
	double time;		/* in seconds */
	const char *task;	/* name and pid */
	const char *event;
	const char *text;
};

/* All events, in the order of their times. */
void trace_each(void (*fn)(const struct traced *t, void *arg), void *arg);

#endif

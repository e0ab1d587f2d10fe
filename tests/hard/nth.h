/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fail-nth: the n-th allocation or user copy that a task makes from now on fails.
 * The task can be this thread, or another one, which is known by its name.
 */
#ifndef NTH_H
#define NTH_H

#include "kit.h"

/* Nothing has so many that can fail: who gets here would never end. */
enum { MOST = 1000 };

/* The file of this thread, or of another task. */
int nth_open(pid_t tid);
void nth_arm(int fd, unsigned int n);
/* Return: whether it came to the failure. */
bool nth_disarm(int fd);

/* Write to one of the files that a way to fail (failslab, fail_page_alloc …) has. */
void fault_file(const char *what, const char *file, const char *value);
/* Have what is armed happen, quietly. Return: whether the kernel can do that at all. */
bool faults_ready(void);

#define NEEDS_FAULTS()                                                         \
	do {                                                                   \
		if (!faults_ready()) {                                         \
			print_message("# SKIP the kernel cannot make calls fail\n"); \
			return;                                                \
		}                                                              \
	} while (0)

/* The task of this name. Return: 0 if there is none. */
pid_t find_task(const char *name);
/* The same; fails if there is none. */
pid_t task_named(const char *name);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* What asks a program to end: SIGINT, SIGTERM and SIGHUP. */
#ifndef SIGNALS_H
#define SIGNALS_H

#include "lib/mfd.h"

/*
 * Leave them to a thread that waits for them, from now on and in all threads that are made
 * later. Those that are ignored, as by nohup, stay so. The second one that comes has its
 * default action, for who is impatient. Return: 0 or a negative errno.
 */
int signals_start(struct mfd_error *err);

/* Nobody waits for them any more. */
void signals_stop(void);

/*
 * What to do when one comes, or has come and nothing was done about it: call @act with
 * @opaque, once. NULL: nothing, so far. When this returns, what was to be done before is
 * neither called nor running.
 */
void signals_act(void (*act)(void *opaque), void *opaque);

/* The name of the one that came; NULL: none. */
const char *signals_name(void);

/* Add the signal's name to an error that is its doing. */
void signals_explain(struct mfd_error *err);

#endif /* SIGNALS_H */

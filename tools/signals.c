// SPDX-License-Identifier: GPL-2.0-only
/*
 * What asks a program to end: SIGINT, SIGTERM and SIGHUP.
 *
 * A handler could hardly do anything: cancelling takes locks. So they are blocked in all
 * threads, and one of them waits for them. Since they are blocked before anything is made,
 * none comes at a moment that nobody thought of.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "signals.h"

static const struct {
	int number;
	const char *name;
} asking[] = { { SIGINT, "SIGINT" }, { SIGTERM, "SIGTERM" }, { SIGHUP, "SIGHUP" } };

#define NR_ASKING (sizeof(asking) / sizeof(*asking))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* with the lock: what is to be done, unless something has been */
static void (*todo)(void *opaque);
static void *todo_opaque;
static bool acted;
/* waits for them */
static pthread_t thread;
static bool started;
/* the one that came; 0: none */
static _Atomic int came;

static void asking_set(sigset_t *set)
{
	struct sigaction action;
	unsigned int i;

	sigemptyset(set);
	for (i = 0; i < NR_ASKING; i++)
		if (!sigaction(asking[i].number, NULL, &action) && action.sa_handler != SIG_IGN)
			sigaddset(set, asking[i].number);
}

/* With the lock. */
static void act(void)
{
	if (!todo || acted)
		return;
	acted = true;
	todo(todo_opaque);
}

static void *wait_for_signal(void *unused)
{
	sigset_t set;
	int number;

	asking_set(&set);
	if (!came && !sigwait(&set, &number)) {
		/* who is impatient may say so again, even while this acts */
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
		pthread_mutex_lock(&lock);
		came = number;
		act();
		pthread_mutex_unlock(&lock);
	}
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	while (pause())
		;
	return unused;
}

int signals_start(struct mfd_error *err)
{
	const struct timespec at_once = { .tv_sec = 0 };
	sigset_t set;

	asking_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	/* one that is there already is not to be too late for what is over soon */
	came = sigtimedwait(&set, NULL, &at_once);
	if (came < 0)
		came = 0;
	errno = pthread_create(&thread, NULL, wait_for_signal, NULL);
	started = !errno;
	if (started)
		return 0;
	err->code = errno;
	snprintf(err->text, sizeof(err->text), "waiting for signals: %s", strerror(errno));
	return -err->code;
}

void signals_stop(void)
{
	if (!started)
		return;
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	started = false;
}

void signals_act(void (*new)(void *opaque), void *opaque)
{
	pthread_mutex_lock(&lock);
	todo = new;
	todo_opaque = opaque;
	if (came)
		act();
	pthread_mutex_unlock(&lock);
}

const char *signals_name(void)
{
	unsigned int i;

	for (i = 0; i < NR_ASKING; i++)
		if (asking[i].number == came)
			return asking[i].name;
	return NULL;
}

void signals_explain(struct mfd_error *err)
{
	size_t used = strlen(err->text);

	if (err->code == ECANCELED && came)
		snprintf(err->text + used, sizeof(err->text) - used, " (%s)", signals_name());
}

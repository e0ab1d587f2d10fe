// SPDX-License-Identifier: LGPL-2.1-or-later
/* Threads of the library's own. */
#include <signal.h>

#include "thread.h"

/* Little, because a VMM may lock all its memory, and there may be 255 of them. */
#define STACK_SIZE (256 << 10)

int mfd_thread_start(pthread_t *thread, void *(*run)(void *data), void *data)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(thread, &attr, run, data);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return ret;
}

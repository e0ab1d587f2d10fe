// SPDX-License-Identifier: LGPL-2.1-or-later
/* Threads of the library's own. */
#include <signal.h>

#include "thread.h"

/* Little, because a VMM may lock all its memory, and there may be 255 of them. */
#define STACK_SIZE (256 << 10)

/* What a thread brings upon itself: if that is blocked, no handler runs, it kills. */
static const int own_faults[] = { SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP };

int mfd_thread_start(pthread_t *thread, void *(*run)(void *data), void *data)
{
	sigset_t blocked, before;
	pthread_attr_t attr;
	unsigned int i;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&blocked);
	for (i = 0; i < sizeof(own_faults) / sizeof(*own_faults); i++)
		sigdelset(&blocked, own_faults[i]);
	pthread_sigmask(SIG_SETMASK, &blocked, &before);
	ret = pthread_create(thread, &attr, run, data);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return ret;
}

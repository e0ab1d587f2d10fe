/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_THREAD_H
#define MFD_PRIVATE_THREAD_H

#include <pthread.h>

/*
 * Start a thread of the library's own, which gets no signals but those of its own
 * faults, such as SIGBUS: all others are for the program's threads. Return: 0 or an
 * errno.
 */
int mfd_thread_start(pthread_t *thread, void *(*run)(void *data), void *data);

#endif /* MFD_PRIVATE_THREAD_H */

// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Looking up names without getting stuck. getaddrinfo() waits for name servers as long as
 * the system's configuration says, ten seconds and more for each, and cannot be
 * interrupted. So it runs in a thread of its own, and who has waited long enough leaves it
 * alone: the thread and its caller share a lookup, which goes with the last of the two.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "resolve.h"
#include "thread.h"

struct lookup {
	atomic_uint users;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	/* the thread's until it says @done, under @lock */
	bool done;
	int code;			/* of getaddrinfo() */
	int errnum;			/* for EAI_SYSTEM */
	struct addrinfo *list;
	int flags;			/* for getaddrinfo() */
	char host[sizeof(((struct mfd_address *)0)->host)];
	char port[sizeof(((struct mfd_address *)0)->port)];
};

static struct lookup *lookup_new(const struct mfd_address *address, int flags)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));
	pthread_condattr_t attr;

	if (!lookup)
		return NULL;
	atomic_init(&lookup->users, 1);
	lookup->flags = flags;
	strcpy(lookup->host, address->host);
	strcpy(lookup->port, address->port);
	/* none of these can fail with the attributes used here */
	pthread_mutex_init(&lookup->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&lookup->ended, &attr);
	pthread_condattr_destroy(&attr);
	return lookup;
}

static void lookup_put(struct lookup *lookup)
{
	if (atomic_fetch_sub(&lookup->users, 1) != 1)
		return;
	if (lookup->list)
		freeaddrinfo(lookup->list);
	pthread_cond_destroy(&lookup->ended);
	pthread_mutex_destroy(&lookup->lock);
	free(lookup);
}

/*
 * Without AI_ADDRCONFIG, which hides addresses of this machine itself if it has no network:
 * one that cannot be reached fails at once when it is connected to.
 */
static int ask(const struct lookup *lookup, int flags, struct addrinfo **list)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = lookup->flags | flags };

	return getaddrinfo(*lookup->host ? lookup->host : NULL, lookup->port, &hints, list);
}

static void *lookup_thread(void *data)
{
	struct lookup *lookup = data;
	struct addrinfo *list = NULL;
	int code = ask(lookup, 0, &list), errnum = errno;

	pthread_mutex_lock(&lookup->lock);
	lookup->code = code;
	lookup->errnum = errnum;
	lookup->list = code ? NULL : list;
	lookup->done = true;
	pthread_cond_signal(&lookup->ended);
	pthread_mutex_unlock(&lookup->lock);
	lookup_put(lookup);
	return NULL;
}

static int lookup_start(struct lookup *lookup, struct mfd_error *err)
{
	pthread_t thread;
	int ret;

	atomic_fetch_add(&lookup->users, 1);
	ret = mfd_thread_start(&thread, lookup_thread, lookup);
	if (ret) {
		lookup_put(lookup);
		return mfd_error_errno(err, ret, "no thread to look up %.128s", lookup->host);
	}
	pthread_detach(thread);
	return 0;
}

/* Wait a tick. Return: whether the thread is done. */
static bool lookup_done(struct lookup *lookup, const struct mfd_wait *wait)
{
	uint64_t until = mfd_now() + mfd_wait_tick(wait) * 1000000ull;
	struct timespec time = {
		.tv_sec = until / 1000000000,
		.tv_nsec = until % 1000000000,
	};
	bool done;

	pthread_mutex_lock(&lookup->lock);
	while (!lookup->done &&
	       pthread_cond_timedwait(&lookup->ended, &lookup->lock, &time) != ETIMEDOUT)
		;
	done = lookup->done;
	pthread_mutex_unlock(&lookup->lock);
	return done;
}

static int lookup_wait(struct lookup *lookup, const struct mfd_wait *wait,
		       struct mfd_error *err)
{
	int ret;

	while (!lookup_done(lookup, wait)) {
		ret = mfd_wait_check(wait, err);
		if (ret)
			return ret;
		if (mfd_wait_over(wait))
			return mfd_error_set(err, ETIMEDOUT,
					     "looking up the host %.128s takes too long: does the name server answer?",
					     lookup->host);
	}
	return 0;
}

static int lookup_error(const struct lookup *lookup, int code, struct mfd_error *err)
{
	switch (code) {
	case EAI_SERVICE:
		return mfd_error_set(err, EINVAL,
				     "there is no TCP service '%s' here: give the port as a number",
				     lookup->port);
	case EAI_MEMORY:
		return mfd_error_errno(err, ENOMEM, "looking up %.128s", lookup->host);
	case EAI_SYSTEM:
		return mfd_error_errno(err, lookup->errnum ?: EIO, "looking up %.128s",
				       lookup->host);
	default:
		return mfd_error_set(err, EHOSTUNREACH, "the host %.128s cannot be looked up: %s",
				     lookup->host, gai_strerror(code));
	}
}

/* What is written in numbers needs neither a name server nor a thread. */
static bool in_numbers(const struct lookup *lookup, struct addrinfo **list)
{
	return !ask(lookup, AI_NUMERICHOST | AI_NUMERICSERV, list);
}

int mfd_resolve(const struct mfd_address *address, int flags, const struct mfd_wait *wait,
		struct addrinfo **list, struct mfd_error *err)
{
	struct lookup *lookup = lookup_new(address, flags);
	int ret;

	if (!lookup)
		return mfd_error_errno(err, ENOMEM, "looking up %.128s", address->host);
	if (in_numbers(lookup, list)) {
		lookup_put(lookup);
		return 0;
	}
	ret = lookup_start(lookup, err);
	if (!ret)
		ret = lookup_wait(lookup, wait, err);
	if (!ret && lookup->code)
		ret = lookup_error(lookup, lookup->code, err);
	if (!ret) {
		*list = lookup->list;
		lookup->list = NULL;
	}
	lookup_put(lookup);
	return ret;
}

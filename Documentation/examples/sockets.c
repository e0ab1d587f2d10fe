/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A migration over sockets of the VMM's own, in threads of the VMM's own: what it does
 * between mfd_block_add and the first round, and at the end.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include <mfd.h>

#define CHANNELS 2

struct vm {
	int (*connect)(struct vm *vm);	/* a new connection to the destination, or -1 */
	bool (*rounds)(struct vm *vm, struct mfd_session *session, struct mfd_error *err);
};

struct channel {
	struct mfd_session *session;
	uint32_t id;
	pthread_t thread;
};

/* [sockets] */
static void *run_channel(void *data)
{
	struct channel *channel = data;

	/* here: affinity, priority, cgroup and seccomp filter of this thread */
	mfd_channel_run(channel->session, channel->id, NULL);	/* to the end of the stream */
	return NULL;
}

/* The session was set up with MFD_PARAMS_OWN_THREADS, and has its blocks. */
bool migrate_over(struct vm *vm, struct mfd_session *session, struct mfd_error *err)
{
	struct channel channels[CHANNELS];
	unsigned int i, nr = 0;
	int fd = vm->connect(vm);
	bool ok = fd >= 0;

	/* QEMU looks at the main connection before it accepts others */
	if (ok && mfd_attach_main(session, fd, err)) {
		close(fd);		/* it is the session's unless this fails */
		ok = false;
	}
	while (ok && nr < CHANNELS) {
		fd = vm->connect(vm);
		ok = fd >= 0;
		if (ok && mfd_attach_channel(session, nr, fd, err)) {
			close(fd);
			ok = false;
		}
		channels[nr] = (struct channel){ .session = session, .id = nr };
		ok = ok && !pthread_create(&channels[nr].thread, NULL, run_channel, &channels[nr]);
		nr += ok;
	}
	ok = ok && !mfd_start(session, err) && vm->rounds(vm, session, err) &&
	     !mfd_finish(session, err);
	if (!ok)
		mfd_cancel(session);	/* threads that run return */
	for (i = 0; i < nr; i++)
		pthread_join(channels[i].thread, NULL);
	return ok;			/* now mfd_close may be called */
}
/* [end] */

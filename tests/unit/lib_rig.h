/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A source without a module, and a destination that does as it is told: for tests of
 * libmfd with real sockets and threads. In place of the module are pipes.
 */
#ifndef LIB_RIG_H
#define LIB_RIG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <linux/multifd_zp.h>

#define CHANNELS 2
#define PATIENCE_MS 50000

/* Where UNIX sockets listen; set by main(). */
extern char socket_path[96];

extern struct module {
	size_t bytes;			/* what each channel brings */
	const void *stream[CHANNELS];	/* so many bytes, or NULL: zeros */
	int pipe[CHANNELS];		/* writing ends */
	pthread_t thread[CHANNELS];
	_Atomic bool silent;		/* they bring nothing else, nor their end */
	_Atomic bool interrupted;	/* a PUMP was, once */
	int failure;			/* the session's, as PUMP's caller gets it */
	int send_error;			/* of SEND */
	struct mzp_wait wait;		/* what became of jobs */
	uint64_t sent_bits;		/* pages handed over by bitmaps, of the first 64 */
	struct mzp_status status;	/* what it says */
} module;

extern struct peer {
	int listener;
	int main;
	int channel[CHANNELS];
	void (*behave)(void);
	pthread_t thread;
} peer;

/*
 * So many bytes, or until nothing more follows. If the source has failed, it is
 * the source that is asked why.
 */
void read_bytes(int fd, size_t size);

/* Likewise, to the end. */
void read_all(int fd);

/* Close it, and forget it. */
void hang_up(int *fd);

/* A thread: take the main connection and the channels, then do what peer.behave does. */
void *serve(void *unused);

/* All that the module brings. */
void read_channels(void);

/* As QEMU does, whether it has read all of it or not. */
void leave_channels(void);

/* Return: where it listens, in libmfd's words. */
const char *listen_at(sa_family_t family);

#endif /* LIB_RIG_H */

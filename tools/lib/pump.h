/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_PUMP_H
#define MFD_PRIVATE_PUMP_H

#include <linux/multifd_zp.h>

#include "session.h"
#include "socket.h"

struct mfd_pump {
	struct mfd_session *session;
	unsigned int id;		/* the channel's */
	int channel;
	struct mfd_link socket;		/* its fd under the session's lock */
	pthread_t thread;
	bool started;
	bool claimed;			/* by mfd_channel_run; under the session's lock */
	bool secured, ended;		/* under the session's lock */
	/* its bytes are what the socket has accepted, however they got there; others look */
	struct mzp_pump call;
	uint64_t counted;		/* bytes up to which TLS records were counted */
};

/* What became of the socket: @code, a positive errno. Return: -@code. */
int mfd_pump_error(struct mfd_pump *pump, int code, struct mfd_error *err);

/*
 * The kernel encrypts, and the pump has counted more bytes in @call: renew the key if it is
 * time. For who does so in pieces of at most a chunk. Return: 0 or an error.
 */
int mfd_pump_renew_key(struct mfd_pump *pump, struct mfd_error *err);

/* The socket took nothing for longer than it may. Return: -ETIMEDOUT. */
int mfd_pump_stalled(const struct mfd_pump *pump, struct mfd_error *err);

/* Use @fd, which is the pump's from now on, for channel @id, and open that. */
int mfd_pump_attach(struct mfd_session *session, unsigned int id, int fd,
		    struct mfd_error *err);

/* Connect every channel. After a failure, mfd_pumps_disconnect. */
int mfd_pumps_connect(struct mfd_session *session, const struct mfd_endpoint *endpoint,
		      struct mfd_error *err);

/* Close the sockets, before anything was started. */
void mfd_pumps_disconnect(struct mfd_session *session);

/*
 * Open the channels that are not open yet, and start a thread for each, if they are not
 * the caller's; then wait until they are encrypted, if they are to be. All have sockets. On
 * failure mfd_pumps_close cleans up.
 */
int mfd_pumps_start(struct mfd_session *session, struct mfd_error *err);

/* Bytes that the sockets have accepted. Call with the session's lock. */
uint64_t mfd_pumps_bytes(struct mfd_session *session);

/* Make the pumps fail. Call with the session's lock. */
void mfd_pumps_shutdown(struct mfd_session *session);

/* END was called: wait until each pump has brought the rest of its channel to its socket. */
int mfd_pumps_drain(struct mfd_session *session, struct mfd_error *err);

/*
 * What follows is for when all pumps are drained, and nobody else watches their
 * sockets.
 */

/* Bytes that the destination's kernel (UNIX: the destination) has not taken yet. */
uint64_t mfd_pumps_unsent(struct mfd_session *session);

/* Has a channel failed? */
int mfd_pumps_verify(struct mfd_session *session, struct mfd_error *err);

/* Tell the destination that nothing more follows on any channel. */
void mfd_pumps_end(struct mfd_session *session);

/*
 * Has the destination taken all of that, and ended all channels on its side?
 * Return: 1: yes; 0: not yet; or a channel's error, so it has failed.
 */
int mfd_pumps_ended(struct mfd_session *session, struct mfd_error *err);

/*
 * End the threads and free everything; the session has failed or is finished.
 */
void mfd_pumps_close(struct mfd_session *session);

/* In a child after fork(2): close the files, and leave all else to the parent. */
void mfd_pumps_leave(struct mfd_session *session);

#endif /* MFD_PRIVATE_PUMP_H */

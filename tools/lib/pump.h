/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_PUMP_H
#define MFD_PRIVATE_PUMP_H

#include "session.h"
#include "socket.h"

/*
 * Connect every channel and start its pump. On failure mfd_pumps_close cleans
 * up.
 */
int mfd_pumps_open(struct mfd_session *session, const struct mfd_endpoint *endpoint,
		   struct mfd_error *err);

/* Has the destination stopped taking data for longer than it may? */
int mfd_pumps_check(struct mfd_session *session, struct mfd_error *err);

/* Bytes that the sockets have accepted. Call with the session's lock. */
uint64_t mfd_pumps_bytes(struct mfd_session *session);

/* Make the pumps fail. Call with the session's lock. */
void mfd_pumps_shutdown(struct mfd_session *session);

/*
 * The device is closed: wait until each pump has brought the rest of its
 * channel to its socket.
 */
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

#endif /* MFD_PRIVATE_PUMP_H */

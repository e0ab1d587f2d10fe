/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_MAIN_CONN_H
#define MFD_PRIVATE_MAIN_CONN_H

#include "session.h"
#include "socket.h"

/*
 * Use @fd, which is the session's from now on, and send what the destination knows the
 * main connection by: it looks at it before it accepts anybody else.
 */
int mfd_main_begin(struct mfd_session *session, int fd, struct mfd_error *err);

/* Forget the connection, before anything was started. @close_it: else it is the caller's. */
void mfd_main_disconnect(struct mfd_session *session, bool close_it);

/* The RAM set-up section. Its SYNC is on the channels already. */
int mfd_main_setup(struct mfd_session *session, struct mfd_error *err);

/*
 * The rest of a round's section, begun here if there were no zero pages. The
 * SYNC is on the channels already.
 */
int mfd_main_round(struct mfd_session *session, struct mfd_error *err);

/*
 * The last RAM section, which is empty. With flush by section its SYNC is on
 * the channels already.
 */
int mfd_main_last(struct mfd_session *session, struct mfd_error *err);

/* What stands behind RAM: bytes as they are, or a device's section. */
int mfd_main_raw(struct mfd_session *session, const void *data, size_t size,
		 struct mfd_error *err);
int mfd_main_device(struct mfd_session *session, const char *idstr, uint32_t instance,
		    uint32_t version, const void *data, size_t size, struct mfd_error *err);

/*
 * The end of the stream, then that of the channels, as soon as the destination has
 * ended the main connection; wait until it has ended them as well.
 */
int mfd_main_close(struct mfd_session *session, struct mfd_error *err);

#endif /* MFD_PRIVATE_MAIN_CONN_H */

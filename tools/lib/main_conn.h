/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_MAIN_CONN_H
#define MFD_PRIVATE_MAIN_CONN_H

#include "session.h"
#include "socket.h"

/*
 * Connect, and send what the destination knows the main connection by: it
 * looks at it before it accepts anybody else.
 */
int mfd_main_open(struct mfd_session *session, const struct mfd_address *address,
		  struct mfd_endpoint *endpoint, struct mfd_error *err);

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

/*
 * The end of the stream, then that of the channels, as soon as the destination has
 * ended the main connection; wait until it has ended them as well.
 */
int mfd_main_close(struct mfd_session *session, struct mfd_error *err);

#endif /* MFD_PRIVATE_MAIN_CONN_H */

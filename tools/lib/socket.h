/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_SOCKET_H
#define MFD_PRIVATE_SOCKET_H

#include "dial.h"
#include "session.h"

/*
 * Connect to the first of @address's meanings that answers. *@fd: a
 * non-blocking socket, the caller's. @endpoint: where the main connection got
 * through to, so that the channels go to the same place.
 */
int mfd_socket_connect(struct mfd_session *session, const struct mfd_address *address,
		       struct mfd_endpoint *endpoint, int *fd, struct mfd_error *err);

/* Connect once more. */
int mfd_socket_connect_to(struct mfd_session *session, const struct mfd_endpoint *endpoint,
			  int *fd, struct mfd_error *err);

/*
 * Encrypt @link if the session's parameters want it. After an error it is to be closed.
 * @aside: in a thread of the library's own.
 */
int mfd_socket_secure(struct mfd_session *session, struct mfd_link *link, bool aside,
		      struct mfd_error *err);

#endif /* MFD_PRIVATE_SOCKET_H */

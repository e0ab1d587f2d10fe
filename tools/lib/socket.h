/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_SOCKET_H
#define MFD_PRIVATE_SOCKET_H

#include "address.h"
#include "session.h"

/*
 * Connect to the first of @address's meanings that answers. *@fd: a
 * non-blocking socket, the caller's.
 */
int mfd_socket_connect(struct mfd_session *session, const struct mfd_address *address,
		       struct mfd_endpoint *endpoint, int *fd, struct mfd_error *err);

/* Connect once more. */
int mfd_socket_connect_to(struct mfd_session *session, const struct mfd_endpoint *endpoint,
			  int *fd, struct mfd_error *err);

/* A socket's pending error as a positive errno, or 0. */
int mfd_socket_error(int fd);

#endif /* MFD_PRIVATE_SOCKET_H */

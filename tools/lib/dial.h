/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_DIAL_H
#define MFD_PRIVATE_DIAL_H

#include "address.h"
#include "wait.h"

/* Connect to @endpoint. *@fd: a non-blocking stream socket, the caller's. */
int mfd_dial(const struct mfd_endpoint *endpoint, const struct mfd_wait *wait, int *fd,
	     struct mfd_error *err);

/*
 * Connect to the first of @address's meanings that answers, and say in @endpoint
 * which that is. None of them may take the time of those behind it.
 */
int mfd_dial_address(const struct mfd_address *address, const struct mfd_wait *wait,
		     struct mfd_endpoint *endpoint, int *fd, struct mfd_error *err);

/* A socket's pending error as a positive errno, or 0. */
int mfd_socket_error(int fd);

#endif /* MFD_PRIVATE_DIAL_H */

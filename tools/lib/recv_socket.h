/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An input that is a connected socket. */
#ifndef MFD_PRIVATE_RECV_SOCKET_H
#define MFD_PRIVATE_RECV_SOCKET_H

#include "recv_input.h"

struct mfd_recv;

struct mfd_recv_socket {
	struct mfd_recv_input input;
	struct mfd_recv *recv;
	int fd;				/* non-blocking; -1: none */
	int tick_ms;			/* look around so often while waiting; -1: never */
};

/* @fd belongs to @socket from now on. */
void mfd_recv_socket_init(struct mfd_recv_socket *socket, struct mfd_recv *recv, int fd,
			  int tick_ms);

#endif /* MFD_PRIVATE_RECV_SOCKET_H */

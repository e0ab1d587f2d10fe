/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An input that is a connection, encrypted or not. */
#ifndef MFD_PRIVATE_RECV_SOCKET_H
#define MFD_PRIVATE_RECV_SOCKET_H

#include "link.h"
#include "recv_input.h"

struct mfd_recv;

struct mfd_recv_socket {
	struct mfd_recv_input input;
	struct mfd_recv *recv;
	struct mfd_link link;
	int tick_ms;			/* look around so often while waiting; -1: never */
	atomic_bool waiting;		/* all that has come was read */
};

/* @link belongs to @socket from now on. */
void mfd_recv_socket_init(struct mfd_recv_socket *socket, struct mfd_recv *recv,
			  const struct mfd_link *link, int tick_ms);

/*
 * For others than the thread that reads @socket: is that thread waiting, with nothing there
 * that it could read?
 */
bool mfd_recv_socket_idle(struct mfd_recv_socket *socket);

#endif /* MFD_PRIVATE_RECV_SOCKET_H */

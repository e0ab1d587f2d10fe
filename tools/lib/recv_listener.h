/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The socket at which a source arrives. */
#ifndef MFD_PRIVATE_RECV_LISTENER_H
#define MFD_PRIVATE_RECV_LISTENER_H

#include <sys/types.h>

#include "address.h"
#include "wait.h"

struct mfd_recv_listener {
	int fd;				/* -1: none */
	struct mfd_address address;
	char text[320];			/* of the address, with the port it got */
	dev_t dev;			/* these two: which socket a UNIX one's path names */
	ino_t ino;
};

/*
 * Listen at @text, in QEMU's notation. @backlog: connections that may queue. @wait: for a
 * name server.
 */
int mfd_recv_listener_open(struct mfd_recv_listener *listener, const char *text, int backlog,
			   const struct mfd_wait *wait, struct mfd_error *err);

/*
 * Take one connection. Return: a non-blocking fd, -EAGAIN: there is none now; or
 * another error.
 */
int mfd_recv_listener_accept(struct mfd_recv_listener *listener, struct mfd_error *err);

/* Stop listening; a UNIX socket's path is removed, if it still is its own. */
void mfd_recv_listener_close(struct mfd_recv_listener *listener);

#endif /* MFD_PRIVATE_RECV_LISTENER_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections that bytes are sent into at [0] and come out of at [1], and PUMP, which sends
 * them, in a thread of its own.
 */
#ifndef SOCK_H
#define SOCK_H

#include "kit.h"

/*
 * Over the loopback device. The sender's and the receiver's buffer are of this size (the
 * kernel doubles it); 0: as they are without asking.
 */
void tcp_pair(int s[2], int sndbuf, int rcvbuf);
void unix_pair(int s[2]);
void close_pair(int s[2]);
/* Close it such that the other end gets a reset. */
void reset(int *sock);
/* Let nobody send any more, and receive all that was sent: the number of bytes. */
size_t receive_all(int s[2], uint8_t *buf, size_t room);

/* PUMP from a channel to a socket, until it returns. */
struct pump {
	int ch;
	struct mzp_pump arg;
	int err;
	struct thread thread;
};
void pump_start(struct pump *p, int ch, int socket);
/* The same with other arguments than those of pump_to(). */
void pump_start_as(struct pump *p, int ch, const struct mzp_pump *arg);
/* Wait until it has returned: its errno. */
int pump_end(struct pump *p);
/* Wait until it sleeps; until it sleeps because its socket is full. */
void pump_sleeps(const struct pump *p);
void pump_is_stuck(const struct pump *p);
/* The same, of another process. */
void stuck_in_pump(pid_t pid, pid_t tid, int socket);

#endif

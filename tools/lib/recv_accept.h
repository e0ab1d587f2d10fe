/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_RECV_ACCEPT_H
#define MFD_PRIVATE_RECV_ACCEPT_H

#include "recv.h"

/*
 * Wait until the main connection and all channels are there, told apart and
 * checked; their sockets are @recv's then, and nobody listens any more.
 */
int mfd_recv_accept(struct mfd_recv *recv, struct mfd_error *err);

#endif /* MFD_PRIVATE_RECV_ACCEPT_H */

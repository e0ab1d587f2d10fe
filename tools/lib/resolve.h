/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_RESOLVE_H
#define MFD_PRIVATE_RESOLVE_H

#include <netdb.h>

#include "address.h"
#include "wait.h"

/*
 * What does the host and the port of @address, a TCP one, mean? *@list is the caller's,
 * for freeaddrinfo(). @flags: 0, or AI_PASSIVE to listen there.
 */
int mfd_resolve(const struct mfd_address *address, int flags, const struct mfd_wait *wait,
		struct addrinfo **list, struct mfd_error *err);

#endif /* MFD_PRIVATE_RESOLVE_H */

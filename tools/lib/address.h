/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_ADDRESS_H
#define MFD_PRIVATE_ADDRESS_H

#include <stdbool.h>

#include "mfd.h"

/*
 * A destination's address, taken apart: either a path, or a port and a host
 * (empty: this machine).
 */
struct mfd_address {
	bool local;
	char path[108];		/* as long as in struct sockaddr_un */
	char host[256];
	char port[32];
};

int mfd_address_parse(struct mfd_address *address, const char *text, struct mfd_error *err);

#endif /* MFD_PRIVATE_ADDRESS_H */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_ADDRESS_H
#define MFD_PRIVATE_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "mfd.h"

/* As many bytes as sun_path of struct sockaddr_un has. */
#define MFD_PATH_SIZE 108

/*
 * An address, taken apart: a UNIX socket's name, or a CID and a port of a vsock,
 * or a port and a host (empty: this machine).
 */
struct mfd_address {
	bool local;
	bool abstract;		/* @path is no file but a name of its own */
	bool vsock;
	bool any_port;		/* port 0: only a listener can have that */
	uint32_t cid;
	uint32_t vsock_port;
	char path[MFD_PATH_SIZE];
	char host[256];
	char port[32];		/* a number up to 65535, or a service */
};

/* An address as the kernel takes it. */
struct mfd_endpoint {
	struct sockaddr_storage addr;
	socklen_t size;
};

int mfd_address_parse(struct mfd_address *address, const char *text, struct mfd_error *err);

/* Is it one to connect to? That needs a port. */
int mfd_address_reachable(const struct mfd_address *address, struct mfd_error *err);

/*
 * Fill in @endpoint if @address needs no name to be looked up. Return: whether
 * that is so: it is for UNIX sockets and vsocks.
 */
bool mfd_address_endpoint(const struct mfd_address *address, struct mfd_endpoint *endpoint);

#endif /* MFD_PRIVATE_ADDRESS_H */

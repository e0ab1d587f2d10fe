// SPDX-License-Identifier: GPL-2.0-only
/*
 * Telling whoever has started the program as a service how it is.
 *
 * The protocol is a datagram to a socket, so libsystemd would be a lot for little.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "notify.h"

void notify(const char *state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t length = path ? strlen(path) : 0;
	int fd;

	if (!length || (*path != '/' && *path != '@') || length > sizeof(un.sun_path))
		return;
	memcpy(un.sun_path, path, length);
	/* an abstract one */
	if (*path == '@')
		un.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* if it does not get there, nobody is any worse off */
	sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&un,
	       offsetof(struct sockaddr_un, sun_path) + length);
	close(fd);
}

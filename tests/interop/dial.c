// SPDX-License-Identifier: GPL-2.0-only
/* Sockets of the caller's, for libmfd. */
#include <err.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "dial.h"

int dial(const char *address)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_un un;
		struct sockaddr_vm vm;
	} to = { 0 };
	socklen_t size;
	unsigned int port, cid;
	int fd;

	if (sscanf(address, "tcp:127.0.0.1:%u", &port) == 1) {
		to.in = (struct sockaddr_in) { AF_INET, htons(port), { htonl(INADDR_LOOPBACK) }, { 0 } };
		size = sizeof(to.in);
	} else if (sscanf(address, "vsock:%u:%u", &cid, &port) == 2) {
		to.vm.svm_family = AF_VSOCK;
		to.vm.svm_cid = VMADDR_CID_LOCAL;
		to.vm.svm_port = port;
		size = sizeof(to.vm);
	} else {
		to.un.sun_family = AF_UNIX;
		strcpy(to.un.sun_path, strchr(address, ':') + 1);
		size = offsetof(struct sockaddr_un, sun_path) + strlen(to.un.sun_path);
		/* an abstract name begins with a zero byte, and has none at its end */
		if (*to.un.sun_path == '@')
			*to.un.sun_path = '\0';
	}
	fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, &to.any, size))
		err(1, "%s", address);
	return fd;
}

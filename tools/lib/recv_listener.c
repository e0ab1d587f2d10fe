// SPDX-License-Identifier: LGPL-2.1-or-later
/* Listening at tcp:HOST:PORT, unix:PATH or vsock:CID:PORT. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "error.h"
#include "recv_listener.h"
#include "resolve.h"

/* A second, which is much longer than anybody needs the lock. */
#define LOCK_TRIES	1000
#define LOCK_PAUSE_US	1000

/* @v4_too: if the address is one of IPv6, take IPv4 as well. */
static int listen_at(const struct sockaddr *addr, socklen_t size, bool v4_too, int backlog)
{
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int zero = 0, one = 1, code;

	if (fd < 0)
		return -errno;
	/* the port of a migration before; a UNIX socket does not care */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* whether that is the default is up to the system's administrator */
	if (v4_too && addr->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (!bind(fd, addr, size) && !listen(fd, backlog))
		return fd;
	code = errno;
	close(fd);
	return -code;
}

/* What is at the path now. Return: 0 or -1. */
static int look(const char *path, struct stat *st)
{
	return lstat(path, st) || !S_ISSOCK(st->st_mode) ? -1 : 0;
}

/*
 * Is this a socket at which nobody listens any more? Then only the name is left.
 * (To connect to a file that is no socket is refused as well.)
 */
static bool abandoned(const struct sockaddr_un *un)
{
	struct stat st;
	bool refused;
	int fd;

	if (look(un->sun_path, &st))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	refused = connect(fd, (const struct sockaddr *)un, sizeof(*un)) && errno == ECONNREFUSED;
	close(fd);
	return refused;
}

/*
 * Of two that find an abandoned path at the same time, one would remove what the other has
 * made of it already; and between bind() and listen() a path looks abandoned. So they take
 * turns, by a lock on the folder. Who holds it for longer than that takes is not one of us,
 * and is not waited for; so is a folder that cannot be locked. Return: fd or -1.
 */
static int lock_folder(const char *path)
{
	char folder[sizeof(((struct mfd_address *)NULL)->path)];
	unsigned int tries = LOCK_TRIES;
	int fd;

	strcpy(folder, path);
	fd = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK && tries--)
		usleep(LOCK_PAUSE_US);
	return fd;
}

static void unlock_folder(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* A file. (An abstract socket is nowhere when nobody listens.) */
static bool is_file(const struct mfd_address *address)
{
	return address->local && !address->abstract;
}

/* The port that it really got. */
static void name_vsock(struct mfd_recv_listener *listener, int fd)
{
	struct sockaddr_vm vm = { .svm_cid = listener->address.cid };
	socklen_t size = sizeof(vm);

	getsockname(fd, (struct sockaddr *)&vm, &size);
	snprintf(listener->text, sizeof(listener->text), "vsock:%u:%u", vm.svm_cid, vm.svm_port);
}

/* A file's socket, in place of one that was abandoned there. */
static int listen_file(struct mfd_recv_listener *listener, const struct mfd_endpoint *endpoint,
		       int backlog)
{
	const struct sockaddr *addr = (const struct sockaddr *)&endpoint->addr;
	const struct sockaddr_un *un = (const struct sockaddr_un *)addr;
	struct stat st = { .st_ino = 0 };
	int folder = lock_folder(un->sun_path);
	int fd = listen_at(addr, endpoint->size, false, backlog);

	if (fd == -EADDRINUSE && abandoned(un) && !unlink(un->sun_path))
		fd = listen_at(addr, endpoint->size, false, backlog);
	if (fd >= 0)
		look(un->sun_path, &st);
	unlock_folder(folder);
	listener->dev = st.st_dev;
	listener->ino = st.st_ino;
	return fd;
}

/* Where no name has to be looked up. */
static int listen_fixed(struct mfd_recv_listener *listener, const char *text,
			const struct mfd_endpoint *endpoint, int backlog)
{
	const struct sockaddr *addr = (const struct sockaddr *)&endpoint->addr;
	int fd = is_file(&listener->address) ? listen_file(listener, endpoint, backlog) :
		 listen_at(addr, endpoint->size, false, backlog);

	if (fd >= 0 && listener->address.vsock)
		name_vsock(listener, fd);
	else if (fd >= 0)
		snprintf(listener->text, sizeof(listener->text), "%s", text);
	return fd;
}

static void remove_local(const struct mfd_recv_listener *listener)
{
	int folder = lock_folder(listener->address.path);
	struct stat st;

	if (!look(listener->address.path, &st) && st.st_dev == listener->dev &&
	    st.st_ino == listener->ino)
		unlink(listener->address.path);
	unlock_folder(folder);
}

/* The address that the socket really got, in numbers. */
static void name_inet(struct mfd_recv_listener *listener, int fd)
{
	struct sockaddr_storage addr;
	socklen_t size = sizeof(addr);
	char host[256] = "", port[32] = "";
	bool v6;

	getsockname(fd, (struct sockaddr *)&addr, &size);
	getnameinfo((struct sockaddr *)&addr, size, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV);
	v6 = strchr(host, ':');
	snprintf(listener->text, sizeof(listener->text), "tcp:%s%s%s:%s", v6 ? "[" : "", host,
		 v6 ? "]" : "", port);
}

/* At the first address of that family (AF_UNSPEC: any) at which that is possible. */
static int listen_first(const struct addrinfo *list, sa_family_t family, bool v4_too, int backlog)
{
	int fd = -EADDRNOTAVAIL;

	for (; list && fd < 0; list = list->ai_next)
		if (!family || list->ai_family == family)
			fd = listen_at(list->ai_addr, list->ai_addrlen, v4_too, backlog);
	return fd;
}

/* All of this machine's addresses: IPv6 first, since that takes IPv4 as well. */
static int listen_everywhere(const struct addrinfo *list, int backlog)
{
	int fd = listen_first(list, AF_INET6, true, backlog);

	return fd >= 0 || fd == -EADDRINUSE ? fd : listen_first(list, AF_INET, false, backlog);
}

static int listen_inet(struct mfd_recv_listener *listener, int backlog,
		       const struct mfd_wait *wait, struct mfd_error *err)
{
	struct addrinfo *list;
	int fd, ret = mfd_resolve(&listener->address, AI_PASSIVE, wait, &list, err);

	if (ret)
		return ret;
	fd = *listener->address.host ? listen_first(list, AF_UNSPEC, false, backlog) :
				       listen_everywhere(list, backlog);
	freeaddrinfo(list);
	if (fd < 0)
		return mfd_error_errno(err, -fd, "cannot listen");
	name_inet(listener, fd);
	return fd;
}

static int open_new(struct mfd_recv_listener *listener, const char *text, int backlog,
		    const struct mfd_wait *wait, struct mfd_error *err)
{
	int fd = mfd_address_parse(&listener->address, text, err);
	struct mfd_endpoint endpoint;

	if (fd)
		return fd;
	if (mfd_address_endpoint(&listener->address, &endpoint)) {
		fd = listen_fixed(listener, text, &endpoint, backlog);
		if (fd < 0)
			mfd_error_errno(err, -fd, "cannot listen");
	} else {
		fd = listen_inet(listener, backlog, wait, err);
	}
	if (fd < 0) {
		mfd_error_prefix(err, "%.128s", text);
		return fd;
	}
	listener->fd = fd;
	return 0;
}

static bool is_listening(int fd)
{
	socklen_t size = sizeof(int);
	int listening = 0;

	return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) && listening;
}

/*
 * fd:N, a socket that somebody listens at already. Its path, if it has one, is not ours to
 * remove, and the descriptor not ours to close.
 */
static int adopt(struct mfd_recv_listener *listener, const char *text, int backlog,
		 struct mfd_error *err)
{
	size_t digits = strspn(text + 3, "0123456789");
	int fd = digits && digits < 10 && !text[3 + digits] ? atoi(text + 3) : -1;
	int copy, code;

	if (fd < 0)
		return mfd_error_set(err, EINVAL, "fd:N is wanted, not '%.64s'", text);
	if (!is_listening(fd))
		return mfd_error_set(err, EBADF, "%s: nobody listens at this descriptor", text);
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	/* whoever began to listen may have thought of one connection */
	if (copy < 0 || fcntl(copy, F_SETFL, O_RDWR | O_NONBLOCK) || listen(copy, backlog)) {
		code = errno;
		if (copy >= 0)
			close(copy);
		return mfd_error_errno(err, code, "%s", text);
	}
	snprintf(listener->text, sizeof(listener->text), "%s", text);
	listener->address = (struct mfd_address) { .local = false };
	listener->fd = copy;
	return 0;
}

int mfd_recv_listener_open(struct mfd_recv_listener *listener, const char *text, int backlog,
			   const struct mfd_wait *wait, struct mfd_error *err)
{
	if (text && !strncmp(text, "fd:", 3))
		return adopt(listener, text, backlog, err);
	return open_new(listener, text, backlog, wait, err);
}

int mfd_recv_listener_accept(struct mfd_recv_listener *listener, struct mfd_error *err)
{
	int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		return fd;
	switch (errno) {
	case EAGAIN:
	case EINTR:
	/* of a peer that is gone again before it was taken, which is no error of ours */
	case ECONNABORTED:
	case EPROTO:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
	case EPERM:
	case ENETDOWN:
	case ENETUNREACH:
	case ENONET:
	case EHOSTDOWN:
	case EHOSTUNREACH:
		return -EAGAIN;
	case EMFILE:
		return mfd_error_errno(err, EMFILE, "no file descriptor for a connection (RLIMIT_NOFILE)");
	}
	return mfd_error_errno(err, errno, "cannot accept a connection");
}

void mfd_recv_listener_close(struct mfd_recv_listener *listener)
{
	if (listener->fd < 0)
		return;
	/* as long as it is open, nobody else gets its inode's number */
	if (is_file(&listener->address))
		remove_local(listener);
	close(listener->fd);
	listener->fd = -1;
}

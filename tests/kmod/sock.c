// SPDX-License-Identifier: GPL-2.0-only
#include "sock.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static void set_size(int sock, int option, int size)
{
	if (size)
		sys(setsockopt(sock, SOL_SOCKET, option, &size, sizeof(size)));
}

void tcp_pair(int s[2], int sndbuf, int rcvbuf)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	int listener = sys(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	set_size(listener, SO_RCVBUFFORCE, rcvbuf);
	sys(bind(listener, (struct sockaddr *)&addr, sizeof(addr)));
	sys(listen(listener, 1));
	sys(getsockname(listener, (struct sockaddr *)&addr, &len));
	s[0] = sys(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	set_size(s[0], SO_SNDBUFFORCE, sndbuf);
	sys(connect(s[0], (struct sockaddr *)&addr, sizeof(addr)));
	s[1] = sys(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	close(listener);
}

void unix_pair(int s[2])
{
	sys(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
}

void close_pair(int s[2])
{
	for (unsigned int i = 0; i < 2; i++) {
		if (s[i] >= 0)
			sys(close(s[i]));
	}
}

void reset(int *sock)
{
	struct linger at_once = { 1, 0 };

	sys(setsockopt(*sock, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)));
	sys(close(*sock));
	*sock = -1;
}

size_t receive_all(int s[2], uint8_t *buf, size_t room)
{
	size_t got = 0;
	ssize_t n;

	if (s[0] >= 0)
		shutdown(s[0], SHUT_WR);
	while ((n = sys(recv(s[1], buf + got, room - got, 0))))
		got += n;
	must(got < room);
	return got;
}

static void *pump(void *arg)
{
	struct pump *p = arg;

	p->err = mzp_pump(p->ch, &p->arg);
	return NULL;
}

void pump_start_as(struct pump *p, int ch, const struct mzp_pump *arg)
{
	*p = (struct pump){ .ch = ch, .arg = *arg, .err = -1 };
	thread_start(&p->thread, pump, p);
}

void pump_start(struct pump *p, int ch, int socket)
{
	struct mzp_pump arg = pump_to(socket);

	pump_start_as(p, ch, &arg);
}

int pump_end(struct pump *p)
{
	thread_join(&p->thread);
	return p->err;
}

void pump_sleeps(const struct pump *p)
{
	until_blocked_in(getpid(), p->thread.tid, SYS_ioctl);
}

void stuck_in_pump(pid_t pid, pid_t tid, int socket)
{
	/* now and then it waits for packets, or the socket for its receiver's kernel */
	for (unsigned int calm = 0; calm < 20; calm++) {
		until(blocked_in(pid, tid, SYS_ioctl));
		if (poll_events(socket, POLLOUT))
			calm = 0;
		usleep(1000);
	}
}

void pump_is_stuck(const struct pump *p)
{
	stuck_in_pump(getpid(), p->thread.tid, p->arg.socket);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * PUMP to sockets, and what becomes of these meanwhile: received from or not, shut
 * down, reset, or with our own descriptors in their queues.
 */
#include "fuzz_call.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* Mostly a socket. */
static int a_target(uint64_t *r)
{
	switch (pick(r, 12)) {
	case 0:
		return any(files, FILES, r);
	case 1:
		return any(chan, CHANNELS, r);
	case 2:
		return number(r);
	default:
		return any(sockets, SOCKETS, r);
	}
}

int call_pump(uint64_t *r)
{
	struct mzp_pump pump = {
		.size = sizeof(pump),
		.flags = chance(r, 60) ? MZP_PUMP_NONBLOCK : 0,
		.socket = a_target(r),
		.stall_ms = chance(r, 50) ? pick(r, 20) : 0,
		.max = chance(r, 50) ? 0 : number(r),
		.bytes = chance(r, 80) ? 0 : number(r),
		.stop = ~0u,
	};
	uint64_t before = pump.bytes;
	int fd = chance(r, 95) ? any(chan, CHANNELS, r) : any(device, DEVICES, r), err;

	if (chance(r, 30))
		return ask_spoiled(fd, MZP_IOC_PUMP, &pump, sizeof(pump), r);
	err = ask(fd, MZP_IOC_PUMP, &pump);
	if (err == EFAULT || err == EINVAL || err == EBADF || err == ENOTTY || err == EOPNOTSUPP)
		return err;
	if (pump.max && pump.bytes > pump.max && pump.bytes != before) {
		fprintf(stderr, "# %llu bytes, not %llu\n", pump.bytes, pump.max);
		__atomic_fetch_add(&shared->bad_errno, 1, __ATOMIC_RELAXED);
	}
	return err;
}

int call_receive(uint64_t *r)
{
	static __thread uint8_t buf[256 * 1024];

	return recv(any(sockets, SOCKETS, r), buf, chance(r, 50) ? sizeof(buf) : pick(r, 9000),
		    MSG_DONTWAIT) < 0;
}

static int listening(struct sockaddr_in *addr)
{
	socklen_t length = sizeof(*addr);
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*addr = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	if (sock < 0 || bind(sock, (struct sockaddr *)addr, length) || listen(sock, 1) ||
	    getsockname(sock, (struct sockaddr *)addr, &length)) {
		close(sock);
		return -1;
	}
	return sock;
}

static int connect_tcp(uint64_t *r)
{
	struct sockaddr_in addr;
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), listener = listening(&addr);
	int size = pick(r, 256 * 1024);

	if (chance(r, 60))
		setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (listener < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		close(sock);
		close(listener);
		return 1;
	}
	place(sockets, SOCKETS, sock, r);
	/* the other end, one that waits to be accepted, or none */
	if (chance(r, 80))
		place(sockets, SOCKETS, accept4(listener, NULL, NULL, SOCK_CLOEXEC), r);
	else if (chance(r, 50)) {
		place(sockets, SOCKETS, listener, r);
		return 0;
	}
	close(listener);
	return 0;
}

int call_connect(uint64_t *r)
{
	int type = chance(r, 90) ? SOCK_STREAM : chance(r, 50) ? SOCK_DGRAM : SOCK_SEQPACKET;
	int pair[2];

	if (chance(r, 50))
		return connect_tcp(r);
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair))
		return 1;
	place(sockets, SOCKETS, pair[0], r);
	place(sockets, SOCKETS, pair[1], r);
	return 0;
}

int call_disturb(uint64_t *r)
{
	struct linger reset = { 1, 0 };
	int sock = any(sockets, SOCKETS, r), size = pick(r, 256 * 1024);

	switch (pick(r, 5)) {
	case 0:
		return shutdown(sock, pick(r, 3)) < 0;
	case 1:
		setsockopt(sock, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		/* fall through */
	case 2:
		take_out(sockets, SOCKETS, r);
		return 0;
	case 3:
		return setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0;
	}
	return send(sock, "x", 1, MSG_DONTWAIT) < 0;
}

/*
 * Put a descriptor into the queue of a socket from where it never comes back: one that is
 * only there for it, or one that may be pumped to, or be itself the descriptor.
 */
int call_scm(uint64_t *r)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int pair[2], ret, fd = chance(r, 30) ? any(device, DEVICES, r) :
			       chance(r, 50) ? any(chan, CHANNELS, r) : any(sockets, SOCKETS, r);
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	if (chance(r, 50))
		return sendmsg(any(sockets, SOCKETS, r), &msg, MSG_DONTWAIT) < 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return 1;
	ret = sendmsg(pair[0], &msg, MSG_DONTWAIT) < 0;
	close(pair[0]);
	close(pair[1]);
	return ret;
}

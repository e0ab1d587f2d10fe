// SPDX-License-Identifier: GPL-2.0-only
/*
 * PUMP as the uapi header promises it: its arguments, when it returns and what it says
 * then; and that it is one of several ways to take bytes from a channel, of which each
 * begins where the last one has ended. What can become of its socket is in t_socket.
 */
#include "fix.h"
#include "one.h"
#include "sock.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* --- arguments */

/* A channel that has its first message, of 64 bytes, and a socket for it. */
struct greeting {
	struct fix f;
	int ch, s[2];
};

static void greeting_open(struct greeting *g)
{
	fix_open_bare(&g->f);
	works(mzp_setup(g->f.fd, &(struct mzp_setup){ .size = sizeof(struct mzp_setup),
						      .channels = 1 }));
	works(mzp_channel(g->f.fd, 0, 0, &g->ch));
	unix_pair(g->s);
}

static void greeting_close(struct greeting *g)
{
	fix_close(&g->f);
	close(g->ch);
	close_pair(g->s);
}

/* Nothing was sent so far. */
static void not_sent(const struct greeting *g)
{
	must(!readable(g->s[1]));
}

/* PUMP works, and sends it all. */
static void sends(const struct greeting *g, union arg *a)
{
	uint8_t buf[64];

	a->pump.max = 64;
	a->pump.bytes = 0;
	a->pump.stop = ~0u;
	works(mzp(g->ch, MZP_IOC_PUMP, a));
	must(a->pump.bytes == 64 && a->pump.stop == MZP_PUMP_MAX);
	read_exactly(g->s[1], buf, 64);
	not_sent(g);
}

static void sizes(void **state)
{
	static const uint32_t wrong[] = { 0, 3, 4, 8, sizeof(struct mzp_pump) - 1 };
	static const uint32_t huge[] = { PAGE + 1, 2 * PAGE, 1u << 31, UINT32_MAX };
	static const uint8_t past[] = { 0, 1, 7, 8 };

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(past); i++) {
		size_t size = sizeof(struct mzp_pump), tail = 8 + past[i];
		union arg a = { .size = 0 };
		struct greeting g;

		greeting_open(&g);
		a.pump = pump_to(g.s[0]);
		for (unsigned int j = 0; j < ARRAY_SIZE(wrong); j++) {
			a.size = wrong[j];
			gives(EINVAL, mzp(g.ch, MZP_IOC_PUMP, &a));
		}
		for (unsigned int j = 0; j < ARRAY_SIZE(huge); j++) {
			a.size = huge[j];
			gives(E2BIG, mzp(g.ch, MZP_IOC_PUMP, &a));
		}
		a.size = size + tail;
		a.bytes[size + past[i]] = 1;
		gives(E2BIG, mzp(g.ch, MZP_IOC_PUMP, &a));
		a.bytes[size + past[i]] = 0;
		a.bytes[size + tail - 1] = 0x80;
		gives(E2BIG, mzp(g.ch, MZP_IOC_PUMP, &a));
		not_sent(&g);
		a.bytes[size + tail - 1] = 0;
		/* what is behind its size does not count */
		a.bytes[size + tail] = 0xff;
		sends(&g, &a);
		must(a.size == size + tail);
		greeting_close(&g);
	}
}

static void unknown_flags(void **state)
{
	union arg a = { .size = 0 };
	struct greeting g;

	(void)state;
	greeting_open(&g);
	a.pump = pump_to(g.s[0]);
	for (unsigned int i = 0; i < 32; i++) {
		a.pump.flags = 1u << i;
		if (a.pump.flags != MZP_PUMP_NONBLOCK)
			gives(EINVAL, mzp(g.ch, MZP_IOC_PUMP, &a));
	}
	a.pump.flags = ~0u;
	gives(EINVAL, mzp(g.ch, MZP_IOC_PUMP, &a));
	a.pump.flags = 0;
	for (unsigned int i = 0; i < 4; i++) {
		a.bytes[offsetof(struct mzp_pump, __reserved) + i] = 0x80;
		gives(EINVAL, mzp(g.ch, MZP_IOC_PUMP, &a));
		a.bytes[offsetof(struct mzp_pump, __reserved) + i] = 0;
	}
	not_sent(&g);
	sends(&g, &a);
	greeting_close(&g);
}

static void bad_pointers(void **state)
{
	uint8_t *two = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	const size_t size = sizeof(struct mzp_pump);
	void *bad[] = {
		NULL, (void *)8, two + PAGE, two + PAGE - 3, (void *)(1ul << 63), (void *)-PAGE,
		(void *)-4ul,
	};
	union arg *edge = (union arg *)(two + PAGE - size);
	struct greeting g;

	(void)state;
	must(two != MAP_FAILED);
	sys(munmap(two + PAGE, PAGE));
	greeting_open(&g);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		gives(EFAULT, mzp(g.ch, MZP_IOC_PUMP, bad[i]));
	*(uint32_t *)(two + PAGE - 4) = size;
	gives(EFAULT, mzp(g.ch, MZP_IOC_PUMP, two + PAGE - 4));
	edge->pump = pump_to(g.s[0]);
	edge->size += 8;
	gives(EFAULT, mzp(g.ch, MZP_IOC_PUMP, edge));
	not_sent(&g);
	edge->size -= 8;
	sends(&g, edge);
	greeting_close(&g);
	munmap(two, PAGE);
}

static void refuses_socket(const struct greeting *g, int socket, int err)
{
	struct mzp_pump pump = pump_to(socket);

	pump.bytes = 5;
	gives(err, mzp_pump(g->ch, &pump));
	must(pump.bytes == 5);
	not_sent(g);
}

/* Whatever is no connected stream socket. */
static void wrong_sockets(void **state)
{
	int pair[2], pipe[2], unconnected, gone = sys(dup(0)), closed;
	struct mzp_pump pump;
	struct greeting g;
	union arg a = { .size = 0 };

	(void)state;
	greeting_open(&g);
	refuses_socket(&g, -1, EBADF);
	refuses_socket(&g, INT32_MAX, EBADF);
	close(gone);
	refuses_socket(&g, gone, EBADF);
	closed = sys(open("/tmp", O_PATH | O_CLOEXEC));
	refuses_socket(&g, closed, EBADF);
	close(closed);

	sys(pipe2(pipe, O_CLOEXEC));
	refuses_socket(&g, pipe[1], ENOTSOCK);
	refuses_socket(&g, g.ch, ENOTSOCK);
	refuses_socket(&g, g.f.fd, ENOTSOCK);
	close(pipe[0]);
	close(pipe[1]);

	sys(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair));
	refuses_socket(&g, pair[0], EOPNOTSUPP);
	close_pair(pair);
	sys(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	refuses_socket(&g, pair[0], EOPNOTSUPP);
	close_pair(pair);
	unconnected = sys(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	refuses_socket(&g, unconnected, EOPNOTSUPP);
	close(unconnected);

	/* as send(2) does */
	unconnected = sys(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	pump = pump_to(unconnected);
	gives(ENOTCONN, mzp_pump(g.ch, &pump));
	must(pump.stop == MZP_PUMP_SOCKET && !pump.bytes);
	close(unconnected);
	unconnected = sys(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	for (unsigned int i = 0; i < 2; i++) {
		pump = pump_to(unconnected);
		gives(EPIPE, mzp_pump(g.ch, &pump));
		must(pump.stop == MZP_PUMP_SOCKET && !pump.bytes);
		sys(listen(unconnected, 1));
	}
	close(unconnected);

	/* the channel is none the worse for it */
	a.pump = pump_to(g.s[0]);
	sends(&g, &a);
	greeting_close(&g);
}

/* PUMP is the channel's, and the others are not. */
static void commands(void **state)
{
	union arg a = { .size = 0 };
	struct greeting g;

	(void)state;
	greeting_open(&g);
	for (unsigned int nr = 0; nr < 256; nr++) {
		memset(&a, 0, sizeof(a));
		a.size = 8;
		gives(nr == MZP_CMD_PUMP ? EINVAL : ENOTTY, mzp(g.ch, _IO(MZP_IOC_TYPE, nr), &a));
	}
	a.pump = pump_to(g.s[0]);
	gives(ENOTTY, mzp(g.ch, MZP_IOC_PUMP | _IOWR(0, 0, long), &a));
	gives(ENOTTY, mzp(g.f.fd, MZP_IOC_PUMP, &a));
	not_sent(&g);
	sends(&g, &a);
	greeting_close(&g);
}

/* --- when it returns */

static void nonblocking(void **state)
{
	static uint8_t buf[4 * MIB];
	struct mzp_pump pump;
	size_t all = 0, got;
	struct one o;
	int s[2];

	(void)state;
	tcp_pair(s, 32 * 1024, 32 * 1024);
	one_open(&o, 500, 4, 32);
	pump = pump_to(s[0]);
	pump.flags = MZP_PUMP_NONBLOCK;
	/* all that there is, and then there is nothing */
	for (unsigned int i = 0; i < 2; i++) {
		pump.stop = ~0u;
		gives(EAGAIN, mzp_pump(o.ch, &pump));
		must(pump.stop == MZP_PUMP_CHANNEL && pump.bytes == 64);
	}
	one_send(&o);
	for (unsigned int full = 0; o.rx.chan[0].syncs < 1; ) {
		gives(EAGAIN, mzp_pump(o.ch, &pump));
		must(pump.bytes >= all);
		if (pump.stop == MZP_PUMP_SOCKET) {
			/* and it stays so */
			if (!full++) {
				usleep(100000);
				mzp_pump(o.ch, &pump);
				got = pump.bytes;
				gives(EAGAIN, mzp_pump(o.ch, &pump));
				must(pump.stop == MZP_PUMP_SOCKET && pump.bytes == got);
			}
		} else {
			must(pump.stop == MZP_PUMP_CHANNEL);
			/* a worker is about to make more of it, or it was all */
			sys(poll(&(struct pollfd){ .fd = o.ch, .events = POLLIN }, 1, 20));
		}
		while (all < pump.bytes) {
			got = sys(recv(s[1], buf, min(sizeof(buf), pump.bytes - all), 0));
			rx_feed(&o.rx.chan[0], buf, got);
			all += got;
		}
		if (o.rx.chan[0].syncs)
			must(full > 2, "it was never full");
	}
	one_check(&o);
	one_close(&o);
	close_pair(s);
}

/* @max is where @bytes is to stop, wherever it began. */
static void maximum(void **state)
{
	static const uint64_t stops[] = { 1, 2, 63, 64, 65, 1000, 1408, 1409, 9000, 70001, 70001 };
	uint8_t buf[4096];
	struct mzp_pump pump;
	struct one o;
	size_t all = 0;
	int s[2];

	(void)state;
	unix_pair(s);
	one_open(&o, 100, 8, 16);
	one_send(&o);
	pump = pump_to(s[0]);
	for (unsigned int i = 0; i < ARRAY_SIZE(stops); i++) {
		pump.max = stops[i];
		pump.stop = ~0u;
		works(mzp_pump(o.ch, &pump));
		must(pump.stop == MZP_PUMP_MAX && pump.bytes == stops[i]);
		while (all < pump.bytes) {
			ssize_t n = sys(recv(s[1], buf, sizeof(buf), MSG_DONTWAIT));

			rx_feed(&o.rx.chan[0], buf, n);
			all += n;
		}
		must(all == pump.bytes && !readable(s[1]));
	}
	/* it has been there already */
	pump.max = 500;
	works(mzp_pump(o.ch, &pump));
	must(pump.stop == MZP_PUMP_MAX && pump.bytes == 70001);
	must(!readable(s[1]));
	/* the count begins where the caller likes */
	pump.bytes = ~0ull - 10;
	pump.max = ~0ull - 3;
	works(mzp_pump(o.ch, &pump));
	must(pump.stop == MZP_PUMP_MAX && pump.bytes == ~0ull - 3);
	read_exactly(s[1], buf, 7);
	rx_feed(&o.rx.chan[0], buf, 7);
	while (o.rx.chan[0].syncs < 1)
		must(rx_some(&o.rx.chan[0]) > 0);
	one_check(&o);
	one_close(&o);
	close_pair(s);
}

/* A socket that takes nothing for too long; with nothing to send it is not to blame. */
static void stalled(void **state)
{
	static uint8_t buf[MIB];
	struct mzp_pump arg;
	uint64_t all = 64;
	struct pump p;
	struct one o;
	double since;
	int s[2];

	(void)state;
	tcp_pair(s, 32 * 1024, 32 * 1024);
	one_open(&o, 500, 4, 32);
	arg = pump_to(s[0]);
	arg.stall_ms = 400;
	pump_start_as(&p, o.ch, &arg);
	read_exactly(s[1], buf, 64);
	rx_feed(&o.rx.chan[0], buf, 64);
	usleep(900000);
	pump_sleeps(&p);
	one_send(&o);
	/* as long as it takes something now and then, it goes on */
	for (unsigned int i = 0; i < 6; i++) {
		size_t want = 150000;

		usleep(100000);
		read_exactly(s[1], buf, want);
		rx_feed(&o.rx.chan[0], buf, want);
		all += want;
	}
	since = now_ms();
	gives(ETIMEDOUT, pump_end(&p));
	must(now_ms() - since > 200 && now_ms() - since < 5000, "%.0f ms", now_ms() - since);
	must(p.arg.stop == MZP_PUMP_SOCKET && p.arg.bytes >= all);
	arg = p.arg;
	since = now_ms();
	gives(ETIMEDOUT, mzp_pump(o.ch, &arg));
	must(arg.stop == MZP_PUMP_SOCKET);
	must(now_ms() - since >= 400, "%.0f ms", now_ms() - since);
	/* called again, it goes on where it was */
	arg.stall_ms = 0;
	pump_start_as(&p, o.ch, &arg);
	while (o.rx.chan[0].syncs < 1) {
		ssize_t n = sys(recv(s[1], buf, sizeof(buf), 0));

		rx_feed(&o.rx.chan[0], buf, n);
		all += n;
	}
	session_wait(&o.s, 0);
	session_end(&o.s);
	works(pump_end(&p));
	must(p.arg.stop == MZP_PUMP_END && p.arg.bytes == all);
	close(o.ch);
	close_pair(s);
}

/* Receive something from wherever it comes: how many bytes. */
static size_t receive(struct one *o)
{
	ssize_t n = rx_some(&o->rx.chan[0]);

	must(n > 0);
	return n;
}

/* All up to the SYNC: how many bytes. */
static size_t receive_round(struct one *o)
{
	size_t bytes = 0;

	while (o->rx.chan[0].syncs < 1)
		bytes += receive(o);
	return bytes;
}

static void pumps(void *arg)
{
	int *fd = arg;
	struct mzp_pump pump = pump_to(fd[1]);

	/* the session is not ended by its own process alone */
	close(fd[2]);
	works(mzp_pump(fd[0], &pump));
	must(pump.stop == MZP_PUMP_END);
}

/* From a process that is not the session's, by one that takes over, and by the first again. */
static void other_process(void **state)
{
	struct mzp_pump pump;
	uint8_t buf[2000];
	struct one o;
	pid_t pid;
	int s[2];

	(void)state;
	unix_pair(s);
	one_open(&o, 700, 4, 16);
	one_send(&o);
	pump = pump_to(s[0]);
	pump.max = sizeof(buf);
	works(mzp_pump(o.ch, &pump));
	read_exactly(s[1], buf, sizeof(buf));
	rx_feed(&o.rx.chan[0], buf, sizeof(buf));
	pid = child(pumps, (int[]){ o.ch, s[0], o.s.fd });
	o.rx.chan[0].fd = s[1];
	receive_round(&o);
	one_check(&o);
	session_wait(&o.s, 0);
	session_end(&o.s);
	reap(pid, 0);
	works(mzp_pump(o.ch, &pump));
	must(pump.stop == MZP_PUMP_MAX && pump.bytes == sizeof(buf));
	pump.max = 0;
	works(mzp_pump(o.ch, &pump));
	must(pump.stop == MZP_PUMP_END && pump.bytes == sizeof(buf));
	must(!readable(s[1]));
	close(o.ch);
	close_pair(s);
}

/* --- signals */

/* Interrupted while it waits for the channel, and for the socket: nothing is lost. */
static void interrupted(void **state)
{
	struct sigaction action = { .sa_handler = interrupt };
	static uint8_t buf[MIB];
	struct pump p;
	struct one o;
	size_t all = 0;
	int s[2];

	(void)state;
	sys(sigaction(SIGUSR1, &action, NULL));
	tcp_pair(s, 32 * 1024, 32 * 1024);
	one_open(&o, 500, 4, 32);
	pump_start(&p, o.ch, s[0]);
	read_exactly(s[1], buf, 64);
	rx_feed(&o.rx.chan[0], buf, 64);
	all += 64;
	pump_sleeps(&p);
	pthread_kill(p.thread.pthread, SIGUSR1);
	gives(EINTR, pump_end(&p));
	must(p.arg.bytes == 64);

	one_send(&o);
	for (unsigned int i = 0; i < 5; i++) {
		struct mzp_pump arg = p.arg;

		pump_start_as(&p, o.ch, &arg);
		pump_is_stuck(&p);
		pthread_kill(p.thread.pthread, SIGUSR1);
		gives(EINTR, pump_end(&p));
		must(p.arg.bytes > arg.bytes);
		/* all that it says it sent */
		while (all < p.arg.bytes) {
			ssize_t n = sys(recv(s[1], buf, sizeof(buf), 0));

			rx_feed(&o.rx.chan[0], buf, n);
			all += n;
		}
		must(all == p.arg.bytes && !readable(s[1]));
	}
	while (o.rx.chan[0].syncs < 1)
		must(rx_some(&o.rx.chan[0]) > 0);
	one_check(&o);
	one_close(&o);
	close_pair(s);
}

/* A signal that asks for it has the call go on by itself, and count on. */
static void restarted(void **state)
{
	struct sigaction action = { .sa_handler = interrupt, .sa_flags = SA_RESTART };
	struct pump p;
	struct one o;
	size_t all;
	int s[2];

	(void)state;
	sys(sigaction(SIGUSR1, &action, NULL));
	tcp_pair(s, 32 * 1024, 32 * 1024);
	one_open(&o, 500, 4, 32);
	o.rx.chan[0].fd = s[1];
	pump_start(&p, o.ch, s[0]);
	all = receive(&o);
	for (unsigned int i = 0; i < 5; i++) {
		pump_sleeps(&p);
		pthread_kill(p.thread.pthread, SIGUSR1);
	}
	one_send(&o);
	for (unsigned int i = 0; i < 5; i++) {
		pump_is_stuck(&p);
		pthread_kill(p.thread.pthread, SIGUSR1);
		for (unsigned int j = 0; j < 5; j++)
			all += receive(&o);
	}
	all += receive_round(&o);
	one_check(&o);
	session_wait(&o.s, 0);
	session_end(&o.s);
	works(pump_end(&p));
	must(p.arg.stop == MZP_PUMP_END && p.arg.bytes == all);
	close(o.ch);
	close_pair(s);
}

static void pumps_to_maximum(void *arg)
{
	const struct pump *p = arg;
	struct mzp_pump pump = p->arg;

	works(mzp_pump(p->ch, &pump));
	must(pump.stop == MZP_PUMP_MAX && pump.bytes == pump.max);
}

/* Stopped and continued, it goes on by itself. */
static void stopped(void **state)
{
	struct pump p;
	struct one o;
	size_t all;
	pid_t pid;
	int s[2];

	(void)state;
	tcp_pair(s, 32 * 1024, 32 * 1024);
	one_open(&o, 500, 4, 32);
	p = (struct pump){ .ch = o.ch, .arg = pump_to(s[0]) };
	p.arg.max = 1500000;
	pid = child(pumps_to_maximum, &p);
	o.rx.chan[0].fd = s[1];
	all = receive(&o);
	for (unsigned int i = 0; i < 4; i++) {
		if (i < 2)
			until_blocked_in(pid, pid, SYS_ioctl);
		else
			stuck_in_pump(pid, pid, s[0]);
		sys(kill(pid, SIGSTOP));
		usleep(20000);
		sys(kill(pid, SIGCONT));
		if (i == 1)
			one_send(&o);
		for (unsigned int j = 0; i >= 2 && j < 5; j++)
			all += receive(&o);
	}
	while (all < p.arg.max)
		all += receive(&o);
	reap(pid, 0);
	/* the rest is not the child's any more */
	o.rx.chan[0].fd = o.ch;
	receive_round(&o);
	one_check(&o);
	one_close(&o);
	close_pair(s);
}

/* Who is told that nobody reads is told by an error only. */
static void no_sigpipe_child(void *arg)
{
	struct mzp_pump pump = pump_to(((int *)arg)[1]);

	signal(SIGPIPE, SIG_DFL);
	gives(EPIPE, mzp_pump(((int *)arg)[0], &pump));
}

static void no_sigpipe(void **state)
{
	struct greeting g;

	(void)state;
	greeting_open(&g);
	close(g.s[1]);
	g.s[1] = -1;
	reap(child(no_sigpipe_child, (int[]){ g.ch, g.s[0] }), 0);
	greeting_close(&g);
}

/* --- one of several ways */

enum { WAYS = 5 };

struct mixer {
	struct one *o;
	int pipe[2], tcp[2], local[2];
	uint64_t random;
	uint8_t *buf;
	unsigned int used[WAYS];
};

static size_t some_size(uint64_t *random)
{
	uint64_t top = 1ull << rnd_below(random, 20);

	return top + rnd_below(random, top);
}

/* PUMP so many bytes at most, and receive them. */
static ssize_t pump_some(struct mixer *m, int s[2], size_t n, uint32_t flags)
{
	struct mzp_pump pump = pump_to(s[0]);
	int err;

	pump.flags = flags;
	pump.max = n;
	err = mzp_pump(m->o->ch, &pump);
	must(pump.bytes <= n);
	if (!err)
		must(pump.stop == MZP_PUMP_MAX && pump.bytes == n);
	else
		gives(EAGAIN, err);
	read_exactly(s[1], m->buf, pump.bytes);
	must(!readable(s[1]));
	return pump.bytes;
}

/* Take some bytes, one way or the other: how many. */
static ssize_t take(struct mixer *m)
{
	struct rx_chan *c = &m->o->rx.chan[0];
	unsigned int way = rnd_below(&m->random, WAYS);
	size_t n = some_size(&m->random);
	ssize_t got;

	m->used[way]++;
	switch (way) {
	case 0:
		return sys(read(m->o->ch, m->buf, n));
	case 1:
		got = splice(m->o->ch, NULL, m->pipe[1], NULL, n, SPLICE_F_NONBLOCK);
		must(got > 0 || errno == EAGAIN);
		if (got > 0)
			read_exactly(m->pipe[0], m->buf, got);
		return max(got, 0);
	case 2:
		return pump_some(m, m->tcp, n, MZP_PUMP_NONBLOCK);
	case 3:
		return pump_some(m, m->local, n, MZP_PUMP_NONBLOCK);
	}
	/* what is certain to come, and there is room for; to wait for more would be in vain */
	return pump_some(m, m->local, min(1 + n, min(rx_want(c), 32768ul)), 0);
}

static void mix(enum mzp_method method, uint32_t flags)
{
	struct mzp_setup setup = setup_for(1);
	struct mixer m = { .random = 10 * method + flags, .buf = malloc(2 * MIB) };
	struct one o;

	must(m.buf);
	if (!(mzp_info().methods >> method & 1))
		skip_since("the kernel lacks the method");
	setup.method = method;
	setup.flags = flags;
	setup.packet_pages = 23;
	setup.ring_packets = 4;
	one_open_as(&o, 1500, &setup);
	m.o = &o;
	make_pipe(m.pipe, 64 * PAGE);
	tcp_pair(m.tcp, 48 * 1024, 0);
	unix_pair(m.local);
	one_send(&o);
	while (o.rx.chan[0].syncs < 1) {
		ssize_t got = take(&m);

		rx_feed(&o.rx.chan[0], m.buf, got);
	}
	for (unsigned int i = 0; i < WAYS; i++)
		must(m.used[i] > 2, "way %u", i);
	one_check(&o);
	one_close(&o);
	close_pair(m.pipe);
	close_pair(m.tcp);
	close_pair(m.local);
	free(m.buf);
}

static void mixed(void **state)
{
	(void)state;
	mix(MZP_METHOD_NONE, 0);
}

static void mixed_without_workers(void **state)
{
	(void)state;
	mix(MZP_METHOD_NONE, MZP_SETUP_NO_WORKERS);
}

static void mixed_zlib(void **state)
{
	(void)state;
	mix(MZP_METHOD_ZLIB, 0);
}

static void mixed_zlib_without_workers(void **state)
{
	(void)state;
	mix(MZP_METHOD_ZLIB, MZP_SETUP_NO_WORKERS);
}

static void mixed_zstd(void **state)
{
	(void)state;
	mix(MZP_METHOD_ZSTD, 0);
}

static void mixed_zstd_without_workers(void **state)
{
	(void)state;
	mix(MZP_METHOD_ZSTD, MZP_SETUP_NO_WORKERS);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(unknown_flags),
		cmocka_unit_test(bad_pointers),
		cmocka_unit_test(wrong_sockets),
		cmocka_unit_test(commands),
		cmocka_unit_test(nonblocking),
		cmocka_unit_test(maximum),
		cmocka_unit_test(stalled),
		cmocka_unit_test(other_process),
		cmocka_unit_test(interrupted),
		cmocka_unit_test(restarted),
		cmocka_unit_test(stopped),
		cmocka_unit_test(no_sigpipe),
		cmocka_unit_test(mixed),
		cmocka_unit_test(mixed_without_workers),
		cmocka_unit_test(mixed_zlib),
		cmocka_unit_test(mixed_zlib_without_workers),
		cmocka_unit_test(mixed_zstd),
		cmocka_unit_test(mixed_zstd_without_workers),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

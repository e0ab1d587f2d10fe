// SPDX-License-Identifier: GPL-2.0-only
/*
 * The socket that PUMP sends to. It can have little room, can be any kind of stream,
 * and can come to its end in many ways, while PUMP waits for it or for the channel: PUMP
 * then says whose end it was, and no byte of the channel is lost but those that the
 * socket had taken.
 */
#include "leak.h"
#include "one.h"
#include "sock.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* A session, all that its channel is going to say, and a connection with less room than that. */
struct scene {
	struct one o;
	uint8_t *want, *got;
	size_t n;
	int s[2];
	struct pump p;
	bool full;		/* PUMP waits for the socket; else for the channel */
};

static void scene_open(struct scene *c, sa_family_t family, bool full)
{
	one_open(&c->o, 256, 4, 16);
	c->want = one_stream(&c->o, &c->n);
	c->got = malloc(c->n + 1);
	must(c->got);
	if (family == AF_UNIX)
		unix_pair(c->s);
	else
		tcp_pair(c->s, 32 * 1024, 32 * 1024);
	c->full = full;
	if (full)
		one_send(&c->o);
}

/* PUMP has begun, and waits. */
static void scene_pump(struct scene *c)
{
	pump_start(&c->p, c->o.ch, c->s[0]);
	if (c->full) {
		pump_is_stuck(&c->p);
	} else {
		read_exactly(c->s[1], c->got, 64);
		pump_sleeps(&c->p);
	}
}

/* The socket took so many bytes; the channel still has the others. */
static void scene_rest(struct scene *c, size_t taken)
{
	must(taken < c->n);
	if (!c->full)
		one_send(&c->o);
	read_exactly(c->o.ch, c->got, c->n - taken);
	must(!memcmp(c->got, c->want + taken, c->n - taken));
	one_close(&c->o);
}

static void scene_close(struct scene *c)
{
	close_pair(c->s);
	free(c->want);
	free(c->got);
}

/* What can become of a connection. */

static void peer_resets(struct scene *c)
{
	reset(&c->s[1]);
}

static void peer_closes(struct scene *c)
{
	sys(close(c->s[1]));
	c->s[1] = -1;
}

static void peer_stops_sending(struct scene *c)
{
	sys(shutdown(c->s[1], SHUT_WR));
}

static void peer_stops_reading(struct scene *c)
{
	sys(shutdown(c->s[1], SHUT_RD));
}

static void we_shut_it_down(struct scene *c)
{
	sys(shutdown(c->s[0], SHUT_WR));
}

struct end {
	const char *name;
	sa_family_t family;
	bool full;
	void (*happens)(struct scene *c);
	int err;
};

static void ends(void **state)
{
	const struct end *end = *state;
	struct mzp_pump again;
	struct scene c;
	double since;

	scene_open(&c, end->family, end->full);
	scene_pump(&c);
	since = now_ms();
	end->happens(&c);
	gives(end->err, pump_end(&c.p));
	must(now_ms() - since < 1000, "after %.0f ms", now_ms() - since);
	must(c.p.arg.stop == MZP_PUMP_SOCKET, "%u", c.p.arg.stop);
	if (!end->full)
		must(c.p.arg.bytes == 64, "%ju", (uintmax_t)c.p.arg.bytes);
	if (end->happens == we_shut_it_down && end->full) {
		must(receive_all(c.s, c.got, c.n + 1) == c.p.arg.bytes);
		must(!memcmp(c.got, c.want, c.p.arg.bytes));
	}
	/* it stays like that */
	again = c.p.arg;
	gives(EPIPE, mzp_pump(c.o.ch, &again));
	must(again.stop == MZP_PUMP_SOCKET && again.bytes == c.p.arg.bytes);
	scene_rest(&c, c.p.arg.bytes);
	scene_close(&c);
}

static struct end all_ends[] = {
	{ "idle_peer_resets", AF_INET, false, peer_resets, ECONNRESET },
	{ "idle_peer_closes", AF_INET, false, peer_closes, EPIPE },
	{ "idle_peer_stops_sending", AF_INET, false, peer_stops_sending, EPIPE },
	{ "idle_we_shut_it_down", AF_INET, false, we_shut_it_down, EPIPE },
	{ "full_peer_resets", AF_INET, true, peer_resets, ECONNRESET },
	/* with unread data, that is a reset, too */
	{ "full_peer_closes", AF_INET, true, peer_closes, ECONNRESET },
	{ "full_we_shut_it_down", AF_INET, true, we_shut_it_down, EPIPE },
	{ "unix_idle_peer_closes", AF_UNIX, false, peer_closes, EPIPE },
	{ "unix_idle_we_shut_it_down", AF_UNIX, false, we_shut_it_down, EPIPE },
	{ "unix_full_peer_closes", AF_UNIX, true, peer_closes, EPIPE },
	{ "unix_full_peer_stops_reading", AF_UNIX, true, peer_stops_reading, EPIPE },
	{ "unix_full_we_shut_it_down", AF_UNIX, true, we_shut_it_down, EPIPE },
};

/* One that will not send any more may well go on to receive: all that there is. */
static void half_closed(void **state)
{
	struct scene c;

	(void)state;
	scene_open(&c, AF_INET, true);
	scene_pump(&c);
	peer_stops_sending(&c);
	read_exactly(c.s[1], c.got, c.n);
	must(!memcmp(c.got, c.want, c.n));
	/* and nothing is left to say */
	gives(EPIPE, pump_end(&c.p));
	must(c.p.arg.stop == MZP_PUMP_SOCKET && c.p.arg.bytes == c.n);
	one_close(&c.o);
	scene_close(&c);
}

/* The VMM gives up: the session is over, not the connection. */
static void cancelled(bool full)
{
	struct scene c;
	double since;
	char b;

	scene_open(&c, AF_INET, full);
	scene_pump(&c);
	since = now_ms();
	works(mzp_cancel(c.o.s.fd));
	gives(ECANCELED, pump_end(&c.p));
	must(now_ms() - since < 500, "after %.0f ms", now_ms() - since);
	must(c.p.arg.stop == MZP_PUMP_CHANNEL);
	/* what was taken can still be received */
	must(receive_all(c.s, c.got, c.n) + (full ? 0 : 64) == c.p.arg.bytes);
	must(!memcmp(c.got, c.want + (full ? 0 : 64), c.p.arg.bytes - (full ? 0 : 64)));
	refuses(ECANCELED, read(c.o.ch, &b, 1));
	gives(ECANCELED, mzp_pump(c.o.ch, &c.p.arg));
	must(c.p.arg.stop == MZP_PUMP_CHANNEL);
	session_close(&c.o.s);
	rx_free(&c.o.rx);
	mem_free(&c.o.m);
	scene_close(&c);
}

static void idle_cancelled(void **state)
{
	(void)state;
	cancelled(false);
}

static void full_cancelled(void **state)
{
	(void)state;
	cancelled(true);
}

static void pumps(void *arg)
{
	struct scene *c = arg;
	struct mzp_pump pump = pump_to(c->s[0]);

	mzp_pump(c->o.ch, &pump);
	must(false, "it returned");
}

/* Who pumps is killed, and another goes on where it was. */
static void killed(bool full)
{
	struct scene c;
	size_t taken;
	pid_t pid;

	scene_open(&c, AF_INET, full);
	pid = child(pumps, &c);
	if (full) {
		stuck_in_pump(pid, pid, c.s[0]);
	} else {
		until(readable(c.s[1]));
		until_blocked_in(pid, pid, SYS_ioctl);
	}
	sys(kill(pid, SIGKILL));
	reap(pid, SIGKILL);
	taken = receive_all(c.s, c.got, c.n + 1);
	must(!memcmp(c.got, c.want, taken));
	if (!full)
		must(taken == 64);
	scene_rest(&c, taken);
	scene_close(&c);
}

static void idle_killed(void **state)
{
	(void)state;
	killed(false);
}

static void full_killed(void **state)
{
	(void)state;
	killed(true);
}

/* The descriptor is not the socket: without it PUMP goes on. */
static void descriptor_closed(void **state)
{
	struct scene c;

	(void)state;
	scene_open(&c, AF_INET, true);
	scene_pump(&c);
	sys(close(c.s[0]));
	c.s[0] = -1;
	read_exactly(c.s[1], c.got, c.n);
	must(!memcmp(c.got, c.want, c.n));
	session_wait(&c.o.s, 0);
	session_end(&c.o.s);
	works(pump_end(&c.p));
	must(c.p.arg.stop == MZP_PUMP_END && c.p.arg.bytes == c.n);
	/* it was the last to use it */
	must(sys(read(c.s[1], c.got, 1)) == 0);
	sys(close(c.o.ch));
	rx_free(&c.o.rx);
	mem_free(&c.o.m);
	scene_close(&c);
}

/* --- what comes out at the other end */

/* A receiver that is in no hurry: odd sizes, and a rest every now and then. */
static ssize_t receive_some(int sock, uint8_t *buf, uint64_t *random)
{
	if (!rnd_below(random, 30))
		usleep(1000);
	return sys(recv(sock, buf, 1 + rnd_below(random, 64 * 1024), 0));
}

/* Some rounds to the other end of @s, with the session's end behind them. */
static void rounds(struct one *o, int s[2])
{
	static uint8_t buf[64 * 1024];
	struct rx_chan *c = &o->rx.chan[0];
	uint64_t random = 4, bytes = 0;
	struct pump p;

	pump_start(&p, o->ch, s[0]);
	for (unsigned int round = 1; round <= 2; round++) {
		one_send(o);
		while (c->syncs < round) {
			ssize_t n = receive_some(s[1], buf, &random);

			must(n > 0);
			rx_feed(c, buf, n);
			bytes += n;
		}
		one_check(o);
	}
	session_wait(&o->s, 0);
	session_end(&o->s);
	works(pump_end(&p));
	must(p.arg.stop == MZP_PUMP_END && p.arg.bytes == bytes);
	/* it is the end for whoever asks */
	works(mzp_pump(o->ch, &p.arg));
	must(p.arg.stop == MZP_PUMP_END && p.arg.bytes == bytes);
	must(sys(read(o->ch, buf, 1)) == 0);
	sys(shutdown(s[0], SHUT_WR));
	must(sys(recv(s[1], buf, 1, 0)) == 0);
	sys(close(o->ch));
	rx_free(&o->rx);
	mem_free(&o->m);
	close_pair(s);
}

/* Each packet is larger than the room, so that the socket takes a part of it at a time. */
static void small_buffer(void **state)
{
	struct one o;
	int s[2];

	(void)state;
	tcp_pair(s, 32 * 1024, 16 * 1024);
	/* what its file says of waiting does not count */
	sys(fcntl(s[0], F_SETFL, O_NONBLOCK));
	one_open(&o, 500, 4, 128);
	rounds(&o, s);
}

static void large_buffer(void **state)
{
	struct one o;
	int s[2];

	(void)state;
	tcp_pair(s, 0, 0);
	one_open(&o, 3000, 8, 128);
	rounds(&o, s);
}

static void unix_socket(void **state)
{
	struct one o;
	int s[2];

	(void)state;
	unix_pair(s);
	one_open(&o, 2000, 4, 100);
	rounds(&o, s);
}

static void send_fds(int sock, const int *fd, unsigned int nr)
{
	union {
		char bytes[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = CMSG_SPACE(nr * sizeof(int)),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(nr * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fd, nr * sizeof(int));
	must(sys(sendmsg(sock, &msg, 0)) == 1);
}

static void pumps_to_its_carrier(void *arg)
{
	struct scene *c = arg;
	struct mzp_pump pump = pump_to(c->s[0]);

	/* until it is killed */
	mzp_pump(c->o.ch, &pump);
}

/*
 * A connection that carries its own channel, its session and both of its ends; nobody
 * receives them, and then nobody has any of it any more: it all goes, pages and all.
 */
static void carries_itself(void **state)
{
	struct frames *frames = frames_new();
	unsigned int tries = 0;
	struct scene c;
	pid_t pid;

	(void)state;
	scene_open(&c, AF_UNIX, true);
	frames_watch(frames, c.o.m.base, c.o.m.pages);
	send_fds(c.s[0], (int[]){ c.o.s.fd, c.o.ch, c.s[0], c.s[1] }, 4);
	send_fds(c.s[1], (int[]){ c.o.s.fd, c.o.ch, c.s[0], c.s[1] }, 4);
	pid = child(pumps_to_its_carrier, &c);
	stuck_in_pump(pid, pid, c.s[0]);
	send_fds(c.s[1], (int[]){ c.o.ch, c.s[1] }, 2);
	session_close(&c.o.s);
	rx_free(&c.o.rx);
	mem_free(&c.o.m);
	scene_close(&c);
	sys(kill(pid, SIGKILL));
	reap(pid, SIGKILL);
	while (module_refs()) {
		int s[2];

		/* closing any has the kernel look for such as have only each other */
		unix_pair(s);
		close_pair(s);
		must(tries++ < 1000, "it is still there");
		usleep(10000);
	}
	all_gone(frames);
}

/* --- the tail of a job */

/* Notes when the last byte came, and how many there are. */
struct listener {
	int sock;
	size_t bytes;
	double last;
	struct thread thread;
};

static void *listens(void *arg)
{
	struct listener *l = arg;
	static uint8_t buf[MIB];
	ssize_t n;

	while ((n = sys(recv(l->sock, buf, sizeof(buf), 0)))) {
		double at = now_ms();

		__atomic_store(&l->last, &at, __ATOMIC_RELAXED);
		__atomic_fetch_add(&l->bytes, n, __ATOMIC_RELEASE);
	}
	return NULL;
}

enum { TAIL_DATA = 64, TAIL_PACKET = 16, TAIL_REST = 500, TAIL_JOBS = 50 };

static int by_size(const void *a, const void *b)
{
	return *(const double *)a < *(const double *)b ? -1 : 1;
}

/*
 * A job whose last pages give no packet. When it is done, what it gave is to be sent, and
 * not to wait for more: a socket that was told of more would wait for 200 ms. Each is
 * compared with one that ends in its last packet, as the machine may be busy.
 */
static void tail(enum mzp_detection detection, enum kind rest, uint32_t flags)
{
	struct mzp_setup setup = setup_for(1);
	double took[2][TAIL_JOBS], usual;
	struct listener l = { 0 };
	size_t bytes = 64;
	struct pump p;
	struct session s;
	struct mem m;
	int sock[2];

	setup.packet_pages = TAIL_PACKET;
	setup.detection = detection;
	session_open(&s, &setup);
	mem_init(&m, "tail", TAIL_DATA + TAIL_REST);
	mem_add(&m, &s, NULL);
	mem_set_range(&m, 0, TAIL_DATA, DATA);
	mem_set_range(&m, TAIL_DATA, TAIL_REST, rest);
	tcp_pair(sock, 0, 0);
	l.sock = sock[1];
	thread_start(&l.thread, listens, &l);
	pump_start(&p, s.ch[0], sock[0]);
	for (unsigned int i = 0; i < 2 * TAIL_JOBS; i++) {
		/* any number of them, so that the last packet can be a small one */
		unsigned int data = 1 + i * 7 % TAIL_DATA;
		double done, last;

		session_wait(&s, session_send(&s, m.block_id, TAIL_DATA - data,
					      data + i % 2 * TAIL_REST, flags));
		done = now_ms();
		bytes += data * PAGE + (data + TAIL_PACKET - 1) / TAIL_PACKET * 1344;
		until(__atomic_load_n(&l.bytes, __ATOMIC_ACQUIRE) >= bytes);
		must(l.bytes == bytes);
		__atomic_load(&l.last, &last, __ATOMIC_RELAXED);
		took[i % 2][i / 2] = last - done;
		/* nothing is held back for the next one */
		usleep(2000);
	}
	for (unsigned int i = 0; i < 2; i++)
		qsort(took[i], TAIL_JOBS, sizeof(double), by_size);
	print_message("# %.1f ms at most in half of the cases, %.1f ms in 9 of 10, %.1f ms in all; "
		      "%.1f ms in 9 of 10 without a tail\n", took[1][TAIL_JOBS / 2],
		      took[1][TAIL_JOBS * 9 / 10], took[1][TAIL_JOBS - 1],
		      took[0][TAIL_JOBS * 9 / 10]);
	usual = 2 * took[0][TAIL_JOBS * 9 / 10];
	must(took[1][TAIL_JOBS / 2] <= max(5., usual));
	/* now and then it does not get to run at once */
	must(took[1][TAIL_JOBS * 9 / 10] <= max(25., usual));
	session_end(&s);
	works(pump_end(&p));
	must(p.arg.bytes == bytes);
	sys(shutdown(sock[0], SHUT_WR));
	thread_join(&l.thread);
	close_pair(sock);
	close(s.ch[0]);
	mem_free(&m);
}

static void tail_before_zeros(void **state)
{
	(void)state;
	tail(MZP_DETECTION_LEGACY, ZERO, 0);
}

static void tail_before_nothing(void **state)
{
	(void)state;
	tail(MZP_DETECTION_MULTIFD, ABSENT, MZP_SEND_FRESH);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest plain[] = {
		cmocka_unit_test(half_closed),
		cmocka_unit_test(idle_cancelled),
		cmocka_unit_test(full_cancelled),
		cmocka_unit_test(idle_killed),
		cmocka_unit_test(full_killed),
		cmocka_unit_test(descriptor_closed),
		cmocka_unit_test(small_buffer),
		cmocka_unit_test(large_buffer),
		cmocka_unit_test(unix_socket),
		cmocka_unit_test(carries_itself),
		cmocka_unit_test(tail_before_zeros),
		cmocka_unit_test(tail_before_nothing),
	};
	struct CMUnitTest tests[ARRAY_SIZE(all_ends) + ARRAY_SIZE(plain)], *t = tests;

	for (unsigned int i = 0; i < ARRAY_SIZE(all_ends); i++)
		*t++ = (struct CMUnitTest){
			.name = all_ends[i].name, .test_func = ends, .initial_state = &all_ends[i],
		};
	memcpy(t, plain, sizeof(plain));
	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

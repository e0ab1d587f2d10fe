// SPDX-License-Identifier: GPL-2.0-only
/*
 * A channel's bytes in a pipe: all of them, once and in order, however full the pipe
 * is, whoever else uses it, and wherever they go from there.
 */
#include "one.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static void single_bytes(void **state)
{
	struct one o;
	int p[2];
	uint8_t b;

	(void)state;
	make_pipe(p, PAGE);
	one_open(&o, 3, 1, 2);
	one_send(&o);
	while (o.rx.chan[0].syncs < 1) {
		must(sys(splice(o.ch, NULL, p[1], NULL, 1, 0)) == 1);
		must(sys(read(p[0], &b, 1)) == 1);
		rx_feed(&o.rx.chan[0], &b, 1);
	}
	one_check(&o);
	one_close(&o);
}

static void pipe_user(void *arg)
{
	int *p = arg, n;
	char buf[100];

	/* whatever takes the pipe's lock; the exit, too, closes it */
	sys(ioctl(p[0], FIONREAD, &n));
	must(n == 100);
	must(sys(read(p[0], buf, 60)) == 60);
	sys(fcntl(p[0], F_SETPIPE_SZ, 8 * PAGE));
	must(sys(write(p[1], "0123456789", 10)) == 10);
}

/*
 * splice(2) waits for data; others that use the pipe must not have to. A kernel
 * that waits with the pipe's lock held hangs them so that not even SIGKILL
 * helps.
 */
static void blocked_leaves_pipe_alone(void **state)
{
	static uint8_t buf[MIB];
	struct reader r = { .buf = buf, .n = MIB };
	struct thread t;
	struct one o;
	int p[2];

	(void)state;
	make_pipe(p, 4 * PAGE);
	one_open(&o, 30, 8, 0);
	must(rx_some(&o.rx.chan[0]) == 64);
	memset(buf, 'x', 100);
	write_exactly(p[1], buf, 100);
	r.ch = o.ch;
	r.to = p[1];
	thread_start(&t, reader, &r);
	until_blocked_in(getpid(), t.tid, SYS_splice);
	reap(child(pipe_user, p), 0);
	must(sys(read(p[0], buf, 100)) == 50);
	must(!memcmp(buf + 40, "0123456789", 10));
	must(!readable(p[0]));
	must(poll_events(p[1], POLLOUT) == POLLOUT);
	one_send(&o);
	thread_join(&t);
	must(r.got > 0);
	read_exactly(p[0], buf, r.got);
	rx_feed(&o.rx.chan[0], buf, r.got);
	while (o.rx.chan[0].syncs < 1)
		must(rx_some(&o.rx.chan[0]) > 0);
	one_check(&o);
	one_close(&o);
	close(p[0]);
	close(p[1]);
}

/* While splice waits for data, somebody else fills the pipe. */
static void blocked_finds_pipe_full(void **state)
{
	static uint8_t buf[MIB];
	struct reader r = { .buf = buf, .n = MIB };
	struct thread t;
	struct one o;
	size_t filled = 0;
	ssize_t n;
	int p[2];

	(void)state;
	make_pipe(p, 2 * PAGE);
	sys(fcntl(p[1], F_SETFL, O_NONBLOCK));
	one_open(&o, 30, 8, 0);
	must(rx_some(&o.rx.chan[0]) == 64);
	r.ch = o.ch;
	r.to = p[1];
	sys(fcntl(p[1], F_SETFL, 0));
	thread_start(&t, reader, &r);
	until_blocked_in(getpid(), t.tid, SYS_splice);
	sys(fcntl(p[1], F_SETFL, O_NONBLOCK));
	memset(buf, 'y', PAGE);
	while ((n = write(p[1], buf, PAGE)) > 0)
		filled += n;
	must(errno == EAGAIN && filled == 2 * PAGE);
	sys(fcntl(p[1], F_SETFL, 0));
	one_send(&o);
	/* it has data now, and no room */
	session_wait(&o.s, 0);
	until_blocked_in(getpid(), t.tid, SYS_splice);
	while (filled) {
		n = sys(read(p[0], buf, min(filled, PAGE)));
		for (ssize_t i = 0; i < n; i++)
			must(buf[i] == 'y');
		filled -= n;
	}
	thread_join(&t);
	must(r.got > 0, "%s", kit_errno(r.err));
	read_exactly(p[0], buf, r.got);
	rx_feed(&o.rx.chan[0], buf, r.got);
	while (o.rx.chan[0].syncs < 1)
		must(rx_some(&o.rx.chan[0]) > 0);
	must(rx_between_packets(&o.rx.chan[0]));
	mem_check(&o.m);
	one_close(&o);
	close(p[0]);
	close(p[1]);
}

/* A full pipe: blocked until there is room, or EAGAIN; and a signal in between. */
static void full_pipe(void **state)
{
	struct sigaction action = { .sa_handler = interrupt };
	static uint8_t buf[MIB];
	struct reader r = { .buf = buf, .n = MIB };
	struct thread t;
	struct one o;
	ssize_t n;
	int p[2];

	(void)state;
	sys(sigaction(SIGUSR1, &action, NULL));
	make_pipe(p, 4 * PAGE);
	one_open(&o, 500, 2, 100);
	one_send(&o);
	r.ch = o.ch;
	r.to = p[1];
	while (o.rx.chan[0].syncs < 1) {
		size_t in_pipe = 0;

		while ((n = splice(o.ch, NULL, p[1], NULL, MIB, SPLICE_F_NONBLOCK)) > 0)
			in_pipe += n;
		must(errno == EAGAIN);
		/* full, or all that there was */
		if (poll_events(p[1], POLLOUT) & POLLOUT) {
			read_exactly(p[0], buf, in_pipe);
			rx_feed(&o.rx.chan[0], buf, in_pipe);
			continue;
		}
		thread_start(&t, reader, &r);
		until_blocked_in(getpid(), t.tid, SYS_splice);
		pthread_kill(t.pthread, SIGUSR1);
		thread_join(&t);
		must(r.got == -1 && r.err == EINTR);
		thread_start(&t, reader, &r);
		until_blocked_in(getpid(), t.tid, SYS_splice);
		read_exactly(p[0], buf, in_pipe);
		rx_feed(&o.rx.chan[0], buf, in_pipe);
		if (o.rx.chan[0].syncs) {
			/* that was all, so it waits for more */
			pthread_kill(t.pthread, SIGUSR1);
			thread_join(&t);
			must(r.got == -1 && r.err == EINTR);
			break;
		}
		thread_join(&t);
		must(r.got > 0);
		read_exactly(p[0], buf, r.got);
		rx_feed(&o.rx.chan[0], buf, r.got);
	}
	one_check(&o);
	one_close(&o);
	close(p[0]);
	close(p[1]);
}

/* Nobody will ever read this pipe: then nothing must be put into it. */
static void pipe_without_reader(void **state)
{
	static uint8_t buf[MIB];
	struct reader r = { .buf = buf, .n = MIB };
	struct thread t;
	struct one o;
	int p[2], q[2];

	(void)state;
	one_open(&o, 60, 8, 16);
	make_pipe(p, MIB);
	close(p[0]);
	refuses(EPIPE, splice(o.ch, NULL, p[1], NULL, MIB, 0));
	refuses(EPIPE, splice(o.ch, NULL, p[1], NULL, 10, SPLICE_F_NONBLOCK));
	close(p[1]);
	must(rx_some(&o.rx.chan[0]) == 64);

	/* it goes away during the wait */
	make_pipe(p, MIB);
	r.ch = o.ch;
	r.to = p[1];
	thread_start(&t, reader, &r);
	until_blocked_in(getpid(), t.tid, SYS_splice);
	close(p[0]);
	one_send(&o);
	thread_join(&t);
	must(r.got == -1 && r.err == EPIPE, "%zd, %s", r.got, kit_errno(r.err));
	close(p[1]);
	while (o.rx.chan[0].syncs < 1)
		must(rx_some(&o.rx.chan[0]) > 0);
	one_check(&o);

	/* what is in a pipe whose reader goes is lost, and nothing else */
	make_pipe(p, MIB);
	make_pipe(q, MIB);
	one_send(&o);
	session_wait(&o.s, o.sent.job + 1);
	must(sys(splice(o.ch, NULL, p[1], NULL, 1000, 0)) == 1000);
	must(sys(tee(p[0], q[1], 1000, 0)) == 1000);
	close(p[0]);
	refuses(EPIPE, splice(o.ch, NULL, p[1], NULL, MIB, 0));
	close(p[1]);
	read_exactly(q[0], buf, 1000);
	rx_feed(&o.rx.chan[0], buf, 1000);
	while (o.rx.chan[0].syncs < 2)
		must(rx_some(&o.rx.chan[0]) > 0);
	one_check(&o);
	one_close(&o);
	close(q[0]);
	close(q[1]);
}

/* tee(2) has two pipes share the pages. */
static void teed(void **state)
{
	static uint8_t buf[MIB], again[MIB];
	struct one o;
	int p[2], q[2];

	(void)state;
	make_pipe(p, MIB);
	make_pipe(q, MIB);
	one_open(&o, 900, 2, 33);
	one_send(&o);
	while (o.rx.chan[0].syncs < 1) {
		ssize_t n = sys(splice(o.ch, NULL, p[1], NULL, 300000, 0)), copied;

		copied = sys(tee(p[0], q[1], n, 0));
		must(copied > 0 && copied <= n);
		read_exactly(p[0], buf, n);
		rx_feed(&o.rx.chan[0], buf, n);
		read_exactly(q[0], again, copied);
		must(!memcmp(buf, again, copied));
	}
	one_check(&o);
	one_close(&o);
	close(p[0]);
	close(p[1]);
	close(q[0]);
	close(q[1]);
}

/* From the pipe to a socket and to a file, the way a VMM does it. */
static void spliced_on(void **state)
{
	static uint8_t buf[MIB];
	int p[2], sock[2], file = sys(memfd_create("sink", MFD_CLOEXEC));
	struct one o;

	(void)state;
	make_pipe(p, MIB);
	sys(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock));
	one_open(&o, 900, 4, 64);
	one_send(&o);
	while (o.rx.chan[0].syncs < 1) {
		ssize_t n = sys(splice(o.ch, NULL, p[1], NULL, MIB, 0)), left = n;

		while (left) {
			ssize_t part = sys(splice(p[0], NULL, sock[0], NULL, min(left, 30000l), 0));

			must(part > 0);
			read_exactly(sock[1], buf, part);
			rx_feed(&o.rx.chan[0], buf, part);
			left -= part;
		}
	}
	one_check(&o);
	one_send(&o);
	while (o.rx.chan[0].syncs < 2) {
		ssize_t n = sys(splice(o.ch, NULL, p[1], NULL, MIB, 0)), left = n;
		loff_t at = 0;

		while (left)
			left -= sys(splice(p[0], NULL, file, &at, left, SPLICE_F_MOVE));
		must(pread(file, buf, n, 0) == n);
		rx_feed(&o.rx.chan[0], buf, n);
	}
	one_check(&o);
	one_close(&o);
	close(p[0]);
	close(p[1]);
	close(sock[0]);
	close(sock[1]);
	close(file);
}

/* If sendfile(2) to a pipe works, which is a splice, it must be as good as one. */
static void sendfile_to_pipe(void **state)
{
	static uint8_t buf[MIB];
	struct one o;
	int p[2];

	(void)state;
	make_pipe(p, MIB);
	one_open(&o, 300, 2, 0);
	one_send(&o);
	while (o.rx.chan[0].syncs < 1) {
		ssize_t n = sendfile(p[1], o.ch, NULL, 100000);

		if (n < 0) {
			must(errno == EINVAL || errno == ESPIPE);
			must(rx_some(&o.rx.chan[0]) > 0);
			continue;
		}
		read_exactly(p[0], buf, n);
		rx_feed(&o.rx.chan[0], buf, n);
	}
	one_check(&o);
	one_close(&o);
	close(p[0]);
	close(p[1]);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(single_bytes),
		cmocka_unit_test(blocked_leaves_pipe_alone),
		cmocka_unit_test(blocked_finds_pipe_full),
		cmocka_unit_test(full_pipe),
		cmocka_unit_test(pipe_without_reader),
		cmocka_unit_test(teed),
		cmocka_unit_test(spliced_on),
		cmocka_unit_test(sendfile_to_pipe),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

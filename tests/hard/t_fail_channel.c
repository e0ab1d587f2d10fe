// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can be done with a channel's descriptor, each of which fails at its first
 * allocation or user copy, then at its second, and so on (see sweep.h): reading that
 * failed has taken no byte out of the stream.
 */
#include "sock.h"
#include "sweep.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

/* What is read is fed to the receiver, whose round must be complete in the end. */
static int act_read(struct state *st)
{
	ssize_t got = read(st->s.ch[0], st->buf, sizeof(st->buf));

	if (got < 0)
		return errno;
	rx_feed(&st->rx.chan[0], st->buf, got);
	return 0;
}

static void prepare_readable(struct state *st)
{
	until(readable(st->s.ch[0]));
}

static void finish_read(struct state *st)
{
	if (st->rx.chan[0].syncs) {
		/* All of this channel's part is there already. */
		while (st->rx.chan[1].syncs < 1)
			must(rx_some(&st->rx.chan[1]) > 0);
		mem_check_job(&st->s, &st->sent);
		mem_check(&st->m);
		return;
	}
	advance_to(st, DONE);
}

static void channel_read(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_readable, .act = act_read,
			       .finish = finish_read });
}

static void prepare_pipe(struct state *st)
{
	prepare_readable(st);
	sys(pipe2(st->pipe, O_CLOEXEC));
}

/* A piece that ends in the middle of a buffer, of which both then hold a part. */
static int act_splice(struct state *st)
{
	ssize_t got = splice(st->s.ch[0], NULL, st->pipe[1], NULL, 100, 0), n;

	if (got < 0)
		return errno;
	n = read(st->pipe[0], st->buf, sizeof(st->buf));
	/* It was the pipe's reader that failed, maybe behind a buffer; the rest is still there. */
	if (n < 0)
		n = 0;
	if (n < got)
		n += sys(read(st->pipe[0], st->buf + n, sizeof(st->buf) - n));
	must(n == got);
	rx_feed(&st->rx.chan[0], st->buf, n);
	return 0;
}

static void channel_splice(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_pipe, .act = act_splice,
			       .finish = finish_read });
}

/*
 * The whole round is in one channel, and its first packets are made: were they made by who
 * sends them, a failure could be their job's, and there would be nothing to send.
 */
static void prepare_one_channel(struct state *st)
{
	st->s.setup.channels = 1;
	advance_to(st, SYNCED);
	until(fd_number(st->s.ch[0], "mzp-packets:") > 0);
}

static void prepare_pump_tcp(struct state *st)
{
	prepare_one_channel(st);
	tcp_pair(st->pipe, 0, 0);
}

static void prepare_pump_unix(struct state *st)
{
	prepare_one_channel(st);
	unix_pair(st->pipe);
}

/* A header, some pages, and a part of one. */
static int act_pump(struct state *st)
{
	struct mzp_pump pump = pump_to(st->pipe[0]);

	pump.max = 10000;
	return mzp_pump(st->s.ch[0], &pump);
}

/* Where it failed it may have sent something all the same: that is in the socket. */
static void finish_pump(struct state *st)
{
	rx_feed(&st->rx.chan[0], st->buf, receive_all(st->pipe, st->buf, sizeof(st->buf)));
	advance_to(st, DONE);
}

static void channel_pump_tcp(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = OPEN, .prepare = prepare_pump_tcp, .act = act_pump,
			       .finish = finish_pump });
}

static void channel_pump_unix(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = OPEN, .prepare = prepare_pump_unix, .act = act_pump,
			       .finish = finish_pump });
}

static int act_poll(struct state *st)
{
	struct pollfd p[64];

	for (unsigned int i = 0; i < 64; i++)
		p[i] = (struct pollfd){ .fd = st->s.ch[0], .events = POLLIN };
	return poll(p, 64, 1000) < 0 ? errno : 0;
}

static void channel_poll(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .act = act_poll });
}

static void prepare_epoll(struct state *st)
{
	st->ep = sys(epoll_create1(EPOLL_CLOEXEC));
}

static int act_epoll(struct state *st)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(st->ep, EPOLL_CTL_ADD, st->s.ch[0], &event) ? errno : 0;
}

static void channel_epoll(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_epoll, .act = act_epoll });
}

static int act_fdinfo(struct state *st)
{
	char path[64], text[2048];
	int fd, err = 0;

	for (unsigned int i = 0; i < 2 && !err; i++) {
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", i ? st->s.ch[0] : st->s.fd);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return errno;
		if (read(fd, text, sizeof(text)) < 0)
			err = errno;
		close(fd);
	}
	return err;
}

static void fdinfo(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .act = act_fdinfo, .may_differ = true });
}

static int act_close_channel(struct state *st)
{
	close_fd(&st->s.ch[0]);
	return 0;
}

static void finish_close_channel(struct state *st)
{
	refuses(EPIPE, read(st->s.ch[1], st->buf, 1));
}

static void channel_close(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_events,
			       .act = act_close_channel, .finish = finish_close_channel });
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(channel_read),
		cmocka_unit_test(channel_splice),
		cmocka_unit_test(channel_pump_tcp),
		cmocka_unit_test(channel_pump_unix),
		cmocka_unit_test(channel_poll),
		cmocka_unit_test(channel_epoll),
		cmocka_unit_test(fdinfo),
		cmocka_unit_test(channel_close),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

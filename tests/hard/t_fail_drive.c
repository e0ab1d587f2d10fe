// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a VMM drives a migration with, beside jobs: STATUS, WAIT_PENDING, poll(2) on the
 * device, RATE, INJECT and END, each of which fails at its first allocation or user copy,
 * then at its second, and so on (see sweep.h).
 */
#include "sweep.h"

#include <poll.h>
#include <sys/epoll.h>

/* What SYNC or INJECT has yet to put into the rings counts: exactly what is read now. */
static void prepare_received(struct state *st)
{
	struct mzp_wait_pending p;

	rx_round(&st->rx);
	works(mzp_wait_pending(st->s.fd, 0, 0, -1, &p));
}

/* All that was received is checked, and the session is at its end. */
static void finish_received(struct state *st)
{
	mem_check_job(&st->s, &st->sent);
	session_wait(&st->s, st->sync);
	mem_check(&st->m);
	rx_next_round(&st->rx);
	st->stage = DONE;
}

/* --- STATUS and RATE */

static int act_status(struct state *st)
{
	struct mzp_status status = { .size = sizeof(status) };
	int err = mzp(st->s.fd, MZP_IOC_STATUS, &status);

	must(err || (status.state == MZP_STATE_READY && status.submitted == PAGES));
	return err;
}

static void status(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SENT, .act = act_status });
}

enum { FAST = 1 << 30 };

static int act_rate(struct state *st)
{
	int err = mzp_rate(st->s.fd, FAST);

	/* What was to fail has failed, so this does not. */
	must(!err || !mzp_status(st->s.fd).rate);
	return err;
}

static void finish_rate(struct state *st)
{
	must(mzp_status(st->s.fd).rate == FAST);
	advance_to(st, DONE);
}

static void rate(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SENT, .act = act_rate, .finish = finish_rate });
}

/* --- WAIT_PENDING and poll */

static int act_wait_pending(struct state *st)
{
	struct mzp_wait_pending p = { .pages = 5 };
	int err = mzp_wait_pending(st->s.fd, 0, 0, -1, &p);

	must(err || (!p.pages && !p.bytes));
	return err;
}

static void wait_pending(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_received,
			       .act = act_wait_pending, .finish = finish_received });
}

/* A mark that is not reached. */
static int act_wait_pending_in_vain(struct state *st)
{
	struct mzp_wait_pending p = { 0 };
	int err = mzp_wait_pending(st->s.fd, 0, 0, 10 * 1000 * 1000, &p);

	must(err, "nothing is pending");
	if (err != ETIMEDOUT)
		return err;
	must(p.bytes);
	return 0;
}

static void wait_pending_in_vain(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .act = act_wait_pending_in_vain });
}

/* So often that a page is needed for it. */
static int poll_device(struct state *st, int ready)
{
	struct pollfd p[64];
	int got;

	for (unsigned int i = 0; i < 64; i++)
		p[i] = (struct pollfd){ .fd = st->s.fd, .events = POLLIN };
	got = poll(p, 64, 10);
	must(got < 0 || got == ready, "%d", got);
	return got < 0 ? errno : 0;
}

static int act_poll(struct state *st)
{
	return poll_device(st, 64);
}

static void poll_ready(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_received, .act = act_poll,
			       .finish = finish_received });
}

static int act_poll_in_vain(struct state *st)
{
	return poll_device(st, 0);
}

static void poll_in_vain(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .act = act_poll_in_vain });
}

static void prepare_epoll(struct state *st)
{
	st->ep = sys(epoll_create1(EPOLL_CLOEXEC));
}

static int act_epoll(struct state *st)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(st->ep, EPOLL_CTL_ADD, st->s.fd, &event) ? errno : 0;
}

static void finish_epoll(struct state *st)
{
	struct epoll_event event = { 0 };

	must(sys(epoll_wait(st->ep, &event, 1, 0)) == 0);
	advance_to(st, DONE);
	must(sys(epoll_wait(st->ep, &event, 1, -1)) == 1 && event.events == EPOLLIN);
}

static void epoll(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_epoll, .act = act_epoll,
			       .finish = finish_epoll });
}

/* --- INJECT */

static uint8_t injected[MIB], got[MIB];

static int inject(struct state *st, uint32_t length)
{
	int err = mzp_inject(st->s.fd, 1, injected, length);
	struct mzp_status now;

	if (!err)
		return 0;
	/* What was to fail has failed, so this does not. */
	now = mzp_status(st->s.fd);
	must(!now.jobs && now.pending_bytes == CHANNELS * sizeof(struct mzp_wire_init));
	return err;
}

/* It comes once, right behind what every channel begins with. */
static void check_injected(struct state *st, uint32_t length)
{
	struct mzp_wire_init init;

	must(mzp_status(st->s.fd).pending_bytes == CHANNELS * sizeof(init) + length);
	read_exactly(st->s.ch[1], &init, sizeof(init));
	rx_feed(&st->rx.chan[1], &init, sizeof(init));
	read_exactly(st->s.ch[1], got, length);
	must(!memcmp(got, injected, length));
	advance_to(st, DONE);
}

static void prepare_injected(struct state *st)
{
	uint64_t random = 1;

	(void)st;
	for (unsigned int i = 0; i < MIB; i++)
		injected[i] = rnd(&random);
	memset(got, 0, sizeof(got));
}

static int act_inject(struct state *st)
{
	return inject(st, 5);
}

static void finish_inject(struct state *st)
{
	check_injected(st, 5);
}

static void inject_little(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = READABLE, .prepare = prepare_injected, .act = act_inject,
			       .finish = finish_inject });
}

static int act_inject_most(struct state *st)
{
	return inject(st, MIB);
}

static void finish_inject_most(struct state *st)
{
	check_injected(st, MIB);
}

static void inject_most(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = READABLE, .prepare = prepare_injected,
			       .act = act_inject_most, .finish = finish_inject_most });
}

/* --- END */

static int act_end(struct state *st)
{
	int err = mzp_end(st->s.fd);

	must(!err || mzp_status(st->s.fd).state == MZP_STATE_READY);
	return err;
}

/* Somebody listens to events, for whom memory would be needed. */
static void prepare_end(struct state *st)
{
	prepare_events(st);
	prepare_received(st);
}

static void finish_end(struct state *st)
{
	must(mzp_status(st->s.fd).state == MZP_STATE_ENDED);
	gives(ESHUTDOWN, mzp_end(st->s.fd));
	rx_end(&st->rx);
}

static void end(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_end, .act = act_end,
			       .finish = finish_end });
}

/* Jobs are left: it ends with the last of them. */
static void finish_end_early(struct state *st)
{
	rx_round(&st->rx);
	mem_check_job(&st->s, &st->sent);
	session_wait(&st->s, st->sync);
	mem_check(&st->m);
	finish_end(st);
}

static void end_early(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_events, .act = act_end,
			       .finish = finish_end_early });
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(status),
		cmocka_unit_test(rate),
		cmocka_unit_test(wait_pending),
		cmocka_unit_test(wait_pending_in_vain),
		cmocka_unit_test(poll_ready),
		cmocka_unit_test(poll_in_vain),
		cmocka_unit_test(epoll),
		cmocka_unit_test(inject_little),
		cmocka_unit_test(inject_most),
		cmocka_unit_test(end),
		cmocka_unit_test(end_early),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

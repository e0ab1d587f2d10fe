// SPDX-License-Identifier: GPL-2.0-only
/*
 * END: the one way to a proper end. It is said before or after the jobs are done, and all
 * else, most of all a VMM that dies, is an error for every reader, however they read.
 */
#include "one.h"
#include "take.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static void feed_one(void *arg, const uint8_t *data, size_t n)
{
	rx_feed(arg, data, n);
}

static void one_free(struct one *o)
{
	rx_free(&o->rx);
	mem_free(&o->m);
}

/* This and every later attempt, by every way, comes to @err; 0 is the end. */
static void stays(int ch, int err)
{
	struct take t;
	char c;

	take_init(&t, ch);
	for (unsigned int i = 0; i < 2 * WAYS; i++)
		must(take(&t, i % WAYS, &c, 1) == -err, "by way %u", i % WAYS);
	t.ch = -1;
	take_free(&t);
}

static uint32_t state_of(int fd)
{
	return mzp_status(fd).state;
}

/* END while jobs are not done, or when they are: the stream is whole, then ends. */
static void ends(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2 * WAYS; i++) {
		bool before = i & 1;
		struct taker t;
		struct one o;
		int ch;

		one_open(&o, 100, 2, 10);
		ch = sys(dup(o.ch));
		one_send(&o);
		if (before) {
			works(mzp_end(o.s.fd));
			must(state_of(o.s.fd) == MZP_STATE_ENDING);
			must(!(poll_events(ch, POLLIN) & (POLLHUP | POLLERR)));
		}
		taker_start(&t, o.ch, i / 2, feed_one, &o.rx.chan[0]);
		if (!before) {
			until(!mzp_status(o.s.fd).jobs_unfinished);
			taker_sleeps(&t);
			works(mzp_end(o.s.fd));
			must(state_of(o.s.fd) == MZP_STATE_ENDED);
		}
		gives(0, taker_end(&t));
		must(o.rx.chan[0].syncs == 1);
		one_check(&o);
		must(state_of(o.s.fd) == MZP_STATE_ENDED);
		must(poll_events(ch, POLLIN) == (POLLIN | POLLHUP));
		stays(ch, 0);
		/* what has ended cannot fail any more */
		sys(close(o.s.fd));
		stays(ch, 0);
		sys(close(ch));
		one_free(&o);
	}
}

/* The device may go at once, full rings and jobs that are not done or not. */
static void close_after_end(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4 * WAYS; i++) {
		bool done = i & 1, workers = i & 2 || done;
		struct mzp_setup setup = setup_for(1);
		struct taker t;
		struct one o;

		setup.ring_packets = done ? 16 : 2;
		setup.packet_pages = 10;
		setup.flags = workers ? 0 : MZP_SETUP_NO_WORKERS;
		one_open_as(&o, 100, &setup);
		one_send(&o);
		if (done)
			session_wait(&o.s, 0);
		works(mzp_end(o.s.fd));
		sys(close(o.s.fd));
		taker_start(&t, o.ch, i / 4, feed_one, &o.rx.chan[0]);
		gives(0, taker_end(&t));
		must(o.rx.chan[0].syncs == 1);
		mem_check(&o.m);
		one_free(&o);
	}
}

/* No command that would add to the stream. */
static void nothing_follows(void **state)
{
	(void)state;
	for (unsigned int ending = 0; ending < 2; ending++) {
		struct mzp_wait_pending p;
		struct mzp_wait w = { 0 };
		struct taker t;
		struct one o;
		int ch;

		one_open(&o, 100, ending ? 2 : 16, 10);
		one_send(&o);
		if (!ending)
			until(!mzp_status(o.s.fd).jobs_unfinished);
		works(mzp_end(o.s.fd));
		must(state_of(o.s.fd) == (ending ? MZP_STATE_ENDING : MZP_STATE_ENDED));
		gives(ESHUTDOWN, mzp_end(o.s.fd));
		gives(ESHUTDOWN, mzp_send_all(o.s.fd, o.m.block_id, 0, 1, 0, NULL));
		gives(ESHUTDOWN, mzp_send_blind(o.s.fd, o.m.block_id, 0, 1));
		gives(ESHUTDOWN, mzp_sync(o.s.fd, NULL));
		gives(ESHUTDOWN, mzp_inject(o.s.fd, 0, "x", 1));
		gives(ESHUTDOWN, mzp_block_add(o.s.fd, "more", o.m.base, PAGE, NULL));
		gives(ESHUTDOWN, mzp_block_remove(o.s.fd, o.m.block_id));
		gives(ESHUTDOWN, mzp_block_remove(o.s.fd, o.m.block_id + 1));
		gives(EBUSY, mzp_setup(o.s.fd, &o.s.setup));
		gives(ESHUTDOWN, mzp_channel(o.s.fd, 0, 0, &ch));
		must(mzp_status(o.s.fd).jobs == 2);
		gives(ETIMEDOUT, mzp_wait_pending(o.s.fd, 0, 0, 0, &p));
		if (ending)
			gives(ETIMEDOUT, mzp_wait(o.s.fd, 0, 0, &w));
		taker_start(&t, o.ch, BY_READ, feed_one, &o.rx.chan[0]);
		gives(0, taker_end(&t));
		works(mzp_wait_pending(o.s.fd, 0, 0, -1, &p));
		one_check(&o);
		session_wait(&o.s, 0);
		sys(close(o.s.fd));
		one_free(&o);
	}
}

/* Each job's result can be had as before, once; before or after it is done. */
static void wait_after_end(void **state)
{
	(void)state;
	for (unsigned int ending = 0; ending < 2; ending++) {
		struct mzp_wait w = { 0 };
		struct taker t;
		struct one o;

		one_open(&o, 100, ending ? 2 : 16, 10);
		one_send(&o);
		if (!ending)
			until(!mzp_status(o.s.fd).jobs_unfinished);
		works(mzp_end(o.s.fd));
		if (ending) {
			gives(ETIMEDOUT, mzp_wait(o.s.fd, o.sent.job, 0, &w));
			gives(ETIMEDOUT, mzp_wait(o.s.fd, 0, 0, &w));
			must(mzp_status(o.s.fd).jobs == 2);
		}
		taker_start(&t, o.ch, BY_READ, feed_one, &o.rx.chan[0]);
		works(mzp_wait(o.s.fd, o.sent.job, -1, &w));
		must(!w.error && w.submitted == 100 && w.normal + w.zero == 100);
		gives(ENOENT, mzp_wait(o.s.fd, o.sent.job, 0, &w));
		works(mzp_wait(o.s.fd, 0, -1, &w));
		must(!w.error && !w.submitted && !mzp_status(o.s.fd).jobs);
		works(mzp_wait(o.s.fd, 0, 0, &w));
		gives(0, taker_end(&t));
		mem_check(&o.m);
		sys(close(o.s.fd));
		one_free(&o);
	}
}

/* It can be changed at any time, and so it can hold up the end, and let it come. */
static void rate_after_end(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < WAYS; i++) {
		struct taker t;
		struct one o;

		one_open(&o, 100, 2, 10);
		one_send(&o);
		works(mzp_end(o.s.fd));
		works(mzp_rate(o.s.fd, 1));
		must(mzp_status(o.s.fd).rate == 1);
		taker_start(&t, o.ch, i, feed_one, &o.rx.chan[0]);
		/* all but the SYNC, and pages that are not in a packet yet */
		until(mzp_status(o.s.fd).pending_bytes == sizeof(struct mzp_wire_packet));
		taker_sleeps(&t);
		must(mzp_status(o.s.fd).pending_pages && state_of(o.s.fd) == MZP_STATE_ENDING);
		works(mzp_rate(o.s.fd, 0));
		gives(0, taker_end(&t));
		must(state_of(o.s.fd) == MZP_STATE_ENDED);
		works(mzp_rate(o.s.fd, 5));
		must(mzp_status(o.s.fd).rate == 5);
		one_check(&o);
		sys(close(o.s.fd));
		one_free(&o);
	}
}

/* It ends what has not ended by itself, and nothing else. */
static void cancel_after_end(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2 * WAYS; i++) {
		bool ending = i & 1;
		struct mzp_wait_pending p;
		struct taker t;
		struct one o;

		one_open(&o, 100, ending ? 2 : 16, 10);
		one_send(&o);
		if (!ending)
			until(!mzp_status(o.s.fd).jobs_unfinished);
		works(mzp_end(o.s.fd));
		for (unsigned int n = 0; n < 2; n++)
			works(mzp_cancel(o.s.fd));
		must(state_of(o.s.fd) == (ending ? MZP_STATE_FAILED : MZP_STATE_ENDED));
		must(mzp_status(o.s.fd).error == (ending ? ECANCELED : 0));
		gives(ending ? ECANCELED : ESHUTDOWN, mzp_end(o.s.fd));
		gives(ending ? ECANCELED : ESHUTDOWN, mzp_sync(o.s.fd, NULL));
		gives(ending ? ECANCELED : ESHUTDOWN, mzp_inject(o.s.fd, 0, "x", 1));
		gives(ending ? ECANCELED : ESHUTDOWN, mzp_block_remove(o.s.fd, o.m.block_id));
		gives(ending ? ECANCELED : ETIMEDOUT, mzp_wait_pending(o.s.fd, 0, 0, 0, &p));
		gives(EBUSY, mzp_setup(o.s.fd, &o.s.setup));
		works(mzp_rate(o.s.fd, 1 << 30));
		taker_start(&t, o.ch, i / 2, ending ? NULL : feed_one, &o.rx.chan[0]);
		gives(ending ? ECANCELED : 0, taker_end(&t));
		if (!ending)
			one_check(&o);
		sys(close(o.s.fd));
		one_free(&o);
	}
}

static void end_arguments(void **state)
{
	struct mzp_end end = { .size = sizeof(end), .flags = 1 };
	struct mzp_setup setup = setup_for(1);
	int fd = mzp_open();

	(void)state;
	gives(ENXIO, mzp_end(fd));
	works(mzp_setup(fd, &setup));
	gives(EINVAL, mzp(fd, MZP_IOC_END, &end));
	must(state_of(fd) == MZP_STATE_READY);
	works(mzp_end(fd));
	works(mzp_cancel(fd));
	must(state_of(fd) == MZP_STATE_ENDED);
	sys(close(fd));
}

/* A job that has failed leaves no way to a proper end, whether somebody has asked or not. */
static void end_after_failure(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2 * WAYS; i++) {
		bool asked = i & 1;
		struct mzp_wait w = { 0 };
		struct taker t;
		struct one o;
		uint64_t job;

		one_open(&o, 10, 8, 0);
		sys(munmap(o.m.base + 5 * PAGE, PAGE));
		job = session_send(&o.s, o.m.block_id, 5, 1, 0);
		taker_start(&t, o.ch, i / 2, NULL, NULL);
		until(!mzp_status(o.s.fd).jobs_unfinished);
		if (asked) {
			works(mzp_wait(o.s.fd, job, -1, &w));
			must(w.error == EFAULT);
		}
		for (unsigned int n = 0; n < 2; n++)
			gives(ENOTRECOVERABLE, mzp_end(o.s.fd));
		must(state_of(o.s.fd) == MZP_STATE_READY);
		taker_sleeps(&t);
		if (i / 2 == BY_READ)
			works(mzp_cancel(o.s.fd));
		sys(close(o.s.fd));
		gives(ECANCELED, taker_end(&t));
		one_free(&o);
	}
}

/* Nor does one that fails afterwards. */
static void failure_after_end(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < WAYS; i++) {
		struct mzp_wait w = { 0 };
		struct mzp_status status;
		struct taker t;
		struct one o;
		int ch;

		one_open(&o, 100, 2, 10);
		ch = sys(dup(o.ch));
		sys(munmap(o.m.base + 57 * PAGE, PAGE));
		session_send(&o.s, o.m.block_id, 0, 100, 0);
		works(mzp_end(o.s.fd));
		taker_start(&t, o.ch, i, NULL, NULL);
		gives(ECANCELED, taker_end(&t));
		stays(ch, ECANCELED);
		status = mzp_status(o.s.fd);
		must(status.state == MZP_STATE_FAILED);
		must(status.error == EFAULT && status.error_block == o.m.block_id &&
		     status.error_offset == 57 * PAGE);
		works(mzp_wait(o.s.fd, 0, -1, &w));
		must(w.error == EFAULT && w.error_block == o.m.block_id);
		gives(ECANCELED, mzp_end(o.s.fd));
		sys(close(o.s.fd));
		sys(close(ch));
		one_free(&o);
	}
}

/* Closing alone: with nothing ever done, with all done and taken, with jobs left. */
static void no_end(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4 * WAYS; i++) {
		bool work = i & 1, waits = i & 2;
		struct taker t;
		struct one o;
		int ch;

		one_open(&o, 100, waits ? 16 : 2, 10);
		ch = sys(dup(o.ch));
		if (work)
			one_send(&o);
		if (waits) {
			taker_start(&t, o.ch, i / 4, NULL, NULL);
			until(!mzp_status(o.s.fd).jobs_unfinished);
			taker_sleeps(&t);
		}
		sys(close(o.s.fd));
		if (!waits)
			taker_start(&t, o.ch, i / 4, NULL, NULL);
		gives(ECANCELED, taker_end(&t));
		must(poll_events(ch, POLLIN) & POLLERR);
		stays(ch, ECANCELED);
		sys(close(ch));
		one_free(&o);
	}
}

/* --- a VMM that dies */

struct vmm {
	int ready[2];
	bool done;	/* between two rounds, or within one */
};

/* Its channels' numbers are told as soon as somebody else may take them. */
static void vmm(void *arg)
{
	struct mzp_setup setup = setup_for(WAYS);
	const struct vmm *v = arg;
	struct session s;
	struct mem m;

	setup.ring_packets = 2;
	setup.packet_pages = 8;
	session_open(&s, &setup);
	mem_init(&m, "ram", 200);
	mem_set_range(&m, 0, m.pages, DATA);
	mem_add(&m, &s, NULL);
	write_exactly(v->ready[1], s.ch, WAYS * sizeof(s.ch[0]));
	for (unsigned int round = 0; round < 2; round++) {
		session_send(&s, m.block_id, 0, m.pages, 0);
		session_sync(&s);
		if (v->done)
			session_wait(&s, 0);
	}
	write_exactly(v->ready[1], "", 1);
	pause();
}

static int take_over(int pidfd, int fd)
{
	return sys(syscall(SYS_pidfd_getfd, pidfd, fd, 0));
}

static void killed(void **state)
{
	(void)state;
	for (unsigned int done = 0; done < 2; done++) {
		struct vmm v = { .done = done };
		struct taker t[WAYS];
		int ch[WAYS], pidfd;
		pid_t pid;
		char c;

		sys(pipe(v.ready));
		pid = child(vmm, &v);
		pidfd = sys(syscall(SYS_pidfd_open, pid, 0));
		read_exactly(v.ready[0], ch, sizeof(ch));
		for (unsigned int i = 0; i < WAYS; i++) {
			ch[i] = take_over(pidfd, ch[i]);
			if (done)
				taker_start(&t[i], ch[i], i, NULL, NULL);
		}
		read_exactly(v.ready[0], &c, 1);
		/* they wait for the next round, or have not even come */
		for (unsigned int i = 0; done && i < WAYS; i++)
			taker_sleeps(&t[i]);
		sys(kill(pid, SIGKILL));
		reap(pid, SIGKILL);
		for (unsigned int i = 0; i < WAYS; i++) {
			if (!done)
				taker_start(&t[i], ch[i], i, NULL, NULL);
			gives(ECANCELED, taker_end(&t[i]));
			must(!done || t[i].bytes > 0);
		}
		close(v.ready[0]);
		close(v.ready[1]);
		close(pidfd);
	}
}

/* --- readers that go */

static void open_two(struct session *s, struct mem *m, unsigned int ring)
{
	struct mzp_setup setup = setup_for(2);

	setup.ring_packets = ring;
	setup.packet_pages = 10;
	session_open(s, &setup);
	mem_init(m, "ram", 100);
	mem_set_range(m, 0, m->pages, DATA);
	mem_add(m, s, NULL);
	session_send(s, m->block_id, 0, m->pages, 0);
	session_sync(s);
}

/* Too early as long as something is missing, and only then. */
static void reader_goes(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2 * WAYS; i++) {
		bool ending = i & 1;
		struct mzp_status status;
		struct session s;
		struct taker t;
		struct mem m;
		int ch;

		open_two(&s, &m, ending ? 2 : 16);
		if (!ending)
			session_wait(&s, 0);
		ch = sys(dup(s.ch[0]));
		works(mzp_end(s.fd));
		sys(close(s.ch[1]));
		status = mzp_status(s.fd);
		must(status.state == (ending ? MZP_STATE_FAILED : MZP_STATE_ENDED));
		must(status.error == (ending ? EPIPE : 0) && !status.error_block);
		taker_start(&t, s.ch[0], i / 2, NULL, NULL);
		gives(ending ? EPIPE : 0, taker_end(&t));
		stays(ch, ending ? EPIPE : 0);
		gives(ending ? EPIPE : ESHUTDOWN, mzp_sync(s.fd, NULL));
		must(poll_events(s.fd, POLLIN) & (ending ? POLLERR : POLLIN));
		sys(close(s.fd));
		sys(close(ch));
		mem_free(&m);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends),
		cmocka_unit_test(close_after_end),
		cmocka_unit_test(nothing_follows),
		cmocka_unit_test(wait_after_end),
		cmocka_unit_test(rate_after_end),
		cmocka_unit_test(cancel_after_end),
		cmocka_unit_test(end_arguments),
		cmocka_unit_test(end_after_failure),
		cmocka_unit_test(failure_after_end),
		cmocka_unit_test(no_end),
		cmocka_unit_test(killed),
		cmocka_unit_test(reader_goes),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

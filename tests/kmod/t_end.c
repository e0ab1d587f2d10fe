// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end of a channel's stream. A proper one says that all is there, to everybody
 * who asks; any other is an error, and stays one.
 */
#include "one.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

/* The proper end: 0, again and again, by read and by splice, here and elsewhere. */
static void proper(void **state)
{
	static uint8_t buf[16];
	struct reader r = { .buf = buf, .n = sizeof(buf) };
	struct one o;
	int p[2];

	(void)state;
	make_pipe(p, PAGE);
	one_open(&o, 100, 8, 32);
	one_send(&o);
	/* all is in the ring when the session goes */
	session_wait(&o.s, 0);
	session_end(&o.s);
	while (o.rx.chan[0].syncs < 1)
		must(rx_some(&o.rx.chan[0]) > 0);
	mem_check(&o.m);
	for (unsigned int i = 0; i < 3; i++) {
		must(sys(read(o.ch, buf, 1)) == 0);
		must(sys(splice(o.ch, NULL, p[1], NULL, 1, 0)) == 0);
		must(sys(splice(o.ch, NULL, p[1], NULL, 1, SPLICE_F_NONBLOCK)) == 0);
	}
	close(o.ch);

	/* and it wakes those who wait for more */
	for (unsigned int i = 0; i < 2; i++) {
		struct thread t;

		one_open(&o, 1, 8, 32);
		must(rx_some(&o.rx.chan[0]) == 64);
		r.ch = o.ch;
		r.to = i ? p[1] : -1;
		thread_start(&t, reader, &r);
		until_blocked_in(getpid(), t.tid, reader_call(&r));
		session_end(&o.s);
		thread_join(&t);
		must(r.got == 0, "%zd, %s", r.got, kit_errno(r.err));
		close(o.ch);
	}
	close(p[0]);
	close(p[1]);
}

/* The improper end: never 0, never bytes that are not followed by the rest. */
static void improper(void **state)
{
	static uint8_t buf[MIB];
	struct reader r = { .buf = buf, .n = sizeof(buf) };
	struct one o;
	int p[2];

	(void)state;
	make_pipe(p, MIB);
	for (unsigned int i = 0; i < 8; i++) {
		bool cancel = i & 1, blocked = i & 2, spliced = i & 4;
		struct thread t;

		one_open(&o, 300, 2, 10);
		if (blocked) {
			must(rx_some(&o.rx.chan[0]) == 64);
			r.ch = o.ch;
			r.to = spliced ? p[1] : -1;
			thread_start(&t, reader, &r);
			until_blocked_in(getpid(), t.tid, reader_call(&r));
			/* a session with nothing to do that is closed ends properly */
			works(mzp_cancel(o.s.fd));
			close(o.s.fd);
			thread_join(&t);
			must(r.got == -1 && r.err == ECANCELED, "%s", kit_errno(r.err));
		} else {
			one_send(&o);
			/* in the middle of a packet */
			if (spliced)
				must(sys(splice(o.ch, NULL, p[1], NULL, 3333, 0)) > 0);
			else
				must(sys(read(o.ch, buf, 3333)) > 0);
			if (cancel)
				works(mzp_cancel(o.s.fd));
			close(o.s.fd);
		}
		for (unsigned int j = 0; j < 2; j++) {
			refuses(ECANCELED, read(o.ch, buf, 1));
			refuses(ECANCELED, splice(o.ch, NULL, p[1], NULL, 1, 0));
			refuses(ECANCELED, splice(o.ch, NULL, p[1], NULL, 1, SPLICE_F_NONBLOCK));
			must(poll_events(o.ch, POLLIN) & POLLERR);
		}
		close(o.ch);
		rx_free(&o.rx);
		mem_free(&o.m);
	}
	close(p[0]);
	close(p[1]);
}

/* A job that ended with an error is not a complete stream either. */
static void failed_job_is_no_proper_end(void **state)
{
	struct mzp_wait w = { 0 };
	uint64_t job;
	char buf[256];
	struct one o;
	ssize_t n;

	(void)state;
	for (unsigned int asked = 0; asked < 2; asked++) {
		one_open(&o, 10, 8, 0);
		sys(munmap(o.m.base + 5 * PAGE, PAGE));
		works(mzp_send_all(o.s.fd, o.m.block_id, 5, 1, 0, &job));
		/* its reader is who finds out; done, which can be seen from the outside */
		sys(fcntl(o.ch, F_SETFL, O_NONBLOCK));
		do
			must(read(o.ch, buf, sizeof(buf)) >= 0 || errno == EAGAIN);
		while (mzp_block_remove(o.s.fd, o.m.block_id) == EBUSY);
		sys(fcntl(o.ch, F_SETFL, 0));
		if (asked) {
			works(mzp_wait(o.s.fd, job, -1, &w));
			must(w.error == EFAULT);
		}
		gives(ENOTRECOVERABLE, mzp_end(o.s.fd));
		close(o.s.fd);
		while ((n = read(o.ch, buf, sizeof(buf))) > 0)
			;
		must(n == -1 && errno == ECANCELED);
		close(o.ch);
		rx_free(&o.rx);
	}
}

/* A channel is closed too early: the session is over for all others. */
static void closed_too_early(void **state)
{
	struct mzp_setup setup = setup_for(3);
	static uint8_t ram[300 * PAGE] __attribute__((aligned(4096)));
	struct mzp_wait w = { 0 };
	struct session s;
	uint64_t job;
	uint32_t id;
	char buf[16];
	int ch;

	(void)state;
	memset(ram, 1, sizeof(ram));
	setup.ring_packets = 2;
	setup.packet_pages = 4;
	session_open(&s, &setup);
	id = session_block(&s, "ram", ram, sizeof(ram));
	job = session_send(&s, id, 0, 300, 0);
	ch = sys(dup(s.ch[1]));
	close(s.ch[1]);
	/* not yet its last fd */
	gives(ETIMEDOUT, mzp_wait(s.fd, job, 0, &w));
	works(mzp_sync(s.fd, NULL));
	close(ch);
	s.ch[1] = -1;
	works(mzp_wait(s.fd, job, -1, &w));
	must(w.error == EPIPE, "%s", kit_errno(w.error));
	gives(EPIPE, mzp_send_all(s.fd, id, 0, 1, 0, NULL));
	gives(EPIPE, mzp_sync(s.fd, NULL));
	gives(EPIPE, mzp_block_add(s.fd, "more", ram, PAGE, NULL));
	refuses(EPIPE, read(s.ch[0], buf, 1));
	refuses(EPIPE, read(s.ch[2], buf, 1));
	must(poll_events(s.ch[0], POLLIN) & POLLERR);
	works(mzp_cancel(s.fd));
	session_close(&s);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(proper),
		cmocka_unit_test(improper),
		cmocka_unit_test(failed_job_is_no_proper_end),
		cmocka_unit_test(closed_too_early),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

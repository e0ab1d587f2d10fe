// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is pending, and being told when it is little enough: WAIT_PENDING, poll(2) on the
 * device, a migration that is driven from an event loop, and jobs that nobody asks for.
 */
#include "fix.h"
#include "one.h"
#include "take.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define HEADER sizeof(struct mzp_wire_packet)
#define GREETING sizeof(struct mzp_wire_init)
#define MS 1000000ll
#define ANY UINT64_MAX

/* --- WAIT_PENDING */

struct waiter {
	struct thread thread;
	int fd;
	uint64_t pages, bytes;
	int64_t timeout_ns;
	bool jobs;		/* it is WAIT for all */
	struct mzp_wait_pending p;
	struct mzp_wait w;
	int err;
};

static void *waiter(void *arg)
{
	struct waiter *w = arg;

	w->err = w->jobs ? mzp_wait(w->fd, 0, w->timeout_ns, &w->w) :
			   mzp_wait_pending(w->fd, w->pages, w->bytes, w->timeout_ns, &w->p);
	return NULL;
}

static void waiter_start(struct waiter *w, int fd, uint64_t pages, uint64_t bytes,
			 int64_t timeout_ns)
{
	*w = (struct waiter){ .fd = fd, .pages = pages, .bytes = bytes, .timeout_ns = timeout_ns };
	thread_start(&w->thread, waiter, w);
	until_blocked_in(getpid(), w->thread.tid, SYS_ioctl);
}

static int waiter_end(struct waiter *w)
{
	thread_join(&w->thread);
	return w->err;
}

/* A ring of 2 packets of 10 pages each that is full, of 100 pages, none of them zero. */
static void open_full(struct one *o)
{
	one_open(o, 100, 2, 10);
	mem_set_range(&o->m, 0, 100, DATA);
	read_exactly(o->ch, (char[GREETING]){ 0 }, GREETING);
	session_send(&o->s, o->m.block_id, 0, 100, 0);
	until(mzp_status(o->s.fd).pending_bytes == 2 * (HEADER + 10 * PAGE));
	until(mzp_status(o->s.fd).pending_pages == 80);
}

static void close_full(struct one *o)
{
	session_close(&o->s);
	rx_free(&o->rx);
	mem_free(&o->m);
}

static void wait_pending(void **state)
{
	static uint8_t packet[HEADER + 10 * PAGE];
	struct mzp_wait_pending p;
	struct waiter w;
	struct one o;
	double start;

	(void)state;
	open_full(&o);
	/* either of the two is enough to wait for */
	gives(ETIMEDOUT, mzp_wait_pending(o.s.fd, 79, ANY, 0, &p));
	must(p.pages == 80 && p.bytes == 2 * sizeof(packet));
	gives(ETIMEDOUT, mzp_wait_pending(o.s.fd, ANY, 2 * sizeof(packet) - 1, 0, &p));
	must(p.pages == 80 && p.bytes == 2 * sizeof(packet));
	works(mzp_wait_pending(o.s.fd, 80, 2 * sizeof(packet), 0, &p));
	must(p.pages == 80 && p.bytes == 2 * sizeof(packet));
	works(mzp_wait_pending(o.s.fd, ANY, ANY, -1, &p));

	start = now_ms();
	gives(ETIMEDOUT, mzp_wait_pending(o.s.fd, 79, 0, 200 * MS, &p));
	must(now_ms() - start >= 200 && p.pages == 80 && p.bytes == 2 * sizeof(packet));
	gives(EINVAL, mzp(o.s.fd, MZP_IOC_WAIT_PENDING, &(struct mzp_wait_pending){
			  .size = sizeof(p), .flags = 1 }));

	/* without end, until as much was taken as it needs */
	waiter_start(&w, o.s.fd, 0, ANY, -1);
	for (unsigned int i = 0; i < 8; i++) {
		must(blocked_in(getpid(), w.thread.tid, SYS_ioctl));
		read_exactly(o.ch, packet, sizeof(packet));
	}
	gives(0, waiter_end(&w));
	must(!w.p.pages);
	waiter_start(&w, o.s.fd, 0, sizeof(packet) - 1, -1);
	read_exactly(o.ch, packet, sizeof(packet));
	must(blocked_in(getpid(), w.thread.tid, SYS_ioctl));
	read_exactly(o.ch, packet, 1);
	gives(0, waiter_end(&w));
	must(w.p.bytes == sizeof(packet) - 1);
	works(mzp_wait_pending(o.s.fd, 0, sizeof(packet) - 1, -1, &p));
	gives(ETIMEDOUT, mzp_wait_pending(o.s.fd, 0, 0, 0, &p));
	close_full(&o);
}

/* Pages that need no packet: whoever waits for them is told, though no byte is taken. */
static void wait_without_bytes(void **state)
{
	struct mzp_setup setup = setup_for(1);
	struct mzp_send send = {
		.size = sizeof(send), .flags = MZP_SEND_FRESH | MZP_SEND_NO_RESULT,
		.page_count = 300,
	};
	struct waiter w;
	struct taker t;
	struct one o;

	(void)state;
	/* so that nothing is found out before the channel is read */
	setup.flags = MZP_SETUP_NO_WORKERS;
	one_open_as(&o, 300, &setup);
	sys(madvise(o.m.base, 300 * PAGE, MADV_DONTNEED));
	read_exactly(o.ch, (char[GREETING]){ 0 }, GREETING);
	send.block_id = o.m.block_id;
	works(mzp(o.s.fd, MZP_IOC_SEND, &send));
	waiter_start(&w, o.s.fd, 0, 0, -1);
	must(blocked_in(getpid(), w.thread.tid, SYS_ioctl));
	must(mzp_status(o.s.fd).pending_pages == 300);
	taker_start(&t, o.ch, BY_READ, NULL, NULL);
	gives(0, waiter_end(&w));
	must(!w.p.pages && !w.p.bytes && mzp_status(o.s.fd).absent == 300);
	works(mzp_end(o.s.fd));
	gives(0, taker_end(&t));
	must(!t.bytes);
	close(o.s.fd);
	rx_free(&o.rx);
	mem_free(&o.m);
}

/* Whoever waits is told when it was in vain. */
static void wait_fails(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		bool closed = i & 1, later = i & 2;
		int err = closed ? EPIPE : ECANCELED;
		struct mzp_wait_pending p;
		struct waiter w;
		struct one o;

		open_full(&o);
		if (!later)
			waiter_start(&w, o.s.fd, 0, 0, i ? -1 : 20000 * MS);
		if (closed) {
			close(o.ch);
			o.s.ch[0] = -1;
		} else {
			works(mzp_cancel(o.s.fd));
		}
		if (!later)
			gives(err, waiter_end(&w));
		gives(err, mzp_wait_pending(o.s.fd, 0, 0, -1, &p));
		gives(err, mzp_wait_pending(o.s.fd, ANY, ANY, 0, &p));
		close_full(&o);
	}
}

/* --- poll(2) */

struct poller {
	struct thread thread;
	int fd;
	short revents;
};

static void *poller(void *arg)
{
	struct poller *p = arg;
	struct pollfd fd = { .fd = p->fd, .events = POLLIN };

	sys(poll(&fd, 1, -1));
	p->revents = fd.revents;
	return NULL;
}

static void poller_start(struct poller *p, int fd)
{
	*p = (struct poller){ .fd = fd };
	thread_start(&p->thread, poller, p);
	until_blocked_in(getpid(), p->thread.tid, SYS_OF_POLL);
}

static short poller_end(struct poller *p)
{
	thread_join(&p->thread);
	return p->revents;
}

static void polled(void **state)
{
	static uint8_t packet[HEADER + 10 * PAGE];
	struct mzp_setup setup = setup_for(1);
	struct mzp_wait_pending p;
	struct poller t;
	struct one o;
	int fd, ch;

	(void)state;
	/* at first it is about nothing at all */
	fd = mzp_open();
	must(!poll_events(fd, POLLIN));
	works(mzp_setup(fd, &setup));
	works(mzp_channel(fd, 0, 0, &ch));
	must(!poll_events(fd, POLLIN));
	poller_start(&t, fd);
	read_exactly(ch, packet, GREETING);
	must(poller_end(&t) == POLLIN);
	must(poll_events(fd, POLLIN) == POLLIN);
	close(ch);
	must(poll_events(fd, POLLIN) == POLLERR);
	close(fd);

	open_full(&o);
	must(!poll_events(o.s.fd, POLLIN));
	works(mzp_wait_pending(o.s.fd, 80, ANY, 0, &p));
	must(poll_events(o.s.fd, POLLIN) == POLLIN);
	/* a mark that is moved is that of those who poll already */
	gives(ETIMEDOUT, mzp_wait_pending(o.s.fd, 79, ANY, 0, &p));
	must(!poll_events(o.s.fd, POLLIN));
	poller_start(&t, o.s.fd);
	works(mzp_wait_pending(o.s.fd, 80, ANY, 0, &p));
	must(poller_end(&t) == POLLIN);
	gives(ETIMEDOUT, mzp_wait_pending(o.s.fd, 50, 2 * sizeof(packet), 0, &p));
	poller_start(&t, o.s.fd);
	for (unsigned int i = 0; i < 2; i++)
		read_exactly(o.ch, packet, sizeof(packet));
	must(blocked_in(getpid(), t.thread.tid, SYS_OF_POLL));
	for (unsigned int i = 0; i < 2; i++)
		read_exactly(o.ch, packet, sizeof(packet));
	must(poller_end(&t) == POLLIN);
	gives(ETIMEDOUT, mzp_wait_pending(o.s.fd, 0, 0, 0, &p));
	poller_start(&t, o.s.fd);
	works(mzp_cancel(o.s.fd));
	must(poller_end(&t) == POLLERR);
	close_full(&o);
}

/* --- an event loop */

struct loop {
	struct one o;
	uint64_t pages, bytes;	/* the mark */
	bool read;		/* channels, too */
	unsigned int rounds;
};

/* One channel: behind its SYNC, a round is over. */
static void round_over(struct rx_chan *c)
{
	struct rx_block *b = &c->rx->block[0];

	if (!(be32toh(c->message.packet.flags) & MZP_WIRE_SYNC))
		return;
	must(b->normal + b->zero == b->pages, "%ju + %ju in round %u", (uintmax_t)b->normal,
	     (uintmax_t)b->zero, c->syncs);
	rx_next_round(c->rx);
}

static void feed_chan(void *arg, const uint8_t *data, size_t n)
{
	rx_feed(arg, data, n);
}

/* As much as there is. */
static void read_some(struct loop *l)
{
	static uint8_t buf[65536];
	ssize_t got;

	while ((got = read(l->o.ch, buf, sizeof(buf))) > 0)
		rx_feed(&l->o.rx.chan[0], buf, got);
	must(got == -1 && errno == EAGAIN, "%zd, %s", got, kit_errno(errno));
}

/* Until no more is pending than the mark says, with nothing but poll(2). */
static void wait_event(struct loop *l)
{
	struct pollfd p[2] = {
		{ .fd = l->o.s.fd, .events = POLLIN },
		{ .fd = l->read ? l->o.ch : -1, .events = POLLIN },
	};

	for (;;) {
		sys(poll(p, 2, -1));
		must(!((p[0].revents | p[1].revents) & ~POLLIN));
		if (p[1].revents)
			read_some(l);
		if (p[0].revents)
			return;
	}
}

static void drive(struct loop *l, uint32_t flags)
{
	struct mzp_setup setup = setup_for(1);
	struct mzp_wait_pending p;
	struct mzp_status status;
	struct taker t;

	setup.ring_packets = 4;
	setup.packet_pages = 16;
	setup.flags = flags;
	one_open_as(&l->o, 40, &setup);
	l->o.rx.packet = round_over;
	if (l->read)
		sys(fcntl(l->o.ch, F_SETFL, O_NONBLOCK));
	else
		taker_start(&t, l->o.ch, BY_READ, feed_chan, &l->o.rx.chan[0]);
	mzp_wait_pending(l->o.s.fd, l->pages, l->bytes, 0, &p);
	for (unsigned int round = 0; round < l->rounds; round++) {
		wait_event(l);
		status = mzp_status(l->o.s.fd);
		must(status.pending_pages <= l->pages && status.pending_bytes <= l->bytes);
		works(mzp_send_blind(l->o.s.fd, l->o.m.block_id, 0, 40));
		works(mzp_sync_blind(l->o.s.fd));
	}
	mzp_wait_pending(l->o.s.fd, 0, 0, 0, &p);
	wait_event(l);
	/* the last SYNC may have been read before it was counted */
	until(!mzp_status(l->o.s.fd).jobs);
	status = mzp_status(l->o.s.fd);
	must(!status.jobs && status.submitted == 40 * l->rounds && status.syncs == l->rounds);
	must(!status.pending_pages && status.normal + status.zero == status.submitted);
	works(mzp_end(l->o.s.fd));
	if (l->read)
		must(!sys(read(l->o.ch, &p, 1)));
	else
		gives(0, taker_end(&t));
	must(l->o.rx.chan[0].syncs == l->rounds);
	must(!memcmp(l->o.rx.block[0].shadow, l->o.m.base, 40 * PAGE));
	sys(close(l->o.s.fd));
	if (l->read)
		sys(close(l->o.ch));
	rx_free(&l->o.rx);
	mem_free(&l->o.m);
}

static void event_loop(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		bool early = i & 1;
		struct loop l = {
			.read = i & 2,
			.pages = early ? 24 : 0,
			.bytes = early ? 2 * MIB : 0,
			.rounds = 100,
		};

		drive(&l, i & 4 ? MZP_SETUP_NO_WORKERS : 0);
	}
}

/* --- jobs without a result */

static void no_result(void **state)
{
	struct mzp_wait_pending p;
	struct mzp_wait w = { 0 };
	struct mzp_status status;
	struct taker t;
	struct one o;
	uint64_t job;

	(void)state;
	one_open(&o, 50, 8, 8);
	taker_start(&t, o.ch, BY_READ, NULL, NULL);
	job = session_send(&o.s, o.m.block_id, 0, 3, 0);
	for (unsigned int i = 0; i < 10000; i++) {
		/* "as long as they get done" */
		if (i % 500 == 0)
			works(mzp_wait_pending(o.s.fd, 500, ANY, -1, &p));
		if (i % 8 == 7)
			works(mzp_sync_blind(o.s.fd));
		else
			works(mzp_send_blind(o.s.fd, o.m.block_id, i % 50, 1));
	}
	/* they are waited for, but not among what is told */
	works(mzp_wait(o.s.fd, 0, -1, &w));
	must(!w.error && w.submitted == 3 && w.normal + w.zero == 3);
	status = mzp_status(o.s.fd);
	must(!status.jobs && !status.jobs_unfinished);
	must(status.submitted == 3 + 8750 && status.syncs == 1250 && !status.pending_pages);
	/* nor known */
	works(mzp_send_blind(o.s.fd, o.m.block_id, 0, 1));
	for (uint64_t id = job; id < job + 10003; id++)
		gives(ENOENT, mzp_wait(o.s.fd, id, 0, &w));
	works(mzp_end(o.s.fd));
	gives(0, taker_end(&t));
	close(o.s.fd);
	rx_free(&o.rx);
	mem_free(&o.m);
}

/* Nobody reads: then there is a limit, and WAIT for all has something to wait for. */
static void no_result_unfinished(void **state)
{
	struct mzp_wait w = { 0 };
	struct waiter waits;
	unsigned int n = 0;
	struct taker t;
	struct one o;
	int err;

	(void)state;
	one_open(&o, 10, 2, 8);
	while (!(err = mzp_send_blind(o.s.fd, o.m.block_id, 0, 10)))
		n++;
	gives(EAGAIN, err);
	gives(EAGAIN, mzp_sync_blind(o.s.fd));
	gives(EAGAIN, mzp_inject(o.s.fd, 0, "x", 1));
	must(n >= mzp_info().max_jobs, "%u", n);
	gives(ETIMEDOUT, mzp_wait(o.s.fd, 0, 0, &w));
	must(!w.submitted && !w.normal && mzp_status(o.s.fd).jobs_unfinished);
	waits = (struct waiter){ .fd = o.s.fd, .jobs = true, .timeout_ns = -1 };
	thread_start(&waits.thread, waiter, &waits);
	until_blocked_in(getpid(), waits.thread.tid, SYS_ioctl);
	taker_start(&t, o.ch, BY_READ, NULL, NULL);
	gives(0, waiter_end(&waits));
	must(!waits.w.submitted && !mzp_status(o.s.fd).jobs);
	works(mzp_send_blind(o.s.fd, o.m.block_id, 0, 10));
	works(mzp_end(o.s.fd));
	gives(0, taker_end(&t));
	must(mzp_status(o.s.fd).submitted == 10ul * (n + 1));
	close(o.s.fd);
	rx_free(&o.rx);
	mem_free(&o.m);
}

/* An error is not lost with the job that nobody asks for. */
static void no_result_fails(void **state)
{
	struct mzp_wait w = { 0 };
	struct mzp_status status;
	struct taker t;
	struct one o;

	(void)state;
	one_open(&o, 50, 2, 8);
	sys(munmap(o.m.base + 9 * PAGE, PAGE));
	taker_start(&t, o.ch, BY_READ, NULL, NULL);
	works(mzp_send_blind(o.s.fd, o.m.block_id, 0, 50));
	works(mzp_wait(o.s.fd, 0, -1, &w));
	must(!w.error);
	status = mzp_status(o.s.fd);
	must(status.error == EFAULT && status.error_block == o.m.block_id &&
	     status.error_offset == 9 * PAGE && status.lost && !status.jobs);
	gives(ENOTRECOVERABLE, mzp_end(o.s.fd));
	close(o.s.fd);
	gives(ECANCELED, taker_end(&t));
	rx_free(&o.rx);
	mem_free(&o.m);
}

static int send_flags(struct one *o, uint32_t flags)
{
	struct mzp_send send = {
		.size = sizeof(send), .flags = flags, .block_id = o->m.block_id, .page_count = 1,
	};

	return mzp(o->s.fd, MZP_IOC_SEND, &send);
}

static void no_result_refused(void **state)
{
	struct mzp_sync sync = { .size = sizeof(sync), .flags = MZP_SYNC_NO_ROUND << 1 };
	struct mzp_setup setup = setup_for(1);
	struct one o;

	(void)state;
	one_open(&o, 1, 8, 8);
	gives(EINVAL, send_flags(&o, MZP_SEND_NO_RESULT | MZP_SEND_ZERO_BITMAP));
	gives(EINVAL, send_flags(&o, MZP_SEND_NO_RESULT << 1));
	gives(EINVAL, mzp(o.s.fd, MZP_IOC_SYNC, &sync));
	works(send_flags(&o, MZP_SEND_NO_RESULT | MZP_SEND_FRESH));
	close_full(&o);

	setup.detection = MZP_DETECTION_LEGACY;
	one_open_as(&o, 1, &setup);
	gives(EINVAL, send_flags(&o, MZP_SEND_NO_RESULT));
	works(mzp_sync_blind(o.s.fd));
	close_full(&o);
}

/* --- signals */

#define LONG 3000
#define STOPPED_AFTER 2000

/*
 * What a process that was stopped meanwhile sees of its waiting: one thread waits without
 * an end, and one for some time.
 */
static void waits_on(void *arg)
{
	struct waiter endless = { .jobs = *(bool *)arg, .timeout_ns = -1 };
	struct mzp_wait_pending p;
	struct mzp_wait w = { 0 };
	struct fix f;
	double took;

	fix_open_full(&f);
	endless.fd = f.fd;
	thread_start(&endless.thread, waiter, &endless);
	took = now_ms();
	if (endless.jobs)
		gives(ETIMEDOUT, mzp_wait(f.fd, 0, LONG * MS, &w));
	else
		gives(ETIMEDOUT, mzp_wait_pending(f.fd, 0, 0, LONG * MS, &p));
	took = now_ms() - took;
	/* all of it anew would take STOPPED_AFTER more */
	must(took >= LONG && took < LONG + 0.8 * STOPPED_AFTER, "%.0f ms", took);
	must(blocked_in(getpid(), endless.thread.tid, SYS_ioctl));
	drain(&f);
	gives(0, waiter_end(&endless));
	fix_close(&f);
}

static void stopped(void **state)
{
	static bool jobs[2] = { false, true };
	pid_t pid[2];
	int status;

	(void)state;
	for (unsigned int i = 0; i < 2; i++)
		pid[i] = child(waits_on, &jobs[i]);
	for (unsigned int i = 0; i < 2; i++)
		until_blocked_in(pid[i], pid[i], SYS_ioctl);
	usleep(STOPPED_AFTER * 1000);
	for (unsigned int i = 0; i < 2; i++) {
		sys(kill(pid[i], SIGSTOP));
		sys(waitpid(pid[i], &status, WUNTRACED));
		must(WIFSTOPPED(status));
	}
	usleep(200 * 1000);
	for (unsigned int i = 0; i < 2; i++)
		sys(kill(pid[i], SIGCONT));
	for (unsigned int i = 0; i < 2; i++)
		reap(pid[i], 0);
}

static void signals(void **state)
{
	const int64_t given = 20000 * MS;
	struct sigaction action = { .sa_handler = interrupt };
	struct one o;

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		bool jobs = i & 1, endless = i & 2, restart = i & 4;
		struct waiter w = { .jobs = jobs, .timeout_ns = endless ? -1 : given };
		int64_t left;

		open_full(&o);
		w.fd = o.s.fd;
		action.sa_flags = restart ? SA_RESTART : 0;
		sys(sigaction(SIGUSR1, &action, NULL));
		thread_start(&w.thread, waiter, &w);
		until_blocked_in(getpid(), w.thread.tid, SYS_ioctl);
		usleep(100 * 1000);
		must(!pthread_kill(w.thread.pthread, SIGUSR1));
		if (restart) {
			usleep(50 * 1000);
			until_blocked_in(getpid(), w.thread.tid, SYS_ioctl);
			works(mzp_cancel(o.s.fd));
		}
		gives(restart ? jobs ? 0 : ECANCELED : EINTR, waiter_end(&w));
		left = jobs ? w.w.timeout_ns : w.p.timeout_ns;
		if (endless)
			must(left < 0);
		else
			must(left <= given - 100 * MS && left > given / 2, "%jd", (intmax_t)left);
		close_full(&o);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(wait_pending),
		cmocka_unit_test(wait_without_bytes),
		cmocka_unit_test(wait_fails),
		cmocka_unit_test(polled),
		cmocka_unit_test(event_loop),
		cmocka_unit_test(no_result),
		cmocka_unit_test(no_result_unfinished),
		cmocka_unit_test(no_result_fails),
		cmocka_unit_test(no_result_refused),
		cmocka_unit_test(stopped),
		cmocka_unit_test(signals),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

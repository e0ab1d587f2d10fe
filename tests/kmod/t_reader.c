// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whoever reads a channel makes the packets that are missing, by whichever call: all of them
 * in a session without workers, and in any session those whose pages take time. It waits
 * for these by itself, for no other reader's, and can be made to stop.
 *
 * A page that takes time is one of memory behind a userfaultfd, whose handler, which is
 * this test, is told which thread asks for it.
 */
#include "leak.h"
#include "one.h"
#include "sock.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { CHANNELS = 4, PACKET = 8 };

/* --- readers */

enum way { BY_READ, BY_SPLICE, BY_PUMP };

/* Takes what a channel has, as long as it has any, to where it can be received from. */
struct carrier {
	enum way way;
	int ch, s[2];
	struct thread thread;
	int err;		/* what it ended with */
};

static int carry_by_read(struct carrier *c)
{
	uint8_t buf[16384];
	ssize_t n;

	while ((n = read(c->ch, buf, sizeof(buf))) > 0)
		write_exactly(c->s[0], buf, n);
	return n ? errno : 0;
}

static int carry_by_splice(struct carrier *c)
{
	int p[2], err;
	ssize_t n;

	make_pipe(p, 64 * PAGE);
	while ((n = splice(c->ch, NULL, p[1], NULL, MIB, 0)) > 0) {
		while (n)
			n -= sys(splice(p[0], NULL, c->s[0], NULL, n, 0));
	}
	err = n ? errno : 0;
	close_pair(p);
	return err;
}

static int carry_by_pump(struct carrier *c)
{
	struct mzp_pump pump = pump_to(c->s[0]);
	int err = mzp_pump(c->ch, &pump);

	must(pump.stop == (err ? MZP_PUMP_CHANNEL : MZP_PUMP_END) || err == EINTR);
	return err;
}

static void *carry(void *arg)
{
	struct carrier *c = arg;

	c->err = c->way == BY_READ ? carry_by_read(c) :
		 c->way == BY_SPLICE ? carry_by_splice(c) : carry_by_pump(c);
	return NULL;
}

/* A session, each of whose channels has a reader. */
struct crew {
	struct session s;
	struct rx rx;
	struct carrier c[CHANNELS];
	unsigned int nr;
};

static void crew_open(struct crew *crew, unsigned int channels, enum way way, uint32_t flags)
{
	struct mzp_setup setup = setup_for(channels);

	setup.flags = flags;
	setup.packet_pages = PACKET;
	crew->nr = channels;
	session_open(&crew->s, &setup);
	rx_init(&crew->rx, &crew->s, RX_READ);
	for (unsigned int i = 0; i < channels; i++) {
		struct carrier *c = &crew->c[i];

		*c = (struct carrier){ .way = way, .ch = crew->s.ch[i] };
		unix_pair(c->s);
		crew->rx.chan[i].fd = c->s[1];
	}
}

static void crew_start(struct crew *crew)
{
	for (unsigned int i = 0; i < crew->nr; i++)
		thread_start(&crew->c[i].thread, carry, &crew->c[i]);
}

/* All have ended, with this. */
static void crew_join(struct crew *crew, int err)
{
	for (unsigned int i = 0; i < crew->nr; i++) {
		thread_join(&crew->c[i].thread);
		must(crew->c[i].err == err, "%u: %s", i, kit_errno(crew->c[i].err));
		sys(shutdown(crew->c[i].s[0], SHUT_WR));
	}
}

static void crew_free(struct crew *crew)
{
	for (unsigned int i = 0; i < crew->nr; i++) {
		close_pair(crew->c[i].s);
		close(crew->s.ch[i]);
	}
	rx_free(&crew->rx);
}

/* The session has done what it was told, and ends as it should. */
static void crew_close(struct crew *crew)
{
	session_wait(&crew->s, 0);
	session_end(&crew->s);
	crew_join(crew, 0);
	rx_end(&crew->rx);
	crew_free(crew);
}

/* The reader whose thread this is. */
static struct carrier *crew_member(struct crew *crew, pid_t tid)
{
	for (unsigned int i = 0; i < crew->nr; i++) {
		if (crew->c[i].thread.tid == tid)
			return &crew->c[i];
	}
	must(false, "it is thread %d that asks, which reads no channel", tid);
	return NULL;
}

/* --- pages that take time */

/* From now on the pages of @m are to be asked for at the file that is returned. */
static int lazy(struct mem *m)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_THREAD_ID };
	struct uffdio_register reg = {
		.range = { (uintptr_t)m->base, m->pages * PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int uffd = sys(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));

	sys(ioctl(uffd, UFFDIO_API, &api));
	sys(ioctl(uffd, UFFDIO_REGISTER, &reg));
	memset(m->kind, DATA, m->pages);
	return uffd;
}

static void supply(int uffd, struct mem *m, uint64_t page)
{
	uint64_t content[PAGE / 8];
	struct uffdio_copy copy = {
		.dst = (uintptr_t)m->base + page * PAGE, .src = (uintptr_t)content, .len = PAGE,
	};

	page_fill(content, DATA, m->tag, page, 0);
	/* a page can be asked for twice */
	if (ioctl(uffd, UFFDIO_COPY, &copy))
		must(errno == EEXIST);
}

/* Wait so long for a question: the thread that asks, or 0; and for which page of @m. */
static pid_t asked(int uffd, struct mem *m, uint64_t *page, int ms)
{
	struct pollfd p = { .fd = uffd, .events = POLLIN };
	struct uffd_msg msg;

	if (!sys(poll(&p, 1, ms)) || read(uffd, &msg, sizeof(msg)) != sizeof(msg))
		return 0;
	must(msg.event == UFFD_EVENT_PAGEFAULT);
	*page = (msg.arg.pagefault.address - (uintptr_t)m->base) / PAGE;
	return msg.arg.pagefault.feat.ptid;
}

/* The same, with all the patience that is needed. */
static pid_t must_be_asked(int uffd, struct mem *m, uint64_t *page)
{
	pid_t tid = asked(uffd, m, page, 20000);

	must(tid, "nobody asks");
	return tid;
}

/* Answers as soon as it is asked. */
struct handler {
	int uffd;
	struct mem *m;
	bool stop;
	struct thread thread;
};

static void *answers(void *arg)
{
	struct handler *h = arg;
	uint64_t page;

	while (!__atomic_load_n(&h->stop, __ATOMIC_RELAXED)) {
		if (asked(h->uffd, h->m, &page, 20))
			supply(h->uffd, h->m, page);
	}
	return NULL;
}

static void handler_start(struct handler *h, int uffd, struct mem *m)
{
	*h = (struct handler){ .uffd = uffd, .m = m };
	thread_start(&h->thread, answers, h);
}

static void handler_stop(struct handler *h)
{
	__atomic_store_n(&h->stop, true, __ATOMIC_RELAXED);
	thread_join(&h->thread);
}

/* --- sessions without workers */

static const char *const way_names[] = { "read", "splice", "pump" };

struct kind_of_crew {
	const char *name;
	enum way way;
	uint32_t flags;
};

/* All that a session can be told, done by its readers alone. */
static void rounds(void **state)
{
	const struct kind_of_crew *kind = *state;
	uint64_t random = kind->way;
	struct crew crew;
	struct mem m;

	crew_open(&crew, 3, kind->way, kind->flags);
	mem_init(&m, "ram", 700);
	mem_add(&m, &crew.s, &crew.rx);
	crew_start(&crew);
	for (unsigned int round = 0; round < 3; round++) {
		mem_shuffle(&m, &random);
		mem_round(&m, &crew.s, &crew.rx, round ? 0 : MZP_SEND_FRESH);
		rx_next_round(&crew.rx);
	}
	crew_close(&crew);
	mem_free(&m);
}

/* Nobody reads, so nothing gets on; but whoever would read is told. */
static void nothing_without_reader(void **state)
{
	struct mzp_setup setup = setup_for(1);
	struct mzp_wait w = { 0 };
	struct one o;
	uint64_t sync;

	(void)state;
	setup.flags = MZP_SETUP_NO_WORKERS;
	one_open_as(&o, 100, &setup);
	must(rx_some(&o.rx.chan[0]) == 64);
	/* there may have been something to do, but now it is clear that there is not */
	sys(fcntl(o.ch, F_SETFL, O_NONBLOCK));
	must(rx_some(&o.rx.chan[0]) == -EAGAIN);
	sys(fcntl(o.ch, F_SETFL, 0));
	must(!poll_events(o.ch, POLLIN));
	o.sent = mem_send(&o.m, &o.s, 0, o.m.pages, NULL, MZP_SEND_ALL, 0);
	until(poll_events(o.ch, POLLIN) == POLLIN);
	gives(ETIMEDOUT, mzp_wait(o.s.fd, o.sent.job, 300 * 1000000l, &w));
	must(!w.normal && !w.zero && !w.absent);
	must(poll_events(o.ch, POLLIN) == POLLIN);
	/* one page's worth, and it has begun */
	must(rx_some(&o.rx.chan[0]) > 0);
	gives(ETIMEDOUT, mzp_wait(o.s.fd, session_sync(&o.s), 0, &w));
	while (o.rx.chan[0].syncs < 1)
		must(rx_some(&o.rx.chan[0]) > 0);
	one_check(&o);
	session_wait(&o.s, 0);

	/* a SYNC alone is to be read as well */
	sync = session_sync(&o.s);
	until(poll_events(o.ch, POLLIN) == POLLIN);
	gives(ETIMEDOUT, mzp_wait(o.s.fd, sync, 100 * 1000000l, &w));
	while (o.rx.chan[0].syncs < 2)
		must(rx_some(&o.rx.chan[0]) > 0);
	session_wait(&o.s, sync);
	one_close(&o);
}

/* Who waits for data is woken by the job, by whatever call it waits. */
static void woken(void **state)
{
	const struct kind_of_crew *kind = *state;
	struct crew crew;
	struct mem m;

	crew_open(&crew, 1, kind->way, kind->flags);
	mem_init(&m, "ram", 20);
	mem_add(&m, &crew.s, &crew.rx);
	mem_set_range(&m, 0, 20, DATA);
	crew_start(&crew);
	must(rx_some(&crew.rx.chan[0]) == 64);
	for (unsigned int i = 0; i < 20; i++) {
		until_blocked_in(getpid(), crew.c[0].thread.tid,
				 kind->way == BY_READ ? SYS_read :
				 kind->way == BY_SPLICE ? SYS_splice : SYS_ioctl);
		mem_round(&m, &crew.s, &crew.rx, 0);
		rx_next_round(&crew.rx);
	}
	crew_close(&crew);
	mem_free(&m);
}

/* --- pages that take time */

/* As many pages are waited for at a time as there are readers, and it is they who wait. */
static void side_by_side(void **state)
{
	const struct kind_of_crew *kind = *state;
	struct carrier *asking[CHANNELS];
	uint64_t page[CHANNELS];
	struct handler h;
	struct crew crew;
	struct sent sent;
	struct mem m;
	int uffd;

	crew_open(&crew, CHANNELS, kind->way, kind->flags);
	mem_init(&m, "lazy", 5 * CHANNELS * PACKET);
	uffd = lazy(&m);
	mem_add(&m, &crew.s, &crew.rx);
	crew_start(&crew);
	sent = mem_send(&m, &crew.s, 0, m.pages, NULL, MZP_SEND_ALL, 0);
	session_sync(&crew.s);
	for (unsigned int i = 0; i < CHANNELS; i++) {
		asking[i] = crew_member(&crew, must_be_asked(uffd, &m, &page[i]));
		for (unsigned int j = 0; j < i; j++)
			must(asking[j] != asking[i] && page[j] != page[i]);
	}
	for (unsigned int i = 0; i < CHANNELS; i++)
		supply(uffd, &m, page[i]);
	handler_start(&h, uffd, &m);
	rx_round(&crew.rx);
	mem_check_job(&crew.s, &sent);
	mem_check(&m);
	crew_close(&crew);
	handler_stop(&h);
	close(uffd);
	mem_free(&m);
}

/* A session of which one reader waits for a page, and the others have done all that is left. */
struct stuck {
	struct crew crew;
	struct mem never, ram;
	struct sent sent[2];
	struct carrier *who;
	uint64_t page;
	int uffd;
};

static bool block_has_come(const struct rx *rx, const struct rx_block *b)
{
	for (unsigned int i = 0; i < rx->setup.channels; i++) {
		if (rx->chan[i].in_payload)
			return false;
	}
	return b->normal + b->zero == b->pages;
}

/* Receive until all pages of @b have come. */
static void receive_block(struct rx *rx, const struct rx_block *b)
{
	while (!block_has_come(rx, b)) {
		struct pollfd p[CHANNELS];

		for (unsigned int i = 0; i < rx->setup.channels; i++)
			p[i] = (struct pollfd){ .fd = rx->chan[i].fd, .events = POLLIN };
		must(sys(poll(p, rx->setup.channels, 20000)), "%ju of %ju pages came",
		     (uintmax_t)(b->normal + b->zero), (uintmax_t)b->pages);
		for (unsigned int i = 0; i < rx->setup.channels; i++) {
			if (p[i].revents)
				must(rx_some(&rx->chan[i]) > 0);
		}
	}
}

static void stuck_open(struct stuck *t, const struct kind_of_crew *kind)
{
	uint64_t random = 1;

	crew_open(&t->crew, CHANNELS, kind->way, kind->flags);
	mem_init(&t->never, "never", PACKET);
	t->uffd = lazy(&t->never);
	mem_add(&t->never, &t->crew.s, &t->crew.rx);
	mem_init(&t->ram, "ram", 500);
	mem_add(&t->ram, &t->crew.s, &t->crew.rx);
	mem_shuffle(&t->ram, &random);
	crew_start(&t->crew);
	t->sent[0] = mem_send(&t->never, &t->crew.s, 0, PACKET, NULL, MZP_SEND_ALL, 0);
	t->who = crew_member(&t->crew, must_be_asked(t->uffd, &t->never, &t->page));
	t->sent[1] = mem_send(&t->ram, &t->crew.s, 0, 500, NULL, MZP_SEND_ALL, 0);
	receive_block(&t->crew.rx, t->ram.rx);
}

static void stuck_close(struct stuck *t)
{
	close(t->uffd);
	mem_free(&t->never);
	mem_free(&t->ram);
	all_gone(NULL);
}

/* The page comes at last, and so does all that was missing. */
static void stuck_answered(struct stuck *t)
{
	struct handler h;

	supply(t->uffd, &t->never, t->page);
	handler_start(&h, t->uffd, &t->never);
	session_sync(&t->crew.s);
	rx_round(&t->crew.rx);
	for (unsigned int i = 0; i < 2; i++)
		mem_check_job(&t->crew.s, &t->sent[i]);
	mem_check(&t->never);
	mem_check(&t->ram);
	crew_close(&t->crew);
	handler_stop(&h);
}

static void others_go_on(void **state)
{
	struct stuck t;

	stuck_open(&t, *state);
	stuck_answered(&t);
	stuck_close(&t);
}

/* What came before such a page does not wait for it, though the same reader made it. */
static void earlier_goes_out(void **state)
{
	const struct kind_of_crew *kind = *state;
	struct sent sent[2];
	struct mem ram, never;
	struct handler h;
	struct crew crew;
	uint64_t page;
	int uffd;

	crew_open(&crew, 1, kind->way, kind->flags);
	mem_init(&ram, "ram", 3 * PACKET + 1);
	mem_add(&ram, &crew.s, &crew.rx);
	mem_set_range(&ram, 0, ram.pages, DATA);
	mem_init(&never, "never", PACKET);
	uffd = lazy(&never);
	mem_add(&never, &crew.s, &crew.rx);
	for (unsigned int round = 0; round < 3; round++) {
		sent[0] = mem_send(&ram, &crew.s, 0, ram.pages, NULL, MZP_SEND_ALL, 0);
		session_sync(&crew.s);
		sent[1] = mem_send(&never, &crew.s, 0, PACKET, NULL, MZP_SEND_ALL, 0);
		if (!round)
			crew_start(&crew);
		must_be_asked(uffd, &never, &page);
		rx_round(&crew.rx);
		mem_check_job(&crew.s, &sent[0]);
		mem_check(&ram);
		supply(uffd, &never, page);
		handler_start(&h, uffd, &never);
		receive_block(&crew.rx, never.rx);
		handler_stop(&h);
		mem_check_job(&crew.s, &sent[1]);
		mem_check(&never);
		rx_next_round(&crew.rx);
		sys(madvise(never.base, never.pages * PAGE, MADV_DONTNEED));
	}
	crew_close(&crew);
	close(uffd);
	mem_free(&ram);
	mem_free(&never);
}

/* The session's end is the end of the wait for the page. */
static void ended(const struct kind_of_crew *kind, bool cancel)
{
	struct stuck t;
	double since;

	stuck_open(&t, kind);
	since = now_ms();
	if (cancel)
		works(mzp_cancel(t.crew.s.fd));
	else
		sys(close(t.crew.s.fd));
	crew_join(&t.crew, ECANCELED);
	must(now_ms() - since < 500, "after %.0f ms", now_ms() - since);
	if (cancel)
		sys(close(t.crew.s.fd));
	crew_free(&t.crew);
	stuck_close(&t);
}

static void cancelled(void **state)
{
	ended(*state, true);
}

static void closed(void **state)
{
	ended(*state, false);
}

/* A signal ends the wait for the page, and with it nothing else. */
static void interrupted(void **state)
{
	struct sigaction action = { .sa_handler = interrupt };
	struct stuck t;

	sys(sigaction(SIGUSR1, &action, NULL));
	stuck_open(&t, *state);
	for (unsigned int i = 0; i < 3; i++) {
		pthread_kill(t.who->thread.pthread, SIGUSR1);
		thread_join(&t.who->thread);
		must(t.who->err == EINTR, "%s", kit_errno(t.who->err));
		/* it, or another reader that now has the time */
		thread_start(&t.who->thread, carry, t.who);
		t.who = crew_member(&t.crew, must_be_asked(t.uffd, &t.never, &t.page));
	}
	stuck_answered(&t);
	stuck_close(&t);
}

/* One that asks for it has the call go on, and ask again. */
static void restarted(void **state)
{
	struct sigaction action = { .sa_handler = interrupt, .sa_flags = SA_RESTART };
	struct stuck t;

	sys(sigaction(SIGUSR1, &action, NULL));
	stuck_open(&t, *state);
	for (unsigned int i = 0; i < 3; i++) {
		pthread_kill(t.who->thread.pthread, SIGUSR1);
		t.who = crew_member(&t.crew, must_be_asked(t.uffd, &t.never, &t.page));
	}
	stuck_answered(&t);
	stuck_close(&t);
}

static void carry_in_child(void *arg)
{
	carry(arg);
	must(false, "it returned");
}

/* In another process: stopped, continued, and killed. */
static void killed(void **state)
{
	const struct kind_of_crew *kind = *state;
	struct sent sent;
	struct crew crew;
	struct mem m;
	struct handler h;
	uint64_t page;
	double since;
	pid_t pid;
	int uffd;

	crew_open(&crew, 1, kind->way, kind->flags);
	mem_init(&m, "lazy", 3 * PACKET);
	uffd = lazy(&m);
	mem_add(&m, &crew.s, &crew.rx);
	pid = child(carry_in_child, &crew.c[0]);
	must(rx_some(&crew.rx.chan[0]) == 64);
	sent = mem_send(&m, &crew.s, 0, m.pages, NULL, MZP_SEND_ALL, 0);
	session_sync(&crew.s);
	must(must_be_asked(uffd, &m, &page) == pid);
	sys(kill(pid, SIGSTOP));
	usleep(20000);
	sys(kill(pid, SIGCONT));
	/* it need not ask again, if it was not disturbed */
	asked(uffd, &m, &page, 200);
	supply(uffd, &m, page);
	must(must_be_asked(uffd, &m, &page) == pid);
	since = now_ms();
	sys(kill(pid, SIGKILL));
	reap(pid, SIGKILL);
	must(now_ms() - since < 500, "after %.0f ms", now_ms() - since);
	/* what it was about to do is done by the next */
	crew_start(&crew);
	must(must_be_asked(uffd, &m, &page) == crew.c[0].thread.tid);
	supply(uffd, &m, page);
	handler_start(&h, uffd, &m);
	rx_round(&crew.rx);
	mem_check_job(&crew.s, &sent);
	mem_check(&m);
	crew_close(&crew);
	handler_stop(&h);
	close(uffd);
	mem_free(&m);
	all_gone(NULL);
}

/* Who must not wait at all does not ask for a page either. */
static void nowait(void **state)
{
	const struct kind_of_crew *kind = *state;
	struct mzp_setup setup = setup_for(1);
	uint8_t buf[PAGE];
	struct iovec iov = { buf, sizeof(buf) };
	struct session s;
	struct mem m;
	uint64_t page;
	int uffd;

	setup.flags = kind->flags;
	session_open(&s, &setup);
	mem_init(&m, "lazy", 3 * PACKET);
	uffd = lazy(&m);
	mem_add(&m, &s, NULL);
	session_send(&s, m.block_id, 0, m.pages, 0);
	until(poll_events(s.ch[0], POLLIN) == POLLIN);
	must(sys(preadv2(s.ch[0], &iov, 1, -1, RWF_NOWAIT)) == 64);
	for (unsigned int i = 0; i < 20; i++) {
		refuses(EAGAIN, preadv2(s.ch[0], &iov, 1, -1, RWF_NOWAIT));
		must(!asked(uffd, &m, &page, 5));
	}
	/* it still is there for others */
	must(poll_events(s.ch[0], POLLIN) == POLLIN);
	session_close(&s);
	close(uffd);
	mem_free(&m);
	all_gone(NULL);
}

/* One thread for all channels, that never waits for data: it is told when to look. */
static void event_loop(void **state)
{
	const struct kind_of_crew *kind = *state;
	struct mzp_setup setup = setup_for(CHANNELS);
	unsigned int left = CHANNELS;
	struct handler h;
	struct session s;
	struct sent sent;
	struct mem m;
	struct rx rx;
	int uffd;

	setup.flags = kind->flags;
	setup.packet_pages = PACKET;
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	mem_init(&m, "lazy", 200);
	uffd = lazy(&m);
	mem_add(&m, &s, &rx);
	for (unsigned int i = 0; i < CHANNELS; i++)
		sys(fcntl(s.ch[i], F_SETFL, O_NONBLOCK));
	handler_start(&h, uffd, &m);
	sent = mem_send(&m, &s, 0, m.pages, NULL, MZP_SEND_ALL, 0);
	session_sync(&s);
	while (left) {
		struct pollfd p[CHANNELS];

		for (unsigned int i = 0; i < CHANNELS; i++)
			p[i] = (struct pollfd){ .fd = rx.chan[i].syncs ? -1 : s.ch[i],
						.events = POLLIN };
		must(sys(poll(p, CHANNELS, 20000)), "nothing comes, and nobody is told");
		for (unsigned int i = 0; i < CHANNELS; i++) {
			ssize_t n = p[i].revents ? rx_some(&rx.chan[i]) : -EAGAIN;

			must(n > 0 || n == -EAGAIN);
			left -= n > 0 && rx.chan[i].syncs;
		}
	}
	mem_check_job(&s, &sent);
	mem_check(&m);
	session_wait(&s, 0);
	session_close(&s);
	handler_stop(&h);
	close(uffd);
	rx_free(&rx);
	mem_free(&m);
}

/* Each of these with each way to read, with workers and without. */
static const struct {
	const char *name;
	void (*test)(void **state);
	bool all_ways;
} made_by[] = {
	{ "rounds", rounds, true },
	{ "woken", woken, true },
	{ "side_by_side", side_by_side, true },
	{ "others_go_on", others_go_on, true },
	{ "earlier_goes_out", earlier_goes_out, true },
	{ "cancelled", cancelled, true },
	{ "closed", closed, true },
	{ "interrupted", interrupted, true },
	{ "restarted", restarted, true },
	{ "killed", killed, true },
	{ "nowait", nowait, false },
	{ "event_loop", event_loop, false },
};

int main(int argc, char **argv)
{
	enum { EACH = 6 };
	static struct kind_of_crew kinds[ARRAY_SIZE(made_by) * EACH];
	static char names[ARRAY_SIZE(kinds)][64];
	struct CMUnitTest tests[ARRAY_SIZE(kinds) + 1];
	unsigned int nr = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(made_by); i++) {
		for (unsigned int j = 0; j < EACH; j++) {
			enum way way = j / 2;
			bool workers = j % 2 == 0;

			if (way && !made_by[i].all_ways)
				continue;
			snprintf(names[nr], sizeof(names[nr]), "%s%s%s%s", made_by[i].name,
				 made_by[i].all_ways ? "_" : "",
				 made_by[i].all_ways ? way_names[way] : "",
				 workers ? "" : "_without_workers");
			kinds[nr] = (struct kind_of_crew){
				names[nr], way, workers ? 0 : MZP_SETUP_NO_WORKERS,
			};
			tests[nr] = (struct CMUnitTest){
				.name = names[nr], .test_func = made_by[i].test,
				.initial_state = &kinds[nr],
			};
			nr++;
		}
	}
	tests[nr++] = (struct CMUnitTest)cmocka_unit_test(nothing_without_reader);
	return kit_main(tests, nr, argc, argv);
}

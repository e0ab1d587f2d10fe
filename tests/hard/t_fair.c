// SPDX-License-Identifier: GPL-2.0-only
/*
 * One user against another. A user without privileges can hold whatever they may
 * lock with threads that hardly ever run: of the lowest priority, on a CPU that
 * ordinary threads keep busy. Whatever that is, a session of somebody else must get
 * what it gets beside a user who is fair, without a pause; and a CPU can be taken
 * offline meanwhile.
 */
#include "genl.h"
#include "leak.h"
#include "mem.h"
#include "sock.h"
#include "trace.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

enum {
	HOGS = 2,		/* threads that keep CPU 0 busy */
	SLEEPERS = 2,		/* threads of the lowest priority there */
	CHANNELS = 2,
	PAGES = 4096,
	TURNS = 3,		/* of the fair one and of the other */
	TURN_MS = 1000,
	PAUSE_MS = 500,		/* that the victim may have to wait at most */
	PARK_MS = 1000,		/* that workers may delay a CPU that goes offline */
};

/* --- the victim: a session that has always something to send, and its readers */

struct victim {
	struct session s;
	uint32_t block;
	struct channel {
		struct thread thread;
		int fd;
		double last;		/* when the last byte came, in ms */
		double pause;		/* the longest time without one */
	} channel[CHANNELS];
	struct thread sender;
};

static void note_pause(struct channel *c, double now)
{
	double last, pause;

	__atomic_load(&c->last, &last, __ATOMIC_RELAXED);
	__atomic_load(&c->pause, &pause, __ATOMIC_RELAXED);
	pause = max(pause, now - last);
	__atomic_store(&c->pause, &pause, __ATOMIC_RELAXED);
}

static void *read_channel(void *arg)
{
	struct channel *c = arg;
	static __thread uint8_t buf[65536];

	while (read(c->fd, buf, sizeof(buf)) > 0) {
		double now = now_ms();

		note_pause(c, now);
		__atomic_store(&c->last, &now, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Some jobs are under way at any time, until the session is cancelled. */
static void *keep_sending(void *arg)
{
	struct victim *v = arg;
	uint64_t job[8] = { 0 };

	for (unsigned int i = 0;; i = (i + 1) % ARRAY_SIZE(job)) {
		if (job[i] && mzp_wait(v->s.fd, job[i], -1, &(struct mzp_wait){ 0 }))
			break;
		if (mzp_send_all(v->s.fd, v->block, 0, PAGES, 0, &job[i]))
			break;
	}
	return NULL;
}

static void victim_start(struct victim *v, const struct mzp_setup *setup, const void *ram)
{
	session_open(&v->s, setup);
	v->block = session_block(&v->s, "ram", ram, PAGES * PAGE);
	for (unsigned int i = 0; i < CHANNELS; i++) {
		struct channel *c = &v->channel[i];

		*c = (struct channel){ .fd = v->s.ch[i], .last = now_ms() };
		thread_start(&c->thread, read_channel, c);
	}
	thread_start(&v->sender, keep_sending, v);
}

static void victim_end(struct victim *v)
{
	works(mzp_cancel(v->s.fd));
	thread_join(&v->sender);
	for (unsigned int i = 0; i < CHANNELS; i++)
		thread_join(&v->channel[i].thread);
	session_close(&v->s);
}

/* Written, but zero: what is to be done is looking, not copying. */
static uint8_t *zero_ram(void)
{
	uint8_t *ram = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(ram != MAP_FAILED);
	thp_off(ram, PAGES * PAGE);
	for (uint64_t page = 0; page < PAGES; page++)
		((volatile uint8_t *)ram)[page * PAGE] = 0;
	return ram;
}

/* --- the rival, another user */

struct rival {
	const struct way *way;
	bool fair;
	int ready[2];
	struct victim v;	/* a session that works as the victim's does */
	uint8_t *ram;
	uint64_t *bits;
	int netlink;
};

/* What the sleepers do all the time. */
struct way {
	const char *name;
	void (*step)(struct rival *r);
};

/* All results of a session that has as many as there can be, and is never done. */
static void wait_for_all(struct rival *r)
{
	gives(ETIMEDOUT, mzp_wait(r->v.s.fd, 0, 0, &(struct mzp_wait){ 0 }));
}

static void open_and_close(struct rival *r)
{
	(void)r;
	close(mzp_open());
}

static void set_up(struct rival *r)
{
	struct mzp_setup setup = setup_for(255);
	int fd = mzp_open();

	(void)r;
	setup.ring_packets = setup.packet_pages = 1;
	works(mzp_setup(fd, &setup));
	close(fd);
}

/* A session that has something to do is ended. */
static void cancel(struct rival *r)
{
	struct mzp_setup setup = setup_for(16);
	struct session s;

	setup.ring_packets = setup.packet_pages = 1;
	session_open(&s, &setup);
	session_send(&s, session_block(&s, "ram", r->ram, PAGES * PAGE), 0, 64, 0);
	works(mzp_cancel(s.fd));
	session_close(&s);
}

static void add_blocks(struct rival *r)
{
	uint32_t id[64];
	char name[8];

	for (unsigned int i = 0; i < ARRAY_SIZE(id); i++) {
		snprintf(name, sizeof(name), "b%d.%u", gettid() % 100, i);
		works(mzp_block_add(r->v.s.fd, name, r->ram, PAGES * PAGE, &id[i]));
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(id); i++)
		works(mzp_block_remove(r->v.s.fd, id[i]));
}

/* Bitmaps that are long, and say little: one page at the end. */
#define LONG_PAGES (1ull << 26)
static void send_bitmap(struct rival *r)
{
	struct mzp_send send = {
		.size = sizeof(send), .format = MZP_SEND_BITMAP, .input = (uintptr_t)r->bits,
		.page_count = LONG_PAGES,
	};
	struct mzp_wait w = { 0 };
	char name[16];

	snprintf(name, sizeof(name), "long%d", gettid());
	works(mzp_block_add(r->v.s.fd, name, NULL, LONG_PAGES * PAGE, &send.block_id));
	works(mzp(r->v.s.fd, MZP_IOC_SEND, &send));
	works(mzp_wait(r->v.s.fd, send.job_id, -1, &w));
	works(mzp_block_remove(r->v.s.fd, send.block_id));
}

static void ask_netlink(struct rival *r)
{
	static __thread struct genl_request q;
	static __thread int fd;

	(void)r;
	fd = fd ?: genl_open();
	genl_begin(&q, MZP_NL_CMD_SESSION_GET, true);
	works(genl_ask(fd, &q, NULL, NULL));
	genl_begin(&q, MZP_NL_CMD_CHANNEL_GET, true);
	works(genl_ask(fd, &q, NULL, NULL));
}

static void look_at_it(struct rival *r)
{
	fd_number(r->v.s.fd, "mzp-session:");
	for (unsigned int i = 0; i < CHANNELS; i++) {
		fd_number(r->v.s.ch[i], "mzp-channel:");
		readable(r->v.s.ch[i]);
	}
}

/* Read, beside the ordinary readers, what there is: in any piece. */
static void read_along(struct rival *r)
{
	static __thread uint8_t buf[1500];

	for (unsigned int i = 0; i < CHANNELS; i++)
		read(r->v.s.ch[i], buf, sizeof(buf));
}

/* The same with PUMP, to a socket that is full. */
static void pump_along(struct rival *r)
{
	static __thread int s[2];
	struct mzp_pump pump;

	if (!s[0])
		unix_pair(s);
	for (unsigned int i = 0; i < CHANNELS; i++) {
		pump = pump_to(s[0]);
		pump.flags = MZP_PUMP_NONBLOCK;
		mzp_pump(r->v.s.ch[i], &pump);
	}
}

/* The address space's own lock. */
static void change_memory(struct rival *r)
{
	sys(mprotect(r->ram, PAGES * PAGE, PROT_READ));
	sys(mprotect(r->ram, PAGES * PAGE, PROT_READ | PROT_WRITE));
}

static const struct way ways[] = {
	{ "wait", wait_for_all },
	{ "open", open_and_close },
	{ "setup", set_up },
	{ "cancel", cancel },
	{ "block", add_blocks },
	{ "bitmap", send_bitmap },
	{ "netlink", ask_netlink },
	{ "look", look_at_it },
	{ "read", read_along },
	{ "pump", pump_along },
	{ "memory", change_memory },
};

static void *sleeper(void *arg)
{
	struct rival *r = arg;

	stay_on(0, SCHED_IDLE);
	for (;;) {
		if (!r->fair)
			r->way->step(r);
	}
	return NULL;
}

/* As many results to fetch as there can be, but for those that come and go. */
static void hoard_results(struct rival *r)
{
	static const uint64_t none[1];
	struct mzp_send send = {
		.size = sizeof(send), .format = MZP_SEND_BITMAP, .block_id = r->v.block,
		.input = (uintptr_t)none, .page_count = 1,
	};

	for (unsigned int i = mzp_info().max_jobs - 64; i; i--)
		works(mzp(r->v.s.fd, MZP_IOC_SEND, &send));
}

static void be_rival(void *arg)
{
	struct rival *r = arg;
	struct mzp_setup setup = setup_for(CHANNELS + 1);
	struct thread t[SLEEPERS];

	become(SOMEBODY);
	/* as before, and /proc/self ours */
	sys(prctl(PR_SET_PDEATHSIG, SIGKILL));
	sys(prctl(PR_SET_DUMPABLE, 1));
	r->ram = zero_ram();
	r->bits = calloc(LONG_PAGES / 64, sizeof(*r->bits));
	must(r->bits);
	r->bits[LONG_PAGES / 64 - 1] = 1ull << 63;
	/* The last channel is not read, so the SYNC is not done. */
	setup.ring_packets = 1;
	setup.packet_pages = 32;
	victim_start(&r->v, &setup, r->ram);
	session_sync(&r->v.s);
	hoard_results(r);
	for (unsigned int i = 0; i < SLEEPERS; i++)
		thread_start(&t[i], sleeper, r);
	write_exactly(r->ready[1], "", 1);
	thread_join(&t[0]);
}

/* --- */

static void hog(void *arg)
{
	(void)arg;
	stay_on(0, SCHED_OTHER);
	for (;;)
		;
}

struct result {
	double rate;		/* packets a second, on average */
	double pause;		/* the longest one, in ms, as are these */
	double offline, parking;
};

/*
 * Taking a CPU offline is made of steps. In one the workers are parked, and perhaps there
 * are some of our own. What the others take is the kernel's affair: RCU, for one, has it wait
 * for a thread of low priority, too, wherever that one may be.
 */
struct step {
	double entered, all;	/* in s and ms */
	bool ours;
};

static void take_step(const struct traced *t, void *arg)
{
	struct step *s = arg;

	if (!strcmp(t->event, "cpuhp_enter")) {
		s->entered = t->time;
		s->ours = strstr(t->text, "smpboot_park_threads") || strstr(t->text, "mzp_");
	} else if (s->ours) {
		s->all += 1000 * (t->time - s->entered);
		s->ours = false;
	}
}

static void go_offline(struct result *r)
{
	struct step s = { 0 };
	double start;

	if (access(CPU1, W_OK))
		return;
	trace_begin();
	trace_event("cpuhp/cpuhp_enter");
	trace_event("cpuhp/cpuhp_exit");
	start = now_ms();
	file_put(CPU1, "0");
	r->offline = max(r->offline, now_ms() - start);
	trace_end();
	file_put(CPU1, "1");
	trace_each(take_step, &s);
	must(s.all > 0, "no worker was parked");
	r->parking = max(r->parking, s.all);
}

static void measure(struct victim *v, struct result *r)
{
	long packets = fd_number(v->s.fd, "mzp-packets:");
	double start = now_ms(), now;

	for (unsigned int i = 0; i < CHANNELS; i++) {
		__atomic_store(&v->channel[i].last, &start, __ATOMIC_RELAXED);
		__atomic_store(&v->channel[i].pause, &(double){ 0 }, __ATOMIC_RELAXED);
	}
	usleep(TURN_MS * 1000);
	packets = fd_number(v->s.fd, "mzp-packets:") - packets;
	now = now_ms();
	r->rate += packets * 1000 / (now - start) / TURNS;
	for (unsigned int i = 0; i < CHANNELS; i++) {
		note_pause(&v->channel[i], now);
		r->pause = max(r->pause, v->channel[i].pause);
	}
	go_offline(r);
}

static void turn(struct victim *v, const struct way *way, bool fair, struct result *result)
{
	struct rival *r = calloc(1, sizeof(*r));
	pid_t rival, hogs[HOGS];
	char c;

	must(r);
	r->way = way;
	r->fair = fair;
	sys(pipe2(r->ready, O_CLOEXEC));
	rival = child(be_rival, r);
	sys(close(r->ready[1]));
	read_exactly(r->ready[0], &c, 1);
	/* it is in the middle of it when these come */
	for (unsigned int i = 0; i < HOGS; i++)
		hogs[i] = child(hog, NULL);
	usleep(200000);
	measure(v, result);
	for (unsigned int i = 0; i < HOGS; i++) {
		sys(kill(hogs[i], SIGKILL));
		reap(hogs[i], SIGKILL);
	}
	sys(kill(rival, SIGKILL));
	reap(rival, SIGKILL);
	sys(close(r->ready[0]));
	free(r);
}

static void against(void **state)
{
	const struct way *way = *state;
	struct mzp_setup setup = setup_for(CHANNELS);
	struct result fair = { 0 }, foul = { 0 };
	struct victim v;
	uint8_t *ram = zero_ram();

	sys(chmod(DEVICE, 0666));
	setup.packet_pages = 32;
	victim_start(&v, &setup, ram);
	for (unsigned int i = 0; i < TURNS; i++) {
		turn(&v, way, true, &fair);
		turn(&v, way, false, &foul);
	}
	victim_end(&v);
	sys(chmod(DEVICE, 0660));
	munmap(ram, PAGES * PAGE);
	print_message("# %.0f packets/s beside a fair user, %.0f now; pauses of %.0f and %.0f ms\n",
		      fair.rate, foul.rate, fair.pause, foul.pause);
	print_message("# a CPU was offline in %.0f and %.0f ms, workers parked in %.0f and %.0f ms\n",
		      fair.offline, foul.offline, fair.parking, foul.parking);
	must(foul.rate >= 0.8 * fair.rate);
	must(foul.pause < PAUSE_MS);
	must(foul.parking < PARK_MS);
	until(!genl_sessions());
	all_gone(NULL);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[ARRAY_SIZE(ways)];

	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++)
		tests[i] = (struct CMUnitTest){
			.name = ways[i].name, .test_func = against, .initial_state = (void *)&ways[i],
		};
	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

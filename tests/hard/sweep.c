// SPDX-License-Identifier: GPL-2.0-only
#include "sweep.h"
#include "genl.h"
#include "nth.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif
#include <linux/netlink.h>

enum { RING = 4, PACKET = 16 };

/* --- a session on its way through its life */

struct mzp_setup state_setup(void)
{
	struct mzp_setup setup = setup_for(CHANNELS);

	setup.ring_packets = RING;
	setup.packet_pages = PACKET;
	return setup;
}

void limit_memlock(void)
{
	struct rlimit limit = { CHANNELS * RING * PACKET * PAGE, CHANNELS * RING * PACKET * PAGE };
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	sys(syscall(SYS_capget, &header, data));
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	sys(syscall(SYS_capset, &header, data));
	sys(setrlimit(RLIMIT_MEMLOCK, &limit));
}

static void memory_new(struct state *st)
{
	mem_init(&st->m, "ram", PAGES);
	for (uint64_t i = 0; i < PAGES; i++)
		mem_set(&st->m, i, i % 5 == 0 ? ABSENT : i % 5 == 1 ? ZERO : DATA);
	frames_watch(&st->frames, st->m.base, PAGES);
}

static void advance(struct state *st)
{
	switch (st->stage) {
	case CLOSED:
		st->s.setup = state_setup();
		st->s.fd = mzp_open();
		break;
	case OPEN:
		works(mzp_setup(st->s.fd, &st->s.setup));
		break;
	case SET_UP:
		for (unsigned int i = 0; i < st->s.setup.channels; i++) {
			if (st->s.ch[i] < 0)
				works(mzp_channel(st->s.fd, i, 0, &st->s.ch[i]));
		}
		rx_init(&st->rx, &st->s, RX_READ);
		break;
	case READABLE:
		works(mzp_block_add(st->s.fd, "ram", st->m.base, PAGES * PAGE, &st->m.block_id));
		break;
	case WITH_BLOCK:
		if (!st->m.rx)
			st->m.rx = rx_add_block(&st->rx, "ram", PAGES, NULL);
		st->sent = mem_send(&st->m, &st->s, 0, PAGES, NULL, MZP_SEND_ALL, 0);
		break;
	case SENT:
		st->sync = session_sync(&st->s);
		break;
	case SYNCED:
		rx_round(&st->rx);
		mem_check_job(&st->s, &st->sent);
		session_wait(&st->s, st->sync);
		mem_check(&st->m);
		rx_next_round(&st->rx);
		break;
	case DONE:
		return;
	}
	st->stage++;
}

void advance_to(struct state *st, enum stage stage)
{
	while (st->stage < stage)
		advance(st);
}

struct state *state_new(enum stage stage)
{
	static struct state state;
	struct state *st = &state;

	memset(st, 0, sizeof(*st));
	memset(st->s.ch, -1, sizeof(st->s.ch));
	st->s.fd = st->memfd = st->pipe[0] = st->pipe[1] = st->nl = st->events = st->ep = -1;
	memory_new(st);
	advance_to(st, stage);
	return st;
}

void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void state_free(struct state *st)
{
	if (st->stage == DONE)
		works(mzp_end(st->s.fd));
	close_fd(&st->s.fd);
	if (st->stage == DONE)
		rx_end(&st->rx);
	for (unsigned int i = 0; i < CHANNELS; i++)
		close_fd(&st->s.ch[i]);
	if (st->stage >= READABLE)
		rx_free(&st->rx);
	mem_free(&st->m);
	close_fd(&st->memfd);
	close_fd(&st->pipe[0]);
	close_fd(&st->pipe[1]);
	close_fd(&st->nl);
	close_fd(&st->events);
	close_fd(&st->ep);
	/* A worker may be about to let go of it. */
	until(!genl_sessions());
	until(!module_refs());
	frames_gone(&st->frames);
}

/* --- the sweep */

static bool usual(int err)
{
	return err == ENOMEM || err == EFAULT || err == ENOBUFS;
}

/* Return: whether the n-th failure happened. */
static bool sweep_one(const struct sweep *sweep, int nth, unsigned int n, bool *failed)
{
	struct state *st = state_new(sweep->from);
	bool hit;
	int err;

	if (sweep->prepare)
		sweep->prepare(st);
	nth_arm(nth, n);
	err = sweep->act(st);
	hit = nth_disarm(nth);
	must(hit || !err, "failure %u did not happen, and %s", n, kit_errno(err));
	must(!err || usual(err) || sweep->may_differ, "failure %u: %s", n, kit_errno(err));
	*failed = err;
	if (err)
		works(sweep->act(st));
	if (sweep->to)
		st->stage = sweep->to;
	if (sweep->finish)
		sweep->finish(st);
	else
		advance_to(st, DONE);
	state_free(st);
	return hit;
}

void sweep(const struct sweep *what)
{
	unsigned int n, failures = 0;
	int nth;

	NEEDS_FAULTS();
	limit_memlock();
	nth = nth_open(getpid());
	for (n = 1; n <= MOST; n++) {
		bool failed;

		if (!sweep_one(what, nth, n, &failed))
			break;
		failures += failed;
	}
	must(n <= MOST, "there is no end of failures");
	print_message("# %u failures, %u of them reported\n", n - 1, failures);
	close(nth);
}

/* --- steps that several have */

int act_setup(struct state *st)
{
	struct mzp_setup setup = st->s.setup;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	setup.cpus = (uintptr_t)&cpus;
	setup.cpus_size = sizeof(cpus);
	return mzp_setup(st->s.fd, &setup);
}

void prepare_events(struct state *st)
{
	int group = 0;

	st->events = genl_open();
	/* The kernel numbers groups of all families; only ours is new since boot. */
	for (group = 1; group < 64; group++)
		setsockopt(st->events, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group));
}

void prepare_pending(struct state *st)
{
	prepare_events(st);
	for (unsigned int i = 0; i < 4; i++)
		session_send(&st->s, st->m.block_id, 0, PAGES, 0);
}

void finish_cancel(struct state *st)
{
	struct mzp_wait w = { 0 };

	works(mzp_wait(st->s.fd, 0, 0, &w));
	must(w.error == ECANCELED);
	refuses(ECANCELED, read(st->s.ch[0], st->buf, 1));
}

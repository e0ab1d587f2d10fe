// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whatever fails inside the kernel: each call is made with its first allocation
 * or user copy failing, then with its second, and so on until nothing is left
 * to fail. A call that fails says why, and has done nothing: it can be made
 * again, and then a round of the session is right to the last byte. In the end
 * nothing is left of the session: not itself, not its RLIMIT_MEMLOCK charge, not
 * a reference on a page.
 *
 * The same with the tasks that work for the session: there a failure is either
 * absorbed, or it is the job's result, or the session's end. And with the
 * module's own beginning: it is there afterwards, or nothing of it is.
 */
#include "frames.h"
#include "genl.h"
#include "mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif
#include <linux/genetlink.h>
#include <linux/netlink.h>

enum { PAGES = 48, CHANNELS = 2, RING = 4, PACKET = 16, MOST = 1000 };

/* --- fail-nth */

/* The file of this thread, or of another task. */
static int nth_open(pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/fail-nth", tid, tid);
	if (tid == getpid())
		snprintf(path, sizeof(path), "/proc/thread-self/fail-nth");
	return sys(open(path, O_RDWR | O_CLOEXEC));
}

static void nth_arm(int fd, unsigned int n)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", n);

	/* It may be this that fails, for what was armed before. */
	while (pwrite(fd, text, length, 0) != length)
		must(errno == EFAULT);
}

/* Return: whether it came to the failure. */
static bool nth_disarm(int fd)
{
	char text[16] = "";
	ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
	/* Where reading the answer was what failed, nothing had before. */
	bool failed = got > 0 && !atoi(text);

	nth_arm(fd, 0);
	return failed;
}

static void fault_file(const char *what, const char *file, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", what, file);
	file_put(path, value);
}

static bool faults_ready(void)
{
	static bool ready;

	if (ready || access("/sys/kernel/debug/failslab", F_OK))
		return ready;
	fault_file("failslab", "ignore-gfp-wait", "N");
	fault_file("fail_page_alloc", "ignore-gfp-wait", "N");
	fault_file("fail_page_alloc", "ignore-gfp-highmem", "N");
	fault_file("fail_page_alloc", "min-order", "0");
	fault_file("failslab", "verbose", "0");
	fault_file("fail_page_alloc", "verbose", "0");
	fault_file("fail_usercopy", "verbose", "0");
	ready = true;
	return ready;
}

#define NEEDS_FAULTS()                                                         \
	do {                                                                   \
		if (!faults_ready()) {                                         \
			print_message("# SKIP the kernel cannot make calls fail\n"); \
			return;                                                \
		}                                                              \
	} while (0)

/* --- a session on its way through its life */

enum stage { CLOSED, OPEN, SET_UP, READABLE, WITH_BLOCK, SENT, SYNCED, DONE };

struct state {
	enum stage stage;
	struct session s;
	struct rx rx;
	struct mem m;
	int memfd;
	struct frames frames;
	struct sent sent;
	uint64_t sync;
	uint32_t extra;		/* a block that is only there to be removed */
	int pipe[2], nl, events, ep;
	bool broken;		/* what the netlink socket holds is of no use */
	uint64_t number;
	uint64_t bits[1];
	uint8_t buf[64 * 1024];
};

static struct mzp_setup state_setup(void)
{
	struct mzp_setup setup = setup_for(CHANNELS);

	setup.ring_packets = RING;
	setup.packet_pages = PACKET;
	return setup;
}

/* Without CAP_IPC_LOCK, and with room for one session: what stays charged is missed. */
static void limit_memlock(void)
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
		for (unsigned int i = 0; i < CHANNELS; i++) {
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

static void advance_to(struct state *st, enum stage stage)
{
	while (st->stage < stage)
		advance(st);
}

static struct state *state_new(enum stage stage)
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

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Nothing may be left of it. */
static void state_free(struct state *st)
{
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

struct sweep {
	enum stage from;			/* how far the session is before */
	void (*prepare)(struct state *st);
	int (*act)(struct state *st);		/* 0 or an errno */
	enum stage to;				/* how far it is after that has worked */
	bool may_differ;			/* other errors than ENOMEM and EFAULT */
	bool no_retry;				/* it happens only once */
	void (*finish)(struct state *st);	/* instead of a round */
};

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
	if (err && !sweep->no_retry)
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

static void sweep(const struct sweep *what)
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

/* --- ioctls */

static int act_open(struct state *st)
{
	st->s.fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	st->s.setup = state_setup();
	return st->s.fd < 0 ? errno : 0;
}

static void device_open(void **state)
{
	(void)state;
	/* ENFILE and the like are the VFS's business */
	sweep(&(struct sweep){ .act = act_open, .to = OPEN, .may_differ = true });
}

static int act_info(struct state *st)
{
	struct mzp_info info = { .size = sizeof(info) };

	return mzp(st->s.fd, MZP_IOC_INFO, &info);
}

static void info(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = OPEN, .act = act_info });
}

static int act_setup(struct state *st)
{
	struct mzp_setup setup = st->s.setup;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	setup.cpus = (uintptr_t)&cpus;
	setup.cpus_size = sizeof(cpus);
	return mzp_setup(st->s.fd, &setup);
}

static void setup(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = OPEN, .act = act_setup, .to = SET_UP });
}

/* What compressors need; what they make of pages is for other tests. */
static void finish_setup(struct state *st)
{
	st->stage = SET_UP;
	for (unsigned int i = 0; i < CHANNELS; i++)
		works(mzp_channel(st->s.fd, i, 0, &st->s.ch[i]));
}

static void prepare_zlib(struct state *st)
{
	st->s.setup.method = MZP_METHOD_ZLIB;
}

static void setup_zlib(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = OPEN, .prepare = prepare_zlib, .act = act_setup,
			       .finish = finish_setup });
}

static void prepare_zstd(struct state *st)
{
	st->s.setup.method = MZP_METHOD_ZSTD;
}

static void setup_zstd(void **state)
{
	(void)state;
	if (!(mzp_info().methods >> MZP_METHOD_ZSTD & 1)) {
		print_message("# SKIP there is no zstd\n");
		return;
	}
	sweep(&(struct sweep){ .from = OPEN, .prepare = prepare_zstd, .act = act_setup,
			       .finish = finish_setup });
}

static void prepare_events(struct state *st)
{
	int group = 0;

	st->events = genl_open();
	/* The kernel numbers groups of all families; only ours is new since boot. */
	for (group = 1; group < 64; group++)
		setsockopt(st->events, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group));
}

static void setup_with_listener(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = OPEN, .prepare = prepare_events, .act = act_setup,
			       .to = SET_UP });
}

static int act_channel(struct state *st)
{
	return mzp_channel(st->s.fd, 1, 0, &st->s.ch[1]);
}

static void channel(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SET_UP, .act = act_channel, .may_differ = true });
}

static int act_block_add(struct state *st)
{
	return mzp_block_add(st->s.fd, "ram", st->m.base, PAGES * PAGE, &st->m.block_id);
}

static void block_add(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = READABLE, .act = act_block_add, .to = WITH_BLOCK });
}

static void prepare_memfd(struct state *st)
{
	st->memfd = sys(memfd_create("extra", MFD_CLOEXEC));
	sys(ftruncate(st->memfd, PAGE));
}

static int act_block_add_fd(struct state *st)
{
	return mzp_block_add_fd(st->s.fd, "extra", st->memfd, 0, PAGE, &st->extra);
}

static void block_add_fd(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = WITH_BLOCK, .prepare = prepare_memfd,
			       .act = act_block_add_fd });
}

static void prepare_extra(struct state *st)
{
	works(mzp_block_add(st->s.fd, "extra", st->m.base, PAGE, &st->extra));
}

static int act_block_remove(struct state *st)
{
	return mzp_block_remove(st->s.fd, st->extra);
}

static void block_remove(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = WITH_BLOCK, .prepare = prepare_extra,
			       .act = act_block_remove });
}

/* Pages that are not the round's, so that nobody counts them twice. */
static int act_send(struct state *st, struct mzp_send *send)
{
	int err;

	send->size = sizeof(*send);
	send->block_id = st->extra;
	send->page_count = 1;
	err = mzp(st->s.fd, MZP_IOC_SEND, send);
	st->sent.job = err ? 0 : send->job_id;
	return err;
}

static int act_send_all(struct state *st)
{
	return act_send(st, &(struct mzp_send){ .format = MZP_SEND_ALL });
}

static int act_send_bitmap(struct state *st)
{
	st->bits[0] = 1;
	return act_send(st, &(struct mzp_send){ .format = MZP_SEND_BITMAP,
						.flags = MZP_SEND_ZERO_BITMAP,
						.input = (uintptr_t)st->bits });
}

static int act_send_ranges(struct state *st)
{
	struct mzp_range range = { .end = PAGE };

	return act_send(st, &(struct mzp_send){ .format = MZP_SEND_RANGES, .nr_ranges = 1,
						.input = (uintptr_t)&range });
}

/* The extra block is unknown to the receiver: throw the bytes away until the SYNC's. */
static void drain_round(struct state *st)
{
	struct pollfd p[CHANNELS];
	uint64_t sync = session_sync(&st->s);
	struct mzp_wait w = { 0 };

	while (mzp_wait(st->s.fd, sync, 0, &w) == ETIMEDOUT) {
		for (unsigned int i = 0; i < CHANNELS; i++)
			p[i] = (struct pollfd){ .fd = st->s.ch[i], .events = POLLIN };
		sys(poll(p, CHANNELS, 10));
		for (unsigned int i = 0; i < CHANNELS; i++) {
			if (p[i].revents & POLLIN)
				sys(read(st->s.ch[i], st->buf, sizeof(st->buf)));
		}
	}
	works(w.error);
}

static void finish_send(struct state *st)
{
	drain_round(st);
	session_wait(&st->s, st->sent.job);
	works(mzp_block_remove(st->s.fd, st->extra));
}

static void send_all(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = READABLE, .prepare = prepare_extra, .act = act_send_all,
			       .finish = finish_send });
}

static void send_bitmap(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = READABLE, .prepare = prepare_extra,
			       .act = act_send_bitmap, .finish = finish_send });
}

static void send_ranges(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = READABLE, .prepare = prepare_extra,
			       .act = act_send_ranges, .finish = finish_send });
}

static int act_sync(struct state *st)
{
	return mzp_sync(st->s.fd, &st->sync);
}

static void sync_(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SENT, .act = act_sync, .to = SYNCED });
}

/* All that was handed over has been received, and nobody has asked for the results. */
static void prepare_received(struct state *st)
{
	rx_round(&st->rx);
}

static int act_wait(struct state *st)
{
	struct mzp_wait w = { .zero_bitmap = (uintptr_t)st->bits, .zero_bitmap_pages = 64 };

	return mzp_wait(st->s.fd, st->sent.job, -1, &w);
}

static void prepare_wait_bitmap(struct state *st)
{
	st->sent = mem_send(&st->m, &st->s, 0, PAGES, NULL, MZP_SEND_ALL, MZP_SEND_ZERO_BITMAP);
	st->sync = session_sync(&st->s);
	rx_round(&st->rx);
}

static void prepare_rx_block(struct state *st)
{
	st->m.rx = rx_add_block(&st->rx, "ram", PAGES, NULL);
	prepare_wait_bitmap(st);
}

static void finish_wait(struct state *st)
{
	struct mzp_wait w = { 0 };
	uint64_t want = 0;

	for (unsigned int i = 0; i < PAGES; i++)
		want |= (uint64_t)(i % 5 < 2) << i;
	must(st->bits[0] == want, "the bitmap of zero pages is %lx, not %lx", st->bits[0], want);
	gives(ENOENT, mzp_wait(st->s.fd, st->sent.job, 0, &w));
	session_wait(&st->s, st->sync);
	rx_next_round(&st->rx);
}

static void wait_one(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = WITH_BLOCK, .prepare = prepare_rx_block, .act = act_wait,
			       .finish = finish_wait });
}

static int act_wait_all(struct state *st)
{
	struct mzp_wait w = { 0 };
	int err = mzp_wait(st->s.fd, 0, -1, &w);

	must(err || w.submitted == PAGES);
	return err;
}

static void finish_wait_all(struct state *st)
{
	struct mzp_wait w = { 0 };

	gives(ENOENT, mzp_wait(st->s.fd, st->sync, 0, &w));
}

static void wait_all(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_received,
			       .act = act_wait_all, .finish = finish_wait_all });
}

/* Events, and a job that is not done: more pages than the rings have room for. */
static void prepare_pending(struct state *st)
{
	prepare_events(st);
	for (unsigned int i = 0; i < 4; i++)
		session_send(&st->s, st->m.block_id, 0, PAGES, 0);
}

static int act_cancel(struct state *st)
{
	return mzp_cancel(st->s.fd);
}

static void finish_cancel(struct state *st)
{
	struct mzp_wait w = { 0 };

	works(mzp_wait(st->s.fd, 0, 0, &w));
	must(w.error == ECANCELED);
	refuses(ECANCELED, read(st->s.ch[0], st->buf, 1));
}

static void cancel(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_pending, .act = act_cancel,
			       .finish = finish_cancel });
}

/* --- channels */

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

static int act_close(struct state *st)
{
	close_fd(&st->s.fd);
	return 0;
}

static void finish_close(struct state *st)
{
	refuses(ECANCELED, read(st->s.ch[0], st->buf, 1));
}

/* Nothing of it can fail; there is a listener, for whom memory would be needed. */
static void device_close(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_pending, .act = act_close,
			       .finish = finish_close });
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

/* --- netlink */

struct ask {
	uint8_t cmd;
	bool dump;
	void (*fill)(struct genl_request *r, struct state *st);
};

static const struct ask *asked;
static unsigned int answers;

static void count_answers(const uint8_t *attrs, size_t size, void *arg)
{
	(void)attrs;
	(void)size;
	(void)arg;
	answers++;
}

static void prepare_ask(struct state *st)
{
	st->nl = genl_open();
	st->number = session_number(st->s.fd);
}

static int act_ask(struct state *st)
{
	struct genl_request r;
	int err;

	if (st->broken) {
		close(st->nl);
		st->nl = genl_open();
	}
	genl_begin(&r, asked->cmd, asked->dump);
	if (asked->fill)
		asked->fill(&r, st);
	answers = 0;
	err = genl_ask(st->nl, &r, count_answers, NULL);
	st->broken = err;
	return err;
}

static void ask(uint8_t cmd, bool dump, void (*fill)(struct genl_request *r, struct state *st))
{
	struct ask what = { cmd, dump, fill };

	asked = &what;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_ask, .act = act_ask });
}

static void fill_session(struct genl_request *r, struct state *st)
{
	genl_put_u64(r, MZP_A_SESSION_ID, st->number);
}

static void fill_channel(struct genl_request *r, struct state *st)
{
	genl_put_u64(r, MZP_A_CHANNEL_SESSION, st->number);
	genl_put_u32(r, MZP_A_CHANNEL_ID, 1);
}

static void fill_channels(struct genl_request *r, struct state *st)
{
	genl_put_u64(r, MZP_A_CHANNEL_SESSION, st->number);
}

static void fill_worker(struct genl_request *r, struct state *st)
{
	(void)st;
	genl_put_u32(r, MZP_A_WORKER_CPU, 0);
}

static void fill_limit(struct genl_request *r, struct state *st)
{
	fill_session(r, st);
	genl_put(r, MZP_A_SESSION_CPUS, "0", 2);
	genl_put_u64(r, MZP_A_SESSION_RATE, 1ull << 40);
}

static void nl_info(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_INFO_GET, false, NULL);
}

static void nl_session(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_SESSION_GET, false, fill_session);
}

static void nl_sessions(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_SESSION_GET, true, NULL);
}

static void nl_channel(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_CHANNEL_GET, false, fill_channel);
}

static void nl_channels(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_CHANNEL_GET, true, fill_channels);
}

static void nl_worker(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_WORKER_GET, false, fill_worker);
}

static void nl_workers(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_WORKER_GET, true, NULL);
}

static void nl_limit(void **state)
{
	(void)state;
	ask(MZP_NL_CMD_SESSION_LIMIT, false, fill_limit);
}

static void prepare_nl_cancel(struct state *st)
{
	prepare_pending(st);
	prepare_ask(st);
}

static void nl_cancel(void **state)
{
	static const struct ask what = { MZP_NL_CMD_SESSION_CANCEL, false, fill_session };

	(void)state;
	asked = &what;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_nl_cancel, .act = act_ask,
			       .finish = finish_cancel });
}

/* --- the tasks that work for a session */

/* Return: 0 if there is none. */
static pid_t find_task(const char *name)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	pid_t found = 0;

	must(dir);
	while (!found && (entry = readdir(dir))) {
		char path[300], comm[32] = "";
		int fd;

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, comm, sizeof(comm) - 1) > 0) {
			comm[strcspn(comm, "\n")] = 0;
			if (!strcmp(comm, name))
				found = atoi(entry->d_name);
		}
		close(fd);
	}
	closedir(dir);
	return found;
}

static pid_t task_named(const char *name)
{
	pid_t found = find_task(name);

	must(found, "there is no task %s", name);
	return found;
}

struct way {
	enum mzp_method method;
	enum mzp_detection detection;
	bool by_fd;
	unsigned int slow;	/* failures of the slow lane that are combined with the worker's */
};

/* A session whose channels all run on CPU 0. */
static void way_open(struct state *st, const struct way *way)
{
	st->s.setup = state_setup();
	st->s.setup.method = way->method;
	st->s.setup.detection = way->detection;
	st->s.fd = mzp_open();
	works(act_setup(st));
	for (unsigned int i = 0; i < CHANNELS; i++)
		works(mzp_channel(st->s.fd, i, 0, &st->s.ch[i]));
	if (way->by_fd) {
		st->memfd = sys(memfd_create("ram", MFD_CLOEXEC));
		sys(ftruncate(st->memfd, PAGES * PAGE));
		for (unsigned int i = 0; i < PAGES; i += 3)
			must(pwrite(st->memfd, st->m.base + 2 * PAGE, PAGE, i * PAGE) == PAGE);
		works(mzp_block_add_fd(st->s.fd, "ram", st->memfd, 0, PAGES * PAGE, &st->extra));
	} else {
		works(mzp_block_add(st->s.fd, "ram", st->m.base, PAGES * PAGE, &st->extra));
	}
	st->stage = WITH_BLOCK;
	rx_init(&st->rx, &st->s, RX_READ);
}

/* Read until the SYNC is out on all channels, or the session's end. Return: its errno. */
static int way_round(struct state *st, const struct way *way, struct mzp_wait *w)
{
	uint64_t job, sync;
	struct mzp_wait ws = { 0 };
	ssize_t got = 0;
	int err;

	err = mzp_send_all(st->s.fd, st->extra, 0, PAGES, 0, &job);
	err = err ?: mzp_sync(st->s.fd, &sync);
	if (err)
		return err;
	while (mzp_wait(st->s.fd, sync, 0, &ws) == ETIMEDOUT) {
		struct pollfd p[CHANNELS];

		for (unsigned int i = 0; i < CHANNELS; i++)
			p[i] = (struct pollfd){ .fd = st->s.ch[i], .events = POLLIN };
		sys(poll(p, CHANNELS, 100));
		for (unsigned int i = 0; i < CHANNELS && got >= 0; i++) {
			if (p[i].revents)
				got = read(st->s.ch[i], st->buf, sizeof(st->buf));
			if (got < 0)
				must(errno == EIO, "%s", kit_errno(errno));
		}
	}
	works(mzp_wait(st->s.fd, job, -1, w));
	if (!w->error)
		must(w->normal + w->zero + w->absent == PAGES);
	/* Each page of a whole round is there; what is in them is for other tests. */
	if (!w->error && way->detection == MZP_DETECTION_NONE)
		must(!w->zero);
	return ws.error;
}

static bool task_fault(int err)
{
	return !err || err == ENOMEM || err == ESRCH || err == EIO;
}

/* Return: whether the n-th failure happened in the worker. */
static bool way_one(const struct way *way, int worker, unsigned int n, unsigned int slow,
		    unsigned int *failed)
{
	struct state *st = state_new(CLOSED);
	struct mzp_wait w = { 0 }, again = { 0 };
	char name[32];
	bool hit;
	int err, lane;

	way_open(st, way);
	snprintf(name, sizeof(name), "mzp-slow/%lu", session_number(st->s.fd));
	lane = nth_open(task_named(name));
	if (slow)
		nth_arm(lane, slow);
	nth_arm(worker, n);
	err = way_round(st, way, &w);
	hit = nth_disarm(worker);
	if (slow)
		nth_disarm(lane);
	close(lane);
	must(task_fault(err) && task_fault(w.error), "%s, %s", kit_errno(err),
	     kit_errno(w.error));
	*failed += w.error || err;
	/* It goes on, if it was not the stream itself that broke. */
	if (!err)
		works(way_round(st, way, &again));
	else
		must(mzp_sync(st->s.fd, NULL) == err);
	must(!again.error);
	state_free(st);
	return hit;
}

static void way(const struct way *what)
{
	unsigned int slow, n, all = 0, failed = 0;
	int worker;

	NEEDS_FAULTS();
	limit_memlock();
	worker = nth_open(task_named("multifd_zp/0"));
	for (slow = 0; slow <= what->slow; slow++) {
		for (n = 1; n <= MOST; n++) {
			if (!way_one(what, worker, n, slow, &failed))
				break;
		}
		must(n <= MOST && n > 2);
		all += n - 1;
	}
	print_message("# %u failures, %u of them reported\n", all, failed);
	close(worker);
}

static void worker(void **state)
{
	(void)state;
	way(&(struct way){ .detection = MZP_DETECTION_MULTIFD, .slow = 2 });
}

static void worker_all_normal(void **state)
{
	(void)state;
	way(&(struct way){ .detection = MZP_DETECTION_NONE, .slow = 2 });
}

static void worker_file(void **state)
{
	(void)state;
	way(&(struct way){ .detection = MZP_DETECTION_LEGACY, .by_fd = true, .slow = 1 });
}

static void worker_zlib(void **state)
{
	(void)state;
	way(&(struct way){ .method = MZP_METHOD_ZLIB, .detection = MZP_DETECTION_MULTIFD });
}

/* --- loading the module */

/* Of mzp_cov: the failure that is armed for who first runs code of the module. */
#define FAIL_FIRST "/sys/module/mzp_cov/parameters/fail_first"
enum { KTHREADD = 2 };

/* The module in memory, so that nothing but loading it can fail. */
static int module_file(const char *path)
{
	int disk = sys(open(path, O_RDONLY | O_CLOEXEC)), copy, file;
	char again[32];
	struct stat st;

	copy = sys(memfd_create("module", MFD_CLOEXEC));
	sys(fstat(disk, &st));
	while (st.st_size)
		st.st_size -= sys(sendfile(copy, disk, NULL, st.st_size));
	/* What someone could write to is not loaded. */
	snprintf(again, sizeof(again), "/proc/self/fd/%d", copy);
	file = sys(open(again, O_RDONLY | O_CLOEXEC));
	close(disk);
	close(copy);
	return file;
}

static int module_load(int file)
{
	return syscall(SYS_finit_module, file, "", 0) ? errno : 0;
}

/* Nothing of it is to be seen. */
static void module_absent(void)
{
	char name[32];

	must(access("/sys/module/multifd_zp", F_OK) == -1);
	must(access("/sys/class/misc/multifd_zp", F_OK) == -1);
	must(access(DEVICE, F_OK) == -1);
	must(!genl_known(), "the netlink family is still there");
	for (long cpu = sysconf(_SC_NPROCESSORS_CONF); cpu--;) {
		snprintf(name, sizeof(name), "multifd_zp/%ld", cpu);
		/* One that has ended can be seen for a moment. */
		until(!find_task(name));
	}
}

static void module_unload(void)
{
	sys(syscall(SYS_delete_module, "multifd_zp", O_NONBLOCK));
	module_absent();
}

/* All of it is there, and for those only who may. */
static void module_present(void)
{
	struct stat st;

	sys(stat(DEVICE, &st));
	must(S_ISCHR(st.st_mode) && (st.st_mode & 07777) == 0660 && !st.st_uid, "mode %o",
	     st.st_mode);
	must(genl_known());
	must(!genl_sessions());
	task_named("multifd_zp/0");
	close(mzp_open());
	until(!module_refs());
}

/* Make the n-th thing fail in the module's own beginning; what the loader does is not ours. */
static void arm_own(int nth, unsigned int n)
{
	char text[16];

	(void)nth;
	snprintf(text, sizeof(text), "%u", n);
	file_put(FAIL_FIRST, text);
}

/*
 * Load with each failure. After one, the next attempt gets a step further, so
 * that what has failed works then.
 */
static void load_sweep(pid_t task, void (*arm)(int nth, unsigned int n))
{
	const char *path = getenv("MZP_MODULE");
	unsigned int n, reported = 0;
	bool hit = true;
	int file, nth;

	NEEDS_FAULTS();
	if (!path || access(FAIL_FIRST, F_OK)) {
		print_message("# SKIP there is no module that was made for this\n");
		return;
	}
	file = module_file(path);
	until(!module_refs());
	module_unload();
	nth = nth_open(task);
	for (n = 1; hit; n++) {
		int err;

		must(n <= MOST, "there is no end of failures");
		arm(nth, n);
		err = module_load(file);
		hit = nth_disarm(nth);
		must(!file_number(FAIL_FIRST, NULL), "the module's first step was not seen");
		must(hit || !err, "failure %u did not happen, and %s", n, kit_errno(err));
		/* misc_register() says EBUSY if it has no number to give, and a fork EAGAIN. */
		must(!err || err == ENOMEM || err == EBUSY || err == EAGAIN, "failure %u: %s", n,
		     kit_errno(err));
		reported += !!err;
		if (err) {
			module_absent();
			continue;
		}
		/* The kernel does without a device's node, or an event, if it has no memory. */
		if (!hit)
			module_present();
		module_unload();
	}
	must(reported, "none of %u failures is reported", n - 2);
	works(module_load(file));
	module_present();
	print_message("# %u failures, %u of them reported\n", n - 2, reported);
	close(nth);
	close(file);
}

static void module_init(void **state)
{
	(void)state;
	load_sweep(getpid(), arm_own);
}

/* The module's threads are made by another task. */
static void module_init_threads(void **state)
{
	(void)state;
	load_sweep(KTHREADD, nth_arm);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(device_open),
		cmocka_unit_test(info),
		cmocka_unit_test(setup),
		cmocka_unit_test(setup_zlib),
		cmocka_unit_test(setup_zstd),
		cmocka_unit_test(setup_with_listener),
		cmocka_unit_test(channel),
		cmocka_unit_test(block_add),
		cmocka_unit_test(block_add_fd),
		cmocka_unit_test(block_remove),
		cmocka_unit_test(send_all),
		cmocka_unit_test(send_bitmap),
		cmocka_unit_test(send_ranges),
		cmocka_unit_test(sync_),
		cmocka_unit_test(wait_one),
		cmocka_unit_test(wait_all),
		cmocka_unit_test(cancel),
		cmocka_unit_test(channel_read),
		cmocka_unit_test(channel_splice),
		cmocka_unit_test(channel_poll),
		cmocka_unit_test(channel_epoll),
		cmocka_unit_test(fdinfo),
		cmocka_unit_test(device_close),
		cmocka_unit_test(channel_close),
		cmocka_unit_test(nl_info),
		cmocka_unit_test(nl_session),
		cmocka_unit_test(nl_sessions),
		cmocka_unit_test(nl_channel),
		cmocka_unit_test(nl_channels),
		cmocka_unit_test(nl_worker),
		cmocka_unit_test(nl_workers),
		cmocka_unit_test(nl_limit),
		cmocka_unit_test(nl_cancel),
		cmocka_unit_test(worker),
		cmocka_unit_test(worker_all_normal),
		cmocka_unit_test(worker_file),
		cmocka_unit_test(worker_zlib),
		/* they load another copy of it */
		cmocka_unit_test(module_init),
		cmocka_unit_test(module_init_threads),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tasks that work for a session, which fail at their first allocation, then at
 * their second, and so on: there a failure is either absorbed, or it is the job's
 * result, or the session's end.
 */
#include "genl.h"
#include "nth.h"
#include "sweep.h"

#include <poll.h>
#include <sys/mman.h>

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

/* Take what is left in the rings, which holds pages. */
static void way_drain(struct state *st)
{
	for (unsigned int i = 0; i < CHANNELS; i++) {
		while (readable(st->s.ch[i]))
			must(read(st->s.ch[i], st->buf, sizeof(st->buf)) > 0);
	}
}

/* Try to send the block's pages to swap. Return: whether all that were there are gone. */
static bool page_out(struct state *st, const struct way *way)
{
	uint8_t *at = st->m.base, in_core[PAGES];
	unsigned int left = 0;

	if (way->by_fd) {
		at = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, st->memfd, 0);
		must(at != MAP_FAILED);
		/* only what is mapped goes out */
		for (unsigned int i = 0; i < PAGES; i += 3)
			must(*(volatile uint8_t *)(at + i * PAGE));
	}
	/* CPUs have lists of new pages, which cannot go out; this empties them. */
	file_put("/proc/sys/vm/compact_memory", "1");
	sys(madvise(at, PAGES * PAGE, MADV_PAGEOUT));
	sys(mincore(at, PAGES * PAGE, in_core));
	for (unsigned int i = 0; i < PAGES; i++)
		left += in_core[i] & 1;
	if (way->by_fd)
		sys(munmap(at, PAGES * PAGE));
	return !left;
}

/* From now on the first @n pages that a task wants to allocate are not there. */
static void fail_pages(pid_t tid, unsigned int n)
{
	char path[64], times[16];

	snprintf(times, sizeof(times), "%u", n);
	fault_file("fail_page_alloc", "task-filter", "Y");
	fault_file("fail_page_alloc", "probability", "100");
	fault_file("fail_page_alloc", "times", times);
	snprintf(path, sizeof(path), "/proc/%d/make-it-fail", tid);
	file_put(path, "1");
}

/* Return: how many of them it did not come to. */
static long pages_not_failed(void)
{
	long left = file_number("/sys/kernel/debug/fail_page_alloc/times", NULL);

	fault_file("fail_page_alloc", "probability", "0");
	fault_file("fail_page_alloc", "task-filter", "N");
	return left;
}

/* Nothing was lost of a round whose pages had to come from swap, and no memory was there. */
static void lane_one(const struct way *way, unsigned int n)
{
	struct state *st = state_new(CLOSED);
	struct mzp_wait before = { 0 }, w = { 0 };
	char name[32];

	way_open(st, way);
	works(way_round(st, way, &before));
	must(!before.error && before.normal);
	way_drain(st);
	until(page_out(st, way));
	snprintf(name, sizeof(name), "mzp-slow/%lu", session_number(st->s.fd));
	fail_pages(task_named(name), n);
	works(way_round(st, way, &w));
	must(!pages_not_failed());
	must(!w.error, "%u failures: %s", n, kit_errno(w.error));
	must(w.normal == before.normal, "%u failures: %ju normal pages, not %ju", n,
	     (uintmax_t)w.normal, (uintmax_t)before.normal);
	state_free(st);
}

static void lane(bool by_fd)
{
	const struct way way = { .detection = MZP_DETECTION_MULTIFD, .by_fd = by_fd };
	/* reading ahead takes the first of them, and nobody minds */
	enum { FAILURES = 12 };

	NEEDS_FAULTS();
	swap_on();
	limit_memlock();
	for (unsigned int n = 1; n <= FAILURES; n++)
		lane_one(&way, n);
	print_message("# %u failures, 0 of them reported\n", FAILURES * (FAILURES + 1) / 2);
	swap_off();
}

static void lane_swap(void **state)
{
	(void)state;
	lane(false);
}

static void lane_swap_file(void **state)
{
	(void)state;
	lane(true);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(worker),
		cmocka_unit_test(worker_all_normal),
		cmocka_unit_test(worker_file),
		cmocka_unit_test(worker_zlib),
		cmocka_unit_test(lane_swap),
		cmocka_unit_test(lane_swap_file),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The workers, which fail at their first allocation, then at their second, and so on:
 * there a failure is either absorbed, most by leaving the work to the reader, or it is the
 * job's result, or the session's end.
 */
#include "nth.h"
#include "sweep.h"

#include <poll.h>
#include <sys/mman.h>

struct way {
	enum mzp_method method;
	enum mzp_detection detection;
	bool by_fd;
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
		works(mzp_channel(st->s.fd, i, MZP_CHANNEL_NONBLOCK, &st->s.ch[i]));
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
	bool broken = false;
	int err;

	err = mzp_send_all(st->s.fd, st->extra, 0, PAGES, 0, &job);
	err = err ?: mzp_sync(st->s.fd, &sync);
	if (err)
		return err;
	/* Let the worker do it, if it can, before we do. */
	for (long ns = 100000000; mzp_wait(st->s.fd, sync, ns, &ws) == ETIMEDOUT; ns = 0) {
		struct pollfd p[CHANNELS];

		for (unsigned int i = 0; i < CHANNELS; i++)
			p[i] = (struct pollfd){ .fd = st->s.ch[i], .events = POLLIN };
		sys(poll(p, CHANNELS, 100));
		for (unsigned int i = 0; i < CHANNELS && !broken; i++) {
			if (!p[i].revents || read(st->s.ch[i], st->buf, sizeof(st->buf)) >= 0)
				continue;
			must(errno == EIO || errno == EAGAIN, "%s", kit_errno(errno));
			broken = errno == EIO;
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
static bool way_one(const struct way *way, int worker, unsigned int n, unsigned int *failed)
{
	struct state *st = state_new(CLOSED);
	struct mzp_wait w = { 0 }, again = { 0 };
	bool hit;
	int err;

	way_open(st, way);
	nth_arm(worker, n);
	err = way_round(st, way, &w);
	hit = nth_disarm(worker);
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
	unsigned int n, failed = 0;
	int worker;

	NEEDS_FAULTS();
	limit_memlock();
	worker = nth_open(task_named("multifd_zp/0"));
	for (n = 1; n <= MOST; n++) {
		if (!way_one(what, worker, n, &failed))
			break;
	}
	/* A file's pages cost nothing but the memory for headers. */
	must(n <= MOST && n > 1);
	print_message("# %u failures, %u of them reported\n", n - 1, failed);
	close(worker);
}

static void worker(void **state)
{
	(void)state;
	way(&(struct way){ .detection = MZP_DETECTION_MULTIFD });
}

static void worker_all_normal(void **state)
{
	(void)state;
	way(&(struct way){ .detection = MZP_DETECTION_NONE });
}

static void worker_file(void **state)
{
	(void)state;
	way(&(struct way){ .detection = MZP_DETECTION_LEGACY, .by_fd = true });
}

static void worker_zlib(void **state)
{
	(void)state;
	way(&(struct way){ .method = MZP_METHOD_ZLIB, .detection = MZP_DETECTION_MULTIFD });
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(worker),
		cmocka_unit_test(worker_all_normal),
		cmocka_unit_test(worker_file),
		cmocka_unit_test(worker_zlib),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

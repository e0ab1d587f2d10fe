// SPDX-License-Identifier: GPL-2.0-only
/*
 * Readers that make the packets themselves, in a session without workers, and fail at
 * their first allocation or user copy, then at their second, and so on: by whichever way
 * they read, each failure is the call's, the job's or the session's, or is not noticed at
 * all. What is received is a proper stream, with the right pages if all is well.
 */
#include "genl.h"
#include "leak.h"
#include "nth.h"
#include "sock.h"
#include "sweep.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* --- the reader */

enum way { BY_READ, BY_SPLICE, BY_PUMP };

struct reader {
	enum way way;
	int ch, to[2];
	struct thread thread;
	int err;		/* what ended it */
};

/* A call that can be made again. */
static bool passing(int err)
{
	return err == ENOMEM || err == EFAULT || err == ENOBUFS || err == EAGAIN;
}

static void put(int fd, const uint8_t *buf, size_t n)
{
	while (n) {
		ssize_t part = write(fd, buf, n);

		must(part > 0 || passing(errno), "%s", kit_errno(errno));
		if (part > 0) {
			buf += part;
			n -= part;
		}
	}
}

static int call(struct reader *r, bool *over)
{
	struct mzp_pump pump = pump_to(r->to[0]);
	uint8_t buf[8192];
	ssize_t n;
	int err;

	if (r->way == BY_PUMP) {
		err = mzp_pump(r->ch, &pump);
		*over = !err;
		return err;
	}
	n = r->way == BY_READ ? read(r->ch, buf, sizeof(buf)) :
				splice(r->ch, NULL, r->to[0], NULL, MIB, 0);
	if (n > 0 && r->way == BY_READ)
		put(r->to[0], buf, n);
	*over = !n;
	return n < 0 ? errno : 0;
}

/* Until the stream ends, or the session fails. */
static void *reads(void *arg)
{
	struct reader *r = arg;
	bool over = false;

	do
		r->err = call(r, &over);
	while (!over && (!r->err || passing(r->err)));
	close(r->to[0]);
	r->to[0] = -1;
	return NULL;
}

static void reader_start(struct reader *r, enum way way, int ch)
{
	int p[2];

	*r = (struct reader){ .way = way, .ch = ch };
	if (way == BY_PUMP) {
		unix_pair(r->to);
	} else {
		sys(pipe2(p, O_CLOEXEC));
		r->to[0] = p[1];
		r->to[1] = p[0];
	}
	thread_start(&r->thread, reads, r);
}

/* --- a session with one */

struct job_kind {
	enum way way;
	enum mzp_method method;
	enum mzp_detection detection;
	bool by_fd;
};

struct scene {
	struct session s;
	struct rx rx;
	struct mem m;
	struct frames frames;
	int memfd;
	struct reader r;
	bool broken;		/* the stream: it ends without its SYNC */
};

static void scene_memory(struct scene *c, bool by_fd)
{
	void *at;

	c->memfd = -1;
	if (by_fd) {
		c->memfd = sys(memfd_create("ram", MFD_CLOEXEC));
		sys(ftruncate(c->memfd, PAGES * PAGE));
		at = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, c->memfd, 0);
		mem_init_at(&c->m, "ram", PAGES, at, true);
		mem_add_fd(&c->m, &c->s, &c->rx, c->memfd, 0);
	} else {
		mem_init(&c->m, "ram", PAGES);
		mem_add(&c->m, &c->s, &c->rx);
	}
	for (uint64_t i = 0; i < PAGES; i++)
		mem_set(&c->m, i, i % 5 == 0 ? ABSENT : i % 5 == 1 ? ZERO : DATA);
	frames_watch(&c->frames, c->m.base, PAGES);
}

static struct scene *scene_new(const struct job_kind *kind)
{
	static struct scene scene;
	struct scene *c = &scene;
	struct mzp_setup setup = state_setup();

	memset(c, 0, sizeof(*c));
	setup.channels = 1;
	setup.flags = MZP_SETUP_NO_WORKERS;
	setup.method = kind->method;
	setup.detection = kind->detection;
	session_open(&c->s, &setup);
	rx_init(&c->rx, &c->s, RX_READ);
	scene_memory(c, kind->by_fd);
	reader_start(&c->r, kind->way, c->s.ch[0]);
	c->rx.chan[0].fd = c->r.to[1];
	return c;
}

static void scene_free(struct scene *c)
{
	sys(close(c->s.fd));
	thread_join(&c->r.thread);
	close(c->r.to[1]);
	close(c->s.ch[0]);
	rx_free(&c->rx);
	mem_free(&c->m);
	close_fd(&c->memfd);
	until(!genl_sessions());
	all_gone(&c->frames);
}

/*
 * Send all pages, and receive what comes of it: all of them if there is no error, or a
 * part of a proper stream. Return: the job's error.
 */
static int scene_round(struct scene *c)
{
	unsigned int syncs = c->rx.chan[0].syncs + 1;
	struct sent sent = mem_send(&c->m, &c->s, 0, PAGES, NULL, MZP_SEND_ALL, 0);
	struct mzp_wait w = { 0 };
	uint64_t sync;
	int err;

	err = mzp_sync(c->s.fd, &sync);
	must(!err || err == EIO, "%s", kit_errno(err));
	while (c->rx.chan[0].syncs < syncs && rx_some(&c->rx.chan[0]) > 0)
		;
	c->broken = c->rx.chan[0].syncs < syncs;
	works(mzp_wait(c->s.fd, sent.job, -1, &w));
	if (!w.error) {
		must(w.normal + w.zero + w.absent == PAGES);
		must(!c->broken);
		session_wait(&c->s, sync);
		mem_check(&c->m);
	}
	memset(c->m.sent, 0, PAGES);
	free(sent.bits);
	rx_next_round(&c->rx);
	return w.error;
}

/* --- the sweep */

/* Return: whether the n-th failure happened in the reader. */
static bool fail_one(const struct job_kind *kind, unsigned int n, unsigned int *failed)
{
	struct scene *c = scene_new(kind);
	int nth, err;
	bool hit, broken;

	must(rx_some(&c->rx.chan[0]) == 64);
	nth = nth_open(c->r.thread.tid);
	nth_arm(nth, n);
	err = scene_round(c);
	broken = c->broken;
	/* a thread that has ended takes it along */
	hit = broken || nth_disarm(nth);
	close(nth);
	must(!err || err == ENOMEM || err == ESRCH || err == EIO, "failure %u: %s", n,
	     kit_errno(err));
	must(!broken || (err == EIO && kind->method != MZP_METHOD_NONE), "failure %u", n);
	*failed += !!err;
	/* It goes on, if it was not the stream itself that broke. */
	if (broken)
		gives(EIO, mzp_sync(c->s.fd, NULL));
	else
		must(!scene_round(c), "after failure %u", n);
	/* There is no good end where pages were left out. */
	if (!err)
		works(mzp_end(c->s.fd));
	scene_free(c);
	must(c->r.err == (broken ? EIO : err ? ECANCELED : 0), "failure %u: %s", n,
	     kit_errno(c->r.err));
	return hit;
}

static void fail_each(const struct job_kind *kind)
{
	unsigned int n, failed = 0;

	NEEDS_FAULTS();
	for (n = 1; n <= MOST; n++) {
		if (!fail_one(kind, n, &failed))
			break;
	}
	must(n <= MOST && n > 2);
	print_message("# %u failures, %u of them reported\n", n - 1, failed);
}

static void by_read(void **state)
{
	(void)state;
	fail_each(&(struct job_kind){ BY_READ, MZP_METHOD_NONE, MZP_DETECTION_MULTIFD, false });
}

static void by_splice(void **state)
{
	(void)state;
	fail_each(&(struct job_kind){ BY_SPLICE, MZP_METHOD_NONE, MZP_DETECTION_MULTIFD, false });
}

static void by_pump(void **state)
{
	(void)state;
	fail_each(&(struct job_kind){ BY_PUMP, MZP_METHOD_NONE, MZP_DETECTION_MULTIFD, false });
}

static void by_pump_all_normal(void **state)
{
	(void)state;
	fail_each(&(struct job_kind){ BY_PUMP, MZP_METHOD_NONE, MZP_DETECTION_NONE, false });
}

static void by_pump_file(void **state)
{
	(void)state;
	fail_each(&(struct job_kind){ BY_PUMP, MZP_METHOD_NONE, MZP_DETECTION_LEGACY, true });
}

static void by_pump_zlib(void **state)
{
	(void)state;
	fail_each(&(struct job_kind){ BY_PUMP, MZP_METHOD_ZLIB, MZP_DETECTION_MULTIFD, false });
}

/* --- swap */

/* Try to send the block's pages to swap. Return: whether all that were there are gone. */
static bool page_out(struct scene *c)
{
	uint8_t in_core[PAGES];
	unsigned int left = 0;

	/* CPUs have lists of new pages, which cannot go out; this empties them. */
	file_put("/proc/sys/vm/compact_memory", "1");
	sys(madvise(c->m.base, PAGES * PAGE, MADV_PAGEOUT));
	sys(mincore(c->m.base, PAGES * PAGE, in_core));
	for (unsigned int i = 0; i < PAGES; i++)
		left += in_core[i] & 1;
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

/* Nothing is lost of a round whose pages have to come from swap, while there is no memory. */
static void swap_one(bool by_fd, unsigned int n)
{
	struct scene *c = scene_new(&(struct job_kind){ BY_PUMP, MZP_METHOD_NONE,
							MZP_DETECTION_MULTIFD, by_fd });

	must(!scene_round(c));
	until(page_out(c));
	fail_pages(c->r.thread.tid, n);
	must(!scene_round(c), "%u failures", n);
	must(!pages_not_failed());
	scene_free(c);
}

static void swap(bool by_fd)
{
	/* reading ahead takes the first of them, and nobody minds */
	enum { FAILURES = 12 };

	NEEDS_FAULTS();
	swap_on();
	for (unsigned int n = 1; n <= FAILURES; n++)
		swap_one(by_fd, n);
	print_message("# %u failures, 0 of them reported\n", FAILURES * (FAILURES + 1) / 2);
	swap_off();
}

static void from_swap(void **state)
{
	(void)state;
	swap(false);
}

static void from_swap_file(void **state)
{
	(void)state;
	swap(true);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_read),
		cmocka_unit_test(by_splice),
		cmocka_unit_test(by_pump),
		cmocka_unit_test(by_pump_all_normal),
		cmocka_unit_test(by_pump_file),
		cmocka_unit_test(by_pump_zlib),
		cmocka_unit_test(from_swap),
		cmocka_unit_test(from_swap_file),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

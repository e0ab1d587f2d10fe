// SPDX-License-Identifier: GPL-2.0-only
#include "fuzz_life.h"
#include "genl.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum { CALLS = 384 };

static uint64_t call_gene[CALLS];
static unsigned int next_call;
static int nth_usable;
static __thread int nth = -1;
static __thread bool nth_set;

/* Let one of the calls that come next fail inside. */
static int call_fault(uint64_t *r)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%lu", 1 + pick(r, 30));

	if (nth < 0)
		return NOT_MADE;
	nth_set = true;
	return pwrite(nth, text, length, 0) < 0;
}

#define CALL(name, weight) { #name, call_##name, weight }
static const struct {
	const char *name;
	int (*fn)(uint64_t *r);
	unsigned int weight;
} calls[] = {
	CALL(open, 2), CALL(begin, 5), CALL(setup, 5), CALL(block_add, 6), CALL(block_remove, 2),
	CALL(channel, 5), CALL(send, 12), CALL(sync, 5), CALL(wait, 10), CALL(wait_spoiled, 2),
	CALL(status, 3), CALL(wait_pending, 5), CALL(inject, 5), CALL(rate, 2), CALL(end, 2),
	CALL(readable, 2),
	CALL(info, 2), CALL(cancel, 1), CALL(garbage, 4), CALL(read, 8), CALL(readv, 4),
	CALL(splice, 12), CALL(tee, 2), CALL(drain, 8), CALL(sendfile, 1), CALL(poll, 4),
	CALL(dup, 2), CALL(close, 4), CALL(other, 3), CALL(fdinfo, 2), CALL(scm, 2),
	CALL(pump, 12), CALL(receive, 6), CALL(connect, 2), CALL(disturb, 3), CALL(supply, 12),
	CALL(map, 3), CALL(unmap, 2), CALL(remap, 2), CALL(advise, 5), CALL(protect, 2),
	CALL(touch, 8), CALL(file, 5), CALL(netlink, 5), CALL(fork, 1), CALL(signal, 1),
	CALL(fault, 6), CALL(unload, 1),
};

static unsigned int which_call(uint64_t *r)
{
	static unsigned int total;
	unsigned int at, i;

	if (!total) {
		unsigned int sum = 0;

		for (i = 0; i < ARRAY_SIZE(calls); i++)
			sum += calls[i].weight;
		total = sum;
	}
	at = pick(r, total);
	for (i = 0; at >= calls[i].weight; i++)
		at -= calls[i].weight;
	return i;
}

static void express(const struct genes *g)
{
	uint64_t r = g->gene[0];

	for (unsigned int i = 0; i < CALLS; i++)
		call_gene[i] = rnd(&r);
	for (unsigned int n = 1; n < g->nr; n++) {
		unsigned int at, nr, to;

		r = g->gene[n];
		at = pick(&r, CALLS);
		nr = 1 + pick(&r, 16);
		to = pick(&r, CALLS);
		for (unsigned int i = 0; i < nr; i++) {
			/* a stretch is new, or is done again elsewhere */
			if (g->gene[n] & 1ull << 63)
				call_gene[(at + i) % CALLS] = rnd(&r);
			else
				call_gene[(to + i) % CALLS] = call_gene[(at + i) % CALLS];
		}
	}
}

/* Make a call, and count what came of it. */
static void make(unsigned int which, uint64_t *r)
{
	int result;

	errno = 0;
	result = calls[which].fn(r);
	if (result == 1)
		result = errno ? errno : NO_ERRNO;
	must(result >= 0 && result < RESULTS);
	__atomic_fetch_add(&shared->results[which][result], 1, __ATOMIC_RELAXED);
	if (result == NOT_MADE)
		return;
	__atomic_fetch_add(&shared->calls, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&shared->good, !result, __ATOMIC_RELAXED);
}

static void *live(void *arg)
{
	struct progress *progress = arg;

	__atomic_store_n(&progress->tid, gettid(), __ATOMIC_RELAXED);
	nth = nth_usable ? open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC) : -1;
	for (;;) {
		unsigned int at = __atomic_fetch_add(&next_call, 1, __ATOMIC_RELAXED), which;
		uint64_t r;

		if (at >= CALLS)
			break;
		r = call_gene[at];
		which = which_call(&r);
		make(which, &r);
		__atomic_fetch_add(&progress->calls, 1, __ATOMIC_RELAXED);
		if (nth_set && calls[which].fn != call_fault) {
			(void)!pwrite(nth, "0", 1, 0);
			nth_set = false;
		}
	}
	/* A fault that is left would hit the end of the thread, and nobody would hear of it. */
	if (nth_set)
		(void)!pwrite(nth, "0", 1, 0);
	return NULL;
}

/*
 * So many pages, and one behind them that nobody may touch: the kernel is told to write
 * across the end at times, and there may be what all lives share.
 */
static uint8_t *fenced(size_t pages)
{
	uint8_t *at = mmap(NULL, (pages + 1) * PAGE, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(at != MAP_FAILED);
	sys(mprotect(at, pages * PAGE, PROT_READ | PROT_WRITE));
	return at;
}

/* Only the module looks at this memory: whoever else did could not be interrupted. */
static void lazy_open(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	lazy = fenced(LAZY_PAGES);
	uffd = sys(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
	sys(ioctl(uffd, UFFDIO_API, &api));
	reg.range.start = (uintptr_t)lazy;
	reg.range.len = LAZY_PAGES * PAGE;
	sys(ioctl(uffd, UFFDIO_REGISTER, &reg));
}

void life(const struct genes *g, struct progress *progress)
{
	struct sigaction action = { .sa_handler = interrupt };
	pthread_t thread[THREADS];
	uint64_t r = g->gene[g->nr - 1], more = r;

	sigaction(SIGUSR1, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	memset(device, -1, sizeof(device));
	memset(chan, -1, sizeof(chan));
	memset(sockets, -1, sizeof(sockets));
	memory = fenced(MEMORY_PAGES);
	lazy_open();
	netlink = genl_open();
	for (unsigned int i = 0; i < PIPES; i++)
		sys(pipe2(pipes[i], O_CLOEXEC | O_NONBLOCK));
	/* one that splice(2) may wait for, or for what goes there */
	sys(fcntl(pipes[0][1], F_SETFL, 0));
	for (unsigned int i = 0; i < FILES; i++) {
		files[i] = sys(memfd_create("fuzz", MFD_CLOEXEC));
		sys(ftruncate(files[i], 256 * PAGE));
	}
	for (unsigned int i = 0; i < SOCKETS / 2; i++)
		call_connect(&more);
	/* Half of them are nobody special. */
	if (r & 1) {
		struct rlimit limit = { 8 * MIB, 8 * MIB };

		sys(setrlimit(RLIMIT_MEMLOCK, &limit));
		sys(setresuid(65534, 65534, 65534));
		sys(prctl(PR_SET_DUMPABLE, 1));
	}
	express(g);
	for (unsigned int i = 0; i < THREADS; i++)
		must(!pthread_create(&thread[i], NULL, live, &progress[i]));
	/* Some end in the middle of it. */
	if (r & 2) {
		while (__atomic_load_n(&next_call, __ATOMIC_RELAXED) < (r >> 8) % CALLS)
			sched_yield();
		kill(getpid(), SIGKILL);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	_exit(0);
}

void faults_quiet(void)
{
	static const char *const quiet[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	char path[80];

	nth_usable = !access("/sys/kernel/debug/failslab", F_OK);
	for (unsigned int i = 0; nth_usable && i < 3; i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/verbose", quiet[i]);
		file_put(path, "0");
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/ignore-gfp-wait", quiet[i]);
		if (!access(path, F_OK))
			file_put(path, "N");
	}
}

/* What came of one kind of call: the three results that were most frequent. */
static void report_results(const char *name, const uint64_t *results)
{
	uint64_t made = 0, left[NOT_MADE];

	for (unsigned int i = 0; i < NOT_MADE; i++)
		made += left[i] = results[i];
	printf("# %8lu %-12s", made, name);
	for (unsigned int nr = 0; nr < 3 && made; nr++) {
		unsigned int most = 0;

		for (unsigned int i = 0; i < NOT_MADE; i++)
			most = left[i] > left[most] ? i : most;
		if (!left[most])
			break;
		printf(" %5.1f %% %-12s", 100.0 * left[most] / made,
		       !most ? "no error" : most == NO_ERRNO ? "no errno" : kit_errno(most));
		left[most] = 0;
	}
	printf("\n");
}

void report_calls(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++)
		report_results(calls[i].name, shared->results[i]);
}

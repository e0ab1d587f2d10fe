// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a host does with tasks and their memory, and what a session makes of that: tasks
 * are frozen, kept from a CPU by others in real time, held to a share of CPU time;
 * memory is marked to see which node uses it, or denied to threads by its key.
 */
#include "genl.h"
#include "leak.h"
#include "mem.h"
#include "sock.h"
#include "trace.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static void nothing_left(void)
{
	until(!genl_sessions());
	all_gone(NULL);
}

/* For sessions that are to be worked for on this CPU only; good until the next call. */
static void on_cpu(struct mzp_setup *setup, unsigned int cpu)
{
	static uint64_t mask;

	mask = 1ull << cpu;
	setup->cpus = (uintptr_t)&mask;
	setup->cpus_size = sizeof(mask);
}

/* --- a machine that is put to sleep */

static void limit(const struct session *s, uint64_t rate)
{
	int fd = genl_open();
	struct genl_request r;

	genl_begin(&r, MZP_NL_CMD_SESSION_LIMIT, false);
	genl_put_u64(&r, MZP_A_SESSION_ID, session_number(s->fd));
	genl_put_u64(&r, MZP_A_SESSION_RATE, rate);
	works(genl_ask(fd, &r, NULL, NULL));
	close(fd);
}

/* A session with much to do and little speed, and who reads it. */
struct dawdler {
	struct session s;
	struct rx rx;
	struct mem m;
	struct sent sent;
	struct thread reader;
};
enum { DAWDLER_PAGES = 4096, RATE = 2 * MIB, BEFORE_MS = 700, FROZEN_S = 2 };

static void dawdler_open(struct dawdler *d, struct mzp_setup *setup, enum kind kind)
{
	on_cpu(setup, 1);
	session_open(&d->s, setup);
	rx_init(&d->rx, &d->s, RX_READ);
	mem_init(&d->m, "ram", DAWDLER_PAGES);
	mem_add(&d->m, &d->s, &d->rx);
	mem_set_range(&d->m, 0, DAWDLER_PAGES, kind);
}

static void dawdler_send(struct dawdler *d)
{
	d->sent = mem_send(&d->m, &d->s, 0, DAWDLER_PAGES, NULL, MZP_SEND_ALL, 0);
	session_sync(&d->s);
}

static void dawdler_close(struct dawdler *d)
{
	session_close(&d->s);
	rx_free(&d->rx);
	mem_free(&d->m);
}

/* What was done before, during and after the time in which all tasks are frozen. */
struct freezer {
	enum { BEFORE, DURING, AFTER, PHASES } phase;
	unsigned int packets[PHASES], faults[PHASES], looks[PHASES];
};

static void take_freezer(const struct traced *t, void *arg)
{
	struct freezer *f = arg;

	if (!strcmp(t->event, "suspend_resume")) {
		if (f->phase == BEFORE && strstr(t->text, "freeze_processes[0] end"))
			f->phase = DURING;
		if (f->phase == DURING && strstr(t->text, "thaw_processes[0] begin"))
			f->phase = AFTER;
	}
	f->packets[f->phase] += !strcmp(t->event, "multifd_send");
	f->faults[f->phase] += !strcmp(t->event, "handle_mm_fault");
	f->looks[f->phase] += !strcmp(t->event, "mzp_residency");
}

/*
 * While tasks are frozen, nothing is done for them: no packet is made, no page looked at,
 * none read from swap. There is enough to do all the time: for a session that is held to
 * a rate, for one whose memory is in swap, both with readers and room in their rings, and
 * for one that workers compress for, ahead of its reader.
 */
static void frozen(void **state)
{
	static struct dawdler limited, swapped, ahead;
	struct mzp_setup setup = setup_for(1);
	struct freezer f = { 0 };
	bool faults;

	(void)state;
	if (access("/sys/power/pm_test", W_OK) || access(CPU1, F_OK))
		skip_since("the kernel cannot test suspend, or there is one CPU");
	/* The kernel waits on the caller's CPU. The other one is free to work. */
	stay_on(0, SCHED_OTHER);
	swap_on();
	dawdler_open(&limited, &setup, DATA);
	dawdler_open(&swapped, &setup, DATA);
	setup.method = MZP_METHOD_ZLIB;
	setup.level = 1;
	setup.packet_pages = 8;
	setup.ring_packets = 256;
	dawdler_open(&ahead, &setup, ONE);
	limit(&limited.s, RATE);
	limit(&swapped.s, RATE);
	sys(madvise(swapped.m.base, DAWDLER_PAGES * PAGE, MADV_PAGEOUT));
	file_put("/sys/module/suspend/parameters/pm_test_delay", (char[]){ '0' + FROZEN_S, 0 });
	file_put("/sys/power/pm_test", "freezer");

	trace_begin();
	trace_event("power/suspend_resume");
	trace_event("multifd_zp/multifd_send");
	trace_event("multifd_zp/mzp_residency");
	faults = trace_calls("handle_mm_fault");
	dawdler_send(&limited);
	dawdler_send(&swapped);
	rx_round_start(&limited.rx, &limited.reader);
	rx_round_start(&swapped.rx, &swapped.reader);
	dawdler_send(&ahead);
	usleep(BEFORE_MS * 1000);
	file_put("/sys/power/state", "freeze");
	usleep(BEFORE_MS * 1000);
	trace_end();
	file_put("/sys/power/pm_test", "none");

	trace_each(take_freezer, &f);
	for (unsigned int i = 0; i < PHASES; i++)
		print_message("# %s: %u packets, %u pages faulted in, %u looks\n",
			      (const char *[]){ "before", "frozen", "after" }[i],
			      f.packets[i], f.faults[i], f.looks[i]);
	must(f.phase == AFTER && f.packets[BEFORE] && f.packets[AFTER]);
	must(!faults || (f.faults[BEFORE] && f.faults[AFTER]));
	must(!f.packets[DURING] && !f.faults[DURING] && !f.looks[DURING]);

	limit(&limited.s, 0);
	limit(&swapped.s, 0);
	thread_join(&limited.reader);
	thread_join(&swapped.reader);
	mem_check_job(&limited.s, &limited.sent);
	mem_check(&limited.m);
	mem_check_job(&swapped.s, &swapped.sent);
	mem_check(&swapped.m);
	dawdler_close(&limited);
	dawdler_close(&swapped);
	dawdler_close(&ahead);
	swap_off();
	nothing_left();
}

/* How long a wait may take, when in it the freeze begins, and what comes of it. */
enum { WAIT_MS = 3000, FREEZE_AT_MS = 2000, WAIT_PAGES = 100 };

struct sleeper {
	struct thread thread;
	int fd;
	uint64_t job;		/* for WAIT; 0: it is WAIT_PENDING, until nothing is pending */
	int64_t timeout_ns;
	int err;
	double took;
};

static void *sleeper(void *arg)
{
	struct sleeper *s = arg;
	struct mzp_wait_pending p;
	struct mzp_wait w = { 0 };
	double start = now_ms();

	s->err = s->job ? mzp_wait(s->fd, s->job, s->timeout_ns, &w) :
			  mzp_wait_pending(s->fd, 0, 0, s->timeout_ns, &p);
	s->took = now_ms() - start;
	return NULL;
}

static void sleeper_start(struct sleeper *s)
{
	thread_start(&s->thread, sleeper, s);
	until_blocked_in(getpid(), s->thread.tid, SYS_ioctl);
}

/*
 * Whoever waits goes on waiting when all tasks are thawed, and for what was left then:
 * the time in which they are frozen does not count, as that in which a process is stopped
 * does not. (Frozen tasks' system calls are left and begun again.)
 */
static void waits_over_a_freeze(void **state)
{
	struct mzp_setup setup = setup_for(1);
	struct sleeper sleepers[4];
	struct session s;
	struct sink sink;
	double frozen;
	struct mem m;
	uint64_t job;

	(void)state;
	if (access("/sys/power/pm_test", W_OK))
		skip_since("the kernel cannot test suspend");
	setup.ring_packets = 2;
	setup.packet_pages = 8;
	session_open(&s, &setup);
	mem_init(&m, "ram", WAIT_PAGES);
	mem_add(&m, &s, NULL);
	mem_set_range(&m, 0, WAIT_PAGES, DATA);
	job = session_send(&s, m.block_id, 0, WAIT_PAGES, 0);
	file_put("/sys/module/suspend/parameters/pm_test_delay", (char[]){ '0' + FROZEN_S, 0 });
	file_put("/sys/power/pm_test", "freezer");
	for (unsigned int i = 0; i < 4; i++) {
		sleepers[i] = (struct sleeper){
			.fd = s.fd, .job = i % 2 ? job : 0,
			.timeout_ns = i / 2 ? WAIT_MS * 1000000ll : -1,
		};
		sleeper_start(&sleepers[i]);
	}
	usleep(FREEZE_AT_MS * 1000);
	frozen = now_ms();
	file_put("/sys/power/state", "freeze");
	frozen = now_ms() - frozen;
	file_put("/sys/power/pm_test", "none");
	print_message("# frozen for %.0f ms\n", frozen);
	must(frozen >= FROZEN_S * 1000);
	for (unsigned int i = 2; i < 4; i++) {
		double took;

		thread_join(&sleepers[i].thread);
		took = sleepers[i].took;
		print_message("# a wait of %u ms took %.0f ms\n", WAIT_MS, took);
		gives(ETIMEDOUT, sleepers[i].err);
		/* all of it anew would take FREEZE_AT_MS more */
		must(took >= WAIT_MS + FROZEN_S * 1000 &&
		     took < WAIT_MS + frozen + 0.8 * FREEZE_AT_MS);
	}
	for (unsigned int i = 0; i < 2; i++)
		must(blocked_in(getpid(), sleepers[i].thread.tid, SYS_ioctl));
	sink_start(&sink, s.ch[0]);
	for (unsigned int i = 0; i < 2; i++) {
		thread_join(&sleepers[i].thread);
		works(sleepers[i].err);
	}
	works(mzp_end(s.fd));
	gives(0, sink_end(&sink));
	session_close(&s);
	mem_free(&m);
	nothing_left();
}

/* --- a thread that does not give its CPU away */

enum { RT_PAGES = 10, RT_CHANNELS = 4, RT_MS = 1000 };

static volatile bool hogging;
static volatile unsigned int hogged;

static void *hog(void *arg)
{
	stay_on((uintptr_t)arg, SCHED_FIFO);
	hogged = 1;
	while (hogging)
		;
	return NULL;
}

/* How ten pages are taken from a channel. */
enum way { BLOCKING, POLLING, PUMPING, WAYS };
static const char *const way_names[] = { "read", "poll and read", "PUMP" };
static const long way_calls[] = { SYS_read, SYS_OF_POLL, SYS_ioctl };

struct taker {
	int ch;
	enum way way;
	size_t bytes;
	bool done;
	struct thread thread;
};

static void take_polling(struct taker *t, uint8_t *buf)
{
	struct pollfd p = { .fd = t->ch, .events = POLLIN };
	size_t got = 0;

	sys(fcntl(t->ch, F_SETFL, O_NONBLOCK));
	while (got < t->bytes) {
		ssize_t n;

		sys(poll(&p, 1, -1));
		n = read(t->ch, buf, t->bytes - got);
		must(n > 0 || (n < 0 && errno == EAGAIN));
		got += max(n, 0l);
	}
	sys(fcntl(t->ch, F_SETFL, 0));
}

static void take_pumping(struct taker *t, uint8_t *buf)
{
	struct mzp_pump pump;
	int s[2];

	unix_pair(s);
	pump = pump_to(s[0]);
	pump.max = t->bytes;
	works(mzp_pump(t->ch, &pump));
	read_exactly(s[1], buf, t->bytes);
	close_pair(s);
}

static void *take(void *arg)
{
	static __thread uint8_t buf[(RT_PAGES + 1) * PAGE];
	struct taker *t = arg;

	must(t->bytes <= sizeof(buf));
	if (t->way == BLOCKING)
		read_exactly(t->ch, buf, t->bytes);
	else if (t->way == POLLING)
		take_polling(t, buf);
	else
		take_pumping(t, buf);
	__atomic_store_n(&t->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Send ten pages, and have them; @waits: who takes them sleeps already. Return: ms. */
static double ten_pages(struct session *s, uint32_t block, enum way way, bool waits)
{
	struct taker t = {
		.ch = s->ch[0], .way = way,
		.bytes = sizeof(struct mzp_wire_packet) + RT_PAGES * PAGE,
	};
	double start;

	if (waits) {
		thread_start(&t.thread, take, &t);
		until_blocked_in(getpid(), t.thread.tid, way_calls[way]);
	}
	start = now_ms();
	session_send(s, block, 0, RT_PAGES, 0);
	if (!waits) {
		/* A worker would have made them by now. */
		usleep(20000);
		thread_start(&t.thread, take, &t);
	}
	while (!__atomic_load_n(&t.done, __ATOMIC_ACQUIRE)) {
		must(now_ms() - start < 5 * RT_MS, "%s gets nothing", way_names[way]);
		usleep(1000);
	}
	thread_join(&t.thread);
	return now_ms() - start;
}

/*
 * One of two CPUs is not to be had for anybody else. Whichever it is, and wherever a
 * channel was worked on before, who reads it gets what there is.
 */
static void real_time(void **state)
{
	struct mzp_setup setup = setup_for(1);
	struct session s[RT_CHANNELS];
	uint32_t block[RT_CHANNELS];
	struct mzp_wire_init init;
	double took, worst[WAYS] = { 0 };
	struct thread t;
	struct mem m;

	(void)state;
	if (access(CPU1, F_OK))
		skip_since("there is one CPU");
	file_put("/proc/sys/kernel/sched_rt_runtime_us", "-1");
	mem_init(&m, "ram", RT_PAGES);
	mem_set_range(&m, 0, RT_PAGES, DATA);
	for (unsigned int i = 0; i < RT_CHANNELS; i++) {
		session_open(&s[i], &setup);
		block[i] = session_block(&s[i], "ram", m.base, RT_PAGES * PAGE);
		read_exactly(s[i].ch[0], &init, sizeof(init));
	}
	for (unsigned int round = 0; round < 4; round++) {
		stay_on(!(round % 2), SCHED_OTHER);
		hogging = true;
		hogged = 0;
		thread_start(&t, hog, (void *)(uintptr_t)(round % 2));
		until(hogged);
		for (unsigned int i = 0; i < RT_CHANNELS * WAYS * 2; i++) {
			unsigned int n = i % RT_CHANNELS, way = i / RT_CHANNELS % WAYS;

			took = ten_pages(&s[n], block[n], way, i / RT_CHANNELS / WAYS);
			worst[way] = max(worst[way], took);
		}
		hogging = false;
		thread_join(&t);
	}
	for (unsigned int i = 0; i < RT_CHANNELS; i++)
		session_close(&s[i]);
	file_put("/proc/sys/kernel/sched_rt_runtime_us", "950000");
	for (unsigned int way = 0; way < WAYS; way++) {
		print_message("# %s: ten pages in %.0f ms at most\n", way_names[way], worst[way]);
		must(worst[way] < RT_MS);
	}
	mem_free(&m);
	nothing_left();
}

/* --- a control group that has a twentieth of a CPU */

#define CGROUP "/sys/fs/cgroup/host"
enum { CGROUP_PAGES = 192, IDLE_MS = 3000 };

/* CPU time of the kernel's threads that may have worked for a session, in ms. */
static double kernel_threads_ms(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	double sum = 0;

	must(proc);
	while ((entry = readdir(proc))) {
		char path[300], name[32] = "";
		long long ns;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		must(fscanf(f, "%31s", name) <= 1);
		fclose(f);
		if (strncmp(name, "multifd_zp/", 11) && strncmp(name, "kworker/", 8))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/schedstat", entry->d_name);
		f = fopen(path, "re");
		if (f && fscanf(f, "%lld", &ns) == 1)
			sum += ns / 1e6;
		if (f)
			fclose(f);
	}
	closedir(proc);
	return sum;
}

static void in_cgroup(void *arg)
{
	struct mzp_setup setup = setup_for(1);
	uint64_t random = 1;
	uint8_t *ram = malloc(CGROUP_PAGES * PAGE + PAGE);
	char text[16];
	struct session s;
	uint64_t job;
	struct rx rx;

	must(ram);
	ram += -(uintptr_t)ram % PAGE;
	/* Neither noise nor easy. */
	for (uint64_t i = 0; i < CGROUP_PAGES * PAGE; i++)
		ram[i] = "multifd_zp sends"[rnd_below(&random, 16)];

	snprintf(text, sizeof(text), "%d", getpid());
	file_put(CGROUP "/cgroup.procs", text);
	setup.flags = *(uint32_t *)arg;
	setup.method = MZP_METHOD_ZLIB;
	setup.level = 9;
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	rx_add_block(&rx, "ram", CGROUP_PAGES, ram);
	job = session_send(&s, session_block(&s, "ram", ram, CGROUP_PAGES * PAGE), 0,
			   CGROUP_PAGES, 0);
	session_sync(&s);
	rx_round(&rx);
	must(session_wait(&s, job).normal == CGROUP_PAGES);
	session_close(&s);
}

/* What they use in a second when there is no session. */
static double idle_threads_ms(void)
{
	double others = kernel_threads_ms();

	usleep(IDLE_MS * 1000);
	return (kernel_threads_ms() - others) * 1000 / IDLE_MS;
}

/* Which part of the CPU time of a session its control group is charged. */
static double charged(uint32_t flags)
{
	double idle = idle_threads_ms(), others = kernel_threads_ms(), start = now_ms(), took, cpu;

	sys(mkdir(CGROUP, 0755));
	file_put(CGROUP "/cpu.max", "5000 100000");
	reap(child(in_cgroup, &flags), 0);
	nothing_left();
	took = now_ms() - start;
	others = max(kernel_threads_ms() - others - idle * took / 1000, 0.);
	cpu = file_number(CGROUP "/cpu.stat", "usage_usec") / 1e3;
	print_message("# %s workers: its group used %.0f ms in %.0f ms, kernel threads %.0f ms "
		      "more than when idle\n", flags ? "without" : "with", cpu, took, others);
	until(!rmdir(CGROUP));
	return cpu / (cpu + others);
}

/* Without workers, all CPU time of a session is its owner's, and limited as theirs. */
static void cgroup(void **state)
{
	double with, without;

	(void)state;
	if (access("/sys/fs/cgroup/cgroup.controllers", R_OK))
		skip_since("there are no control groups");
	file_put("/sys/fs/cgroup/cgroup.subtree_control", "+cpu");
	with = charged(0);
	without = charged(MZP_SETUP_NO_WORKERS);
	must(without >= 0.95, "%.3f of it", without);
	/* or nothing would have been measured */
	must(with < without);
}

/* --- memory that is there, and that not every thread can have */

enum { HINTED_PAGES = 8192, HINTED_ROUNDS = 6 };
#define SCHED "/sys/kernel/debug/sched/numa_balancing/"

/* A session with room for all of the memory in its ring, so that no reader is needed. */
struct roomy {
	struct session s;
	struct rx rx;
	struct rx_block *got;	/* what is received must be what is there */
	struct mem m;
	uint32_t block;
};

static void roomy_open(struct roomy *r)
{
	struct mzp_setup setup = setup_for(1);

	setup.ring_packets = 128;
	session_open(&r->s, &setup);
	rx_init(&r->rx, &r->s, RX_READ);
	mem_init(&r->m, "ram", HINTED_PAGES);
	mem_set_range(&r->m, 0, HINTED_PAGES, DATA);
	r->got = rx_add_block(&r->rx, "ram", HINTED_PAGES, r->m.base);
	r->block = session_block(&r->s, "ram", r->m.base, HINTED_PAGES * PAGE);
}

/*
 * A round that workers make by themselves; @meanwhile is done before it is read and
 * compared. Return: how long it took to make, in ms.
 */
static double roomy_round(struct roomy *r, void (*meanwhile)(struct roomy *r))
{
	double start = now_ms(), took;

	session_send(&r->s, r->block, 0, HINTED_PAGES, 0);
	session_wait(&r->s, session_sync(&r->s));
	took = now_ms() - start;
	must(session_wait(&r->s, 0).normal == HINTED_PAGES);
	if (meanwhile)
		meanwhile(r);
	rx_round(&r->rx);
	must(r->got->normal == HINTED_PAGES && !r->got->zero);
	rx_next_round(&r->rx);
	return took;
}

static void roomy_close(struct roomy *r)
{
	must(fd_number(r->s.ch[0], "mzp-left:") == 0, "pages went to the reader");
	session_close(&r->s);
	rx_free(&r->rx);
	mem_free(&r->m);
	nothing_left();
}

static volatile uint8_t touched;

static void touch(struct roomy *r)
{
	for (uint64_t page = 0; page < HINTED_PAGES; page++)
		touched = r->m.base[page * PAGE];
}

/* Those that are marked fault, and so tell that they were. */
static void touch_marked(struct roomy *r)
{
	long before = file_number("/proc/vmstat", "numa_hint_faults ");
	long faults;

	touch(r);
	faults = file_number("/proc/vmstat", "numa_hint_faults ") - before;
	must(faults > HINTED_PAGES / 2, "only %ld pages were marked", faults);
}

static void balance(bool on)
{
	file_put("/proc/sys/kernel/numa_balancing", on ? "1" : "0");
}

static bool spinner_stop;

static void *spin(void *arg)
{
	while (!__atomic_load_n(&spinner_stop, __ATOMIC_RELAXED))
		;
	return arg;
}

/* How many pages the kernel has marked, and nobody has used since; from some number on. */
static long marked_pages(void)
{
	return file_number("/proc/vmstat", "numa_pte_updates ") -
	       file_number("/proc/vmstat", "numa_hint_faults ");
}

/*
 * Have most of the memory marked. The kernel does that for tasks that run, have more than
 * one thread, and use the memory.
 */
static void mark(struct roomy *r)
{
	double start = now_ms();
	struct thread t;
	long before;

	touch(r);
	before = marked_pages();
	balance(true);
	touch(r);
	spinner_stop = false;
	thread_start(&t, spin, NULL);
	while (marked_pages() < before + HINTED_PAGES * 9 / 10)
		must(now_ms() - start < 30000, "the kernel does not look at the memory");
	__atomic_store_n(&spinner_stop, true, __ATOMIC_RELAXED);
	thread_join(&t);
	balance(false);
}

/* NUMA balancing has pages fault to see who uses them. Workers are not concerned. */
static void numa(void **state)
{
	double plain = 1e9, marked = 1e9, took;
	struct roomy r;

	(void)state;
	if (access(SCHED "scan_size_mb", W_OK) || access("/sys/devices/system/node/node1", F_OK))
		skip_since("no NUMA nodes between which the kernel could balance");
	balance(false);
	file_put(SCHED "scan_delay_ms", "1");
	file_put(SCHED "scan_period_min_ms", "10");
	file_put(SCHED "scan_period_max_ms", "10");
	file_put(SCHED "scan_size_mb", "256");
	roomy_open(&r);
	for (unsigned int i = 0; i < HINTED_ROUNDS; i++) {
		touch(&r);
		took = roomy_round(&r, NULL);
		plain = min(plain, took);
		mark(&r);
		took = roomy_round(&r, touch_marked);
		marked = min(marked, took);
	}
	print_message("# %u pages in %.1f ms, marked by NUMA balancing in %.1f ms: %.2f of the rate\n",
		      HINTED_PAGES, plain, marked, plain / marked);
	roomy_close(&r);
}

static int key;

static void allow(struct roomy *r)
{
	(void)r;
	sys(pkey_set(key, 0));
}

/* Memory whose key denies it to the threads of the process: the kernel reads it for all. */
static void protection_key(void **state)
{
	double plain = 1e9, denied = 1e9, took;
	struct roomy r;

	(void)state;
	key = pkey_alloc(0, 0);
	if (key < 0)
		skip_since("the CPU or the kernel has no protection keys");
	roomy_open(&r);
	for (unsigned int i = 0; i < HINTED_ROUNDS; i++) {
		took = roomy_round(&r, NULL);
		plain = min(plain, took);
	}
	sys(pkey_mprotect(r.m.base, HINTED_PAGES * PAGE, PROT_READ | PROT_WRITE, key));
	for (unsigned int i = 0; i < HINTED_ROUNDS; i++) {
		sys(pkey_set(key, PKEY_DISABLE_ACCESS));
		took = roomy_round(&r, allow);
		denied = min(denied, took);
	}
	print_message("# %u pages in %.1f ms, with a key in %.1f ms: %.2f of the rate\n",
		      HINTED_PAGES, plain, denied, plain / denied);
	roomy_close(&r);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(frozen),
		cmocka_unit_test(waits_over_a_freeze),
		cmocka_unit_test(real_time),
		cmocka_unit_test(cgroup),
		cmocka_unit_test(numa),
		cmocka_unit_test(protection_key),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What goes wrong around a migration and is nobody's call: peers, disks that are
 * full, memory that breaks, the OOM killer, a machine that is put to sleep; and
 * whether sessions that compete get the same.
 */
#include "genl.h"
#include "leak.h"
#include "mem.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Sessions too, and all that they had. */
static void nothing_left(const struct frames *f)
{
	until(!genl_sessions());
	all_gone(f);
}

/* --- the peer of a socket */

struct line {
	int out, in;		/* ours and the peer's end */
};

static void line_new(struct line *l)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(addr);
	int listener = sys(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), room = 65536;

	sys(bind(listener, (void *)&addr, size));
	sys(listen(listener, 1));
	sys(getsockname(listener, (void *)&addr, &size));
	l->out = sys(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	/* Much less than there is to send. */
	sys(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)));
	sys(setsockopt(l->out, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)));
	sys(connect(l->out, (void *)&addr, size));
	l->in = sys(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	sys(close(listener));
}

struct peer {
	struct session s;
	struct rx rx;
	struct mem m;
	struct frames frames;
	struct line line;
	int pipe[2];
	struct sent sent;
};

enum { PEER_PAGES = 1000 };

static void peer_open(struct peer *p)
{
	struct mzp_setup setup = setup_for(1);

	/* Much less than there is to send, too. */
	setup.ring_packets = 2;
	session_open(&p->s, &setup);
	line_new(&p->line);
	sys(pipe2(p->pipe, O_CLOEXEC));
	rx_init(&p->rx, &p->s, RX_READ);
	/* The receiver is behind the socket. */
	p->rx.chan[0].fd = p->line.in;
	mem_init(&p->m, "ram", PEER_PAGES);
	mem_add(&p->m, &p->s, &p->rx);
	mem_set_range(&p->m, 0, PEER_PAGES, DATA);
	frames_watch(&p->frames, p->m.base, PEER_PAGES);
	p->sent = mem_send(&p->m, &p->s, 0, PEER_PAGES, NULL, MZP_SEND_ALL, 0);
	session_sync(&p->s);
}

/*
 * A CPU keeps network buffers that others are done with until a packet comes:
 * here is one for each.
 */
static void flush_network(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(9),
				    .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = sys(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	cpu_set_t all, one;

	sys(sched_getaffinity(0, sizeof(all), &all));
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sys(sched_setaffinity(0, sizeof(one), &one));
		sendto(fd, "", 1, 0, (void *)&addr, sizeof(addr));
	}
	sys(sched_setaffinity(0, sizeof(all), &all));
	close(fd);
}

static void peer_close(struct peer *p)
{
	session_close(&p->s);
	close(p->line.out);
	if (p->line.in >= 0)
		close(p->line.in);
	close(p->pipe[0]);
	close(p->pipe[1]);
	rx_free(&p->rx);
	mem_free(&p->m);
	flush_network();
	nothing_left(&p->frames);
}

/* Move what there is. Return: bytes moved, 0 at the end, or -errno. */
static ssize_t pump(struct peer *p)
{
	ssize_t n = splice(p->s.ch[0], NULL, p->pipe[1], NULL, MIB, 0), left, put;

	if (n <= 0)
		return n ? -errno : 0;
	for (left = n; left; left -= put) {
		put = splice(p->pipe[0], NULL, p->line.out, NULL, left, SPLICE_F_MORE);
		if (put < 0)
			return -errno;
	}
	return n;
}

static void *pump_thread(void *arg)
{
	struct peer *p = arg;
	ssize_t n;

	do
		n = pump(p);
	while (n > 0);
	return (void *)n;
}

/* The peer takes a part and resets the connection, with data on the way. */
static void peer_resets(void **state)
{
	static uint8_t buf[100000];
	struct linger now = { 1, 0 };
	struct peer p;
	struct thread t;
	long err;

	(void)state;
	peer_open(&p);
	thread_start(&t, pump_thread, &p);
	read_exactly(p.line.in, buf, sizeof(buf));
	sys(setsockopt(p.line.in, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	sys(close(p.line.in));
	p.line.in = -1;
	err = -(long)thread_join(&t);
	must(err == ECONNRESET || err == EPIPE, "%s", kit_errno(err));
	/* The session knows nothing of sockets: its reader decides. */
	works(mzp_cancel(p.s.fd));
	peer_close(&p);
}

/* The peer stops reading for good; everything is given up, and its pages with it. */
static void peer_stalls(void **state)
{
	struct linger now = { 1, 0 };
	struct peer p;
	struct thread t;

	(void)state;
	peer_open(&p);
	thread_start(&t, pump_thread, &p);
	until_blocked_in(getpid(), t.tid, SYS_splice);
	/* Nothing moves any more: the job waits for room, and nobody else for it. */
	gives(ETIMEDOUT, mzp_wait(p.s.fd, p.sent.job, 0, &(struct mzp_wait){ 0 }));
	works(mzp_cancel(p.s.fd));
	sys(setsockopt(p.line.out, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	sys(shutdown(p.line.out, SHUT_RDWR));
	must((long)thread_join(&t) < 0);
	peer_close(&p);
}

/* The peer has nothing to say any more, and goes on listening. */
static void peer_half_closes(void **state)
{
	struct peer p;
	struct thread t;

	(void)state;
	peer_open(&p);
	sys(shutdown(p.line.in, SHUT_WR));
	thread_start(&t, pump_thread, &p);
	while (!p.rx.chan[0].syncs)
		must(rx_some(&p.rx.chan[0]) > 0);
	mem_check_job(&p.s, &p.sent);
	mem_check(&p.m);
	works(mzp_cancel(p.s.fd));
	must((long)thread_join(&t) == -ECANCELED);
	peer_close(&p);
}

/* --- memory that is short, or broken */

/* Sending a file's holes takes no place, even where there is none left. */
static void file_system_full(void **state)
{
	enum { PAGES = 600 };
	struct mzp_setup setup = setup_for(2);
	struct statvfs before, after;
	struct session s;
	struct mem m, n;
	struct rx rx;
	int fd, filler;
	ssize_t put;

	(void)state;
	sys(mkdir("/tmp/mzp-full", 0700));
	sys(mount("full", "/tmp/mzp-full", "tmpfs", 0, "size=1M"));
	fd = sys(open("/tmp/mzp-full/ram", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	sys(ftruncate(fd, PAGES * PAGE));
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	mem_init_at(&m, "mapped", PAGES, mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
					      MAP_SHARED, fd, 0), true);
	mem_add(&m, &s, &rx);
	for (unsigned int i = 0; i < 100; i++)
		mem_set(&m, i * 6 + 1, i % 3 ? DATA : ONE);
	filler = sys(open("/tmp/mzp-full/filler", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	do
		put = write(filler, s.setup.uuid, sizeof(s.setup.uuid));
	while (put > 0);
	must(errno == ENOSPC);
	sys(statvfs("/tmp/mzp-full", &before));
	must(!before.f_bfree);
	/* the same memory once more, by its file */
	n = m;
	memcpy(n.idstr, "file", 5);
	n.dst_kind = calloc(PAGES, 1);
	n.dst_version = calloc(PAGES, sizeof(*n.dst_version));
	n.sent = calloc(PAGES, 1);
	mem_add_fd(&n, &s, &rx, fd, 0);
	for (unsigned int round = 0; round < 2; round++) {
		uint32_t flags = round ? 0 : MZP_SEND_FRESH;
		struct sent a = mem_send(&m, &s, 0, PAGES, NULL, MZP_SEND_ALL, flags);
		struct sent b = mem_send(&n, &s, 0, PAGES, NULL, MZP_SEND_ALL, flags);

		session_sync(&s);
		rx_round(&rx);
		mem_check_job(&s, &a);
		mem_check_job(&s, &b);
		mem_check(&m);
		mem_check(&n);
		rx_next_round(&rx);
	}
	sys(statvfs("/tmp/mzp-full", &after));
	must(!after.f_bfree);
	session_close(&s);
	rx_free(&rx);
	mem_free(&m);
	close(fd);
	close(filler);
	nothing_left(NULL);
	sys(umount("/tmp/mzp-full"));
}

/* False if the kernel cannot. */
static bool break_page(void *page)
{
	return !madvise(page, PAGE, MADV_HWPOISON);
}

/* Pages break after they were made packets of: in a ring, and in a pipe. */
static void breaks_on_the_way(void **state)
{
	enum { PAGES = 64 };
	struct mzp_setup setup = setup_for(1);
	static uint8_t buf[MIB];
	struct session s;
	struct mem m;
	ssize_t n, all = 0;
	int pipe[2];
	uint64_t job;

	(void)state;
	session_open(&s, &setup);
	mem_init(&m, "ram", PAGES);
	mem_add(&m, &s, NULL);
	mem_set_range(&m, 0, PAGES, DATA);
	sys(pipe2(pipe, O_CLOEXEC));
	sys(fcntl(pipe[1], F_SETPIPE_SZ, MIB));
	job = session_send(&s, m.block_id, 0, PAGES, 0);
	session_wait(&s, job);
	must(splice(s.ch[0], NULL, pipe[1], NULL, 20 * PAGE, 0) > 0);
	for (unsigned int page = 0; page < PAGES; page += 16) {
		if (break_page(m.base + page * PAGE))
			continue;
		print_message("# SKIP the kernel cannot break memory\n");
		session_close(&s);
		return;
	}
	/* Whoever reads what is broken is told, or gets what was there. */
	while (readable(pipe[0])) {
		n = read(pipe[0], buf, sizeof(buf));
		must(n);
		all += max(n, 0l);
	}
	/* The ring's part is up to the module. */
	while ((n = read(s.ch[0], buf, sizeof(buf))) > 0)
		all += n;
	must(errno == EHWPOISON, "%s", kit_errno(errno));
	must(all == sizeof(struct mzp_wire_init) + sizeof(struct mzp_wire_packet) + 32 * PAGE,
	     "%zd bytes", all);
	refuses(EHWPOISON, read(s.ch[0], buf, 1));
	session_close(&s);
	close(pipe[0]);
	close(pipe[1]);
	munmap(m.base, PAGES * PAGE);
	nothing_left(NULL);
}

/* A page that is broken is where it was, in memory of these kinds. */
enum broken { SMALL, SHARED, FILE_OF_SHARED, HUGE_PAGES, FILE_OF_HUGE_PAGES, KINDS_OF_BROKEN };
static const char *const broken_names[] = {
	"small pages", "shared memory", "a file in memory", "huge pages", "a file of huge pages"
};
enum { BROKEN_PAGES = 1536, BROKEN = 700 };

/* The memory, and if it is to be looked at in its file, that. NULL: there is none. */
static uint8_t *memory_of(enum broken kind, int *fd)
{
	bool huge = kind >= HUGE_PAGES;
	uint8_t *base;

	*fd = -1;
	if (huge && huge_pool(4) < 4)
		return NULL;
	if (kind == SMALL || kind == HUGE_PAGES) {
		base = mmap(NULL, BROKEN_PAGES * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | (huge ? MAP_HUGETLB : 0), -1, 0);
	} else {
		*fd = sys(memfd_create("ram", MFD_CLOEXEC | (huge ? MFD_HUGETLB : 0)));
		sys(ftruncate(*fd, BROKEN_PAGES * PAGE));
		base = mmap(NULL, BROKEN_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	}
	must(base != MAP_FAILED);
	if (kind == SMALL)
		thp_off(base, BROKEN_PAGES * PAGE);
	for (uint64_t page = 0; page < BROKEN_PAGES; page++)
		page_fill(base + page * PAGE, DATA, 9, page, 0);
	return base;
}

/* Pages @from … @to - 1 came, as good as before, and none of @broken … @end - 1. */
static void check_received(const struct rx_block *got, unsigned int from, unsigned int to,
			   unsigned int broken, unsigned int end)
{
	for (unsigned int page = from; page < to; page++)
		must(got->seen[page] == RX_NORMAL &&
		     page_is(got->shadow + page * PAGE, DATA, 9, page, 0), "page %u", page);
	for (unsigned int page = broken; page < end; page++)
		must(got->seen[page] == RX_NOTHING, "page %u was read", page);
}

static bool send_broken(enum broken kind)
{
	struct mzp_setup setup = setup_for(1);
	unsigned int first = BROKEN, end = BROKEN + 1;
	struct mzp_wait w = { 0 };
	struct rx_block *got;
	struct session s;
	struct thread t;
	struct rx rx;
	uint8_t *base;
	uint64_t job;
	uint32_t id;
	int fd;

	base = memory_of(kind, &fd);
	if (!base || !break_page(base + BROKEN * PAGE))
		return false;
	if (kind >= HUGE_PAGES) {
		first = BROKEN / 512 * 512;
		end = first + 512;
	}
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	got = rx_add_block(&rx, "ram", BROKEN_PAGES, NULL);
	if (kind == FILE_OF_SHARED || kind == FILE_OF_HUGE_PAGES)
		works(mzp_block_add_fd(s.fd, "ram", fd, 0, BROKEN_PAGES * PAGE, &id));
	else
		id = session_block(&s, "ram", base, BROKEN_PAGES * PAGE);
	rx_round_start(&rx, &t);
	job = session_send(&s, id, 0, BROKEN_PAGES, 0);
	works(mzp_wait(s.fd, job, -1, &w));
	must(w.error == EHWPOISON, "%s: %s", broken_names[kind], kit_errno(w.error));
	must(w.error_offset >= first * PAGE && w.error_offset < end * PAGE, "%s: %jx",
	     broken_names[kind], (uintmax_t)w.error_offset);
	session_sync(&s);
	thread_join(&t);
	check_received(got, 0, first, first, end);
	/* and what is behind it, by itself */
	rx_next_round(&rx);
	job = session_send(&s, id, end, BROKEN_PAGES - end, 0);
	session_sync(&s);
	rx_round(&rx);
	session_wait(&s, job);
	check_received(got, end, BROKEN_PAGES, first, end);
	session_close(&s);
	rx_free(&rx);
	munmap(base, BROKEN_PAGES * PAGE);
	if (fd >= 0)
		close(fd);
	return true;
}

/* A page that is known to be broken is not read, and ends its job. */
static void broken(void **state)
{
	(void)state;
	for (unsigned int kind = 0; kind < KINDS_OF_BROKEN; kind++) {
		if (!send_broken(kind))
			print_message("# SKIP the kernel cannot break %s\n", broken_names[kind]);
	}
	until(!genl_sessions() && !module_refs());
}

#define CGROUP "/sys/fs/cgroup/faults"

/* Until the OOM killer comes, which it must: there is no swap. */
static void greedy(void *arg)
{
	struct mzp_setup setup = setup_for(2);
	struct session s;
	uint8_t *base;
	char text[32];
	int fd;

	(void)arg;
	snprintf(text, sizeof(text), "%d", getpid());
	file_put(CGROUP "/cgroup.procs", text);
	base = mmap(NULL, 256 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(base != MAP_FAILED);
	session_open(&s, &setup);
	session_block(&s, "ram", base, 256 * MIB);
	for (uint64_t at = 0; at < 256 * MIB; at += PAGE) {
		base[at] = 1;
		/* jobs are under way all the time */
		if (at % (4 * MIB) == 0)
			mzp_send_all(s.fd, 1, 0, at / PAGE + 1, 0, NULL);
	}
	fd = sys(open("/tmp/survived", O_CREAT | O_CLOEXEC, 0600));
	close(fd);
}

static void oom_killer(void **state)
{
	(void)state;
	if (access("/sys/fs/cgroup/cgroup.controllers", R_OK)) {
		print_message("# SKIP there are no memory cgroups\n");
		return;
	}
	file_put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	sys(mkdir(CGROUP, 0755));
	file_put(CGROUP "/memory.max", "50331648");
	if (!access(CGROUP "/memory.swap.max", W_OK))
		file_put(CGROUP "/memory.swap.max", "0");
	for (unsigned int round = 0; round < 4; round++) {
		reap(child(greedy, NULL), SIGKILL);
		nothing_left(NULL);
	}
	until(!rmdir(CGROUP));
}

/* --- the machine */

/* Somebody tries to unload the module all the time. */
static bool unloader_stop;

static void *unloader(void *arg)
{
	unsigned long tries = 0;

	(void)arg;
	while (!__atomic_load_n(&unloader_stop, __ATOMIC_RELAXED)) {
		must(syscall(SYS_delete_module, "multifd_zp", O_NONBLOCK) == -1 &&
		     errno == EWOULDBLOCK, "%s", kit_errno(errno));
		tries++;
	}
	return (void *)tries;
}

static void rounds(unsigned int nr, void (*between)(unsigned int round))
{
	struct mzp_setup setup = setup_for(3);
	uint64_t random = 5;
	struct session s;
	struct mem m;
	struct rx rx;

	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	mem_init(&m, "ram", 2000);
	mem_add(&m, &s, &rx);
	for (unsigned int round = 0; round < nr; round++) {
		struct sent sent;

		mem_shuffle(&m, &random);
		sent = mem_send(&m, &s, 0, m.pages, NULL, MZP_SEND_ALL, 0);
		session_sync(&s);
		/* the rings are full, and workers wait for room */
		between(round);
		rx_round(&rx);
		mem_check_job(&s, &sent);
		mem_check(&m);
		rx_next_round(&rx);
	}
	session_wait(&s, 0);
	session_close(&s);
	rx_free(&rx);
	mem_free(&m);
	nothing_left(NULL);
}

static void nothing(unsigned int round)
{
	(void)round;
}

static void unload_throughout(void **state)
{
	/* So that it never becomes unused. */
	int keep = mzp_open();
	struct mzp_setup setup = setup_for(2);
	struct thread t;
	struct session s;
	unsigned long tries;

	(void)state;
	thread_start(&t, unloader, NULL);
	for (unsigned int i = 0; i < 30; i++) {
		session_open(&s, &setup);
		session_close(&s);
	}
	__atomic_store_n(&unloader_stop, true, __ATOMIC_RELAXED);
	tries = (unsigned long)thread_join(&t);
	print_message("# %lu tries\n", tries);
	must(tries);
	close(keep);
	rounds(2, nothing);
}

static void sleep_once(unsigned int round)
{
	(void)round;
	file_put("/sys/power/pm_test", "freezer");
	file_put("/sys/power/state", "freeze");
	file_put("/sys/power/pm_test", "none");
}

/*
 * All tasks are frozen and thawed, workers in the middle of their work. Devices
 * stay awake: that of the VM's root file system would not come back.
 */
static void suspend(void **state)
{
	(void)state;
	if (access("/sys/power/pm_test", W_OK)) {
		print_message("# SKIP the kernel cannot test suspend\n");
		return;
	}
	rounds(3, sleep_once);
}

/* --- fairness */

/*
 * Zero pages: much to look at for a worker, and packets without contents. A turn is good for
 * many of them, so there are several blocks, all in the same memory.
 */
enum { SESSIONS = 200, FAIR_PAGES = 8192, FAIR_BLOCKS = 3,
       FAIR_PACKETS = FAIR_BLOCKS * FAIR_PAGES / 128 };

/*
 * (Σx)² / n Σx²: 1 if all have the same, 1/n if one has everything.
 */
static double jain(const uint64_t *x, unsigned int n)
{
	double sum = 0, squares = 0;

	for (unsigned int i = 0; i < n; i++) {
		sum += x[i];
		squares += (double)x[i] * x[i];
	}
	return sum * sum / (n * squares);
}

/* No worker gets a CPU while this is true; one thread for each CPU sees to that. */
static volatile bool held;
static volatile unsigned int holding;
enum { CPUS_MOST = 64 };

static void *hold(void *arg)
{
	stay_on((uintptr_t)arg, SCHED_FIFO);
	__atomic_fetch_add(&holding, 1, __ATOMIC_SEQ_CST);
	while (held)
		;
	return NULL;
}

/* Have all sessions begin at once: the first would be done before the last is told. */
static void send_to_all(struct session *s)
{
	unsigned int cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct thread t[CPUS_MOST];
	cpu_set_t all;

	must(cpus <= CPUS_MOST);
	sys(sched_getaffinity(0, sizeof(all), &all));
	/* or ordinary tasks get a twentieth of the time */
	file_put("/proc/sys/kernel/sched_rt_runtime_us", "-1");
	held = true;
	holding = 0;
	stay_on(cpus - 1, SCHED_OTHER);
	for (unsigned int i = 0; i < cpus - 1; i++)
		thread_start(&t[i], hold, (void *)(uintptr_t)i);
	until(holding == cpus - 1);
	stay_on(cpus - 1, SCHED_FIFO);
	for (unsigned int i = 0; i < SESSIONS * FAIR_BLOCKS; i++)
		session_send(&s[i / FAIR_BLOCKS], 1 + i % FAIR_BLOCKS, 0, FAIR_PAGES, 0);
	stay_on(cpus - 1, SCHED_OTHER);
	held = false;
	for (unsigned int i = 0; i < cpus - 1; i++)
		thread_join(&t[i]);
	sys(sched_setaffinity(0, sizeof(all), &all));
	file_put("/proc/sys/kernel/sched_rt_runtime_us", "950000");
}

static void compete(struct session *s, unsigned int i, const struct mem *m, bool equal)
{
	struct mzp_setup setup = setup_for(equal ? 2 : 1 + i % 2 * 3);
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	setup.cpus = equal ? 0 : (uintptr_t)&cpus;
	setup.cpus_size = equal ? 0 : sizeof(cpus);
	/* Room for all that there is, so that nobody depends on readers; or for nearly nothing. */
	setup.ring_packets = i ? 256 : 2;
	session_open(s, &setup);
	for (unsigned int block = 0; block < FAIR_BLOCKS; block++)
		session_block(s, (char[]){ 'a' + block, 0 }, m->base, FAIR_PAGES * PAGE);
}

static uint64_t all_packets(const struct session *s, uint64_t *packets)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < SESSIONS - 1; i++)
		total += packets[i] = fd_number(s[i + 1].fd, "mzp-packets:");
	return total;
}

/*
 * Sessions with the same to do, and one more whose reader never reads. What the
 * workers have done for each is compared when half of it is done.
 */
static void compare(bool equal)
{
	static uint64_t got[SESSIONS];
	static struct session s[SESSIONS];
	struct rlimit files = { 4096, 4096 };
	uint64_t least = ~0ull, most = 0;
	double index;
	struct mem m;

	sys(setrlimit(RLIMIT_NOFILE, &files));
	mem_init(&m, "ram", FAIR_PAGES);
	for (uint64_t page = 0; page < FAIR_PAGES; page++)
		((volatile uint8_t *)m.base)[page * PAGE] = 0;
	for (unsigned int i = 0; i < SESSIONS; i++)
		compete(&s[i], i, &m, equal);
	send_to_all(s);
	while (all_packets(s, got) < (SESSIONS - 1) * FAIR_PACKETS / 2)
		;
	for (unsigned int i = 0; i < SESSIONS - 1; i++) {
		must(got[i] < FAIR_PACKETS, "session %u is done, and not half of all", i + 1);
		least = min(least, got[i]);
		most = max(most, got[i]);
	}
	index = jain(got, SESSIONS - 1);
	print_message("# Jain index %.4f; %lu to %lu packets\n", index, least, most);
	must(index >= 0.95);
	/* All get done, but for the one that nobody reads, which is as full as can be. */
	for (unsigned int i = 1; i < SESSIONS; i++)
		must(session_wait(&s[i], 0).zero == FAIR_BLOCKS * FAIR_PAGES);
	must(fd_number(s[0].fd, "mzp-packets:") <= 4);
	gives(ETIMEDOUT, mzp_wait(s[0].fd, 0, 0, &(struct mzp_wait){ 0 }));
	for (unsigned int i = 0; i < SESSIONS; i++)
		session_close(&s[i]);
	mem_free(&m);
	nothing_left(NULL);
}

static void fairness(void **state)
{
	(void)state;
	compare(true);
}

/* On one CPU, half of them with more channels, which is of no advantage. */
static void fairness_of_channels(void **state)
{
	(void)state;
	compare(false);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(peer_resets),
		cmocka_unit_test(peer_stalls),
		cmocka_unit_test(peer_half_closes),
		cmocka_unit_test(file_system_full),
		cmocka_unit_test(breaks_on_the_way),
		cmocka_unit_test(oom_killer),
		cmocka_unit_test(unload_throughout),
		cmocka_unit_test(suspend),
		cmocka_unit_test(fairness),
		cmocka_unit_test(fairness_of_channels),
		/* last: the pool keeps a broken huge page, in which others would see a leak */
		cmocka_unit_test(broken),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

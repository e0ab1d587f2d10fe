// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything ends at some time, in any order and often in the middle: nothing
 * may hang, leak or be taken for complete that is not.
 */
#include "mem.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define HUGE (2 * MIB)

/*
 * Leaks of page references. A huge page goes back to its pool only with the
 * last reference; a small one that was leaked is still somebody's anonymous memory, but
 * nobody has it mapped.
 */
static long huge_pages(const char *what)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-2048kB/%s", what);
	return access(path, F_OK) ? 0 : file_number(path, NULL);
}

#define WATCHED 4096
struct frames {
	unsigned int nr;
	uint64_t pfn[WATCHED];
};

/* In memory that a child and its parent share. */
static struct frames *frames_new(void)
{
	void *p = mmap(NULL, sizeof(struct frames), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must(p != MAP_FAILED);
	return p;
}

static void frames_watch(struct frames *f, const void *base, uint64_t pages)
{
	int fd = sys(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	uint64_t entry;

	for (uint64_t i = 0; i < pages && f->nr < WATCHED; i++) {
		must(pread(fd, &entry, 8, ((uintptr_t)base / PAGE + i) * 8) == 8);
		if (entry >> 63)
			f->pfn[f->nr++] = entry & ((1ull << 55) - 1);
	}
	close(fd);
}

static unsigned int frames_leaked(const struct frames *f)
{
	enum { KPF_MMAP = 11, KPF_ANON = 12 };
	int fd = sys(open("/proc/kpageflags", O_RDONLY | O_CLOEXEC));
	unsigned int leaked = 0;
	uint64_t flags;

	for (unsigned int i = 0; i < f->nr; i++) {
		must(pread(fd, &flags, 8, f->pfn[i] * 8) == 8);
		leaked += (flags >> KPF_ANON & 1) && !(flags >> KPF_MMAP & 1);
	}
	close(fd);
	return leaked;
}

/* None of the module's files is open, and no page is held. */
static void all_gone(const struct frames *f)
{
	unsigned int tries = 0;

	until(module_refs() == 0);
	until(huge_pages("free_hugepages") == huge_pages("nr_hugepages"));
	while (f && frames_leaked(f)) {
		must(tries++ < 200, "%u pages are still held", frames_leaked(f));
		/* CPUs keep some new pages back for a while; this makes them let go */
		if (tries % 20 == 2)
			file_put("/proc/sys/vm/compact_memory", "1");
		usleep(10000);
	}
}

/* A toy VMM that does anything that comes to mind, and is killed in the middle of it. */
struct vmm {
	struct frames *frames;
	uint64_t seed;
	unsigned int steps;
	bool huge;
};

#define VMM_PAGES 1024ul	/* of each of its two blocks */
#define VMM_THREADS 8

struct vmm_state {
	int fd, channels, ch[8], pipe[2], threads;
	uint8_t *ram[2];
	uint32_t block[2];
	uint64_t job;
};

struct vmm_thread {
	int fd, ch, to;
	uint64_t job;
};

/* Waits, reads and splices that nothing but the end of the process may end. */
static void *vmm_thread(void *arg)
{
	struct vmm_thread *t = arg;
	struct mzp_wait w = { 0 };
	static __thread char buf[5000];

	if (t->ch < 0)
		mzp_wait(t->fd, t->job, -1, &w);
	else if (t->to < 0)
		while (read(t->ch, buf, sizeof(buf)) > 0)
			;
	else
		while (splice(t->ch, NULL, t->to, NULL, MIB, 0) > 0)
			;
	return NULL;
}

static void vmm_step(struct vmm_state *v, uint64_t *random)
{
	int ch = v->channels ? v->ch[rnd_below(random, v->channels)] : -1;
	unsigned int which = rnd_below(random, 2);
	uint64_t first = rnd_below(random, VMM_PAGES), count = 1 + rnd_below(random, VMM_PAGES - first);
	uint8_t *at = v->ram[which] + first * PAGE;
	struct mzp_wait w = { 0 };
	struct vmm_thread *t;
	pthread_t thread;
	char buf[3000];

	switch (rnd_below(random, 24)) {
	case 0:
		close(v->fd);
		break;
	case 1:
		if (ch >= 0)
			close(ch);
		break;
	case 2:
		if (rnd_below(random, 3) == 0)
			mzp_cancel(v->fd);
		break;
	case 3:
		/* in huge pages this is refused most of the time */
		munmap(at, min(count, 16ul) * PAGE);
		break;
	case 4:
		madvise(at, count * PAGE, MADV_DONTNEED);
		break;
	case 5:
		mprotect(at, min(count, 64ul) * PAGE, which ? PROT_NONE : PROT_READ);
		break;
	case 6:
		mzp_block_remove(v->fd, v->block[which]);
		break;
	case 7:
		/* a child that has all the files, for a moment */
		if (!fork()) {
			if (ch >= 0)
				preadv2(ch, &(struct iovec){ buf, sizeof(buf) }, 1, -1, RWF_NOWAIT);
			_exit(0);
		}
		break;
	case 8:
		mzp_wait(v->fd, 0, 0, &w);
		break;
	case 9:
	case 10:
		mzp_sync(v->fd, &v->job);
		break;
	case 11:
	case 12:
		if (v->threads++ == VMM_THREADS)
			break;
		t = malloc(sizeof(*t));
		*t = (struct vmm_thread){
			.fd = v->fd,
			.ch = rnd_below(random, 3) ? ch : -1,
			.to = rnd_below(random, 2) ? v->pipe[1] : -1,
			.job = rnd_below(random, 2) ? v->job : 0,
		};
		pthread_create(&thread, NULL, vmm_thread, t);
		break;
	case 13:
	case 14:
		if (ch >= 0)
			splice(ch, NULL, v->pipe[1], NULL, rnd_below(random, MIB), SPLICE_F_NONBLOCK);
		break;
	case 15:
	case 16:
		/* a thread may be faster, and then there is nothing left */
		if (ch >= 0)
			preadv2(ch, &(struct iovec){ buf, sizeof(buf) }, 1, -1, RWF_NOWAIT);
		break;
	default:
		mzp_send_all(v->fd, v->block[which], first, count,
			     rnd_below(random, 2) ? MZP_SEND_FRESH : 0, &v->job);
	}
}

static void vmm(void *arg)
{
	struct vmm *vmm = arg;
	uint64_t random = vmm->seed;
	struct mzp_setup setup = setup_for(1 + rnd_below(&random, 4));
	struct vmm_state v = { 0 };
	unsigned int step = 0;

	setup.ring_packets = 1 << rnd_below(&random, 4);
	setup.packet_pages = 1 + rnd_below(&random, 128);
	setup.detection = rnd_below(&random, 3);
#define STEP() do { if (step++ == vmm->steps) kill(getpid(), SIGKILL); } while (0)
	for (unsigned int i = 0; i < 2; i++) {
		v.ram[i] = mmap(NULL, VMM_PAGES * PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | (i && vmm->huge ? MAP_HUGETLB : 0),
				-1, 0);
		must(v.ram[i] != MAP_FAILED);
		for (uint64_t page = 0; page < VMM_PAGES; page++) {
			if (rnd_below(&random, 4))
				v.ram[i][page * PAGE] = 1;
		}
		if (!i || !vmm->huge)
			frames_watch(vmm->frames, v.ram[i], VMM_PAGES);
	}
	sys(pipe2(v.pipe, O_CLOEXEC));
	sys(fcntl(v.pipe[1], F_SETPIPE_SZ, MIB));
	STEP();
	v.fd = mzp_open();
	STEP();
	works(mzp_setup(v.fd, &setup));
	STEP();
	for (unsigned int i = 0; i < 2; i++)
		works(mzp_block_add(v.fd, i ? "one" : "two", v.ram[i], VMM_PAGES * PAGE,
				    &v.block[i]));
	STEP();
	for (unsigned int i = 0; i < setup.channels; i++) {
		works(mzp_channel(v.fd, i, 0, &v.ch[v.channels++]));
		STEP();
	}
	for (;;) {
		vmm_step(&v, &random);
		STEP();
	}
}

static void kill_anywhere(void **state)
{
	struct vmm args = { .frames = frames_new() };
	uint64_t random = 2024;

	(void)state;
	args.huge = huge_pool(8) >= 2;
	for (unsigned int round = 0; round < 100; round++) {
		args.seed = rnd(&random);
		/* the first ones end while the session is being made */
		args.steps = round < 8 ? round : rnd_below(&random, 60);
		args.frames->nr = 0;
		reap(child(vmm, &args), SIGKILL);
		all_gone(args.frames);
	}
	huge_pool(0);
}

/* Close everything in any order, with jobs that run, wait for room, or are done. */
static void close_in_any_order(void **state)
{
	struct frames *frames = frames_new();
	uint64_t random = 31;

	(void)state;
	for (unsigned int round = 0; round < 60; round++) {
		struct mzp_setup setup = setup_for(3);
		struct session s;
		unsigned int order[4] = { 0, 1, 2, 3 };
		uint8_t *ram = mmap(NULL, 512 * PAGE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		uint32_t id;
		char buf[100];
		int p[2];

		must(ram != MAP_FAILED);
		thp_off(ram, 512 * PAGE);
		memset(ram, 1, 512 * PAGE);
		frames->nr = 0;
		frames_watch(frames, ram, 512);
		sys(pipe2(p, O_CLOEXEC));
		setup.ring_packets = 1 << rnd_below(&random, 6);
		setup.packet_pages = 1 + rnd_below(&random, 64);
		session_open(&s, &setup);
		id = session_block(&s, "ram", ram, 512 * PAGE);
		for (unsigned int i = rnd_below(&random, 3); i; i--) {
			session_send(&s, id, 0, 512, 0);
			session_sync(&s);
		}
		/* parts of packets are gone, and parts are in a pipe */
		if (rnd_below(&random, 2))
			must(read(s.ch[0], buf, sizeof(buf)) > 0);
		if (rnd_below(&random, 2))
			must(splice(s.ch[1], NULL, p[1], NULL, rnd_below(&random, 9000), 0) >= 0);
		for (unsigned int i = 4; i > 1; i--) {
			unsigned int j = rnd_below(&random, i), tmp = order[i - 1];

			order[i - 1] = order[j];
			order[j] = tmp;
		}
		if (rnd_below(&random, 2))
			munmap(ram, 512 * PAGE);
		for (unsigned int i = 0; i < 4; i++)
			close(order[i] ? s.ch[order[i] - 1] : s.fd);
		munmap(ram, 512 * PAGE);
		close(p[0]);
		close(p[1]);
		all_gone(frames);
	}
}

/* A huge page that was sent in pieces, spliced in pieces, and never read to the end. */
static void huge_pages_return(void **state)
{
	long pool = huge_pool(8);
	uint64_t random = 9;

	(void)state;
	if (pool < 4)
		skip();
	for (unsigned int round = 0; round < 40; round++) {
		struct mzp_setup setup = setup_for(2);
		uint8_t *ram = mmap(NULL, 4 * HUGE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
		struct session s;
		uint32_t id;
		int p[2];

		must(ram != MAP_FAILED);
		for (unsigned int i = 0; i < 4 * HUGE; i += PAGE)
			ram[i] = i / PAGE % 5;
		/* a hole, and so an error in the middle */
		if (round % 4 == 3)
			sys(munmap(ram + 2 * HUGE, HUGE));
		sys(pipe2(p, O_CLOEXEC));
		sys(fcntl(p[1], F_SETPIPE_SZ, MIB));
		setup.packet_pages = 1 + rnd_below(&random, 128);
		setup.ring_packets = 4;
		setup.detection = round % 3;
		session_open(&s, &setup);
		id = session_block(&s, "huge", ram, 4 * HUGE);
		session_send(&s, id, 0, 4 * HUGE / PAGE, 0);
		for (unsigned int i = 0; i < 2; i++) {
			static uint8_t buf[MIB];
			size_t n = 1 + rnd_below(&random, MIB);

			if (round % 2)
				splice(s.ch[i], NULL, p[1], NULL, n, SPLICE_F_NONBLOCK);
			else
				must(read(s.ch[i], buf, n) > 0);
		}
		if (round % 5 == 0)
			works(mzp_cancel(s.fd));
		must(huge_pages("free_hugepages") < pool);
		session_close(&s);
		munmap(ram, 4 * HUGE);
		close(p[0]);
		close(p[1]);
		all_gone(NULL);
	}
	huge_pool(0);
}

/* Header memory: far more of it than can hide in the noise. */
static void headers_return(void **state)
{
	enum { PACKETS = 60000 };	/* 80 MB */
	struct mzp_setup setup = setup_for(1);
	static uint8_t buf[MIB];
	struct session s;
	uint64_t job;
	uint32_t id;
	long before;
	int p[2];

	(void)state;
	setup.packet_pages = 1;
	setup.ring_packets = 64;
	sys(pipe2(p, O_CLOEXEC));
	sys(fcntl(p[1], F_SETPIPE_SZ, MIB));
	memset(buf, 1, sizeof(buf));
	session_open(&s, &setup);
	id = session_block(&s, "absent", mmap(NULL, PACKETS * PAGE, PROT_READ | PROT_WRITE,
					      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
			   PACKETS * PAGE);
	must(sys(read(s.ch[0], buf, 64)) == 64);
	before = file_number("/proc/meminfo", "MemAvailable:");
	job = session_send(&s, id, 0, PACKETS, 0);
	for (uint64_t left = PACKETS * 1344ul; left; ) {
		ssize_t n;

		if (left & 1 << 18) {
			n = sys(splice(s.ch[0], NULL, p[1], NULL, MIB, 0));
			read_exactly(p[0], buf, n);
		} else {
			n = sys(read(s.ch[0], buf, sizeof(buf)));
		}
		must(n > 0);
		left -= n;
	}
	must(session_wait(&s, job).absent == PACKETS);
	/* since 6.7 a CPU keeps much of what is given back for itself, for some seconds */
	until(before - file_number("/proc/meminfo", "MemAvailable:") < 30000);
	session_close(&s);
}

#define CGROUP "/sys/fs/cgroup/mzp-test"

struct limited {
	int result[2];
};

static void limited(void *arg)
{
	struct limited *l = arg;
	struct mzp_setup setup = setup_for(1);
	struct mzp_send send = {
		.size = sizeof(send), .flags = MZP_SEND_ZERO_BITMAP, .page_count = 1ul << 31,
	};
	struct session s;
	uint8_t answer[2];

	/* 256 MiB of bitmap for 8 TiB of nothing, then rings of 100 MiB */
	file_put(CGROUP "/cgroup.procs", "0");
	session_open(&s, &setup);
	send.block_id = session_block(&s, "all", NULL, 8ul << 40);
	answer[0] = mzp(s.fd, MZP_IOC_SEND, &send);
	write_exactly(l->result[1], &answer[0], 1);
	setup.channels = 255;
	setup.ring_packets = 256;
	answer[1] = mzp_setup(mzp_open(), &setup);
	write_exactly(l->result[1], &answer[1], 1);
}

/* What the module allocates for somebody counts as theirs. */
static void memory_cgroup(void **state)
{
	uint8_t answer[2] = { 0xff, 0xff };
	struct limited l;
	int status;
	ssize_t n;
	pid_t pid;

	(void)state;
	if (access("/sys/fs/cgroup/cgroup.controllers", R_OK))
		skip();
	file_put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	sys(mkdir(CGROUP, 0755));
	file_put(CGROUP "/memory.max", "67108864");
	sys(pipe2(l.result, O_CLOEXEC));
	pid = child(limited, &l);
	close(l.result[1]);
	sys(waitpid(pid, &status, 0));
	n = sys(read(l.result[0], answer, 2));
	/* whether it fails or is killed for it is the kernel's choice */
	must(WIFEXITED(status) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
	for (ssize_t i = 0; i < n; i++)
		must(answer[i] == ENOMEM, "%zd: %s", i, kit_errno(answer[i]));
	until(module_refs() == 0);
	until(!rmdir(CGROUP));
}

static void send_fd(int sock, int fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .head = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { "", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};

	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	must(sys(sendmsg(sock, &msg, 0)) == 1);
}

static int receive_fd(int sock)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	char c;
	struct iovec iov = { &c, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	int fd;

	must(sys(recvmsg(sock, &msg, MSG_CMSG_CLOEXEC)) == 1);
	must(control.head.cmsg_type == SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
	return fd;
}

/*
 * A VMM whose channel, and perhaps session, other processes have: it hands
 * them over, sends, and does not live to see the end.
 */
struct mortal {
	int sock[2];
	bool complete;		/* all that it sends fits into the ring */
	bool executes;		/* another program, instead of dying */
	struct frames *frames;
};
#define MORTAL_PAGES 600

static void mortal(void *arg)
{
	struct mortal *m = arg;
	struct mzp_setup setup = setup_for(1);
	uint8_t *ram = mmap(NULL, MORTAL_PAGES * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct session s;
	uint32_t id;
	char c;

	must(ram != MAP_FAILED);
	thp_off(ram, MORTAL_PAGES * PAGE);
	for (uint64_t i = 0; i < MORTAL_PAGES; i++)
		page_fill(ram + i * PAGE, DATA, 77, i, 0);
	frames_watch(m->frames, ram, MORTAL_PAGES);
	setup.packet_pages = 20;
	setup.ring_packets = m->complete ? 64 : 4;
	session_open(&s, &setup);
	id = session_block(&s, "ram", ram, MORTAL_PAGES * PAGE);
	send_fd(m->sock[1], s.fd);
	send_fd(m->sock[1], s.ch[0]);
	session_send(&s, id, 0, MORTAL_PAGES, 0);
	session_sync(&s);
	if (m->complete)
		session_wait(&s, 0);
	write_exactly(m->sock[1], "", 1);
	read_exactly(m->sock[1], &c, 1);
	if (m->executes) {
		/* it keeps its files, and loses its memory */
		sys(fcntl(s.fd, F_SETFD, 0));
		sys(fcntl(s.ch[0], F_SETFD, 0));
		sys(dup2(m->sock[1], 0));
		execl("/bin/sh", "sh", "-c", "echo x >&0; read x", NULL);
		_exit(1);
	}
	kill(getpid(), SIGKILL);
}

/* Read to the end: 0 or an errno; and what came is right, and complete or not. */
static int read_to_end(int ch, bool *complete)
{
	struct mzp_setup setup = setup_for(1);
	struct session s = { .setup = setup, .ch = { ch } };
	struct rx_block *b;
	struct rx rx;
	ssize_t n;

	s.setup.packet_pages = 20;
	rx_init(&rx, &s, RX_READ);
	b = rx_add_block(&rx, "ram", MORTAL_PAGES, NULL);
	while ((n = rx_some(&rx.chan[0])) > 0)
		;
	for (uint64_t i = 0; n == 0 && i < MORTAL_PAGES; i++) {
		if (b->seen[i])
			must(page_is(b->shadow + i * PAGE, DATA, 77, i, 0));
	}
	*complete = rx_between_packets(&rx.chan[0]) && rx.chan[0].syncs == 1 &&
		    b->normal == MORTAL_PAGES;
	rx_free(&rx);
	return -n;
}

static pid_t mortal_start(struct mortal *m, int *fd, int *ch)
{
	pid_t pid;
	char c;

	sys(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, m->sock));
	m->frames = frames_new();
	pid = child(mortal, m);
	close(m->sock[1]);
	*fd = receive_fd(m->sock[0]);
	*ch = receive_fd(m->sock[0]);
	read_exactly(m->sock[0], &c, 1);
	return pid;
}

/* The reader starts when the VMM is gone. */
static void reader_outlives_killed_vmm(void **state)
{
	bool complete;
	int fd, ch, err;

	(void)state;
	for (unsigned int all_fits = 0; all_fits < 2; all_fits++) {
		struct mortal m = { .complete = all_fits };
		pid_t pid = mortal_start(&m, &fd, &ch);

		close(fd);
		write_exactly(m.sock[0], "", 1);
		reap(pid, SIGKILL);
		err = read_to_end(ch, &complete);
		if (all_fits)
			must(!err && complete, "%s", kit_errno(err));
		else
			must(err == ECANCELED, "%s", kit_errno(err));
		close(ch);
		close(m.sock[0]);
		all_gone(m.frames);
	}
}

/*
 * The session outlives the VMM as well: then its memory is gone before the
 * session is, the rest of the job cannot be sent, and that must not look like a proper
 * end.
 */
static void session_outlives_killed_vmm(void **state)
{
	static uint8_t buf[4 * MIB];
	struct mortal m = { 0 };
	int fd, ch;
	size_t n = 0;
	ssize_t part;
	pid_t pid;

	(void)state;
	pid = mortal_start(&m, &fd, &ch);
	write_exactly(m.sock[0], "", 1);
	reap(pid, SIGKILL);
	/* not ours */
	gives(EIO, mzp_sync(fd, NULL));
	gives(EIO, mzp_cancel(fd));
	/* all that the ring has, and what workers may still put there; they never block */
	for (unsigned int quiet = 0; quiet < 50; ) {
		if (!readable(ch)) {
			quiet++;
			usleep(1000);
			continue;
		}
		part = read(ch, buf + n, sizeof(buf) - n);
		if (part < 0)
			break;
		quiet = 0;
		n += part;
	}
	must(n < MORTAL_PAGES * PAGE, "memory of a dead process");
	close(fd);
	refuses(ECANCELED, read(ch, buf, 1));
	close(ch);
	close(m.sock[0]);
	all_gone(m.frames);
}

static void *late_kill(void *arg)
{
	struct mortal *m = arg;

	write_exactly(m->sock[0], "", 1);
	return NULL;
}

/* Both at once: an end that looks proper is one. */
static void reader_races_killed_vmm(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 20; round++) {
		struct mortal m = { 0 };
		struct thread t;
		bool complete;
		int fd, ch, err;
		pid_t pid = mortal_start(&m, &fd, &ch);

		close(fd);
		thread_start(&t, late_kill, &m);
		err = read_to_end(ch, &complete);
		must(err == ECANCELED || (!err && complete), "%s", kit_errno(err));
		thread_join(&t);
		reap(pid, SIGKILL);
		close(ch);
		close(m.sock[0]);
		all_gone(m.frames);
	}
}

/* execve(2): the files stay, the memory does not. */
static void execve_in_vmm(void **state)
{
	struct mortal m = { .executes = true };
	int fd, ch, err;
	bool complete;
	pid_t pid;
	char c;

	(void)state;
	pid = mortal_start(&m, &fd, &ch);
	close(fd);
	write_exactly(m.sock[0], "", 1);
	/* the other program runs, and has the session open */
	read_exactly(m.sock[0], &c, 1);
	must(module_refs() > 0);
	close(m.sock[0]);
	/* its end is the session's; nothing else may keep us */
	err = read_to_end(ch, &complete);
	must(err == ECANCELED, "%s", kit_errno(err));
	waitpid(pid, NULL, 0);
	close(ch);
	all_gone(m.frames);
}

/* A hole in a block. The job ends; the session and its other jobs do not. */
static void hole_in_block(void **state)
{
	static const struct {
		uint64_t page;
		unsigned int packet_pages;
	} cases[] = { { 150, 128 }, { 150, 7 }, { 0, 128 }, { 299, 10 }, { 128, 128 }, { 127, 1 } };

	(void)state;
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		bool none = i & 1;
		uint64_t page = cases[i / 2].page;
		struct mzp_setup setup = setup_for(3);
		struct sent sent, again;
		struct mzp_wait w = { 0 };
		struct mem holed, whole;
		struct session s;
		struct rx rx;
		uint64_t job;

		setup.packet_pages = cases[i / 2].packet_pages;
		session_open(&s, &setup);
		rx_init(&rx, &s, RX_READ);
		mem_init(&whole, "whole", 400);
		mem_set_range(&whole, 0, 400, DATA);
		mem_init(&holed, "holed", 300);
		mem_set_range(&holed, 0, 300, DATA);
		mem_add(&whole, &s, &rx);
		mem_add(&holed, &s, &rx);
		if (none)
			sys(mprotect(holed.base + page * PAGE, PAGE, PROT_NONE));
		else
			sys(munmap(holed.base + page * PAGE, PAGE));

		sent = mem_send(&whole, &s, 0, 200, NULL, MZP_SEND_ALL, 0);
		job = session_send(&s, holed.block_id, 0, 300, 0);
		again = mem_send(&whole, &s, 200, 200, NULL, MZP_SEND_ALL, 0);
		session_sync(&s);
		rx_round(&rx);
		works(mzp_wait(s.fd, job, -1, &w));
		must(w.error == EFAULT, "%s", kit_errno(w.error));
		must(w.error_block == holed.block_id);
		must(w.error_offset == page * PAGE, "%jx", (uintmax_t)w.error_offset);
		must(w.submitted == 300);
		must(w.normal == holed.rx->normal && !w.zero && !w.absent, "%ju, but %ju came",
		     (uintmax_t)w.normal, (uintmax_t)holed.rx->normal);
		must(holed.rx->seen[page] == RX_NOTHING);
		for (uint64_t n = 0; n < 300; n++) {
			if (holed.rx->seen[n])
				must(page_is(holed.rx->shadow + n * PAGE, DATA, holed.tag, n,
					     holed.version[n]));
		}
		/* the others did not notice */
		mem_check_job(&s, &sent);
		mem_check_job(&s, &again);
		mem_check(&whole);
		rx_next_round(&rx);

		/* without the page it works, and with it when it is back */
		job = session_send(&s, holed.block_id, page ? 0 : 1, page ? page : 299, 0);
		session_sync(&s);
		rx_round(&rx);
		session_wait(&s, job);
		rx_next_round(&rx);
		must(mmap(holed.base + page * PAGE, PAGE, PROT_READ | PROT_WRITE,
			  MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
		mem_set(&holed, page, DATA);
		sent = mem_send(&holed, &s, 0, 300, NULL, MZP_SEND_ALL, 0);
		session_sync(&s);
		rx_round(&rx);
		mem_check_job(&s, &sent);
		mem_check(&holed);
		session_close(&s);
		rx_free(&rx);
		mem_free(&holed);
		mem_free(&whole);
	}
}

/* Several holes: one of them is told, and it is one. A mapped file that was cut is the same. */
static void many_holes(void **state)
{
	struct mzp_setup setup = setup_for(4);
	int fd = sys(memfd_create("short", MFD_CLOEXEC));
	struct mzp_wait w = { 0 };
	struct session s;
	struct mem m;
	struct rx rx;
	uint64_t job;
	uint32_t id;
	void *map;

	(void)state;
	setup.packet_pages = 6;
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	mem_init(&m, "holes", 1000);
	mem_set_range(&m, 0, 1000, DATA);
	mem_add(&m, &s, &rx);
	for (unsigned int i = 33; i < 1000; i += 100)
		sys(munmap(m.base + i * PAGE, PAGE));
	job = session_send(&s, m.block_id, 0, 1000, 0);
	session_sync(&s);
	rx_round(&rx);
	works(mzp_wait(s.fd, job, -1, &w));
	must(w.error == EFAULT && w.error_block == m.block_id);
	must(w.error_offset % PAGE == 0 && w.error_offset / PAGE % 100 == 33, "%jx",
	     (uintmax_t)w.error_offset);

	sys(ftruncate(fd, 3 * PAGE));
	map = mmap(NULL, 10 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	must(map != MAP_FAILED);
	id = session_block(&s, "short", map, 10 * PAGE);
	rx_add_block(&rx, "short", 10, NULL);
	job = session_send(&s, id, 0, 10, 0);
	session_sync(&s);
	rx_round(&rx);
	works(mzp_wait(s.fd, job, -1, &w));
	must(w.error == EFAULT && w.error_block == id);
	must(w.error_offset >= 3 * PAGE && w.error_offset < 10 * PAGE && !(w.error_offset % PAGE));
	session_close(&s);
	rx_free(&rx);
	close(fd);
}

struct giver {
	struct mem *m;
	bool stop;
};

static void *give_back(void *arg)
{
	struct giver *g = arg;
	uint64_t random = 1;

	while (!__atomic_load_n(&g->stop, __ATOMIC_RELAXED)) {
		uint64_t page = rnd_below(&random, g->m->pages);
		uint8_t *at = g->m->base + page * PAGE;

		if (rnd_below(&random, 3))
			sys(madvise(at, min(g->m->pages - page, 1 + rnd_below(&random, 50)) * PAGE,
				    MADV_DONTNEED));
		else
			page_fill(at, DATA, g->m->tag, page, 0);
	}
	return NULL;
}

/* Memory that comes and goes while it is sent: each page is one or the other. */
static void given_back_meanwhile(void **state)
{
	struct mzp_setup setup = setup_for(2);
	uint8_t zero[PAGE] = { 0 };
	struct giver g = { 0 };
	struct thread t;
	struct session s;
	struct mem m;
	struct rx rx;

	(void)state;
	setup.packet_pages = 30;
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_SPLICE);
	mem_init(&m, "balloon", 1500);
	mem_add(&m, &s, &rx);
	g.m = &m;
	thread_start(&t, give_back, &g);
	for (unsigned int round = 0; round < 15; round++) {
		uint64_t job = session_send(&s, m.block_id, 0, m.pages, 0);

		session_sync(&s);
		rx_round(&rx);
		session_wait(&s, job);
		must(m.rx->normal + m.rx->zero == m.pages);
		for (uint64_t i = 0; i < m.pages; i++) {
			uint8_t *page = m.rx->shadow + i * PAGE;
			uint64_t want[PAGE / 8];

			if (m.rx->seen[i] == RX_ZERO || !memcmp(page, zero, PAGE))
				continue;
			/* as it is while it is being written: words of either */
			page_fill(want, DATA, m.tag, i, 0);
			for (unsigned int k = 0; k < PAGE; k++)
				must(!page[k] || page[k] == ((uint8_t *)want)[k],
				     "page %ju, byte %u", (uintmax_t)i, k);
		}
		rx_next_round(&rx);
	}
	__atomic_store_n(&g.stop, true, __ATOMIC_RELAXED);
	thread_join(&t);
	session_close(&s);
	rx_free(&rx);
	mem_free(&m);
	all_gone(NULL);
}

struct cutter {
	int fd;
	uint64_t pages;
	bool stop;
};

static void *cut(void *arg)
{
	struct cutter *c = arg;
	uint64_t random = 8;
	uint8_t page[PAGE];

	memset(page, 0x5a, PAGE);
	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		uint64_t at = rnd_below(&random, c->pages);
		uint64_t n = 1 + rnd_below(&random, 60);

		switch (rnd_below(&random, 8)) {
		case 0:
			sys(ftruncate(c->fd, at * PAGE));
			sys(ftruncate(c->fd, c->pages * PAGE));
			break;
		case 1:
		case 2:
			sys(fallocate(c->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at * PAGE,
				      n * PAGE));
			break;
		case 3:
			fallocate(c->fd, FALLOC_FL_KEEP_SIZE, at * PAGE, n * PAGE);
			break;
		default:
			while (n-- && at + n < c->pages)
				must(pwrite(c->fd, page, PAGE, (at + n) * PAGE) == PAGE);
		}
	}
	return NULL;
}

/* A file that is cut, punched and written while it is sent, by its mapping or by itself. */
static void file_changes_meanwhile(void **state)
{
	(void)state;
	for (unsigned int by_fd = 0; by_fd < 2; by_fd++) {
		struct cutter c = { .fd = sys(memfd_create("cut", MFD_CLOEXEC)), .pages = 1000 };
		struct mzp_setup setup = setup_for(2);
		struct rx_block *b;
		struct session s;
		struct thread t;
		struct rx rx;
		uint32_t id;
		void *map;

		sys(ftruncate(c.fd, c.pages * PAGE));
		map = mmap(NULL, c.pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, c.fd, 0);
		must(map != MAP_FAILED);
		setup.packet_pages = 25;
		session_open(&s, &setup);
		rx_init(&rx, &s, RX_SPLICE);
		b = rx_add_block(&rx, "cut", c.pages, NULL);
		if (by_fd)
			works(mzp_block_add_fd(s.fd, "cut", c.fd, 0, c.pages * PAGE, &id));
		else
			id = session_block(&s, "cut", map, c.pages * PAGE);
		thread_start(&t, cut, &c);
		for (unsigned int round = 0; round < 25; round++) {
			uint64_t job = session_send(&s, id, 0, c.pages, 0);
			struct mzp_wait w = { 0 };

			session_sync(&s);
			rx_round(&rx);
			works(mzp_wait(s.fd, job, -1, &w));
			/* it may just have been too short, or just not have been there */
			must(!w.error || w.error == EFAULT || w.error == EBUSY, "%s",
			     kit_errno(w.error));
			for (uint64_t i = 0; i < c.pages * PAGE; i++)
				must(!b->shadow[i] || b->shadow[i] == 0x5a, "byte %ju: %x",
				     (uintmax_t)i, b->shadow[i]);
			rx_next_round(&rx);
		}
		__atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
		thread_join(&t);
		session_close(&s);
		rx_free(&rx);
		munmap(map, c.pages * PAGE);
		close(c.fd);
	}
	all_gone(NULL);
}

static void *map_and_unmap(void *arg)
{
	struct giver *g = arg;
	uint64_t random = 4;

	while (!__atomic_load_n(&g->stop, __ATOMIC_RELAXED)) {
		uint64_t page = rnd_below(&random, g->m->pages);
		uint8_t *at = g->m->base + page * PAGE;
		uint64_t length = min(g->m->pages - page, 1 + rnd_below(&random, 600)) * PAGE;
		static const int how[] = {
			MAP_PRIVATE | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS,
		};

		switch (rnd_below(&random, 6)) {
		case 0:
			munmap(at, length);
			break;
		case 1:
			mprotect(at, length, PROT_READ);
			break;
		case 2:
			madvise(at, length, MADV_HUGEPAGE);
			break;
		case 3:
			/* MADV_COLLAPSE, where there is one */
			madvise(at, length, 25);
			break;
		default:
			if (mmap(at, length, PROT_READ | PROT_WRITE,
				 MAP_FIXED | how[rnd_below(&random, 2)], -1, 0) != MAP_FAILED)
				at[0] = 1;
		}
	}
	return NULL;
}

/* Not only pages but mappings and page tables come and go. */
static void remapped_meanwhile(void **state)
{
	struct mzp_setup setup = setup_for(2);
	struct giver g = { 0 };
	struct session s;
	struct thread t;
	struct mem m;
	struct rx rx;

	(void)state;
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	mem_init(&m, "wild", 4096);
	mem_add(&m, &s, &rx);
	g.m = &m;
	thread_start(&t, map_and_unmap, &g);
	for (unsigned int round = 0; round < 40; round++) {
		uint64_t job = session_send(&s, m.block_id, 0, m.pages, 0);
		struct mzp_wait w = { 0 };

		session_sync(&s);
		rx_round(&rx);
		works(mzp_wait(s.fd, job, -1, &w));
		must(!w.error || w.error == EFAULT || w.error == EBUSY, "%s", kit_errno(w.error));
		must(w.normal <= m.rx->normal && w.zero + w.absent >= m.rx->zero);
		rx_next_round(&rx);
	}
	__atomic_store_n(&g.stop, true, __ATOMIC_RELAXED);
	thread_join(&t);
	session_close(&s);
	rx_free(&rx);
	mem_free(&m);
	all_gone(NULL);
}

/* What is in a pipe is the pipe's, whatever becomes of the memory it came from. */
static void pages_outlive_memory(void **state)
{
	enum { PAGES = 200 };
	struct mzp_setup setup = setup_for(1);
	uint64_t garbage[PAGE / 8];
	static uint8_t buf[MIB];
	struct session s;
	struct mem m;
	struct rx rx;
	ssize_t n = 0;
	int p[2];

	(void)state;
	memset(garbage, 0xbd, sizeof(garbage));
	for (unsigned int round = 0; round < 8; round++) {
		sys(pipe2(p, O_CLOEXEC));
		sys(fcntl(p[1], F_SETPIPE_SZ, 2 * MIB));
		session_open(&s, &setup);
		rx_init(&rx, &s, RX_READ);
		mem_init(&m, "ram", PAGES);
		mem_set_range(&m, 0, PAGES, DATA);
		mem_add(&m, &s, &rx);
		mem_send(&m, &s, 0, PAGES, NULL, MZP_SEND_ALL, 0);
		session_sync(&s);
		session_wait(&s, 0);
		/* half of it stays in the ring, cut in the middle of a page */
		for (n = 0; n < 400000; )
			n += sys(splice(s.ch[0], NULL, p[1], NULL, 400000 - n, 0));
		/* the memory goes; whatever was let go of is somebody else's soon */
		if (round % 2)
			sys(munmap(m.base, PAGES * PAGE));
		else
			sys(madvise(m.base, PAGES * PAGE, MADV_DONTNEED));
		for (unsigned int i = 0; i < 4; i++) {
			uint8_t *more = mmap(NULL, 16 * MIB, PROT_READ | PROT_WRITE,
					     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

			must(more != MAP_FAILED);
			thp_off(more, 16 * MIB);
			for (uint64_t at = 0; at < 16 * MIB; at += PAGE)
				memcpy(more + at, garbage, PAGE);
			/* kept until the end of the test */
		}
		read_exactly(p[0], buf, n);
		rx_feed(&rx.chan[0], buf, n);
		while (!rx.chan[0].syncs)
			must(rx_some(&rx.chan[0]) > 0);
		mem_check(&m);
		session_close(&s);
		close(p[0]);
		close(p[1]);
	}
}

static int unload_named(const char *module)
{
	return syscall(SYS_delete_module, module, O_NONBLOCK) ? errno : 0;
}

static int unload(void)
{
	return unload_named("multifd_zp");
}

static void load(const char *path)
{
	int fd = sys(open(path, O_RDONLY | O_CLOEXEC));

	sys(syscall(SYS_finit_module, fd, "", 0));
	close(fd);
	until(!access(DEVICE, R_OK | W_OK));
}

/* While anything of it is open, the module stays; what it left in a pipe does not need it. */
static void unload_module(void **state)
{
	const char *path = getenv("MZP_MODULE");
	struct mzp_setup setup = setup_for(1);
	static uint8_t buf[MIB];
	struct session s;
	struct sent sent;
	struct mem m;
	struct rx rx;
	ssize_t n;
	int p[2];

	(void)state;
	if (!path)
		skip();
	sys(pipe2(p, O_CLOEXEC));
	sys(fcntl(p[1], F_SETPIPE_SZ, MIB));
	until(module_refs() == 0);
	s.fd = mzp_open();
	gives(EWOULDBLOCK, unload());
	close(s.fd);

	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	mem_init(&m, "ram", 100);
	mem_set_range(&m, 0, 100, DATA);
	mem_add(&m, &s, &rx);
	gives(EWOULDBLOCK, unload());
	sent = mem_send(&m, &s, 0, 100, NULL, MZP_SEND_ALL, 0);
	session_sync(&s);
	n = sys(splice(s.ch[0], NULL, p[1], NULL, 64, 0));
	while (!mzp_wait(s.fd, sent.job + 1, -1, &(struct mzp_wait){ 0 }))
		;
	n += sys(splice(s.ch[0], NULL, p[1], NULL, MIB, 0));
	while ((size_t)n < 64 + 2 * 1344 + 100 * PAGE)
		n += sys(splice(s.ch[0], NULL, p[1], NULL, MIB, 0));
	close(s.fd);
	gives(EWOULDBLOCK, unload());
	close(s.ch[0]);
	until(module_refs() == 0);
	/* more than once, with everything that it has started in the meantime */
	for (unsigned int i = 0; i < 5; i++) {
		works(unload());
		must(access(DEVICE, F_OK) == -1);
		if (!i) {
			read_exactly(p[0], buf, n);
			rx_feed(&rx.chan[0], buf, n);
			must(rx.chan[0].syncs == 1);
			mem_check(&m);
		}
		load(path);
		session_open(&s, &setup);
		session_block(&s, "ram", m.base, 100 * PAGE);
		session_send(&s, 1, 0, 100, 0);
		if (i % 2)
			session_wait(&s, 0);
		session_close(&s);
		until(module_refs() == 0);
	}
	rx_free(&rx);
	mem_free(&m);
}

/* Where zstd is a module: it stays while it is needed, and without it is all but zstd. */
static void method_missing(void **state)
{
	static const char zstd[] = "/sys/module/zstd_compress/refcnt";
	const char *path = getenv("MZP_MODULE");
	const uint32_t all = mzp_info().methods;

	(void)state;
	/* it has a count only where it is none of the kernel's own */
	if (!path || access(zstd, R_OK))
		skip_since("zstd is built into the kernel, or our module's file is not known");
	until(module_refs() == 0);
	gives(EWOULDBLOCK, unload_named("zstd_compress"));
	works(unload());
	works(unload_named("zstd_compress"));
	load(path);
	for (enum mzp_method method = MZP_METHOD_NONE; method <= MZP_METHOD_ZSTD; method++) {
		struct mzp_info info = { .size = sizeof(info), .method = method };
		struct mzp_setup setup = setup_for(2);
		int want = method == MZP_METHOD_ZSTD ? EOPNOTSUPP : 0, fd = mzp_open();

		setup.method = method;
		gives(want, mzp(fd, MZP_IOC_INFO, &info));
		gives(want, mzp_setup(fd, &setup));
		setup.method = MZP_METHOD_ZLIB;
		gives(want ? 0 : EBUSY, mzp_setup(fd, &setup));
		close(fd);
	}
	must(mzp_info().methods == (all & ~(1u << MZP_METHOD_ZSTD)));
	until(module_refs() == 0);
	works(unload());
	must(!system("modprobe zstd_compress"));
	load(path);
	must(mzp_info().methods == all);
}

#define CPU1 "/sys/devices/system/cpu/cpu1/online"

struct plug {
	unsigned int rounds;	/* that the session has finished */
	bool done;
};

static void *plug(void *arg)
{
	struct plug *p = arg;

	for (unsigned int i = 0; i < 10; i++) {
		unsigned int before = __atomic_load_n(&p->rounds, __ATOMIC_RELAXED);

		file_put(CPU1, i % 2 ? "1" : "0");
		/* what was under way must come to its end as things are now */
		until(__atomic_load_n(&p->rounds, __ATOMIC_RELAXED) >= before + 2);
	}
	__atomic_store_n(&p->done, true, __ATOMIC_RELAXED);
	return NULL;
}

/* CPUs come and go under a session that streams, and the one that it likes best. */
static void cpu_hotplug(void **state)
{
	(void)state;
	if (access(CPU1, W_OK))
		skip();
	for (unsigned int only = 0; only < 2; only++) {
		struct mzp_setup setup = setup_for(8);
		uint64_t cpu1 = 2, random = 17;
		struct plug p = { 0 };
		struct thread t;
		struct session s;
		struct mem m;
		struct rx rx;

		if (only) {
			setup.cpus = (uintptr_t)&cpu1;
			setup.cpus_size = sizeof(cpu1);
		}
		setup.packet_pages = 5;
		setup.ring_packets = 2;
		session_open(&s, &setup);
		rx_init(&rx, &s, RX_READ);
		mem_init(&m, "ram", 1200);
		mem_add(&m, &s, &rx);
		thread_start(&t, plug, &p);
		do {
			struct sent sent;

			mem_shuffle(&m, &random);
			sent = mem_send(&m, &s, 0, m.pages, NULL, MZP_SEND_ALL, 0);
			session_sync(&s);
			rx_round(&rx);
			mem_check_job(&s, &sent);
			mem_check(&m);
			rx_next_round(&rx);
			__atomic_fetch_add(&p.rounds, 1, __ATOMIC_RELAXED);
		} while (!__atomic_load_n(&p.done, __ATOMIC_RELAXED));
		thread_join(&t);
		session_close(&s);
		rx_free(&rx);
		mem_free(&m);
	}
	all_gone(NULL);
}

/* The only CPU that may work for a session is not there. */
static void only_cpu_offline(void **state)
{
	struct mzp_setup setup = setup_for(2);
	uint64_t cpu1 = 2, random = 3;
	struct session s[2];
	struct mem m[2];
	struct rx rx[2];

	(void)state;
	if (access(CPU1, W_OK))
		skip();
	setup.cpus = (uintptr_t)&cpu1;
	setup.cpus_size = sizeof(cpu1);
	setup.ring_packets = 1;
	for (unsigned int i = 0; i < 2; i++) {
		/* set up before, and set up after */
		if (i)
			file_put(CPU1, "0");
		session_open(&s[i], &setup);
		rx_init(&rx[i], &s[i], RX_READ);
		mem_init(&m[i], "ram", 600);
		mem_add(&m[i], &s[i], &rx[i]);
	}
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < 2; i++) {
			struct sent sent;

			mem_shuffle(&m[i], &random);
			sent = mem_send(&m[i], &s[i], 0, 600, NULL, MZP_SEND_ALL, 0);
			session_sync(&s[i]);
			/* it changes while the job waits for room */
			if (round)
				file_put(CPU1, round == 1 ? "1" : "0");
			rx_round(&rx[i]);
			mem_check_job(&s[i], &sent);
			mem_check(&m[i]);
			rx_next_round(&rx[i]);
			if (round == 2)
				file_put(CPU1, "1");
		}
	}
	for (unsigned int i = 0; i < 2; i++) {
		session_close(&s[i]);
		rx_free(&rx[i]);
		mem_free(&m[i]);
	}
}

/* One session in a hundred is never read. It is its own problem. */
static void hundred_sessions(void **state)
{
	enum { SESSIONS = 100, PAGES = 200 };
	struct rlimit files = { 4096, 4096 };
	static struct session s[SESSIONS];
	static struct rx rx[SESSIONS];
	static struct pollfd p[SESSIONS];
	struct mzp_setup setup = setup_for(1);
	unsigned int left = SESSIONS - 1;
	uint64_t random = 12;
	struct mem m;

	(void)state;
	sys(setrlimit(RLIMIT_NOFILE, &files));
	mem_init(&m, "ram", PAGES);
	mem_shuffle(&m, &random);
	setup.ring_packets = 2;
	setup.packet_pages = 16;
	for (unsigned int i = 0; i < SESSIONS; i++) {
		session_open(&s[i], &setup);
		rx_init(&rx[i], &s[i], RX_READ);
		mem_add(&m, &s[i], &rx[i]);
		p[i] = (struct pollfd){ .fd = i ? s[i].ch[0] : -1, .events = POLLIN };
	}
	for (unsigned int i = 0; i < SESSIONS; i++) {
		session_send(&s[i], 1, 0, PAGES, 0);
		session_sync(&s[i]);
	}
	while (left) {
		sys(poll(p, SESSIONS, -1));
		for (unsigned int i = 0; i < SESSIONS; i++) {
			if (!p[i].revents)
				continue;
			must(rx_some(&rx[i].chan[0]) > 0);
			if (rx[i].chan[0].syncs) {
				p[i].fd = -1;
				left--;
			}
		}
	}
	for (unsigned int i = 1; i < SESSIONS; i++) {
		struct rx_block *b = &rx[i].block[0];

		must(session_wait(&s[i], 0).submitted == PAGES);
		must(b->normal + b->zero == PAGES);
		for (uint64_t page = 0; page < PAGES; page++)
			must(page_is(b->shadow + page * PAGE, m.kind[page], m.tag, page,
				     m.version[page]));
	}
	gives(ETIMEDOUT, mzp_wait(s[0].fd, 0, 0, &(struct mzp_wait){ 0 }));
	for (unsigned int i = 0; i < SESSIONS; i++) {
		session_close(&s[i]);
		rx_free(&rx[i]);
	}
	mem_free(&m);
	all_gone(NULL);
}

enum { REAPED_PAGES = 1024 };

struct reaped {
	struct mzp_setup setup;
	int sock[2];
};

static void reaped_vmm(void *arg)
{
	const struct reaped *r = arg;
	struct session s;
	uint8_t *ram = mmap(NULL, REAPED_PAGES * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(ram != MAP_FAILED);
	memset(ram, 0x5a, REAPED_PAGES * PAGE);
	session_open(&s, &r->setup);
	session_send(&s, session_block(&s, "ram", ram, REAPED_PAGES * PAGE), 0, REAPED_PAGES, 0);
	session_sync(&s);
	send_fd(r->sock[1], s.ch[0]);
	close(s.ch[0]);
	pause();
}

/* Have the process die, but stop while it still has its address space. */
static void kill_halfway(pid_t pid)
{
	int status;

	sys(ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEEXIT));
	sys(kill(pid, SIGKILL));
	must(sys(waitpid(pid, &status, 0)) == pid);
	must(status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8));
}

/*
 * A VMM that is killed can lose its memory to the OOM reaper while jobs are still under
 * way. What was taken from it was not zero, and the stream is not complete.
 */
static void reaped(void **state)
{
	struct reaped r = { .setup = setup_for(1) };
	static uint8_t want[PAGE];
	struct session s;
	struct rx_block *block;
	struct rx rx;
	ssize_t got;
	pid_t pid;
	int pidfd;

	(void)state;
	memset(want, 0x5a, PAGE);
	r.setup.ring_packets = 2;
	sys(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, r.sock));
	pid = child(reaped_vmm, &r);
	pidfd = sys(syscall(SYS_pidfd_open, pid, 0));
	s = (struct session){ .fd = -1, .setup = r.setup, .ch = { receive_fd(r.sock[0]) } };
	kill_halfway(pid);
	sys(syscall(SYS_process_mrelease, pidfd, 0));

	rx_init(&rx, &s, RX_READ);
	block = rx_add_block(&rx, "ram", REAPED_PAGES, NULL);
	/* to the SYNC, and when the process is gone, to the end */
	while (!rx.chan[0].syncs && (got = rx_some(&rx.chan[0])) > 0)
		;
	sys(ptrace(PTRACE_DETACH, pid, 0, 0));
	reap(pid, SIGKILL);
	while ((got = rx_some(&rx.chan[0])) > 0)
		;
	must(got == -ECANCELED || got == -EPIPE, "the stream ends with %zd", got);
	for (unsigned int i = 0; i < REAPED_PAGES; i++) {
		must(block->seen[i] != RX_ZERO, "page %u", i);
		must(block->seen[i] != RX_NORMAL ||
		     !memcmp(block->shadow + i * PAGE, want, PAGE), "page %u", i);
	}
	rx_free(&rx);
	close(s.ch[0]);
	close(pidfd);
	close(r.sock[0]);
	close(r.sock[1]);
	until(module_refs() == 0);
}

/* Memory behind a userfaultfd that nobody answers. */
static int never_there(void *base, uint64_t length)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uintptr_t)base, length }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	/* poll(2) works only on one that is O_NONBLOCK */
	int uffd = sys(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));

	sys(ioctl(uffd, UFFDIO_API, &api));
	sys(ioctl(uffd, UFFDIO_REGISTER, &reg));
	return uffd;
}

/* A page that never comes holds up nobody but those that asked for it. */
static void unanswered_fault(void **state)
{
	struct mzp_setup setup = setup_for(2);
	uint64_t cpu0 = 1, random = 6;
	struct session stuck[4], s;
	struct sent sent;
	struct mem m;
	struct rx rx;
	void *ram = mmap(NULL, 100 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	int uffd;

	(void)state;
	must(ram != MAP_FAILED);
	uffd = never_there(ram, 100 * PAGE);
	/* all of them want the same CPU */
	setup.cpus = (uintptr_t)&cpu0;
	setup.cpus_size = sizeof(cpu0);
	for (unsigned int i = 0; i < ARRAY_SIZE(stuck); i++) {
		session_open(&stuck[i], &setup);
		session_send(&stuck[i], session_block(&stuck[i], "never", ram, 100 * PAGE), 0, 100,
			     0);
	}
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	mem_init(&m, "ram", 500);
	mem_add(&m, &s, &rx);
	mem_shuffle(&m, &random);
	sent = mem_send(&m, &s, 0, 500, NULL, MZP_SEND_ALL, 0);
	session_sync(&s);
	rx_round(&rx);
	mem_check_job(&s, &sent);
	mem_check(&m);
	session_close(&s);
	rx_free(&rx);
	mem_free(&m);

	/* nor the CPU, nor their own end */
	if (!access(CPU1, W_OK)) {
		file_put(CPU1, "0");
		file_put(CPU1, "1");
	}
	works(mzp_cancel(stuck[0].fd));
	for (unsigned int i = 0; i < ARRAY_SIZE(stuck); i++)
		session_close(&stuck[i]);
	all_gone(NULL);
	close(uffd);
	munmap(ram, 100 * PAGE);
}

static void unanswered_and_closed_child(void *arg)
{
	struct mzp_setup setup = setup_for(1);
	/* what one session of 4 packets of 8 pages is charged */
	struct rlimit limit = { 32 * PAGE, 32 * PAGE };
	void *ram = mmap(NULL, 100 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	int uffd, fd = mzp_open();
	struct pollfd asked;
	struct session s;

	(void)arg;
	must(ram != MAP_FAILED);
	uffd = never_there(ram, 100 * PAGE);
	setup.ring_packets = 4;
	setup.packet_pages = 8;
	/* one who is charged for nothing else */
	become(SOMEBODY + 1);
	sys(setrlimit(RLIMIT_MEMLOCK, &limit));
	session_open(&s, &setup);
	session_send(&s, session_block(&s, "never", ram, 100 * PAGE), 0, 100, 0);
	/* it waits for the page now */
	asked = (struct pollfd){ .fd = uffd, .events = POLLIN };
	sys(poll(&asked, 1, -1));
	must(asked.revents == POLLIN);
	gives(ENOMEM, mzp_setup(fd, &setup));
	session_close(&s);
	until(mzp_setup(fd, &setup) == 0);
}

/* A wait for a page that never comes ends with the session, and so does all that it holds. */
static void unanswered_and_closed(void **state)
{
	(void)state;
	sys(chmod(DEVICE, 0666));
	reap(child(unanswered_and_closed_child, NULL), 0);
	sys(chmod(DEVICE, 0660));
	all_gone(NULL);
}

struct stuck_reader {
	int ch;
	void *buf;
	ssize_t got;
};

static void *stuck_reader(void *arg)
{
	struct stuck_reader *r = arg;

	r->got = read(r->ch, r->buf, 50);
	return NULL;
}

static void nothing(int sig)
{
	(void)sig;
}

static void *impatient_reader(void *arg)
{
	struct stuck_reader *r = arg;
	char c;

	r->got = read(r->ch, &c, 1) < 0 ? -errno : 1;
	return NULL;
}

/* A reader that sits in a page fault of its own buffer, for as long as it likes. */
static void reader_in_unanswered_fault(void **state)
{
	struct sigaction action = { .sa_handler = nothing };
	struct mzp_setup setup = setup_for(1);
	struct frames *frames = frames_new();
	struct stuck_reader r, other;
	struct thread t, u;
	struct session s;
	struct mem m;
	char c;
	int uffd, p[2];
	void *buf = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	must(buf != MAP_FAILED);
	sys(sigaction(SIGUSR1, &action, NULL));
	sys(pipe2(p, O_CLOEXEC));
	uffd = never_there(buf, PAGE);
	session_open(&s, &setup);
	mem_init(&m, "ram", 300);
	mem_set_range(&m, 0, 300, DATA);
	frames_watch(frames, m.base, 300);
	mem_add(&m, &s, NULL);
	session_send(&s, m.block_id, 0, 300, 0);
	r = (struct stuck_reader){ .ch = s.ch[0], .buf = buf };
	thread_start(&t, stuck_reader, &r);
	until_blocked_in(getpid(), t.tid, SYS_read);

	/* others can wait for it, or not, or give up */
	must(poll_events(s.ch[0], POLLIN) == POLLIN);
	refuses(EAGAIN, splice(s.ch[0], NULL, p[1], NULL, 10, SPLICE_F_NONBLOCK));
	other = (struct stuck_reader){ .ch = s.ch[0] };
	thread_start(&u, impatient_reader, &other);
	until_blocked_in(getpid(), u.tid, SYS_read);
	pthread_kill(u.pthread, SIGUSR1);
	thread_join(&u);
	must(other.got == -EINTR);
	/* the session can end, and so can the memory behind it */
	works(mzp_cancel(s.fd));
	close(s.fd);
	mem_free(&m);
	/* the fault is answered at last: by taking away the memory */
	close(uffd);
	thread_join(&t);
	must(r.got == 50 || r.got == -1);
	refuses(ECANCELED, read(s.ch[0], &c, 1));
	close(s.ch[0]);
	munmap(buf, PAGE);
	close(p[0]);
	close(p[1]);
	all_gone(frames);
}

/* One that asked not to wait does not wait for the other reader either. */
static void nonblocking_reader_behind_fault(void **state)
{
	struct mzp_setup setup = setup_for(1);
	struct stuck_reader r, other;
	struct thread t, u;
	struct session s;
	struct timespec limit;
	int uffd, err;
	void *buf = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	must(buf != MAP_FAILED);
	uffd = never_there(buf, PAGE);
	session_open(&s, &setup);
	r = (struct stuck_reader){ .ch = s.ch[0], .buf = buf };
	thread_start(&t, stuck_reader, &r);
	until_blocked_in(getpid(), t.tid, SYS_read);
	sys(fcntl(s.ch[0], F_SETFL, O_NONBLOCK));
	other = (struct stuck_reader){ .ch = s.ch[0] };
	thread_start(&u, impatient_reader, &other);
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 20;
	err = pthread_timedjoin_np(u.pthread, NULL, &limit);
	must(!err, "it waits");
	must(other.got == -EAGAIN);
	close(uffd);
	thread_join(&t);
	session_close(&s);
	munmap(buf, PAGE);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(kill_anywhere),
		cmocka_unit_test(close_in_any_order),
		cmocka_unit_test(huge_pages_return),
		cmocka_unit_test(headers_return),
		cmocka_unit_test(memory_cgroup),
		cmocka_unit_test(reader_outlives_killed_vmm),
		cmocka_unit_test(session_outlives_killed_vmm),
		cmocka_unit_test(reader_races_killed_vmm),
		cmocka_unit_test(execve_in_vmm),
		cmocka_unit_test(hole_in_block),
		cmocka_unit_test(many_holes),
		cmocka_unit_test(given_back_meanwhile),
		cmocka_unit_test(file_changes_meanwhile),
		cmocka_unit_test(remapped_meanwhile),
		cmocka_unit_test(pages_outlive_memory),
		cmocka_unit_test(cpu_hotplug),
		cmocka_unit_test(only_cpu_offline),
		cmocka_unit_test(hundred_sessions),
		cmocka_unit_test(reaped),
		cmocka_unit_test(unanswered_fault),
		cmocka_unit_test(unanswered_and_closed),
		cmocka_unit_test(reader_in_unanswered_fault),
		cmocka_unit_test(nonblocking_reader_behind_fault),
		cmocka_unit_test(unload_module),
		cmocka_unit_test(method_missing),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

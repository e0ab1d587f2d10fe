// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMM ends, at any time and often in the middle: by a signal, by becoming another
 * program, with its memory gone before itself. Nothing may hang, leak or be
 * taken for complete that is not.
 */
#include "leak.h"
#include "mem.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

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
		/* all was there, but nobody has said so */
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
	/*
	 * All that the ring has, and what workers may still put there. What poll takes for
	 * work may be done by them, and be nothing, so a read must not wait for it.
	 */
	sys(fcntl(ch, F_SETFL, O_NONBLOCK));
	for (unsigned int quiet = 0; quiet < 50; ) {
		part = read(ch, buf + n, sizeof(buf) - n);
		if (part < 0 && errno != EAGAIN)
			break;
		if (part < 0) {
			quiet++;
			usleep(1000);
			continue;
		}
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

/* --- what a VMM had is free when it is gone */

#define HUGE (2 * MIB)
enum { GONE_PAGES = 4, GONE_ROUNDS = 40, GONE_LATE_MS = 1000 };

struct gone {
	struct mzp_setup setup;
	bool works;		/* something is under way when it is killed */
	int ready[2];
};

/* A VMM with its memory in huge pages; it sends all the time, or is done with that. */
static void be_gone(void *arg)
{
	const struct gone *g = arg;
	const uint64_t pages = GONE_PAGES * HUGE / PAGE;
	uint8_t *ram = mmap(NULL, GONE_PAGES * HUGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	struct session s;
	struct sink sink;
	uint32_t id;

	must(ram != MAP_FAILED);
	for (uint64_t i = 0; i < pages; i += 3)
		ram[i * PAGE] = 1;
	session_open(&s, &g->setup);
	id = session_block(&s, "ram", ram, GONE_PAGES * HUGE);
	sink_start(&sink, s.ch[0]);
	session_send(&s, id, 0, pages, 0);
	session_wait(&s, session_sync(&s));
	session_wait(&s, 0);
	write_exactly(g->ready[1], "", 1);
	while (g->works) {
		session_send(&s, id, 0, pages, 0);
		session_wait(&s, session_sync(&s));
		session_wait(&s, 0);
	}
	pause();
}

static bool pool_is_free(void)
{
	return huge_pages("free_hugepages") == huge_pages("nr_hugepages");
}

/* Return: how often they were free at once; @late: the longest time that it took, in ms. */
static unsigned int killed_with(struct gone *g, double *late)
{
	uint64_t random = 1;
	unsigned int at_once = 0;

	for (unsigned int round = 0; round < GONE_ROUNDS; round++) {
		double start;
		pid_t pid;
		char c;

		sys(pipe2(g->ready, O_CLOEXEC));
		pid = child(be_gone, g);
		read_exactly(g->ready[0], &c, 1);
		usleep(rnd_below(&random, 10000));
		sys(kill(pid, SIGKILL));
		reap(pid, SIGKILL);
		at_once += pool_is_free();
		start = now_ms();
		until(pool_is_free());
		*late = max(*late, now_ms() - start);
		close(g->ready[0]);
		close(g->ready[1]);
	}
	return at_once;
}

/*
 * After waitpid(2) for a VMM that was killed, its huge pages are in the pool again: at once
 * if nothing was under way, or if only its own threads did that; else when a
 * worker has come to the end of a step.
 */
static void memory_is_free(void **state)
{
	struct gone g[] = {
		{ .setup = setup_for(1) },
		{ .setup = setup_for(1), .works = true },
		{ .setup = setup_for(1), .works = true },
	};
	static const char *const name[] = { "idle", "without workers", "with workers" };

	(void)state;
	if (huge_pool(GONE_PAGES) != GONE_PAGES)
		skip_since("no huge pages");
	g[1].setup.flags = MZP_SETUP_NO_WORKERS;
	for (unsigned int i = 0; i < ARRAY_SIZE(g); i++) {
		unsigned int at_once;
		double late = 0;

		at_once = killed_with(&g[i], &late);
		print_message("# %s: free at once in %u of %u cases, after %.1f ms at most\n", name[i],
			      at_once, GONE_ROUNDS, late);
		must(at_once == GONE_ROUNDS || i == 2);
		must(late < GONE_LATE_MS);
	}
	huge_pool(0);
	all_gone(NULL);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(kill_anywhere),
		cmocka_unit_test(reader_outlives_killed_vmm),
		cmocka_unit_test(session_outlives_killed_vmm),
		cmocka_unit_test(reader_races_killed_vmm),
		cmocka_unit_test(execve_in_vmm),
		cmocka_unit_test(reaped),
		cmocka_unit_test(memory_is_free),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

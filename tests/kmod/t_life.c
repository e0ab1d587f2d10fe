// SPDX-License-Identifier: GPL-2.0-only
/*
 * A session's whole life, and its end in any order and in the middle: all that it
 * took is given back, and it is nobody's problem but its own.
 */
#include "leak.h"
#include "mem.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define HUGE (2 * MIB)

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

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(close_in_any_order),
		cmocka_unit_test(huge_pages_return),
		cmocka_unit_test(headers_return),
		cmocka_unit_test(memory_cgroup),
		cmocka_unit_test(hundred_sessions),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

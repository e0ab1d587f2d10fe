// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults that userfaultfd is to answer: pages that it brings, early or late, go out as
 * they are; one that never comes holds up nobody but those that asked for it.
 */
#include "leak.h"
#include "mem.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

struct restore {
	int uffd;
	struct mem *m;
	bool on_demand;
};

static void restore_page(struct restore *r, uint64_t page)
{
	uint64_t content[PAGE / 8];
	struct uffdio_copy copy = {
		.dst = (uintptr_t)r->m->base + page * PAGE,
		.src = (uintptr_t)content,
		.len = PAGE,
	};

	page_fill(content, DATA, r->m->tag, page, 0);
	if (ioctl(r->uffd, UFFDIO_COPY, &copy))
		must(errno == EEXIST);
}

static void *restore(void *arg)
{
	struct restore *r = arg;
	struct uffd_msg msg;

	for (uint64_t page = 0; !r->on_demand && page < r->m->pages; page++)
		restore_page(r, page);
	while (read(r->uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		must(msg.event == UFFD_EVENT_PAGEFAULT);
		restore_page(r, (msg.arg.pagefault.address - (uintptr_t)r->m->base) / PAGE);
	}
	return NULL;
}

/*
 * A VMM that is being restored itself: pages that userfaultfd has not brought in
 * yet are not zero. Either their contents go out or the job fails; never zeros,
 * and never a wait without end.
 */
static void restored(bool on_demand)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct restore r = { .on_demand = on_demand };
	struct mzp_setup setup = setup_for(1);
	struct mzp_wait w = { 0 };
	struct thread t;
	struct session s;
	struct mem m;
	struct rx rx;
	uint64_t job;

	mem_init(&m, "restored", 200);
	r.m = &m;
	r.uffd = sys(syscall(SYS_userfaultfd, O_CLOEXEC));
	sys(ioctl(r.uffd, UFFDIO_API, &api));
	reg.range.start = (uintptr_t)m.base;
	reg.range.len = m.pages * PAGE;
	sys(ioctl(r.uffd, UFFDIO_REGISTER, &reg));
	/* some pages are there already */
	for (unsigned int i = 0; i < 200; i++) {
		if (i % 4 == 0)
			restore_page(&r, i);
		m.kind[i] = DATA;
	}

	setup.ring_packets = 16;
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	mem_add(&m, &s, &rx);
	job = session_send(&s, m.block_id, 0, 200, MZP_SEND_FRESH);
	session_sync(&s);
	thread_start(&t, restore, &r);
	rx_round(&rx);
	works(mzp_wait(s.fd, job, 20 * 1000000000l, &w));
	for (unsigned int i = 0; i < 200; i++) {
		must(m.rx->seen[i] != RX_ZERO, "page %u", i);
		if (m.rx->seen[i] == RX_NORMAL)
			must(page_is(m.rx->shadow + i * PAGE, DATA, m.tag, i, 0), "page %u", i);
		else
			must(w.error, "page %u was left out without a word", i);
	}
	must(!w.absent && !w.zero);
	session_close(&s);
	rx_free(&rx);
	pthread_cancel(t.pthread);
	thread_join(&t);
	close(r.uffd);
	mem_free(&m);
}

/* All pages come by themselves, sooner or later. */
static void by_themselves(void **state)
{
	(void)state;
	restored(false);
}

/* They come only when somebody needs them. */
static void on_demand(void **state)
{
	(void)state;
	restored(true);
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

/* Read a channel for as long as that goes well. */
static void *reads(void *arg)
{
	int ch = *(int *)arg;
	char buf[PAGE];

	while (read(ch, buf, sizeof(buf)) > 0)
		;
	must(errno == ECANCELED, "%s", kit_errno(errno));
	return NULL;
}

/* A page that never comes holds up nobody but those that asked for it. */
static void unanswered(void **state)
{
	struct mzp_setup setup = setup_for(2);
	uint64_t cpu0 = 1, random = 6;
	struct session stuck[4], s;
	struct thread reader[4];
	struct pollfd asked;
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
		thread_start(&reader[i], reads, &stuck[i].ch[0]);
	}
	asked = (struct pollfd){ .fd = uffd, .events = POLLIN };
	must(sys(poll(&asked, 1, 20000)));
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	mem_init(&m, "ram", 500);
	mem_add(&m, &s, &rx);
	mem_shuffle(&m, &random);
	mem_round(&m, &s, &rx, 0);
	session_close(&s);
	rx_free(&rx);
	mem_free(&m);

	/* nor the CPU, nor their own end */
	if (!access(CPU1, W_OK)) {
		file_put(CPU1, "0");
		file_put(CPU1, "1");
	}
	works(mzp_cancel(stuck[0].fd));
	for (unsigned int i = 0; i < ARRAY_SIZE(stuck); i++) {
		sys(close(stuck[i].fd));
		thread_join(&reader[i]);
		for (unsigned int c = 0; c < 2; c++)
			close(stuck[i].ch[c]);
	}
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
	struct thread reader;
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
	thread_start(&reader, reads, &s.ch[0]);
	/* it waits for the page now */
	asked = (struct pollfd){ .fd = uffd, .events = POLLIN };
	sys(poll(&asked, 1, -1));
	must(asked.revents == POLLIN);
	gives(ENOMEM, mzp_setup(fd, &setup));
	sys(close(s.fd));
	thread_join(&reader);
	sys(close(s.ch[0]));
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
	struct sigaction action = { .sa_handler = interrupt };
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
		cmocka_unit_test(by_themselves),
		cmocka_unit_test(on_demand),
		cmocka_unit_test(unanswered),
		cmocka_unit_test(unanswered_and_closed),
		cmocka_unit_test(reader_in_unanswered_fault),
		cmocka_unit_test(nonblocking_reader_behind_fault),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

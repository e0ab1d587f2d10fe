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
static void unanswered(void **state)
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
		cmocka_unit_test(unanswered),
		cmocka_unit_test(unanswered_and_closed),
		cmocka_unit_test(reader_in_unanswered_fault),
		cmocka_unit_test(nonblocking_reader_behind_fault),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

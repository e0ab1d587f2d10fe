// SPDX-License-Identifier: GPL-2.0-only
/*
 * WAIT: it takes as long as it must and not longer, and tells each result once. A
 * caller that could not take the result has not lost it.
 */
#include "fix.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static void results(void **state)
{
	struct mzp_wait w = { 0 };
	uint64_t bits[4] = { 0 }, job[3];
	struct fix f;

	(void)state;
	fix_open(&f);
	gives(ENOENT, mzp_wait(f.fd, UINT64_MAX, -1, &w));
	gives(ENOENT, mzp_wait(f.fd, f.job + 100, -1, &w));
	/* wanted, but not kept */
	w.zero_bitmap = (uintptr_t)bits;
	w.zero_bitmap_pages = 64;
	gives(ENODATA, mzp_wait(f.fd, f.job, -1, &w));
	/* for all: not possible */
	gives(EINVAL, mzp_wait(f.fd, 0, -1, &w));
	w.zero_bitmap = w.zero_bitmap_pages = 0;
	works(mzp_wait(f.fd, f.job, -1, &w));
	must(w.submitted == 1 && w.normal == 1 && !w.error);
	gives(ENOENT, mzp_wait(f.fd, f.job, -1, &w));
	gives(ENOENT, mzp_wait(f.fd, f.job, 0, &w));
	/* all of none */
	works(mzp_wait(f.fd, 0, -1, &w));
	must(!w.submitted);

	/* the sum of what has not been fetched */
	memset(f.ram + 2 * PAGE, 0, 3 * PAGE);
	works(mzp_send_all(f.fd, f.block, 0, 5, 0, &job[0]));
	works(mzp_send_all(f.fd, f.block, 5, 3, 0, &job[1]));
	works(mzp_sync(f.fd, &job[2]));
	works(mzp_wait(f.fd, job[1], -1, &w));
	must(w.submitted == 3 && w.normal == 3);
	works(mzp_wait(f.fd, 0, -1, &w));
	must(w.submitted == 5 && w.normal == 2 && w.zero == 3 && !w.absent && !w.error);
	gives(ENOENT, mzp_wait(f.fd, job[0], 0, &w));
	gives(ENOENT, mzp_wait(f.fd, job[2], 0, &w));

	/* a SYNC has no pages */
	works(mzp_sync(f.fd, &job[0]));
	works(mzp_wait(f.fd, job[0], -1, &w));
	must(!w.submitted && !w.error);
	fix_close(&f);
}

static void zero_bitmap(void **state)
{
	uint64_t *bits = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			      -1, 0);
	struct mzp_setup setup = setup_for(1);
	struct mzp_wait w = { 0 };
	struct fix f;
	uint64_t job;

	(void)state;
	must(bits != MAP_FAILED);
	sys(munmap((char *)bits + PAGE, PAGE));
	fix_open_bare(&f);
	munmap(f.ram, RAM_PAGES * PAGE);
	f.ram = mmap(NULL, 200 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(f.ram != MAP_FAILED);
	thp_off(f.ram, 200 * PAGE);
	for (unsigned int i = 0; i < 200; i++)
		memset(f.ram + i * PAGE, i % 3, PAGE);
	setup.detection = MZP_DETECTION_LEGACY;
	works(mzp_setup(f.fd, &setup));
	works(mzp_block_add(f.fd, "ram", f.ram, 200 * PAGE, &f.block));
	works(mzp_send_all(f.fd, f.block, 10, 130, 0, &job));

	/* too small, by a word or by all of it; and it must be in words */
	w.zero_bitmap = (uintptr_t)bits;
	w.zero_bitmap_pages = 0;
	gives(ENOSPC, mzp_wait(f.fd, job, -1, &w));
	w.zero_bitmap_pages = 128;
	gives(ENOSPC, mzp_wait(f.fd, job, -1, &w));
	w.zero_bitmap_pages = 191;
	gives(EINVAL, mzp_wait(f.fd, job, -1, &w));
	w.zero_bitmap_pages = 192;
	/* nowhere, or nowhere half-way: still not lost */
	w.zero_bitmap = 8;
	gives(EFAULT, mzp_wait(f.fd, job, -1, &w));
	w.zero_bitmap = -16ul;
	gives(EFAULT, mzp_wait(f.fd, job, -1, &w));
	w.zero_bitmap = (uintptr_t)bits + PAGE - 16;
	gives(EFAULT, mzp_wait(f.fd, job, -1, &w));
	/* right at the end of the page */
	w.zero_bitmap = (uintptr_t)bits + PAGE - 24;
	works(mzp_wait(f.fd, job, -1, &w));
	must(w.submitted == 130 && w.normal + w.zero == 130 && !w.absent);
	for (unsigned int i = 0; i < 192; i++) {
		bool is = bits[PAGE / 8 - 3 + i / 64] >> i % 64 & 1;

		must(is == (i < 130 && (i + 10) % 3 == 0), "bit %u", i);
	}
	gives(ENOENT, mzp_wait(f.fd, job, -1, &w));

	/* a legacy job whose bitmap nobody wants */
	works(mzp_send_all(f.fd, f.block, 10, 1, 0, &job));
	w.zero_bitmap = w.zero_bitmap_pages = 0;
	works(mzp_wait(f.fd, job, -1, &w));
	close(f.fd);
	munmap(f.ram, 200 * PAGE);
	munmap(bits, PAGE);
}

static void timeout(void **state)
{
	struct mzp_wait w = { 0 };
	struct fix f;
	uint64_t job;

	(void)state;
	fix_open_full(&f);
	works(mzp_sync(f.fd, &job));
	gives(ETIMEDOUT, mzp_wait(f.fd, f.job, 0, &w));
	gives(ETIMEDOUT, mzp_wait(f.fd, f.job, 1, &w));
	gives(ETIMEDOUT, mzp_wait(f.fd, f.job, 20 * 1000 * 1000, &w));
	gives(ETIMEDOUT, mzp_wait(f.fd, job, 1000 * 1000, &w));
	/* how far it is: what is in the ring, at most */
	gives(ETIMEDOUT, mzp_wait(f.fd, f.job, 0, &w));
	must(w.submitted == RAM_PAGES && w.normal <= 16 && !w.zero && !w.absent && !w.error);
	gives(ETIMEDOUT, mzp_wait(f.fd, 0, 0, &w));
	must(w.submitted == RAM_PAGES && w.normal <= 16 && !w.zero && !w.absent && !w.error);
	gives(ETIMEDOUT, mzp_wait(f.fd, 0, 1000 * 1000, &w));
	/* which is nothing that one could wait for */
	w.zero_bitmap = (uintptr_t)&job;
	w.zero_bitmap_pages = 64;
	gives(ENODATA, mzp_wait(f.fd, f.job, -1, &w));
	w.zero_bitmap = w.zero_bitmap_pages = 0;
	drain(&f);
	/* the longest there is, and negative ones other than -1 */
	works(mzp_wait(f.fd, f.job, INT64_MAX, &w));
	must(w.submitted == RAM_PAGES && w.normal == RAM_PAGES);
	works(mzp_wait(f.fd, job, INT64_MIN, &w));
	fix_close(&f);
}

/* What cannot come to a good end is told at once. */
static void without_room(void **state)
{
	struct mzp_wait w = { 0 };
	uint64_t bits[2], job;
	struct fix f;

	(void)state;
	fix_open_full(&f);
	works(mzp_send_all(f.fd, f.block, 0, RAM_PAGES, MZP_SEND_ZERO_BITMAP, &job));
	w.zero_bitmap = (uintptr_t)bits;
	gives(ENOSPC, mzp_wait(f.fd, job, -1, &w));
	w.zero_bitmap_pages = 1;
	gives(EINVAL, mzp_wait(f.fd, job, -1, &w));
	w.zero_bitmap_pages = 64;
	gives(ETIMEDOUT, mzp_wait(f.fd, job, 0, &w));
	/* more room than there are pages */
	works(mzp_cancel(f.fd));
	w.zero_bitmap_pages = 128;
	works(mzp_wait(f.fd, job, -1, &w));
	must(w.error == ECANCELED);
	fix_close(&f);
}

struct waiter {
	int fd;
	uint64_t job;
	int64_t timeout;
	int err;
	struct mzp_wait w;
};

static void *waiter(void *arg)
{
	struct waiter *w = arg;

	w->err = mzp_wait(w->fd, w->job, w->timeout, &w->w);
	return NULL;
}

static void signals(void **state)
{
	struct sigaction action = { .sa_handler = interrupt };
	struct waiter w = { .timeout = -1 };
	struct thread t;
	struct fix f;

	(void)state;
	sys(sigaction(SIGUSR1, &action, NULL));
	fix_open_full(&f);
	for (unsigned int i = 0; i < 6; i++) {
		w.fd = f.fd;
		w.job = i % 2 ? 0 : f.job;
		w.timeout = i / 2 ? -1 : 3600 * 1000000000l;
		thread_start(&t, waiter, &w);
		until_blocked_in(getpid(), t.tid, SYS_ioctl);
		if (i < 4) {
			pthread_kill(t.pthread, SIGUSR1);
			thread_join(&t);
			gives(EINTR, w.err);
			continue;
		}
		/* the reader wakes it */
		if (i == 4) {
			drain(&f);
			thread_join(&t);
			works(w.err);
			must(w.w.submitted == RAM_PAGES);
			fix_close(&f);
			fix_open_full(&f);
			continue;
		}
		/* so does CANCEL */
		works(mzp_cancel(f.fd));
		thread_join(&t);
		works(w.err);
		must(w.w.error == ECANCELED);
	}
	fix_close(&f);
}

/* A reply that cannot be delivered does not take the results with it. */
static void all_to_nowhere(void **state)
{
	struct mzp_wait *ro = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), w = { 0 };
	struct fix f;

	(void)state;
	must(ro != MAP_FAILED);
	fix_open(&f);
	*ro = (struct mzp_wait){ .size = sizeof(*ro), .timeout_ns = -1 };
	sys(mprotect(ro, PAGE, PROT_READ));
	gives(EFAULT, mzp(f.fd, MZP_IOC_WAIT, ro));
	works(mzp_wait(f.fd, 0, -1, &w));
	must(w.submitted == 1 && w.normal == 1);
	munmap(ro, PAGE);
	fix_close(&f);
}

struct late {
	int fd;
	struct mzp_send send;
	struct mzp_wait *wait;
	int err;
};

static void *send_late(void *arg)
{
	struct late *late = arg;

	late->err = mzp(late->fd, MZP_IOC_SEND, &late->send);
	return NULL;
}

static void *wait_late(void *arg)
{
	struct late *late = arg;

	late->err = mzp(late->fd, MZP_IOC_WAIT, late->wait);
	return NULL;
}

static void hear_of_fault(int uffd)
{
	struct uffd_msg msg;

	must(sys(read(uffd, &msg, sizeof(msg))) == sizeof(msg));
}

static void answer_fault(int uffd, void *addr, const void *content)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)addr, .src = (uintptr_t)content, .len = PAGE,
	};

	sys(ioctl(uffd, UFFDIO_COPY, &copy));
}

/*
 * A job whose input takes long to read has a lower id than one that is done before it
 * has begun. WAIT for all, whose answer takes long to write, tells of the latter, and
 * must not forget the former, which has begun meanwhile.
 */
static void all_and_latecomers(void **state)
{
	static const uint64_t content[PAGE / 8] = { 1 };
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	uint8_t *slow = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);
	int uffd = sys(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
	struct late send = { .wait = NULL }, wait = { .wait = (void *)(slow + PAGE) };
	struct thread sender, waiter;
	struct mzp_setup setup = setup_for(1);
	struct mzp_wait w = { 0 };
	uint8_t buf[4096];
	struct fix f;
	int ch;

	(void)state;
	must(slow != MAP_FAILED);
	fix_open_bare(&f);
	setup.packet_pages = 1;
	setup.ring_packets = 2;
	works(mzp_setup(f.fd, &setup));
	works(mzp_block_add(f.fd, "ram", f.ram, RAM_PAGES * PAGE, &f.block));
	works(mzp_channel(f.fd, 0, MZP_CHANNEL_NONBLOCK, &ch));

	*wait.wait = (struct mzp_wait){ .size = sizeof(w), .timeout_ns = -1 };
	sys(ioctl(uffd, UFFDIO_API, &api));
	reg.range.start = (uintptr_t)slow;
	reg.range.len = 2 * PAGE;
	sys(ioctl(uffd, UFFDIO_REGISTER, &reg));

	send.fd = wait.fd = f.fd;
	send.send = (struct mzp_send){
		.size = sizeof(send.send), .block_id = f.block, .format = MZP_SEND_BITMAP,
		.page_count = 1, .input = (uintptr_t)slow,
	};
	thread_start(&sender, send_late, &send);
	until(readable(uffd));
	works(mzp_send_all(f.fd, f.block, 0, 8, 0, &f.job));
	thread_start(&waiter, wait_late, &wait);
	until_blocked_in(getpid(), waiter.tid, SYS_ioctl);
	sys(madvise(slow + PAGE, PAGE, MADV_DONTNEED));
	hear_of_fault(uffd);
	/* it is told of when nothing is under way that has begun */
	while (!readable(uffd))
		must(read(ch, buf, sizeof(buf)) > 0 || errno == EAGAIN);

	answer_fault(uffd, slow, content);
	thread_join(&sender);
	works(send.err);
	must(send.send.job_id < f.job);
	answer_fault(uffd, slow + PAGE, content);
	thread_join(&waiter);
	works(wait.err);
	must(wait.wait->submitted == 8 && wait.wait->normal == 8);
	gives(ENOENT, mzp_wait(f.fd, f.job, 0, &w));

	while (mzp_wait(f.fd, send.send.job_id, 0, &w) == ETIMEDOUT)
		must(read(ch, buf, sizeof(buf)) > 0 || errno == EAGAIN);
	must(w.submitted == 1 && w.normal == 1 && !w.error);
	gives(ENOENT, mzp_wait(f.fd, send.send.job_id, 0, &w));
	close(uffd);
	close(ch);
	munmap(slow, 2 * PAGE);
	fix_close(&f);
}

/* WAIT for all tells the first failure. */
static void all_canceled(void **state)
{
	struct mzp_wait w = { 0 };
	struct fix f;

	(void)state;
	fix_open_full(&f);
	works(mzp_sync(f.fd, NULL));
	works(mzp_cancel(f.fd));
	works(mzp_wait(f.fd, 0, -1, &w));
	must(w.error == ECANCELED);
	works(mzp_wait(f.fd, 0, -1, &w));
	must(!w.error);
	fix_close(&f);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(results),
		cmocka_unit_test(zero_bitmap),
		cmocka_unit_test(timeout),
		cmocka_unit_test(without_room),
		cmocka_unit_test(signals),
		cmocka_unit_test(all_to_nowhere),
		cmocka_unit_test(all_and_latecomers),
		cmocka_unit_test(all_canceled),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

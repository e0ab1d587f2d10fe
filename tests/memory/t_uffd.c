// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory whose contents are still to come: a userfaultfd handler supplies them
 * when they are asked for, as in a VMM that is being restored lazily. What is
 * absent there is not zero. Whoever waits for a handler waits alone, and can be
 * made to stop. Where memory is only write-protected, no handler is told of our
 * reading.
 *
 * What happens before what is proven by semaphores: the handler says when it
 * was asked, and answers only when it may.
 */
#include "kinds.h"

#include <linux/memfd.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum lazy_kind { ANON, ANON_HUGE, SHMEM, HUGETLB, MINOR, MINOR_HUGETLB, LAZY_KINDS };
static const char *const lazy_names[] = {
	"anon", "anon_huge", "shmem", "hugetlb", "minor", "minor_hugetlb",
};

struct lazy {
	enum lazy_kind kind;
	struct guest *g;
	uint64_t step;		/* pages that are supplied at once */
	int fd;			/* its file, or -1 */
	int uffd;
	int stop;		/* eventfd: the handler is to end */
	sem_t asked;		/* once: the first question has come */
	sem_t answer;		/* once: and may be answered, as all that follow */
	uint64_t asked_for;	/* page of the first question */
	uint64_t answers;
	bool mute;
	uint64_t *late;		/* per page: data id to supply, 0: nothing; ~0: zeros */
	struct thread handler;
};

static uint64_t ids = 1 << 20;

static void supply(struct lazy *l, uint64_t page)
{
	static uint64_t buffer[HUGE / 8] __attribute__((aligned(HUGE)));
	struct guest *g = l->g;
	uintptr_t at;

	page -= page % l->step;
	at = (uintptr_t)g->base + page * PAGE;
	for (uint64_t i = 0; i < l->step; i++) {
		memset(buffer + i * PAGE / 8, 0, PAGE);
		if (l->late[page + i] != ~0ull)
			guest_data(buffer + i * PAGE / 8, l->late[page + i]);
	}
	if (l->kind == MINOR || l->kind == MINOR_HUGETLB) {
		struct uffdio_continue cont = { .range = { at, l->step * PAGE } };
		uint8_t *map = mmap(NULL, l->step * PAGE, RW, MAP_SHARED, l->fd, page * PAGE);

		/* what is in the page cache was not right yet */
		must(map != MAP_FAILED);
		memcpy(map, buffer, l->step * PAGE);
		munmap(map, l->step * PAGE);
		must(!ioctl(l->uffd, UFFDIO_CONTINUE, &cont) || errno == EEXIST);
	} else if (l->step == 1 && l->late[page] == ~0ull) {
		struct uffdio_zeropage zero = { .range = { at, PAGE } };

		must(!ioctl(l->uffd, UFFDIO_ZEROPAGE, &zero) || errno == EEXIST);
	} else {
		struct uffdio_copy copy = {
			.dst = at, .src = (uintptr_t)buffer, .len = l->step * PAGE,
		};

		must(!ioctl(l->uffd, UFFDIO_COPY, &copy) || errno == EEXIST);
	}
	l->answers++;
}

static void *handle(void *arg)
{
	struct lazy *l = arg;
	struct pollfd p[2] = { { .fd = l->stop, .events = POLLIN }, { .events = POLLIN } };
	bool first = true;

	for (;;) {
		struct uffd_msg msg;

		p[1].fd = l->uffd;
		sys(poll(p, 2, -1));
		if (p[0].revents)
			return NULL;
		if (read(l->uffd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		must(msg.event == UFFD_EVENT_PAGEFAULT);
		if (first) {
			first = false;
			l->asked_for = (msg.arg.pagefault.address - (uintptr_t)l->g->base) / PAGE;
			sem_post(&l->asked);
			sem_wait(&l->answer);
			if (l->mute)
				return NULL;
		}
		supply(l, (msg.arg.pagefault.address - (uintptr_t)l->g->base) / PAGE);
	}
}

/* Memory of which every third step is there, and the others are to be asked for. */
static bool lazy_init(struct lazy *l, enum lazy_kind kind)
{
	bool huge = kind == HUGETLB || kind == MINOR_HUGETLB;
	bool minor = kind == MINOR || kind == MINOR_HUGETLB;
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.mode = minor ? UFFDIO_REGISTER_MODE_MINOR : UFFDIO_REGISTER_MODE_MISSING,
	};
	struct guest *g;

	if (kind == ANON_HUGE && !thp_there())
		return false;
	*l = (struct lazy){ .kind = kind, .fd = -1, .step = huge ? 512 : 1 };
	if (kind == MINOR)
		api.features = UFFD_FEATURE_MINOR_SHMEM;
	if (kind == MINOR_HUGETLB)
		api.features = UFFD_FEATURE_MINOR_HUGETLBFS;
	if (huge) {
		sysfs_put("/proc/sys/vm/nr_hugepages", 6);
		if (file_number("/proc/sys/vm/nr_hugepages", NULL) < 6)
			return false;
	}
	l->uffd = sys(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
	if (ioctl(l->uffd, UFFDIO_API, &api)) {
		close(l->uffd);
		return false;
	}
	g = l->g = guest_new(huge ? 3 * 512 : kind == ANON_HUGE ? 2 * 512 : 300);
	if (kind != ANON && kind != ANON_HUGE) {
		l->fd = sys(memfd_create("lazy", MFD_CLOEXEC | (huge ? MFD_HUGETLB : 0)));
		sys(ftruncate(l->fd, g->pages * PAGE));
	}
	guest_map(g, 0, RW, l->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, l->fd, 0);
	if (kind == ANON_HUGE)
		thp_on(g->base, g->pages * PAGE);
	else if (!huge)
		thp_off(g->base, g->pages * PAGE);
	l->late = calloc(g->pages, sizeof(*l->late));
	must(l->late);
	reg.range.start = (uintptr_t)g->base;
	reg.range.len = g->pages * PAGE;
	if (minor) {
		uint8_t *map = mmap(NULL, g->pages * PAGE, RW, MAP_SHARED, l->fd, 0);

		/* all of it is in the page cache, though not right yet */
		must(map != MAP_FAILED);
		for (uint64_t page = 0; page < g->pages; page++)
			guest_data(map + page * PAGE, 7);
		munmap(map, g->pages * PAGE);
	}
	sys(ioctl(l->uffd, UFFDIO_REGISTER, &reg));
	for (uint64_t page = 0; page < g->pages; page++) {
		bool zeros = page / l->step % 3 == 2 && (l->step == 1 || page % 2);

		l->late[page] = zeros ? ~0ull : ++ids;
		g->kind[page] = zeros ? l->fd < 0 && l->step == 1 ? ABSENT : ZERO : DATA;
		g->id[page] = l->late[page];
	}
	for (uint64_t page = 0; page < g->pages; page += 3 * l->step)
		supply(l, page);
	l->answers = 0;
	l->stop = sys(eventfd(0, EFD_CLOEXEC));
	sem_init(&l->asked, 0, 0);
	sem_init(&l->answer, 0, 0);
	thread_start(&l->handler, handle, l);
	return true;
}

static void lazy_free(struct lazy *l)
{
	uint64_t one = 1;

	sys(write(l->stop, &one, 8));
	sem_post(&l->answer);
	thread_join(&l->handler);
	if (l->uffd >= 0)
		close(l->uffd);
	close(l->stop);
	if (l->fd >= 0)
		close(l->fd);
	free(l->late);
	guest_free(l->g);
	sysfs_put("/proc/sys/vm/nr_hugepages", 0);
}

/* Passes on what a channel has, and waits for the handler if it must. */
struct reader {
	int ch, pipe[2];
	bool splices;
	int err;		/* what it ended with */
	struct thread thread;
};

static void *reads(void *arg)
{
	struct reader *r = arg;
	uint8_t buf[16384];
	ssize_t n;

	for (;;) {
		n = r->splices ? splice(r->ch, NULL, r->pipe[1], NULL, MIB, 0) :
				 read(r->ch, buf, sizeof(buf));
		if (n <= 0)
			break;
		if (!r->splices)
			write_exactly(r->pipe[1], buf, n);
	}
	r->err = n ? errno : 0;
	sys(close(r->pipe[1]));
	return NULL;
}

struct sending {
	struct session s;
	struct rx rx;
	struct rx_block *b;
	uint64_t job;
	struct reader reader[2];
	unsigned int readers;
};

/* With readers of the first channels. */
static void sending_start(struct sending *a, struct guest *g, const struct way *way,
			  unsigned int readers)
{
	struct mzp_setup setup = setup_for(2);

	setup.detection = way->detection;
	session_open(&a->s, &setup);
	rx_init(&a->rx, &a->s, RX_READ);
	a->b = rx_add_block(&a->rx, "lazy", g->pages, NULL);
	a->readers = readers;
	for (unsigned int i = 0; i < readers; i++) {
		struct reader *r = &a->reader[i];

		*r = (struct reader){ .ch = a->s.ch[i], .splices = way->how == RX_SPLICE };
		sys(pipe2(r->pipe, O_CLOEXEC));
		a->rx.chan[i].fd = r->pipe[0];
		thread_start(&r->thread, reads, r);
	}
	a->job = session_send(&a->s, session_block(&a->s, "lazy", g->base, g->pages * PAGE), 0,
			      g->pages, way->flags);
	session_sync(&a->s);
}

/* Receive what is there, until the handler is asked for what is not. */
static void sending_until_asked(struct sending *a, struct lazy *l)
{
	while (sem_trywait(&l->asked)) {
		for (unsigned int i = 0; i < a->readers; i++) {
			if (readable(a->rx.chan[i].fd))
				must(rx_some(&a->rx.chan[i]) > 0);
		}
		usleep(100);
	}
}

/* The readers end with this, as soon as there is room for what they have in hand. */
static void sending_end(struct sending *a, int err)
{
	uint8_t buf[16384];

	if (!err)
		session_end(&a->s);
	else
		sys(close(a->s.fd));
	for (unsigned int i = 0; i < a->readers; i++) {
		while (sys(read(a->reader[i].pipe[0], buf, sizeof(buf))))
			;
		thread_join(&a->reader[i].thread);
		must(a->reader[i].err == err, "%s", kit_errno(a->reader[i].err));
		close(a->reader[i].pipe[0]);
	}
	for (unsigned int i = 0; i < 2; i++) {
		if (a->s.ch[i] >= 0)
			close(a->s.ch[i]);
	}
	rx_free(&a->rx);
}

/* Another session of the same process does a whole migration of ordinary memory. */
static void other_session(void)
{
	struct guest *g = guest_new(3000);

	guest_map(g, 0, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	thp_off(g->base, g->pages * PAGE);
	guest_mix(g, 5, ABSENT, guest_write);
	guest_send(g, false, &ways[0]);
	guest_send(g, false, &ways[1]);
	guest_free(g);
}

static void late(void **state)
{
	static const uint8_t nothing[PAGE];
	enum lazy_kind kind = *(enum lazy_kind *)*state;

	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
		const struct way *way = &ways[i];
		struct mzp_wait w = { 0 };
		struct sending a;
		struct lazy l;
		struct guest *g;

		if (!lazy_init(&l, kind))
			skip_since("no such memory can be had late");
		g = l.g;
		sending_start(&a, g, way, 2);
		sending_until_asked(&a, &l);
		/* it hangs on this one, and for everybody else life goes on */
		other_session();
		gives(ETIMEDOUT, mzp_wait(a.s.fd, a.job, 0, &w));
		must(!l.answers);
		sem_post(&l.answer);
		rx_round(&a.rx);
		works(mzp_wait(a.s.fd, a.job, -1, &w));
		must(!w.error, "%s", kit_errno(w.error));
		session_wait(&a.s, 0);
		must(l.answers);
		/* only where the handler has put the kernel's zero page */
		must(w.absent == guest_count(g, ABSENT), "%s: %ju absent", way->name,
		     (uintmax_t)w.absent);
		if (way->detection != MZP_DETECTION_NONE) {
			must(w.zero == guest_count(g, ZERO), "%ju zero", (uintmax_t)w.zero);
			must(w.normal == guest_count(g, DATA));
		} else {
			must(w.normal == g->pages - w.absent);
		}
		for (uint64_t page = 0; page < g->pages; page++) {
			const uint8_t *got = a.b->shadow + page * PAGE;
			uint64_t want[PAGE / 8] = { 0 };

			if (g->kind[page] == DATA)
				guest_data(want, g->id[page]);
			if (g->kind[page] == ABSENT && way->flags & MZP_SEND_FRESH)
				must(a.b->seen[page] == RX_NOTHING);
			else if (g->kind[page] == DATA || way->detection == MZP_DETECTION_NONE)
				must(a.b->seen[page] == RX_NORMAL);
			else
				must(a.b->seen[page] == RX_ZERO);
			must(!memcmp(got, want, PAGE), "%s: page %ju is %s", way->name,
			     (uintmax_t)page, memcmp(got, nothing, PAGE) ? "wrong" : "zero");
		}
		sending_end(&a, 0);
		lazy_free(&l);
	}
}

/* Nobody answers; the session ends nevertheless. */
static bool never_answered(enum lazy_kind kind, bool cancel)
{
	struct mzp_wait w = { 0 };
	struct sending a;
	struct lazy l;

	if (!lazy_init(&l, kind))
		return false;
	l.mute = true;
	sending_start(&a, l.g, &ways[1], 2);
	sending_until_asked(&a, &l);
	if (cancel) {
		works(mzp_cancel(a.s.fd));
		works(mzp_wait(a.s.fd, a.job, -1, &w));
		must(w.error == ECANCELED);
	}
	/* all without the handler */
	sending_end(&a, ECANCELED);
	until(!module_refs());
	must(!l.answers);
	lazy_free(&l);
	return true;
}

/* Not every kernel has every kind, but one that has none shows nothing. */
static void must_be_some(unsigned int kinds)
{
	if (!kinds)
		skip_since("no kind of memory can be had late");
}

static void cancelled(void **state)
{
	unsigned int done = 0;

	(void)state;
	for (unsigned int kind = 0; kind < LAZY_KINDS; kind++)
		done += never_answered(kind, true);
	must_be_some(done);
}

static void closed(void **state)
{
	unsigned int done = 0;

	(void)state;
	for (unsigned int kind = 0; kind < LAZY_KINDS; kind++)
		done += never_answered(kind, false);
	must_be_some(done);
}

/* The other channel's reader goes away, which ends the session, too. */
static void reader_gone(void **state)
{
	struct mzp_wait w = { 0 };
	struct sending a;
	struct lazy l;

	(void)state;
	must(lazy_init(&l, ANON));
	l.mute = true;
	sending_start(&a, l.g, &ways[1], 1);
	sending_until_asked(&a, &l);
	sys(close(a.s.ch[1]));
	a.s.ch[1] = -1;
	works(mzp_wait(a.s.fd, a.job, -1, &w));
	must(w.error == EPIPE);
	sending_end(&a, EPIPE);
	until(!module_refs());
	lazy_free(&l);
}

/*
 * The userfaultfd is closed while the module waits: there is nobody left to ask,
 * so what is missing is what it would be without.
 */
static void uffd_closed(void **state)
{
	static const uint8_t nothing[PAGE];
	unsigned int done = 0;

	(void)state;
	for (unsigned int kind = 0; kind < LAZY_KINDS; kind++) {
		struct mzp_wait w = { 0 };
		struct sending a;
		struct lazy l;
		int uffd;

		if (!lazy_init(&l, kind))
			continue;
		l.mute = true;
		sending_start(&a, l.g, &ways[1], 2);
		sending_until_asked(&a, &l);
		sem_post(&l.answer);
		thread_join(&l.handler);
		uffd = l.uffd;
		l.uffd = -1;
		sys(close(uffd));
		rx_round(&a.rx);
		works(mzp_wait(a.s.fd, a.job, -1, &w));
		must(!w.error, "%s: %s", lazy_names[kind], kit_errno(w.error));
		for (uint64_t page = 0; page < l.g->pages; page++) {
			bool there = page / l.step % 3 == 0 || kind == MINOR || kind == MINOR_HUGETLB;
			uint64_t id = page / l.step % 3 == 0 ? l.g->id[page] : 7;
			uint64_t want[PAGE / 8] = { 0 };

			if (there)
				guest_data(want, id);
			must(a.b->seen[page] == (there ? RX_NORMAL : RX_ZERO), "%s: page %ju",
			     lazy_names[kind], (uintmax_t)page);
			must(!memcmp(a.b->shadow + page * PAGE, there ? (uint8_t *)want : nothing, PAGE));
		}
		session_wait(&a.s, 0);
		sending_end(&a, 0);
		/* its handler has ended already */
		thread_start(&l.handler, handle, &l);
		lazy_free(&l);
		done++;
	}
	must_be_some(done);
}

/* A process with all of that, which is killed in the middle of it. */
enum { NOT_HERE = 77 };	/* its status where there is no such memory */

struct doomed {
	enum lazy_kind kind;
	int ready[2];
};

static void be_doomed(void *arg)
{
	struct doomed *d = arg;
	struct sending a;
	struct lazy l;

	if (!lazy_init(&l, d->kind))
		_exit(NOT_HERE);
	l.mute = true;
	sending_start(&a, l.g, &ways[1], 2);
	sending_until_asked(&a, &l);
	sys(write(d->ready[1], "", 1));
	for (;;)
		pause();
}

static void killed(void **state)
{
	unsigned int done = 0;

	(void)state;
	for (unsigned int kind = 0; kind < LAZY_KINDS; kind++) {
		struct doomed d = { .kind = kind };
		int status;
		pid_t pid;
		char c;

		sys(pipe2(d.ready, O_CLOEXEC));
		pid = child(be_doomed, &d);
		close(d.ready[1]);
		if (read(d.ready[0], &c, 1) == 1) {
			sys(kill(pid, SIGKILL));
			reap(pid, SIGKILL);
			done++;
		} else {
			sys(waitpid(pid, &status, 0));
			must(WIFEXITED(status) && WEXITSTATUS(status) == NOT_HERE, "%s: %#x",
			     lazy_names[kind], status);
		}
		close(d.ready[0]);
		until(!module_refs());
	}
	must_be_some(done);
	sysfs_put("/proc/sys/vm/nr_hugepages", 0);
}

/* Registered, though all is there: that costs nothing and asks nobody. */
static void all_there(void **state)
{
	unsigned int done = 0;

	(void)state;
	for (unsigned int kind = 0; kind < LAZY_KINDS; kind++) {
		struct lazy l;

		if (!lazy_init(&l, kind))
			continue;
		for (uint64_t page = 0; page < l.g->pages; page += l.step)
			supply(&l, page);
		l.answers = 0;
		for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
			/* what is in the page cache is mapped, or was */
			l.g->maps = true;
			guest_send(l.g, false, &ways[i]);
		}
		must(!l.answers);
		must(sem_trywait(&l.asked) && errno == EAGAIN);
		lazy_free(&l);
		done++;
	}
	must_be_some(done);
}

/* --- write-protected by userfaultfd: nobody is to be told of our reading */

static int uffd_wp(struct guest *g)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	struct uffdio_register reg = {
		.range = { (uintptr_t)g->base, g->pages * PAGE },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect wp = { .range = reg.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	int uffd = sys(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));

	/* 6.1's for arm64 has none, and says EINVAL */
	if (ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg)) {
		must(errno == EINVAL, "%s", strerror(errno));
		close(uffd);
		return -1;
	}
	sys(ioctl(uffd, UFFDIO_WRITEPROTECT, &wp));
	return uffd;
}

#define PAGEMAP_WP (1ull << 57)
static uint64_t write_protected(struct guest *g)
{
	uint64_t *entry = malloc(g->pages * 8), count = 0;

	must(entry);
	guest_pagemap(g, entry);
	for (uint64_t page = 0; page < g->pages; page++)
		count += !!(entry[page] & PAGEMAP_WP);
	free(entry);
	return count;
}

static void protected(struct guest *g)
{
	int uffd = uffd_wp(g);
	uint64_t count;

	if (uffd < 0) {
		guest_free(g);
		skip_since("this kernel's userfaultfd cannot protect such memory");
	}
	count = write_protected(g);
	must(count);
	guest_check(g);
	must(write_protected(g) == count);
	must(!readable(uffd), "a fault was reported");
	close(uffd);
	guest_free(g);
}

static void anon_write_protected(void **state)
{
	struct guest *g = anonymous(PAGES, false);

	(void)state;
	guest_mix(g, 10, ABSENT, guest_write);
	protected(g);
}

static void shmem_write_protected(void **state)
{
	struct guest *g = shared_memfd(PAGES, 0, 0);

	(void)state;
	guest_mix(g, 17, ZERO, guest_write);
	protected(g);
}

int main(int argc, char **argv)
{
	static enum lazy_kind kinds[LAZY_KINDS];
	static char names[LAZY_KINDS][32];
	struct CMUnitTest tests[LAZY_KINDS + 8] = {
		[LAZY_KINDS] = cmocka_unit_test(cancelled),
		cmocka_unit_test(closed),
		cmocka_unit_test(reader_gone),
		cmocka_unit_test(uffd_closed),
		cmocka_unit_test(killed),
		cmocka_unit_test(all_there),
		cmocka_unit_test(anon_write_protected),
		cmocka_unit_test(shmem_write_protected),
	};

	for (unsigned int i = 0; i < LAZY_KINDS; i++) {
		kinds[i] = i;
		snprintf(names[i], sizeof(names[i]), "late_%s", lazy_names[i]);
		tests[i] = (struct CMUnitTest){
			.name = names[i], .test_func = late, .initial_state = &kinds[i],
		};
	}
	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

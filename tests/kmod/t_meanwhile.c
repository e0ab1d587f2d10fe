// SPDX-License-Identifier: GPL-2.0-only
/*
 * What becomes of memory while a block is made of it: it goes, it comes back, it
 * is cut or mapped anew, before it is sent, while it is, and while it waits in a pipe.
 * What goes out was there, and what was not there is an error of its job alone.
 */
#include "leak.h"
#include "mem.h"

#include <fcntl.h>
#include <sys/mman.h>

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
		mem_round(&holed, &s, &rx, 0);
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
static void given_back(void **state)
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
static void file_changes(void **state)
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
static void remapped(void **state)
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

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(hole_in_block),
		cmocka_unit_test(many_holes),
		cmocka_unit_test(given_back),
		cmocka_unit_test(file_changes),
		cmocka_unit_test(remapped),
		cmocka_unit_test(pages_outlive_memory),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

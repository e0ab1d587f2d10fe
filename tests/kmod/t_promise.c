// SPDX-License-Identifier: GPL-2.0-only
/*
 * How new what is sent of a page is: at least as new as when SEND was called, though the
 * page is written all the time. Not as when SEND returned, which can be told as well.
 */
#include "one.h"
#include "take.h"

#include <sched.h>
#include <sys/mman.h>

#define TRIES 10000

struct writer {
	struct thread thread;
	uint64_t *counter;	/* in the page */
	bool over;
};

static void *writer(void *arg)
{
	struct writer *w = arg;

	stay_on(1, SCHED_OTHER);
	while (!__atomic_load_n(&w->over, __ATOMIC_RELAXED))
		__atomic_add_fetch(w->counter, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

struct receiver {
	struct rx rx;
	unsigned int syncs;
};

static void feed(void *arg, const uint8_t *data, size_t n)
{
	struct receiver *r = arg;

	rx_feed(&r->rx.chan[0], data, n);
	rx_next_round(&r->rx);
	__atomic_store_n(&r->syncs, r->rx.chan[0].syncs, __ATOMIC_RELEASE);
}

/*
 * Who makes the packet, a worker or the reader, has our CPU, and we let everybody go
 * first: so they are often at work before SEND is back. Return: how often that was seen.
 */
static unsigned int try_all(enum mzp_method method, uint32_t flags, unsigned int tries)
{
	struct mzp_setup setup = setup_for(1);
	uint64_t cpu0 = 1, called, returned, got;
	struct writer w = { 0 };
	unsigned int weaker = 0;
	struct mzp_wait_pending p;
	struct receiver r = { 0 };
	struct session s;
	struct taker t;
	struct mem m;

	setup.method = method;
	setup.flags = flags;
	setup.cpus = (uintptr_t)&cpu0;
	setup.cpus_size = sizeof(cpu0);
	session_open(&s, &setup);
	rx_init(&r.rx, &s, RX_READ);
	mem_init(&m, "ram", 1);
	mem_set(&m, 0, DATA);
	mem_add(&m, &s, &r.rx);
	w.counter = (uint64_t *)m.base + 100;
	*w.counter = 1;
	thread_start(&w.thread, writer, &w);
	stay_on(0, SCHED_OTHER);
	taker_start(&t, s.ch[0], BY_READ, feed, &r);
	stay_on(0, SCHED_IDLE);
	for (unsigned int i = 1; i <= tries; i++) {
		called = __atomic_load_n(w.counter, __ATOMIC_SEQ_CST);
		works(mzp_send_blind(s.fd, m.block_id, 0, 1));
		returned = __atomic_load_n(w.counter, __ATOMIC_SEQ_CST);
		works(mzp_sync_blind(s.fd));
		works(mzp_wait_pending(s.fd, 0, 0, -1, &p));
		while (__atomic_load_n(&r.syncs, __ATOMIC_ACQUIRE) != i)
			sched_yield();
		got = ((uint64_t *)m.rx->shadow)[100];
		must(got >= called, "try %u: %ju, but %ju when SEND was called", i,
		     (uintmax_t)got, (uintmax_t)called);
		weaker += got < returned;
	}
	__atomic_store_n(&w.over, true, __ATOMIC_RELAXED);
	thread_join(&w.thread);
	works(mzp_end(s.fd));
	gives(0, taker_end(&t));
	close(s.fd);
	rx_free(&r.rx);
	mem_free(&m);
	return weaker;
}

static void as_new_as_called(void **state)
{
	static const struct {
		enum mzp_method method;
		uint32_t flags;
	} cases[] = {
		{ MZP_METHOD_NONE, 0 },
		{ MZP_METHOD_NONE, MZP_SETUP_NO_WORKERS },
		{ MZP_METHOD_ZSTD, 0 },
		{ MZP_METHOD_ZSTD, MZP_SETUP_NO_WORKERS },
	};
	unsigned int weaker = 0;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int part = try_all(cases[i].method, cases[i].flags,
					    TRIES / ARRAY_SIZE(cases));

		print_message("# case %u: %u were older than when SEND returned\n", i, part);
		weaker += part;
	}
	/* else this would not notice if it was not as new as when SEND was called, either */
	must(weaker);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_new_as_called),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUs that come and go: what was under way comes to its end with those that are
 * there.
 */
#include "leak.h"
#include "mem.h"

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
static void hotplug(void **state)
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

			mem_shuffle(&m, &random);
			mem_round(&m, &s, &rx, 0);
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

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(hotplug),
		cmocka_unit_test(only_cpu_offline),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

// SPDX-License-Identifier: GPL-2.0-only
/* The documentation's migration by ioctls alone, with a guest that goes on writing. */
#include "rx.h"
#include "sock.h"

#include "../../Documentation/examples/raw.c"

enum { CHANNELS = 2, PAGES = 600, DOWNTIME = 100, ROUNDS = 5 };

static uint8_t ram[PAGES * PAGE] __attribute__((aligned(4096)));
static uint64_t dirty[(PAGES + 63) / 64];
static unsigned int fetched, stopped_at;

static void guest_stop(struct vm *vm)
{
	(void)vm;
	stopped_at = fetched;
}

/* The guest writes to half as many pages each time, and the log says to which. */
static void guest_writes(struct vm *vm)
{
	unsigned int step = 1 << ++fetched;

	memset(vm->dirty, 0, sizeof(dirty));
	for (unsigned int i = 0; i < PAGES; i += step) {
		memset(ram + i * PAGE, i % 3 ? fetched + i : 0, PAGE);
		vm->dirty[i / 64] |= 1ull << i % 64;
	}
}

static void *receives(void *arg)
{
	struct rx *rx = arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		rx_round(rx);
		rx_next_round(rx);
	}
	return NULL;
}

static void migrates(void **state)
{
	struct vm vm = { ram, sizeof(ram), dirty, guest_writes, guest_stop };
	struct session s = { .setup = { .channels = CHANNELS, .packet_pages = 128,
					.detection = MZP_DETECTION_MULTIFD } };
	struct channel channel[CHANNELS] = { { 0 } };
	int pair[CHANNELS][2];
	struct rx_block *block;
	struct thread t;
	struct rx rx;

	(void)state;
	for (unsigned int i = 0; i < CHANNELS; i++) {
		unix_pair(pair[i]);
		channel[i].socket = pair[i][0];
		s.ch[i] = pair[i][1];
	}
	rx_init(&rx, &s, RX_READ);
	block = rx_add_block(&rx, "ram0", PAGES, NULL);
	thread_start(&t, receives, &rx);
	for (unsigned int i = 0; i < PAGES; i += 2)
		memset(ram + i * PAGE, 1 + i, PAGE);
	must(migrate(&vm, channel, CHANNELS, DOWNTIME));
	thread_join(&t);
	must(stopped_at == ROUNDS - 2 && fetched == ROUNDS - 1, "%u, %u", stopped_at, fetched);
	must(!memcmp(ram, block->shadow, sizeof(ram)), "the destination has other memory");
	for (unsigned int i = 0; i < CHANNELS; i++)
		close_pair(pair[i]);
	rx_free(&rx);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(migrates),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

// SPDX-License-Identifier: GPL-2.0-only
/* kmod/ring.c: order, fill, wrap, backpressure, and no lost wake-up. */
#include "unit.h"

#include <pthread.h>

#include "shim/kernel.h"
#include "ring.h"

static void init(struct mzp_ring *ring, u32 size, u32 counters)
{
	memset(ring, 0, sizeof(*ring));
	assert_int_equal(mzp_ring_init(ring, size), 0);
	ring->head = counters;
	ring->tail = counters;
}

static void fill_and_drain(u32 size, u32 counters)
{
	struct mzp_ring ring;
	struct mzp_packet *packet;
	u32 in = 0, out = 0, round, i, n;

	init(&ring, size, counters);
	for (round = 0; round < 50; round++) {
		n = unit_random() % (size + 1);
		for (i = 0; i < n && in - out < size; i++) {
			packet = mzp_ring_room(&ring);
			assert_non_null(packet);
			packet->nr = ++in;
			/* not seen before it is published */
			assert_int_equal(mzp_ring_fill(&ring), in - 1 - out);
			mzp_ring_publish(&ring);
			assert_int_equal(mzp_ring_fill(&ring), in - out);
		}
		if (in - out == size)
			assert_null(mzp_ring_room(&ring));
		n = unit_random() % (size + 1);
		for (i = 0; i < n && in != out; i++) {
			packet = mzp_ring_first(&ring);
			assert_non_null(packet);
			/* looking does not consume */
			assert_ptr_equal(packet, mzp_ring_first(&ring));
			assert_int_equal(packet->nr, ++out);
			mzp_ring_release(&ring);
		}
		if (in == out)
			assert_null(mzp_ring_first(&ring));
	}
	mzp_ring_destroy(&ring);
	assert_null(ring.slot);
}

TEST(order_and_wrap)
{
	u32 size;

	for (size = 1; size <= 64; size *= 2) {
		fill_and_drain(size, 0);
		fill_and_drain(size, UINT32_MAX - 20);
	}
}

TEST(starved_producer_is_kicked_once)
{
	struct mzp_ring ring;

	init(&ring, 2, UINT32_MAX);
	assert_non_null(mzp_ring_room(&ring));
	mzp_ring_publish(&ring);
	assert_non_null(mzp_ring_room(&ring));
	mzp_ring_publish(&ring);
	/* full, but nobody asked for room */
	assert_false(mzp_ring_release(&ring));
	assert_non_null(mzp_ring_room(&ring));
	mzp_ring_publish(&ring);
	assert_null(mzp_ring_room(&ring));
	assert_true(mzp_ring_release(&ring));
	assert_false(mzp_ring_release(&ring));
	mzp_ring_destroy(&ring);
}

TEST(no_memory)
{
	struct mzp_ring ring = { 0 };

	shim_fail = 1;
	assert_int_equal(mzp_ring_init(&ring, 8), -ENOMEM);
	mzp_ring_destroy(&ring);
}

/* --- a producer and a consumer that sleep unless they are woken */

struct pair {
	struct mzp_ring ring;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool kicked;	/* the producer was told that there is room */
	u32 total;
};

static void kick(struct pair *pair)
{
	pthread_mutex_lock(&pair->lock);
	pair->kicked = true;
	pthread_cond_broadcast(&pair->changed);
	pthread_mutex_unlock(&pair->lock);
}

static void *produce(void *opaque)
{
	struct pair *pair = opaque;
	struct mzp_packet *packet;
	u32 i;

	for (i = 0; i < pair->total; i++) {
		while (!(packet = mzp_ring_room(&pair->ring))) {
			/* Only a kick gets us on: a lost one hangs the test. */
			pthread_mutex_lock(&pair->lock);
			while (!pair->kicked)
				pthread_cond_wait(&pair->changed, &pair->lock);
			pair->kicked = false;
			pthread_mutex_unlock(&pair->lock);
		}
		packet->nr = i;
		packet->buf[0].bv_len = ~i;
		packet->buf[MZP_WIRE_PAGES].bv_len = i * 3;
		mzp_ring_publish(&pair->ring);
	}
	return NULL;
}

static void two_threads(u32 size)
{
	struct pair pair = {
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
		.total = 200000,
	};
	struct mzp_packet *packet;
	pthread_t producer;
	u32 i;

	init(&pair.ring, size, UINT32_MAX - 1000);
	assert_int_equal(pthread_create(&producer, NULL, produce, &pair), 0);
	for (i = 0; i < pair.total; i++) {
		while (!(packet = mzp_ring_first(&pair.ring)))
			sched_yield();
		assert_int_equal(packet->nr, i);
		assert_int_equal(packet->buf[0].bv_len, ~i);
		assert_int_equal(packet->buf[MZP_WIRE_PAGES].bv_len, i * 3);
		/* what a producer that writes too early would be caught by */
		memset(packet, 0xdd, sizeof(packet->nr) + sizeof(packet->buf[0]));
		if (mzp_ring_release(&pair.ring))
			kick(&pair);
	}
	assert_int_equal(pthread_join(producer, NULL), 0);
	assert_null(mzp_ring_first(&pair.ring));
	mzp_ring_destroy(&pair.ring);
}

TEST(two_threads_one_slot)
{
	two_threads(1);
}

TEST(two_threads_eight_slots)
{
	two_threads(8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_and_wrap),
		cmocka_unit_test(starved_producer_is_kicked_once),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(two_threads_one_slot),
		cmocka_unit_test(two_threads_eight_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

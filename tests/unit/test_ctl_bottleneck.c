// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl: what a session waits for. */
#include "unit.h"

#include "ctl/bottleneck.h"

/* A session at work: a second old, half of its pages done, its ring half full. */
static struct ctl_session at_work(void)
{
	return (struct ctl_session) {
		.age = 1000000000, .jobs = 1, .jobs_unfinished = 1, .submitted = 2000,
		.count = { .normal = 1000, .packets = 8, .ring_packets = 4, .ring_size = 8 },
	};
}

TEST(slower_reader)
{
	struct ctl_session now = at_work();

	/* most bursts find a socket full */
	now.count.ring_full = 6;
	now.count.ring_empty = 10;
	assert_int_equal(ctl_bottleneck(&now, NULL), CTL_NETWORK);
	/* a slow network hides what is not quite as slow */
	now.count.waits = 9;
	now.count.throttled = 6;
	assert_int_equal(ctl_bottleneck(&now, NULL), CTL_NETWORK);
}

TEST(slower_cpus)
{
	struct ctl_session now = at_work();

	now.count.ring_full = 3;
	now.count.ring_empty = 10;
	assert_int_equal(ctl_bottleneck(&now, NULL), CTL_CPUS);
	/* neither was seen yet: how full the rings are decides */
	now.count.ring_full = 0;
	now.count.ring_empty = 0;
	assert_int_equal(ctl_bottleneck(&now, NULL), CTL_CPUS);
	now.count.ring_packets = 5;
	assert_int_equal(ctl_bottleneck(&now, NULL), CTL_NETWORK);
}

TEST(cpus_that_wait)
{
	struct ctl_session now = at_work();

	now.count.ring_empty = 10;
	now.count.waits = 5;
	assert_int_equal(ctl_bottleneck(&now, NULL), CTL_CPUS);
	now.count.waits = 6;
	assert_int_equal(ctl_bottleneck(&now, NULL), CTL_PAGES);
	now.count.throttled = 6;
	assert_int_equal(ctl_bottleneck(&now, NULL), CTL_RATE);
}

TEST(nothing_to_do)
{
	struct ctl_session now = { .age = 1 };

	assert_int_equal(ctl_bottleneck(&now, NULL), CTL_IDLE);
	now = at_work();
	now.count.ring_empty = 10;
	now.jobs_unfinished = 0;
	now.count.ring_packets = 0;
	assert_int_equal(ctl_bottleneck(&now, NULL), CTL_IDLE);
	/* all is done, but the reader has not got it yet */
	now.count.ring_packets = 1;
	assert_int_equal(ctl_bottleneck(&now, NULL), CTL_NETWORK);
}

TEST(only_what_happened_in_between)
{
	struct ctl_session before = at_work(), now;

	before.count.ring_full = 1000;
	now = before;
	now.age *= 2;
	now.count.normal += 500;
	now.count.packets += 4;
	now.count.ring_empty += 4;
	assert_int_equal(ctl_bottleneck(&now, NULL), CTL_NETWORK);
	assert_int_equal(ctl_bottleneck(&now, &before), CTL_CPUS);
	/* the job ended meanwhile, but there was work */
	now.jobs_unfinished = 0;
	assert_int_equal(ctl_bottleneck(&now, &before), CTL_CPUS);
	/* stuck: nothing is done, yet there is work */
	now = before;
	now.age *= 2;
	now.count.waits += 1;
	now.count.ring_packets = 0;
	assert_int_equal(ctl_bottleneck(&now, &before), CTL_PAGES);
	now.jobs_unfinished = 0;
	assert_int_equal(ctl_bottleneck(&now, &before), CTL_IDLE);
	/* at work, but so slowly that nothing was found in between: as since the beginning */
	before.count.ring_full = 0;
	before.count.ring_empty = 100;
	before.count.throttled = 90;
	before.count.ring_packets = 0;
	now = before;
	now.age += 1;
	now.count.normal += 1;
	assert_int_equal(ctl_bottleneck(&now, &before), CTL_RATE);
	/* but what lies there is not taken */
	now.count.ring_packets = now.count.ring_size;
	assert_int_equal(ctl_bottleneck(&now, &before), CTL_NETWORK);
}

TEST(limited_to_less_than_a_packet)
{
	struct ctl_session before = at_work(), now;

	/* it was the network, before there was a limit */
	before.count.ring_full = 1000;
	before.count.ring_empty = 1000;
	before.count.ring_packets = 0;
	before.channels = 2;
	before.packet_pages = 128;
	now = before;
	now.age += 500000000;
	assert_int_equal(ctl_bottleneck(&now, &before), CTL_NETWORK);
	/* in half a second, one packet of two channels */
	now.rate = 1 << 20;
	assert_int_equal(ctl_bottleneck(&now, &before), CTL_RATE);
	/* in which there would be more than one of each */
	now.rate = 4 << 20;
	assert_int_equal(ctl_bottleneck(&now, &before), CTL_NETWORK);
	/* what lies there is not taken */
	now.rate = 1 << 20;
	now.count.ring_packets = now.count.ring_size;
	assert_int_equal(ctl_bottleneck(&now, &before), CTL_NETWORK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slower_reader),
		cmocka_unit_test(slower_cpus),
		cmocka_unit_test(cpus_that_wait),
		cmocka_unit_test(nothing_to_do),
		cmocka_unit_test(only_what_happened_in_between),
		cmocka_unit_test(limited_to_less_than_a_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

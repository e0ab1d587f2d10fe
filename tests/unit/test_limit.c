// SPDX-License-Identifier: GPL-2.0-only
/* kmod/limit.c: never faster than the rate in the long run, nor much at once. */
#include "unit.h"

#include "shim/kernel.h"
#include "limit.h"

#define PACKET (512ull * 1024 + 1344)

static void start(struct mzp_limit *limit, u64 rate)
{
	shim_now = 1000 * NSEC_PER_SEC;
	memset(limit, 0, sizeof(*limit));
	mzp_limit_init(limit);
	mzp_limit_set(limit, &limit->own, rate);
}

/* Make packets for @ns, as soon as each may be made. Return: bytes. */
static u64 send_for(struct mzp_limit *limit, u64 ns, u64 packet)
{
	u64 end = shim_now + ns, sent = 0, until;

	while (shim_now < end) {
		until = mzp_limit_wait(limit);
		if (until) {
			assert_true(until > shim_now);
			shim_now = min(until, end);
			continue;
		}
		mzp_limit_charge(limit, packet);
		sent += packet;
		/* nothing takes no time */
		shim_now += 1000;
	}
	return sent;
}

TEST(none)
{
	struct mzp_limit limit;

	start(&limit, 0);
	assert_int_equal(mzp_limit_wait(&limit), 0);
	mzp_limit_charge(&limit, PACKET);
	assert_int_equal(mzp_limit_wait(&limit), 0);
}

TEST(long_run)
{
	static const u64 rates[] = { 100000, 1000000, 125000000, 1250000000 };
	struct mzp_limit limit;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rates); i++) {
		u64 sent;

		start(&limit, rates[i]);
		sent = send_for(&limit, 100 * NSEC_PER_SEC, PACKET);
		assert_true(sent <= rates[i] * 100 + PACKET);
		assert_true(sent + PACKET >= rates[i] * 100 * 99 / 100);
	}
}

/* After a pause, no more than a tenth of a second's bytes come at once. */
TEST(credit)
{
	const u64 rate = 100 * PACKET;
	struct mzp_limit limit;
	unsigned int packets = 0;

	start(&limit, rate);
	shim_now += 3600 * NSEC_PER_SEC;
	while (!mzp_limit_wait(&limit)) {
		mzp_limit_charge(&limit, PACKET);
		packets++;
	}
	assert_int_equal(packets, 11);
}

/* What several channels made at the same moment is waited for afterwards. */
TEST(debt)
{
	struct mzp_limit limit;
	unsigned int i;

	start(&limit, PACKET);
	for (i = 0; i < 8; i++)
		mzp_limit_charge(&limit, PACKET);
	assert_int_equal(mzp_limit_wait(&limit), shim_now + 8 * NSEC_PER_SEC);
}

TEST(changed)
{
	struct mzp_limit limit;

	start(&limit, 1);
	mzp_limit_charge(&limit, PACKET);
	assert_true(mzp_limit_wait(&limit) > shim_now + 500000 * NSEC_PER_SEC);
	/* what was owed at the old rate is forgiven */
	mzp_limit_set(&limit, &limit.own, 1000000);
	assert_int_equal(mzp_limit_wait(&limit), 0);
	mzp_limit_charge(&limit, PACKET);
	assert_true(mzp_limit_wait(&limit) > shim_now);
	mzp_limit_set(&limit, &limit.own, 0);
	assert_int_equal(mzp_limit_wait(&limit), 0);
	mzp_limit_charge(&limit, PACKET);
	assert_int_equal(mzp_limit_wait(&limit), 0);
}

/* Of the owner's limit and the administrator's, the lower one holds. */
TEST(the_lower_one)
{
	struct mzp_limit limit;

	start(&limit, 1000);
	mzp_limit_set(&limit, &limit.given, 2000);
	assert_int_equal(limit.rate, 1000);
	mzp_limit_set(&limit, &limit.own, 3000);
	assert_int_equal(limit.rate, 2000);
	mzp_limit_set(&limit, &limit.own, 0);
	assert_int_equal(limit.rate, 2000);
	mzp_limit_set(&limit, &limit.given, 0);
	assert_int_equal(limit.rate, 0);
}

/* The host's limits stand in for those that nobody has set. */
TEST(the_hosts)
{
	struct mzp_limit limit;

	start(&limit, 0);
	mzp_limit_set(&limit, &limit.preset, 1000);
	assert_int_equal(limit.rate, 1000);
	mzp_limit_set(&limit, &limit.own, 5000);
	assert_int_equal(limit.rate, 5000);
	mzp_limit_set(&limit, &limit.cap, 3000);
	assert_int_equal(limit.rate, 3000);
	mzp_limit_set(&limit, &limit.given, 4000);
	assert_int_equal(limit.rate, 4000);
	mzp_limit_set(&limit, &limit.own, 0);
	assert_int_equal(limit.rate, 1000);
	mzp_limit_set(&limit, &limit.preset, 0);
	assert_int_equal(limit.rate, 4000);
	mzp_limit_set(&limit, &limit.given, 0);
	assert_int_equal(limit.rate, 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none),
		cmocka_unit_test(long_run),
		cmocka_unit_test(credit),
		cmocka_unit_test(debt),
		cmocka_unit_test(changed),
		cmocka_unit_test(the_lower_one),
		cmocka_unit_test(the_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

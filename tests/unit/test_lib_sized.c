// SPDX-License-Identifier: GPL-2.0-only
/* libmfd: structures of programs that are older or newer than the library. */
#include "unit.h"

#include <errno.h>

#include "error.h"
#include "mfd_recv.h"
#include "sized.h"

/* what the library knows */
struct own {
	uint32_t size;
	uint32_t a;
	uint64_t b;
};

/* what a program of today, of the past and of the future knows */
struct older {
	uint32_t size;
	uint32_t a;
};

struct newer {
	uint32_t size;
	uint32_t a;
	uint64_t b;
	uint64_t c;
};

TEST(given)
{
	const struct own own = { .a = 1, .b = 2 };
	struct own same = { .size = sizeof(same) };
	struct newer newer = { .size = sizeof(newer), .c = 3 };
	struct {
		struct older older;
		uint64_t behind;
	} past = { .older.size = sizeof(past.older), .behind = 4 };

	assert_int_equal(mfd_sized_give(&same, &own, sizeof(own)), 0);
	assert_int_equal(same.size, sizeof(same));
	assert_int_equal(same.a, 1);
	assert_int_equal(same.b, 2);
	assert_int_equal(mfd_sized_give(&past.older, &own, sizeof(own)), 0);
	assert_int_equal(past.older.size, sizeof(past.older));
	assert_int_equal(past.older.a, 1);
	assert_int_equal(past.behind, 4);
	assert_int_equal(mfd_sized_give(&newer, &own, sizeof(own)), 0);
	assert_int_equal(newer.size, sizeof(newer));
	assert_int_equal(newer.b, 2);
	assert_int_equal(newer.c, 0);
}

TEST(taken)
{
	const struct own same = { .size = sizeof(same), .a = 1, .b = 2 };
	const struct older older = { .size = sizeof(older), .a = 1 };
	struct newer newer = { .size = sizeof(newer), .a = 1, .b = 2 };
	struct own own = { .b = 5 };

	assert_int_equal(mfd_sized_take(&own, sizeof(own), &older), 0);
	assert_int_equal(own.size, sizeof(own));
	assert_int_equal(own.a, 1);
	assert_int_equal(own.b, 0);
	assert_int_equal(mfd_sized_take(&own, sizeof(own), &same), 0);
	assert_int_equal(own.b, 2);
	/* what the library does not know must be what it would do anyway */
	assert_int_equal(mfd_sized_take(&own, sizeof(own), &newer), 0);
	assert_int_equal(own.b, 2);
	newer.c = 1;
	assert_int_equal(mfd_sized_take(&own, sizeof(own), &newer), -E2BIG);
}

TEST(without_a_size)
{
	static const uint32_t sizes[] = { 0, 1, 7, 4097, UINT32_MAX };
	struct own own = { .a = 1 }, theirs;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		theirs = (struct own) { .size = sizes[i], .a = 9 };
		assert_int_equal(mfd_sized_give(&theirs, &own, sizeof(own)), -EINVAL);
		assert_int_equal(theirs.a, 9);
		assert_int_equal(mfd_sized_take(&own, sizeof(own), &theirs), -EINVAL);
		assert_int_equal(own.a, 1);
	}
	assert_int_equal(mfd_sized_give(NULL, &own, sizeof(own)), -EINVAL);
	assert_int_equal(mfd_sized_take(&own, sizeof(own), NULL), -EINVAL);
}

/* The public ones begin with it, and have no hole that would show what is not theirs. */
#define PADLESS(type, last) \
	_Static_assert(offsetof(struct type, size) == 0 && \
		       offsetof(struct type, last) + sizeof(((struct type *)0)->last) == \
		       sizeof(struct type), #type)
PADLESS(mfd_error, text);
PADLESS(mfd_info, max_blocks);
PADLESS(mfd_progress, unacknowledged);
PADLESS(mfd_convergence, expected_downtime_ms);
PADLESS(mfd_params, tls);
PADLESS(mfd_round, ns);
PADLESS(mfd_compat, detection);
PADLESS(mfd_recv_progress, ns);
PADLESS(mfd_recv_channel_stats, bytes);
PADLESS(mfd_recv_packet, payload_size);
PADLESS(mfd_recv_params, tls);

TEST(an_error_without_a_size_is_left_alone)
{
	struct mfd_error err = { .code = 5, .text = "before" };

	assert_int_equal(mfd_error_set(&err, EBUSY, "after"), -EBUSY);
	mfd_error_prefix(&err, "in front");
	mfd_error_channel(&err, 1);
	mfd_error_of(&err, MFD_ERROR_PEER);
	mfd_error_page(&err, "ram", 4096);
	mfd_error_copy(&err, &MFD_ERROR_NONE);
	assert_int_equal(err.code, 5);
	assert_string_equal(err.text, "before");
	assert_int_equal(err.kind, 0);
	assert_int_equal(err.channel, 0);
	assert_string_equal(err.block, "");
}

TEST(errors_for_machines)
{
	struct mfd_error err = { .size = sizeof(err) }, copy = { .size = sizeof(copy) };

	mfd_error_set(&err, EINVAL, "wrong");
	assert_int_equal(err.kind, MFD_ERROR_USAGE);
	assert_int_equal(err.channel, -1);
	mfd_error_set(&err, EFAULT, "gone");
	assert_int_equal(err.kind, MFD_ERROR_MEMORY);
	mfd_error_page(&err, "ram0", 0x5000);
	mfd_error_channel(&err, 3);
	mfd_error_copy(&copy, &err);
	assert_int_equal(copy.kind, MFD_ERROR_MEMORY);
	assert_int_equal(copy.channel, 3);
	assert_string_equal(copy.block, "ram0");
	assert_int_equal(copy.offset, 0x5000);
	assert_string_equal(copy.text, "gone");
	/* the next one has nothing of it */
	mfd_error_set(&err, ECONNRESET, "reset");
	assert_int_equal(err.kind, MFD_ERROR_NETWORK);
	assert_int_equal(err.channel, -1);
	assert_string_equal(err.block, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(given),
		cmocka_unit_test(taken),
		cmocka_unit_test(without_a_size),
		cmocka_unit_test(an_error_without_a_size_is_left_alone),
		cmocka_unit_test(errors_for_machines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

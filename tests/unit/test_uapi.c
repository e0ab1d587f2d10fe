// SPDX-License-Identifier: GPL-2.0-only
/* The ioctl structures: no hidden padding, sizes that must never shrink or move. */
#include "unit.h"
#include "uapi_sizes.h"

#define LAST(type, member, length) \
	assert_int_equal(offsetof(struct type, member) + sizeof(((struct type *)0)->member), length)

TEST(size_comes_first)
{
	assert_int_equal(offsetof(struct mzp_info, size), 0);
	assert_int_equal(offsetof(struct mzp_setup, size), 0);
	assert_int_equal(offsetof(struct mzp_block_add, size), 0);
	assert_int_equal(offsetof(struct mzp_block_remove, size), 0);
	assert_int_equal(offsetof(struct mzp_channel_get, size), 0);
	assert_int_equal(offsetof(struct mzp_send, size), 0);
	assert_int_equal(offsetof(struct mzp_sync, size), 0);
	assert_int_equal(offsetof(struct mzp_wait, size), 0);
	assert_int_equal(offsetof(struct mzp_cancel, size), 0);
	assert_int_equal(offsetof(struct mzp_pump, size), 0);
	assert_int_equal(offsetof(struct mzp_status, size), 0);
	assert_int_equal(offsetof(struct mzp_wait_pending, size), 0);
	assert_int_equal(offsetof(struct mzp_end, size), 0);
	assert_int_equal(offsetof(struct mzp_inject, size), 0);
	assert_int_equal(offsetof(struct mzp_rate, size), 0);
}

/* Packed structures have the same size: all padding has a name. */
TEST(no_tail_padding)
{
	LAST(mzp_info, level_default, sizeof(struct mzp_info));
	LAST(mzp_setup, locked_bytes, sizeof(struct mzp_setup));
	LAST(mzp_block_add, offset, sizeof(struct mzp_block_add));
	LAST(mzp_block_remove, __reserved, sizeof(struct mzp_block_remove));
	LAST(mzp_channel_get, fd, sizeof(struct mzp_channel_get));
	LAST(mzp_send, pages, sizeof(struct mzp_send));
	LAST(mzp_sync, job_id, sizeof(struct mzp_sync));
	LAST(mzp_wait, absent, sizeof(struct mzp_wait));
	LAST(mzp_cancel, flags, sizeof(struct mzp_cancel));
	LAST(mzp_pump, __reserved, sizeof(struct mzp_pump));
	LAST(mzp_status, __reserved, sizeof(struct mzp_status));
	LAST(mzp_wait_pending, bytes, sizeof(struct mzp_wait_pending));
	LAST(mzp_end, flags, sizeof(struct mzp_end));
	LAST(mzp_inject, data, sizeof(struct mzp_inject));
	LAST(mzp_rate, rate, sizeof(struct mzp_rate));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(size_comes_first),
		cmocka_unit_test(no_tail_padding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

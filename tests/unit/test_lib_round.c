// SPDX-License-Identifier: GPL-2.0-only
/* libmfd: what the module is asked to send. */
#include "unit.h"

#include <errno.h>

#include "round.c"

#define PAGE 4096ul
#define PAGES 1000ul
#define BASE 0x7f0000000000ul

static struct mzp_send asked;

/* --- what a round needs of the others */

int mfd_session_expect(struct mfd_session *session, enum mfd_state state, const char *what,
		       struct mfd_error *err)
{
	(void)session, (void)state, (void)what, (void)err;
	return 0;
}

int mfd_session_result(struct mfd_session *session, int ret, const struct mfd_error *why,
		       struct mfd_error *err)
{
	(void)session, (void)why, (void)err;
	return ret;
}

int mfd_job_send(struct mfd_block *block, struct mzp_send *send, struct mfd_error *err)
{
	(void)block, (void)err;
	asked = *send;
	return 0;
}

int mfd_job_sync(struct mfd_session *session, bool round, struct mfd_error *err)
{
	(void)session, (void)round, (void)err;
	return 0;
}

int mfd_jobs_wait(struct mfd_session *session, struct mfd_error *err)
{
	(void)session, (void)err;
	return 0;
}

int mfd_session_refuse(int ret, const struct mfd_error *why, struct mfd_error *err)
{
	(void)why, (void)err;
	return ret;
}

int mfd_main_round(struct mfd_session *session, struct mfd_error *err)
{
	(void)session, (void)err;
	return 0;
}

int mfd_progress(struct mfd_session *session, struct mfd_progress *progress)
{
	(void)session, (void)progress;
	return 0;
}

/* --- tests */

/* Send [@first, @end) and [@from, @to), in bytes of the block: which pages are named? */
static void window(uint64_t first, uint64_t end, uint64_t from, uint64_t to, uint64_t page,
		   uint64_t count)
{
	struct mfd_session session = { .page_size = PAGE };
	struct mfd_block block = { .session = &session, .length = PAGES * PAGE };
	struct mfd_range ranges[] = { { BASE + first, BASE + end, 0 }, { BASE + from, BASE + to, 0 } };
	struct mfd_error error = { .size = sizeof(error) };

	assert_int_equal(mfd_send_ranges(&block, ranges, 2, BASE, 0, &error), 0);
	assert_int_equal(asked.nr_ranges, 2);
	assert_int_equal(asked.ranges_base, BASE);
	assert_int_equal(asked.first_page, page);
	assert_int_equal(asked.page_count, count);
}

/* The window is no longer than it must be, and all of it if that cannot be told. */
TEST(window_of_ranges)
{
	window(0, PAGE, 2 * PAGE, 3 * PAGE, 0, 3);
	window(500 * PAGE, 501 * PAGE, 700 * PAGE, 710 * PAGE, 500, 210);
	window(500 * PAGE, 501 * PAGE, 700 * PAGE, PAGES * PAGE, 500, 500);
	/* not aligned: nothing that is named is outside */
	window(500 * PAGE + 1, 501 * PAGE, 700 * PAGE, 710 * PAGE + 1, 500, 211);
	/* beyond the end, before the beginning, the wrong way round */
	window(500 * PAGE, 501 * PAGE, 700 * PAGE, (PAGES + 1) * PAGE, 0, PAGES);
	window(-PAGE, PAGE, 2 * PAGE, 3 * PAGE, 0, PAGES);
	window(0, PAGE, 2 * PAGE, -PAGE, 0, PAGES);
	window(500 * PAGE, 501 * PAGE, 2 * PAGE, 3 * PAGE, 0, PAGES);
	window(500 * PAGE, 501 * PAGE, 500 * PAGE, 500 * PAGE, 0, PAGES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(window_of_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

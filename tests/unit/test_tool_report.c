// SPDX-License-Identifier: GPL-2.0-only
/* The progress line: what fits, and what it says. */
#include "unit.h"

#include "report.h"

static const struct report report = {
	.program = "mfdsend", .total = 67108864, .byte_rate = 12.5e9, .page_rate = 1000,
};
static struct mfd_progress progress;
static char text[REPORT_LINE];

static const char *line(unsigned int columns, double left)
{
	report_line(text, columns, &report, &progress, left);
	return text;
}

static int reset(void **unused)
{
	(void)unused;
	progress = (struct mfd_progress) {
		.state = MFD_STATE_ACTIVE, .done = 33554432, .zero = 8388608,
	};
	return 0;
}

TEST(the_most_important_first)
{
	assert_string_equal(line(200, 1234),
			    "mfdsend: 50%, 12500 MB/s, 1234 s left, 25% zero, 33554432 of 67108864 pages");
	assert_string_equal(line(80, 1234),
			    "mfdsend: 50%, 12500 MB/s, 1234 s left, 25% zero, 33554432 of 67108864 pages");
	assert_string_equal(line(75, 1234), "mfdsend: 50%, 12500 MB/s, 1234 s left, 25% zero");
	assert_string_equal(line(40, 1234), "mfdsend: 50%, 12500 MB/s, 1234 s left");
	assert_string_equal(line(20, 1234), "mfdsend: 50%");
	assert_string_equal(line(5, 1234), "");
	assert_string_equal(line(1, 1234), "");
	assert_string_equal(line(0, 1234), "");
}

TEST(at_any_width)
{
	unsigned int columns;

	for (columns = 0; columns < 1000; columns++)
		assert_true(strlen(line(columns, 359999)) < (columns ? columns : 1));
}

TEST(what_is_not_known)
{
	assert_null(strstr(line(200, -1), "left"));
	/* it stands still */
	assert_null(strstr(line(200, 1e300), "left"));
}

TEST(all_is_said_when_it_is_over)
{
	progress.done = report.total;
	assert_non_null(strstr(line(80, 0), " 99%"));
	/* a guest that is written to is sent more than once */
	progress.done = report.total * 3;
	assert_non_null(strstr(line(80, 0), " 99%"));
	progress.state = MFD_STATE_COMPLETED;
	progress.done = 0;
	assert_non_null(strstr(line(80, 0), " 100%"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_most_important_first, reset),
		cmocka_unit_test_setup(at_any_width, reset),
		cmocka_unit_test_setup(what_is_not_known, reset),
		cmocka_unit_test_setup(all_is_said_when_it_is_over, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

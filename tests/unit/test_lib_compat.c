// SPDX-License-Identifier: GPL-2.0-only
/* libmfd: what each generation of QEMU asks for. */
#include "unit.h"

#include <errno.h>

#include "mfd.h"

static void check(const char *text, unsigned int major, unsigned int minor, enum mfd_flush flush,
		  enum mfd_detection best)
{
	struct mfd_error error = { .size = sizeof(error) };
	struct mfd_compat compat = { .size = sizeof(compat) }, same = { .size = sizeof(same) };

	assert_int_equal(mfd_compat_parse(&compat, text, &error), 0);
	assert_int_equal(compat.major, major);
	assert_int_equal(compat.minor, minor);
	assert_int_equal(compat.flush, flush);
	assert_int_equal(compat.detection, best);
	mfd_compat_version(&same, major, minor);
	assert_memory_equal(&compat, &same, sizeof(same));

	assert_int_equal(mfd_compat_detection(&compat, MFD_DETECTION_NONE, &error), 0);
	assert_int_equal(mfd_compat_detection(&compat, MFD_DETECTION_LEGACY, &error), 0);
	if (best == MFD_DETECTION_MULTIFD) {
		assert_int_equal(mfd_compat_detection(&compat, MFD_DETECTION_MULTIFD, &error), 0);
		return;
	}
	assert_int_equal(mfd_compat_detection(&compat, MFD_DETECTION_MULTIFD, &error),
			 -EOPNOTSUPP);
	assert_int_equal(error.code, EOPNOTSUPP);
	assert_non_null(strstr(error.text, "zero pages"));
	assert_int_equal(mfd_compat_detection(&compat, MFD_DETECTION_MULTIFD, NULL),
			 -EOPNOTSUPP);
}

TEST(generations)
{
	check("4.0", 4, 0, MFD_FLUSH_SECTION, MFD_DETECTION_LEGACY);
	check("7.2", 7, 2, MFD_FLUSH_SECTION, MFD_DETECTION_LEGACY);
	check("8.0", 8, 0, MFD_FLUSH_SECTION, MFD_DETECTION_LEGACY);
	check("8.1", 8, 1, MFD_FLUSH_ROUND, MFD_DETECTION_LEGACY);
	check("8.2", 8, 2, MFD_FLUSH_ROUND, MFD_DETECTION_LEGACY);
	check("9.0", 9, 0, MFD_FLUSH_ROUND, MFD_DETECTION_MULTIFD);
	check("10.0", 10, 0, MFD_FLUSH_ROUND, MFD_DETECTION_MULTIFD);
	check("11.1", 11, 1, MFD_FLUSH_ROUND, MFD_DETECTION_MULTIFD);
}

TEST(nonsense)
{
	static const char *const wrong[] = {
		"", "8", "8.", ".2", "8.x", "x.2", "8.2.1", "8.2 ", " 8.2", "-8.2", "8.-2", "+8.2",
		"8,2", "99999999999999.0", "v8.2", "8..2",
	};
	struct mfd_compat compat = { .size = sizeof(compat) };
	struct mfd_error error = { .size = sizeof(error) };
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		error = (struct mfd_error) { .size = sizeof(error) };
		if (mfd_compat_parse(&compat, wrong[i], &error) != -EINVAL)
			fail_msg("'%s' was taken", wrong[i]);
		assert_int_equal(error.code, EINVAL);
		assert_true(error.text[0]);
	}
	assert_int_equal(mfd_compat_parse(&compat, "3.1", &error), -EOPNOTSUPP);
	assert_int_equal(mfd_compat_parse(&compat, "nonsense", NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(generations),
		cmocka_unit_test(nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

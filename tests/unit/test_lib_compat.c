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

/* A QEMU 10.1 of that type is like MAJOR.MINOR. */
static void check_machine(const char *machine, unsigned int major, unsigned int minor)
{
	struct mfd_compat compat = { .size = sizeof(compat) }, same = { .size = sizeof(same) };
	struct mfd_error error = { .size = sizeof(error) };

	if (mfd_compat_machine(&compat, machine, 10, 1, &error))
		fail_msg("%s", error.text);
	mfd_compat_version(&same, major, minor);
	if (memcmp(&compat, &same, sizeof(same)))
		fail_msg("%s is not like %u.%u but %u.%u", machine, major, minor, compat.major,
			 compat.minor);
}

TEST(own_machines)
{
	check_machine("pc-q35-8.0", 8, 0);
	check_machine("pc-i440fx-9.1", 9, 1);
	check_machine("pc-q35-4.0.1", 4, 0);
	check_machine("pc-i440fx-2.12", 2, 12);
	check_machine("pc-1.0", 1, 0);
	check_machine("virt-10.0", 10, 0);
	check_machine("pseries-8.1", 8, 1);
	check_machine("pseries-2.12-sxxm", 2, 12);
	check_machine("s390-ccw-virtio-9.0", 9, 0);
	check_machine("xenfv-4.2", 4, 2);
	/* these have no version */
	check_machine("none", 10, 1);
	check_machine("microvm", 10, 1);
	check_machine("isapc", 10, 1);
	check_machine("virt", 10, 1);
}

TEST(machines_of_distributions)
{
	check_machine("pc-q35-rhel7.6.0", 2, 12);
	check_machine("pc-i440fx-rhel7.6.0", 2, 12);
	check_machine("pseries-rhel7.6.0-sxxm", 2, 12);
	check_machine("pc-q35-rhel8.6.0", 6, 2);
	check_machine("pc-q35-rhel9.2.0", 7, 2);
	check_machine("pc-q35-rhel9.4.0", 8, 2);
	check_machine("virt-rhel9.6.0", 9, 1);
	check_machine("s390-ccw-virtio-rhel10.0.0", 9, 1);
	check_machine("pc-i440fx-jammy", 6, 2);
	check_machine("pc-q35-jammy-hpb", 6, 2);
	check_machine("pc-q35-mantic-hpb-maxcpus", 8, 0);
	check_machine("pc-i440fx-noble-v2", 8, 2);
	check_machine("pseries-bionic-sxxm", 2, 11);
	check_machine("s390-ccw-virtio-resolute", 10, 2);
}

TEST(unknown_machines)
{
	static const char *const unknown[] = {
		"", "pc", "q35", "pc-q35", "pc-q35-", "pc-q35-acme", "pc-q35-acme9.2", "acme-9.2",
		"acme-pc-q35-9.2", "pc-q35-9", "pc-q35-9.", "pc-q35-9.2.", "pc-q35-9.2x",
		"pc-q35-9.2-acme", "pc-q35-9.2+acme1", "pc-q35-v9.2", "pc-q35--9.2", "pc-q35- 9.2",
		"pc-q35-1234.5", "pc-q35-rhel9.3.0", "pc-q35-rhel9.2", "pc-q35-rhel9.2.0.1",
		"pc-q35-rhel9.2.0-acme", "pc-q35-rhel", "rhel9.2.0", "pc-i440fx-jamm",
		"pc-i440fx-jammyx", "pc-i440fx-jammy-", "pc-i440fx-jammy-acme", "jammy", "none-9.2",
		"microvm-9.2", "None",
	};
	struct mfd_compat compat = { .size = sizeof(compat) };
	struct mfd_error error = { .size = sizeof(error) };
	size_t i;

	for (i = 0; i < sizeof(unknown) / sizeof(*unknown); i++) {
		error.text[0] = '\0';
		if (mfd_compat_machine(&compat, unknown[i], 10, 1, &error) != -ENOENT)
			fail_msg("'%s' was taken", unknown[i]);
		assert_non_null(strstr(error.text, unknown[i]));
	}
	/* as new as nobody knows what */
	assert_int_equal(mfd_compat_machine(&compat, "none", 0, 0, &error), -ENOENT);
	assert_int_equal(mfd_compat_machine(&compat, NULL, 10, 1, &error), -EINVAL);
	compat.size = 0;
	assert_int_equal(mfd_compat_machine(&compat, "none", 10, 1, &error), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(generations),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(own_machines),
		cmocka_unit_test(machines_of_distributions),
		cmocka_unit_test(unknown_machines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

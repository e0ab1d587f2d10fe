// SPDX-License-Identifier: GPL-2.0-only
/* libmfd: addresses, UUIDs and error texts. */
#include "unit.h"

#include <errno.h>

#include "address.h"
#include "error.h"

TEST(addresses)
{
	struct mfd_address address;
	char text[200];

	assert_int_equal(mfd_address_parse(&address, "tcp:127.0.0.1:4444", NULL), 0);
	assert_false(address.local);
	assert_string_equal(address.host, "127.0.0.1");
	assert_string_equal(address.port, "4444");
	assert_int_equal(mfd_address_parse(&address, "tcp:[::1]:4444", NULL), 0);
	assert_string_equal(address.host, "::1");
	assert_string_equal(address.port, "4444");
	assert_int_equal(mfd_address_parse(&address, "tcp::4444", NULL), 0);
	assert_string_equal(address.host, "");
	assert_int_equal(mfd_address_parse(&address, "tcp:some.host:service", NULL), 0);
	assert_string_equal(address.port, "service");
	assert_int_equal(mfd_address_parse(&address, "unix:/run/a:b,c", NULL), 0);
	assert_true(address.local);
	assert_string_equal(address.path, "/run/a:b,c");

	/* the longest path fits, one more does not */
	memset(text, 'x', sizeof(text));
	memcpy(text, "unix:/", 6);
	text[5 + 107] = '\0';
	assert_int_equal(mfd_address_parse(&address, text, NULL), 0);
	assert_int_equal(strlen(address.path), 107);
	text[5 + 107] = 'x';
	text[5 + 108] = '\0';
	assert_int_equal(mfd_address_parse(&address, text, NULL), -ENAMETOOLONG);
}

TEST(wrong_addresses)
{
	static const char *const wrong[] = {
		"", "tcp", "tcp:", "tcp:host", "tcp:host:", "tcp:::1:4444", "tcp:[::1]4444",
		"tcp:[::1:4444", "tcp:host:1:2", "unix", "unix:", "udp:host:1", "host:4444",
		"/run/socket", " tcp:host:1",
	};
	struct mfd_address address;
	struct mfd_error error = { .size = sizeof(error) };
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		error = MFD_ERROR_NONE;
		if (mfd_address_parse(&address, wrong[i], &error) != -EINVAL)
			fail_msg("'%s' was taken", wrong[i]);
		assert_int_equal(error.code, EINVAL);
		assert_null(strchr(error.text, '\n'));
	}
}

TEST(too_long_addresses)
{
	struct mfd_address address;
	struct mfd_error error = { .size = sizeof(error) };
	char text[5000];

	memset(text, 'h', sizeof(text));
	memcpy(text, "tcp:", 4);
	memcpy(text + 4000, ":1", 3);
	assert_int_equal(mfd_address_parse(&address, text, &error), -ENAMETOOLONG);
	memset(text, '1', sizeof(text));
	memcpy(text, "tcp:h:", 6);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(mfd_address_parse(&address, text, &error), -ENAMETOOLONG);
	text[0] = 'x';
	assert_int_equal(mfd_address_parse(&address, text, &error), -EINVAL);
	assert_true(strlen(error.text) < sizeof(error.text));
}

TEST(uuids)
{
	static const uint8_t expected[16] = {
		0x6f, 0x2e, 0x60, 0xcc, 0x3e, 0xc4, 0x4c, 0x3d,
		0x8c, 0xe2, 0x8b, 0x0d, 0x5f, 0x4d, 0xbb, 0x39
	};
	static const char *const wrong[] = {
		"", "6f2e60cc", "6f2e60cc-3ec4-4c3d-8ce2-8b0d5f4dbb3", "hello",
		"6f2e60cc-3ec4-4c3d-8ce2-8b0d5f4dbb3g", "6f2e60cc-3ec4-4c3d-8ce2-8b0d5f4dbb3900",
		"6f2e-60cc-3ec4-4c3d-8ce2-8b0d5f4dbb39", "6f2e60cc--3ec4-4c3d-8ce2-8b0d5f4dbb39",
	};
	uint8_t uuid[16];
	size_t i;

	assert_int_equal(mfd_uuid_parse(uuid, "6f2e60cc-3ec4-4c3d-8ce2-8b0d5f4dbb39", NULL), 0);
	assert_memory_equal(uuid, expected, 16);
	memset(uuid, 0, 16);
	assert_int_equal(mfd_uuid_parse(uuid, "6F2E60CC3EC44C3D8CE28B0D5F4DBB39", NULL), 0);
	assert_memory_equal(uuid, expected, 16);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (mfd_uuid_parse(uuid, wrong[i], NULL) != -EINVAL)
			fail_msg("'%s' was taken", wrong[i]);
	/* what was there before stays */
	assert_memory_equal(uuid, expected, 16);
}

TEST(errors)
{
	struct mfd_error error = { .size = sizeof(error) };
	char text[1000];

	assert_int_equal(mfd_error_set(&error, EBUSY, "%s %d", "number", 5), -EBUSY);
	assert_int_equal(error.code, EBUSY);
	assert_string_equal(error.text, "number 5");
	assert_int_equal(mfd_error_errno(&error, ENOENT, "/dev/x"), -ENOENT);
	assert_string_equal(error.text, "/dev/x: No such file or directory");
	assert_int_equal(mfd_error_set(NULL, EBUSY, "nobody listens"), -EBUSY);
	assert_int_equal(mfd_error_errno(NULL, EBUSY, "nobody listens"), -EBUSY);
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(mfd_error_errno(&error, ENOENT, "%s", text), -ENOENT);
	assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(wrong_addresses),
		cmocka_unit_test(too_long_addresses),
		cmocka_unit_test(uuids),
		cmocka_unit_test(errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

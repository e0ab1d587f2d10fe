// SPDX-License-Identifier: GPL-2.0-only
/* libmfd: addresses, UUIDs and error texts. */
#include "unit.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <sys/un.h>

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

TEST(ports)
{
	static const char *const right[] = { "1", "80", "65535", "0080", "http", "x11-1", "3com-tsmux" };
	static const char *const wrong[] = {
		"65536", "69982", "22222222", "4294967297", "99999999999999999999", "-1", "+80", " 80",
		"80 ", "8.0", "-", "ht tp", "http\n", "\xe9t\xe9",
	};
	struct mfd_address address;
	struct mfd_error error = { .size = sizeof(error) };
	char text[64];
	size_t i;

	for (i = 0; i < sizeof(right) / sizeof(*right); i++) {
		snprintf(text, sizeof(text), "tcp:host:%s", right[i]);
		if (mfd_address_parse(&address, text, &error))
			fail_msg("%s", error.text);
		assert_string_equal(address.port, right[i]);
		assert_false(address.any_port);
		assert_int_equal(mfd_address_check(text, NULL), 0);
	}
	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		snprintf(text, sizeof(text), "tcp:host:%s", wrong[i]);
		if (mfd_address_parse(&address, text, &error) != -EINVAL)
			fail_msg("port '%s' was taken", wrong[i]);
		if (!strstr(error.text, "65535"))
			fail_msg("'%s' for port '%s'", error.text, wrong[i]);
	}
	/* only a listener may leave it to the system */
	assert_int_equal(mfd_address_parse(&address, "tcp::0", NULL), 0);
	assert_true(address.any_port);
	assert_int_equal(mfd_address_parse(&address, "tcp::000", NULL), 0);
	assert_true(address.any_port);
	assert_int_equal(mfd_address_reachable(&address, NULL), -EINVAL);
	assert_int_equal(mfd_address_check("tcp:host:0", &error), -EINVAL);
	assert_non_null(strstr(error.text, "tcp:host:0"));
}

TEST(abstract_addresses)
{
	struct mfd_address address;
	struct mfd_endpoint endpoint;
	const struct sockaddr_un *un = (const struct sockaddr_un *)&endpoint.addr;
	char text[200];

	assert_int_equal(mfd_address_parse(&address, "unix:@name", NULL), 0);
	assert_true(address.local && address.abstract);
	assert_true(mfd_address_endpoint(&address, &endpoint));
	assert_int_equal(endpoint.size, offsetof(struct sockaddr_un, sun_path) + 5);
	assert_int_equal(un->sun_family, AF_UNIX);
	assert_memory_equal(un->sun_path, "\0name", 5);

	assert_int_equal(mfd_address_parse(&address, "unix:./@name", NULL), 0);
	assert_false(address.abstract);
	assert_true(mfd_address_endpoint(&address, &endpoint));
	assert_string_equal(un->sun_path, "./@name");

	/* the longest one fills the structure to its end */
	memset(text, 'x', sizeof(text));
	memcpy(text, "unix:@", 6);
	text[6 + 107] = '\0';
	assert_int_equal(mfd_address_parse(&address, text, NULL), 0);
	assert_true(mfd_address_endpoint(&address, &endpoint));
	assert_int_equal(endpoint.size, sizeof(*un));
	assert_int_equal(un->sun_path[107], 'x');
	text[6 + 107] = 'x';
	text[6 + 108] = '\0';
	assert_int_equal(mfd_address_parse(&address, text, NULL), -ENAMETOOLONG);
}

TEST(vsock_addresses)
{
	struct mfd_address address;
	struct mfd_endpoint endpoint;
	const struct sockaddr_vm *vm = (const struct sockaddr_vm *)&endpoint.addr;

	assert_int_equal(mfd_address_parse(&address, "vsock:3:4444", NULL), 0);
	assert_true(address.vsock);
	assert_true(mfd_address_endpoint(&address, &endpoint));
	assert_int_equal(vm->svm_family, AF_VSOCK);
	assert_int_equal(vm->svm_cid, 3);
	assert_int_equal(vm->svm_port, 4444);
	assert_int_equal(endpoint.size, sizeof(*vm));
	/* more ports than TCP has */
	assert_int_equal(mfd_address_parse(&address, "vsock:2:4294967294", NULL), 0);
	assert_int_equal(mfd_address_check("vsock:2:4294967294", NULL), 0);
	assert_int_equal(mfd_address_check("vsock:2:4294967295", NULL), -EINVAL);

	assert_int_equal(mfd_address_parse(&address, "tcp:host:1", NULL), 0);
	assert_false(mfd_address_endpoint(&address, &endpoint));
}

TEST(one_descriptor)
{
	struct mfd_error error = { .size = sizeof(error) };

	assert_int_equal(mfd_address_check("fd:7", &error), -EINVAL);
	assert_non_null(strstr(error.text, "one more for each channel"));
}

TEST(no_address)
{
	struct mfd_error error = { .size = sizeof(error) };

	assert_int_equal(mfd_address_check(NULL, &error), -EINVAL);
	assert_int_equal(error.code, EINVAL);
}

TEST(wrong_addresses)
{
	static const char *const wrong[] = {
		"", "tcp", "tcp:", "tcp:host", "tcp:host:", "tcp:::1:4444", "tcp:[::1]4444",
		"tcp:[::1:4444", "tcp:host:1:2", "unix", "unix:", "udp:host:1", "host:4444",
		"/run/socket", " tcp:host:1", "unix:@", "vsock:", "vsock:3", "vsock:3:", "vsock::1",
		"vsock:host:1", "vsock:3:http", "vsock:3:1:2", "vsock:4294967296:1",
		"vsock:3:4294967296", "vsock:-1:1", "vsock:00000000000000003:1", "fd:7", "fd:",
		"exec:cat", "file:x", "TCP:host:1",
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
		cmocka_unit_test(ports),
		cmocka_unit_test(abstract_addresses),
		cmocka_unit_test(vsock_addresses),
		cmocka_unit_test(one_descriptor),
		cmocka_unit_test(no_address),
		cmocka_unit_test(wrong_addresses),
		cmocka_unit_test(too_long_addresses),
		cmocka_unit_test(uuids),
		cmocka_unit_test(errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

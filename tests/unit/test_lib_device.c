// SPDX-License-Identifier: GPL-2.0-only
/* libmfd: what the module's errors mean to programs. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

/* what the system says to the file that is tested */
static int says;

static int no_open(const char *path, int flags)
{
	(void)path, (void)flags;
	errno = says;
	return -1;
}

static int no_ioctl(int fd, unsigned long command, void *argument)
{
	(void)fd, (void)command, (void)argument;
	errno = says;
	return -1;
}

#define open no_open
#define ioctl no_ioctl
#include "device.c"

static struct mfd_session session;

static void opening(int code, int ret, enum mfd_error_kind kind)
{
	struct mfd_error err = { .size = sizeof(err) };

	says = code;
	assert_int_equal(mfd_device_open(&session, NULL, &err), -ret);
	assert_int_equal(err.code, ret);
	assert_int_equal(err.kind, kind);
	assert_true(strstr(err.text, "/dev/multifd_zp: "));
}

TEST(device_is_not_there)
{
	opening(ENOENT, ENOENT, MFD_ERROR_MODULE);
	opening(ENXIO, ENOENT, MFD_ERROR_MODULE);
	opening(ENODEV, ENOENT, MFD_ERROR_MODULE);
	opening(EACCES, EACCES, MFD_ERROR_MODULE);
	opening(EPERM, EACCES, MFD_ERROR_MODULE);
	opening(EMFILE, EMFILE, MFD_ERROR_RESOURCE);
	opening(ENOMEM, ENOMEM, MFD_ERROR_RESOURCE);
}

static void calling(unsigned long command, int code, enum mfd_error_kind kind)
{
	struct mfd_error err = { .size = sizeof(err) };

	says = code;
	assert_int_equal(mfd_device_call(&session, command, NULL, &err), -code);
	assert_int_equal(err.code, code);
	assert_int_equal(err.kind, kind);
	assert_true(err.text[0]);
}

TEST(device_says_no)
{
	calling(MZP_IOC_END, ENOTTY, MFD_ERROR_MODULE);
	calling(MZP_IOC_SETUP, E2BIG, MFD_ERROR_MODULE);
	calling(MZP_IOC_BLOCK_ADD, EOPNOTSUPP, MFD_ERROR_MODULE);
	calling(MZP_IOC_SETUP, EINVAL, MFD_ERROR_USAGE);
	calling(MZP_IOC_BLOCK_ADD, EEXIST, MFD_ERROR_USAGE);
	calling(MZP_IOC_SETUP, ENOMEM, MFD_ERROR_RESOURCE);
	calling(MZP_IOC_WAIT, ECANCELED, MFD_ERROR_CANCELED);
	calling(MZP_IOC_SETUP, EUSERS, MFD_ERROR_RESOURCE);
	calling(MZP_IOC_SEND, EIO, MFD_ERROR_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(device_is_not_there),
		cmocka_unit_test(device_says_no),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

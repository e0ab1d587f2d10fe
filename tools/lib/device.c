// SPDX-License-Identifier: LGPL-2.1-or-later
/* /dev/multifd_zp, and what its errors mean to people. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/multifd_zp.h>

#include "device.h"
#include "error.h"

#define DEVICE "/dev/multifd_zp"

struct meaning {
	unsigned long command;	/* 0: any */
	int code;
	const char *text;
};

static const struct meaning meanings[] = {
	{ MZP_IOC_SETUP, EBUSY, "the session has been set up before" },
	{ MZP_IOC_SETUP, ESHUTDOWN,
	  "an administrator lets no migration begin on this host now (mfdctl drain)" },
	{ MZP_IOC_SETUP, EUSERS,
	  "as many migrations are under way as an administrator allows (mfdctl host)" },
	{ MZP_IOC_SETUP, EINVAL, "a parameter is out of range, or no CPU of the mask exists" },
	{ MZP_IOC_BLOCK_ADD, EEXIST, "there is a block of that name already" },
	{ MZP_IOC_BLOCK_ADD, ENOSPC, "too many blocks" },
	{ MZP_IOC_BLOCK_ADD, EINVAL,
	  "the name must have 1 to 255 bytes, address and length must be multiples of the page size" },
	{ MZP_IOC_BLOCK_ADD, EOVERFLOW, "it reaches beyond the end of memory" },
	{ MZP_IOC_SEND, ERANGE, "the pages reach beyond the end of the block" },
	{ MZP_IOC_SEND, EINVAL, "ranges must be page-aligned, ascending and not empty" },
	{ MZP_IOC_SEND, EFAULT, "the bitmap or the ranges cannot be read" },
	{ MZP_IOC_BLOCK_REMOVE, EBUSY, "pages of it are still to be sent" },
	{ MZP_IOC_WAIT_PENDING, ETIMEDOUT, "there is more than that for longer" },
	{ MZP_IOC_END, ENOTRECOVERABLE, "a page could not be sent, so it is not complete" },
	{ 0, ECANCELED, "the session was cancelled" },
	{ 0, EIO, "the session belongs to another process, or its compressor has failed" },
	{ 0, ENXIO, "the session has not been set up" },
	{ 0, ENOTTY, "the loaded multifd_zp.ko is too old for this program" },
	{ 0, E2BIG, "the loaded multifd_zp.ko is too old for this program" },
	{ 0, EOPNOTSUPP, "the loaded multifd_zp.ko does not support this" },
};

static const char *const commands[] = {
	[MZP_CMD_INFO] = "cannot ask the kernel module",
	[MZP_CMD_SETUP] = "cannot set up the session",
	[MZP_CMD_BLOCK_ADD] = "cannot add the block",
	[MZP_CMD_BLOCK_REMOVE] = "cannot remove the block",
	[MZP_CMD_CHANNEL] = "cannot open the channel",
	[MZP_CMD_SEND] = "cannot send pages",
	[MZP_CMD_SYNC] = "cannot synchronise the channels",
	[MZP_CMD_WAIT] = "cannot wait for pages to be sent",
	[MZP_CMD_CANCEL] = "cannot cancel",
	[MZP_CMD_PUMP] = "cannot send packets",
	[MZP_CMD_STATUS] = "cannot ask how far it is",
	[MZP_CMD_WAIT_PENDING] = "cannot wait for what is pending",
	[MZP_CMD_END] = "cannot end the stream",
	[MZP_CMD_INJECT] = "cannot put bytes in between",
	[MZP_CMD_RATE] = "cannot limit the bandwidth",
};

static const char *meaning_of(unsigned long command, int code)
{
	unsigned int i;

	for (i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (meanings[i].code == code &&
		    (!meanings[i].command || meanings[i].command == command))
			return meanings[i].text;
	return NULL;
}

/* Calls that the module does not know, or not with what is wanted of them. */
static bool is_too_old(int code)
{
	return code == ENOTTY || code == E2BIG || code == EOPNOTSUPP;
}

static int call(int fd, unsigned long command, void *argument, struct mfd_error *err)
{
	const char *what = commands[_IOC_NR(command)], *why;
	int code;

	if (!ioctl(fd, command, argument))
		return 0;
	code = errno;
	why = meaning_of(command, code);
	if (!why)
		return mfd_error_errno(err, code, "%s", what);
	mfd_error_set(err, code, "%s: %s", what, why);
	if (is_too_old(code))
		mfd_error_of(err, MFD_ERROR_MODULE);
	return -code;
}

int mfd_device_call(struct mfd_session *session, unsigned long command, void *argument,
		    struct mfd_error *err)
{
	return call(session->dev, command, argument, err);
}

int mfd_device_pump(int channel, struct mzp_pump *pump, struct mfd_error *err)
{
	return call(channel, MZP_IOC_PUMP, pump, err);
}

static int open_error(const char *path, int code, struct mfd_error *err)
{
	switch (code) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		mfd_error_set(err, ENOENT,
			      "%s: the kernel module is not loaded: modprobe multifd_zp, or insmod multifd_zp.ko (as root)",
			      path);
		mfd_error_of(err, MFD_ERROR_MODULE);
		return -ENOENT;
	case EACCES:
	case EPERM:
		mfd_error_set(err, EACCES,
			      "%s: permission denied: be root or in its group, kvm", path);
		mfd_error_of(err, MFD_ERROR_MODULE);
		return -EACCES;
	case EMFILE:
		return mfd_error_set(err, EMFILE,
				     "%s: this process has too many open files, or this user too many sessions",
				     path);
	default:
		return mfd_error_errno(err, code, "%s", path);
	}
}

int mfd_device_open(struct mfd_session *session, const char *path, struct mfd_error *err)
{
	if (!path)
		path = DEVICE;
	session->dev = open(path, O_RDWR | O_CLOEXEC);
	return session->dev < 0 ? open_error(path, errno, err) : 0;
}

void mfd_device_close(struct mfd_session *session)
{
	int dev;

	pthread_mutex_lock(&session->lock);
	dev = session->dev;
	session->dev = -1;
	pthread_mutex_unlock(&session->lock);
	if (dev >= 0)
		close(dev);
}

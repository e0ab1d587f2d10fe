/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_DEVICE_H
#define MFD_PRIVATE_DEVICE_H

#include "session.h"

struct mzp_pump;

/* @path: NULL for the usual one. */
int mfd_device_open(struct mfd_session *session, const char *path, struct mfd_error *err);

/* Any number of times. */
void mfd_device_close(struct mfd_session *session);

/*
 * One ioctl of the session. @argument's size member is set. Never restarted:
 * EINTR is the caller's business. Return: 0 or a negative errno, with the text
 * that people need in *@err.
 */
int mfd_device_call(struct mfd_session *session, unsigned long command, void *argument,
		    struct mfd_error *err);

/* The same with PUMP, which is a channel's and not the session's. */
int mfd_device_pump(int channel, struct mzp_pump *pump, struct mfd_error *err);

#endif /* MFD_PRIVATE_DEVICE_H */

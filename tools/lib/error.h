/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_ERROR_H
#define MFD_PRIVATE_ERROR_H

#include "mfd.h"

/*
 * Fill in @err, which may be NULL, and return -@code. @code is a positive
 * errno.
 */
int mfd_error_set(struct mfd_error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * The same for an error that came as an errno: ": " and its text are appended.
 */
int mfd_error_errno(struct mfd_error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Put something in front of the text that *@err, which may be NULL, has
 * already.
 */
void mfd_error_prefix(struct mfd_error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif /* MFD_PRIVATE_ERROR_H */

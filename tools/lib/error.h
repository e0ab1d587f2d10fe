/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_ERROR_H
#define MFD_PRIVATE_ERROR_H

#include "mfd.h"

/* An error of the library's own, that nothing is known of yet. */
#define MFD_ERROR_NONE ((struct mfd_error) { .size = sizeof(struct mfd_error), .channel = -1 })

/*
 * Fill in @err, which may be NULL, and return -@code. @code is a positive
 * errno, from which follows whose error it is, unless mfd_error_of() says better.
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

/* Say whose error *@err, which may be NULL, is. */
void mfd_error_of(struct mfd_error *err, enum mfd_error_kind kind);

/* Say which channel's error it is. */
void mfd_error_channel(struct mfd_error *err, unsigned int channel);

/* Say which page's error it is, of the block of that name. */
void mfd_error_page(struct mfd_error *err, const char *block, uint64_t offset);

/* Give the caller @err, which may be NULL, a copy of @from. */
void mfd_error_copy(struct mfd_error *err, const struct mfd_error *from);

#endif /* MFD_PRIVATE_ERROR_H */

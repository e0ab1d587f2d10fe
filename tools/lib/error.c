// SPDX-License-Identifier: LGPL-2.1-or-later
/* Errors as values: a code for programs, a sentence for people. */
/* strerror_r(3) has two forms; with this, C libraries agree on POSIX's. */
#undef _GNU_SOURCE
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "sized.h"

/* Can @err, which may be a caller's, be filled in? */
static bool wanted(const struct mfd_error *err)
{
	return err && err->size >= sizeof(*err);
}

/* Whose an error usually is. */
static enum mfd_error_kind kind_of(int code)
{
	switch (code) {
	case EINVAL:
	case ERANGE:
	case EEXIST:
	case EBADF:
	case EBUSY:
	case ENAMETOOLONG:
	case E2BIG:
	case ECHILD:
		return MFD_ERROR_USAGE;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case ENOSPC:
	case EAGAIN:
	case EUSERS:
		return MFD_ERROR_RESOURCE;
	case EFAULT:
	case EHWPOISON:
		return MFD_ERROR_MEMORY;
	case EPIPE:
	case ECONNRESET:
	case ECONNREFUSED:
	case ECONNABORTED:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EADDRINUSE:
	case EADDRNOTAVAIL:
		return MFD_ERROR_NETWORK;
	case EPROTO:
		return MFD_ERROR_PEER;
	case ETIMEDOUT:
		return MFD_ERROR_TIMEOUT;
	case ECANCELED:
		return MFD_ERROR_CANCELED;
	}
	return MFD_ERROR_OTHER;
}

static void begin(struct mfd_error *err, int code, const char *format, va_list args)
{
	*err = MFD_ERROR_NONE;
	err->code = code;
	err->kind = kind_of(code);
	vsnprintf(err->text, sizeof(err->text), format, args);
}

int mfd_error_set(struct mfd_error *err, int code, const char *format, ...)
{
	va_list args;

	if (wanted(err)) {
		va_start(args, format);
		begin(err, code, format, args);
		va_end(args);
	}
	return -code;
}

int mfd_error_errno(struct mfd_error *err, int code, const char *format, ...)
{
	char reason[128];
	va_list args;
	size_t used;

	if (wanted(err)) {
		va_start(args, format);
		begin(err, code, format, args);
		va_end(args);
		used = strlen(err->text);
		if (strerror_r(code, reason, sizeof(reason)))
			snprintf(reason, sizeof(reason), "error %d", code);
		snprintf(err->text + used, sizeof(err->text) - used, ": %s", reason);
	}
	return -code;
}

void mfd_error_prefix(struct mfd_error *err, const char *format, ...)
{
	char text[sizeof(err->text)];
	va_list args;
	size_t used;

	if (!wanted(err))
		return;
	memcpy(text, err->text, sizeof(text));
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", text);
}

void mfd_error_of(struct mfd_error *err, enum mfd_error_kind kind)
{
	if (wanted(err))
		err->kind = kind;
}

void mfd_error_channel(struct mfd_error *err, unsigned int channel)
{
	if (wanted(err))
		err->channel = channel;
}

void mfd_error_page(struct mfd_error *err, const char *block, uint64_t offset)
{
	if (!wanted(err))
		return;
	snprintf(err->block, sizeof(err->block), "%s", block);
	err->offset = offset;
}

void mfd_error_copy(struct mfd_error *err, const struct mfd_error *from)
{
	/* one without a size wants nothing */
	mfd_sized_give(err, from, sizeof(*from));
}

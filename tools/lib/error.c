// SPDX-License-Identifier: LGPL-2.1-or-later
/* Errors as values: a code for programs, a sentence for people. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

int mfd_error_set(struct mfd_error *err, int code, const char *format, ...)
{
	va_list args;

	if (err) {
		err->code = code;
		va_start(args, format);
		vsnprintf(err->text, sizeof(err->text), format, args);
		va_end(args);
	}
	return -code;
}

int mfd_error_errno(struct mfd_error *err, int code, const char *format, ...)
{
	char reason[128];
	va_list args;
	size_t used;

	if (err) {
		err->code = code;
		va_start(args, format);
		vsnprintf(err->text, sizeof(err->text), format, args);
		va_end(args);
		used = strlen(err->text);
		/* the GNU strerror_r: thread-safe, may or may not use the buffer */
		snprintf(err->text + used, sizeof(err->text) - used, ": %s",
			 strerror_r(code, reason, sizeof(reason)));
	}
	return -code;
}

void mfd_error_prefix(struct mfd_error *err, const char *format, ...)
{
	char text[sizeof(err->text)];
	va_list args;
	size_t used;

	if (!err)
		return;
	memcpy(text, err->text, sizeof(text));
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", text);
}

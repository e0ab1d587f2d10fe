// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a source may not send, in words. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "recv_check.h"

static const char *const texts[] = {
#define MFD_RECV_TEXT(name, text) [RECV_##name] = text,
	MFD_RECV_CHECKS(MFD_RECV_TEXT)
#undef MFD_RECV_TEXT
};

const char *mfd_recv_check_text(enum mfd_recv_check check)
{
	return texts[check];
}

int mfd_recv_reject(struct mfd_error *err, enum mfd_recv_check check, const char *format, ...)
{
	char details[160];
	va_list args;

	va_start(args, format);
	vsnprintf(details, sizeof(details), format, args);
	va_end(args);
	if (!*details)
		return mfd_error_set(err, EPROTO, "%s", texts[check]);
	return mfd_error_set(err, EPROTO, "%s (%s)", texts[check], details);
}

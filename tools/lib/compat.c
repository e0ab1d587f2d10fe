// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a destination of some QEMU generation asks of the stream. */
#include <errno.h>
#include <stdbool.h>

#include "error.h"
#include "sized.h"

static bool at_least(unsigned int major, unsigned int minor, const struct mfd_compat *compat)
{
	return compat->major > major || (compat->major == major && compat->minor >= minor);
}

int mfd_compat_version(struct mfd_compat *compat, uint32_t major, uint32_t minor)
{
	struct mfd_compat own = { .major = major, .minor = minor };

	own.flush = at_least(8, 1, &own) ? MFD_FLUSH_ROUND : MFD_FLUSH_SECTION;
	own.detection = at_least(9, 0, &own) ? MFD_DETECTION_MULTIFD : MFD_DETECTION_LEGACY;
	return mfd_sized_give(compat, &own, sizeof(own));
}

/* A plain decimal number of up to three digits; @text moves behind it. */
static int number(const char **text, unsigned int *value)
{
	const char *p = *text;

	for (*value = 0; *p >= '0' && *p <= '9' && p - *text < 3; p++)
		*value = *value * 10 + (*p - '0');
	if (p == *text)
		return -EINVAL;
	*text = p;
	return 0;
}

int mfd_compat_parse(struct mfd_compat *compat, const char *text, struct mfd_error *err)
{
	unsigned int major, minor;
	const char *p = text;

	if (number(&p, &major) || *p++ != '.' || number(&p, &minor) || *p)
		return mfd_error_set(err, EINVAL, "'%.32s' is not a QEMU version like 8.2",
				     text);
	if (major < 4)
		return mfd_error_set(err, EOPNOTSUPP,
				     "QEMU %s is too old: multifd migration is stable since 4.0",
				     text);
	if (mfd_compat_version(compat, major, minor))
		return mfd_error_set(err, EINVAL, "struct mfd_compat has no size");
	return 0;
}

int mfd_compat_detection(const struct mfd_compat *compat, uint32_t detection,
			 struct mfd_error *err)
{
	struct mfd_compat own;

	if (mfd_sized_take(&own, sizeof(own), compat))
		return mfd_error_set(err, EINVAL, "struct mfd_compat has no size");
	if (detection != MFD_DETECTION_MULTIFD || at_least(9, 0, &own))
		return 0;
	return mfd_error_set(err, EOPNOTSUPP,
			     "a QEMU %u.%u destination silently loses zero pages that are announced in multifd packets (9.0 and newer understand them): use legacy or none",
			     own.major, own.minor);
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a destination of some QEMU generation asks of the stream. */
#include <errno.h>

#include "error.h"

static int at_least(unsigned int major, unsigned int minor, const struct mfd_compat *compat)
{
	return compat->major > major || (compat->major == major && compat->minor >= minor);
}

void mfd_compat_version(struct mfd_compat *compat, unsigned int major, unsigned int minor)
{
	compat->major = major;
	compat->minor = minor;
	compat->flush = at_least(8, 1, compat) ? MFD_FLUSH_ROUND : MFD_FLUSH_SECTION;
	compat->detection = at_least(9, 0, compat) ? MFD_DETECTION_MULTIFD :
						     MFD_DETECTION_LEGACY;
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
	mfd_compat_version(compat, major, minor);
	if (!at_least(4, 0, compat))
		return mfd_error_set(err, EOPNOTSUPP,
				     "QEMU %s is too old: multifd migration is stable since 4.0",
				     text);
	return 0;
}

int mfd_compat_detection(const struct mfd_compat *compat, enum mfd_detection detection,
			 struct mfd_error *err)
{
	if (detection != MFD_DETECTION_MULTIFD || at_least(9, 0, compat))
		return 0;
	return mfd_error_set(err, EOPNOTSUPP,
			     "a QEMU %u.%u destination silently loses zero pages that are announced in multifd packets (9.0 and newer understand them): use legacy or none",
			     compat->major, compat->minor);
}

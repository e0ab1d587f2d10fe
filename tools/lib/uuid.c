// SPDX-License-Identifier: LGPL-2.1-or-later
/* A VM's UUID as people write it. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "error.h"

static unsigned int nibble(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

int mfd_uuid_parse(uint8_t uuid[16], const char *text, struct mfd_error *err)
{
	const char *p = text;
	uint8_t bytes[16];
	int i;

	for (i = 0; i < 16; i++) {
		if (*p == '-' && (i == 4 || i == 6 || i == 8 || i == 10))
			p++;
		if (!isxdigit((unsigned char)p[0]) || !isxdigit((unsigned char)p[1]))
			break;
		bytes[i] = nibble(p[0]) << 4 | nibble(p[1]);
		p += 2;
	}
	if (i < 16 || *p)
		return mfd_error_set(err, EINVAL, "'%.64s' is not a UUID", text);
	memcpy(uuid, bytes, sizeof(bytes));
	return 0;
}

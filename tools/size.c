// SPDX-License-Identifier: GPL-2.0-only
/* Sizes of memory, as people write them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "size.h"

#define PAGE 4096

uint64_t size_parse(const char *text)
{
	static const char units[] = "KMGT";
	unsigned int shift = 0;
	const char *unit;
	uint64_t size;
	char *end;

	errno = 0;
	size = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (errno || *text < '0' || *text > '9' || (*end && (!unit || end[1])))
		return 0;
	if (unit)
		shift = 10 * (unit - units + 1);
	if (size > (uint64_t)INT64_MAX >> shift || (size << shift) % PAGE)
		return 0;
	return size << shift;
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/* Structures that begin with their size: copied from and to callers of other versions. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "sized.h"

/* No structure of ours was ever smaller, nor will one be larger than this. */
#define LEAST	(2 * sizeof(uint32_t))
#define MOST	4096

static bool size_of(const void *sized, uint32_t *size)
{
	if (!sized)
		return false;
	memcpy(size, sized, sizeof(*size));
	return *size >= LEAST && *size <= MOST;
}

int mfd_sized_give(void *out, const void *own, size_t own_size)
{
	uint32_t size;

	if (!size_of(out, &size))
		return -EINVAL;
	if (size > own_size)
		memset((char *)out + own_size, 0, size - own_size);
	memcpy(out, own, size < own_size ? size : own_size);
	memcpy(out, &size, sizeof(size));
	return 0;
}

int mfd_sized_take(void *own, size_t own_size, const void *in)
{
	const unsigned char *bytes = in;
	uint32_t size, own_size_32 = own_size;
	size_t i;

	if (!size_of(in, &size))
		return -EINVAL;
	for (i = own_size; i < size; i++)
		if (bytes[i])
			return -E2BIG;
	memset(own, 0, own_size);
	memcpy(own, in, size < own_size ? size : own_size);
	memcpy(own, &own_size_32, sizeof(own_size_32));
	return 0;
}

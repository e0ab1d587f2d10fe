// SPDX-License-Identifier: GPL-2.0-only
#include "kernel.h"

unsigned int shim_fail;
unsigned int shim_folios;
u64 shim_now;

void *mzp_large_alloc(size_t nr, size_t size, gfp_t zero)
{
	return zero ? kvcalloc(nr, size, zero) : kvmalloc(nr * size, zero);
}

// SPDX-License-Identifier: GPL-2.0-only
#include "kernel.h"

unsigned int shim_fail;
unsigned int shim_folios;
u64 shim_now;

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tracepoints themselves, which have to be made in one place.
 */
#define CREATE_TRACE_POINTS
#include "trace.h"

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sizes and rates, as people write them: a number, perhaps with a fraction, and perhaps K, M,
 * G or T, large or small. In a size that is a power of 1024, and may be followed by iB or i. In
 * a rate it is one of 1000, and one of 1024 with an i behind it; B and /s may follow.
 */
#ifndef SIZE_H
#define SIZE_H

#include <stdint.h>

/* Bytes of whole pages, such as 64M, 64MiB or 1.5g. 0: @text is none. */
uint64_t size_parse(const char *text);

/* Bytes per second, such as 100M, 1.5Gi or 250kB/s. -1: @text is none. */
double rate_parse(const char *text);

#endif /* SIZE_H */

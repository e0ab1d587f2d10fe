/* SPDX-License-Identifier: GPL-2.0-only */
/* What every unit test includes first. */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Reproducible random numbers. */
static inline uint64_t unit_random(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Ignore cmocka's unused argument. */
#define TEST(name) static void name(void **unused __attribute__((unused)))

#endif /* UNIT_H */

// SPDX-License-Identifier: GPL-2.0-only
/* Sizes and rates, as people write them. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "size.h"

#define PAGE 4096

/* Digits, perhaps with a fraction: no sign, exponent, infinity or hexadecimals. */
static bool decimal(const char *text, long double *value, const char **end)
{
	size_t digits = strspn(text, "0123456789");
	size_t fraction = text[digits] == '.' ? strspn(text + digits + 1, "0123456789") : 0;
	char *stop;

	if (!digits || (text[digits] == '.' && !fraction))
		return false;
	*value = strtold(text, &stop);
	*end = stop;
	return stop == text + digits + (fraction ? fraction + 1 : 0);
}

/* The power that a prefix stands for; 0, without one. */
static int prefix(const char **text)
{
	static const char prefixes[] = "kKmMgGtT";
	const char *found = **text ? strchr(prefixes, **text) : NULL;

	if (!found)
		return 0;
	(*text)++;
	return (found - prefixes) / 2 + 1;
}

static bool skip(const char **text, const char *what)
{
	size_t length = strlen(what);

	if (strncmp(*text, what, length))
		return false;
	*text += length;
	return true;
}

uint64_t size_parse(const char *text)
{
	long double value;
	const char *unit;
	int power;

	if (!decimal(text, &value, &unit))
		return 0;
	power = prefix(&unit);
	/* with a B alone, others mean powers of 1000 */
	if (power && skip(&unit, "i"))
		skip(&unit, "B");
	value *= powl(1024, power);
	if (*unit || value >= 0x1p63L || value != floorl(value) || (uint64_t)value % PAGE)
		return 0;
	return value;
}

double rate_parse(const char *text)
{
	long double value;
	const char *unit;
	int power;

	if (!decimal(text, &value, &unit))
		return -1;
	power = prefix(&unit);
	value *= powl(power && skip(&unit, "i") ? 1024 : 1000, power);
	skip(&unit, "B");
	skip(&unit, "/s");
	return *unit ? -1 : value;
}

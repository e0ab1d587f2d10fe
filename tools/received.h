/* SPDX-License-Identifier: GPL-2.0-only */
/* Telling what was received: for people, and as JSON. */
#ifndef RECEIVED_H
#define RECEIVED_H

#include <stdio.h>

#include "lib/mfd_recv.h"
#include "report.h"

/* What there is to tell at the end. */
struct received {
	struct mfd_recv *recv;
	unsigned int channels;
	const struct mfd_error *error;	/* NULL: all went well */
	const char *encryption;		/* as the report's */
};

/* A line on stdout, and one for each channel in the words of QEMU's traces. */
void received_summary(const struct report *report, const struct received *received);

/* A line of JSON. Return: 0, or -1 with errno. */
int received_json(const struct received *received, FILE *out);

#endif /* RECEIVED_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* Telling people how far a migration is, and how it went. */
#ifndef REPORT_H
#define REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/mfd.h"

struct report {
	const char *program;
	bool live;		/* draw a progress line */
	uint64_t started;	/* ns */
	uint64_t total;		/* pages that will be handed over, as far as known */
	uint64_t drawn;		/* when the line was last drawn, ns */
	uint64_t drawn_bytes;
	char encryption[192];	/* of the connections, in words; empty: none */
};

uint64_t now_ns(void);

/* Start the clock. The line is drawn only if stderr is a terminal. */
void report_start(struct report *report, const char *program, bool quiet);

/* For struct mfd_params: @opaque is the report. */
void report_progress(const struct mfd_progress *now, void *opaque);

/* Take the progress line away before something else is printed. */
void report_clear(struct report *report);

/* "program: text" on stderr. */
void report_error(struct report *report, const struct mfd_error *err);

/* One line on stdout, for people or as a JSON object. */
void report_summary(struct report *report, const struct mfd_progress *end, bool json);

#endif /* REPORT_H */

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
	bool json;		/* what went wrong is told on stdout as well, as an object */
	bool begun;
	bool counted;		/* there has been a line with figures */
	unsigned int line;	/* how long the one on the terminal is; 0: there is none */
	unsigned int width;	/* of the terminal, when it was drawn */
	uint64_t started;	/* ns */
	uint64_t total;		/* pages that will be handed over, as far as known */
	uint64_t seen;		/* when the rates were last looked at, ns */
	uint64_t seen_bytes;
	uint64_t seen_pages;
	double byte_rate;	/* a second, at present */
	double page_rate;
	char encryption[192];	/* of the connections, in words; empty: none */
};

uint64_t now_ns(void);

/* A line is drawn only if stderr is a terminal that can. */
void report_start(struct report *report, const char *program, bool quiet);

/* What is waited for, before there is anything to count. */
void report_wait(struct report *report, const char *what);

/* Start the clock. */
void report_begin(struct report *report);

/* For struct mfd_params: @opaque is the report. */
void report_progress(const struct mfd_progress *now, void *opaque);

/*
 * As much of a progress line as @columns have room for, the most important first; @left_s
 * below 0: not known. @text has room for REPORT_LINE bytes.
 */
#define REPORT_LINE 160
void report_line(char *text, unsigned int columns, const struct report *report,
		 const struct mfd_progress *now, double left_s);

/* All is there: the last line stays, if there was one. */
void report_complete(struct report *report);

/* Take the progress line away before something else is printed. */
void report_clear(struct report *report);

/* "program: text" on stderr. */
void report_error(struct report *report, const struct mfd_error *err);

/* One line on stdout, for people or as a JSON object. */
void report_summary(struct report *report, const struct mfd_progress *end, bool json);

#endif /* REPORT_H */

// SPDX-License-Identifier: GPL-2.0-only
/* Progress on a terminal, a summary at the end. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "report.h"

#define REDRAW_NS 200000000ull

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

void report_start(struct report *report, const char *program, bool quiet)
{
	*report = (struct report) {
		.program = program,
		.live = !quiet && isatty(STDERR_FILENO),
		.started = now_ns(),
	};
	report->drawn = report->started;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * part / whole : 0;
}

void report_progress(const struct mfd_progress *now, void *opaque)
{
	struct report *report = opaque;
	uint64_t time = now_ns(), since = time - report->drawn;
	double left;

	if (!report->live || since < REDRAW_NS)
		return;
	left = now->done && report->total > now->done ?
	       (time - report->started) / 1e9 * (report->total - now->done) / now->done : 0;
	fprintf(stderr,
		"\r%s: %ju of %ju pages (%.0f%%), %.0f MB/s, %.0f%% zero, %.0f s left \033[K",
		report->program, (uintmax_t)now->done, (uintmax_t)report->total,
		percent(now->done, report->total),
		(now->bytes - report->drawn_bytes) * 1e3 / since,
		percent(now->zero + now->absent, now->done), left);
	report->drawn = time;
	report->drawn_bytes = now->bytes;
}

void report_clear(struct report *report)
{
	if (report->live)
		fputs("\r\033[K", stderr);
}

void report_error(struct report *report, const struct mfd_error *err)
{
	report_clear(report);
	fprintf(stderr, "%s: %s\n", report->program, err->text);
}

/* GnuTLS's words have nothing in them that JSON would escape. */
static void summary_json(const struct report *report, const struct mfd_progress *end,
			 double seconds)
{
	const char *tls = report->encryption;

	printf("{\"pages\": %ju, \"normal\": %ju, \"zero\": %ju, \"absent\": %ju, "
	       "\"rounds\": %ju, \"bytes\": %ju, \"seconds\": %.6f%s%s%s}\n",
	       (uintmax_t)end->done, (uintmax_t)end->normal, (uintmax_t)end->zero,
	       (uintmax_t)end->absent, (uintmax_t)end->rounds, (uintmax_t)end->bytes,
	       seconds, *tls ? ", \"tls\": \"" : "", tls, *tls ? "\"" : "");
}

void report_summary(struct report *report, const struct mfd_progress *end, bool json)
{
	double seconds = (now_ns() - report->started) / 1e9;

	report_clear(report);
	if (json) {
		summary_json(report, end, seconds);
		return;
	}
	printf("%s: %ju pages sent (%ju normal, %ju zero, %ju never touched): %.1f MB in %.2f s, %.0f MB/s\n",
	       report->program, (uintmax_t)end->done, (uintmax_t)end->normal,
	       (uintmax_t)end->zero, (uintmax_t)end->absent, end->bytes / 1e6,
	       seconds, end->bytes / 1e6 / seconds);
	if (*report->encryption)
		printf("%s: encrypted: %s\n", report->program, report->encryption);
}

// SPDX-License-Identifier: GPL-2.0-only
/* Progress on a terminal, a summary at the end. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "output.h"
#include "report.h"

#define REDRAW_NS 200000000ull
/* Nobody looked for so long because the program was stopped. */
#define PAUSE_NS 2000000000ull
/* A rate is about the last few seconds: what is older counts for less and less. */
#define SMOOTH_S 2.0

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
		.json = report->json,
		.live = !quiet && output_can_draw(STDERR_FILENO),
		.started = now_ns(),
	};
}

/*
 * Something else in place of the line. If the terminal has become narrower than it, most of them have put
 * its end into rows of its own.
 */
static void replace_line(struct report *report, const char *and_print)
{
	unsigned int width = output_columns(STDERR_FILENO);
	char up[16] = "";

	if (width < report->width && report->line > width)
		snprintf(up, sizeof(up), "\033[%uA", (report->line - 1) / width);
	/* all at once, so that it does not flicker */
	fprintf(stderr, "\r%s\033[J%s", up, and_print);
	report->width = width;
	report->line = strlen(and_print);
}

static void draw(struct report *report, const char *text)
{
	if (!output_would_wait(STDERR_FILENO))
		replace_line(report, text);
}

void report_wait(struct report *report, const char *what)
{
	char text[REPORT_LINE];
	int room = output_columns(STDERR_FILENO) - 1;

	snprintf(text, sizeof(text), "%s: %s", report->program, what);
	if (report->live && room > 0) {
		text[room < REPORT_LINE ? room : REPORT_LINE - 1] = '\0';
		draw(report, text);
	}
}

void report_begin(struct report *report)
{
	report->begun = true;
	report->started = report->seen = now_ns();
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * part / whole : 0;
}

/* Of what is not over: a source may send pages again, and not say how often. */
static double percent_done(const struct report *report, const struct mfd_progress *now)
{
	double done = floor(percent(now->done, report->total));

	return now->state == MFD_STATE_COMPLETED ? 100 : fmin(done, 99);
}

/* Add a piece, unless there is no room for all of it, and say so. */
static bool add(char *text, size_t room, const char *piece)
{
	size_t used = strlen(text);

	if (used + strlen(piece) > room)
		return false;
	strcpy(text + used, piece);
	return true;
}

void report_line(char *text, unsigned int width, const struct report *report,
		 const struct mfd_progress *now, double left_s)
{
	/* one column less, since a terminal may go to the next line behind the last one */
	size_t room = width > REPORT_LINE ? REPORT_LINE - 1 : width ? width - 1 : 0;
	char pieces[6][64] = { "" };
	unsigned int i;

	snprintf(pieces[0], sizeof(pieces[0]), "%s: ", report->program);
	snprintf(pieces[1], sizeof(pieces[1]), "%.0f%%", percent_done(report, now));
	snprintf(pieces[2], sizeof(pieces[2]), ", %.0f MB/s", report->byte_rate / 1e6);
	if (left_s >= 0 && left_s < 360000)
		snprintf(pieces[3], sizeof(pieces[3]), ", %.0f s left", ceil(left_s));
	snprintf(pieces[4], sizeof(pieces[4]), ", %.0f%% zero",
		 percent(now->zero + now->absent, now->done));
	snprintf(pieces[5], sizeof(pieces[5]), ", %ju of %ju pages", (uintmax_t)now->done,
		 (uintmax_t)report->total);
	*text = '\0';
	for (i = 0; i < 6 && add(text, room, pieces[i]); i++)
		;
}

/* Take what has come since the last look into the rates. Return: false: too early. */
static bool look(struct report *report, const struct mfd_progress *now)
{
	uint64_t time = now_ns(), since = time - report->seen;
	double seconds = since / 1e9, share;

	if (since < REDRAW_NS)
		return false;
	/* the first look has nothing to be smoothed with */
	share = report->byte_rate > 0 ? 1 - exp(-seconds / SMOOTH_S) : 1;
	if (since < PAUSE_NS || !report->line) {
		report->byte_rate += share * ((now->bytes - report->seen_bytes) / seconds -
					      report->byte_rate);
		report->page_rate += share * ((now->done - report->seen_pages) / seconds -
					      report->page_rate);
	}
	report->seen = time;
	report->seen_bytes = now->bytes;
	report->seen_pages = now->done;
	return true;
}

void report_progress(const struct mfd_progress *now, void *opaque)
{
	struct report *report = opaque;
	char text[REPORT_LINE];
	double left = -1;

	if (!report->live || !report->begun || !look(report, now))
		return;
	if (report->page_rate > 0 && report->total > now->done)
		left = (report->total - now->done) / report->page_rate;
	report_line(text, output_columns(STDERR_FILENO), report, now, left);
	draw(report, text);
	report->counted = true;
}

void report_complete(struct report *report)
{
	const struct mfd_progress end = {
		.state = MFD_STATE_COMPLETED,
		.done = report->total,
	};
	char text[REPORT_LINE] = "";
	double seconds = (now_ns() - report->started) / 1e9;

	report_clear(report);
	if (!report->counted)
		return;
	snprintf(text, sizeof(text), "%s: %.0f%%, after %.1f s", report->program,
		 percent_done(report, &end), seconds);
	draw(report, text);
	fputc('\n', stderr);
	report->line = 0;
}

void report_clear(struct report *report)
{
	if (report->line && !output_would_wait(STDERR_FILENO))
		replace_line(report, "");
	report->line = 0;
}

static void print_object(struct json_object *object)
{
	puts(json_object_to_json_string(object));
	json_object_put(object);
}

static void error_json(const struct mfd_error *err)
{
	struct json_object *object = json_object_new_object();
	const char *name = strerrorname_np(err->code);

	json_object_object_add(object, "complete", json_object_new_boolean(false));
	json_object_object_add(object, "error", json_object_new_string(err->text));
	if (name)
		json_object_object_add(object, "errno", json_object_new_string(name));
	print_object(object);
}

void report_error(struct report *report, const struct mfd_error *err)
{
	report_clear(report);
	fprintf(stderr, "%s: %s\n", report->program, err->text);
	if (report->json)
		error_json(err);
}

static void number(struct json_object *object, const char *name, uint64_t value)
{
	json_object_object_add(object, name, json_object_new_uint64(value));
}

static void summary_json(const struct report *report, const struct mfd_progress *end,
			 double seconds)
{
	struct json_object *object = json_object_new_object();
	char text[32];

	json_object_object_add(object, "complete", json_object_new_boolean(true));
	number(object, "pages", end->done);
	number(object, "normal", end->normal);
	number(object, "zero", end->zero);
	number(object, "absent", end->absent);
	number(object, "rounds", end->rounds);
	number(object, "bytes", end->bytes);
	snprintf(text, sizeof(text), "%.6f", seconds);
	json_object_object_add(object, "seconds", json_object_new_double_s(seconds, text));
	if (*report->encryption)
		json_object_object_add(object, "tls", json_object_new_string(report->encryption));
	print_object(object);
}

void report_summary(struct report *report, const struct mfd_progress *end, bool json)
{
	double seconds = (now_ns() - report->started) / 1e9;

	report_complete(report);
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

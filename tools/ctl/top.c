// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl top: a table of sessions that follows what they do. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "netlink.h"
#include "screen.h"
#include "text.h"
#include "view.h"
#include "lib/error.h"
#include "report.h"

struct options {
	double seconds;
	unsigned long count;	/* pictures; 0: without end */
	bool batch;
	enum ctl_order order;
};

/* A table as text. */
static void print(const struct ctl_snapshot *now, const struct ctl_snapshot *before,
		  const struct options *options)
{
	struct ctl_rows rows = ctl_rows(now, before, options->order, "");
	unsigned int width = ctl_output_width();
	size_t i;

	ctl_view_head(stdout, now, before);
	putchar('\n');
	ctl_session_columns(stdout, width);
	putchar('\n');
	for (i = 0; i < rows.nr; i++) {
		ctl_session_row(stdout, &rows.row[i], width);
		putchar('\n');
	}
	free(rows.row);
}

/* Until the next sample is due. Return: false to end. */
static bool wait_on_screen(const struct options *options, struct ctl_view *view,
			   const struct ctl_snapshot *now, const struct ctl_snapshot *before)
{
	uint64_t due, time;
	int key;

	ctl_view_draw(view, now, before);
	/* from here on, so that keys have their turn however long it takes to draw */
	due = now_ns() + options->seconds * 1e9;
	while ((time = now_ns()) < due) {
		key = ctl_screen_key((due - time) / 1000000 + 1);
		/* all that were pressed, before it is drawn again */
		for (; key > 0; key = ctl_screen_key(0))
			if (!ctl_view_key(view, key, now, before))
				return false;
		if (key < 0)
			return false;
		/* another order, or another size */
		ctl_view_draw(view, now, before);
	}
	return true;
}

static bool wait_in_batch(const struct options *options)
{
	ctl_pause(options->seconds);
	return !putchar('\n') || !ferror(stdout);
}

/* Show it, and wait until the next one is due. Return: false if there is to be none. */
static bool show(const struct options *options, struct ctl_view *view, bool last,
		 const struct ctl_snapshot *now, const struct ctl_snapshot *before)
{
	if (!options->batch)
		return wait_on_screen(options, view, now, before) && !last;
	print(now, before, options);
	return !fflush(stdout) && !last && wait_in_batch(options);
}

/* @final: what was shown last, and before. */
static int follow(struct ctl_link *link, const struct options *options,
		  struct ctl_snapshot final[2], struct mfd_error *err)
{
	struct ctl_view view = { .link = link, .order = options->order };
	struct ctl_snapshot *now = &final[0], *before = &final[1];
	unsigned int what;
	unsigned long shown = 0;
	int ret;

	do {
		ctl_snapshot_free(before);
		*before = *now;
		what = CTL_WORKERS_TOO |
		       (view.page == CTL_PAGE_CHANNELS ? CTL_CHANNELS : 0);
		ret = ctl_snapshot_take(now, link, NULL, what, err);
	} while (!ret && show(options, &view, ++shown == options->count, now, before));
	return ret;
}

static int parse_order(struct options *options, const char *text, struct mfd_error *err)
{
	size_t i;

	for (i = 0; i < CTL_ORDERS; i++) {
		if (!strcmp(ctl_orders[i], text)) {
			options->order = i;
			return 0;
		}
	}
	mfd_error_set(err, EINVAL, "--sort: bytes, pages, cpus or session, not '%.64s'", text);
	return CTL_USAGE;
}

static int parse_count(struct options *options, const char *text, struct mfd_error *err)
{
	char *end;

	options->count = strtoul(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end && options->count)
		return 0;
	mfd_error_set(err, EINVAL, "-n: a number from 1 on is wanted, not '%.64s'", text);
	return CTL_USAGE;
}

static int parse(struct options *options, int argc, char **argv, struct mfd_error *err)
{
	static const struct option long_options[] = {
		{ "once", no_argument, NULL, 'o' },
		{ "count", required_argument, NULL, 'n' },
		{ "batch", no_argument, NULL, 'b' },
		{ "delay", required_argument, NULL, 'd' },
		{ "sort", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	int option, ret = 0;

	*options = (struct options) { .seconds = 1 };
	while (!ret && (option = getopt_long(argc, argv, "n:bd:s:", long_options, NULL)) != -1) {
		if (option == 'o')
			options->count = 1;
		else if (option == 'n')
			ret = parse_count(options, optarg, err);
		else if (option == 'b')
			options->batch = true;
		else if (option == 'd')
			ret = ctl_parse_seconds("-d", optarg, &options->seconds, err) ?
			      CTL_USAGE : 0;
		else if (option == 's')
			ret = parse_order(options, optarg, err);
		else
			ret = CTL_USAGE;
	}
	if (!ret)
		ret = ctl_no_argument(argc, argv, err);
	/* one picture is to stay */
	if (options->count == 1)
		options->batch = true;
	return ret;
}

static int run(int argc, char **argv, struct mfd_error *err)
{
	struct ctl_snapshot final[2] = { { .ns = 0 }, { .ns = 0 } };
	struct options options;
	struct ctl_link *link;
	bool screen = false;
	int ret = parse(&options, argc, argv, err);

	if (!ret)
		ret = ctl_link_open(&link, err);
	if (ret)
		return ret;
	if (!options.batch) {
		screen = ctl_screen_open();
		options.batch = !screen;
	}
	ret = follow(link, &options, final, err);
	if (screen)
		ctl_screen_close();
	/* as many as were wanted, and the last one stays */
	if (screen && options.count && !ret)
		print(&final[0], &final[1], &options);
	ctl_snapshot_free(&final[0]);
	ctl_snapshot_free(&final[1]);
	ctl_link_close(link);
	return ret;
}

const struct ctl_command ctl_top_command = {
	.name = "top",
	.arguments = "[OPTION]…",
	.summary = "the same as a table that follows what happens",
	.help = "A table of the sessions that you may see, drawn anew every second.\n"
		"\n"
		"  -d, --delay SECONDS   draw it so often\n"
		"  -n, --count N         only N times; the last table stays\n"
		"  --once                only once\n"
		"  -b, --batch           print one table below the other, also on a terminal; as\n"
		"                        without a terminal, or if TERM is dumb\n"
		"  -s, --sort WHAT       by bytes (the default), pages, cpus or session\n"
		"\n"
		"Keys: q quits, ? tells all: to choose a session, to see its channels, to limit and\n"
		"to cancel it, to show only some, to sort. Columns that do not fit are left out.\n"
		"\n"
		"What is per second is about the time since the table before; in the first one, and\n"
		"for a session that is new, about the time since the session began. DONE: of the\n"
		"pages that were handed over; ZERO: zero or never touched, of those done; RINGS: how\n"
		"full they are; CPUS: that workers keep busy for it; BOTTLENECK: see\n"
		"`mfdctl stats --help`.\n",
	.run = run,
};

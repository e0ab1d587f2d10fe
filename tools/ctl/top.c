// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl top: a table of sessions that follows what they do. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl.h"
#include "bottleneck.h"
#include "netlink.h"
#include "screen.h"
#include "snapshot.h"
#include "text.h"
#include "lib/error.h"
#include "report.h"

/* A line of the table. */
struct row {
	const struct ctl_session *session;
	struct ctl_speed speed;
	enum ctl_bottleneck bottleneck;
};

/* What the table can be sorted by, and the key for it. */
enum order { BY_BYTES, BY_PAGES, BY_CPUS, BY_SESSION };

static const struct {
	char key;
	const char *name;
} orders[] = {
	[BY_BYTES] = { 'b', "bytes" },
	[BY_PAGES] = { 'p', "pages" },
	[BY_CPUS] = { 'c', "cpus" },
	[BY_SESSION] = { 's', "session" },
};

#define NR_ORDERS (sizeof(orders) / sizeof(orders[0]))

struct options {
	double seconds;
	unsigned long count;	/* pictures; 0: without end */
	bool batch;
	enum order order;
};

static double sort_value(const struct row *row, enum order order)
{
	switch (order) {
	case BY_BYTES:
		return row->speed.bytes;
	case BY_PAGES:
		return row->speed.pages;
	case BY_CPUS:
		return row->speed.cpus;
	case BY_SESSION:
		break;
	}
	return 0;
}

/* The largest first; equals by session, so that they do not jump. */
static int compare(const void *a, const void *b, void *order)
{
	const struct row *one = a, *other = b;
	double first = sort_value(one, *(enum order *)order);
	double second = sort_value(other, *(enum order *)order);

	if (first != second)
		return first < second ? 1 : -1;
	return one->session->id < other->session->id ? -1 : 1;
}

static struct row *make_rows(const struct ctl_snapshot *now, const struct ctl_snapshot *before,
			     enum order order)
{
	struct row *rows = calloc(now->sessions.nr + 1, sizeof(*rows)), *row = rows;
	const struct ctl_session *session;

	if (!rows)
		return NULL;
	ctl_for_each(session, &now->sessions) {
		const struct ctl_session *last = ctl_snapshot_session(before, session->id);

		*row++ = (struct row) {
			.session = session,
			.speed = ctl_speed(session, last),
			.bottleneck = ctl_bottleneck(session, last),
		};
	}
	qsort_r(rows, now->sessions.nr, sizeof(*rows), compare, &order);
	return rows;
}

static void print_head(FILE *to, const struct ctl_snapshot *now,
		       const struct ctl_snapshot *before, const struct options *options)
{
	const struct ctl_worker *worker;
	time_t clock = time(NULL);
	double busy = 0;
	char text[16];
	struct tm tm;
	size_t i;

	localtime_r(&clock, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	fprintf(to, "mfdctl top, %s: %s", text, ctl_count(now->info.sessions, "session").s);
	if (now->info.sessions != now->sessions.nr)
		fprintf(to, " (%zu shown)", now->sessions.nr);
	fprintf(to, ", %s", ctl_count(now->info.workers, "worker").s);
	if (before->workers.nr == now->workers.nr && now->ns > before->ns) {
		ctl_for_each(worker, &now->workers)
			busy += worker->busy;
		ctl_for_each(worker, &before->workers)
			busy -= worker->busy;
		fprintf(to, ", %.1f of them busy", busy / (now->ns - before->ns));
	}
	if (!options->batch) {
		fprintf(to, "   q: quit; sort by");
		for (i = 0; i < NR_ORDERS; i++)
			fprintf(to, i == options->order ? " [%c: %s]" : " %c: %s",
				orders[i].key, orders[i].name);
	}
	fputc('\n', to);
	fprintf(to, "%7s %7s %-8s %-15s %-6s %6s %5s %8s %9s %5s %5s %5s %s\n", "SESSION",
		"PID", "USER", "COMMAND", "STATE", "ROUNDS", "DONE", "PAGES/s", "BYTES/s",
		"ZERO", "RINGS", "CPUS", "BOTTLENECK");
}

static void print_row(FILE *to, const struct row *row)
{
	const struct ctl_session *session = row->session;
	const struct ctl_counters *count = &session->count;
	uint64_t done = ctl_pages_done(session);

	fprintf(to, "%7" PRIu64 " %7u %-8.8s ", session->id, session->pid,
		ctl_user(session->uid).s);
	ctl_put(to, session->comm, 15);
	fprintf(to, " %-6s %6" PRIu64 " %5s %8s %9s %5s %5s %5.1f %s\n",
		ctl_name(ctl_state_names, session->state), count->syncs,
		ctl_percent(done, session->submitted).s, ctl_number(row->speed.pages).s,
		ctl_bytes(row->speed.bytes).s, ctl_percent(count->zero + count->absent, done).s,
		ctl_percent(count->ring_packets, count->ring_size).s, row->speed.cpus,
		ctl_bottleneck_word(row->bottleneck));
}

static void print(FILE *to, const struct ctl_snapshot *now, const struct ctl_snapshot *before,
		  const struct options *options)
{
	struct row *rows = make_rows(now, before, options->order);
	size_t i;

	print_head(to, now, before, options);
	for (i = 0; rows && i < now->sessions.nr; i++)
		print_row(to, &rows[i]);
	free(rows);
}

/* Wait until the next sample is due. Returns false to end. */
static bool wait_on_screen(struct options *options, const struct ctl_snapshot *now,
			   const struct ctl_snapshot *before)
{
	uint64_t due = now_ns() + options->seconds * 1e9, time;
	size_t i;
	int key;

	while ((time = now_ns()) < due) {
		key = ctl_screen_key((due - time) / 1000000 + 1);
		if (key < 0 || key == 'q' || key == 'Q')
			return false;
		for (i = 0; i < NR_ORDERS; i++)
			if (key == orders[i].key)
				options->order = i;
		/* another order, or another size */
		print(ctl_screen_begin(), now, before, options);
		ctl_screen_show();
	}
	return true;
}

static bool wait_in_batch(const struct options *options)
{
	struct timespec pause = {
		.tv_sec = options->seconds,
		.tv_nsec = (options->seconds - (time_t)options->seconds) * 1e9,
	};

	nanosleep(&pause, NULL);
	return !putchar('\n') || !ferror(stdout);
}

static int follow(struct ctl_link *link, struct options *options, struct mfd_error *err)
{
	struct ctl_snapshot now = { .ns = 0 }, before = { .ns = 0 };
	unsigned long shown = 0;
	bool again;
	int ret;

	do {
		ctl_snapshot_free(&before);
		before = now;
		ret = ctl_snapshot_take(&now, link, NULL, CTL_WORKERS_TOO, err);
		if (ret)
			break;
		print(options->batch ? stdout : ctl_screen_begin(), &now, &before, options);
		if (!options->batch)
			ctl_screen_show();
		else
			fflush(stdout);
		again = !options->count || ++shown < options->count;
		if (again)
			again = options->batch ? wait_in_batch(options) :
				wait_on_screen(options, &now, &before);
	} while (again);
	ctl_snapshot_free(&before);
	ctl_snapshot_free(&now);
	return ret;
}

static int parse_order(struct options *options, const char *text, struct mfd_error *err)
{
	size_t i;

	for (i = 0; i < NR_ORDERS; i++) {
		if (!strcmp(orders[i].name, text)) {
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
	if (!ret && optind < argc) {
		mfd_error_set(err, EINVAL, "unexpected argument '%.64s'", argv[optind]);
		ret = CTL_USAGE;
	}
	/* one picture is to stay */
	if (options->count == 1)
		options->batch = true;
	return ret;
}

static int run(int argc, char **argv, struct mfd_error *err)
{
	struct options options;
	struct ctl_link *link;
	int ret = parse(&options, argc, argv, err);

	if (!ret)
		ret = ctl_link_open(&link, err);
	if (ret)
		return ret;
	if (!options.batch)
		options.batch = !ctl_screen_open();
	ret = follow(link, &options, err);
	if (!options.batch)
		ctl_screen_close();
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
		"  -n, --count N         only N times; --once: once\n"
		"  -b, --batch           print one table below the other, also on a terminal\n"
		"  -s, --sort WHAT       by bytes (the default), pages, cpus or session\n"
		"\n"
		"Keys: q quits; b, p, c and s sort by bytes, pages, CPUs and session.\n"
		"\n"
		"What is per second is about the time since the table before; in the first one, and\n"
		"for a session that is new, about the time since the session began. DONE: of the\n"
		"pages that were handed over; ZERO: zero or never touched, of those done; RINGS: how\n"
		"full they are; CPUS: that workers keep busy for it; BOTTLENECK: see\n"
		"`mfdctl stats --help`.\n",
	.run = run,
};

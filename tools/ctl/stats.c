// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl stats: who migrates, how fast, and what it waits for. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "ctl.h"
#include "bottleneck.h"
#include "export.h"
#include "netlink.h"
#include "table.h"
#include "textfile.h"
#include "text.h"
#include "lib/error.h"

/* Long enough for a rate, and short enough for who waits for it. */
#define MOMENT_S 0.5

struct options {
	bool one;		/* only ... */
	uint64_t session;	/* ... this one */
	unsigned int what;
	bool json, prometheus, identify, watch, since_start;
	const char *output;	/* a file instead of standard output, or NULL */
	double seconds;
};

/* --- for people */

static void print_who(const struct ctl_session *session)
{
	printf("session %" PRIu64 ": ", session->id);
	ctl_put(stdout, session->comm, 0);
	printf(", pid %u, of %s: %s, for %s\n", session->pid, ctl_user(session->uid).s,
	       ctl_name(ctl_state_names, session->state), ctl_duration(session->age).s);
}

static void print_setup(const struct ctl_session *session)
{
	printf("  setup   %s, ", ctl_count(session->channels, "channel").s);
	if (session->method == 0)
		printf("not compressed");
	else
		printf("%s level %d", ctl_name(ctl_method_names, session->method),
		       session->level);
	printf(", zero-page detection %s; CPUs ",
	       ctl_name(ctl_detection_names, session->detection));
	ctl_put(stdout, session->cpus, 0);
	if (ctl_has(session, MZP_A_SESSION_UUID))
		printf("; VM %s", session->uuid);
	if (session->rate)
		printf("; at most %s/s", ctl_bytes(session->rate).s);
	putchar('\n');
}

static void print_pages(const struct ctl_session *session)
{
	const struct ctl_counters *count = &session->count;
	uint64_t done = ctl_pages_done(session);

	printf("  pages   %s of %s done (%s): ", ctl_number(done).s,
	       ctl_number(session->submitted).s, ctl_percent(done, session->submitted).s);
	ctl_print_kinds(count->normal, count->zero, count->absent, count->lost);
	printf("; %s\n", ctl_count(count->syncs, "round").s);
}

static void print_speed(const struct ctl_session *session, const struct ctl_session *before)
{
	struct ctl_speed speed = ctl_speed(session, before);
	const struct ctl_counters *count = &session->count;

	printf("  speed   %s/s, %s pages/s, %.1f CPUs busy, ", ctl_bytes(speed.bytes).s,
	       ctl_number(speed.pages).s, speed.cpus);
	if (before)
		printf("in the last %.1f s", speed.seconds);
	else
		printf("on average");
	printf("; %s in all", ctl_bytes(count->bytes_read).s);
	if (session->method != 0 && count->bytes_payload)
		printf(", compressed %.1f to 1",
		       (double)count->bytes_in / count->bytes_payload);
	if (count->bytes_encrypted)
		printf(", %s encrypted by the kernel",
		       ctl_percent(count->bytes_encrypted, count->bytes_read).s);
	putchar('\n');
}

static void print_rings(const struct ctl_session *session)
{
	const struct ctl_counters *count = &session->count;

	printf("  rings   %u of %u packets; found full %s, empty %s", count->ring_packets,
	       count->ring_size, ctl_count(count->ring_full, "time").s,
	       ctl_count(count->ring_empty, "time").s);
	if (count->throttled)
		printf("; held back by the rate %s", ctl_count(count->throttled, "time").s);
	printf("\n  made    %s of packets by readers; %s for pages, left to them %s\n",
	       ctl_percent(count->reader_packets, count->packets).s,
	       ctl_count(count->waits, "wait").s, ctl_count(count->left, "time").s);
}

static void print_error(const struct ctl_session *session)
{
	printf("  error   %s", strerror(session->error));
	if (ctl_has(session, MZP_A_SESSION_ERROR_BLOCK)) {
		printf(", block ");
		ctl_put(stdout, session->error_block, 0);
		printf(", at 0x%" PRIx64, session->error_offset);
	}
	putchar('\n');
}

static void print_channels(const struct ctl_snapshot *snapshot, uint64_t session)
{
	const struct ctl_channel *channel;

	ctl_channel_columns(stdout, CTL_ANY_WIDTH);
	putchar('\n');
	ctl_for_each(channel, &snapshot->channels) {
		if (channel->session != session)
			continue;
		ctl_channel_row(stdout, channel, CTL_ANY_WIDTH);
		putchar('\n');
	}
}

static void print_session(const struct ctl_session *session, const struct ctl_session *before,
			  const struct ctl_snapshot *snapshot, const struct options *options)
{
	print_who(session);
	if (!ctl_has(session, MZP_A_SESSION_CHANNELS)) {
		puts("  setup   none yet");
		return;
	}
	print_setup(session);
	print_pages(session);
	print_speed(session, before);
	print_rings(session);
	if (session->error)
		print_error(session);
	if (session->state == MZP_SESSION_ACTIVE || session->count.ring_packets)
		printf("  waits   %s\n",
		       ctl_bottleneck_sentence(ctl_bottleneck(session, before)));
	if (options->what & CTL_CHANNELS)
		print_channels(snapshot, session->id);
}

static void print_workers(const struct ctl_snapshot *snapshot,
			  const struct ctl_snapshot *before)
{
	const struct ctl_worker *worker, *last = before->workers.item;
	double seconds = (snapshot->ns - before->ns) / 1e9;

	printf("worker %5s %12s %9s %10s %9s %6s\n", "up", "busy", "", "packets", "sessions",
	       "queue");
	ctl_for_each(worker, &snapshot->workers) {
		printf("%6u %5s %12s", worker->cpu, worker->up ? "yes" : "no",
		       ctl_duration(worker->busy).s);
		/* the same CPUs in the same order */
		if (before->workers.nr == snapshot->workers.nr)
			printf(" %9s", ctl_percent((worker->busy - last++->busy) / 1e9,
						   seconds).s);
		else
			printf(" %9s", "");
		printf(" %10s %9" PRIu64 " %6u\n", ctl_number(worker->packets).s,
		       worker->sessions, worker->queue);
	}
}

/* What all sessions come to, those that are gone included. */
static void print_totals(const struct ctl_totals *totals)
{
	uint64_t cancelled = totals->cancelled + totals->cancelled_admin;
	uint64_t failed = totals->failed_closed + totals->failed_reader + totals->failed_job +
			  totals->failed_compressor + totals->failed_memory +
			  totals->failed_network;
	uint64_t pages = totals->normal + totals->zero + totals->absent + totals->lost;

	puts("since the module was loaded:");
	printf("  started %s; %" PRIu64 " ended, %" PRIu64 " failed, %" PRIu64 " cancelled (%" PRIu64
	       " by an administrator)\n", ctl_count(totals->started, "session").s, totals->ended,
	       failed, cancelled, totals->cancelled_admin);
	if (failed)
		printf("  failed  device closed %" PRIu64 ", channel closed %" PRIu64 ", network %" PRIu64
		       ", page %" PRIu64 ",\n          compressor %" PRIu64 ", memory %" PRIu64 "\n",
		       totals->failed_closed, totals->failed_reader, totals->failed_network,
		       totals->failed_job, totals->failed_compressor, totals->failed_memory);
	printf("  pages   %s: ", ctl_number(pages).s);
	ctl_print_kinds(totals->normal, totals->zero, totals->absent, totals->lost);
	printf("\n  sent    %s in %s\n", ctl_bytes(totals->bytes_read).s,
	       ctl_duration(totals->time).s);
}

static void print_none(const struct ctl_snapshot *snapshot)
{
	if (!snapshot->info.sessions)
		puts("no sessions: nobody migrates through multifd_zp");
	else
		printf("no sessions of yours, and %u of others (to see those takes CAP_NET_ADMIN)\n",
		       snapshot->info.sessions);
}

static void print(const struct ctl_snapshot *snapshot, const struct ctl_snapshot *before,
		  const struct options *options)
{
	const struct ctl_session *session, *first = snapshot->sessions.item;

	if (!snapshot->sessions.nr)
		print_none(snapshot);
	ctl_for_each(session, &snapshot->sessions) {
		if (session != first)
			putchar('\n');
		print_session(session, ctl_snapshot_session(before, session->id), snapshot,
			      options);
	}
	if (options->what & CTL_WORKERS_TOO) {
		putchar('\n');
		print_workers(snapshot, before);
	}
	if (options->what & CTL_TOTALS) {
		putchar('\n');
		print_totals(&snapshot->totals);
	}
}

/* --- for programs */

static void print_json(const struct ctl_snapshot *snapshot, const struct ctl_snapshot *before,
		       const struct options *options)
{
	struct json_object *object = json_object_new_object(), *sessions;
	const struct ctl_session *session = snapshot->sessions.item;
	size_t i;

	ctl_json_time(object);
	ctl_json_list(object, "sessions", &snapshot->sessions);
	json_object_object_get_ex(object, "sessions", &sessions);
	for (i = 0; i < snapshot->sessions.nr; i++, session++) {
		const struct ctl_session *last = ctl_snapshot_session(before, session->id);

		json_object_object_add(json_object_array_get_idx(sessions, i), "bottleneck",
			json_object_new_string(ctl_bottleneck_word(ctl_bottleneck(session,
										  last))));
	}
	if (options->what & CTL_CHANNELS)
		ctl_json_list(object, "channels", &snapshot->channels);
	if (options->what & CTL_WORKERS_TOO)
		ctl_json_list(object, "workers", &snapshot->workers);
	if (options->what & CTL_TOTALS)
		json_object_object_add(object, "totals", ctl_json(&ctl_totals_set,
								   &snapshot->totals));
	ctl_json_print(object);
}

static void show(const struct ctl_snapshot *snapshot, const struct ctl_snapshot *before,
		 const struct options *options)
{
	if (options->prometheus)
		ctl_prometheus(stdout, snapshot, options->identify);
	else if (options->json)
		print_json(snapshot, before, options);
	else
		print(snapshot, before, options);
}

/* --- once, or again and again */

/* Between two samples for people: a new page, or at least a gap. */
static void next_page(const struct options *options)
{
	if (options->json)
		return;
	fputs(isatty(STDOUT_FILENO) ? "\033[H\033[2J" : "\n", stdout);
}

static int take(struct ctl_snapshot *snapshot, struct ctl_link *link,
		const struct options *options, struct mfd_error *err)
{
	int ret = ctl_snapshot_take(snapshot, link, options->one ? &options->session : NULL,
				    options->what, err);

	return ret || !options->prometheus ? ret : ctl_snapshot_take_more(snapshot, link, err);
}

/* What is shown first is about a moment as well, unless that is not wanted. */
static int take_first(struct ctl_snapshot *before, struct ctl_link *link,
		      const struct options *options, struct mfd_error *err)
{
	int ret;

	if (options->since_start || options->prometheus)
		return 0;
	ret = take(before, link, options, err);
	if (!ret && before->sessions.nr)
		ctl_pause(MOMENT_S);
	return ret;
}

static int watch(struct ctl_link *link, const struct options *options, struct mfd_error *err)
{
	const struct ctl_snapshot nothing = { .ns = 0 };
	struct ctl_snapshot now, before = { .ns = 0 };
	int ret = take_first(&before, link, options, err);

	while (!ret) {
		ret = take(&now, link, options, err);
		if (!ret)
			show(&now, options->since_start ? &nothing : &before, options);
		ctl_snapshot_free(&before);
		before = now;
		if (ret || !options->watch)
			break;
		if (fflush(stdout)) {
			ret = mfd_error_errno(err, errno, "standard output");
			break;
		}
		ctl_pause(options->seconds);
		next_page(options);
	}
	ctl_snapshot_free(&before);
	return ret;
}

/*
 * Metrics to a file. One of a module that is not there any more would be taken for its
 * present state, so it goes; that is no error of whoever asks in vain every 15 seconds.
 */
static int write_metrics(const struct options *options, struct mfd_error *err)
{
	struct ctl_snapshot now = { .ns = 0 };
	struct ctl_textfile text;
	struct ctl_link *link;
	int ret = ctl_link_open(&link, err);

	if (!ret)
		ret = take(&now, link, options, err);
	if (ret == -ENOENT && !options->one)
		ret = unlink(options->output) && errno != ENOENT ?
		      mfd_error_errno(err, errno, "%s", options->output) : 0;
	else if (!ret)
		ret = ctl_textfile_open(&text, options->output, err);
	if (!ret && now.ns) {
		ctl_prometheus(text.file, &now, options->identify);
		ret = ctl_textfile_publish(&text, err);
	}
	ctl_snapshot_free(&now);
	ctl_link_close(link);
	return ret;
}

static int parse(struct options *options, int argc, char **argv, struct mfd_error *err)
{
	static const struct option long_options[] = {
		{ "channels", no_argument, NULL, 'c' },
		{ "workers", no_argument, NULL, 'w' },
		{ "totals", no_argument, NULL, 't' },
		{ "json", no_argument, NULL, 'j' },
		{ "prometheus", no_argument, NULL, 'p' },
		{ "identify", no_argument, NULL, 'i' },
		{ "output", required_argument, NULL, 'o' },
		{ "watch", optional_argument, NULL, 'W' },
		{ "since-start", no_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	*options = (struct options) { .seconds = 1 };
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == 'c') {
			options->what |= CTL_CHANNELS;
		} else if (option == 'w') {
			options->what |= CTL_WORKERS_TOO;
		} else if (option == 't') {
			options->what |= CTL_TOTALS;
		} else if (option == 'j') {
			options->json = true;
		} else if (option == 'p') {
			options->prometheus = true;
		} else if (option == 'i') {
			options->identify = true;
		} else if (option == 'o') {
			options->output = optarg;
		} else if (option == 's') {
			options->since_start = true;
		} else if (option == 'W') {
			options->watch = true;
			if (optarg && ctl_parse_seconds("--watch", optarg, &options->seconds, err))
				return CTL_USAGE;
		} else {
			return CTL_USAGE;
		}
	}
	if (options->prometheus && (options->json || options->watch)) {
		mfd_error_set(err, EINVAL, "--prometheus goes neither with --json nor with --watch");
		return CTL_USAGE;
	}
	if ((options->identify || options->output) && !options->prometheus) {
		mfd_error_set(err, EINVAL, "--identify and --output are for --prometheus");
		return CTL_USAGE;
	}
	return ctl_session_argument(argc, argv, &options->one, &options->session, err);
}

static int run(int argc, char **argv, struct mfd_error *err)
{
	struct options options;
	struct ctl_link *link;
	int ret = parse(&options, argc, argv, err);

	if (!ret && options.output)
		return write_metrics(&options, err);
	if (!ret)
		ret = ctl_link_open(&link, err);
	if (ret)
		return ret;
	ret = watch(link, &options, err);
	ctl_link_close(link);
	return ret;
}

const struct ctl_command ctl_stats_command = {
	.name = "stats",
	.arguments = "[SESSION] [OPTION]…",
	.summary = "who migrates, how fast, and what does it wait for?",
	.help = "Each session that you may see, or the one that is named: whose it is, how far it is,\n"
		"how fast, and what it waits for.\n"
		"\n"
		"  --channels          also its channels, one a line\n"
		"  --workers           also the workers, one for each CPU\n"
		"  --totals            also what all sessions come to since the module was loaded,\n"
		"                      those that are gone included (takes CAP_NET_ADMIN)\n"
		"  --watch[=SECONDS]   again and again, every second or every SECONDS (only behind a\n"
		"                      =: after a blank it is a session)\n"
		"  --since-start       what is per second, and what it waits for, is about all the\n"
		"                      time since a session began; else about the last half second,\n"
		"                      or the time between two of --watch\n"
		"  --json              one object a sample; its members are called as in the netlink\n"
		"                      interface, all counters in full\n"
		"  --prometheus        metrics in Prometheus' text format; sessions are told apart by slots,\n"
		"                      small numbers that are used again\n"
		"  --identify          also a metric that says which session, process and VM each slot is\n"
		"                      now: a new series for each session that ever is\n"
		"  --output FILE       metrics into this file, which is replaced at once and which all\n"
		"                      can read; where the module is not loaded, it is removed\n"
		"\n"
		"The last line of a session says what it waits for (in JSON: `bottleneck`):\n"
		"  the network     `network`: rings and sockets are full. The network, or the\n"
		"                  destination, is slower than the making of packets.\n"
		"  CPU time        `cpus`: readers find rings empty though there is work. More\n"
		"                  CPUs, more channels or less compression would help.\n"
		"  the source's pages\n"
		"                  `source-pages`: likewise, because pages had to be brought in\n"
		"                  (swap, userfaultfd).\n"
		"  its rate limit  `rate-limit`: it gets what `mfdctl limit` allows.\n"
		"  the VMM         `idle`: all that was handed over is sent.\n"
		"\n"
		"Examples:\n"
		"    mfdctl stats --channels --watch=2\n"
		"    mfdctl stats --json | jq '.sessions[] | {pid, submitted, bottleneck}'\n"
		"    mfdctl stats --prometheus --workers --output $TEXTFILES/multifd_zp.prom\n",
	.run = run,
};

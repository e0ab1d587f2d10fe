// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl host, mfdctl drain: what holds for the whole host. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "ctl.h"
#include "export.h"
#include "netlink.h"
#include "snapshot.h"
#include "text.h"
#include "lib/error.h"

/* How often to look whether the last session is gone, of which nobody is told. */
#define LOOK_S 0.2

/* --- what is in force */

static void print_rate(const char *what, uint64_t rate, const char *meaning)
{
	printf("  %-13s ", what);
	if (rate)
		printf("%s/s", ctl_bytes(rate).s);
	else
		printf("none");
	printf(", %s\n", meaning);
}

static void print_text(const struct ctl_host *host)
{
	puts(host->draining ? "the host is drained: no session may be set up" :
			      "sessions may be set up");
	printf("  %-13s %u set up, ", "sessions", host->sessions);
	if (host->max_sessions)
		printf("at most %u", host->max_sessions);
	else
		printf("no limit but that of each user");
	printf("; %" PRIu64 " refused so far\n", host->refused);
	print_rate("default rate", host->default_rate, "of a session whose VMM sets none");
	print_rate("highest rate", host->max_rate, "of a session, unless `limit` gave it another");
	print_rate("total rate", host->total_rate, "of all sessions together");
}

static void print_json(const struct ctl_host *host)
{
	struct json_object *object = ctl_json(&ctl_host_set, host);

	ctl_json_time(object);
	ctl_json_print(object);
}

static int show(struct ctl_link *link, bool json, struct mfd_error *err)
{
	struct ctl_host host;
	int ret = ctl_get(ctl_request_new(link, MZP_NL_CMD_HOST_GET), &ctl_host_set, &host, err);

	if (!ret)
		(json ? print_json : print_text)(&host);
	return ret;
}

/* --- host */

/* The settings, which are options and attributes of the same names. */
enum setting { MAX_SESSIONS, DEFAULT_RATE, MAX_RATE, TOTAL_RATE, SETTINGS };

static const int attributes[SETTINGS] = {
	[MAX_SESSIONS] = MZP_A_HOST_MAX_SESSIONS,
	[DEFAULT_RATE] = MZP_A_HOST_DEFAULT_RATE,
	[MAX_RATE] = MZP_A_HOST_MAX_RATE,
	[TOTAL_RATE] = MZP_A_HOST_TOTAL_RATE,
};

struct options {
	bool json, given[SETTINGS];
	uint64_t value[SETTINGS];
};

static int parse_sessions(const char *text, uint64_t *sessions, struct mfd_error *err)
{
	char *end;

	*sessions = 0;
	if (!strcmp(text, "none"))
		return 0;
	errno = 0;
	*sessions = strtoul(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end || !*sessions || *sessions > UINT32_MAX)
		return mfd_error_set(err, EINVAL,
				     "--max-sessions: a number from 1 on is wanted, or none, not '%.64s' (drain lets none in)",
				     text);
	return 0;
}

static int parse(struct options *options, int argc, char **argv, struct mfd_error *err)
{
	static const struct option long_options[] = {
		{ "max-sessions", required_argument, NULL, MAX_SESSIONS },
		{ "default-rate", required_argument, NULL, DEFAULT_RATE },
		{ "max-rate", required_argument, NULL, MAX_RATE },
		{ "total-rate", required_argument, NULL, TOTAL_RATE },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	int option, ret = 0;

	while (!ret && (option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == 'j') {
			options->json = true;
			continue;
		}
		if (option >= SETTINGS)
			return CTL_USAGE;
		options->given[option] = true;
		ret = option == MAX_SESSIONS ?
		      parse_sessions(optarg, &options->value[option], err) :
		      ctl_parse_rate(optarg, &options->value[option], err);
	}
	return ret ? CTL_USAGE : ctl_no_argument(argc, argv, err);
}

/* Set what was given, if anything. */
static int set(struct ctl_link *link, const struct options *options, struct mfd_error *err)
{
	struct ctl_request *request = ctl_request_new(link, MZP_NL_CMD_HOST_SET);
	int i;

	for (i = 0; i < SETTINGS; i++) {
		if (options->given[i] && i == MAX_SESSIONS)
			ctl_request_u32(request, attributes[i], options->value[i]);
		else if (options->given[i])
			ctl_request_u64(request, attributes[i], options->value[i]);
	}
	return ctl_request(request, NULL, NULL, err);
}

static int run_host(int argc, char **argv, struct mfd_error *err)
{
	struct options options = { .json = false };
	struct ctl_link *link;
	int ret = parse(&options, argc, argv, err);

	if (!ret)
		ret = ctl_link_open(&link, err);
	if (ret)
		return ret;
	ret = set(link, &options, err);
	if (!ret)
		ret = show(link, options.json, err);
	ctl_link_close(link);
	return ret;
}

/* --- drain */

/* Who is still there, for who waits. */
static void print_who(const struct ctl_snapshot *snapshot)
{
	const struct ctl_session *session;

	fprintf(stderr, "waiting for %s:", ctl_count(snapshot->info.sessions, "session").s);
	ctl_for_each(session, &snapshot->sessions) {
		fprintf(stderr, " %" PRIu64 " (", session->id);
		ctl_put(stderr, session->comm, 0);
		fprintf(stderr, ", pid %u)", session->pid);
	}
	fputc('\n', stderr);
}

/* Until nobody has the device or a channel open; only then can the module be unloaded. */
static int wait_for_all(struct ctl_link *link, struct mfd_error *err)
{
	struct ctl_snapshot snapshot;
	uint32_t last = 0, now = 1;
	int ret = 0;

	while (!ret && now) {
		ret = ctl_snapshot_take(&snapshot, link, NULL, 0, err);
		now = snapshot.info.sessions;
		if (!ret && now && now != last)
			print_who(&snapshot);
		ctl_snapshot_free(&snapshot);
		last = now;
		if (!ret && now)
			ctl_pause(LOOK_S);
	}
	return ret;
}

static int drain(struct ctl_link *link, bool off, bool wait, bool json, struct mfd_error *err)
{
	struct ctl_request *request = ctl_request_new(link, MZP_NL_CMD_HOST_SET);
	int ret;

	ctl_request_u32(request, MZP_A_HOST_DRAINING, !off);
	ret = ctl_request(request, NULL, NULL, err);
	if (!ret && wait)
		ret = wait_for_all(link, err);
	return ret ? ret : show(link, json, err);
}

static int run_drain(int argc, char **argv, struct mfd_error *err)
{
	static const struct option long_options[] = {
		{ "off", no_argument, NULL, 'o' },
		{ "wait", no_argument, NULL, 'w' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	bool off = false, wait = false, json = false;
	struct ctl_link *link;
	int option, ret;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		off |= option == 'o';
		wait |= option == 'w';
		json |= option == 'j';
		if (option == '?')
			return CTL_USAGE;
	}
	if (off && wait) {
		mfd_error_set(err, EINVAL, "--off and --wait: there is nothing to wait for");
		return CTL_USAGE;
	}
	ret = ctl_no_argument(argc, argv, err);
	if (!ret)
		ret = ctl_link_open(&link, err);
	if (ret)
		return ret;
	ret = drain(link, off, wait, json, err);
	ctl_link_close(link);
	return ret;
}

const struct ctl_command ctl_host_command = {
	.name = "host",
	.arguments = "[--max-sessions N|none] [--default-rate RATE|none] [--max-rate RATE|none]\n"
		     "                   [--total-rate RATE|none] [--json]",
	.summary = "limits of the whole host: sessions, and their rates",
	.help = "Set what is given, then show what is in force. It holds from now on, for sessions\n"
		"that exist as well, until the module is unloaded; parameters of the module that are\n"
		"called max_sessions, default_rate, max_rate and total_rate (bytes per second, as\n"
		"numbers) hold from the beginning.\n"
		"\n"
		"  --max-sessions N      so many are set up at most; more are refused, but none is ended\n"
		"  --default-rate RATE   of a session whose VMM sets no rate itself\n"
		"  --max-rate RATE       of a session at most, unless `mfdctl limit` gives it another\n"
		"  --total-rate RATE     of all sessions together; their channels share it equally\n"
		"  --json                what is in force, as an object\n"
		"\n"
		"A RATE is bytes per second as for `mfdctl limit`: 100M, 1.5Gi; none: no limit.\n"
		"\n"
		"Takes CAP_NET_ADMIN.\n"
		"\n"
		"Example: a link of 10 Gbit/s, of which migrations get a half, and none more than a third\n"
		"    mfdctl host --total-rate 625M --max-rate 417M\n",
	.run = run_host,
};

const struct ctl_command ctl_drain_command = {
	.name = "drain",
	.arguments = "[--wait | --off] [--json]",
	.summary = "let no session begin any more, such as before an upgrade",
	.help = "From now on no session can be set up: VMMs that want to are told that it is an\n"
		"administrator who does not let them. Sessions that exist go on to their ends.\n"
		"\n"
		"  --wait   until no session is left, whoever's. It says on standard error which it\n"
		"           waits for; then the module can be unloaded\n"
		"  --off    let sessions begin again\n"
		"  --json   what is in force, as an object\n"
		"\n"
		"Takes CAP_NET_ADMIN.\n"
		"\n"
		"Example: upgrade the module\n"
		"    mfdctl drain --wait && rmmod multifd_zp && modprobe multifd_zp\n",
	.run = run_drain,
};

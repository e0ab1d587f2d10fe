// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl history: the last sessions that are gone, and how they ended. */
#include <inttypes.h>
#include <stdlib.h>

#include <json-c/json.h>

#include "ctl.h"
#include "export.h"
#include "netlink.h"
#include "snapshot.h"
#include "text.h"
#include "lib/error.h"

static void print_record(const struct ctl_session *session)
{
	const struct ctl_counters *count = &session->count;
	uint64_t pages = ctl_pages_done(session);

	printf("%s session %" PRIu64 " (", ctl_time(session->end_time).s, session->id);
	ctl_put(stdout, session->comm, 0);
	printf(", pid %u, of %s) ", session->pid, ctl_user(session->uid).s);
	if (session->reason)
		printf("failed, %s,", ctl_reason_sentence(session->reason));
	else
		printf("ended");
	printf(" after %s: %s", ctl_duration(session->duration).s, ctl_count(pages, "page").s);
	if (pages)
		printf(", %s with data, %s zero, %s never touched",
		       ctl_percent(count->normal, pages).s, ctl_percent(count->zero, pages).s,
		       ctl_percent(count->absent, pages).s);
	if (count->lost)
		printf(", %s lost", ctl_percent(count->lost, pages).s);
	printf("; %s sent, %s\n", ctl_bytes(count->bytes_read).s,
	       ctl_count(count->syncs, "round").s);
}

static void print_text(const struct ctl_list *records)
{
	const struct ctl_session *session;

	if (!records->nr)
		puts("no session has gone since the module was loaded");
	ctl_for_each(session, records)
		print_record(session);
}

static void print_json(const struct ctl_list *records)
{
	struct json_object *object = json_object_new_object();

	ctl_json_time(object);
	ctl_json_list(object, "sessions", records);
	ctl_json_print(object);
}

struct options {
	bool json, one;
	uint64_t session;
};

static int parse(struct options *options, int argc, char **argv, struct mfd_error *err)
{
	static const struct option long_options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option != 'j')
			return CTL_USAGE;
		options->json = true;
	}
	return ctl_session_argument(argc, argv, &options->one, &options->session, err);
}

static int run(int argc, char **argv, struct mfd_error *err)
{
	struct options options = { .json = false };
	struct ctl_list records;
	struct ctl_link *link;
	int ret = parse(&options, argc, argv, err);

	if (!ret)
		ret = ctl_link_open(&link, err);
	if (ret)
		return ret;
	ret = ctl_history_take(&records, link, options.one ? &options.session : NULL, err);
	ctl_link_close(link);
	if (!ret)
		(options.json ? print_json : print_text)(&records);
	free(records.item);
	return ret;
}

const struct ctl_command ctl_history_command = {
	.name = "history",
	.arguments = "[SESSION] [--json]",
	.summary = "the last sessions that are gone, and how they ended",
	.help = "The last 256 sessions that are gone, the oldest first, or the one that is named: when\n"
		"and why each was over, how long it took, and what it came to. Those that have ended\n"
		"or failed, but whose VMM still has descriptors of them, are not gone: `stats` has\n"
		"them. It is forgotten when the module is unloaded.\n"
		"\n"
		"  --json   an object whose `sessions` have members that are called as in the\n"
		"           netlink interface; `reason` is none for those that have ended well\n"
		"\n"
		"Takes CAP_NET_ADMIN.\n"
		"\n"
		"Example: those that failed in the last hour\n"
		"    mfdctl history --json | jq '.time as $now | .sessions[] |\n"
		"        select(.state == \"failed\" and .[\"end-time\"] / 1e9 > $now - 3600)'\n",
	.run = run,
};

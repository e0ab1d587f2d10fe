// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl history: the last sessions that are gone, and how they ended. */
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

	printf("%s ", ctl_time(session->end_time).s);
	ctl_print_who(session);
	putchar(' ');
	if (session->reason)
		printf("failed, %s,", ctl_reason_sentence(session->reason));
	else
		printf("ended");
	printf(" after %s: %s", ctl_duration(session->duration).s, ctl_count(pages, "page").s);
	if (pages) {
		printf(", ");
		ctl_print_kinds(count->normal, count->zero, count->absent, count->lost);
	}
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

static int run(int argc, char **argv, struct mfd_error *err)
{
	struct ctl_list records;
	struct ctl_link *link;
	uint64_t session;
	bool json, one;
	int ret;

	ret = ctl_json_option(argc, argv, &json) ?:
	      ctl_session_argument(argc, argv, &one, &session, err);
	if (!ret)
		ret = ctl_link_open(&link, err);
	if (ret)
		return ret;
	ret = ctl_history_take(&records, link, one ? &session : NULL, err);
	ctl_link_close(link);
	if (!ret)
		(json ? print_json : print_text)(&records);
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

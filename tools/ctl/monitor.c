// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl monitor: events as they happen. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>

#include "ctl.h"
#include "export.h"
#include "netlink.h"
#include "text.h"
#include "lib/error.h"

static const char *event_name(uint8_t cmd)
{
	switch (cmd) {
	case MZP_NL_CMD_SESSION_CREATED:
		return "session-created";
	case MZP_NL_CMD_SESSION_SYNCED:
		return "session-synced";
	case MZP_NL_CMD_SESSION_FAILED:
		return "session-failed";
	case MZP_NL_CMD_SESSION_ENDED:
		return "session-ended";
	}
	return NULL;
}

static void print_time(void)
{
	struct timespec now;
	char text[16];
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	printf("%s.%03ld ", text, now.tv_nsec / 1000000);
}

static void print_created(const struct ctl_session *session)
{
	printf("created: %s, compression %s, zero-page detection %s",
	       ctl_count(session->channels, "channel").s,
	       ctl_name(ctl_method_names, session->method),
	       ctl_name(ctl_detection_names, session->detection));
}

static void print_round(const struct ctl_round *round)
{
	uint64_t done = round->normal + round->zero + round->absent + round->lost;

	printf("round %u: %s in %s", round->number, ctl_count(done, "page").s,
	       ctl_duration(round->duration).s);
	if (done)
		printf(": %s with data, %s zero, %s never touched",
		       ctl_percent(round->normal, done).s, ctl_percent(round->zero, done).s,
		       ctl_percent(round->absent, done).s);
	if (round->lost)
		printf(", %s lost", ctl_percent(round->lost, done).s);
}

static void print_total(const struct ctl_session *session)
{
	const struct ctl_counters *count = &session->count;

	printf(" after %s: %" PRIu64 " of %" PRIu64 " pages done, %s, %s",
	       ctl_duration(session->age).s, ctl_pages_done(session) - count->lost,
	       session->submitted, ctl_count(count->syncs, "round").s, ctl_bytes(count->bytes_out).s);
}

static void print_text(uint8_t cmd, const struct ctl_session *session)
{
	print_time();
	printf("session %" PRIu64 " (", session->id);
	ctl_put(stdout, session->comm, 0);
	printf(", pid %u, of %s) ", session->pid, ctl_user(session->uid).s);
	switch (cmd) {
	case MZP_NL_CMD_SESSION_CREATED:
		print_created(session);
		break;
	case MZP_NL_CMD_SESSION_SYNCED:
		print_round(&session->round);
		break;
	case MZP_NL_CMD_SESSION_FAILED:
		printf("failed, %s,", strerror(session->error));
		print_total(session);
		break;
	case MZP_NL_CMD_SESSION_ENDED:
		printf("ended");
		print_total(session);
		break;
	}
	putchar('\n');
}

static void print_json(const char *name, const struct ctl_session *session)
{
	struct json_object *object = session ? ctl_json(&ctl_session_set, session) :
						 json_object_new_object();

	ctl_json_time(object);
	json_object_object_add(object, "event", json_object_new_string(name));
	ctl_json_print(object);
}

static void on_event(uint8_t cmd, const struct nlattr *attrs, int len, void *json)
{
	const char *name = event_name(cmd);
	struct ctl_session session;

	if (!name)
		return;
	ctl_parse(&ctl_session_set, attrs, len, &session);
	if (json)
		print_json(name, &session);
	else
		print_text(cmd, &session);
}

static void on_loss(bool json)
{
	if (json) {
		print_json("lost", NULL);
		return;
	}
	print_time();
	puts("events were lost: they came faster than they could be shown");
}

static int listen_on(struct ctl_link *link, bool json, struct mfd_error *err)
{
	int ret = ctl_listen(link, err);

	while (!ret) {
		ret = ctl_events(link, on_event, json ? &json : NULL, err);
		if (ret == -ENOBUFS) {
			on_loss(json);
			ret = 0;
		}
		if (!ret && (fflush(stdout) || ferror(stdout)))
			ret = mfd_error_errno(err, errno, "standard output");
	}
	return ret;
}

static int run(int argc, char **argv, struct mfd_error *err)
{
	struct ctl_link *link;
	bool json;
	int ret;

	ret = ctl_json_option(argc, argv, &json, err);
	if (!ret)
		ret = ctl_link_open(&link, err);
	if (ret)
		return ret;
	ret = listen_on(link, json, err);
	ctl_link_close(link);
	return ret;
}

const struct ctl_command ctl_monitor_command = {
	.name = "monitor",
	.arguments = "[--json]",
	.summary = "events as they happen: set up, round complete, failed, ended",
	.help = "Sessions' events as they happen, each on a line, until it is interrupted:\n"
		"  created   it was set up\n"
		"  round N   all pages of the round are in the rings, and what they were\n"
		"  failed    it was cancelled, or is over before its time\n"
		"  ended     it has come to its end: all that was handed over is in the rings\n"
		"If events come faster than they can be shown, some are lost, and a line says so.\n"
		"\n"
		"  --json   an object for each; its members are called as in the netlink\n"
		"           interface, and `event` is what happened; `lost` if some are missing\n"
		"\n"
		"Takes CAP_NET_ADMIN.\n",
	.run = run,
};

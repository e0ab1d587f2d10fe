// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl monitor: what there is, then events as they happen. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>

#include "ctl.h"
#include "export.h"
#include "netlink.h"
#include "snapshot.h"
#include "text.h"
#include "lib/error.h"

static const char *event_name(uint8_t cmd)
{
	switch (cmd) {
	case MZP_NL_CMD_SESSION_GET:
		return "session-exists";
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

	clock_gettime(CLOCK_REALTIME, &now);
	printf("%s ", ctl_time(now.tv_sec * 1000000000ull + now.tv_nsec).s);
}

static void print_created(const struct ctl_session *session)
{
	printf("%s, compression %s, zero-page detection %s",
	       ctl_count(session->channels, "channel").s,
	       ctl_name(ctl_method_names, session->method),
	       ctl_name(ctl_detection_names, session->detection));
}

static void print_round(const struct ctl_round *round)
{
	uint64_t done = round->normal + round->zero + round->absent + round->lost;

	printf("round %u: %s in %s", round->number, ctl_count(done, "page").s,
	       ctl_duration(round->duration).s);
	if (done) {
		printf(": ");
		ctl_print_kinds(round->normal, round->zero, round->absent, round->lost);
	}
}

static void print_total(const struct ctl_session *session)
{
	const struct ctl_counters *count = &session->count;

	printf(" after %s: %" PRIu64 " of %" PRIu64 " pages done, %s, %s",
	       ctl_duration(session->age).s, ctl_pages_done(session) - count->lost,
	       session->submitted, ctl_count(count->syncs, "round").s, ctl_bytes(count->bytes_out).s);
}

static void print_failed(const struct ctl_session *session)
{
	printf("failed, %s,", ctl_has(session, MZP_A_SESSION_REASON) ?
	       ctl_reason_sentence(session->reason) : strerror(session->error));
	print_total(session);
}

/* What was there before anybody listened. */
static void print_exists(const struct ctl_session *session)
{
	printf("exists, %s, ", ctl_name(ctl_state_names, session->state));
	print_created(session);
	print_total(session);
}

static void print_text(uint8_t cmd, const struct ctl_session *session)
{
	print_time();
	ctl_print_who(session);
	putchar(' ');
	switch (cmd) {
	case MZP_NL_CMD_SESSION_GET:
		print_exists(session);
		break;
	case MZP_NL_CMD_SESSION_CREATED:
		printf("created: ");
		print_created(session);
		break;
	case MZP_NL_CMD_SESSION_SYNCED:
		print_round(&session->round);
		break;
	case MZP_NL_CMD_SESSION_FAILED:
		print_failed(session);
		break;
	case MZP_NL_CMD_SESSION_ENDED:
		printf("ended");
		print_total(session);
		break;
	}
	putchar('\n');
}

static void print_json(const char *name, struct json_object *object)
{
	ctl_json_time(object);
	json_object_object_add(object, "event", json_object_new_string(name));
	ctl_json_print(object);
}

/**
 * struct monitor - what is shown, and what of it is known
 * @json: as objects
 * @one: only ...
 * @session: ... this one
 * @state: what there was when the state was told; events that it has already are not
 *	told again
 */
struct monitor {
	bool json, one;
	uint64_t session;
	struct ctl_snapshot state;
};

static void tell(const struct monitor *monitor, uint8_t cmd, const struct ctl_session *session)
{
	if (monitor->one && session->id != monitor->session)
		return;
	if (monitor->json)
		print_json(event_name(cmd), ctl_json(&ctl_session_set, session));
	else
		print_text(cmd, session);
}

/* What is about no session; @version: the module's, or NULL. */
static void tell_all(const struct monitor *monitor, const char *name, const char *text,
		     const char *version)
{
	struct json_object *object;

	if (monitor->json) {
		object = json_object_new_object();
		if (version)
			json_object_object_add(object, "version", json_object_new_string(version));
		print_json(name, object);
		return;
	}
	print_time();
	fputs(text, stdout);
	if (version)
		ctl_put(stdout, version, 0);
	putchar('\n');
}

/*
 * Whether an event came before the state was told that it led to. It had been subscribed to
 * before, so none that came later is missing.
 */
static bool is_known(const struct monitor *monitor, uint8_t cmd, const struct ctl_session *session)
{
	const struct ctl_session *known = ctl_snapshot_session(&monitor->state, session->id);

	if (!known || known->state == MZP_SESSION_NEW)
		return false;
	switch (cmd) {
	case MZP_NL_CMD_SESSION_SYNCED:
		return session->round.number <= known->count.syncs;
	case MZP_NL_CMD_SESSION_ENDED:
		return known->state != MZP_SESSION_ACTIVE;
	case MZP_NL_CMD_SESSION_FAILED:
		return known->state == MZP_SESSION_FAILED;
	}
	return true;
}

static void on_event(uint8_t cmd, const struct nlattr *attrs, int len, void *opaque)
{
	const struct monitor *monitor = opaque;
	struct ctl_session session;

	if (!event_name(cmd))
		return;
	ctl_parse(&ctl_session_set, attrs, len, &session);
	if (!is_known(monitor, cmd, &session))
		tell(monitor, cmd, &session);
}

/* Ask by another link than the one that listens, which has to be open already. */
static int take_state(struct monitor *monitor, struct mfd_error *err)
{
	struct ctl_link *link;
	int ret;

	ctl_snapshot_free(&monitor->state);
	ret = ctl_link_open(&link, err);
	if (ret)
		return ret;
	ret = ctl_snapshot_take(&monitor->state, link, NULL, 0, err);
	ctl_link_close(link);
	return ret;
}

static int check_namespace(const struct monitor *monitor, struct mfd_error *err)
{
	const struct ctl_info *info = &monitor->state.info;

	if (!ctl_has(info, MZP_A_INFO_EVENTS) || info->events)
		return 0;
	return mfd_error_set(err, ENONET,
			     "events are told in the host's initial network namespace, and this is another one (nsenter --net=/proc/1/ns/net, if PID 1 is the host's)");
}

/* Returns -ENOENT if the module is not there: the link that listens tells more. */
static int tell_state(struct monitor *monitor, struct mfd_error *err)
{
	const struct ctl_session *session;
	int ret = take_state(monitor, err);

	if (!ret)
		ret = check_namespace(monitor, err);
	if (ret)
		return ret;
	ctl_for_each(session, &monitor->state.sessions)
		if (session->state != MZP_SESSION_NEW)
			tell(monitor, MZP_NL_CMD_SESSION_GET, session);
	tell_all(monitor, "listening", "listening", NULL);
	return 0;
}

static int on_reload(struct monitor *monitor, struct ctl_link *link, struct mfd_error *err)
{
	int ret;

	tell_all(monitor, "module-unloaded", "the module was unloaded", NULL);
	fflush(stdout);
	ret = ctl_listen_again(link, err);
	if (!ret)
		ret = take_state(monitor, err);
	if (!ret)
		tell_all(monitor, "module-loaded", "the module was loaded, version ",
			 monitor->state.info.version);
	return ret ? ret : tell_state(monitor, err);
}

static int on_loss(struct monitor *monitor, struct ctl_link *link, struct mfd_error *err)
{
	int ret;

	tell_all(monitor, "lost", "events were lost: they came faster than they could be shown",
		 NULL);
	/* the one that told of the module's end may have been one of them */
	ret = ctl_listen_again(link, err);
	return ret ? ret : tell_state(monitor, err);
}

static int listen_on(struct monitor *monitor, struct ctl_link *link, struct mfd_error *err)
{
	int ret = tell_state(monitor, err);

	while (!ret) {
		if (fflush(stdout) || ferror(stdout))
			return mfd_error_errno(err, errno, "standard output");
		ret = ctl_events(link, on_event, monitor, err);
		if (ret == -ENOBUFS)
			ret = on_loss(monitor, link, err);
		/* or it went while it was asked */
		while (ret == -ENODEV || ret == -ENOENT)
			ret = on_reload(monitor, link, err);
	}
	return ret;
}

static int parse(struct monitor *monitor, int argc, char **argv, struct mfd_error *err)
{
	static const struct option long_options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "session", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == 'j') {
			monitor->json = true;
		} else if (option == 's') {
			monitor->one = true;
			if (ctl_parse_id(optarg, &monitor->session, err))
				return CTL_USAGE;
		} else {
			return CTL_USAGE;
		}
	}
	return ctl_no_argument(argc, argv, err);
}

static int run(int argc, char **argv, struct mfd_error *err)
{
	struct monitor monitor = { .json = false };
	struct ctl_link *link;
	int ret = parse(&monitor, argc, argv, err);

	if (!ret)
		ret = ctl_link_open(&link, err);
	if (ret)
		return ret;
	ret = ctl_listen(link, err);
	if (!ret)
		ret = listen_on(&monitor, link, err);
	ctl_snapshot_free(&monitor.state);
	ctl_link_close(link);
	return ret;
}

const struct ctl_command ctl_monitor_command = {
	.name = "monitor",
	.arguments = "[--session SESSION] [--json]",
	.summary = "sessions that there are, then events as they happen",
	.help = "Sessions that there are, then events as they happen, each on a line, until it is\n"
		"interrupted:\n"
		"  exists    it was there before; how far it is\n"
		"  listening all that exist have been told; events follow, and none is missing\n"
		"  created   it was set up\n"
		"  round N   all pages of the round are in the rings, and what they were\n"
		"  failed    it was cancelled, or is over before its time\n"
		"  ended     it has come to its end: all that was handed over is in the rings\n"
		"If events come faster than they can be shown, some are lost; then a line says so, and\n"
		"it begins anew with what exists. The same when the module is loaded anew.\n"
		"\n"
		"  --session SESSION   only this one\n"
		"  --json   an object for each; its members are called as in the netlink\n"
		"           interface, and `event` is what happened: session-exists, listening,\n"
		"           session-created, -synced, -failed, -ended, lost, module-unloaded,\n"
		"           module-loaded\n"
		"\n"
		"Takes CAP_NET_ADMIN, in the initial network namespace.\n",
	.run = run,
};

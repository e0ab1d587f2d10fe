// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl cancel, mfdctl limit: what an administrator may do about a session. */
#include <errno.h>
#include <string.h>

#include <json-c/json.h>

#include <linux/multifd_zp_netlink.h>

#include "ctl.h"
#include "export.h"
#include "netlink.h"
#include "snapshot.h"
#include "text.h"
#include "lib/error.h"

/* What `limit` wants; of `cancel`, how it tells what it did. */
struct limits {
	const char *cpus;	/* or NULL: as it is */
	const char *rate;
	uint64_t rate_value;
	bool json;
};

static int session_argument(int argc, char **argv, uint64_t *id, struct mfd_error *err)
{
	bool given;
	int ret = ctl_session_argument(argc, argv, &given, id, err);

	if (!ret && !given) {
		mfd_error_set(err, EINVAL, "which session?");
		ret = CTL_USAGE;
	}
	return ret;
}

static int get_session(struct ctl_link *link, uint64_t id, struct ctl_session *session,
		       struct mfd_error *err)
{
	struct ctl_request *request = ctl_request_new(link, MZP_NL_CMD_SESSION_GET);

	ctl_request_u64(request, MZP_A_SESSION_ID, id);
	return ctl_get(request, &ctl_session_set, session, err);
}

/* Send @cmd about session @id with @limits, if any. */
static int command(struct ctl_link *link, uint8_t cmd, uint64_t id, const struct limits *limits,
		   struct mfd_error *err)
{
	struct ctl_request *request = ctl_request_new(link, cmd);

	ctl_request_u64(request, MZP_A_SESSION_ID, id);
	if (limits && limits->cpus)
		ctl_request_text(request, MZP_A_SESSION_CPUS,
				 strcmp(limits->cpus, "all") ? limits->cpus : "");
	if (limits && limits->rate)
		ctl_request_u64(request, MZP_A_SESSION_RATE, limits->rate_value);
	return ctl_request(request, NULL, NULL, err);
}

/* Which session it was, and whose, for programs; with those of @more as well. */
static struct json_object *json_who(struct ctl_session *session, uint64_t more)
{
	struct json_object *object;

	session->has &= 1ull << MZP_A_SESSION_ID | 1ull << MZP_A_SESSION_PID |
			1ull << MZP_A_SESSION_COMM | 1ull << MZP_A_SESSION_UID | more;
	object = ctl_json(&ctl_session_set, session);
	ctl_json_time(object);
	return object;
}

/* What is to be done about a session. */
typedef int action(struct ctl_link *link, uint64_t id, const struct limits *limits,
		   struct mfd_error *err);

/* Do it about the one that is named behind the options. */
static int act_on_session(int argc, char **argv, action *act, const struct limits *limits,
			  struct mfd_error *err)
{
	struct ctl_link *link;
	uint64_t id;
	int ret = session_argument(argc, argv, &id, err);

	if (!ret)
		ret = ctl_link_open(&link, err);
	if (ret)
		return ret;
	ret = act(link, id, limits, err);
	if (ret)
		mfd_error_prefix(err, "session %ju", (uintmax_t)id);
	ctl_link_close(link);
	return ret;
}

/* --- cancel */

/* @before: how it was. One that had failed before is not cancelled again. */
static void tell_cancelled(struct ctl_session *before, bool json)
{
	bool cancelled = before->state != MZP_SESSION_FAILED;
	struct json_object *object;

	if (json) {
		object = json_who(before, 0);
		json_object_object_add(object, "cancelled", json_object_new_boolean(cancelled));
		ctl_json_print(object);
		return;
	}
	ctl_print_who(before);
	puts(cancelled ? ": cancelled; its VMM is told so" : ": had failed before");
}

static int cancel(struct ctl_link *link, uint64_t id, const struct limits *limits,
		  struct mfd_error *err)
{
	struct ctl_session before = { .has = 0 };
	int ret = get_session(link, id, &before, err);

	/* who may not even see it is told what it takes to cancel it */
	if (!ret || ret == -EPERM)
		ret = command(link, MZP_NL_CMD_SESSION_CANCEL, id, NULL, err);
	if (!ret)
		tell_cancelled(&before, limits->json);
	return ret;
}

static int run_cancel(int argc, char **argv, struct mfd_error *err)
{
	struct limits none = { .cpus = NULL };
	int ret = ctl_json_option(argc, argv, &none.json);

	return ret ? ret : act_on_session(argc, argv, cancel, &none, err);
}

/* --- limit */

static void tell_limits(struct ctl_session *session, bool json)
{
	if (json) {
		ctl_json_print(json_who(session, 1ull << MZP_A_SESSION_RATE |
						 1ull << MZP_A_SESSION_CPUS));
		return;
	}
	ctl_print_who(session);
	if (session->rate)
		printf(": at most %s/s", ctl_bytes(session->rate).s);
	else
		printf(": no limit of its rate");
	printf("; workers of CPUs ");
	ctl_put(stdout, session->cpus, 0);
	putchar('\n');
}

/* One that is gone right afterwards has been limited nevertheless. */
static int limit(struct ctl_link *link, uint64_t id, const struct limits *limits,
		 struct mfd_error *err)
{
	struct ctl_session session;
	int ret = command(link, MZP_NL_CMD_SESSION_LIMIT, id, limits, err);

	if (!ret && !get_session(link, id, &session, NULL))
		tell_limits(&session, limits->json);
	return ret;
}

static int parse_limits(struct limits *limits, int argc, char **argv, struct mfd_error *err)
{
	static const struct option options[] = {
		{ "cpus", required_argument, NULL, 'c' },
		{ "rate", required_argument, NULL, 'r' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'c')
			limits->cpus = optarg;
		else if (option == 'r')
			limits->rate = optarg;
		else if (option == 'j')
			limits->json = true;
		else
			return CTL_USAGE;
	}
	if (limits->rate && ctl_parse_rate(limits->rate, &limits->rate_value, err))
		return CTL_USAGE;
	if (limits->cpus && !*limits->cpus) {
		mfd_error_set(err, EINVAL, "--cpus: a list such as 0-3,8 is wanted, or all");
		return CTL_USAGE;
	}
	if (!limits->cpus && !limits->rate) {
		mfd_error_set(err, EINVAL, "limit it to what? --cpus or --rate is missing");
		return CTL_USAGE;
	}
	return 0;
}

static int run_limit(int argc, char **argv, struct mfd_error *err)
{
	struct limits limits = { .cpus = NULL };
	int ret = parse_limits(&limits, argc, argv, err);

	return ret ? ret : act_on_session(argc, argv, limit, &limits, err);
}

const struct ctl_command ctl_cancel_command = {
	.name = "cancel",
	.arguments = "SESSION [--json]",
	.summary = "end a session at once; its guest goes on where it is",
	.help = "End a session at once, as its VMM could do. The migration fails: the VMM and\n"
		"those who read the channels get ECANCELED, and the destination sees its\n"
		"connections close. What becomes of the guest is the VMM's business; usually it\n"
		"goes on where it is.\n"
		"\n"
		"  --json   what was done, as an object; `cancelled` is false if it had failed before\n"
		"\n"
		"Takes CAP_NET_ADMIN.\n",
	.run = run_cancel,
};

const struct ctl_command ctl_limit_command = {
	.name = "limit",
	.arguments = "SESSION [--cpus LIST|all] [--rate RATE|none] [--json]",
	.summary = "limit a session to some CPUs, or to so many bytes per second",
	.help = "Limit a session from now on. What is not given stays as it is.\n"
		"\n"
		"  --cpus LIST   only workers of these CPUs, such as 0-3,8, as far as they are among\n"
		"                those that the session was set up with; all: all of those\n"
		"  --rate RATE   so many bytes per second at most, headers included; none: no limit.\n"
		"                k, M, G and T are powers of 1000, Ki, Mi, Gi and Ti of 1024; a B or\n"
		"                /s behind that changes nothing: 500k, 1.5Gi, 100MB/s\n"
		"\n"
		"It says what is in force then, which for the rate is the lowest of this, the VMM's own\n"
		"and the host's (`mfdctl host`).\n"
		"\n"
		"  --json        that as an object\n"
		"\n"
		"Takes CAP_NET_ADMIN.\n"
		"\n"
		"Examples:\n"
		"    mfdctl limit 12 --rate 100M\n"
		"    mfdctl limit 12 --rate none --cpus all\n",
	.run = run_limit,
};

// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl cancel, mfdctl limit: what an administrator may do about a session. */
#include <errno.h>
#include <string.h>

#include <linux/multifd_zp_netlink.h>

#include "ctl.h"
#include "netlink.h"
#include "text.h"
#include "lib/error.h"

struct limits {
	const char *cpus;	/* or NULL: as it is */
	const char *rate;
	uint64_t rate_value;
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

/* Send @cmd about session @id with @limits, if any. */
static int command(uint8_t cmd, uint64_t id, const struct limits *limits, struct mfd_error *err)
{
	struct ctl_request *request;
	struct ctl_link *link;
	int ret = ctl_link_open(&link, err);

	if (ret)
		return ret;
	request = ctl_request_new(link, cmd);
	ctl_request_u64(request, MZP_A_SESSION_ID, id);
	if (limits && limits->cpus)
		ctl_request_text(request, MZP_A_SESSION_CPUS,
				 strcmp(limits->cpus, "all") ? limits->cpus : "");
	if (limits && limits->rate)
		ctl_request_u64(request, MZP_A_SESSION_RATE, limits->rate_value);
	ret = ctl_request(request, NULL, NULL, err);
	if (ret)
		mfd_error_prefix(err, "session %ju", (uintmax_t)id);
	ctl_link_close(link);
	return ret;
}

static int run_cancel(int argc, char **argv, struct mfd_error *err)
{
	static const struct option options[] = { { NULL, 0, NULL, 0 } };
	uint64_t id;
	int ret;

	if (getopt_long(argc, argv, "", options, NULL) != -1)
		return CTL_USAGE;
	ret = session_argument(argc, argv, &id, err);
	return ret ? ret : command(MZP_NL_CMD_SESSION_CANCEL, id, NULL, err);
}

static int parse_limits(struct limits *limits, int argc, char **argv, struct mfd_error *err)
{
	static const struct option options[] = {
		{ "cpus", required_argument, NULL, 'c' },
		{ "rate", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'c')
			limits->cpus = optarg;
		else if (option == 'r')
			limits->rate = optarg;
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
	uint64_t id;
	int ret = parse_limits(&limits, argc, argv, err);

	if (!ret)
		ret = session_argument(argc, argv, &id, err);
	return ret ? ret : command(MZP_NL_CMD_SESSION_LIMIT, id, &limits, err);
}

const struct ctl_command ctl_cancel_command = {
	.name = "cancel",
	.arguments = "SESSION",
	.summary = "end a session at once; its guest goes on where it is",
	.help = "End a session at once, as its VMM could do. The migration fails: the VMM and\n"
		"those who read the channels get ECANCELED, and the destination sees its\n"
		"connections close. What becomes of the guest is the VMM's business; usually it\n"
		"goes on where it is.\n"
		"\n"
		"Takes CAP_NET_ADMIN.\n",
	.run = run_cancel,
};

const struct ctl_command ctl_limit_command = {
	.name = "limit",
	.arguments = "SESSION [--cpus LIST|all] [--rate RATE|none]",
	.summary = "limit a session to some CPUs, or to so many bytes per second",
	.help = "Limit a session from now on. What is not given stays as it is.\n"
		"\n"
		"  --cpus LIST   only workers of these CPUs, such as 0-3,8, as far as they are among\n"
		"                those that the session was set up with; all: all of those\n"
		"  --rate RATE   so many bytes per second at most, headers included; none: no limit.\n"
		"                k, M, G and T are powers of 1000, Ki, Mi, Gi and Ti of 1024; a B or\n"
		"                /s behind that changes nothing: 500k, 1.5Gi, 100MB/s\n"
		"\n"
		"Takes CAP_NET_ADMIN. `mfdctl stats SESSION` shows what is in force.\n"
		"\n"
		"Examples:\n"
		"    mfdctl limit 12 --rate 100M\n"
		"    mfdctl limit 12 --rate none --cpus all\n",
	.run = run_limit,
};

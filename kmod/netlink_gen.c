// SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/multifd_zp.yaml */
/* YNL-GEN kernel source */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "netlink_gen.h"

#include <uapi/linux/multifd_zp_netlink.h>
#include <linux/multifd_zp.h>

/* MZP_NL_CMD_INFO_GET - do */
const struct nla_policy multifd_zp_info_get_nl_policy[MZP_A_INFO_METHOD + 1] = {
	[MZP_A_INFO_METHOD] = NLA_POLICY_MAX(NLA_U32, 2),
};

/* MZP_NL_CMD_SESSION_GET - do */
const struct nla_policy multifd_zp_session_get_nl_policy[MZP_A_SESSION_ID + 1] = {
	[MZP_A_SESSION_ID] = { .type = NLA_U64, },
};

/* MZP_NL_CMD_CHANNEL_GET - do */
const struct nla_policy multifd_zp_channel_get_nl_policy[MZP_A_CHANNEL_ID + 1] = {
	[MZP_A_CHANNEL_SESSION] = { .type = NLA_U64, },
	[MZP_A_CHANNEL_ID] = { .type = NLA_U32, },
};

/* MZP_NL_CMD_WORKER_GET - do */
const struct nla_policy multifd_zp_worker_get_nl_policy[MZP_A_WORKER_CPU + 1] = {
	[MZP_A_WORKER_CPU] = { .type = NLA_U32, },
};

/* MZP_NL_CMD_SESSION_CANCEL - do */
const struct nla_policy multifd_zp_session_cancel_nl_policy[MZP_A_SESSION_ID + 1] = {
	[MZP_A_SESSION_ID] = { .type = NLA_U64, },
};

/* MZP_NL_CMD_SESSION_LIMIT - do */
const struct nla_policy multifd_zp_session_limit_nl_policy[MZP_A_SESSION_RATE + 1] = {
	[MZP_A_SESSION_ID] = { .type = NLA_U64, },
	[MZP_A_SESSION_CPUS] = { .type = NLA_NUL_STRING, .len = MULTIFD_ZP_CPUS_LEN, },
	[MZP_A_SESSION_RATE] = { .type = NLA_U64, },
};

/* MZP_NL_CMD_TOTALS_GET - do */
const struct nla_policy multifd_zp_totals_get_nl_policy[MZP_A_TOTALS_PAD + 1] = {
};

/* MZP_NL_CMD_HISTORY_GET - do */
const struct nla_policy multifd_zp_history_get_nl_policy[MZP_A_SESSION_ID + 1] = {
	[MZP_A_SESSION_ID] = { .type = NLA_U64, },
};

/* MZP_NL_CMD_HOST_GET - do */
const struct nla_policy multifd_zp_host_get_nl_policy[MZP_A_HOST_PAD + 1] = {
};

/* MZP_NL_CMD_HOST_SET - do */
const struct nla_policy multifd_zp_host_set_nl_policy[MZP_A_HOST_TOTAL_RATE + 1] = {
	[MZP_A_HOST_DRAINING] = NLA_POLICY_MAX(NLA_U32, 1),
	[MZP_A_HOST_MAX_SESSIONS] = { .type = NLA_U32, },
	[MZP_A_HOST_DEFAULT_RATE] = { .type = NLA_U64, },
	[MZP_A_HOST_MAX_RATE] = { .type = NLA_U64, },
	[MZP_A_HOST_TOTAL_RATE] = { .type = NLA_U64, },
};

/* Ops table for multifd_zp */
const struct genl_ops multifd_zp_nl_ops[10] = {
	{
		.cmd		= MZP_NL_CMD_INFO_GET,
		.doit		= multifd_zp_nl_info_get_doit,
		.policy		= multifd_zp_info_get_nl_policy,
		.maxattr	= MZP_A_INFO_METHOD,
	},
	{
		.cmd		= MZP_NL_CMD_SESSION_GET,
		.doit		= multifd_zp_nl_session_get_doit,
		.dumpit		= multifd_zp_nl_session_get_dumpit,
		.policy		= multifd_zp_session_get_nl_policy,
		.maxattr	= MZP_A_SESSION_ID,
	},
	{
		.cmd		= MZP_NL_CMD_CHANNEL_GET,
		.doit		= multifd_zp_nl_channel_get_doit,
		.dumpit		= multifd_zp_nl_channel_get_dumpit,
		.policy		= multifd_zp_channel_get_nl_policy,
		.maxattr	= MZP_A_CHANNEL_ID,
	},
	{
		.cmd		= MZP_NL_CMD_WORKER_GET,
		.doit		= multifd_zp_nl_worker_get_doit,
		.dumpit		= multifd_zp_nl_worker_get_dumpit,
		.policy		= multifd_zp_worker_get_nl_policy,
		.maxattr	= MZP_A_WORKER_CPU,
	},
	{
		.cmd		= MZP_NL_CMD_SESSION_CANCEL,
		.doit		= multifd_zp_nl_session_cancel_doit,
		.policy		= multifd_zp_session_cancel_nl_policy,
		.maxattr	= MZP_A_SESSION_ID,
		.flags		= GENL_ADMIN_PERM,
	},
	{
		.cmd		= MZP_NL_CMD_SESSION_LIMIT,
		.doit		= multifd_zp_nl_session_limit_doit,
		.policy		= multifd_zp_session_limit_nl_policy,
		.maxattr	= MZP_A_SESSION_RATE,
		.flags		= GENL_ADMIN_PERM,
	},
	{
		.cmd		= MZP_NL_CMD_TOTALS_GET,
		.doit		= multifd_zp_nl_totals_get_doit,
		.policy		= multifd_zp_totals_get_nl_policy,
		.maxattr	= MZP_A_TOTALS_PAD,
		.flags		= GENL_ADMIN_PERM,
	},
	{
		.cmd		= MZP_NL_CMD_HISTORY_GET,
		.doit		= multifd_zp_nl_history_get_doit,
		.dumpit		= multifd_zp_nl_history_get_dumpit,
		.policy		= multifd_zp_history_get_nl_policy,
		.maxattr	= MZP_A_SESSION_ID,
		.flags		= GENL_ADMIN_PERM,
	},
	{
		.cmd		= MZP_NL_CMD_HOST_GET,
		.doit		= multifd_zp_nl_host_get_doit,
		.policy		= multifd_zp_host_get_nl_policy,
		.maxattr	= MZP_A_HOST_PAD,
		.flags		= GENL_ADMIN_PERM,
	},
	{
		.cmd		= MZP_NL_CMD_HOST_SET,
		.doit		= multifd_zp_nl_host_set_doit,
		.policy		= multifd_zp_host_set_nl_policy,
		.maxattr	= MZP_A_HOST_TOTAL_RATE,
		.flags		= GENL_ADMIN_PERM,
	},
};

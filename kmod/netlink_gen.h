/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/multifd_zp.yaml */
/* YNL-GEN kernel header */

#ifndef _LINUX_MULTIFD_ZP_GEN_H
#define _LINUX_MULTIFD_ZP_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <uapi/linux/multifd_zp_netlink.h>
#include <linux/multifd_zp.h>

extern const struct nla_policy multifd_zp_info_get_nl_policy[MZP_A_INFO_METHOD + 1];

extern const struct nla_policy multifd_zp_session_get_nl_policy[MZP_A_SESSION_ID + 1];

extern const struct nla_policy multifd_zp_channel_get_nl_policy[MZP_A_CHANNEL_ID + 1];

extern const struct nla_policy multifd_zp_worker_get_nl_policy[MZP_A_WORKER_CPU + 1];

extern const struct nla_policy multifd_zp_session_cancel_nl_policy[MZP_A_SESSION_ID + 1];

extern const struct nla_policy multifd_zp_session_limit_nl_policy[MZP_A_SESSION_RATE + 1];

extern const struct nla_policy multifd_zp_totals_get_nl_policy[MZP_A_TOTALS_PAD + 1];

extern const struct nla_policy multifd_zp_history_get_nl_policy[MZP_A_SESSION_ID + 1];

extern const struct nla_policy multifd_zp_host_get_nl_policy[MZP_A_HOST_PAD + 1];

extern const struct nla_policy multifd_zp_host_set_nl_policy[MZP_A_HOST_TOTAL_RATE + 1];

/* Ops table for multifd_zp */
extern const struct genl_ops multifd_zp_nl_ops[10];

int multifd_zp_nl_info_get_doit(struct sk_buff *skb, struct genl_info *info);
int multifd_zp_nl_session_get_doit(struct sk_buff *skb, struct genl_info *info);
int multifd_zp_nl_session_get_dumpit(struct sk_buff *skb,
				     struct netlink_callback *cb);
int multifd_zp_nl_channel_get_doit(struct sk_buff *skb, struct genl_info *info);
int multifd_zp_nl_channel_get_dumpit(struct sk_buff *skb,
				     struct netlink_callback *cb);
int multifd_zp_nl_worker_get_doit(struct sk_buff *skb, struct genl_info *info);
int multifd_zp_nl_worker_get_dumpit(struct sk_buff *skb,
				    struct netlink_callback *cb);
int multifd_zp_nl_session_cancel_doit(struct sk_buff *skb,
				      struct genl_info *info);
int multifd_zp_nl_session_limit_doit(struct sk_buff *skb,
				     struct genl_info *info);
int multifd_zp_nl_totals_get_doit(struct sk_buff *skb, struct genl_info *info);
int multifd_zp_nl_history_get_doit(struct sk_buff *skb, struct genl_info *info);
int multifd_zp_nl_history_get_dumpit(struct sk_buff *skb,
				     struct netlink_callback *cb);
int multifd_zp_nl_host_get_doit(struct sk_buff *skb, struct genl_info *info);
int multifd_zp_nl_host_set_doit(struct sk_buff *skb, struct genl_info *info);

enum {
	MULTIFD_ZP_NLGRP_EVENTS,
};

#endif /* _LINUX_MULTIFD_ZP_GEN_H */

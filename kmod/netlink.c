// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can be seen of sessions, and done about them, over generic netlink.
 * Documentation/netlink/specs/multifd_zp.yaml says what there is; netlink_gen.c
 * is made of it.
 *
 * Sessions are not in any network namespace. So that an owner in a container
 * sees its own, the family is in all of them. Users are the same in many containers,
 * above all root, so an owner is who has the user *and* is in the PID or the network
 * namespace of the process that set the session up. The administrator who sees and
 * does everything is the host's, with CAP_NET_ADMIN in the initial user namespace and
 * in the initial network namespace: that capability alone many containers are given,
 * for their own network. Events go to the initial network namespace only, and only
 * administrators can listen.
 */
#include <linux/capability.h>
#include <linux/cpumask.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/pid_namespace.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "channel.h"
#include "compat.h"
#include "history.h"
#include "host.h"
#include "message.h"
#include "netlink.h"
#include "netlink_gen.h"
#include "session.h"
#include "sessions.h"
#include "setup.h"
#include "worker.h"

static struct mzp_reader mzp_nl_reader(struct sk_buff *request)
{
	return (struct mzp_reader) {
		.users = sk_user_ns(NETLINK_CB(request).sk),
		.pids = task_active_pid_ns(current),
	};
}

/* --- requests for one thing */

static struct sk_buff *mzp_nl_reply_new(struct genl_info *info, void **header)
{
	struct sk_buff *skb = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);

	if (!skb)
		return NULL;
	*header = genlmsg_put_reply(skb, info, &mzp_genl_family, 0, info->genlhdr->cmd);
	if (*header)
		return skb;
	nlmsg_free(skb);
	return NULL;
}

static int mzp_nl_reply_send(struct sk_buff *skb, void *header, struct genl_info *info, bool fits)
{
	if (!fits) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, header);
	return genlmsg_reply(skb, info);
}

static bool mzp_nl_is_host(struct sk_buff *request)
{
	return net_eq(sock_net(NETLINK_CB(request).sk), &init_net);
}

static bool mzp_nl_is_admin(struct sk_buff *request)
{
	return mzp_nl_is_host(request) && netlink_capable(request, CAP_NET_ADMIN);
}

int multifd_zp_nl_info_get_doit(struct sk_buff *request, struct genl_info *info)
{
	struct nlattr *method = info->attrs[MZP_A_INFO_METHOD];
	struct mzp_info what = { };
	struct sk_buff *skb;
	void *header;

	mzp_info_fill(&what, method ? nla_get_u32(method) : MZP_METHOD_NONE);
	skb = mzp_nl_reply_new(info, &header);
	if (!skb)
		return -ENOMEM;
	return mzp_nl_reply_send(skb, header, info,
				 mzp_message_info(skb, &what, mzp_nl_is_host(request)));
}

static bool mzp_nl_is_owner(struct sk_buff *request, struct mzp_session *session)
{
	const struct net *net = sock_net(NETLINK_CB(request).sk);
	bool near;

	spin_lock(&session->queue_lock);
	near = session->owner.netns == net->ns.inum ||
	       ns_of_pid(session->owner.pid) == task_active_pid_ns(current);
	spin_unlock(&session->queue_lock);
	return near && uid_eq(NETLINK_CREDS(request)->uid, session->user->uid);
}

static bool mzp_nl_may_see(struct sk_buff *request, struct mzp_session *session)
{
	return mzp_nl_is_owner(request, session) || mzp_nl_is_admin(request);
}

/* The session with an id, with a reference; or an error pointer, and a message. */
static struct mzp_session *mzp_nl_find(struct sk_buff *request, struct netlink_ext_ack *extack,
				       u64 wanted)
{
	struct mzp_session *session;
	u64 id = wanted;

	session = mzp_sessions_next(&id);
	if (!session || id != wanted) {
		if (session)
			mzp_session_put(session);
		NL_SET_ERR_MSG_MOD(extack, "there is no session with this id");
		return ERR_PTR(-ENOENT);
	}
	if (!mzp_nl_may_see(request, session)) {
		mzp_session_put(session);
		NL_SET_ERR_MSG_MOD(extack, "another user's session, which takes CAP_NET_ADMIN");
		return ERR_PTR(-EPERM);
	}
	return session;
}

/* The session that a request names. */
static struct mzp_session *mzp_nl_named(struct sk_buff *request, struct genl_info *info, int type)
{
	if (GENL_REQ_ATTR_CHECK(info, type)) {
		NL_SET_ERR_MSG_MOD(info->extack, "the session's id is missing");
		return ERR_PTR(-EINVAL);
	}
	return mzp_nl_find(request, info->extack, nla_get_u64(info->attrs[type]));
}

/* The same, if it is set up. */
static struct mzp_session *mzp_nl_named_ready(struct sk_buff *request, struct genl_info *info,
					      int type)
{
	struct mzp_session *session = mzp_nl_named(request, info, type);

	if (IS_ERR(session) || mzp_session_ready(session))
		return session;
	mzp_session_put(session);
	NL_SET_ERR_MSG_MOD(info->extack, "the session is not set up yet");
	return ERR_PTR(-ENXIO);
}

static int mzp_nl_admin_only(struct sk_buff *request, struct netlink_ext_ack *extack)
{
	if (mzp_nl_is_admin(request))
		return 0;
	NL_SET_ERR_MSG_MOD(extack, "this takes CAP_NET_ADMIN in the host's own namespaces");
	return -EPERM;
}

/* The same, for who may do something about it. */
static struct mzp_session *mzp_nl_named_admin(struct sk_buff *request, struct genl_info *info)
{
	int err = mzp_nl_admin_only(request, info->extack);

	return err ? ERR_PTR(err) : mzp_nl_named_ready(request, info, MZP_A_SESSION_ID);
}

int multifd_zp_nl_session_get_doit(struct sk_buff *request, struct genl_info *info)
{
	struct mzp_session *session = mzp_nl_named(request, info, MZP_A_SESSION_ID);
	struct mzp_reader reader = mzp_nl_reader(request);
	struct sk_buff *skb;
	void *header;
	bool fits = false;

	if (IS_ERR(session))
		return PTR_ERR(session);
	skb = mzp_nl_reply_new(info, &header);
	if (skb) {
		spin_lock(&session->queue_lock);
		fits = mzp_message_session(skb, session, &reader);
		spin_unlock(&session->queue_lock);
	}
	mzp_session_put(session);
	return skb ? mzp_nl_reply_send(skb, header, info, fits) : -ENOMEM;
}

int multifd_zp_nl_channel_get_doit(struct sk_buff *request, struct genl_info *info)
{
	struct mzp_session *session;
	struct sk_buff *skb;
	void *header;
	bool fits = false;
	u32 id;

	if (GENL_REQ_ATTR_CHECK(info, MZP_A_CHANNEL_ID)) {
		NL_SET_ERR_MSG_MOD(info->extack, "the channel's id is missing");
		return -EINVAL;
	}
	session = mzp_nl_named_ready(request, info, MZP_A_CHANNEL_SESSION);
	if (IS_ERR(session))
		return PTR_ERR(session);
	id = nla_get_u32(info->attrs[MZP_A_CHANNEL_ID]);
	if (id >= session->nr_channels) {
		mzp_session_put(session);
		NL_SET_ERR_MSG_MOD(info->extack, "the session has no channel with this id");
		return -ENOENT;
	}
	id = array_index_nospec(id, session->nr_channels);
	skb = mzp_nl_reply_new(info, &header);
	if (skb)
		fits = mzp_message_channel(skb, session->channel[id]);
	mzp_session_put(session);
	return skb ? mzp_nl_reply_send(skb, header, info, fits) : -ENOMEM;
}

int multifd_zp_nl_worker_get_doit(struct sk_buff *request, struct genl_info *info)
{
	struct sk_buff *skb;
	void *header;
	u32 cpu;

	if (GENL_REQ_ATTR_CHECK(info, MZP_A_WORKER_CPU)) {
		NL_SET_ERR_MSG_MOD(info->extack, "the worker's CPU is missing");
		return -EINVAL;
	}
	cpu = nla_get_u32(info->attrs[MZP_A_WORKER_CPU]);
	if (cpu >= nr_cpu_ids || !cpu_possible(cpu)) {
		NL_SET_ERR_MSG_MOD(info->extack, "there can be no such CPU");
		return -ENOENT;
	}
	skb = mzp_nl_reply_new(info, &header);
	if (!skb)
		return -ENOMEM;
	return mzp_nl_reply_send(skb, header, info,
				 mzp_message_worker(skb, array_index_nospec(cpu, nr_cpu_ids)));
}

/* --- dumps, in the order of ids; what comes and goes meanwhile may be in it */

/**
 * struct mzp_nl_dump - where a dump goes on
 * @session: lowest id of the next session
 * @channel: id of its next channel
 * @cpu: the next worker's
 * @record: the next record's place
 */
struct mzp_nl_dump {
	u64 session;
	u32 channel;
	u32 cpu;
	u64 record;
};

static struct mzp_nl_dump *mzp_nl_dump(struct netlink_callback *cb)
{
	BUILD_BUG_ON(sizeof(struct mzp_nl_dump) > sizeof(cb->ctx));
	return (struct mzp_nl_dump *)cb->ctx;
}

static void *mzp_nl_dump_put(struct sk_buff *skb, struct netlink_callback *cb)
{
	const struct genlmsghdr *request = nlmsg_data(cb->nlh);

	return genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &mzp_genl_family,
			   NLM_F_MULTI, request->cmd);
}

/* Keep a message that was put whole; false if there was no room for it. */
static bool mzp_nl_dump_keep(struct sk_buff *skb, void *header, bool fits)
{
	if (fits)
		genlmsg_end(skb, header);
	else
		genlmsg_cancel(skb, header);
	return fits;
}

/* A dump is of everything; what would choose one thing must not be ignored. */
static int mzp_nl_dump_check(struct netlink_callback *cb, int type)
{
	if (!mzp_genl_dump_attrs(cb)[type])
		return 0;
	NL_SET_ERR_MSG_MOD(cb->extack, "a dump is of all of them");
	return -EINVAL;
}

static bool mzp_nl_dump_session(struct sk_buff *skb, struct netlink_callback *cb,
				struct mzp_session *session)
{
	struct mzp_reader reader = mzp_nl_reader(cb->skb);
	void *header = mzp_nl_dump_put(skb, cb);
	bool fits = false;

	if (!header)
		return false;
	spin_lock(&session->queue_lock);
	fits = mzp_message_session(skb, session, &reader);
	spin_unlock(&session->queue_lock);
	return mzp_nl_dump_keep(skb, header, fits);
}

int multifd_zp_nl_session_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	int err = mzp_nl_dump_check(cb, MZP_A_SESSION_ID);
	struct mzp_nl_dump *dump = mzp_nl_dump(cb);
	struct mzp_session *session;
	bool fits = true;

	if (err)
		return err;
	while (fits && (session = mzp_sessions_next(&dump->session))) {
		if (mzp_nl_may_see(cb->skb, session))
			fits = mzp_nl_dump_session(skb, cb, session);
		dump->session += fits;
		mzp_session_put(session);
		cond_resched();
	}
	/* A message that a whole buffer has no room for never will have. */
	return fits || skb->len ? skb->len : -EMSGSIZE;
}

/* The channels of a session, from where the dump is. */
static bool mzp_nl_dump_channels(struct sk_buff *skb, struct netlink_callback *cb,
				 struct mzp_session *session)
{
	struct mzp_nl_dump *dump = mzp_nl_dump(cb);
	bool fits = true;

	if (!mzp_session_ready(session))
		return true;
	while (fits && dump->channel < session->nr_channels) {
		void *header = mzp_nl_dump_put(skb, cb);

		fits = header && mzp_nl_dump_keep(skb, header,
			mzp_message_channel(skb, session->channel[dump->channel]));
		dump->channel += fits;
	}
	return fits;
}

/* Go on to the next session, if there is one up to @last, with a reference. */
static struct mzp_session *mzp_nl_dump_next(struct mzp_nl_dump *dump, u64 last)
{
	u64 id = dump->session;
	struct mzp_session *session = mzp_sessions_next(&id);

	if (session && id > last) {
		mzp_session_put(session);
		return NULL;
	}
	/* The one whose channels the dump was at has gone. */
	if (id != dump->session)
		dump->channel = 0;
	dump->session = id;
	return session;
}

/* Start a dump at the session that it is about. */
static int mzp_nl_dump_only(struct netlink_callback *cb, u64 id)
{
	struct mzp_session *session = mzp_nl_find(cb->skb, cb->extack, id);

	if (IS_ERR(session))
		return PTR_ERR(session);
	mzp_nl_dump(cb)->session = session->id;
	mzp_session_put(session);
	return 0;
}

int multifd_zp_nl_channel_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct nlattr *only = mzp_genl_dump_attrs(cb)[MZP_A_CHANNEL_SESSION];
	u64 last = only ? nla_get_u64(only) : U64_MAX;
	int err = mzp_nl_dump_check(cb, MZP_A_CHANNEL_ID);
	struct mzp_nl_dump *dump = mzp_nl_dump(cb);
	struct mzp_session *session;
	bool fits = true;

	if (!err && only && !dump->session)
		err = mzp_nl_dump_only(cb, last);
	if (err)
		return err;
	while (fits && (session = mzp_nl_dump_next(dump, last))) {
		if (mzp_nl_may_see(cb->skb, session))
			fits = mzp_nl_dump_channels(skb, cb, session);
		if (fits) {
			dump->channel = 0;
			dump->session++;
		}
		mzp_session_put(session);
		cond_resched();
	}
	return skb->len;
}

int multifd_zp_nl_worker_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	int err = mzp_nl_dump_check(cb, MZP_A_WORKER_CPU);
	struct mzp_nl_dump *dump = mzp_nl_dump(cb);
	void *header;

	if (err)
		return err;
	for (; dump->cpu < nr_cpu_ids; dump->cpu++) {
		if (!cpu_possible(dump->cpu))
			continue;
		header = mzp_nl_dump_put(skb, cb);
		if (!header ||
		    !mzp_nl_dump_keep(skb, header, mzp_message_worker(skb, dump->cpu)))
			break;
	}
	return skb->len;
}

/* --- an administrator's requests; genetlink has checked that it is one */

int multifd_zp_nl_totals_get_doit(struct sk_buff *request, struct genl_info *info)
{
	int err = mzp_nl_admin_only(request, info->extack);
	struct mzp_totals totals;
	struct sk_buff *skb;
	void *header;

	if (err)
		return err;
	mzp_history_totals(&totals);
	skb = mzp_nl_reply_new(info, &header);
	if (!skb)
		return -ENOMEM;
	return mzp_nl_reply_send(skb, header, info, mzp_message_totals(skb, &totals));
}

int multifd_zp_nl_history_get_doit(struct sk_buff *request, struct genl_info *info)
{
	int err = mzp_nl_admin_only(request, info->extack);
	struct mzp_record record = { };
	struct sk_buff *skb;
	void *header;
	u64 at = 0, id;

	if (err)
		return err;
	if (GENL_REQ_ATTR_CHECK(info, MZP_A_SESSION_ID)) {
		NL_SET_ERR_MSG_MOD(info->extack, "the session's id is missing");
		return -EINVAL;
	}
	id = nla_get_u64(info->attrs[MZP_A_SESSION_ID]);
	while (mzp_history_next(&at, &record) && record.id != id)
		;
	if (!id || record.id != id) {
		NL_SET_ERR_MSG_MOD(info->extack, "none of the last sessions has this id");
		return -ENOENT;
	}
	skb = mzp_nl_reply_new(info, &header);
	if (!skb)
		return -ENOMEM;
	return mzp_nl_reply_send(skb, header, info, mzp_message_record(skb, &record));
}

int multifd_zp_nl_history_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	int err = mzp_nl_admin_only(cb->skb, cb->extack) ?: mzp_nl_dump_check(cb, MZP_A_SESSION_ID);
	struct mzp_nl_dump *dump = mzp_nl_dump(cb);
	struct mzp_record record;
	bool fits = true;
	u64 next;

	if (err)
		return err;
	for (next = dump->record; fits && mzp_history_next(&next, &record); ) {
		void *header = mzp_nl_dump_put(skb, cb);

		fits = header && mzp_nl_dump_keep(skb, header, mzp_message_record(skb, &record));
		if (fits)
			dump->record = next;
	}
	return skb->len;
}

int multifd_zp_nl_host_get_doit(struct sk_buff *request, struct genl_info *info)
{
	int err = mzp_nl_admin_only(request, info->extack);
	struct mzp_host host;
	struct sk_buff *skb;
	void *header;

	if (err)
		return err;
	mzp_host_get(&host);
	skb = mzp_nl_reply_new(info, &header);
	if (!skb)
		return -ENOMEM;
	return mzp_nl_reply_send(skb, header, info, mzp_message_host(skb, &host));
}

int multifd_zp_nl_host_set_doit(struct sk_buff *request, struct genl_info *info)
{
	int err = mzp_nl_admin_only(request, info->extack);
	u64 setting[MZP_HOST_SETTINGS] = { };
	unsigned int i, which = 0;

	if (err)
		return err;
	BUILD_BUG_ON(MZP_A_HOST_DRAINING + MZP_HOST_TOTAL_RATE != MZP_A_HOST_TOTAL_RATE);
	for (i = 0; i < MZP_HOST_SETTINGS; i++) {
		const struct nlattr *attr = info->attrs[MZP_A_HOST_DRAINING + i];

		if (!attr)
			continue;
		/* The first ones are short; the policy has checked it. */
		setting[i] = i < MZP_HOST_DEFAULT_RATE ? nla_get_u32(attr) : nla_get_u64(attr);
		which |= BIT(i);
	}
	mzp_host_set(setting, which);
	return 0;
}

int multifd_zp_nl_session_cancel_doit(struct sk_buff *request, struct genl_info *info)
{
	struct mzp_session *session = mzp_nl_named_admin(request, info);

	if (IS_ERR(session))
		return PTR_ERR(session);
	mzp_session_cancel(session);
	mzp_session_put(session);
	return 0;
}

static int mzp_nl_limit_cpus(struct mzp_session *session, struct genl_info *info)
{
	const char *list = nla_data(info->attrs[MZP_A_SESSION_CPUS]);
	cpumask_var_t cpus;
	int err;

	if (!zalloc_cpumask_var(&cpus, GFP_KERNEL))
		return -ENOMEM;
	err = cpulist_parse(list, cpus);
	if (err == -ERANGE) {
		NL_SET_ERR_MSG_MOD(info->extack, "there can be no such CPU");
		goto free;
	}
	if (err) {
		NL_SET_ERR_MSG_MOD(info->extack, "not a list of CPUs, such as 0-3,8");
		goto free;
	}
	err = mzp_session_limit_cpus(session, cpus);
	if (err == -EINVAL)
		NL_SET_ERR_MSG_MOD(info->extack, "none of these CPUs is the session's");
free:
	free_cpumask_var(cpus);
	return err;
}

int multifd_zp_nl_session_limit_doit(struct sk_buff *request, struct genl_info *info)
{
	struct mzp_session *session = mzp_nl_named_admin(request, info);
	struct nlattr *rate = info->attrs[MZP_A_SESSION_RATE];
	int err = 0;

	if (IS_ERR(session))
		return PTR_ERR(session);
	if (info->attrs[MZP_A_SESSION_CPUS])
		err = mzp_nl_limit_cpus(session, info);
	if (!err && rate)
		mzp_session_set_rate(session, &session->limit.given, nla_get_u64(rate));
	mzp_session_put(session);
	return err;
}

/* The generator knows no flags of groups. */
static const struct genl_multicast_group mzp_nl_groups[] = {
	[MULTIFD_ZP_NLGRP_EVENTS] = {
		.name = MULTIFD_ZP_MCGRP_EVENTS,
		.flags = GENL_MCAST_CAP_NET_ADMIN,
	},
};

struct genl_family mzp_genl_family __ro_after_init = {
	.name = MZP_GENL_NAME,
	.version = MZP_GENL_VERSION,
	.netnsok = true,
	/* Requests of different readers need not wait for each other. */
	.parallel_ops = true,
	.module = THIS_MODULE,
	.ops = multifd_zp_nl_ops,
	.n_ops = ARRAY_SIZE(multifd_zp_nl_ops),
	.mcgrps = mzp_nl_groups,
	.n_mcgrps = ARRAY_SIZE(mzp_nl_groups),
};

/**
 * mzp_netlink_register - make the family known
 *
 * Context: module init.
 * Return: 0 or a negative errno.
 */
int __init mzp_netlink_register(void)
{
	return genl_register_family(&mzp_genl_family);
}

/**
 * mzp_netlink_unregister - forget it
 *
 * Context: module exit. When this returns, no request is under way.
 */
void mzp_netlink_unregister(void)
{
	genl_unregister_family(&mzp_genl_family);
}

MODULE_ALIAS_GENL_FAMILY(MZP_GENL_NAME);

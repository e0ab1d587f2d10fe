// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can be seen of sessions, and done about them, over generic netlink.
 * Documentation/netlink/specs/multifd_zp.yaml says what there is; netlink_gen.c
 * is made of it.
 *
 * Sessions are not in any network namespace. So that an owner in a container
 * sees its own, the family is in all of them; the administrator who sees and
 * does everything is the host's, with CAP_NET_ADMIN in the initial user
 * namespace. Events go to the initial network namespace only, and only
 * administrators can listen.
 *
 * A message about a session is put together under the session lock, which makes
 * it consistent, and puts a session's events in order. What is in channels and
 * workers is read while it changes.
 */
#include <linux/capability.h>
#include <linux/cpumask.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/pid_namespace.h>
#include <linux/sched/user.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "channel.h"
#include "compat.h"
#include "netlink.h"
#include "netlink_gen.h"
#include "session.h"
#include "worker.h"

static struct genl_family mzp_family;

/**
 * struct mzp_reader - who is going to read a message
 * @users: the user namespace in which it understands users
 * @pids: the PID namespace in which it understands processes
 */
struct mzp_reader {
	struct user_namespace *users;
	struct pid_namespace *pids;
};

static struct mzp_reader mzp_nl_reader(struct sk_buff *request)
{
	return (struct mzp_reader) {
		.users = sk_user_ns(NETLINK_CB(request).sk),
		.pids = task_active_pid_ns(current),
	};
}

/* --- putting numbers into messages; false: there is no room */

/**
 * struct mzp_nl_u64 - an attribute of 64 bits
 * @type: its number
 * @value: what it says
 */
struct mzp_nl_u64 {
	int type;
	u64 value;
};

/**
 * struct mzp_nl_u32 - an attribute of 32 bits
 * @type: its number
 * @value: what it says
 */
struct mzp_nl_u32 {
	int type;
	u32 value;
};

static bool mzp_nl_put_u64s(struct sk_buff *skb, const struct mzp_nl_u64 *attr, unsigned int nr,
			    int pad)
{
	for (; nr; nr--, attr++) {
		if (nla_put_u64_64bit(skb, attr->type, attr->value, pad))
			return false;
	}
	return true;
}

static bool mzp_nl_put_u32s(struct sk_buff *skb, const struct mzp_nl_u32 *attr, unsigned int nr)
{
	for (; nr; nr--, attr++) {
		if (nla_put_u32(skb, attr->type, attr->value))
			return false;
	}
	return true;
}

/* --- the module */

static bool mzp_nl_put_info(struct sk_buff *skb, const struct mzp_info *info)
{
	const struct mzp_nl_u32 u32s[] = {
		{ MZP_A_INFO_ABI_VERSION, info->abi_version },
		{ MZP_A_INFO_PAGE_SIZE, info->page_size },
		{ MZP_A_INFO_METHODS, info->methods },
		{ MZP_A_INFO_DETECTIONS, info->detections },
		{ MZP_A_INFO_FEATURES, info->features },
		{ MZP_A_INFO_MAX_CHANNELS, info->max_channels },
		{ MZP_A_INFO_MAX_PACKET_PAGES, info->max_packet_pages },
		{ MZP_A_INFO_MAX_RING_PACKETS, info->max_ring_packets },
		{ MZP_A_INFO_MAX_BLOCKS, info->max_blocks },
		{ MZP_A_INFO_MAX_JOBS, info->max_jobs },
		{ MZP_A_INFO_MAX_SESSIONS, info->max_sessions },
		{ MZP_A_INFO_SESSIONS, mzp_sessions_count() },
		{ MZP_A_INFO_WORKERS, mzp_workers_up() },
		{ MZP_A_INFO_METHOD, info->method },
		{ MZP_A_INFO_LEVEL_MIN, info->level_min },
		{ MZP_A_INFO_LEVEL_MAX, info->level_max },
		{ MZP_A_INFO_LEVEL_DEFAULT, info->level_default },
	};

	return !nla_put_string(skb, MZP_A_INFO_VERSION, THIS_MODULE->version) &&
	       mzp_nl_put_u32s(skb, u32s, ARRAY_SIZE(u32s));
}

/* --- sessions */

static enum mzp_session_state mzp_nl_state(const struct mzp_session *session)
{
	if (session->error)
		return MZP_SESSION_FAILED;
	if (session->ended)
		return MZP_SESSION_ENDED;
	return session->ready ? MZP_SESSION_ACTIVE : MZP_SESSION_NEW;
}

/* Who it is. */
static bool mzp_nl_put_owner(struct sk_buff *skb, const struct mzp_session *session,
			     const struct mzp_reader *reader)
{
	const struct mzp_owner *owner = &session->owner;

	return !nla_put_u64_64bit(skb, MZP_A_SESSION_ID, session->id, MZP_A_SESSION_PAD) &&
	       !nla_put_u32(skb, MZP_A_SESSION_PID, pid_nr_ns(owner->pid, reader->pids)) &&
	       !nla_put_string(skb, MZP_A_SESSION_COMM, owner->comm) &&
	       !nla_put_u32(skb, MZP_A_SESSION_UID,
			    from_kuid_munged(reader->users, session->user->uid));
}

static bool mzp_nl_put_error(struct sk_buff *skb, const struct mzp_session *session)
{
	if (nla_put_u32(skb, MZP_A_SESSION_ERROR, session->last_error))
		return false;
	if (!session->error_block[0])
		return true;
	return !nla_put_string(skb, MZP_A_SESSION_ERROR_BLOCK, session->error_block) &&
	       !nla_put_u64_64bit(skb, MZP_A_SESSION_ERROR_OFFSET,
				  session->error_page << PAGE_SHIFT, MZP_A_SESSION_PAD);
}

static const struct cpumask *mzp_nl_cpus(const struct mzp_session *session)
{
	const struct mzp_cpus *limit = rcu_dereference_protected(session->cpus_limit,
							lockdep_is_held(&session->lock));

	return limit ? &limit->mask : session->cpus;
}

/* A list that is longer than a reader has room for is left out. */
static bool mzp_nl_put_cpus(struct sk_buff *skb, const struct mzp_session *session)
{
	char *list = kasprintf(GFP_NOWAIT, "%*pbl", cpumask_pr_args(mzp_nl_cpus(session)));
	bool fits = true;

	if (!list)
		return false;
	if (strlen(list) < MULTIFD_ZP_CPUS_LEN)
		fits = !nla_put_string(skb, MZP_A_SESSION_CPUS, list);
	kfree(list);
	return fits;
}

/* Its settings, and where its jobs are. */
static bool mzp_nl_put_work(struct sk_buff *skb, const struct mzp_session *session)
{
	const struct mzp_counts *counts = &session->counts;
	const struct mzp_nl_u32 u32s[] = {
		{ MZP_A_SESSION_METHOD, session->method },
		{ MZP_A_SESSION_LEVEL, session->level },
		{ MZP_A_SESSION_DETECTION, session->detection },
		{ MZP_A_SESSION_CHANNELS, session->nr_channels },
		{ MZP_A_SESSION_BLOCKS, session->nr_blocks },
		{ MZP_A_SESSION_PACKET_PAGES, session->packet_pages },
		{ MZP_A_SESSION_JOBS, session->nr_jobs },
		{ MZP_A_SESSION_JOBS_UNFINISHED, session->unfinished },
	};
	const struct mzp_nl_u64 u64s[] = {
		{ MZP_A_SESSION_SUBMITTED, session->submitted },
		{ MZP_A_SESSION_NORMAL, counts->normal },
		{ MZP_A_SESSION_ZERO, counts->zero },
		{ MZP_A_SESSION_ABSENT, counts->absent },
		{ MZP_A_SESSION_LOST, counts->lost },
		{ MZP_A_SESSION_SYNCS, session->syncs },
		{ MZP_A_SESSION_MEMLOCK, (u64)session->locked_pages << PAGE_SHIFT },
		{ MZP_A_SESSION_RATE, READ_ONCE(session->limit.rate) },
	};

	return mzp_nl_put_u32s(skb, u32s, ARRAY_SIZE(u32s)) &&
	       mzp_nl_put_u64s(skb, u64s, ARRAY_SIZE(u64s), MZP_A_SESSION_PAD);
}

/* What its channels have done. */
static bool mzp_nl_put_sum(struct sk_buff *skb, const struct mzp_stats *sum)
{
	const struct mzp_nl_u64 u64s[] = {
		{ MZP_A_SESSION_BYTES_IN, sum->bytes_in },
		{ MZP_A_SESSION_BYTES_PAYLOAD, sum->bytes_payload },
		{ MZP_A_SESSION_BYTES_OUT, sum->bytes_out },
		{ MZP_A_SESSION_BYTES_READ, sum->bytes_read },
		{ MZP_A_SESSION_PACKETS, sum->packets },
		{ MZP_A_SESSION_RING_FULL, sum->ring_full },
		{ MZP_A_SESSION_RING_EMPTY, sum->ring_empty },
		{ MZP_A_SESSION_STALLS, sum->stalls },
		{ MZP_A_SESSION_THROTTLED, sum->throttled },
		{ MZP_A_SESSION_BUSY, sum->busy_ns },
		{ MZP_A_SESSION_MEMORY, sum->memory },
	};
	const struct mzp_nl_u32 u32s[] = {
		{ MZP_A_SESSION_RING_PACKETS, sum->ring_packets },
		{ MZP_A_SESSION_RING_SIZE, sum->ring_size },
		{ MZP_A_SESSION_PAGES_HELD, sum->pages_held },
	};

	return mzp_nl_put_u64s(skb, u64s, ARRAY_SIZE(u64s), MZP_A_SESSION_PAD) &&
	       mzp_nl_put_u32s(skb, u32s, ARRAY_SIZE(u32s));
}

static bool mzp_nl_put_uuid(struct sk_buff *skb, const struct mzp_session *session)
{
	if (!memchr_inv(session->uuid, 0, sizeof(session->uuid)))
		return true;
	return !nla_put(skb, MZP_A_SESSION_UUID, sizeof(session->uuid), session->uuid);
}

/* What only those have that were set up. */
static bool mzp_nl_put_migration(struct sk_buff *skb, const struct mzp_session *session)
{
	struct mzp_stats sum = { .memory = sizeof(*session) + session->job_memory };
	unsigned int i;

	for (i = 0; i < session->nr_channels; i++)
		mzp_stats_add(&sum, session->channel[i]);
	return mzp_nl_put_work(skb, session) && mzp_nl_put_sum(skb, &sum) &&
	       mzp_nl_put_cpus(skb, session) && mzp_nl_put_uuid(skb, session);
}

static bool mzp_nl_put_session(struct sk_buff *skb, const struct mzp_session *session,
			       const struct mzp_reader *reader)
{
	u64 age = ktime_get_ns() - session->born;

	lockdep_assert_held(&session->lock);
	return mzp_nl_put_owner(skb, session, reader) &&
	       !nla_put_u32(skb, MZP_A_SESSION_STATE, mzp_nl_state(session)) &&
	       !nla_put_u32(skb, MZP_A_SESSION_NETNS, session->owner.netns) &&
	       !nla_put_u64_64bit(skb, MZP_A_SESSION_AGE, age, MZP_A_SESSION_PAD) &&
	       mzp_nl_put_error(skb, session) &&
	       (!session->ready || mzp_nl_put_migration(skb, session));
}

static bool mzp_nl_put_round(struct sk_buff *skb, const struct mzp_round *round)
{
	const struct mzp_counts *counts = &round->counts;
	const struct mzp_nl_u64 u64s[] = {
		{ MZP_A_ROUND_SUBMITTED, round->submitted },
		{ MZP_A_ROUND_NORMAL, counts->normal },
		{ MZP_A_ROUND_ZERO, counts->zero },
		{ MZP_A_ROUND_ABSENT, counts->absent },
		{ MZP_A_ROUND_LOST, counts->lost },
		{ MZP_A_ROUND_DURATION, ktime_get_ns() - round->start },
	};
	struct nlattr *nest = nla_nest_start(skb, MZP_A_SESSION_ROUND);

	if (!nest || nla_put_u32(skb, MZP_A_ROUND_NUMBER, round->number) ||
	    !mzp_nl_put_u64s(skb, u64s, ARRAY_SIZE(u64s), MZP_A_ROUND_PAD))
		return false;
	nla_nest_end(skb, nest);
	return true;
}

/* --- channels and workers */

static bool mzp_nl_put_channel_stats(struct sk_buff *skb, const struct mzp_stats *stats)
{
	const struct mzp_nl_u64 u64s[] = {
		{ MZP_A_CHANNEL_NORMAL, stats->counts.normal },
		{ MZP_A_CHANNEL_ZERO, stats->counts.zero },
		{ MZP_A_CHANNEL_ABSENT, stats->counts.absent },
		{ MZP_A_CHANNEL_LOST, stats->counts.lost },
		{ MZP_A_CHANNEL_BYTES_IN, stats->bytes_in },
		{ MZP_A_CHANNEL_BYTES_PAYLOAD, stats->bytes_payload },
		{ MZP_A_CHANNEL_BYTES_OUT, stats->bytes_out },
		{ MZP_A_CHANNEL_BYTES_READ, stats->bytes_read },
		{ MZP_A_CHANNEL_PACKETS, stats->packets },
		{ MZP_A_CHANNEL_SYNCS, stats->syncs },
		{ MZP_A_CHANNEL_RING_FULL, stats->ring_full },
		{ MZP_A_CHANNEL_RING_EMPTY, stats->ring_empty },
		{ MZP_A_CHANNEL_STALLS, stats->stalls },
		{ MZP_A_CHANNEL_THROTTLED, stats->throttled },
		{ MZP_A_CHANNEL_BUSY, stats->busy_ns },
		{ MZP_A_CHANNEL_MEMORY, stats->memory },
	};
	const struct mzp_nl_u32 u32s[] = {
		{ MZP_A_CHANNEL_RING_PACKETS, stats->ring_packets },
		{ MZP_A_CHANNEL_RING_SIZE, stats->ring_size },
		{ MZP_A_CHANNEL_PAGES_HELD, stats->pages_held },
	};

	return mzp_nl_put_u64s(skb, u64s, ARRAY_SIZE(u64s), MZP_A_CHANNEL_PAD) &&
	       mzp_nl_put_u32s(skb, u32s, ARRAY_SIZE(u32s));
}

static bool mzp_nl_put_channel(struct sk_buff *skb, const struct mzp_channel *channel)
{
	const struct mzp_nl_u32 u32s[] = {
		{ MZP_A_CHANNEL_ID, channel->id },
		{ MZP_A_CHANNEL_OPEN, READ_ONCE(channel->handed_out) },
		{ MZP_A_CHANNEL_CPU, READ_ONCE(channel->cpu) },
	};
	struct mzp_stats stats = { };

	mzp_stats_add(&stats, channel);
	return !nla_put_u64_64bit(skb, MZP_A_CHANNEL_SESSION, channel->session->id,
				  MZP_A_CHANNEL_PAD) &&
	       mzp_nl_put_u32s(skb, u32s, ARRAY_SIZE(u32s)) &&
	       mzp_nl_put_channel_stats(skb, &stats);
}

static bool mzp_nl_put_worker(struct sk_buff *skb, unsigned int cpu)
{
	const struct mzp_worker_look look = mzp_worker_look(cpu);
	const struct mzp_nl_u32 u32s[] = {
		{ MZP_A_WORKER_CPU, cpu },
		{ MZP_A_WORKER_UP, look.up },
		{ MZP_A_WORKER_QUEUE, look.queued },
	};
	const struct mzp_nl_u64 u64s[] = {
		{ MZP_A_WORKER_BUSY, look.stats.busy_ns },
		{ MZP_A_WORKER_RUNS, look.stats.runs },
		{ MZP_A_WORKER_PACKETS, look.stats.packets },
		{ MZP_A_WORKER_SESSIONS, look.stats.sessions },
	};

	return mzp_nl_put_u32s(skb, u32s, ARRAY_SIZE(u32s)) &&
	       mzp_nl_put_u64s(skb, u64s, ARRAY_SIZE(u64s), MZP_A_WORKER_PAD);
}

/* --- requests for one thing */

static struct sk_buff *mzp_nl_reply_new(struct genl_info *info, void **header)
{
	struct sk_buff *skb = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);

	if (!skb)
		return NULL;
	*header = genlmsg_put_reply(skb, info, &mzp_family, 0, info->genlhdr->cmd);
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
	return mzp_nl_reply_send(skb, header, info, mzp_nl_put_info(skb, &what));
}

static bool mzp_nl_may_see(struct sk_buff *request, const struct mzp_session *session)
{
	return uid_eq(NETLINK_CREDS(request)->uid, session->user->uid) ||
	       netlink_capable(request, CAP_NET_ADMIN);
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

	/* Pairs with mzp_ioctl_setup(): what it set up is visible. */
	if (IS_ERR(session) || smp_load_acquire(&session->ready))
		return session;
	mzp_session_put(session);
	NL_SET_ERR_MSG_MOD(info->extack, "the session is not set up yet");
	return ERR_PTR(-ENXIO);
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
		mutex_lock(&session->lock);
		fits = mzp_nl_put_session(skb, session, &reader);
		mutex_unlock(&session->lock);
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
		fits = mzp_nl_put_channel(skb, session->channel[id]);
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
				 mzp_nl_put_worker(skb, array_index_nospec(cpu, nr_cpu_ids)));
}

/* --- dumps, in the order of ids; what comes and goes meanwhile may be in it */

/**
 * struct mzp_nl_dump - where a dump goes on
 * @session: lowest id of the next session
 * @channel: id of its next channel
 * @cpu: the next worker's
 */
struct mzp_nl_dump {
	u64 session;
	u32 channel;
	u32 cpu;
};

static struct mzp_nl_dump *mzp_nl_dump(struct netlink_callback *cb)
{
	BUILD_BUG_ON(sizeof(struct mzp_nl_dump) > sizeof(cb->ctx));
	return (struct mzp_nl_dump *)cb->ctx;
}

static void *mzp_nl_dump_put(struct sk_buff *skb, struct netlink_callback *cb)
{
	const struct genlmsghdr *request = nlmsg_data(cb->nlh);

	return genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &mzp_family,
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

static bool mzp_nl_dump_session(struct sk_buff *skb, struct netlink_callback *cb,
				struct mzp_session *session)
{
	struct mzp_reader reader = mzp_nl_reader(cb->skb);
	void *header = mzp_nl_dump_put(skb, cb);
	bool fits = false;

	if (!header)
		return false;
	mutex_lock(&session->lock);
	fits = mzp_nl_put_session(skb, session, &reader);
	mutex_unlock(&session->lock);
	return mzp_nl_dump_keep(skb, header, fits);
}

int multifd_zp_nl_session_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct mzp_nl_dump *dump = mzp_nl_dump(cb);
	struct mzp_session *session;
	bool fits = true;

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

	/* Pairs with mzp_ioctl_setup(), as above. */
	if (!smp_load_acquire(&session->ready))
		return true;
	while (fits && dump->channel < session->nr_channels) {
		void *header = mzp_nl_dump_put(skb, cb);

		fits = header && mzp_nl_dump_keep(skb, header,
			mzp_nl_put_channel(skb, session->channel[dump->channel]));
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
	struct mzp_nl_dump *dump = mzp_nl_dump(cb);
	struct mzp_session *session;
	bool fits = true;
	int err;

	if (only && !dump->session) {
		err = mzp_nl_dump_only(cb, last);
		if (err)
			return err;
	}
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
	struct mzp_nl_dump *dump = mzp_nl_dump(cb);
	void *header;

	for (; dump->cpu < nr_cpu_ids; dump->cpu++) {
		if (!cpu_possible(dump->cpu))
			continue;
		header = mzp_nl_dump_put(skb, cb);
		if (!header ||
		    !mzp_nl_dump_keep(skb, header, mzp_nl_put_worker(skb, dump->cpu)))
			break;
	}
	return skb->len;
}

/* --- an administrator's requests; genetlink has checked that it is one */

int multifd_zp_nl_session_cancel_doit(struct sk_buff *request, struct genl_info *info)
{
	struct mzp_session *session = mzp_nl_named_ready(request, info, MZP_A_SESSION_ID);

	if (IS_ERR(session))
		return PTR_ERR(session);
	mzp_session_fail(session, -ECANCELED);
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
	if (err)
		NL_SET_ERR_MSG_MOD(info->extack, "not a list of CPUs, such as 0-3,8");
	else
		err = mzp_session_limit_cpus(session, cpus);
	if (err == -EINVAL)
		NL_SET_ERR_MSG_MOD(info->extack, "the session was not set up with any of these CPUs");
	free_cpumask_var(cpus);
	return err;
}

int multifd_zp_nl_session_limit_doit(struct sk_buff *request, struct genl_info *info)
{
	struct mzp_session *session = mzp_nl_named_ready(request, info, MZP_A_SESSION_ID);
	struct nlattr *rate = info->attrs[MZP_A_SESSION_RATE];
	int err = 0;

	if (IS_ERR(session))
		return PTR_ERR(session);
	if (info->attrs[MZP_A_SESSION_CPUS])
		err = mzp_nl_limit_cpus(session, info);
	if (!err && rate)
		mzp_limit_set(&session->limit, nla_get_u64(rate));
	mzp_session_put(session);
	return err;
}

/* --- events */

static bool mzp_nl_put_event(struct sk_buff *skb, const struct mzp_session *session,
			     const struct mzp_round *round)
{
	const struct mzp_reader host = { .users = &init_user_ns, .pids = &init_pid_ns };

	if (!round)
		return mzp_nl_put_session(skb, session, &host);
	return mzp_nl_put_owner(skb, session, &host) && mzp_nl_put_round(skb, round);
}

static struct sk_buff *mzp_nl_event_new(const struct mzp_session *session, u8 cmd,
					const struct mzp_round *round)
{
	struct sk_buff *skb = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_NOWAIT);
	void *header;

	if (!skb)
		return NULL;
	header = genlmsg_put(skb, 0, 0, &mzp_family, 0, cmd);
	if (header && mzp_nl_put_event(skb, session, round)) {
		genlmsg_end(skb, header);
		return skb;
	}
	nlmsg_free(skb);
	return NULL;
}

/*
 * Nobody is waited for: a listener whose queue is full, or for whom there is no
 * memory now, is told by netlink that it has missed something.
 */
static void mzp_nl_tell(const struct mzp_session *session, u8 cmd, const struct mzp_round *round)
{
	struct sk_buff *skb;

	lockdep_assert_held(&session->lock);
	if (!genl_has_listeners(&mzp_family, &init_net, MULTIFD_ZP_NLGRP_EVENTS))
		return;
	skb = mzp_nl_event_new(session, cmd, round);
	if (skb)
		genlmsg_multicast(&mzp_family, skb, 0, MULTIFD_ZP_NLGRP_EVENTS, GFP_NOWAIT);
	else
		genl_set_err(&mzp_family, &init_net, 0, MULTIFD_ZP_NLGRP_EVENTS, -ENOBUFS);
}

/**
 * mzp_netlink_created - tell that a session was set up
 * @session: the session
 *
 * Context: the session lock is held; does not wait.
 */
void mzp_netlink_created(const struct mzp_session *session)
{
	mzp_nl_tell(session, MZP_NL_CMD_SESSION_CREATED, NULL);
}

/**
 * mzp_netlink_synced - tell that a round is complete
 * @session: the session
 * @round: the round
 *
 * Context: the session lock is held; does not wait.
 */
void mzp_netlink_synced(const struct mzp_session *session, const struct mzp_round *round)
{
	mzp_nl_tell(session, MZP_NL_CMD_SESSION_SYNCED, round);
}

/**
 * mzp_netlink_failed - tell that a session is over before its time
 * @session: the session
 *
 * Context: the session lock is held; does not wait.
 */
void mzp_netlink_failed(const struct mzp_session *session)
{
	mzp_nl_tell(session, MZP_NL_CMD_SESSION_FAILED, NULL);
}

/**
 * mzp_netlink_ended - tell that a session has ended well
 * @session: the session
 *
 * Context: the session lock is held; does not wait.
 */
void mzp_netlink_ended(const struct mzp_session *session)
{
	mzp_nl_tell(session, MZP_NL_CMD_SESSION_ENDED, NULL);
}

/* The generator knows no flags of groups. */
static const struct genl_multicast_group mzp_nl_groups[] = {
	[MULTIFD_ZP_NLGRP_EVENTS] = {
		.name = MULTIFD_ZP_MCGRP_EVENTS,
		.flags = GENL_MCAST_CAP_NET_ADMIN,
	},
};

static struct genl_family mzp_family __ro_after_init = {
	.name = MZP_GENL_NAME,
	.version = MZP_GENL_VERSION,
	.netnsok = true,
	/* Requests of different readers need not wait for each other. */
	.parallel_ops = true,
	.module = THIS_MODULE,
	.ops = multifd_zp_nl_ops,
	.n_ops = ARRAY_SIZE(multifd_zp_nl_ops),
	/* New, so all of its requests are checked strictly. */
	.resv_start_op = MZP_NL_CMD_INFO_GET,
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
	return genl_register_family(&mzp_family);
}

/**
 * mzp_netlink_unregister - forget it
 *
 * Context: module exit. When this returns, no request is under way.
 */
void mzp_netlink_unregister(void)
{
	genl_unregister_family(&mzp_family);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What netlink messages say: each function here puts attributes into one, and
 * tells whether there was room.
 *
 * What is said of a session is read under its queue lock, so that it fits together.
 * What is in channels and workers is read while it changes.
 */
#include <linux/cpumask.h>
#include <linux/cred.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uidgid.h>
#include <net/netlink.h>

#include <linux/multifd_zp.h>
#include <linux/multifd_zp_netlink.h>

#include "channel.h"
#include "history.h"
#include "host.h"
#include "message.h"
#include "round.h"
#include "runqueue.h"
#include "session.h"
#include "sessions.h"
#include "setup.h"
#include "stats.h"
#include "worker.h"

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

/**
 * mzp_message_info - put what the module can do into a message
 * @skb: the message
 * @info: what the module can do
 * @events: whether who asks can be told of events
 *
 * Context: any.
 * Return: false if there is no room.
 */
bool mzp_message_info(struct sk_buff *skb, const struct mzp_info *info, bool events)
{
	const struct mzp_nl_u32 u32s[] = {
		{ MZP_A_INFO_ABI_VERSION, info->abi_version },
		{ MZP_A_INFO_PAGE_SIZE, info->page_size },
		{ MZP_A_INFO_METHODS, info->methods },
		{ MZP_A_INFO_DETECTIONS, info->detections },
		{ MZP_A_INFO_MAX_CHANNELS, info->max_channels },
		{ MZP_A_INFO_MAX_PACKET_PAGES, info->max_packet_pages },
		{ MZP_A_INFO_MAX_RING_PACKETS, info->max_ring_packets },
		{ MZP_A_INFO_MAX_BLOCKS, info->max_blocks },
		{ MZP_A_INFO_MAX_JOBS, info->max_jobs },
		{ MZP_A_INFO_MAX_SESSIONS, info->max_sessions },
		{ MZP_A_INFO_SESSIONS, mzp_sessions_count() },
		{ MZP_A_INFO_WORKERS, mzp_runqueues_up() },
		{ MZP_A_INFO_METHOD, info->method },
		{ MZP_A_INFO_LEVEL_MIN, info->level_min },
		{ MZP_A_INFO_LEVEL_MAX, info->level_max },
		{ MZP_A_INFO_LEVEL_DEFAULT, info->level_default },
		{ MZP_A_INFO_EVENTS, events },
	};

	return !nla_put_string(skb, MZP_A_INFO_VERSION, THIS_MODULE->version) &&
	       !nla_put_u64_64bit(skb, MZP_A_INFO_FEATURES, info->features, MZP_A_INFO_PAD) &&
	       mzp_nl_put_u32s(skb, u32s, ARRAY_SIZE(u32s));
}

static enum mzp_session_state mzp_nl_state(const struct mzp_session *session)
{
	switch (session->phase) {
	case MZP_NEW:
		return MZP_SESSION_NEW;
	case MZP_READY:
	case MZP_ENDING:
		return MZP_SESSION_ACTIVE;
	case MZP_ENDED:
		return MZP_SESSION_ENDED;
	case MZP_FAILED:
		break;
	}
	return MZP_SESSION_FAILED;
}

/**
 * mzp_message_owner - put which session it is, and whose
 * @skb: the message
 * @session: the session
 * @reader: who is going to read it
 *
 * Context: the session's queue lock is held.
 * Return: false if there is no room.
 */
bool mzp_message_owner(struct sk_buff *skb, const struct mzp_session *session,
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
	if (nla_put_u32(skb, MZP_A_SESSION_ERROR, session->first_error))
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
							lockdep_is_held(&session->queue_lock));

	return limit ? &limit->mask : session->cpus;
}

/*
 * A list that is longer than a reader has room for is left out, or for which
 * there is no memory without waiting for it.
 */
static bool mzp_nl_put_cpus(struct sk_buff *skb, const struct mzp_session *session)
{
	char *list = kasprintf(GFP_NOWAIT | __GFP_NOWARN, "%*pbl",
			       cpumask_pr_args(mzp_nl_cpus(session)));
	bool fits = true;

	if (list && strlen(list) < MULTIFD_ZP_CPUS_LEN)
		fits = !nla_put_string(skb, MZP_A_SESSION_CPUS, list);
	kfree(list);
	return fits;
}

/* What its jobs were given up with, of a session that is over also what is not done. */
static u64 mzp_nl_lost(const struct mzp_session *session, const struct mzp_counts *counts)
{
	if (session->phase != MZP_FAILED)
		return session->all.counts.lost;
	return session->all.pages - counts->normal - counts->zero - counts->absent;
}

/* Its settings, and where its jobs are. */
static bool mzp_nl_put_work(struct sk_buff *skb, const struct mzp_session *session,
			    const struct mzp_counts *counts)
{
	const struct mzp_nl_u32 u32s[] = {
		{ MZP_A_SESSION_METHOD, session->method },
		{ MZP_A_SESSION_LEVEL, session->level },
		{ MZP_A_SESSION_DETECTION, session->detection },
		{ MZP_A_SESSION_CHANNELS, session->nr_channels },
		{ MZP_A_SESSION_BLOCKS, READ_ONCE(session->nr_blocks) },
		{ MZP_A_SESSION_PACKET_PAGES, session->packet_pages },
		{ MZP_A_SESSION_JOBS, session->nr_jobs },
		{ MZP_A_SESSION_JOBS_UNFINISHED, session->unfinished },
		{ MZP_A_SESSION_REASON, session->reason },
	};
	const struct mzp_nl_u64 u64s[] = {
		{ MZP_A_SESSION_SUBMITTED, session->all.pages },
		{ MZP_A_SESSION_NORMAL, counts->normal },
		{ MZP_A_SESSION_ZERO, counts->zero },
		{ MZP_A_SESSION_ABSENT, counts->absent },
		{ MZP_A_SESSION_LOST, mzp_nl_lost(session, counts) },
		{ MZP_A_SESSION_SYNCS, session->rounds },
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
		{ MZP_A_SESSION_BYTES_ENCRYPTED, sum->bytes_encrypted },
		{ MZP_A_SESSION_PACKETS, sum->packets },
		{ MZP_A_SESSION_RING_FULL, sum->ring_full },
		{ MZP_A_SESSION_RING_EMPTY, sum->ring_empty },
		{ MZP_A_SESSION_LEFT, sum->left },
		{ MZP_A_SESSION_WAITS, sum->waits },
		{ MZP_A_SESSION_THROTTLED, sum->throttled },
		{ MZP_A_SESSION_BUSY, sum->busy_ns },
		{ MZP_A_SESSION_READER_PACKETS, sum->reader_packets },
		{ MZP_A_SESSION_READER_TIME, sum->reader_ns },
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

/* What the guest writes, as far as its rounds tell. */
static bool mzp_nl_put_dirty(struct sk_buff *skb, const struct mzp_session *session)
{
	const struct mzp_nl_u64 u64s[] = {
		{ MZP_A_SESSION_DIRTY_PAGES, session->dirty_pages },
		{ MZP_A_SESSION_DIRTY_TIME, session->dirty_ns },
	};

	return session->rounds < 2 ||
	       mzp_nl_put_u64s(skb, u64s, ARRAY_SIZE(u64s), MZP_A_SESSION_PAD);
}

static bool mzp_nl_put_uuid(struct sk_buff *skb, const u8 *uuid)
{
	if (!memchr_inv(uuid, 0, MZP_WIRE_UUID))
		return true;
	return !nla_put(skb, MZP_A_SESSION_UUID, MZP_WIRE_UUID, uuid);
}

/* What only those have that were set up. */
static bool mzp_nl_put_migration(struct sk_buff *skb, const struct mzp_session *session)
{
	struct mzp_stats sum = { .memory = sizeof(*session) +
					   atomic_long_read(&session->job_memory) };
	unsigned int i;

	for (i = 0; i < session->nr_channels; i++)
		mzp_stats_add(&sum, session->channel[i]);
	return mzp_nl_put_work(skb, session, &sum.counts) && mzp_nl_put_sum(skb, &sum) &&
	       mzp_nl_put_dirty(skb, session) && mzp_nl_put_cpus(skb, session) &&
	       mzp_nl_put_uuid(skb, session->uuid);
}

/**
 * mzp_message_session - put all there is to say about a session
 * @skb: the message
 * @session: the session
 * @reader: who is going to read it
 *
 * Context: the session's queue lock is held; does not wait.
 * Return: false if there is no room, or no memory.
 */
bool mzp_message_session(struct sk_buff *skb, const struct mzp_session *session,
			 const struct mzp_reader *reader)
{
	u64 age = ktime_get_ns() - session->born;

	lockdep_assert_held(&session->queue_lock);
	return mzp_message_owner(skb, session, reader) &&
	       !nla_put_u32(skb, MZP_A_SESSION_STATE, mzp_nl_state(session)) &&
	       !nla_put_u32(skb, MZP_A_SESSION_NETNS, session->owner.netns) &&
	       !nla_put_u32(skb, MZP_A_SESSION_SLOT, session->slot) &&
	       !nla_put_u64_64bit(skb, MZP_A_SESSION_AGE, age, MZP_A_SESSION_PAD) &&
	       mzp_nl_put_error(skb, session) &&
	       (!mzp_session_ready(session) || mzp_nl_put_migration(skb, session));
}

/**
 * mzp_message_round - put what a round came to
 * @skb: the message
 * @round: complete just now
 *
 * Context: the session's queue lock is held.
 * Return: false if there is no room.
 */
bool mzp_message_round(struct sk_buff *skb, const struct mzp_round *round)
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
		{ MZP_A_CHANNEL_BYTES_ENCRYPTED, stats->bytes_encrypted },
		{ MZP_A_CHANNEL_PACKETS, stats->packets },
		{ MZP_A_CHANNEL_SYNCS, stats->syncs },
		{ MZP_A_CHANNEL_RING_FULL, stats->ring_full },
		{ MZP_A_CHANNEL_RING_EMPTY, stats->ring_empty },
		{ MZP_A_CHANNEL_LEFT, stats->left },
		{ MZP_A_CHANNEL_WAITS, stats->waits },
		{ MZP_A_CHANNEL_THROTTLED, stats->throttled },
		{ MZP_A_CHANNEL_BUSY, stats->busy_ns },
		{ MZP_A_CHANNEL_READER_PACKETS, stats->reader_packets },
		{ MZP_A_CHANNEL_READER_TIME, stats->reader_ns },
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

/**
 * mzp_message_channel - put all there is to say about a channel
 * @skb: the message
 * @channel: of a session that is set up
 *
 * Context: any.
 * Return: false if there is no room.
 */
bool mzp_message_channel(struct sk_buff *skb, const struct mzp_channel *channel)
{
	const struct mzp_nl_u32 u32s[] = {
		{ MZP_A_CHANNEL_ID, channel->id },
		{ MZP_A_CHANNEL_OPEN, READ_ONCE(channel->handed_out) },
		{ MZP_A_CHANNEL_CPU, READ_ONCE(channel->claim.cpu) },
	};
	struct mzp_stats stats = { };

	mzp_stats_add(&stats, channel);
	return !nla_put_u64_64bit(skb, MZP_A_CHANNEL_SESSION, channel->session->id,
				  MZP_A_CHANNEL_PAD) &&
	       mzp_nl_put_u32s(skb, u32s, ARRAY_SIZE(u32s)) &&
	       mzp_nl_put_channel_stats(skb, &stats);
}

/**
 * mzp_message_worker - put all there is to say about a worker
 * @skb: the message
 * @cpu: the worker's, a possible one
 *
 * Context: any.
 * Return: false if there is no room.
 */
bool mzp_message_worker(struct sk_buff *skb, unsigned int cpu)
{
	const struct mzp_worker_stats stats = mzp_worker_stats(cpu);
	const struct mzp_nl_u32 u32s[] = {
		{ MZP_A_WORKER_CPU, cpu },
		{ MZP_A_WORKER_UP, mzp_runqueue_is_up(cpu) },
		{ MZP_A_WORKER_QUEUE, mzp_runqueue_length(cpu) },
	};
	const struct mzp_nl_u64 u64s[] = {
		{ MZP_A_WORKER_BUSY, stats.busy_ns },
		{ MZP_A_WORKER_RUNS, stats.runs },
		{ MZP_A_WORKER_PACKETS, stats.packets },
		{ MZP_A_WORKER_SESSIONS, stats.sessions },
	};

	return mzp_nl_put_u32s(skb, u32s, ARRAY_SIZE(u32s)) &&
	       mzp_nl_put_u64s(skb, u64s, ARRAY_SIZE(u64s), MZP_A_WORKER_PAD);
}

/**
 * mzp_message_totals - put what all sessions come to
 * @skb: the message
 * @totals: what they do
 *
 * Context: any.
 * Return: false if there is no room.
 */
bool mzp_message_totals(struct sk_buff *skb, const struct mzp_totals *totals)
{
	unsigned int i;
	bool fits;

	BUILD_BUG_ON(MZP_A_TOTALS_ENDED + MZP_REASONS != MZP_A_TOTALS_NORMAL);
	BUILD_BUG_ON(MZP_A_TOTALS_NORMAL + MZP_TOTALS != MZP_A_TOTALS_MAX + 1);
	fits = !nla_put_u64_64bit(skb, MZP_A_TOTALS_STARTED, totals->started, MZP_A_TOTALS_PAD);
	for (i = 0; fits && i < MZP_REASONS; i++)
		fits = !nla_put_u64_64bit(skb, MZP_A_TOTALS_ENDED + i, totals->over[i],
					  MZP_A_TOTALS_PAD);
	for (i = 0; fits && i < MZP_TOTALS; i++)
		fits = !nla_put_u64_64bit(skb, MZP_A_TOTALS_NORMAL + i, totals->total[i],
					  MZP_A_TOTALS_PAD);
	return fits;
}

/**
 * mzp_message_host - put what is set for the whole host
 * @skb: the message
 * @host: what is set
 *
 * Context: any.
 * Return: false if there is no room.
 */
bool mzp_message_host(struct sk_buff *skb, const struct mzp_host *host)
{
	const struct mzp_nl_u32 u32s[] = {
		{ MZP_A_HOST_DRAINING, host->setting[MZP_HOST_DRAINING] },
		{ MZP_A_HOST_MAX_SESSIONS,
		  min_t(u64, host->setting[MZP_HOST_MAX_SESSIONS], U32_MAX) },
		{ MZP_A_HOST_SESSIONS, host->sessions },
	};
	const struct mzp_nl_u64 u64s[] = {
		{ MZP_A_HOST_DEFAULT_RATE, host->setting[MZP_HOST_DEFAULT_RATE] },
		{ MZP_A_HOST_MAX_RATE, host->setting[MZP_HOST_MAX_RATE] },
		{ MZP_A_HOST_TOTAL_RATE, host->setting[MZP_HOST_TOTAL_RATE] },
		{ MZP_A_HOST_REFUSED, host->refused },
	};

	return mzp_nl_put_u32s(skb, u32s, ARRAY_SIZE(u32s)) &&
	       mzp_nl_put_u64s(skb, u64s, ARRAY_SIZE(u64s), MZP_A_HOST_PAD);
}

/**
 * mzp_message_record - put all that is known of a session that is gone
 * @skb: the message
 * @record: the session
 *
 * Context: any.
 * Return: false if there is no room.
 */
bool mzp_message_record(struct sk_buff *skb, const struct mzp_record *record)
{
	const u64 *total = record->total;
	const struct mzp_nl_u64 u64s[] = {
		{ MZP_A_SESSION_ID, record->id },
		{ MZP_A_SESSION_NORMAL, total[MZP_TOTAL_NORMAL] },
		{ MZP_A_SESSION_ZERO, total[MZP_TOTAL_ZERO] },
		{ MZP_A_SESSION_ABSENT, total[MZP_TOTAL_ABSENT] },
		{ MZP_A_SESSION_LOST, total[MZP_TOTAL_LOST] },
		{ MZP_A_SESSION_BYTES_IN, total[MZP_TOTAL_BYTES_IN] },
		{ MZP_A_SESSION_BYTES_OUT, total[MZP_TOTAL_BYTES_OUT] },
		{ MZP_A_SESSION_BYTES_READ, total[MZP_TOTAL_BYTES_READ] },
		{ MZP_A_SESSION_BYTES_ENCRYPTED, total[MZP_TOTAL_BYTES_ENCRYPTED] },
		{ MZP_A_SESSION_SYNCS, record->rounds },
		{ MZP_A_SESSION_END_TIME, record->end },
		{ MZP_A_SESSION_DURATION, total[MZP_TOTAL_TIME] },
	};
	const struct mzp_nl_u32 u32s[] = {
		{ MZP_A_SESSION_STATE, record->reason ? MZP_SESSION_FAILED : MZP_SESSION_ENDED },
		{ MZP_A_SESSION_PID, record->pid },
		{ MZP_A_SESSION_UID, from_kuid_munged(&init_user_ns, record->uid) },
		{ MZP_A_SESSION_NETNS, record->netns },
		{ MZP_A_SESSION_METHOD, record->method },
		{ MZP_A_SESSION_CHANNELS, record->channels },
		{ MZP_A_SESSION_ERROR, record->error },
		{ MZP_A_SESSION_REASON, record->reason },
	};

	return mzp_nl_put_u64s(skb, u64s, ARRAY_SIZE(u64s), MZP_A_SESSION_PAD) &&
	       mzp_nl_put_u32s(skb, u32s, ARRAY_SIZE(u32s)) &&
	       !nla_put_string(skb, MZP_A_SESSION_COMM, record->comm) &&
	       mzp_nl_put_uuid(skb, record->uuid);
}

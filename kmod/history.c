// SPDX-License-Identifier: GPL-2.0-only
/*
 * What happened stays: sums over all sessions that there ever were, and a record of
 * each of the last ones.
 *
 * Nothing of it is counted where pages are sent. A session's channels count for
 * themselves, and the session remembers how much of that is in the sums already
 * (@counted). Whoever wants the sums has each session put in what is new, and a session
 * that goes does it for the last time. Both do it under the session's queue lock, so
 * nothing is put in twice; only differences that are positive are put in, so no sum ever
 * goes back; and who goes is done before the session cannot be found any more, so
 * nothing is missing: a session that is looked at has a reference, and does not go
 * meanwhile. The sums themselves are atomic, since two sessions have two locks.
 *
 * Which session started and how it was over is counted once each, by SETUP and by
 * whoever frees it: the one has the session alone, and so has the other. A session is
 * over before it is gone, when all of its descriptors are closed: so how it was over
 * cannot change any more, as it can until then (CANCEL behind the end).
 *
 * Records are in a ring that is there from the beginning, so that who frees a session
 * needs no memory for it. What is in them is what the host calls things by, as in
 * events, and only an administrator can see it: records refer to no process and no
 * namespace, so they keep none alive.
 */
#include <linux/atomic.h>
#include <linux/ktime.h>
#include <linux/lockdep.h>
#include <linux/pid_namespace.h>
#include <linux/sched/user.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "channel.h"
#include "history.h"
#include "session.h"
#include "sessions.h"
#include "stats.h"

#define MZP_RECORDS	256u

static atomic64_t mzp_history_started = ATOMIC64_INIT(0);
static atomic64_t mzp_history_over[MZP_REASONS];
static atomic64_t mzp_history_total[MZP_TOTALS];

static DEFINE_SPINLOCK(mzp_history_lock); /* protects both; inside it is no other */
static struct mzp_record mzp_history_record[MZP_RECORDS];
static u64 mzp_history_records; /* that there ever were; the n-th is at n modulo the ring */

/* What a session has come to so far. */
static void mzp_history_sum(const struct mzp_session *session, u64 *sum)
{
	struct mzp_stats stats = { };
	unsigned int i;

	for (i = 0; i < session->nr_channels; i++)
		mzp_stats_add(&stats, session->channel[i]);
	sum[MZP_TOTAL_NORMAL] = stats.counts.normal;
	sum[MZP_TOTAL_ZERO] = stats.counts.zero;
	sum[MZP_TOTAL_ABSENT] = stats.counts.absent;
	sum[MZP_TOTAL_LOST] = 0;
	sum[MZP_TOTAL_BYTES_IN] = stats.bytes_in;
	sum[MZP_TOTAL_BYTES_OUT] = stats.bytes_out;
	sum[MZP_TOTAL_BYTES_READ] = stats.bytes_read;
	sum[MZP_TOTAL_BYTES_ENCRYPTED] = stats.bytes_encrypted;
	sum[MZP_TOTAL_TIME] = (session->over_at ?: ktime_get_ns()) - session->started;
}

/* Put what is new in @sum into the sums of all. */
static void mzp_history_count(struct mzp_session *session, const u64 *sum)
{
	unsigned int i;

	lockdep_assert_held(&session->queue_lock);
	for (i = 0; i < MZP_TOTALS; i++) {
		if (sum[i] <= session->counted[i])
			continue;
		atomic64_add(sum[i] - session->counted[i], &mzp_history_total[i]);
		session->counted[i] = sum[i];
	}
}

/**
 * mzp_history_begin - count a session that was set up
 *
 * Context: any.
 */
void mzp_history_begin(void)
{
	atomic64_inc(&mzp_history_started);
}

/* One whose channels nobody has opened can go before its jobs are done. */
static enum mzp_reason mzp_history_reason(const struct mzp_session *session)
{
	return session->phase == MZP_ENDING ? MZP_REASON_CLOSED : session->reason;
}

static void mzp_history_fill(struct mzp_record *record, const struct mzp_session *session)
{
	const struct mzp_owner *owner = &session->owner;
	u64 over_at = session->over_at ?: ktime_get_ns();

	*record = (struct mzp_record) {
		.id = session->id,
		.pid = pid_nr_ns(owner->pid, &init_pid_ns),
		.uid = session->user->uid,
		.netns = owner->netns,
		.reason = mzp_history_reason(session),
		.error = session->first_error,
		.method = session->method,
		.channels = session->nr_channels,
		.rounds = session->rounds,
		.end = ktime_get_real_ns() - (ktime_get_ns() - over_at),
	};
	memcpy(record->comm, owner->comm, sizeof(record->comm));
	memcpy(record->uuid, session->uuid, sizeof(record->uuid));
}

/**
 * mzp_history_end - note that a session is gone
 * @session: the session, which nobody uses any more, and which still has its channels
 *
 * Context: process; takes the queue lock.
 */
void mzp_history_end(struct mzp_session *session)
{
	struct mzp_record record;

	if (!mzp_session_ready(session))
		return;
	mzp_history_fill(&record, session);
	mzp_history_sum(session, record.total);
	record.total[MZP_TOTAL_LOST] = session->all.pages - record.total[MZP_TOTAL_NORMAL] -
				       record.total[MZP_TOTAL_ZERO] -
				       record.total[MZP_TOTAL_ABSENT];
	spin_lock(&session->queue_lock);
	mzp_history_count(session, record.total);
	spin_unlock(&session->queue_lock);
	atomic64_inc(&mzp_history_over[record.reason]);

	spin_lock(&mzp_history_lock);
	mzp_history_record[mzp_history_records++ % MZP_RECORDS] = record;
	spin_unlock(&mzp_history_lock);
}

/* Have all sessions put in what is new. */
static void mzp_history_gather(void)
{
	struct mzp_session *session;
	u64 sum[MZP_TOTALS];
	u64 id = 0;

	for (; (session = mzp_sessions_next(&id)); id++) {
		if (mzp_session_ready(session)) {
			spin_lock(&session->queue_lock);
			mzp_history_sum(session, sum);
			mzp_history_count(session, sum);
			spin_unlock(&session->queue_lock);
		}
		mzp_session_put(session);
		cond_resched();
	}
}

/**
 * mzp_history_totals - what all sessions come to
 * @totals: filled in. What is counted meanwhile may be in some of it.
 *
 * Context: process; may sleep; takes queue locks.
 */
void mzp_history_totals(struct mzp_totals *totals)
{
	unsigned int i;

	mzp_history_gather();
	/* First, so that no more are over than have started. */
	for (i = 0; i < MZP_REASONS; i++)
		totals->over[i] = atomic64_read(&mzp_history_over[i]);
	/* Pairs with the order of SETUP and the end in a session's life. */
	smp_rmb();
	totals->started = atomic64_read(&mzp_history_started);
	for (i = 0; i < MZP_TOTALS; i++)
		totals->total[i] = atomic64_read(&mzp_history_total[i]);
}

/**
 * mzp_history_next - the next of the last sessions that are gone
 * @at: where the caller is, at first 0; moved behind what is found
 * @record: filled in
 *
 * Context: any.
 * Return: false if there is none.
 */
bool mzp_history_next(u64 *at, struct mzp_record *record)
{
	bool found;

	spin_lock(&mzp_history_lock);
	/* Older ones are not there any more. */
	if (mzp_history_records > MZP_RECORDS)
		*at = max(*at, mzp_history_records - MZP_RECORDS);
	found = *at < mzp_history_records;
	if (found)
		*record = mzp_history_record[(*at)++ % MZP_RECORDS];
	spin_unlock(&mzp_history_lock);
	return found;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an administrator sets for the whole host: whether and how many sessions may be set
 * up, and how fast they may be. From module parameters, and over netlink.
 *
 * A session counts from its SETUP until it is gone, and is let in or not under one lock
 * with the settings. So when a call that drains the host has returned, no SETUP that was
 * called later succeeds; and there are never more sessions than may be.
 *
 * The rates of single sessions are in their own limits (limit.c), which a change of a
 * setting walks through. A session that is opened at the same moment is not missed: it
 * can be found before it looks at the settings, and whoever puts them into a limit reads
 * them under the lock, so the last one to do so has put in the newest.
 *
 * The rate of all together is a limit like a session's, which each packet is charged to
 * as well. All channels that are held back by it look again at the same moment, and each
 * can make one packet then, which is waited for afterwards: in the long run the rate holds,
 * channels share it equally, and in a short time a packet of each can come on top.
 */
#include <linux/minmax.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "host.h"
#include "session.h"
#include "sessions.h"

static DEFINE_SPINLOCK(mzp_host_lock); /* outside limits' locks */
static struct mzp_host mzp_host; /* under the lock */
static struct mzp_limit mzp_host_total;

module_param_named(max_sessions, mzp_host.setting[MZP_HOST_MAX_SESSIONS], ullong, 0444);
MODULE_PARM_DESC(max_sessions, "sessions that are set up at most (default 0: no limit)");
module_param_named(default_rate, mzp_host.setting[MZP_HOST_DEFAULT_RATE], ullong, 0444);
MODULE_PARM_DESC(default_rate,
		 "bytes per second of a session whose VMM sets no rate (default 0: no limit)");
module_param_named(max_rate, mzp_host.setting[MZP_HOST_MAX_RATE], ullong, 0444);
MODULE_PARM_DESC(max_rate, "bytes per second of a session at most (default 0: no limit)");
module_param_named(total_rate, mzp_host.setting[MZP_HOST_TOTAL_RATE], ullong, 0444);
MODULE_PARM_DESC(total_rate, "bytes per second of all sessions together (default 0: no limit)");

/**
 * mzp_host_admit - let a session in that is to be set up
 *
 * Context: any.
 * Return: 0: the caller owes mzp_host_leave(); -ESHUTDOWN: the host is drained; -EUSERS:
 * there are as many as may be.
 */
int mzp_host_admit(void)
{
	u64 max;
	int err = 0;

	spin_lock(&mzp_host_lock);
	max = mzp_host.setting[MZP_HOST_MAX_SESSIONS];
	if (mzp_host.setting[MZP_HOST_DRAINING])
		err = -ESHUTDOWN;
	else if (max && mzp_host.sessions >= max)
		err = -EUSERS;
	if (err)
		mzp_host.refused++;
	else
		mzp_host.sessions++;
	spin_unlock(&mzp_host_lock);
	return err;
}

/**
 * mzp_host_leave - a session is gone that was let in
 *
 * Context: any.
 */
void mzp_host_leave(void)
{
	spin_lock(&mzp_host_lock);
	mzp_host.sessions--;
	spin_unlock(&mzp_host_lock);
}

/**
 * mzp_host_apply - put the rates that the host has for sessions into a session's limit
 * @session: one that mzp_sessions_next() can find
 *
 * Context: process.
 */
void mzp_host_apply(struct mzp_session *session)
{
	struct mzp_limit *limit = &session->limit;

	spin_lock(&mzp_host_lock);
	mzp_limit_set(limit, &limit->preset, mzp_host.setting[MZP_HOST_DEFAULT_RATE]);
	mzp_limit_set(limit, &limit->cap, mzp_host.setting[MZP_HOST_MAX_RATE]);
	spin_unlock(&mzp_host_lock);
}

/**
 * mzp_host_get - the settings, and what comes of them
 * @host: filled in
 *
 * Context: any.
 */
void mzp_host_get(struct mzp_host *host)
{
	spin_lock(&mzp_host_lock);
	*host = mzp_host;
	spin_unlock(&mzp_host_lock);
}

/* What it waited for may be over. */
static void mzp_host_tell(void)
{
	struct mzp_session *session;
	u64 id = 0;

	for (; (session = mzp_sessions_next(&id)); id++) {
		mzp_host_apply(session);
		if (mzp_session_ready(session))
			mzp_session_rate_changed(session);
		mzp_session_put(session);
		cond_resched();
	}
}

/**
 * mzp_host_set - change settings, from now on and for sessions that exist as well
 * @setting: their values, by enum mzp_host_setting
 * @which: bit n: the n-th is to be changed
 *
 * Context: process; may sleep.
 */
void mzp_host_set(const u64 *setting, unsigned int which)
{
	unsigned int i;

	spin_lock(&mzp_host_lock);
	for (i = 0; i < MZP_HOST_SETTINGS; i++) {
		if (which & BIT(i))
			mzp_host.setting[i] = setting[i];
	}
	if (which & BIT(MZP_HOST_TOTAL_RATE))
		mzp_limit_set(&mzp_host_total, &mzp_host_total.own,
			      mzp_host.setting[MZP_HOST_TOTAL_RATE]);
	spin_unlock(&mzp_host_lock);
	if (which & (BIT(MZP_HOST_DEFAULT_RATE) | BIT(MZP_HOST_MAX_RATE) |
		     BIT(MZP_HOST_TOTAL_RATE)))
		mzp_host_tell();
}

/**
 * mzp_host_wait - whether a packet may be made, by its session's limit and by that of all
 * @limit: its session's
 *
 * Context: process.
 * Return: as mzp_limit_wait().
 */
u64 mzp_host_wait(struct mzp_limit *limit)
{
	return max(mzp_limit_wait(limit), mzp_limit_wait(&mzp_host_total));
}

/**
 * mzp_host_charge - a packet was made
 * @limit: its session's
 * @bytes: its size, at most a few MiB
 *
 * Context: process.
 */
void mzp_host_charge(struct mzp_limit *limit, u64 bytes)
{
	mzp_limit_charge(limit, bytes);
	mzp_limit_charge(&mzp_host_total, bytes);
}

/**
 * mzp_host_init - have the module's parameters hold
 *
 * Context: module init, before there can be sessions.
 */
void __init mzp_host_init(void)
{
	mzp_limit_init(&mzp_host_total);
	mzp_host_set(mzp_host.setting, BIT(MZP_HOST_TOTAL_RATE));
}

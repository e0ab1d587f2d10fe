// SPDX-License-Identifier: GPL-2.0-only
/*
 * The workers: one kernel thread for each CPU, shared by all sessions, that looks
 * ahead for channels whose reader is busy.
 *
 * A worker waits for nothing that a session or its user could keep from it: it takes
 * spinlocks, whose holders cannot be preempted, tries other locks, faults no pages in,
 * and allocates without reclaim. What it cannot have that way it leaves to the
 * channel's reader. A turn lasts for a few milliseconds at most, or for one packet.
 *
 * CPU hotplug: a worker whose CPU goes away is parked between two turns; its queue
 * moves to the others, or to the readers.
 *
 * Suspend and hibernation: workers act for tasks that are frozen then, and must not
 * use what is being saved or switched off. So they rest from before tasks are frozen
 * until these are thawed.
 */
#include <linux/cpu.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/smpboot.h>
#include <linux/suspend.h>
#include <linux/wait_bit.h>

#include "channel.h"
#include "claim.h"
#include "producer.h"
#include "runqueue.h"
#include "session.h"
#include "sessions.h"
#include "stats.h"
#include "trace.h"
#include "worker.h"

static DEFINE_PER_CPU(struct task_struct *, mzp_worker_task);
static DEFINE_PER_CPU(struct mzp_worker_stats, mzp_worker_stat); /* its own; read anywhere */

/* Which workers are not parked, and whether they all rest; see mzp_worker_open(). */
static DEFINE_SPINLOCK(mzp_workers_lock);
static struct cpumask mzp_awake_cpus;
static bool mzp_resting;

/* Count one turn of a channel, which the caller still runs. */
static void mzp_worker_count(unsigned int cpu, struct mzp_channel *channel, u64 ns, u64 packets)
{
	struct mzp_worker_stats *stats = per_cpu_ptr(&mzp_worker_stat, cpu);
	struct mzp_share *share = per_cpu_ptr(channel->session->share, cpu);

	mzp_stat_add(&channel->stats.busy_ns, ns);
	mzp_stat_add(&stats->busy_ns, ns);
	mzp_stat_add(&stats->runs, 1);
	mzp_stat_add(&stats->packets, packets);
	if (!share->served)
		mzp_stat_add(&stats->sessions, 1);
	share->served = true;
}

static void mzp_worker_run(unsigned int cpu, struct mzp_channel *channel)
{
	struct mzp_session *session = channel->session;
	u64 packets = channel->stats.packets, start = ktime_get_ns();
	enum mzp_produced produced;

	trace_mzp_claim(session->id, channel->id, cpu, mzp_runqueue_length(cpu));
	produced = mzp_producer_run(channel, MZP_PATIENCE_NONE);
	mzp_worker_count(cpu, channel, ktime_get_ns() - start, channel->stats.packets - packets);
	mzp_claim_release(channel, produced);
	mzp_session_put(session);
}

static int mzp_worker_should_run(unsigned int cpu)
{
	return mzp_runqueue_pending(cpu);
}

static void mzp_worker_fn(unsigned int cpu)
{
	struct mzp_channel *channel = mzp_runqueue_next(cpu);

	if (channel)
		mzp_worker_run(cpu, channel);
	mzp_runqueue_rest(cpu);
	if (unlikely(READ_ONCE(mzp_resting))) {
		/* Pairs with mzp_workers_rest(): it sees us at rest, or we see it wait. */
		smp_mb();
		wake_up_var(&mzp_resting);
	}
	cond_resched();
}

static void mzp_worker_unpark(unsigned int cpu)
{
	spin_lock(&mzp_workers_lock);
	cpumask_set_cpu(cpu, &mzp_awake_cpus);
	if (!mzp_resting)
		mzp_runqueue_open(cpu, current);
	spin_unlock(&mzp_workers_lock);
	/* For those that came when nobody was there. */
	mzp_sessions_kick();
}

static void mzp_worker_park(unsigned int cpu)
{
	spin_lock(&mzp_workers_lock);
	cpumask_clear_cpu(cpu, &mzp_awake_cpus);
	spin_unlock(&mzp_workers_lock);
	mzp_runqueue_close(cpu);
}

static struct smp_hotplug_thread mzp_worker_threads = {
	.store = &mzp_worker_task,
	.thread_should_run = mzp_worker_should_run,
	.thread_fn = mzp_worker_fn,
	.setup = mzp_worker_unpark,
	.park = mzp_worker_park,
	.unpark = mzp_worker_unpark,
	.thread_comm = "multifd_zp/%u",
};

static bool mzp_workers_busy(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		if (mzp_runqueue_is_busy(cpu))
			return true;
	}
	return false;
}

/* When this returns, no worker runs anything, and none will. */
static void mzp_workers_rest(void)
{
	unsigned int cpu;

	spin_lock(&mzp_workers_lock);
	WRITE_ONCE(mzp_resting, true);
	spin_unlock(&mzp_workers_lock);
	for_each_possible_cpu(cpu)
		mzp_runqueue_close(cpu);
	wait_var_event(&mzp_resting, !mzp_workers_busy());
}

static void mzp_workers_go_on(void)
{
	unsigned int cpu;

	spin_lock(&mzp_workers_lock);
	WRITE_ONCE(mzp_resting, false);
	for_each_cpu(cpu, &mzp_awake_cpus)
		mzp_runqueue_open(cpu, per_cpu(mzp_worker_task, cpu));
	spin_unlock(&mzp_workers_lock);
	mzp_sessions_kick();
}

static int mzp_workers_pm(struct notifier_block *nb, unsigned long event, void *data)
{
	switch (event) {
	case PM_HIBERNATION_PREPARE:
	case PM_SUSPEND_PREPARE:
	case PM_RESTORE_PREPARE:
		mzp_workers_rest();
		break;
	case PM_POST_HIBERNATION:
	case PM_POST_SUSPEND:
	case PM_POST_RESTORE:
		mzp_workers_go_on();
		break;
	}
	return NOTIFY_OK;
}

static struct notifier_block mzp_workers_nb = { .notifier_call = mzp_workers_pm };

/**
 * mzp_worker_stats - what a worker has done
 * @cpu: a possible CPU
 *
 * Context: any; what it tells may be old already.
 */
struct mzp_worker_stats mzp_worker_stats(unsigned int cpu)
{
	const struct mzp_worker_stats *stats = per_cpu_ptr(&mzp_worker_stat, cpu);

	return (struct mzp_worker_stats) {
		.busy_ns = READ_ONCE(stats->busy_ns),
		.runs = READ_ONCE(stats->runs),
		.packets = READ_ONCE(stats->packets),
		.sessions = READ_ONCE(stats->sessions),
	};
}

/**
 * mzp_workers_start - start the workers
 *
 * Context: module init.
 * Return: 0 or a negative errno.
 */
int __init mzp_workers_start(void)
{
	int err;

	mzp_runqueues_init();
	err = smpboot_register_percpu_thread(&mzp_worker_threads);
	if (!err)
		register_pm_notifier(&mzp_workers_nb);
	return err;
}

/**
 * mzp_workers_stop - stop the workers
 *
 * Context: module exit; no session exists any more, so all queues are empty.
 * When this returns, no thread executes code of the workers.
 */
void mzp_workers_stop(void)
{
	unregister_pm_notifier(&mzp_workers_nb);
	smpboot_unregister_percpu_thread(&mzp_worker_threads);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The workers: one kernel thread for each CPU, shared by all sessions.
 *
 * What a worker runs is a channel: a few packets of it. Sessions with channels
 * to run take turns, and so do the channels of one session. So sessions share a
 * CPU evenly, however many channels they have.
 *
 * A channel is in one of three states. Idle: no worker has it. Owned: one has
 * it, in its queue or in its hands, or the session's slow lane has it; so a
 * channel has one producer at any time, without a lock. Kicked: owned, and
 * something has happened since its owner last began to look for work.
 *
 *   kick: write what is new; state := kicked; if it was idle, queue it
 *   run:  state := owned; look for work and do some; if there was none, and the
 *         state still is owned, state := idle
 *
 * Both exchanges are full barriers. A kick before the run's exchange is seen by
 * its look for work; one after it leaves the state at kicked, so that the
 * channel is run again. No kick is lost.
 *
 * Where it is queued: at the worker it had last, if that is idle (its caches
 * are warm); else at an idle one; else again at the one it had last. A running
 * worker whose queue is not empty gives the channel away as soon as another
 * worker is idle. Only CPUs that the session allows count, unless all of these
 * are offline.
 *
 * CPU hotplug: a worker whose CPU goes away is parked between two runs, of a
 * few packets at most; its queue moves to the others.
 *
 * A channel that is not idle holds a reference on its session.
 */
#include <linux/cpumask.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/smpboot.h>
#include <linux/spinlock.h>

#include "channel.h"
#include "producer.h"
#include "session.h"
#include "slow.h"
#include "trace.h"
#include "worker.h"

enum mzp_channel_state {
	MZP_CHANNEL_IDLE,
	MZP_CHANNEL_OWNED,
	MZP_CHANNEL_KICKED,
};

/**
 * struct mzp_worker - the worker of one CPU
 * @lock: protects the rest; nothing but another task's wake-up is done under it
 * @queue: sessions with channels to run, in the order of their turns
 * @up: the worker takes work, as mzp_up_cpus says
 * @queued: channels that wait in @queue
 * @stats: counters; only the worker writes them, read anywhere
 */
struct mzp_worker {
	spinlock_t lock; /* see above */
	struct list_head queue;
	bool up;
	unsigned int queued;
	struct mzp_worker_stats stats;
};

static DEFINE_PER_CPU(struct mzp_worker, mzp_workers);
static DEFINE_PER_CPU(struct task_struct *, mzp_worker_task);

/*
 * Workers that are up, and those of them with nothing to do; hints when read
 * without the worker's lock.
 */
static struct cpumask mzp_up_cpus;
static struct cpumask mzp_idle_cpus;

/*
 * Channels that found no worker up, which can be for a moment while CPUs come
 * and go. The next worker that comes up adopts them.
 */
static LIST_HEAD(mzp_orphans);
static DEFINE_SPINLOCK(mzp_orphans_lock);

/* A session's turn is over; the next one is behind those of the others. */
static void mzp_share_pass(struct mzp_worker *worker, struct mzp_share *share)
{
	list_del_init(&share->node);
	if (!list_empty(&share->channels))
		list_add_tail(&share->node, &worker->queue);
}

/* Queue a channel that is owned; false if the worker is not up. */
static bool mzp_worker_push(int cpu, struct mzp_channel *channel)
{
	struct mzp_worker *worker = per_cpu_ptr(&mzp_workers, cpu);
	struct mzp_share *share = per_cpu_ptr(channel->session->share, cpu);
	bool up;

	spin_lock(&worker->lock);
	up = worker->up;
	if (up) {
		WRITE_ONCE(channel->cpu, cpu);
		WRITE_ONCE(worker->queued, worker->queued + 1);
		list_add_tail(&channel->node, &share->channels);
		if (list_empty(&share->node))
			list_add_tail(&share->node, &worker->queue);
		if (cpumask_test_cpu(cpu, &mzp_idle_cpus))
			cpumask_clear_cpu(cpu, &mzp_idle_cpus);
		wake_up_process(per_cpu(mzp_worker_task, cpu));
	}
	spin_unlock(&worker->lock);
	return up;
}

static struct mzp_channel *mzp_worker_pop(int cpu)
{
	struct mzp_worker *worker = per_cpu_ptr(&mzp_workers, cpu);
	struct mzp_channel *channel = NULL;
	struct mzp_share *share;

	spin_lock(&worker->lock);
	share = list_first_entry_or_null(&worker->queue, struct mzp_share, node);
	if (share) {
		channel = list_first_entry(&share->channels, struct mzp_channel, node);
		list_del(&channel->node);
		WRITE_ONCE(worker->queued, worker->queued - 1);
		mzp_share_pass(worker, share);
	}
	spin_unlock(&worker->lock);
	return channel;
}

static int mzp_worker_pick_rcu(const struct mzp_channel *channel)
{
	const struct cpumask *allowed = mzp_session_cpus(channel->session);
	int cpu;

	/* An administrator's limit leads nowhere that the session may not go. */
	if (!cpumask_intersects(allowed, &mzp_up_cpus))
		allowed = channel->session->cpus;
	if (!cpumask_intersects(allowed, &mzp_up_cpus))
		allowed = &mzp_up_cpus;
	cpu = channel->cpu;
	if (cpumask_test_cpu(cpu, allowed) && cpumask_test_cpu(cpu, &mzp_idle_cpus))
		return cpu;
	cpu = cpumask_any_and(allowed, &mzp_idle_cpus);
	if (cpu < nr_cpu_ids)
		return cpu;
	cpu = channel->cpu;
	if (cpumask_test_cpu(cpu, allowed) && cpumask_test_cpu(cpu, &mzp_up_cpus))
		return cpu;
	return cpumask_any_and(allowed, &mzp_up_cpus);
}

static int mzp_worker_pick(const struct mzp_channel *channel)
{
	int cpu;

	rcu_read_lock();
	cpu = mzp_worker_pick_rcu(channel);
	rcu_read_unlock();
	return cpu;
}

static bool mzp_worker_allowed(int cpu, const struct mzp_channel *channel)
{
	bool allowed;

	rcu_read_lock();
	allowed = cpumask_test_cpu(cpu, mzp_session_cpus(channel->session));
	rcu_read_unlock();
	return allowed;
}

/* Put a channel aside until a worker comes up; false if one is. */
static bool mzp_worker_orphan(struct mzp_channel *channel)
{
	bool none;

	spin_lock(&mzp_orphans_lock);
	none = cpumask_empty(&mzp_up_cpus);
	if (none)
		list_add_tail(&channel->node, &mzp_orphans);
	spin_unlock(&mzp_orphans_lock);
	return none;
}

/**
 * mzp_worker_queue - have a worker run a channel
 * @channel: owned by the caller, and by the worker from now on
 *
 * Context: process; takes a worker's lock.
 */
void mzp_worker_queue(struct mzp_channel *channel)
{
	int cpu;

	/* The pick can be out of date. */
	do {
		cpu = mzp_worker_pick(channel);
		if (cpu >= nr_cpu_ids && mzp_worker_orphan(channel))
			return;
	} while (cpu >= nr_cpu_ids || !mzp_worker_push(cpu, channel));
}

/* Queue the channel that this worker has just run. */
static void mzp_worker_requeue(int cpu, struct mzp_channel *channel)
{
	struct mzp_worker *worker = per_cpu_ptr(&mzp_workers, cpu);

	if (list_empty_careful(&worker->queue) && mzp_worker_allowed(cpu, channel) &&
	    mzp_worker_push(cpu, channel))
		return;
	mzp_worker_queue(channel);
}

/**
 * mzp_worker_share - make a session's place in the workers' queues
 *
 * Context: may sleep; memory is charged to the current memory cgroup.
 * Return: memory to be freed with free_percpu(), or NULL.
 */
struct mzp_share __percpu *mzp_worker_share(void)
{
	struct mzp_share __percpu *share = alloc_percpu_gfp(struct mzp_share, GFP_KERNEL_ACCOUNT);
	int cpu;

	if (!share)
		return NULL;
	for_each_possible_cpu(cpu) {
		INIT_LIST_HEAD(&per_cpu_ptr(share, cpu)->node);
		INIT_LIST_HEAD(&per_cpu_ptr(share, cpu)->channels);
	}
	return share;
}

/**
 * mzp_worker_adopt - prepare a new channel for the workers
 * @channel: the channel; its session's CPUs are set
 *
 * Context: any.
 */
void mzp_worker_adopt(struct mzp_channel *channel)
{
	atomic_set(&channel->state, MZP_CHANNEL_IDLE);
	/* It keeps its place in the round per CPU. */
	preempt_disable();
	channel->cpu = cpumask_any_and_distribute(channel->session->cpus, cpu_possible_mask);
	preempt_enable();
}

/**
 * mzp_worker_kick - have a worker look at a channel
 * @channel: the channel; what its producer should find has been written. The
 *	caller keeps its session alive during the call.
 *
 * Context: process; takes a worker's lock.
 */
void mzp_worker_kick(struct mzp_channel *channel)
{
	if (atomic_xchg(&channel->state, MZP_CHANNEL_KICKED) != MZP_CHANNEL_IDLE)
		return;
	mzp_session_get(channel->session);
	mzp_worker_queue(channel);
}

/**
 * mzp_worker_kicked - whether a channel was kicked since it was last run
 * @channel: owned by the caller
 *
 * Context: any.
 */
bool mzp_worker_kicked(const struct mzp_channel *channel)
{
	return atomic_read(&channel->state) == MZP_CHANNEL_KICKED;
}

/* Count one run of a channel, whose producer the caller still is. */
static void mzp_worker_count(int cpu, struct mzp_channel *channel, u64 ns, u64 packets)
{
	struct mzp_worker_stats *stats = &per_cpu_ptr(&mzp_workers, cpu)->stats;
	struct mzp_share *share = per_cpu_ptr(channel->session->share, cpu);

	mzp_stat_add(&channel->stats.busy_ns, ns);
	mzp_stat_add(&stats->busy_ns, ns);
	mzp_stat_add(&stats->runs, 1);
	mzp_stat_add(&stats->packets, packets);
	if (!share->served)
		mzp_stat_add(&stats->sessions, 1);
	share->served = true;
}

static void mzp_worker_run(int cpu, struct mzp_channel *channel)
{
	u64 packets = channel->stats.packets, start = ktime_get_ns();
	enum mzp_produced produced;

	trace_mzp_claim(channel->session->id, channel->id, cpu,
			READ_ONCE(per_cpu(mzp_workers, cpu).queued));
	/* Full barrier: pairs with mzp_worker_kick(). */
	atomic_xchg(&channel->state, MZP_CHANNEL_OWNED);
	produced = mzp_producer_run(channel);
	mzp_worker_count(cpu, channel, ktime_get_ns() - start, channel->stats.packets - packets);

	switch (produced) {
	case MZP_PRODUCED_SOME:
		mzp_worker_requeue(cpu, channel);
		break;
	case MZP_PRODUCED_LATER:
		mzp_slow_submit(channel);
		break;
	case MZP_PRODUCED_NOTHING:
		if (atomic_cmpxchg(&channel->state, MZP_CHANNEL_OWNED, MZP_CHANNEL_IDLE) ==
		    MZP_CHANNEL_OWNED)
			mzp_session_put(channel->session);
		else
			mzp_worker_requeue(cpu, channel);
		break;
	}
}

static void mzp_worker_rest(int cpu)
{
	struct mzp_worker *worker = per_cpu_ptr(&mzp_workers, cpu);

	spin_lock(&worker->lock);
	if (list_empty(&worker->queue))
		cpumask_set_cpu(cpu, &mzp_idle_cpus);
	spin_unlock(&worker->lock);
}

static int mzp_worker_should_run(unsigned int cpu)
{
	return !list_empty_careful(&per_cpu(mzp_workers, cpu).queue);
}

static void mzp_worker_fn(unsigned int cpu)
{
	struct mzp_channel *channel = mzp_worker_pop(cpu);

	if (channel)
		mzp_worker_run(cpu, channel);
	mzp_worker_rest(cpu);
	cond_resched();
}

static void mzp_worker_unpark(unsigned int cpu)
{
	struct mzp_worker *worker = per_cpu_ptr(&mzp_workers, cpu);

	LIST_HEAD(orphans);

	spin_lock(&worker->lock);
	worker->up = true;
	cpumask_set_cpu(cpu, &mzp_up_cpus);
	cpumask_set_cpu(cpu, &mzp_idle_cpus);
	spin_unlock(&worker->lock);

	/* After we are up: whoever did not see that, we see. */
	spin_lock(&mzp_orphans_lock);
	list_splice_init(&mzp_orphans, &orphans);
	spin_unlock(&mzp_orphans_lock);
	while (!list_empty(&orphans)) {
		struct mzp_channel *channel = list_first_entry(&orphans, struct mzp_channel, node);

		list_del(&channel->node);
		mzp_worker_queue(channel);
	}
}

static void mzp_worker_park(unsigned int cpu)
{
	struct mzp_worker *worker = per_cpu_ptr(&mzp_workers, cpu);
	struct mzp_channel *channel;

	spin_lock(&worker->lock);
	worker->up = false;
	cpumask_clear_cpu(cpu, &mzp_up_cpus);
	cpumask_clear_cpu(cpu, &mzp_idle_cpus);
	spin_unlock(&worker->lock);

	/* Nobody adds to the queue any more. */
	while ((channel = mzp_worker_pop(cpu)))
		mzp_worker_queue(channel);
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

/**
 * mzp_worker_look - how a worker is
 * @cpu: a possible CPU
 *
 * Context: any; what it tells may be old already.
 */
struct mzp_worker_look mzp_worker_look(unsigned int cpu)
{
	const struct mzp_worker *worker = per_cpu_ptr(&mzp_workers, cpu);

	return (struct mzp_worker_look) {
		.up = cpumask_test_cpu(cpu, &mzp_up_cpus),
		.queued = READ_ONCE(worker->queued),
		.stats = {
			.busy_ns = READ_ONCE(worker->stats.busy_ns),
			.runs = READ_ONCE(worker->stats.runs),
			.packets = READ_ONCE(worker->stats.packets),
			.sessions = READ_ONCE(worker->stats.sessions),
		},
	};
}

/**
 * mzp_workers_up - how many workers take work
 *
 * Context: any.
 */
unsigned int mzp_workers_up(void)
{
	return cpumask_weight(&mzp_up_cpus);
}

/**
 * mzp_workers_start - start the workers
 *
 * Context: module init.
 * Return: 0 or a negative errno.
 */
int mzp_workers_start(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct mzp_worker *worker = per_cpu_ptr(&mzp_workers, cpu);

		spin_lock_init(&worker->lock);
		INIT_LIST_HEAD(&worker->queue);
	}
	return smpboot_register_percpu_thread(&mzp_worker_threads);
}

/**
 * mzp_workers_stop - stop the workers
 *
 * Context: module exit; no session exists any more, so all queues are empty.
 * When this returns, no thread executes code of the workers.
 */
void mzp_workers_stop(void)
{
	smpboot_unregister_percpu_thread(&mzp_worker_threads);
}

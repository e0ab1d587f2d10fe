// SPDX-License-Identifier: GPL-2.0-only
/*
 * The workers' queues: which channel is run on which CPU, and when.
 *
 * Sessions with channels to run take turns in each queue, and so do the channels of
 * one session. So sessions share a CPU evenly, however many channels they have.
 *
 * Where a channel is queued: at the worker that has just run it, if nobody else
 * waits there; else at the one it had last, if that is idle (its caches are warm);
 * else at an idle one; else again at the one it had last. Only CPUs that the session
 * allows count, unless all of these are offline.
 *
 * A channel becomes MZP_QUEUED and is put in a queue, and becomes MZP_RUNNING and is
 * taken out, both under the queue's lock. Which queue that is, the channel says; it
 * does so under that lock only. So a channel that names a queue under the lock of
 * that queue is in there, whatever others do.
 */
#include <linux/cpumask.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "channel.h"
#include "claim.h"
#include "runqueue.h"
#include "session.h"

/**
 * struct mzp_runqueue - the channels that wait for one CPU's worker
 * @lock: protects the rest; nothing but the worker's wake-up is done under it
 * @sessions: those with channels to run, in the order of their turns
 * @worker: the thread
 * @up: it takes work, as mzp_up_cpus says
 * @busy: it runs a channel; written under the lock, read anywhere
 * @queued: channels that wait
 */
struct mzp_runqueue {
	spinlock_t lock; /* see above */
	struct list_head sessions;
	struct task_struct *worker;
	bool up;
	bool busy;
	unsigned int queued;
};

static DEFINE_PER_CPU(struct mzp_runqueue, mzp_runqueues);

/*
 * Workers that are up, and those of them with nothing to do; hints when read
 * without the queue's lock.
 */
static struct cpumask mzp_up_cpus;
static struct cpumask mzp_idle_cpus;

/**
 * mzp_runqueue_share - make a session's place in all run queues
 *
 * Context: may sleep; memory is charged to the current memory cgroup.
 * Return: memory to be freed with free_percpu(), or NULL.
 */
struct mzp_share __percpu *mzp_runqueue_share(void)
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

/*
 * Whether the caller is the worker that has the channel, and no other waits for it. One
 * that is about to be parked is not up any more.
 */
static bool mzp_runqueue_is_mine(const struct mzp_channel *channel, const struct cpumask *allowed)
{
	int cpu = READ_ONCE(channel->claim.cpu);
	const struct mzp_runqueue *rq = per_cpu_ptr(&mzp_runqueues, cpu);

	return READ_ONCE(rq->worker) == current && list_empty_careful(&rq->sessions) &&
	       cpumask_test_cpu(cpu, allowed) && cpumask_test_cpu(cpu, &mzp_up_cpus);
}

static int mzp_runqueue_pick_rcu(const struct mzp_channel *channel)
{
	const struct cpumask *allowed = mzp_session_cpus(channel->session);
	int last = READ_ONCE(channel->claim.cpu), cpu;

	/* An administrator's limit leads nowhere that the session may not go. */
	if (!cpumask_intersects(allowed, &mzp_up_cpus))
		allowed = channel->session->cpus;
	if (!cpumask_intersects(allowed, &mzp_up_cpus))
		allowed = &mzp_up_cpus;
	if (mzp_runqueue_is_mine(channel, allowed))
		return last;
	if (cpumask_test_cpu(last, allowed) && cpumask_test_cpu(last, &mzp_idle_cpus))
		return last;
	cpu = cpumask_any_and(allowed, &mzp_idle_cpus);
	if (cpu < nr_cpu_ids)
		return cpu;
	if (cpumask_test_cpu(last, allowed) && cpumask_test_cpu(last, &mzp_up_cpus))
		return last;
	return cpumask_any_and(allowed, &mzp_up_cpus);
}

static int mzp_runqueue_pick(const struct mzp_channel *channel)
{
	int cpu;

	rcu_read_lock();
	cpu = mzp_runqueue_pick_rcu(channel);
	rcu_read_unlock();
	return cpu;
}

static void mzp_runqueue_link(struct mzp_runqueue *rq, int cpu, struct mzp_channel *channel)
{
	struct mzp_share *share = per_cpu_ptr(channel->session->share, cpu);

	mzp_session_get(channel->session);
	WRITE_ONCE(channel->claim.cpu, cpu);
	WRITE_ONCE(channel->claim.queue, cpu);
	WRITE_ONCE(rq->queued, rq->queued + 1);
	list_add_tail(&channel->claim.node, &share->channels);
	if (list_empty(&share->node))
		list_add_tail(&share->node, &rq->sessions);
	if (cpumask_test_cpu(cpu, &mzp_idle_cpus))
		cpumask_clear_cpu(cpu, &mzp_idle_cpus);
	/* Last: whoever sees it finds the queue. */
	atomic_xchg(&channel->claim.state, MZP_QUEUED);
	wake_up_process(rq->worker);
}

/* The session's turn is over; the next one is behind those of the others. */
static void mzp_runqueue_unlink(struct mzp_runqueue *rq, int cpu, struct mzp_channel *channel)
{
	struct mzp_share *share = per_cpu_ptr(channel->session->share, cpu);

	/* First, likewise. Full barrier: pairs with mzp_claim_kick(). */
	atomic_xchg(&channel->claim.state, MZP_RUNNING);
	list_del(&channel->claim.node);
	WRITE_ONCE(channel->claim.queue, -1);
	WRITE_ONCE(rq->queued, rq->queued - 1);
	list_del_init(&share->node);
	if (!list_empty(&share->channels))
		list_add_tail(&share->node, &rq->sessions);
}

/**
 * mzp_runqueue_add - queue a channel at a worker
 * @channel: run by the caller, and by the worker from now on
 *
 * Context: any; takes the queue's lock.
 * Return: false: no worker is up, so the caller still runs it.
 */
bool mzp_runqueue_add(struct mzp_channel *channel)
{
	struct mzp_runqueue *rq;
	bool up = false;
	int cpu;

	/* The pick can be out of date. */
	while (!up) {
		cpu = mzp_runqueue_pick(channel);
		if (cpu >= nr_cpu_ids)
			return false;
		rq = per_cpu_ptr(&mzp_runqueues, cpu);
		spin_lock(&rq->lock);
		up = rq->up;
		if (up)
			mzp_runqueue_link(rq, cpu, channel);
		spin_unlock(&rq->lock);
	}
	return true;
}

/**
 * mzp_runqueue_remove - take a channel out of the queue that it is in
 * @channel: the channel, whose session the caller keeps
 *
 * Context: any; takes the queue's lock.
 * Return: whether it was there. Then the caller runs it, and the queue's reference on
 * the session is the caller's.
 */
bool mzp_runqueue_remove(struct mzp_channel *channel)
{
	int cpu = READ_ONCE(channel->claim.queue);
	struct mzp_runqueue *rq;
	bool there;

	if (cpu < 0)
		return false;
	rq = per_cpu_ptr(&mzp_runqueues, cpu);
	spin_lock(&rq->lock);
	there = channel->claim.queue == cpu;
	if (there)
		mzp_runqueue_unlink(rq, cpu, channel);
	spin_unlock(&rq->lock);
	return there;
}

/**
 * mzp_runqueues_init - empty queues without workers
 *
 * Context: module init.
 */
void __init mzp_runqueues_init(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct mzp_runqueue *rq = per_cpu_ptr(&mzp_runqueues, cpu);

		spin_lock_init(&rq->lock);
		INIT_LIST_HEAD(&rq->sessions);
	}
}

/**
 * mzp_runqueue_open - take channels
 * @cpu: whose queue
 * @worker: its worker's thread
 *
 * Context: any.
 */
void mzp_runqueue_open(unsigned int cpu, struct task_struct *worker)
{
	struct mzp_runqueue *rq = per_cpu_ptr(&mzp_runqueues, cpu);

	spin_lock(&rq->lock);
	WRITE_ONCE(rq->worker, worker);
	rq->up = true;
	cpumask_set_cpu(cpu, &mzp_up_cpus);
	cpumask_set_cpu(cpu, &mzp_idle_cpus);
	spin_unlock(&rq->lock);
}

static struct mzp_channel *mzp_runqueue_pop(unsigned int cpu, bool busy)
{
	struct mzp_runqueue *rq = per_cpu_ptr(&mzp_runqueues, cpu);
	struct mzp_channel *channel = NULL;
	struct mzp_share *share;

	spin_lock(&rq->lock);
	share = list_first_entry_or_null(&rq->sessions, struct mzp_share, node);
	if (share) {
		channel = list_first_entry(&share->channels, struct mzp_channel, claim.node);
		mzp_runqueue_unlink(rq, cpu, channel);
		if (busy)
			WRITE_ONCE(rq->busy, true);
	}
	spin_unlock(&rq->lock);
	return channel;
}

/**
 * mzp_runqueue_close - take no more channels
 * @cpu: whose queue; what is in there goes to other workers, or to the readers
 *
 * Context: process.
 */
void mzp_runqueue_close(unsigned int cpu)
{
	struct mzp_runqueue *rq = per_cpu_ptr(&mzp_runqueues, cpu);
	struct mzp_channel *channel;

	spin_lock(&rq->lock);
	rq->up = false;
	cpumask_clear_cpu(cpu, &mzp_up_cpus);
	cpumask_clear_cpu(cpu, &mzp_idle_cpus);
	spin_unlock(&rq->lock);

	/* Nobody adds to the queue any more. */
	while ((channel = mzp_runqueue_pop(cpu, false))) {
		struct mzp_session *session = channel->session;

		mzp_claim_release(channel, MZP_PRODUCED_SOME);
		mzp_session_put(session);
	}
}

/**
 * mzp_runqueue_pending - whether channels wait
 * @cpu: whose queue
 *
 * Context: any.
 */
bool mzp_runqueue_pending(unsigned int cpu)
{
	return !list_empty_careful(&per_cpu_ptr(&mzp_runqueues, cpu)->sessions);
}

/**
 * mzp_runqueue_next - take the next channel out of a queue, to run it
 * @cpu: whose queue
 *
 * Context: any; takes the queue's lock.
 * Return: the channel, which the caller runs, with the queue's reference on its session;
 * NULL: there is none.
 */
struct mzp_channel *mzp_runqueue_next(unsigned int cpu)
{
	return mzp_runqueue_pop(cpu, true);
}

/**
 * mzp_runqueue_rest - the worker runs no channel any more
 * @cpu: whose worker
 *
 * Context: any; takes the queue's lock.
 */
void mzp_runqueue_rest(unsigned int cpu)
{
	struct mzp_runqueue *rq = per_cpu_ptr(&mzp_runqueues, cpu);

	spin_lock(&rq->lock);
	WRITE_ONCE(rq->busy, false);
	if (rq->up && list_empty(&rq->sessions))
		cpumask_set_cpu(cpu, &mzp_idle_cpus);
	spin_unlock(&rq->lock);
}

/**
 * mzp_runqueue_is_up - whether a queue takes channels
 * @cpu: whose queue
 *
 * Context: any, as for the following; what they tell may be old already.
 */
bool mzp_runqueue_is_up(unsigned int cpu)
{
	return cpumask_test_cpu(cpu, &mzp_up_cpus);
}

/**
 * mzp_runqueue_is_busy - whether a channel that was in a queue is being run
 * @cpu: whose queue
 */
bool mzp_runqueue_is_busy(unsigned int cpu)
{
	return READ_ONCE(per_cpu_ptr(&mzp_runqueues, cpu)->busy);
}

/**
 * mzp_runqueue_length - how many channels wait
 * @cpu: whose queue
 */
unsigned int mzp_runqueue_length(unsigned int cpu)
{
	return READ_ONCE(per_cpu_ptr(&mzp_runqueues, cpu)->queued);
}

/**
 * mzp_runqueues_up - how many queues take channels
 */
unsigned int mzp_runqueues_up(void)
{
	return cpumask_weight(&mzp_up_cpus);
}

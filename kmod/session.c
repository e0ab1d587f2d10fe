// SPDX-License-Identifier: GPL-2.0-only
/*
 * A session: one open device file, one migration.
 *
 * How it ends. The device file's release, CANCEL and a reader that closes its
 * channel too early all come to one of two things: the session has ended (all
 * jobs were done and none had failed when its file was closed, and its channels
 * can be read to their end), or it has failed (mzp_session_fail()). Neither waits for anyone
 * or needs memory: a failed session's jobs are done at once, its rings are
 * emptied by whoever can, and its producers let go of what they hold when a
 * worker next runs them, which the kick sees to. The memory goes with the last
 * reference: of the files and of the channels that a worker still has.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/ktime.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/nsproxy.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait_bit.h>
#include <linux/xarray.h>
#include <net/net_namespace.h>

#include "block.h"
#include "channel.h"
#include "comp.h"
#include "event.h"
#include "job.h"
#include "session.h"
#include "worker.h"

static DEFINE_MUTEX(mzp_sessions_lock);
static DEFINE_XARRAY(mzp_sessions); /* by id; changed under the lock */
static atomic64_t mzp_last_session = ATOMIC64_INIT(0);
static atomic_t mzp_nr_sessions = ATOMIC_INIT(0);

/* Count the session, unless its user has too many. */
static int mzp_session_enlist(struct mzp_session *session)
{
	struct mzp_session *other;
	unsigned int nr = 0;
	unsigned long id;

	session->id = atomic64_inc_return(&mzp_last_session);
	/*
	 * Not under the lock, for which everybody waits; and not charged, since
	 * it is shared with others.
	 */
	if (xa_reserve(&mzp_sessions, session->id, GFP_KERNEL))
		return -ENOMEM;
	mutex_lock(&mzp_sessions_lock);
	xa_for_each(&mzp_sessions, id, other)
		nr += other->user == session->user;
	if (nr < MZP_MAX_SESSIONS) {
		xa_store(&mzp_sessions, session->id, session, GFP_NOWAIT);
		atomic_inc(&mzp_nr_sessions);
	}
	mutex_unlock(&mzp_sessions_lock);
	if (nr < MZP_MAX_SESSIONS)
		return 0;
	xa_release(&mzp_sessions, session->id);
	return -EMFILE;
}

static void mzp_session_delist(struct mzp_session *session)
{
	mutex_lock(&mzp_sessions_lock);
	xa_erase(&mzp_sessions, session->id);
	mutex_unlock(&mzp_sessions_lock);
}

/**
 * mzp_sessions_next - find a session
 * @id: the lowest id that it may have; set to the one that it has
 *
 * Context: process; takes the lock of the list of sessions.
 * Return: the session with the next id, with a reference that is the caller's;
 * NULL: there is none.
 */
struct mzp_session *mzp_sessions_next(u64 *id)
{
	struct mzp_session *session;
	unsigned long at = *id;

	mutex_lock(&mzp_sessions_lock);
	session = xa_find(&mzp_sessions, &at, ULONG_MAX, XA_PRESENT);
	/* Those about to be freed wait for the lock to leave. */
	while (session && !kref_get_unless_zero(&session->ref))
		session = xa_find_after(&mzp_sessions, &at, ULONG_MAX, XA_PRESENT);
	mutex_unlock(&mzp_sessions_lock);
	*id = at;
	return session;
}

/**
 * mzp_sessions_count - how many sessions there are
 *
 * Context: any.
 */
unsigned int mzp_sessions_count(void)
{
	return atomic_read(&mzp_nr_sessions);
}

/**
 * mzp_sessions_drain - wait until the last session is gone
 *
 * Files keep the module loaded, so all that can be left is a worker that is
 * about to drop its reference.
 *
 * Context: module exit; may sleep.
 */
void mzp_sessions_drain(void)
{
	wait_var_event(&mzp_nr_sessions, !atomic_read(&mzp_nr_sessions));
}

static void mzp_owner_set(struct mzp_owner *owner)
{
	put_pid(owner->pid);
	owner->pid = get_task_pid(current, PIDTYPE_TGID);
	owner->netns = current->nsproxy->net_ns->ns.inum;
	get_task_comm(owner->comm, current->group_leader);
}

/**
 * mzp_session_new - make a session that is not set up
 *
 * Context: process; may sleep.
 * Return: the session, whose reference is the caller's, or an error pointer.
 */
struct mzp_session *mzp_session_new(void)
{
	struct mzp_session *session = kzalloc(sizeof(*session), GFP_KERNEL_ACCOUNT);
	int err = -ENOMEM;

	if (!session)
		return ERR_PTR(err);
	session->round = mzp_round_new();
	if (!session->round || !zalloc_cpumask_var(&session->cpus, GFP_KERNEL_ACCOUNT))
		goto free_session;
	kref_init(&session->ref);
	mutex_init(&session->setup);
	mutex_init(&session->lock);
	INIT_LIST_HEAD(&session->blocks);
	INIT_LIST_HEAD(&session->active);
	xa_init(&session->jobs);
	init_waitqueue_head(&session->done);
	mzp_slow_init(&session->slow);
	mzp_limit_init(&session->limit);
	mzp_owner_set(&session->owner);
	session->born = ktime_get_ns();
	session->user = get_uid(current_user());
	err = mzp_session_enlist(session);
	if (err)
		goto put_user;
	return session;

put_user:
	free_uid(session->user);
	put_pid(session->owner.pid);
	free_cpumask_var(session->cpus);
free_session:
	mzp_round_put(session->round);
	kfree(session);
	return ERR_PTR(err);
}

static void mzp_session_uncharge(struct mzp_session *session)
{
	if (!session->charged)
		return;
	atomic_long_sub(session->locked_pages, &session->charged->locked_vm);
	free_uid(session->charged);
	session->charged = NULL;
	session->locked_pages = 0;
}

/* Undo what SETUP did, of which any part may be missing. */
static void mzp_session_teardown(struct mzp_session *session)
{
	unsigned int i;

	mzp_slow_stop(&session->slow);
	for (i = 0; i < session->nr_channels; i++)
		mzp_channel_free(session->channel[i]);
	session->nr_channels = 0;
	kvfree(session->channel);
	session->channel = NULL;
	free_percpu(session->share);
	session->share = NULL;
	mzp_session_uncharge(session);
	mem_cgroup_put(session->memcg);
	session->memcg = NULL;
	if (session->mm)
		mmdrop(session->mm);
	session->mm = NULL;
}

static void mzp_session_free(struct kref *ref)
{
	struct mzp_session *session = container_of(ref, struct mzp_session, ref);
	struct mzp_block *block, *next;

	mzp_jobs_free(session);
	list_for_each_entry_safe(block, next, &session->blocks, node)
		mzp_block_put(block);
	mzp_session_teardown(session);
	mzp_session_delist(session);
	mzp_round_put(session->round);
	kfree(rcu_access_pointer(session->cpus_limit));
	free_cpumask_var(session->cpus);
	put_pid(session->owner.pid);
	free_uid(session->user);
	kfree(session);
	if (atomic_dec_and_test(&mzp_nr_sessions))
		wake_up_var(&mzp_nr_sessions);
}

/**
 * mzp_session_get - take a reference
 * @session: the session
 *
 * Context: any.
 * Return: @session.
 */
struct mzp_session *mzp_session_get(struct mzp_session *session)
{
	kref_get(&session->ref);
	return session;
}

/**
 * mzp_session_put - drop a reference
 * @session: the session
 *
 * Context: may sleep.
 */
void mzp_session_put(struct mzp_session *session)
{
	kref_put(&session->ref, mzp_session_free);
}

/**
 * mzp_session_usable - whether commands may still change the session
 * @session: the session
 *
 * Context: the session lock is held.
 * Return: 0, or the errno to give to the caller.
 */
int mzp_session_usable(const struct mzp_session *session)
{
	lockdep_assert_held(&session->lock);
	return session->error;
}

/**
 * mzp_session_block - find a block
 * @session: the session
 * @id: the block's id
 *
 * Context: the session lock is held, and protects what is returned.
 * Return: the block, or NULL.
 */
struct mzp_block *mzp_session_block(struct mzp_session *session, u32 id)
{
	struct mzp_block *block;

	lockdep_assert_held(&session->lock);
	list_for_each_entry(block, &session->blocks, node) {
		if (block->id == id)
			return block;
	}
	return NULL;
}

/**
 * mzp_session_kick - have workers look at all channels
 * @session: the session
 *
 * Context: process.
 */
void mzp_session_kick(struct mzp_session *session)
{
	unsigned int i;

	for (i = 0; i < session->nr_channels; i++)
		mzp_worker_kick(session->channel[i]);
	mzp_slow_wake(&session->slow);
}

/**
 * mzp_session_note_error - remember what went wrong, for people who ask
 * @session: the session
 * @error: negative errno
 * @block: where that was, or NULL
 * @page: the page in @block
 *
 * Context: the session lock is held.
 */
void mzp_session_note_error(struct mzp_session *session, int error,
			    const struct mzp_block *block, u64 page)
{
	lockdep_assert_held(&session->lock);
	session->last_error = -error;
	session->error_page = page;
	strscpy(session->error_block, block ? block->idstr : "", sizeof(session->error_block));
}

/**
 * mzp_session_limit_cpus - leave a session some of its CPUs
 * @session: set up
 * @cpus: some of those that it was set up with, and perhaps others; empty: all
 *
 * Channels move when it is their next turn.
 *
 * Context: process; takes the session lock.
 * Return: 0; -EINVAL: none of them is the session's; -ENOMEM.
 */
int mzp_session_limit_cpus(struct mzp_session *session, const struct cpumask *cpus)
{
	struct mzp_cpus *limit = NULL, *old;

	if (!cpumask_empty(cpus)) {
		limit = kmalloc(sizeof(*limit), GFP_KERNEL);
		if (!limit)
			return -ENOMEM;
		if (!cpumask_and(&limit->mask, cpus, session->cpus)) {
			kfree(limit);
			return -EINVAL;
		}
	}
	mutex_lock(&session->lock);
	old = rcu_replace_pointer(session->cpus_limit, limit, lockdep_is_held(&session->lock));
	mutex_unlock(&session->lock);
	if (old)
		kfree_rcu(old, rcu);
	return 0;
}

/* Whatever waits for a session that is over needs to know. */
static void mzp_session_wake(struct mzp_session *session)
{
	unsigned int i;

	for (i = 0; i < session->nr_channels; i++)
		wake_up_all(&session->channel[i]->readable);
}

/* With @ended_too also if it has ended, and its rings are still to be read. */
static void mzp_session_stop(struct mzp_session *session, int error, bool ended_too)
{
	unsigned int i;
	bool first;

	mutex_lock(&session->lock);
	first = !session->error && (ended_too || !session->ended);
	if (first) {
		WRITE_ONCE(session->error, error);
		if (!session->last_error)
			mzp_session_note_error(session, error, NULL, 0);
		mzp_jobs_abort(session, error);
		mzp_slow_interrupt(&session->slow);
		if (session->ready)
			mzp_event_failed(session);
	}
	mutex_unlock(&session->lock);
	if (!first)
		return;
	mzp_session_wake(session);
	for (i = 0; i < session->nr_channels; i++)
		mzp_channel_drain(session->channel[i]);
	mzp_session_kick(session);
}

/**
 * mzp_session_fail - end a session before its time
 * @session: the session
 * @error: negative errno
 *
 * Only the first call has an effect, and none after mzp_session_close().
 *
 * Context: process; takes the session lock; may sleep, though for nobody's
 * cooperation.
 */
void mzp_session_fail(struct mzp_session *session, int error)
{
	mzp_session_stop(session, error, false);
}

/**
 * mzp_session_cancel - end a session, and whatever is left of it
 * @session: the session
 *
 * Unlike mzp_session_fail(), also empties the rings of a session that has ended,
 * if nobody reads them.
 *
 * Context: as mzp_session_fail().
 */
void mzp_session_cancel(struct mzp_session *session)
{
	mzp_session_stop(session, -ECANCELED, true);
}

/**
 * mzp_session_close - the device file was closed
 * @session: the session; the file's reference is dropped
 *
 * Context: process; as mzp_session_fail().
 */
void mzp_session_close(struct mzp_session *session)
{
	mutex_lock(&session->lock);
	if (!session->error && !session->unfinished && !session->incomplete) {
		/* Pairs with mzp_channel_lock(): the last packet is in its ring. */
		smp_store_release(&session->ended, true);
		if (session->ready)
			mzp_event_ended(session);
	}
	mutex_unlock(&session->lock);
	if (session->ended) {
		mzp_session_wake(session);
		mzp_slow_wake(&session->slow);
	} else {
		mzp_session_fail(session, -ECANCELED);
	}
	mzp_session_put(session);
}

/**
 * mzp_session_show - describe the session in the device file's fdinfo
 * @session: the session
 * @seq: where to
 *
 * Context: process; takes the session lock.
 */
void mzp_session_show(struct mzp_session *session, struct seq_file *seq)
{
	mutex_lock(&session->lock);
	seq_printf(seq, "mzp-session:\t%llu\n", session->id);
	seq_printf(seq, "mzp-channels:\t%u\n", session->ready ? session->nr_channels : 0);
	seq_printf(seq, "mzp-error:\t%d\n", -session->error);
	seq_printf(seq, "mzp-jobs:\t%u\n", session->nr_jobs);
	seq_printf(seq, "mzp-jobs-unfinished:\t%u\n", session->unfinished);
	seq_printf(seq, "mzp-packets:\t%lld\n", atomic64_read(&session->packet_num));
	mutex_unlock(&session->lock);
}

static u32 mzp_info_methods(void)
{
	u32 methods = 0, method;

	for (method = MZP_METHOD_NONE; mzp_comp_known(method); method++) {
		if (mzp_comp_available(method))
			methods |= BIT(method);
	}
	return methods;
}

/**
 * mzp_info_fill - what the module can do
 * @arg: filled in, but for size and flags
 * @method: mzp_comp_known(); whose levels are told
 *
 * Context: any.
 */
void mzp_info_fill(struct mzp_info *arg, u32 method)
{
	const struct mzp_comp_ops *ops = mzp_comp_ops(method);

	arg->abi_version = MZP_ABI_VERSION;
	arg->page_size = PAGE_SIZE;
	arg->methods = mzp_info_methods();
	arg->method = method;
	arg->detections = BIT(MZP_DETECTION_NONE) | BIT(MZP_DETECTION_LEGACY) |
			  BIT(MZP_DETECTION_MULTIFD);
	arg->features = 0;
	arg->max_channels = MZP_MAX_CHANNELS;
	arg->max_packet_pages = MZP_WIRE_PAGES;
	arg->max_ring_packets = MZP_MAX_RING_PACKETS;
	arg->max_blocks = MZP_MAX_BLOCKS;
	arg->max_jobs = MZP_MAX_JOBS;
	arg->max_sessions = MZP_MAX_SESSIONS;
	arg->level_min = ops ? ops->level_min : 0;
	arg->level_max = ops ? ops->level_max : 0;
	arg->level_default = ops ? ops->level_default : 0;
}

/**
 * mzp_ioctl_info - MZP_IOC_INFO
 * @cmd: the command
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_info(struct mzp_cmd *cmd)
{
	struct mzp_info *arg = cmd->arg;

	if (arg->flags || !mzp_comp_available(arg->method))
		return -EOPNOTSUPP;
	mzp_info_fill(arg, arg->method);
	return mzp_cmd_reply(cmd);
}

/* Level 0 stands for the method's default. */
static int mzp_setup_level(struct mzp_setup *arg)
{
	const struct mzp_comp_ops *ops = mzp_comp_ops(arg->method);

	if (ops && !arg->level)
		arg->level = ops->level_default;
	if (!ops)
		return arg->level ? -EINVAL : 0;
	return arg->level < ops->level_min || arg->level > ops->level_max ? -EINVAL : 0;
}

static int mzp_setup_prepare(struct mzp_setup *arg)
{
	if (arg->flags || arg->__reserved || !mzp_comp_available(arg->method) ||
	    arg->detection > MZP_DETECTION_MULTIFD)
		return -EOPNOTSUPP;
	if (!arg->packet_pages)
		arg->packet_pages = MZP_WIRE_PAGES;
	if (!arg->ring_packets)
		arg->ring_packets = MZP_DEFAULT_RING_PACKETS;
	if (!arg->channels || arg->channels > MZP_MAX_CHANNELS ||
	    arg->packet_pages > MZP_WIRE_PAGES || arg->ring_packets > MZP_MAX_RING_PACKETS ||
	    !is_power_of_2(arg->ring_packets) || !arg->cpus != !arg->cpus_size)
		return -EINVAL;
	return mzp_setup_level(arg);
}

/*
 * Like sched_setaffinity(2), ignore bits that the kernel has no CPUs for.
 * Beyond the caller's own CPUs, which its cpuset may have restricted, go only
 * those who could move anywhere.
 */
static int mzp_setup_cpus(struct cpumask *cpus, const struct mzp_setup *arg)
{
	size_t size = min_t(size_t, arg->cpus_size, cpumask_size());

	if (!arg->cpus)
		cpumask_copy(cpus, current->cpus_ptr);
	else if (copy_from_user(cpus, u64_to_user_ptr(arg->cpus), size))
		return -EFAULT;
	if (!capable(CAP_SYS_NICE))
		cpumask_and(cpus, cpus, current->cpus_ptr);
	return cpumask_and(cpus, cpus, cpu_possible_mask) ? 0 : -EINVAL;
}

/* Charge the guest pages that the rings can hold to the caller, all at once. */
static int mzp_setup_charge(struct mzp_session *session, const struct mzp_setup *arg)
{
	unsigned long pages = (unsigned long)arg->channels * arg->ring_packets * arg->packet_pages;
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	struct user_struct *user = current_user();
	long charged = atomic_long_read(&user->locked_vm);

	if (capable(CAP_IPC_LOCK))
		return 0;
	do {
		if (charged + pages > limit)
			return -ENOMEM;
	} while (!atomic_long_try_cmpxchg(&user->locked_vm, &charged, charged + pages));
	session->charged = get_uid(user);
	session->locked_pages = pages;
	return 0;
}

static int mzp_setup_channels(struct mzp_session *session, const struct mzp_setup *arg)
{
	struct mzp_channel *channel;
	u32 id;

	session->share = mzp_worker_share();
	if (!session->share)
		return -ENOMEM;
	session->channel = kvcalloc(arg->channels, sizeof(*session->channel), GFP_KERNEL_ACCOUNT);
	if (!session->channel)
		return -ENOMEM;
	for (id = 0; id < arg->channels; id++) {
		channel = mzp_channel_new(session, id, arg);
		if (IS_ERR(channel))
			return PTR_ERR(channel);
		session->channel[session->nr_channels++] = channel;
	}
	return 0;
}

static int mzp_setup_all(struct mzp_session *session, const struct mzp_setup *arg)
{
	int err;

	memcpy(session->uuid, arg->uuid, sizeof(session->uuid));
	session->method = arg->method;
	session->level = arg->level;
	session->detection = arg->detection;
	session->packet_pages = arg->packet_pages;
	mmgrab(current->mm);
	session->mm = current->mm;
	session->memcg = get_mem_cgroup_from_mm(current->mm);

	err = mzp_setup_charge(session, arg);
	if (!err)
		err = mzp_setup_channels(session, arg);
	if (!err)
		err = mzp_slow_start(session);
	if (err)
		mzp_session_teardown(session);
	return err;
}

/**
 * mzp_ioctl_setup - MZP_IOC_SETUP
 * @cmd: the command
 *
 * Context: process; takes the session lock.
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_setup(struct mzp_cmd *cmd)
{
	struct mzp_session *session = cmd->session;
	struct mzp_setup *arg = cmd->arg;
	cpumask_var_t cpus;
	int err = mzp_setup_prepare(arg);

	if (err)
		return err;
	if (!zalloc_cpumask_var(&cpus, GFP_KERNEL_ACCOUNT))
		return -ENOMEM;
	err = mzp_setup_cpus(cpus, arg);
	if (err)
		goto free_cpus;

	mutex_lock(&session->setup);
	if (session->ready) {
		err = -EBUSY;
	} else {
		cpumask_copy(session->cpus, cpus);
		err = mzp_setup_all(session, arg);
	}
	if (!err) {
		mutex_lock(&session->lock);
		mzp_owner_set(&session->owner);
		/* Pairs with mzp_op_allowed(). */
		smp_store_release(&session->ready, true);
		mzp_event_created(session);
		mutex_unlock(&session->lock);
	}
	mutex_unlock(&session->setup);
free_cpus:
	free_cpumask_var(cpus);
	return err;
}

/**
 * mzp_ioctl_cancel - MZP_IOC_CANCEL
 * @cmd: the command, on a session that was set up
 *
 * Context: process; as mzp_session_fail().
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_cancel(struct mzp_cmd *cmd)
{
	const struct mzp_cancel *arg = cmd->arg;

	if (arg->flags)
		return -EOPNOTSUPP;
	mzp_session_fail(cmd->session, -ECANCELED);
	return 0;
}

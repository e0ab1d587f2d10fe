// SPDX-License-Identifier: GPL-2.0-only
/*
 * A session: one open device file, one migration.
 *
 * How it ends. Either well: END says that no job will follow, and when all jobs are
 * done and none has failed, the session has ended, and its channels can be read to
 * their end. Or it fails (mzp_session_fail()): by CANCEL, a reader that closes its
 * channel too early, a job that fails after END, and the device file's release without
 * END, which is also what becomes of a VMM that dies. Neither waits for anyone or needs
 * memory: a failed session's jobs are done at once, and each
 * channel is emptied by whoever ends the session, or, if somebody is running or
 * reading it at that moment, by them. A reader that waits for a page at that
 * moment is woken. The memory goes with the last reference: of the files and of the
 * channels that a worker still has.
 */
#include <linux/cred.h>
#include <linux/ktime.h>
#include <linux/memcontrol.h>
#include <linux/nsproxy.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/user.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <net/net_namespace.h>

#include "block.h"
#include "channel.h"
#include "claim.h"
#include "cmd.h"
#include "event.h"
#include "history.h"
#include "host.h"
#include "job.h"
#include "session.h"
#include "sessions.h"

/* How often those are woken who had not begun to wait when the session failed. */
#define MZP_ROUSE_DELAY (HZ / 20)

/**
 * mzp_session_set_owner - note that the caller is whose session it is
 * @session: the session
 *
 * Context: process; takes the queue lock.
 */
void mzp_session_set_owner(struct mzp_session *session)
{
	struct mzp_owner owner = {
		.pid = get_task_pid(current, PIDTYPE_TGID),
		.netns = current->nsproxy->net_ns->ns.inum,
	};

	get_task_comm(owner.comm, current->group_leader);
	spin_lock(&session->queue_lock);
	swap(session->owner, owner);
	spin_unlock(&session->queue_lock);
	put_pid(owner.pid);
}

/*
 * A wake-up that comes just before a task begins to wait is lost on it. So it is
 * repeated until no reader is at work any more.
 */
static void mzp_session_rouse_fn(struct work_struct *work)
{
	struct mzp_session *session = container_of(to_delayed_work(work), struct mzp_session,
						   rouse);
	bool busy = false;
	unsigned int i;

	spin_lock(&session->queue_lock);
	for (i = 0; i < session->nr_channels; i++)
		busy |= mzp_claim_wake_reader(session->channel[i]);
	spin_unlock(&session->queue_lock);
	if (busy)
		schedule_delayed_work(&session->rouse, MZP_ROUSE_DELAY);
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
	xa_init(&session->jobs);
	spin_lock_init(&session->queue_lock);
	INIT_LIST_HEAD(&session->finished);
	INIT_LIST_HEAD(&session->broken);
	init_waitqueue_head(&session->done);
	mzp_pending_init(&session->pending);
	mzp_limit_init(&session->limit);
	INIT_DELAYED_WORK(&session->rouse, mzp_session_rouse_fn);
	mzp_session_set_owner(session);
	session->born = ktime_get_ns();
	session->cred = get_current_cred();
	session->user = session->cred->user;
	err = mzp_sessions_add(session);
	if (err)
		goto put_cred;
	mzp_host_apply(session);
	return session;

put_cred:
	put_cred(session->cred);
	put_pid(session->owner.pid);
	free_cpumask_var(session->cpus);
free_session:
	mzp_round_put(session->round);
	kfree(session);
	return ERR_PTR(err);
}

static void mzp_session_uncharge(struct mzp_session *session)
{
	if (!session->payer)
		return;
	atomic_long_sub(session->locked_pages, &session->payer->user->locked_vm);
	put_cred(session->payer);
	session->payer = NULL;
	session->locked_pages = 0;
}

/**
 * mzp_session_teardown - undo what SETUP did, of which any part may be missing
 * @session: nobody uses its channels
 *
 * Context: may sleep.
 */
void mzp_session_teardown(struct mzp_session *session)
{
	unsigned int i;

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

/**
 * mzp_session_free - free a session
 * @session: nobody uses it any more
 *
 * Context: may sleep.
 */
void mzp_session_free(struct mzp_session *session)
{
	struct mzp_block *block, *next;

	cancel_delayed_work_sync(&session->rouse);
	mzp_history_end(session);
	if (mzp_session_ready(session))
		mzp_host_leave();
	mzp_session_teardown(session);
	mzp_jobs_free(session);
	list_for_each_entry_safe(block, next, &session->blocks, node)
		mzp_block_put(block);
	mzp_round_put(session->round);
	kfree(rcu_access_pointer(session->cpus_limit));
	free_cpumask_var(session->cpus);
	put_pid(session->owner.pid);
	mzp_sessions_remove(session);
	put_cred(session->cred);
	/* Netlink may have found it before it was removed, but got no reference. */
	kfree(session);
}

static void mzp_session_last(struct kref *ref)
{
	struct mzp_session *session = container_of(ref, struct mzp_session, ref);

	/* Kernel threads serve others; freeing rings and compressors takes its time. */
	if (current->flags & PF_KTHREAD)
		mzp_sessions_free_later(session);
	else
		mzp_session_free(session);
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
	kref_put(&session->ref, mzp_session_last);
}

/**
 * mzp_session_error - why a session is over before its time
 * @session: the session
 *
 * Context: any.
 * Return: a negative errno, or 0: it is not.
 */
int mzp_session_error(const struct mzp_session *session)
{
	if (mzp_session_phase(session) != MZP_FAILED)
		return 0;
	switch (session->reason) {
	case MZP_REASON_READER:
		return -EPIPE;
	case MZP_REASON_COMPRESSOR:
		return -EIO;
	case MZP_REASON_MEMORY:
		return -EHWPOISON;
	default:
		return -ECANCELED;
	}
}

/**
 * mzp_session_usable - whether commands may still change the session
 * @session: the session
 *
 * Context: any; only under the queue lock does it stay so.
 * Return: 0, or the errno to give to the caller.
 */
int mzp_session_usable(const struct mzp_session *session)
{
	if (mzp_session_phase(session) < MZP_ENDING)
		return 0;
	return mzp_session_error(session) ?: -ESHUTDOWN;
}

/**
 * mzp_session_kick - have all channels looked at
 * @session: the session
 *
 * Context: any.
 */
void mzp_session_kick(struct mzp_session *session)
{
	unsigned int i;

	for (i = 0; i < session->nr_channels; i++)
		mzp_claim_kick(session->channel[i]);
}

/**
 * mzp_session_rate_changed - have all channels go by a limit that has changed
 * @session: the session; set up
 *
 * Context: process.
 */
void mzp_session_rate_changed(struct mzp_session *session)
{
	unsigned int i;

	mzp_session_kick(session);
	/* Who polls has waited for time to pass, also if a worker was to run the channel. */
	for (i = 0; i < session->nr_channels; i++)
		mzp_channel_wake(session->channel[i]);
}

/**
 * mzp_session_set_rate - set one of a session's limits, from now on
 * @session: the session
 * @whose: the limit's @own or @given
 * @rate: bytes per second; 0: no limit
 *
 * Context: process.
 */
void mzp_session_set_rate(struct mzp_session *session, u64 *whose, u64 rate)
{
	mzp_limit_set(&session->limit, whose, rate);
	mzp_session_rate_changed(session);
}

/**
 * mzp_session_note_error - remember what went wrong first, for those who ask
 * @session: the session
 * @error: negative errno
 * @block: where that was, or NULL
 * @page: the page in @block
 *
 * Context: the queue lock is held.
 */
void mzp_session_note_error(struct mzp_session *session, int error,
			    const struct mzp_block *block, u64 page)
{
	lockdep_assert_held(&session->queue_lock);
	if (session->first_error)
		return;
	session->first_error = -error;
	session->error_id = block ? block->id : 0;
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
 * Context: process; takes the queue lock.
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
	spin_lock(&session->queue_lock);
	old = rcu_replace_pointer(session->cpus_limit, limit,
				  lockdep_is_held(&session->queue_lock));
	spin_unlock(&session->queue_lock);
	if (old)
		kfree_rcu(old, rcu);
	return 0;
}

/* Only from one of the phases up to @last. Return: whether it is failed just now. */
static bool mzp_session_set_failed(struct mzp_session *session, enum mzp_reason reason,
				   enum mzp_phase last)
{
	bool first;

	spin_lock(&session->queue_lock);
	first = session->phase != MZP_NEW && session->phase <= last;
	if (first) {
		session->reason = reason;
		session->over_at = session->over_at ?: ktime_get_ns();
		/* Pairs with mzp_session_phase(). */
		smp_store_release(&session->phase, MZP_FAILED);
		mzp_session_note_error(session, mzp_session_error(session), NULL, 0);
		mzp_event_failed(session);
	}
	spin_unlock(&session->queue_lock);
	return first;
}

static void mzp_session_stop(struct mzp_session *session, enum mzp_reason reason,
			     enum mzp_phase last)
{
	unsigned int i;

	if (!mzp_session_set_failed(session, reason, last))
		return;
	wake_up_all(&session->done);
	mzp_pending_wake(&session->pending);
	for (i = 0; i < session->nr_channels; i++)
		mzp_channel_stop(session->channel[i]);
	mod_delayed_work(system_wq, &session->rouse, 0);
}

/**
 * mzp_session_fail - end a session before its time
 * @session: the session; set up
 * @reason: why
 *
 * Only the first call has an effect, and none after it has ended.
 *
 * Context: process; may sleep, though for nobody's cooperation.
 */
void mzp_session_fail(struct mzp_session *session, enum mzp_reason reason)
{
	mzp_session_stop(session, reason, MZP_ENDING);
}

/**
 * mzp_session_cancel - end a session for an administrator, and whatever is left of it
 * @session: the session; set up
 *
 * Unlike mzp_session_fail(), also empties the rings of a session that has ended,
 * if nobody reads them.
 *
 * Context: as mzp_session_fail().
 */
void mzp_session_cancel(struct mzp_session *session)
{
	mzp_session_stop(session, MZP_REASON_ADMIN, MZP_ENDED);
}

/**
 * mzp_session_finish - see whether a session is to end, since END was called and the
 *	last job is done
 * @session: the session
 *
 * Context: the queue lock is held.
 * Return: whether the caller owes mzp_session_finished().
 */
bool mzp_session_finish(struct mzp_session *session)
{
	lockdep_assert_held(&session->queue_lock);
	if (session->phase != MZP_ENDING || session->unfinished)
		return false;
	if (!session->incomplete) {
		session->over_at = ktime_get_ns();
		/* Pairs with mzp_session_phase(): the last packet is in its ring. */
		smp_store_release(&session->phase, MZP_ENDED);
		mzp_event_ended(session);
	}
	return true;
}

/**
 * mzp_session_finished - tell all readers that a session has ended, or fail it since it
 *	cannot end well
 * @session: the session
 *
 * Context: process; as mzp_session_fail().
 */
void mzp_session_finished(struct mzp_session *session)
{
	unsigned int i;

	/* Does nothing if it has ended. */
	mzp_session_fail(session, MZP_REASON_JOB);
	for (i = 0; i < session->nr_channels; i++)
		wake_up_all(&session->channel[i]->readable);
}

/**
 * mzp_ioctl_end - MZP_IOC_END
 * @cmd: the command, on a session that was set up
 *
 * Context: process; takes the queue lock.
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_end(struct mzp_cmd *cmd)
{
	struct mzp_session *session = cmd->session;
	const struct mzp_end *arg = cmd->arg;
	bool finished = false;
	int err;

	if (arg->flags)
		return -EINVAL;
	spin_lock(&session->queue_lock);
	err = mzp_session_usable(session);
	if (!err && session->incomplete)
		err = -ENOTRECOVERABLE;
	if (!err) {
		WRITE_ONCE(session->phase, MZP_ENDING);
		finished = mzp_session_finish(session);
	}
	spin_unlock(&session->queue_lock);
	if (finished)
		mzp_session_finished(session);
	return err;
}

/**
 * mzp_session_close - the device file was closed
 * @session: the session; the file's reference is dropped
 *
 * That is no proper end: it is what the kernel does for those who die.
 *
 * Context: process; as mzp_session_fail().
 */
void mzp_session_close(struct mzp_session *session)
{
	if (mzp_session_phase(session) == MZP_READY)
		mzp_session_fail(session, MZP_REASON_CLOSED);
	mzp_session_put(session);
}

/**
 * mzp_session_show - describe the session in the device file's fdinfo
 * @session: the session
 * @seq: where to
 *
 * Context: process; takes the queue lock.
 */
void mzp_session_show(struct mzp_session *session, struct seq_file *seq)
{
	unsigned int jobs, unfinished;

	spin_lock(&session->queue_lock);
	jobs = session->nr_jobs;
	unfinished = session->unfinished;
	spin_unlock(&session->queue_lock);
	seq_printf(seq, "mzp-session:\t%llu\n", session->id);
	seq_printf(seq, "mzp-channels:\t%u\n",
		   mzp_session_ready(session) ? session->nr_channels : 0);
	seq_printf(seq, "mzp-error:\t%d\n", -mzp_session_error(session));
	seq_printf(seq, "mzp-jobs:\t%u\n", jobs);
	seq_printf(seq, "mzp-jobs-unfinished:\t%u\n", unfinished);
	seq_printf(seq, "mzp-packets:\t%lld\n", atomic64_read(&session->packet_num));
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
		return -EINVAL;
	mzp_session_fail(cmd->session, READ_ONCE(cmd->session->cut_off) ? MZP_REASON_NETWORK :
			 MZP_REASON_CANCELLED);
	return 0;
}

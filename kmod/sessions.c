// SPDX-License-Identifier: GPL-2.0-only
/*
 * All sessions, and what one user may have of them and in them.
 *
 * Everybody's open(2), close(2) and netlink requests come here, so the lock is a
 * spinlock, which nobody can be made to sleep with.
 */
#include <linux/idr.h>
#include <linux/list.h>
#include <linux/sched/user.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "session.h"
#include "sessions.h"

/**
 * struct mzp_account - what one user has of everything
 * @node: in the list of accounts
 * @user: whose it is
 * @sessions: how many there are; it goes with the last one
 * @job_memory: bytes that their jobs hold
 */
struct mzp_account {
	struct list_head node;
	struct user_struct *user;
	unsigned int sessions;
	atomic_long_t job_memory;
};

static DEFINE_SPINLOCK(mzp_sessions_lock);
static DEFINE_XARRAY(mzp_sessions); /* by id; changed under the lock */
static LIST_HEAD(mzp_accounts); /* likewise */
static DEFINE_IDA(mzp_slots);
static atomic64_t mzp_last_session = ATOMIC64_INIT(0);
static atomic_t mzp_nr_sessions = ATOMIC_INIT(0);
static struct workqueue_struct *mzp_free_wq;

/* The user's account, or @new, which becomes it. */
static struct mzp_account *mzp_account_find(const struct user_struct *user,
					    struct mzp_account *new)
{
	struct mzp_account *account;

	list_for_each_entry(account, &mzp_accounts, node) {
		if (account->user == user)
			return account;
	}
	list_add(&new->node, &mzp_accounts);
	return new;
}

/**
 * mzp_sessions_add - count a new session, unless its user has too many
 * @session: the session, which has its user; gets its id, slot and account
 *
 * Context: process; may sleep.
 * Return: 0, -EMFILE or -ENOMEM.
 */
int mzp_sessions_add(struct mzp_session *session)
{
	struct mzp_account *new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT), *account;
	int err = 0;

	session->id = atomic64_inc_return(&mzp_last_session);
	/* Not charged, since it is shared with others. */
	if (!new || xa_reserve(&mzp_sessions, session->id, GFP_KERNEL))
		goto free_account;
	session->slot = ida_alloc(&mzp_slots, GFP_KERNEL);
	if (session->slot < 0)
		goto release;
	new->user = session->user;
	spin_lock(&mzp_sessions_lock);
	account = mzp_account_find(session->user, new);
	if (account->sessions < MZP_MAX_SESSIONS) {
		account->sessions++;
		session->account = account;
		xa_store(&mzp_sessions, session->id, session, GFP_NOWAIT);
		atomic_inc(&mzp_nr_sessions);
	} else {
		err = -EMFILE;
	}
	spin_unlock(&mzp_sessions_lock);
	if (account != new)
		kfree(new);
	if (err) {
		ida_free(&mzp_slots, session->slot);
		xa_release(&mzp_sessions, session->id);
	}
	return err;

release:
	xa_release(&mzp_sessions, session->id);
free_account:
	kfree(new);
	return -ENOMEM;
}

/**
 * mzp_sessions_remove - forget a session that nobody uses any more
 * @session: the session, whose user is not put before
 *
 * Context: any.
 */
void mzp_sessions_remove(struct mzp_session *session)
{
	struct mzp_account *account = session->account;

	spin_lock(&mzp_sessions_lock);
	xa_erase(&mzp_sessions, session->id);
	if (--account->sessions)
		account = NULL;
	else
		list_del(&account->node);
	spin_unlock(&mzp_sessions_lock);
	ida_free(&mzp_slots, session->slot);
	kfree(account);
	if (atomic_dec_and_test(&mzp_nr_sessions))
		wake_up_var(&mzp_nr_sessions);
}

/**
 * mzp_sessions_next - find a session
 * @id: the lowest id that it may have; set to the one that it has
 *
 * Context: any.
 * Return: the session with the next id, with a reference that is the caller's;
 * NULL: there is none.
 */
struct mzp_session *mzp_sessions_next(u64 *id)
{
	struct mzp_session *session;
	unsigned long at = *id;

	spin_lock(&mzp_sessions_lock);
	session = xa_find(&mzp_sessions, &at, ULONG_MAX, XA_PRESENT);
	/* Those about to be freed wait for the lock to leave. */
	while (session && !kref_get_unless_zero(&session->ref))
		session = xa_find_after(&mzp_sessions, &at, ULONG_MAX, XA_PRESENT);
	spin_unlock(&mzp_sessions_lock);
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
 * mzp_sessions_kick - have all channels looked at
 *
 * Context: process; may sleep.
 */
void mzp_sessions_kick(void)
{
	struct mzp_session *session;
	u64 id = 0;

	for (; (session = mzp_sessions_next(&id)); id++) {
		if (mzp_session_ready(session))
			mzp_session_kick(session);
		mzp_session_put(session);
		cond_resched();
	}
}

/**
 * mzp_account_charge - count memory of a user's jobs
 * @account: the user's
 * @bytes: how much more
 *
 * Context: any.
 * Return: 0, or -ENOMEM: it would be too much.
 */
int mzp_account_charge(struct mzp_account *account, size_t bytes)
{
	if (atomic_long_add_return(bytes, &account->job_memory) <= MZP_MAX_JOB_MEMORY)
		return 0;
	atomic_long_sub(bytes, &account->job_memory);
	return -ENOMEM;
}

/**
 * mzp_account_uncharge - count it no more
 * @account: the user's
 * @bytes: what was charged
 *
 * Context: any.
 */
void mzp_account_uncharge(struct mzp_account *account, size_t bytes)
{
	atomic_long_sub(bytes, &account->job_memory);
}

static void mzp_sessions_free_fn(struct work_struct *work)
{
	mzp_session_free(container_of(work, struct mzp_session, free));
}

/**
 * mzp_sessions_free_later - free a session from a thread that has time for it
 * @session: nobody uses it any more
 *
 * Context: any.
 */
void mzp_sessions_free_later(struct mzp_session *session)
{
	INIT_WORK(&session->free, mzp_sessions_free_fn);
	queue_work(mzp_free_wq, &session->free);
}

/**
 * mzp_sessions_init - be ready for sessions
 *
 * Context: module init.
 * Return: 0 or -ENOMEM.
 */
int __init mzp_sessions_init(void)
{
	mzp_free_wq = alloc_workqueue("multifd_zp", WQ_UNBOUND, 0);
	return mzp_free_wq ? 0 : -ENOMEM;
}

/**
 * mzp_sessions_drain - wait until the last session is gone
 *
 * Files keep the module loaded, so all that can be left is a worker that is
 * about to drop its reference, and what it leaves to be freed.
 *
 * Context: module exit; may sleep.
 */
void mzp_sessions_drain(void)
{
	wait_var_event(&mzp_nr_sessions, !atomic_read(&mzp_nr_sessions));
}

/**
 * mzp_sessions_exit - undo mzp_sessions_init()
 *
 * Context: module exit; there are no sessions. When this returns, no thread
 * executes code of the work items.
 */
void mzp_sessions_exit(void)
{
	destroy_workqueue(mzp_free_wq);
}

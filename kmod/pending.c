// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much of what was handed over is still to be dealt with, and the wait until that is
 * little enough: WAIT_PENDING, and poll(2) on the device.
 *
 * Pages are pending until they are accounted for, bytes until a reader has taken them.
 * Packets get into their ring, and their bytes are counted, before their pages are
 * accounted for: so what is on its way is never in neither of the two.
 *
 * Why no wake-up is lost: who lowers a count then reads the mark, and looks for
 * somebody who waits, with a full barrier between (mzp_pending_look()); who waits sets the
 * mark and is in the wait queue, then reads the counts, with a full barrier between as
 * well. So one of them sees the other.
 */
#include <linux/sched/signal.h>

#include "cmd.h"
#include "pending.h"
#include "session.h"
#include "wait.h"

/**
 * mzp_pending_init - nothing is pending, and that is what is waited for
 * @pending: zeroed memory
 *
 * Context: any.
 */
void mzp_pending_init(struct mzp_pending *pending)
{
	init_waitqueue_head(&pending->below);
}

static bool mzp_pending_below(const struct mzp_pending *pending)
{
	return READ_ONCE(pending->pages) <= READ_ONCE(pending->max_pages) &&
	       atomic64_read(&pending->bytes) <= READ_ONCE(pending->max_bytes);
}

/**
 * mzp_pending_wake - wake those who wait
 * @pending: of a session
 *
 * Context: any.
 */
void mzp_pending_wake(struct mzp_pending *pending)
{
	wake_up_all(&pending->below);
}

/**
 * mzp_pending_look - less is pending than before: see whether that is waited for
 * @pending: of a session
 *
 * Context: any; no lock of the session is held.
 */
void mzp_pending_look(struct mzp_pending *pending)
{
	/* A full barrier; see above. */
	if (wq_has_sleeper(&pending->below) && mzp_pending_below(pending))
		mzp_pending_wake(pending);
}

/**
 * mzp_pending_take - bytes have left a ring
 * @pending: of the ring's session
 * @bytes: how many
 *
 * Context: any.
 */
void mzp_pending_take(struct mzp_pending *pending, size_t bytes)
{
	atomic64_sub(bytes, &pending->bytes);
	mzp_pending_look(pending);
}

/**
 * mzp_pending_poll - poll(2) on the device
 * @session: the session
 * @file: the device's
 * @wait: for poll_wait()
 *
 * Context: process.
 * Return: EPOLLIN: no more is pending than the mark; EPOLLERR: the session is over
 * before its time.
 */
__poll_t mzp_pending_poll(struct mzp_session *session, struct file *file, poll_table *wait)
{
	poll_wait(file, &session->pending.below, wait);
	/* See above; not all kernels' poll_wait() has it. */
	smp_mb();
	switch (mzp_session_phase(session)) {
	case MZP_NEW:
		return 0;
	case MZP_FAILED:
		return EPOLLERR;
	default:
		return mzp_pending_below(&session->pending) ? EPOLLIN | EPOLLRDNORM : 0;
	}
}

static bool mzp_pending_over(const struct mzp_session *session)
{
	return mzp_pending_below(&session->pending) || mzp_session_failed(session);
}

/**
 * mzp_ioctl_wait_pending - MZP_IOC_WAIT_PENDING
 * @cmd: the command, on a session that was set up
 *
 * Context: process; sleeps as long as the caller asked for, interruptibly.
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_wait_pending(struct mzp_cmd *cmd)
{
	struct mzp_wait_pending *arg = cmd->arg;
	struct mzp_session *session = cmd->session;
	struct mzp_pending *pending = &session->pending;
	struct mzp_wait_pending __user *user = cmd->user;
	ktime_t time = mzp_wait_time(arg->timeout_ns), end = ktime_add_safe(ktime_get(), time);
	int err;

	if (arg->flags)
		return -EINVAL;
	WRITE_ONCE(pending->max_pages, arg->max_pages);
	/* The counter of bytes is a signed one. */
	WRITE_ONCE(pending->max_bytes, min_t(u64, arg->max_bytes, S64_MAX));
	/* See above. Others who wait now wait for this, too. */
	smp_mb();
	mzp_pending_look(pending);
	err = wait_event_interruptible_hrtimeout(pending->below, mzp_pending_over(session), time);
	err = mzp_wait_result(err, &arg->timeout_ns, &user->timeout_ns, end);
	if (err && err != -ETIMEDOUT)
		return err;
	arg->pages = READ_ONCE(pending->pages);
	arg->bytes = max_t(s64, atomic64_read(&pending->bytes), 0);
	return mzp_cmd_reply(cmd) ?: mzp_session_error(session) ?: err;
}

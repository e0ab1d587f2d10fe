// SPDX-License-Identifier: GPL-2.0-only
/*
 * From page numbers to a batch: which of the pages that a channel has taken hold
 * data, which of those are zero.
 *
 *   take ─► residency ─► grab ─► zero? ─► batch
 *
 * All state is in the channel, so that it can be left at any page and be gone on with
 * later, by somebody else.
 */
#include <linux/bitmap.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "block.h"
#include "channel.h"
#include "classify.h"
#include "fault.h"
#include "grab.h"
#include "producer.h"
#include "queue.h"
#include "residency.h"
#include "session.h"
#include "trace.h"
#include "zero.h"

/*
 * How often in a row, and for how long, a page may be brought in and then be gone or
 * unusable again until the job is given up.
 */
#define MZP_STALLS_MIN	100
#define MZP_STALL_TIME	(30 * HZ)

/* A page was waited for; look at it again, where the take is. Not an errno. */
#define MZP_AGAIN 1

/* How many of the pages from take->pos on follow one another in the block. */
static unsigned int mzp_take_run(const struct mzp_take *take)
{
	unsigned int n = 1;

	while (take->pos + n < take->nr && take->page[take->pos + n] == take->page[take->pos] + n)
		n++;
	return n;
}

/* A page is zero; see to it that the receiver learns of it. */
static void mzp_classify_zero(struct mzp_channel *channel, u64 page)
{
	struct mzp_job *job = channel->job;

	if (job->zero_bitmap)
		set_bit(page - job->window.first, job->zero_bitmap);
	if (channel->session->detection == MZP_DETECTION_MULTIFD)
		mzp_batch_add_zero(&channel->batch, page << PAGE_SHIFT);
}

static int mzp_classify_absent(struct mzp_channel *channel, u64 page)
{
	struct page *zero = ZERO_PAGE(0);

	if (!channel->job->fresh) {
		/* It must have contents: those of the zero page, which all can see. */
		if (channel->session->detection != MZP_DETECTION_NONE)
			mzp_classify_zero(channel, page);
		else if (!mzp_fault() && try_get_page(zero))
			mzp_batch_add_normal(&channel->batch, page << PAGE_SHIFT, zero);
		else
			return -ENOMEM;
	}
	channel->counts.absent++;
	channel->take.pos++;
	return 0;
}

/* How many pages can be read, up to the first one whose memory is broken. */
static unsigned int mzp_count_sound(struct page **page, unsigned int nr)
{
	unsigned int i = 0;

	while (i < nr && !mzp_page_poisoned(page[i]))
		i++;
	return i;
}

/*
 * Classify @nr pages from the one with that @number on, whose references are the
 * batch's or dropped afterwards.
 */
static int mzp_classify_present(struct mzp_channel *channel, u64 number, struct page **page,
				unsigned int nr)
{
	unsigned int i, normal = 0, sound = mzp_count_sound(page, nr);
	struct mzp_batch *batch = &channel->batch;
	DECLARE_BITMAP(zero, MZP_WIRE_PAGES);

	if (channel->session->detection == MZP_DETECTION_NONE)
		bitmap_zero(zero, MZP_WIRE_PAGES);
	else
		mzp_zero_find(page, sound, zero);
	for (i = 0; i < sound; i++) {
		if (test_bit(i, zero)) {
			put_page(page[i]);
			mzp_classify_zero(channel, number + i);
		} else {
			mzp_batch_add_normal(batch, (number + i) << PAGE_SHIFT, page[i]);
			normal++;
		}
	}
	channel->counts.normal += normal;
	channel->counts.zero += sound - normal;
	for (; i < nr; i++)
		put_page(page[i]);
	channel->take.pos += sound;
	return sound < nr ? -EHWPOISON : 0;
}

/* Grab and classify @nr pages of the residency from @at on, which are MZP_HELD. */
static int mzp_classify_held(struct mzp_channel *channel, u64 first, unsigned int at,
			     unsigned int nr)
{
	struct page **page = &channel->residency.page[at];
	unsigned int done;
	int got, err;

	for (done = 0; done < nr; done += got) {
		got = mzp_block_grab(channel->job->block, channel->session->mm, first + at + done,
				     nr - done, page, mzp_may_wait(channel));
		if (got == -EAGAIN)
			channel->need = MZP_NEED_PAGE;
		if (got <= 0)
			return got ?: MZP_AGAIN;
		err = mzp_classify_present(channel, first + at + done, page, got);
		if (err)
			return err;
	}
	return 0;
}

/* Classify @nr pages of the residency from @at on, which are alike. */
static int mzp_classify_alike(struct mzp_channel *channel, u64 first, unsigned int at,
			      unsigned int nr)
{
	struct mzp_residency *res = &channel->residency;
	unsigned int i;
	int err = 0;

	switch (res->state[at]) {
	case MZP_HELD:
		return mzp_classify_held(channel, first, at, nr);
	case MZP_TAKEN:
		memset(&res->state[at], MZP_HELD, nr);
		return mzp_classify_present(channel, first + at, &res->page[at], nr);
	}
	for (i = at; i < at + nr && !err; i++)
		err = mzp_classify_absent(channel, first + i);
	return err;
}

static void mzp_classify_trace(const struct mzp_channel *channel, u64 first)
{
	const struct mzp_residency *res = &channel->residency;
	unsigned int i, absent = 0;

	if (!trace_mzp_residency_enabled())
		return;
	for (i = 0; i < res->nr; i++)
		absent += res->state[i] == MZP_ABSENT;
	trace_mzp_residency(channel->session->id, channel->id, channel->job->block->id, first,
			    res->nr, absent);
}

/* Classify the pages from take->pos on that follow one another. */
static int mzp_classify_run(struct mzp_channel *channel)
{
	struct mzp_take *take = &channel->take;
	struct mzp_residency *res = &channel->residency;
	u64 first = take->page[take->pos];
	unsigned int at, nr;
	int err;

	mzp_residency_init(res, mzp_take_run(take));
	err = mzp_block_look(channel->job->block, channel->session->mm, first, res,
			     mzp_may_wait(channel));
	if (err == -EAGAIN)
		channel->need = MZP_NEED_LOCK;
	if (err) {
		res->nr = 0;
		return err == -EAGAIN && mzp_may_wait(channel) ? MZP_AGAIN : err;
	}
	mzp_classify_trace(channel, first);
	for (at = 0; at < res->nr && !err; at += nr) {
		nr = mzp_residency_alike(res, at);
		err = mzp_classify_alike(channel, first, at, nr);
	}
	mzp_residency_drop(res);
	return err;
}

/*
 * A page was waited for. Return: MZP_AGAIN; -EINTR: the wait was ended from outside;
 * -EBUSY: it was there time and again, and then was not.
 */
static int mzp_classify_pause(struct mzp_channel *channel)
{
	mzp_stat_add(&channel->stats.waits, 1);
	if (signal_pending(current) || mzp_session_failed(channel->session))
		return -EINTR;
	if (!channel->stalls++)
		channel->stalled = jiffies;
	if (channel->stalls > MZP_STALLS_MIN &&
	    time_after(jiffies, channel->stalled + MZP_STALL_TIME))
		return -EBUSY;
	if (channel->stalls > 2)
		schedule_timeout_interruptible(1);
	return MZP_AGAIN;
}

/*
 * Absent pages need not be sent, and where some are, more may follow. So go on
 * to the next page that may hold data. What other channels take meanwhile is
 * theirs.
 */
static void mzp_classify_skip(struct mzp_channel *channel)
{
	struct mzp_take *take = &channel->take;
	struct mzp_job *job = channel->job;
	u64 next = mzp_block_next(job->block, channel->session->mm,
				  take->page[take->nr - 1] + 1,
				  job->window.first + job->window.count);

	channel->counts.absent += mzp_queue_skip(job, next);
}

static int mzp_classify_take(struct mzp_channel *channel)
{
	struct mzp_take *take = &channel->take;
	u64 absent = channel->counts.absent;
	unsigned int pos;
	int err = 0;

	while (err >= 0 && take->pos < take->nr) {
		pos = take->pos;
		absent = channel->counts.absent;
		err = mzp_classify_run(channel);
		if (take->pos != pos)
			channel->stalls = 0;
		if (err == MZP_AGAIN)
			err = mzp_classify_pause(channel);
	}
	if (err < 0)
		return err;
	if (channel->job->fresh && channel->counts.absent > absent)
		mzp_classify_skip(channel);
	return 0;
}

/**
 * mzp_classify - classify all pages that a channel has taken
 * @channel: run by the caller, with a job
 *
 * Context: a producer; waits if it may (mzp_may_wait()).
 * Return: 0; -EAGAIN: what channel->need says would have to be waited for; -EINTR:
 * the wait was ended by a signal, or the session is over; or why the page at the take's
 * position cannot be sent.
 */
int mzp_classify(struct mzp_channel *channel)
{
	struct mm_struct *mm = channel->session->mm;
	int err;

	if (!mzp_block_needs_mm(channel->job->block) || current->mm == mm)
		return mzp_classify_take(channel);
	/*
	 * The address space goes when its last process does; then there is
	 * nothing to send.
	 */
	if (mzp_fault() || !mmget_not_zero(mm))
		return -ESRCH;
	if (current->flags & PF_KTHREAD)
		kthread_use_mm(mm);
	err = mzp_classify_take(channel);
	if (current->flags & PF_KTHREAD)
		kthread_unuse_mm(mm);
	/* If we are its last user, others must not wait while it is torn down. */
	mmput_async(mm);
	return err;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The writing end of a channel's ring: takes pages of a job, finds out which
 * hold data, references those, finds the zero ones, and makes packets.
 *
 *   take ─► residency ─► grab ─► zero? ─► batch ─► packet ─► ring
 *
 * Run by the worker that owns the channel, so nothing here needs a lock of its
 * own. A run is short, so that channels take turns and a CPU can be taken
 * offline. All state between two runs is in the channel: the pages taken but
 * not looked at (when one needs time), and the batch that is not full yet.
 *
 * A batch holds pages of one job. When the job has no more, what there is goes
 * out. What became of pages is accounted for when their packet is in the ring,
 * so that a job is done no sooner.
 */
#include <linux/bitmap.h>
#include <linux/bvec.h>
#include <linux/highmem.h>
#include <linux/kthread.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "block.h"
#include "channel.h"
#include "compat.h"
#include "packet.h"
#include "producer.h"
#include "residency.h"
#include "session.h"
#include "slow.h"
#include "zero.h"

/* Steps of one run, each at most one packet of pages. */
#define MZP_RUN_STEPS 4

/*
 * How often in a row the slow lane may bring what is gone or unusable again,
 * with a tick's pause in between, until the job is given up.
 */
#define MZP_STALLS_MAX 1000

/* Forget the current job; what became of its pages is accounted for. */
static void mzp_producer_close_job(struct mzp_channel *channel)
{
	mzp_job_account(channel->session, channel->job, &channel->counts);
	mzp_counts_add(&channel->stats.counts, &channel->counts);
	channel->counts = (struct mzp_counts) { };
	mzp_job_put(channel->job);
	channel->job = NULL;
}

/* The rest of the current job cannot be sent from here on. */
static void mzp_producer_give_up(struct mzp_channel *channel, int error)
{
	struct mzp_take *take = &channel->take;

	mzp_job_fail(channel->session, channel->job, error, take->page[take->pos]);
	channel->counts.lost += take->nr - take->pos;
	take->nr = 0;
	take->pos = 0;
}

/* The session is over: let go of everything. */
static void mzp_producer_abandon(struct mzp_channel *channel)
{
	mzp_batch_drop(&channel->batch);
	channel->take.nr = 0;
	channel->take.pos = 0;
	if (channel->job)
		mzp_producer_close_job(channel);
	mzp_headers_drop(&channel->headers);
	mzp_channel_drain(channel);
}

static void mzp_producer_publish(struct mzp_channel *channel, u64 bytes)
{
	mzp_ring_publish(&channel->ring);
	mzp_channel_wake(channel);
	mzp_stat_add(&channel->stats.packets, 1);
	mzp_stat_add(&channel->stats.bytes, bytes);
}

static u32 mzp_producer_header(struct mzp_channel *channel, struct mzp_wire_packet *header,
			       u32 flags)
{
	struct mzp_session *session = channel->session;
	struct mzp_packet_params params = {
		.flags = flags,
		.pages_alloc = session->packet_pages,
		.payload_size = channel->batch.nr_normal * PAGE_SIZE,
		.packet_num = atomic64_fetch_inc(&session->packet_num),
	};

	if (flags & MZP_WIRE_SYNC)
		mzp_encode_packet(header, &params, NULL, NULL);
	else
		mzp_encode_packet(header, &params, channel->job->block->idstr, &channel->batch);
	return params.payload_size;
}

/* Make a packet of the batch, in the ring's free slot. */
static void mzp_producer_emit(struct mzp_channel *channel, struct mzp_packet *packet)
{
	struct mzp_wire_packet *header;
	u32 payload;

	header = mzp_header_take(&channel->headers, sizeof(*header), &packet->buf[0]);
	payload = mzp_producer_header(channel, header, MZP_WIRE_NONE);
	packet->nr = 1 + mzp_batch_take_pages(&channel->batch, &packet->buf[1]);
	channel->batch.nr_normal = 0;
	channel->batch.nr_zero = 0;
	mzp_producer_publish(channel, sizeof(*header) + payload);
}

/* Send what there is of the current job, and account for it. */
static void mzp_producer_flush(struct mzp_channel *channel, struct mzp_packet *packet)
{
	if (mzp_batch_pages(&channel->batch))
		mzp_producer_emit(channel, packet);
	mzp_producer_close_job(channel);
}

static void mzp_producer_sync(struct mzp_channel *channel, struct mzp_packet *packet,
			      struct mzp_job *job)
{
	struct bio_vec *buf = &job->sync[channel->id];

	mzp_producer_header(channel, page_address(buf->bv_page) + buf->bv_offset,
			    MZP_WIRE_SYNC);
	packet->buf[0] = *buf;
	packet->nr = 1;
	buf->bv_page = NULL;
	mzp_producer_publish(channel, sizeof(struct mzp_wire_packet));
	mzp_stat_add(&channel->stats.syncs, 1);
	channel->epoch++;
	mzp_job_synced(channel->session, job);
	mzp_job_put(job);
}

/* A page is zero; see to it that the receiver learns of it. */
static void mzp_producer_add_zero(struct mzp_channel *channel, u64 page)
{
	struct mzp_job *job = channel->job;

	if (job->zero_bitmap)
		set_bit(page - job->window.first, job->zero_bitmap);
	if (channel->session->detection == MZP_DETECTION_MULTIFD)
		mzp_batch_add_zero(&channel->batch, page << PAGE_SHIFT);
}

static int mzp_producer_add_absent(struct mzp_channel *channel, u64 page)
{
	struct page *zero = ZERO_PAGE(0);

	if (channel->job->fresh) {
		channel->counts.absent++;
		return 0;
	}
	if (channel->session->detection != MZP_DETECTION_NONE) {
		channel->counts.absent++;
		mzp_producer_add_zero(channel, page);
		return 0;
	}
	/* It must have contents: those of the zero page, which all can see. */
	if (!try_get_page(zero))
		return -ENOMEM;
	channel->counts.absent++;
	mzp_batch_add_normal(&channel->batch, page << PAGE_SHIFT, zero);
	return 0;
}

static bool mzp_producer_is_zero(struct page *page)
{
	void *contents = kmap_local_page(page);
	bool zero = mzp_page_is_zero(contents);

	kunmap_local(contents);
	return zero;
}

static void mzp_producer_add_held(struct mzp_channel *channel, u64 number, struct page *page)
{
	if (channel->session->detection != MZP_DETECTION_NONE && mzp_producer_is_zero(page)) {
		put_page(page);
		channel->counts.zero++;
		mzp_producer_add_zero(channel, number);
		return;
	}
	channel->counts.normal++;
	mzp_batch_add_normal(&channel->batch, number << PAGE_SHIFT, page);
}

/* Grab and classify pages @i to @end - 1 of the residency, which hold data. */
static int mzp_producer_grab(struct mzp_channel *channel, u64 first, unsigned int i,
			     unsigned int end)
{
	struct page **page = channel->residency.page;
	int got;

	while (i < end) {
		if (!page[i]) {
			got = mzp_block_grab(channel->job->block, first + i, end - i, &page[i]);
			if (got < 0) {
				channel->need = MZP_NEED_PAGE;
				return got;
			}
		}
		for (; i < end && page[i]; i++) {
			mzp_producer_add_held(channel, first + i, page[i]);
			page[i] = NULL;
			channel->take.pos++;
		}
	}
	return 0;
}

/* Classify the pages from take->pos on that follow one another. */
static int mzp_producer_classify_run(struct mzp_channel *channel)
{
	struct mzp_take *take = &channel->take;
	struct mzp_residency *res = &channel->residency;
	u64 first = take->page[take->pos];
	unsigned int i, end;
	int err;

	mzp_residency_init(res, mzp_take_run(take));
	err = mzp_block_look(channel->job->block, channel->session->mm, first, res);
	if (err) {
		channel->need = MZP_NEED_LOCK;
		return err;
	}
	for (i = 0; i < res->nr && !err; i = end) {
		end = i + 1;
		if (test_bit(i, res->held)) {
			/*
			 * Up to the next one that is absent, or that we have,
			 * or have not.
			 */
			while (end < res->nr && test_bit(end, res->held) &&
			       !res->page[end] == !res->page[i])
				end++;
			err = mzp_producer_grab(channel, first, i, end);
		} else {
			err = mzp_producer_add_absent(channel, first + i);
			take->pos += !err;
		}
	}
	mzp_residency_drop(res);
	return err;
}

/*
 * The last page that was taken is absent and need not be sent, so go on to the
 * next one that may hold data. What other channels take meanwhile is theirs.
 */
static void mzp_producer_skip(struct mzp_channel *channel)
{
	struct mzp_take *take = &channel->take;
	struct mzp_job *job = channel->job;
	u64 next = mzp_block_next(job->block, channel->session->mm,
				  take->page[take->nr - 1] + 1,
				  job->window.first + job->window.count);

	channel->counts.absent += mzp_job_skip(channel->session, job, next);
}

/* Classify all pages that were taken. On error, take->pos is where it is. */
static int mzp_producer_classify(struct mzp_channel *channel)
{
	struct mzp_take *take = &channel->take;
	u64 absent = channel->counts.absent;
	int err = 0;

	while (!err && take->pos < take->nr) {
		absent = channel->counts.absent;
		err = mzp_producer_classify_run(channel);
	}
	if (!err && channel->job->fresh && channel->counts.absent > absent)
		mzp_producer_skip(channel);
	return err;
}

/* The same, with the address space in use, if it is needed. */
static int mzp_producer_classify_mm(struct mzp_channel *channel)
{
	struct mm_struct *mm = channel->session->mm;
	int err;

	if (!mzp_block_needs_mm(channel->job->block))
		return mzp_producer_classify(channel);
	/*
	 * The address space goes when its last process does; then there is
	 * nothing to send.
	 */
	if (!mmget_not_zero(mm))
		return -ESRCH;
	kthread_use_mm(mm);
	err = mzp_producer_classify(channel);
	kthread_unuse_mm(mm);
	/* If we are its last user, others must not wait while it is torn down. */
	mmput_async(mm);
	return err;
}

/* Take pages, as many as the batch has room for. Return: whether there were any. */
static bool mzp_producer_take(struct mzp_channel *channel)
{
	struct mzp_take *take = &channel->take;

	take->pos = 0;
	take->nr = mzp_job_take(channel->session, channel->job, take->page,
				channel->session->packet_pages - mzp_batch_pages(&channel->batch));
	return take->nr;
}

/* Have the slow lane get what is needed, unless that has been in vain for long. */
static enum mzp_produced mzp_producer_stall(struct mzp_channel *channel)
{
	mzp_stat_add(&channel->stats.stalls, 1);
	if (channel->need == MZP_NEED_PAGE && ++channel->stalls > MZP_STALLS_MAX)
		channel->slow_error = -EBUSY;
	return MZP_PRODUCED_LATER;
}

/* Return: 0, -EAGAIN if something needs time, or why the job cannot go on. */
static int mzp_producer_work(struct mzp_channel *channel)
{
	unsigned int pos = channel->take.pos;
	int err = channel->slow_error;

	channel->slow_error = 0;
	if (!err && mzp_header_reserve(&channel->headers, sizeof(struct mzp_wire_packet),
				       GFP_NOWAIT)) {
		channel->need = MZP_NEED_HEADER;
		return -EAGAIN;
	}
	if (!err)
		err = mzp_producer_classify_mm(channel);
	if (!err || channel->take.pos != pos)
		channel->stalls = 0;
	return err;
}

/* One packet's worth of work on the current job. */
static enum mzp_produced mzp_producer_pages(struct mzp_channel *channel,
					    struct mzp_packet *packet)
{
	struct mzp_take *take = &channel->take;
	int err;

	if (take->pos == take->nr && !mzp_producer_take(channel)) {
		mzp_producer_flush(channel, packet);
		return MZP_PRODUCED_SOME;
	}
	err = mzp_producer_work(channel);
	if (err == -EAGAIN)
		return mzp_producer_stall(channel);
	if (err)
		mzp_producer_give_up(channel, err);
	if (err || mzp_batch_pages(&channel->batch) == channel->session->packet_pages)
		mzp_producer_flush(channel, packet);
	return MZP_PRODUCED_SOME;
}

static enum mzp_produced mzp_producer_step(struct mzp_channel *channel)
{
	struct mzp_packet *packet = mzp_ring_room(&channel->ring);
	struct mzp_job *job;

	if (!packet) {
		mzp_stat_add(&channel->stats.ring_full, 1);
		return MZP_PRODUCED_NOTHING;
	}
	if (channel->job)
		return mzp_producer_pages(channel, packet);
	switch (mzp_job_next(channel->session, channel->epoch, &job)) {
	case MZP_NEXT_PAGES:
		channel->job = job;
		return MZP_PRODUCED_SOME;
	case MZP_NEXT_SYNC:
		mzp_producer_sync(channel, packet, job);
		return MZP_PRODUCED_SOME;
	case MZP_NEXT_IDLE:
		break;
	}
	return MZP_PRODUCED_NOTHING;
}

/**
 * mzp_producer_run - do some of the work that a channel has
 * @channel: the channel, which the caller owns
 *
 * Context: a worker; may sleep for locks, though not for I/O, reclaim or other
 * processes. Memory is charged to the memory cgroup of the session's owner.
 * Return: what came of it.
 */
enum mzp_produced mzp_producer_run(struct mzp_channel *channel)
{
	struct mzp_session *session = channel->session;
	struct mem_cgroup *memcg = set_active_memcg(session->memcg);
	enum mzp_produced produced = MZP_PRODUCED_SOME;
	unsigned int step;

	for (step = 0; step < MZP_RUN_STEPS && produced == MZP_PRODUCED_SOME; step++) {
		if (READ_ONCE(session->error)) {
			mzp_producer_abandon(channel);
			produced = MZP_PRODUCED_NOTHING;
			break;
		}
		produced = mzp_producer_step(channel);
		cond_resched();
	}
	set_active_memcg(memcg);
	return produced;
}

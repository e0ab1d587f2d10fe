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
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/string.h>

#include "block.h"
#include "channel.h"
#include "compat.h"
#include "fault.h"
#include "packet.h"
#include "producer.h"
#include "residency.h"
#include "session.h"
#include "slow.h"
#include "trace.h"
#include "zero.h"

/* Steps of one run, each at most one packet of pages. */
#define MZP_RUN_STEPS 4

/*
 * How often in a row, and for how long, the slow lane may bring what then is
 * gone or unusable again until the job is given up.
 */
#define MZP_STALLS_MIN	100
#define MZP_STALL_TIME	(30 * HZ)

/* Forget the current job; what became of its pages is accounted for. */
static void mzp_producer_close_job(struct mzp_channel *channel)
{
	/* In this order, so that once a job is done its pages are in all counters. */
	mzp_counts_add(&channel->stats.counts, &channel->counts);
	mzp_job_account(channel->session, channel->job, &channel->counts);
	channel->counts = (struct mzp_counts) { };
	mzp_job_put(channel->job);
	channel->job = NULL;
}

/* What the slow lane has got since the last look is as good as what we would find. */
static void mzp_producer_use_fetched(struct mzp_channel *channel, u64 first)
{
	struct mzp_residency *res = &channel->residency;
	struct mzp_fetch *fetch = &channel->fetch;
	unsigned int i;

	for (i = 0; i < fetch->got; i++) {
		u64 at = fetch->first + i - first;

		if (at < res->nr && res->state[at] == MZP_HELD)
			mzp_residency_take(res, at, fetch->page[i]);
		else
			put_page(fetch->page[i]);
	}
	fetch->got = 0;
}

/* The rest of the current job cannot be sent from here on. */
static void mzp_producer_give_up(struct mzp_channel *channel, int error)
{
	struct mzp_take *take = &channel->take;

	mzp_job_fail(channel->session, channel->job, error, take->page[take->pos]);
	channel->fetch.stalls = 0;
	/* What was brought before the address space went away. */
	channel->residency.nr = 0;
	mzp_producer_use_fetched(channel, 0);
	channel->counts.lost += take->nr - take->pos;
	take->nr = 0;
	take->pos = 0;
}

/* None of what is in hand was sent, nor will be. The session has counted it as lost. */
static void mzp_producer_lose(struct mzp_channel *channel)
{
	channel->counts = (struct mzp_counts) {
		.lost = mzp_counts_total(&channel->counts) + channel->take.nr - channel->take.pos,
	};
}

/* The session is over: let go of everything. */
static void mzp_producer_abandon(struct mzp_channel *channel)
{
	mzp_batch_drop(&channel->batch);
	mzp_residency_init(&channel->residency, 0);
	mzp_producer_use_fetched(channel, 0);
	mzp_producer_lose(channel);
	channel->take.nr = 0;
	channel->take.pos = 0;
	if (channel->job)
		mzp_producer_close_job(channel);
	mzp_arena_drop(&channel->arena);
	mzp_channel_drain(channel);
}

/* Publish the packet in the ring's free slot: the batch's, with @payload bytes. */
static void mzp_producer_publish(struct mzp_channel *channel, u64 payload)
{
	struct mzp_channel_stats *stats = &channel->stats;
	u64 bytes = sizeof(struct mzp_wire_packet) + payload;

	/* Before the reader can count them gone. */
	mzp_stat_add(&stats->packets, 1);
	mzp_stat_add(&stats->sent, channel->batch.nr_normal);
	mzp_stat_add(&stats->zeros, channel->batch.nr_zero);
	mzp_stat_add(&stats->payload, payload);
	mzp_stat_add(&stats->bytes, bytes);
	mzp_ring_publish(&channel->ring);
	mzp_channel_wake(channel);
	mzp_limit_charge(&channel->session->limit, bytes);
}

static void mzp_producer_header(struct mzp_channel *channel, struct mzp_wire_packet *header,
				u32 flags, u32 payload)
{
	struct mzp_session *session = channel->session;
	struct mzp_packet_params params = {
		.flags = flags,
		.pages_alloc = session->packet_pages,
		.payload_size = payload,
		.packet_num = atomic64_fetch_inc(&session->packet_num),
	};

	trace_multifd_send(session->id, channel->id, params.packet_num, channel->batch.nr_normal,
			   channel->batch.nr_zero, flags, payload);
	if (flags & MZP_WIRE_SYNC)
		mzp_encode_packet(header, &params, NULL, NULL);
	else
		mzp_encode_packet(header, &params, channel->job->block->idstr, &channel->batch);
}

/* The normal pages themselves. Return: bytes. */
static u32 mzp_producer_reference(struct mzp_channel *channel, struct mzp_packet *packet)
{
	packet->nr += mzp_batch_take_pages(&channel->batch, &packet->buf[packet->nr]);
	return channel->batch.nr_normal * PAGE_SIZE;
}

/* What they compress to. Return: bytes, or a negative errno. */
static ssize_t mzp_producer_compress(struct mzp_channel *channel, struct mzp_packet *packet)
{
	struct mzp_batch *batch = &channel->batch;
	struct mzp_comp *comp = &channel->comp;
	ssize_t size;

	size = mzp_fault() ? -EIO : mzp_comp_pages(comp, batch->page, batch->nr_normal);
	if (size > 0)
		packet->nr += mzp_arena_write(&channel->arena, comp->payload, size,
					      &packet->buf[packet->nr]);
	mzp_batch_release(batch);
	return size;
}

/* Make a packet of the batch, in the ring's free slot. */
static int mzp_producer_emit(struct mzp_channel *channel, struct mzp_packet *packet)
{
	struct mzp_batch *batch = &channel->batch;
	struct mzp_wire_packet *header;
	ssize_t payload = 0;

	header = mzp_arena_take(&channel->arena, sizeof(*header), &packet->buf[0]);
	packet->nr = 1;
	if (batch->nr_normal)
		payload = channel->comp.ops ? mzp_producer_compress(channel, packet) :
					      mzp_producer_reference(channel, packet);
	if (payload < 0) {
		put_page(packet->buf[0].bv_page);
		/* Its pages are released, whatever came of them. */
		batch->nr_normal = 0;
		return payload;
	}
	mzp_producer_header(channel, header, mzp_comp_wire(&channel->comp), payload);
	mzp_producer_publish(channel, payload);
	batch->nr_normal = 0;
	batch->nr_zero = 0;
	return 0;
}

/* Send what there is of the current job, and account for it. */
static void mzp_producer_flush(struct mzp_channel *channel, struct mzp_packet *packet)
{
	int err = 0;

	if (mzp_batch_pages(&channel->batch))
		err = mzp_producer_emit(channel, packet);
	/* A stream that is broken stays so; the next step abandons the channel. */
	if (err) {
		mzp_session_fail(channel->session, err);
		mzp_producer_lose(channel);
	}
	mzp_producer_close_job(channel);
}

static void mzp_producer_sync(struct mzp_channel *channel, struct mzp_packet *packet,
			      struct mzp_job *job)
{
	struct bio_vec *buf = &job->sync[channel->id];

	mzp_producer_header(channel, page_address(buf->bv_page) + buf->bv_offset,
			    MZP_WIRE_SYNC, 0);
	packet->buf[0] = *buf;
	packet->nr = 1;
	buf->bv_page = NULL;
	mzp_producer_publish(channel, 0);
	mzp_stat_add(&channel->stats.syncs, 1);
	channel->epoch++;
	trace_multifd_send_sync_main_signal(channel->session->id, channel->id, channel->epoch);
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
	if (mzp_fault() || !try_get_page(zero))
		return -ENOMEM;
	channel->counts.absent++;
	mzp_batch_add_normal(&channel->batch, page << PAGE_SHIFT, zero);
	return 0;
}

/* Classify @nr pages from the one with that @number on, whose references become the batch's. */
static void mzp_producer_add_held(struct mzp_channel *channel, u64 number, struct page **page,
				  unsigned int nr)
{
	DECLARE_BITMAP(zero, MZP_WIRE_PAGES);
	unsigned int i;

	if (channel->session->detection == MZP_DETECTION_NONE)
		bitmap_zero(zero, nr);
	else
		mzp_zero_find(page, nr, zero);
	for (i = 0; i < nr; i++) {
		if (test_bit(i, zero)) {
			put_page(page[i]);
			channel->counts.zero++;
			mzp_producer_add_zero(channel, number + i);
		} else {
			channel->counts.normal++;
			mzp_batch_add_normal(&channel->batch, (number + i) << PAGE_SHIFT, page[i]);
		}
	}
}

/* Grab and classify @nr pages of the residency from @at on, which are MZP_HELD. */
static int mzp_producer_grab(struct mzp_channel *channel, u64 first, unsigned int at,
			     unsigned int nr)
{
	struct page **page = &channel->residency.page[at];
	struct mzp_fetch *fetch = &channel->fetch;
	unsigned int done;
	int got;

	for (done = 0; done < nr; done += got) {
		got = mzp_block_grab(channel->job->block, first + at + done, nr - done, page);
		if (got < 0) {
			fetch->need = MZP_NEED_PAGE;
			fetch->first = first + at + done;
			fetch->nr = nr - done;
			return got;
		}
		mzp_producer_add_held(channel, first + at + done, page, got);
		channel->take.pos += got;
	}
	return 0;
}

/* Classify @nr pages of the residency from @at on, which are alike. */
static int mzp_producer_classify_alike(struct mzp_channel *channel, u64 first, unsigned int at,
				       unsigned int nr)
{
	struct mzp_residency *res = &channel->residency;
	unsigned int i;
	int err = 0;

	switch (res->state[at]) {
	case MZP_HELD:
		return mzp_producer_grab(channel, first, at, nr);
	case MZP_TAKEN:
		mzp_producer_add_held(channel, first + at, &res->page[at], nr);
		memset(&res->state[at], MZP_HELD, nr);
		channel->take.pos += nr;
		return 0;
	}
	for (i = at; i < at + nr && !err; i++) {
		err = mzp_producer_add_absent(channel, first + i);
		channel->take.pos += !err;
	}
	return err;
}

static void mzp_producer_trace_residency(const struct mzp_channel *channel, u64 first)
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
static int mzp_producer_classify_run(struct mzp_channel *channel)
{
	struct mzp_take *take = &channel->take;
	struct mzp_residency *res = &channel->residency;
	u64 first = take->page[take->pos];
	unsigned int at, nr;
	int err;

	mzp_residency_init(res, mzp_take_run(take));
	err = mzp_block_look(channel->job->block, channel->session->mm, first, res);
	if (err == -EAGAIN)
		channel->fetch.need = MZP_NEED_LOCK;
	if (err)
		res->nr = 0;
	mzp_producer_trace_residency(channel, first);
	mzp_producer_use_fetched(channel, first);
	for (at = 0; at < res->nr && !err; at += nr) {
		nr = mzp_residency_alike(res, at);
		err = mzp_producer_classify_alike(channel, first, at, nr);
	}
	mzp_residency_drop(res);
	return err;
}

/*
 * Absent pages need not be sent, and where some are, more may follow. So go on
 * to the next page that may hold data. What other channels take meanwhile is
 * theirs.
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
	if (mzp_fault() || !mmget_not_zero(mm))
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

/* Have the slow lane get what is needed. */
static enum mzp_produced mzp_producer_stall(struct mzp_channel *channel)
{
	struct mzp_fetch *fetch = &channel->fetch;

	if (!fetch->stalls++)
		fetch->since = jiffies;
	mzp_stat_add(&channel->stats.stalls, 1);
	trace_mzp_stall(channel->session->id, channel->id, fetch->need, fetch->stalls);
	return MZP_PRODUCED_LATER;
}

/*
 * Have the slow lane wait if the session has sent as much as it may for now.
 * Asked before a job is taken up, so that nothing is held meanwhile that
 * others, or the session's end, would have to wait for.
 */
static bool mzp_producer_limited(struct mzp_channel *channel)
{
	if (likely(!mzp_limit_wait(&channel->session->limit)))
		return false;
	mzp_stat_add(&channel->stats.throttled, 1);
	trace_mzp_stall(channel->session->id, channel->id, MZP_NEED_TIME, 0);
	channel->fetch.need = MZP_NEED_TIME;
	return true;
}

/* Whether what is needed was to be had time and again, and then was not. */
static bool mzp_producer_stuck(const struct mzp_fetch *fetch)
{
	return fetch->stalls > MZP_STALLS_MIN && fetch->need != MZP_NEED_LOCK &&
	       time_after(jiffies, fetch->since + MZP_STALL_TIME);
}

/* Return: 0, -EAGAIN if something needs time, or why the job cannot go on. */
static int mzp_producer_work(struct mzp_channel *channel)
{
	struct mzp_fetch *fetch = &channel->fetch;
	unsigned int pos = channel->take.pos;
	int err = fetch->error;

	fetch->error = 0;
	if (!err && mzp_arena_reserve(&channel->arena, mzp_comp_pages_max(&channel->comp),
				      GFP_NOWAIT)) {
		fetch->need = MZP_NEED_MEMORY;
		err = -EAGAIN;
	}
	if (!err)
		err = mzp_producer_classify_mm(channel);
	if (!err || channel->take.pos != pos)
		fetch->stalls = 0;
	return err == -EAGAIN && mzp_producer_stuck(fetch) ? -EBUSY : err;
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
		trace_mzp_ring_full(channel->session->id, channel->id, channel->ring.size);
		return MZP_PRODUCED_NOTHING;
	}
	if (channel->job)
		return mzp_producer_pages(channel, packet);
	switch (mzp_job_next(channel->session, channel->epoch, &job)) {
	case MZP_NEXT_PAGES:
		if (mzp_producer_limited(channel)) {
			mzp_job_put(job);
			return MZP_PRODUCED_LATER;
		}
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

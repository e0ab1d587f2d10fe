// SPDX-License-Identifier: GPL-2.0-only
/*
 * The writing end of a channel's ring: makes packets of a job's pages.
 *
 *   job ─► take ─► classify ─► batch ─► packet ─► ring
 *
 * Run by whoever has claimed the channel (claim.c), so nothing here needs a lock of its
 * own: a worker, which waits for nothing, or the channel's reader, which waits for
 * what it takes. All state between two runs is in the channel: the pages that were
 * taken but not classified, and the batch that is not full yet.
 *
 * A run goes on until the ring is full: a burst of packets that is made in one go is
 * sent in one go, and that costs much less than to and fro. It also ends when its time
 * is over, so that channels take turns, a CPU can be taken offline, and what has been
 * compressed does not wait for what has not. Readers are woken at its end.
 *
 * A batch holds pages of one job. When the job has no more, what there is goes
 * out. What became of pages is accounted for when their packet is in the ring,
 * so that a job is done no sooner.
 */
#include <linux/bvec.h>
#include <linux/ktime.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "block.h"
#include "channel.h"
#include "classify.h"
#include "fault.h"
#include "grab.h"
#include "host.h"
#include "inject.h"
#include "packet.h"
#include "producer.h"
#include "queue.h"
#include "session.h"
#include "trace.h"

/* How long a run takes, but for its last step, of one packet at most. */
#define MZP_RUN_NS (2 * NSEC_PER_MSEC)

/* Forget the current job; what became of its pages is accounted for. */
static void mzp_producer_close_job(struct mzp_channel *channel)
{
	/* In this order, so that once a job is done its pages are in all counters. */
	mzp_counts_add(&channel->stats.counts, &channel->counts);
	mzp_queue_account(channel->job, &channel->counts);
	channel->counts = (struct mzp_counts) { };
	mzp_job_put(channel->job);
	channel->job = NULL;
}

/* The rest of the current job cannot be sent from here on. */
static void mzp_producer_give_up(struct mzp_channel *channel, int error)
{
	struct mzp_take *take = &channel->take;

	mzp_queue_fail(channel->job, error, take->page[take->pos]);
	channel->stalls = 0;
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

/**
 * mzp_producer_abandon - let go of everything that a channel has in hand
 * @channel: run by the caller; its session is over
 *
 * Context: process; waits for nobody.
 */
void mzp_producer_abandon(struct mzp_channel *channel)
{
	mzp_batch_drop(&channel->batch);
	mzp_producer_lose(channel);
	channel->take.nr = 0;
	channel->take.pos = 0;
	if (channel->job)
		mzp_producer_close_job(channel);
	mzp_arena_drop(&channel->arena);
	mzp_channel_drain(channel);
}

/* Publish what is in the ring's free slot. */
static void mzp_producer_publish(struct mzp_channel *channel, u64 bytes)
{
	/* Before the reader can count them gone. */
	mzp_stat_add(&channel->stats.bytes, bytes);
	mzp_ring_publish(&channel->ring);
	mzp_host_charge(&channel->session->limit, bytes);
}

/*
 * Publish a packet there: the batch's, with @payload bytes. Those of a SYNC packet are
 * pending since SYNC was called.
 */
static void mzp_producer_publish_packet(struct mzp_channel *channel, struct mzp_packet *packet,
					u64 payload)
{
	struct mzp_channel_stats *stats = &channel->stats;
	u64 bytes = sizeof(struct mzp_wire_packet) + payload;

	packet->pages = mzp_batch_pages(&channel->batch);
	packet->own = false;
	mzp_stat_add(&stats->packets, 1);
	mzp_stat_add(&stats->sent, channel->batch.nr_normal);
	mzp_stat_add(&stats->zeros, channel->batch.nr_zero);
	mzp_stat_add(&stats->payload, payload);
	atomic64_add(packet->pages, &channel->session->pending.ring_pages);
	if (packet->pages)
		atomic64_add(bytes, &channel->session->pending.bytes);
	mzp_producer_publish(channel, bytes);
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

/* A batch can have waited for its last pages for long. */
static bool mzp_producer_poisoned(const struct mzp_batch *batch)
{
	unsigned int i;

	for (i = 0; i < batch->nr_normal; i++) {
		if (mzp_page_poisoned(batch->page[i]))
			return true;
	}
	return false;
}

/* What they compress to. Return: bytes, or a negative errno. */
static ssize_t mzp_producer_compress(struct mzp_channel *channel, struct mzp_packet *packet)
{
	struct mzp_batch *batch = &channel->batch;
	struct mzp_comp *comp = &channel->comp;
	ssize_t size;

	if (mzp_fault())
		size = -EIO;
	else if (mzp_producer_poisoned(batch))
		size = -EHWPOISON;
	else
		size = mzp_comp_pages(comp, batch->page, batch->nr_normal);
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
	mzp_producer_publish_packet(channel, packet, payload);
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
		mzp_session_fail(channel->session, err == -EHWPOISON ? MZP_REASON_MEMORY :
				 MZP_REASON_COMPRESSOR);
		mzp_producer_lose(channel);
	}
	mzp_producer_close_job(channel);
}

static void mzp_producer_sync(struct mzp_channel *channel, struct mzp_packet *packet,
			      struct mzp_job *job)
{
	struct bio_vec *buf = &job->own[channel->id];

	mzp_producer_header(channel, page_address(buf->bv_page) + buf->bv_offset,
			    MZP_WIRE_SYNC, 0);
	packet->buf[0] = *buf;
	packet->nr = 1;
	buf->bv_page = NULL;
	mzp_producer_publish_packet(channel, packet, 0);
	mzp_stat_add(&channel->stats.syncs, 1);
	trace_multifd_send_sync_main_signal(channel->session->id, channel->id,
					    channel->round->number);
	mzp_queue_synced(channel, job);
	mzp_job_put(job);
}

/* As much as one slot takes; their bytes are pending since INJECT. */
static void mzp_producer_inject(struct mzp_channel *channel, struct mzp_packet *packet,
				struct mzp_job *job)
{
	u32 bytes;
	bool all = mzp_inject_move(job, packet, &bytes);

	packet->pages = 0;
	mzp_producer_publish(channel, bytes);
	if (all)
		mzp_queue_injected(job);
	mzp_job_put(job);
}

/* What was needed must be waited for, by a reader with nothing else to do. */
static enum mzp_produced mzp_producer_leave(struct mzp_channel *channel)
{
	if (channel->patience == MZP_PATIENCE_NONE)
		mzp_stat_add(&channel->stats.left, 1);
	trace_mzp_left(channel->session->id, channel->id, channel->need);
	return MZP_PRODUCED_LEFT;
}

/* Return: as mzp_classify(). */
static int mzp_producer_work(struct mzp_channel *channel)
{
	bool wait = mzp_may_wait(channel);

	if (!mzp_arena_reserve(&channel->arena, mzp_comp_pages_max(&channel->comp),
			       wait ? GFP_KERNEL : GFP_NOWAIT))
		return mzp_classify(channel);
	channel->need = MZP_NEED_MEMORY;
	if (!wait)
		return -EAGAIN;
	return signal_pending(current) ? -EINTR : -ENOMEM;
}

/* One packet's worth of work on the current job. */
static enum mzp_produced mzp_producer_pages(struct mzp_channel *channel,
					    struct mzp_packet *packet)
{
	unsigned int room = channel->session->packet_pages - mzp_batch_pages(&channel->batch);
	struct mzp_take *take = &channel->take;
	bool over = false;
	int err;

	if (take->pos == take->nr) {
		take->pos = 0;
		take->nr = mzp_queue_take(channel->job, take->page, room, &over);
		if (!take->nr) {
			if (over)
				mzp_producer_flush(channel, packet);
			return MZP_PRODUCED_SOME;
		}
	}
	err = mzp_producer_work(channel);
	if (err == -EAGAIN)
		return mzp_producer_leave(channel);
	if (err == -EINTR)
		return MZP_PRODUCED_LEFT;
	if (err)
		mzp_producer_give_up(channel, err);
	if (err || mzp_batch_pages(&channel->batch) == channel->session->packet_pages)
		mzp_producer_flush(channel, packet);
	return MZP_PRODUCED_SOME;
}

/*
 * The session has sent as much as it may for now. Asked before a job is taken up, so
 * that nothing is held meanwhile that others would have to wait for. SYNCs are not
 * limited, so a kick is worth a look.
 */
static enum mzp_produced mzp_producer_limited(struct mzp_channel *channel, u64 until)
{
	s64 left = until - ktime_get_ns();

	channel->need = MZP_NEED_TIME;
	mzp_stat_add(&channel->stats.throttled, 1);
	if (channel->patience != MZP_PATIENCE_ALL || mzp_ring_fill(&channel->ring)) {
		trace_mzp_left(channel->session->id, channel->id, MZP_NEED_TIME);
		return MZP_PRODUCED_LEFT;
	}
	if (left > 0 && wait_event_interruptible_hrtimeout(channel->readable,
							   mzp_claim_kicked(channel) ||
							   mzp_session_failed(channel->session),
							   ns_to_ktime(left)) == -ERESTARTSYS)
		return MZP_PRODUCED_LEFT;
	return MZP_PRODUCED_SOME;
}

/* Begin with the next job, or emit a SYNC packet, or bytes of the VMM's. */
static enum mzp_produced mzp_producer_begin(struct mzp_channel *channel,
					    struct mzp_packet *packet)
{
	struct mzp_job *job;
	u64 until;

	switch (mzp_queue_next(channel, &job)) {
	case MZP_NEXT_PAGES:
		until = mzp_host_wait(&channel->session->limit);
		if (until) {
			mzp_job_put(job);
			return mzp_producer_limited(channel, until);
		}
		channel->job = job;
		return MZP_PRODUCED_SOME;
	case MZP_NEXT_SYNC:
		mzp_producer_sync(channel, packet, job);
		return MZP_PRODUCED_SOME;
	case MZP_NEXT_INJECT:
		mzp_producer_inject(channel, packet, job);
		return MZP_PRODUCED_SOME;
	case MZP_NEXT_IDLE:
		break;
	}
	return MZP_PRODUCED_NOTHING;
}

static enum mzp_produced mzp_producer_step(struct mzp_channel *channel)
{
	struct mzp_packet *packet;

	/* Before anything is looked at. */
	mzp_claim_look(channel);
	if (mzp_session_failed(channel->session)) {
		mzp_producer_abandon(channel);
		return MZP_PRODUCED_NOTHING;
	}
	packet = mzp_ring_room(&channel->ring);
	if (!packet) {
		/* Readers make as many as there is room for. */
		if (channel->patience == MZP_PATIENCE_NONE)
			mzp_stat_add(&channel->stats.ring_full, 1);
		trace_mzp_ring_full(channel->session->id, channel->id, channel->ring.size);
		return MZP_PRODUCED_NOTHING;
	}
	return channel->job ? mzp_producer_pages(channel, packet) :
			      mzp_producer_begin(channel, packet);
}

/* Whether a run ends here, though there may be more to do. */
static bool mzp_producer_over(const struct mzp_channel *channel, u64 start)
{
	if (channel->patience == MZP_PATIENCE_NONE)
		return ktime_get_ns() - start > MZP_RUN_NS;
	if (signal_pending(current))
		return true;
	/* Readers have come for a packet. */
	return mzp_ring_fill(&channel->ring) && ktime_get_ns() - start > MZP_RUN_NS;
}

/**
 * mzp_producer_run - make packets
 * @channel: the channel, which the caller has claimed
 * @patience: what the caller may wait for
 *
 * Context: process. With MZP_PATIENCE_NONE, waits for nothing that others could keep
 * from it. Else sleeps, and comes back when a signal is pending. Memory is charged to
 * the memory cgroup of the session's owner.
 * Return: what came of it, for mzp_claim_release().
 */
enum mzp_produced mzp_producer_run(struct mzp_channel *channel, enum mzp_patience patience)
{
	struct mem_cgroup *memcg = set_active_memcg(channel->session->memcg);
	u64 start = ktime_get_ns(), bytes = channel->stats.bytes;
	enum mzp_produced produced;

	channel->patience = patience;
	do {
		produced = mzp_producer_step(channel);
		cond_resched();
	} while (produced == MZP_PRODUCED_SOME && !mzp_producer_over(channel, start));
	set_active_memcg(memcg);
	if (channel->stats.bytes != bytes)
		mzp_channel_wake(channel);
	return produced;
}

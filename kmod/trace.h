/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints. Where QEMU has one for the same thing, ours has its name and its
 * fields, behind the session that it is about; QEMU's "id" is the channel.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM multifd_zp

#if !defined(MZP_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define MZP_TRACE_H

#include <linux/tracepoint.h>

/* A packet is put in a ring; @next_packet_size is its payload. */
TRACE_EVENT(multifd_send,
	TP_PROTO(u64 session, u32 id, u64 packet_num, u32 normal, u32 zero, u32 flags,
		 u32 next_packet_size),
	TP_ARGS(session, id, packet_num, normal, zero, flags, next_packet_size),
	TP_STRUCT__entry(
		__field(u64, session)
		__field(u64, packet_num)
		__field(u32, id)
		__field(u32, normal)
		__field(u32, zero)
		__field(u32, flags)
		__field(u32, next_packet_size)
	),
	TP_fast_assign(
		__entry->session = session;
		__entry->packet_num = packet_num;
		__entry->id = id;
		__entry->normal = normal;
		__entry->zero = zero;
		__entry->flags = flags;
		__entry->next_packet_size = next_packet_size;
	),
	TP_printk("session=%llu id=%u packet_num=%llu normal=%u zero=%u flags=0x%x next_packet_size=%u",
		  __entry->session, __entry->id, __entry->packet_num, __entry->normal,
		  __entry->zero, __entry->flags, __entry->next_packet_size)
);

/* A channel's reader has closed it. */
TRACE_EVENT(multifd_send_thread_end,
	TP_PROTO(u64 session, u32 id, u64 packets, u64 normal_pages, u64 zero_pages),
	TP_ARGS(session, id, packets, normal_pages, zero_pages),
	TP_STRUCT__entry(
		__field(u64, session)
		__field(u64, packets)
		__field(u64, normal_pages)
		__field(u64, zero_pages)
		__field(u32, id)
	),
	TP_fast_assign(
		__entry->session = session;
		__entry->packets = packets;
		__entry->normal_pages = normal_pages;
		__entry->zero_pages = zero_pages;
		__entry->id = id;
	),
	TP_printk("session=%llu id=%u packets=%llu normal_pages=%llu zero_pages=%llu",
		  __entry->session, __entry->id, __entry->packets, __entry->normal_pages,
		  __entry->zero_pages)
);

/* A SYNC was handed over, which ends a round. */
TRACE_EVENT(multifd_send_sync_main,
	TP_PROTO(u64 session, u32 round, u64 submitted),
	TP_ARGS(session, round, submitted),
	TP_STRUCT__entry(
		__field(u64, session)
		__field(u64, submitted)
		__field(u32, round)
	),
	TP_fast_assign(
		__entry->session = session;
		__entry->submitted = submitted;
		__entry->round = round;
	),
	TP_printk("session=%llu round=%u submitted=%llu",
		  __entry->session, __entry->round, __entry->submitted)
);

/* A channel's SYNC packet is in its ring. */
TRACE_EVENT(multifd_send_sync_main_signal,
	TP_PROTO(u64 session, u32 id, u32 round),
	TP_ARGS(session, id, round),
	TP_STRUCT__entry(
		__field(u64, session)
		__field(u32, id)
		__field(u32, round)
	),
	TP_fast_assign(
		__entry->session = session;
		__entry->id = id;
		__entry->round = round;
	),
	TP_printk("session=%llu id=%u round=%u", __entry->session, __entry->id, __entry->round)
);

/* A worker takes up a channel, with @queued others waiting for it. */
TRACE_EVENT(mzp_claim,
	TP_PROTO(u64 session, u32 id, u32 worker, u32 queued),
	TP_ARGS(session, id, worker, queued),
	TP_STRUCT__entry(
		__field(u64, session)
		__field(u32, id)
		__field(u32, worker)
		__field(u32, queued)
	),
	TP_fast_assign(
		__entry->session = session;
		__entry->id = id;
		__entry->worker = worker;
		__entry->queued = queued;
	),
	TP_printk("session=%llu id=%u worker=%u queued=%u", __entry->session, __entry->id,
		  __entry->worker, __entry->queued)
);

/* Of @pages pages from page @first of a block on, @absent hold no data. */
TRACE_EVENT(mzp_residency,
	TP_PROTO(u64 session, u32 id, u32 block, u64 first, u32 pages, u32 absent),
	TP_ARGS(session, id, block, first, pages, absent),
	TP_STRUCT__entry(
		__field(u64, session)
		__field(u64, first)
		__field(u32, id)
		__field(u32, block)
		__field(u32, pages)
		__field(u32, absent)
	),
	TP_fast_assign(
		__entry->session = session;
		__entry->first = first;
		__entry->id = id;
		__entry->block = block;
		__entry->pages = pages;
		__entry->absent = absent;
	),
	TP_printk("session=%llu id=%u block=%u first=%llu pages=%u absent=%u",
		  __entry->session, __entry->id, __entry->block, __entry->first, __entry->pages,
		  __entry->absent)
);

/* A channel's ring has no room: its reader is slower than those who make packets. */
TRACE_EVENT(mzp_ring_full,
	TP_PROTO(u64 session, u32 id, u32 packets),
	TP_ARGS(session, id, packets),
	TP_STRUCT__entry(
		__field(u64, session)
		__field(u32, id)
		__field(u32, packets)
	),
	TP_fast_assign(
		__entry->session = session;
		__entry->id = id;
		__entry->packets = packets;
	),
	TP_printk("session=%llu id=%u packets=%u", __entry->session, __entry->id,
		  __entry->packets)
);

/* Something is left to a channel's reader; @need is of enum mzp_need. */
TRACE_EVENT(mzp_left,
	TP_PROTO(u64 session, u32 id, u32 need),
	TP_ARGS(session, id, need),
	TP_STRUCT__entry(
		__field(u64, session)
		__field(u32, id)
		__field(u32, need)
	),
	TP_fast_assign(
		__entry->session = session;
		__entry->id = id;
		__entry->need = need;
	),
	TP_printk("session=%llu id=%u need=%s", __entry->session, __entry->id,
		  __print_symbolic(__entry->need, { 0, "lock" }, { 1, "page" }, { 2, "memory" },
				   { 3, "time" }))
);

#endif /* MZP_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH kmod
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>

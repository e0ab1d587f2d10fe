// SPDX-License-Identifier: GPL-2.0-only
/*
 * The attributes of Documentation/netlink/specs/multifd_zp.yaml in tables: everything
 * that reads or shows them goes by these, so that a new one is a line here and a
 * member in attr.h.
 */
#include <stdio.h>
#include <string.h>

#include <netlink/attr.h>

#include <linux/multifd_zp.h>

#include "attr.h"
#include "text.h"

const char *const ctl_state_names[] = { "new", "active", "ended", "failed", NULL };
const char *const ctl_method_names[] = { "none", "zlib", "zstd", NULL };
const char *const ctl_detection_names[] = { "none", "legacy", "multifd", NULL };
const char *const ctl_reason_names[] = {
	"none", "cancelled", "admin", "closed", "reader", "job", "compressor", "memory", "network",
	NULL
};

#define FIELD(struct_, attr_, type_, member_, name_, names_, metric_, help_)	\
	{									\
		.name = name_, .attr = attr_, .type = CTL_##type_,		\
		.offset = offsetof(struct struct_, member_),			\
		.size = sizeof(((struct struct_ *)0)->member_),			\
		.names = names_, .metric = metric_, .help = help_,		\
	}

#define SET(what)								\
	const struct ctl_set ctl_##what##_set = {				\
		.name = #what, .field = what##_fields,				\
		.nr = sizeof(what##_fields) / sizeof(what##_fields[0]),		\
		.size = sizeof(struct ctl_##what),				\
	}

#define INFO(type, attr, member, name, names) \
	FIELD(ctl_info, MZP_A_INFO_##attr, type, member, name, names, NULL, NULL)

static const struct ctl_field info_fields[] = {
	INFO(TEXT, VERSION, version, "version", NULL),
	INFO(U32, ABI_VERSION, abi_version, "abi-version", NULL),
	INFO(U32, PAGE_SIZE, page_size, "page-size", NULL),
	INFO(FLAGS, METHODS, methods, "methods", ctl_method_names),
	INFO(FLAGS, DETECTIONS, detections, "detections", ctl_detection_names),
	INFO(U64, FEATURES, features, "features", NULL),
	INFO(U32, MAX_CHANNELS, max_channels, "max-channels", NULL),
	INFO(U32, MAX_PACKET_PAGES, max_packet_pages, "max-packet-pages", NULL),
	INFO(U32, MAX_RING_PACKETS, max_ring_packets, "max-ring-packets", NULL),
	INFO(U32, MAX_BLOCKS, max_blocks, "max-blocks", NULL),
	INFO(U32, MAX_JOBS, max_jobs, "max-jobs", NULL),
	INFO(U32, MAX_SESSIONS, max_sessions, "max-sessions", NULL),
	INFO(U32, SESSIONS, sessions, "sessions", NULL),
	INFO(U32, WORKERS, workers, "workers", NULL),
	INFO(ENUM, METHOD, method, "method", ctl_method_names),
	INFO(S32, LEVEL_MIN, level_min, "level-min", NULL),
	INFO(S32, LEVEL_MAX, level_max, "level-max", NULL),
	INFO(S32, LEVEL_DEFAULT, level_default, "level-default", NULL),
	INFO(U32, EVENTS, events, "events", NULL),
};
SET(info);

/* Those of struct ctl_counters, which sessions and channels have. */
#define COUNT(WHAT, what, type, attr, member, name, metric, help) \
	FIELD(ctl_##what, MZP_A_##WHAT##_##attr, type, count.member, name, NULL, metric, help)
#define COUNTERS(WHAT, what)							\
	COUNT(WHAT, what, U64, NORMAL, normal, "normal", "normal_pages_total",	\
	      "Pages sent with their contents."),				\
	COUNT(WHAT, what, U64, ZERO, zero, "zero", "zero_pages_total",		\
	      "Pages read and found to be zero."),				\
	COUNT(WHAT, what, U64, ABSENT, absent, "absent", "absent_pages_total",	\
	      "Pages that hold no data and were not read."),			\
	COUNT(WHAT, what, U64, LOST, lost, "lost", "lost_pages_total",		\
	      "Pages that were handed over and never sent."),			\
	COUNT(WHAT, what, U64, BYTES_IN, bytes_in, "bytes-in", "in_bytes_total", \
	      "Contents of normal pages before compression."),			\
	COUNT(WHAT, what, U64, BYTES_PAYLOAD, bytes_payload, "bytes-payload",	\
	      "payload_bytes_total", "Contents of normal pages as packets have them."), \
	COUNT(WHAT, what, U64, BYTES_OUT, bytes_out, "bytes-out", "out_bytes_total", \
	      "Bytes put in rings, headers included."),				\
	COUNT(WHAT, what, U64, BYTES_READ, bytes_read, "bytes-read", "read_bytes_total", \
	      "Bytes taken out of rings by their readers."),			\
	COUNT(WHAT, what, U64, BYTES_ENCRYPTED, bytes_encrypted, "bytes-encrypted", \
	      "encrypted_bytes_total", "Bytes given to sockets that the kernel encrypts."), \
	COUNT(WHAT, what, U64, PACKETS, packets, "packets", "packets_total",	\
	      "Packets put in rings."),						\
	COUNT(WHAT, what, U64, SYNCS, syncs, "syncs", "syncs_total",		\
	      "Rounds completed."),						\
	COUNT(WHAT, what, U64, RING_FULL, ring_full, "ring-full", "ring_full_total", \
	      "Times that there was no room in a ring, or in a socket."),			\
	COUNT(WHAT, what, U64, RING_EMPTY, ring_empty, "ring-empty", "ring_empty_total", \
	      "Times that a reader found a ring empty while there was work."),	\
	COUNT(WHAT, what, U32, RING_PACKETS, ring_packets, "ring-packets", "ring_packets", \
	      "Packets in rings."),						\
	COUNT(WHAT, what, U32, RING_SIZE, ring_size, "ring-size", "ring_size_packets", \
	      "Packets that rings can hold."),					\
	COUNT(WHAT, what, U64, THROTTLED, throttled, "throttled", "throttled_total", \
	      "Times that the rate limit was in the way."),	\
	COUNT(WHAT, what, U64, LEFT, left, "left", "left_total",		\
	      "Times that a worker left something to the reader."),		\
	COUNT(WHAT, what, U64, WAITS, waits, "waits", "waits_total",		\
	      "Times that a reader waited for a page or a lock."),	\
	COUNT(WHAT, what, U64, READER_PACKETS, reader_packets, "reader-packets", \
	      "reader_packets_total", "Packets that readers made."),		\
	COUNT(WHAT, what, U64, READER_TIME, reader_time, "reader-time",		\
	      "reader_seconds_total", "Time that readers spent making packets."), \
	COUNT(WHAT, what, U64, BUSY, busy, "busy", "busy_seconds_total",	\
	      "Time that workers spent."),					\
	COUNT(WHAT, what, U32, PAGES_HELD, pages_held, "pages-held", "held_pages", \
	      "Guest pages that rings refer to."),				\
	COUNT(WHAT, what, U64, MEMORY, memory, "memory", "memory_bytes",	\
	      "Kernel memory for rings, compressors and jobs.")

#define SESSION(type, attr, member, name, names, metric, help) \
	FIELD(ctl_session, MZP_A_SESSION_##attr, type, member, name, names, metric, help)

static const struct ctl_field session_fields[] = {
	SESSION(U64, ID, id, "id", NULL, NULL, NULL),
	SESSION(ENUM, STATE, state, "state", ctl_state_names, NULL, NULL),
	SESSION(U32, PID, pid, "pid", NULL, NULL, NULL),
	SESSION(TEXT, COMM, comm, "comm", NULL, NULL, NULL),
	SESSION(U32, UID, uid, "uid", NULL, NULL, NULL),
	SESSION(UUID, UUID, uuid, "uuid", NULL, NULL, NULL),
	SESSION(U32, NETNS, netns, "netns", NULL, NULL, NULL),
	SESSION(U32, SLOT, slot, "slot", NULL, NULL, NULL),
	SESSION(U64, AGE, age, "age", NULL, "age_seconds", "Time since the device was opened."),
	SESSION(ENUM, METHOD, method, "method", ctl_method_names, NULL, NULL),
	SESSION(S32, LEVEL, level, "level", NULL, NULL, NULL),
	SESSION(ENUM, DETECTION, detection, "detection", ctl_detection_names, NULL, NULL),
	SESSION(U32, CHANNELS, channels, "channels", NULL, "channels", "Channels."),
	SESSION(U32, BLOCKS, blocks, "blocks", NULL, "blocks", "RAM blocks."),
	SESSION(U32, PACKET_PAGES, packet_pages, "packet-pages", NULL, NULL, NULL),
	SESSION(U32, JOBS, jobs, "jobs", NULL, "jobs",
		"Jobs whose result nobody has fetched."),
	SESSION(U32, JOBS_UNFINISHED, jobs_unfinished, "jobs-unfinished", NULL,
		"unfinished_jobs", "Jobs that are not done."),
	SESSION(U64, SUBMITTED, submitted, "submitted", NULL, "submitted_pages_total",
		"Pages handed over."),
	COUNTERS(SESSION, session),
	SESSION(U64, MEMLOCK, memlock, "memlock", NULL, "memlock_bytes",
		"Bytes charged to RLIMIT_MEMLOCK."),
	SESSION(U32, ERROR, error, "error", NULL, "error",
		"The last errno that ended a job or the session, 0 if none did."),
	SESSION(TEXT, ERROR_BLOCK, error_block, "error-block", NULL, NULL, NULL),
	SESSION(U64, ERROR_OFFSET, error_offset, "error-offset", NULL, NULL, NULL),
	SESSION(TEXT, CPUS, cpus, "cpus", NULL, NULL, NULL),
	SESSION(U64, RATE, rate, "rate", NULL, "rate_limit_bytes",
		"Bytes per second that may be sent at most, 0 for no limit."),
	SESSION(ENUM, REASON, reason, "reason", ctl_reason_names, NULL, NULL),
	SESSION(U64, END_TIME, end_time, "end-time", NULL, NULL, NULL),
	SESSION(U64, DURATION, duration, "duration", NULL, NULL, NULL),
	SESSION(U64, DIRTY_PAGES, dirty_pages, "dirty-pages", NULL, NULL, NULL),
	SESSION(U64, DIRTY_TIME, dirty_time, "dirty-time", NULL, NULL, NULL),
	SESSION(ROUND, ROUND, round, "round", NULL, NULL, NULL),
};
SET(session);

#define CHANNEL(type, attr, member, name, metric, help) \
	FIELD(ctl_channel, MZP_A_CHANNEL_##attr, type, member, name, NULL, metric, help)

static const struct ctl_field channel_fields[] = {
	CHANNEL(U64, SESSION, session, "session", NULL, NULL),
	CHANNEL(U32, ID, id, "id", NULL, NULL),
	CHANNEL(U32, OPEN, open, "open", "open", "1 if the channel's fd was handed out."),
	CHANNEL(U32, CPU, cpu, "cpu", NULL, NULL),
	COUNTERS(CHANNEL, channel),
};
SET(channel);

#define WORKER(type, attr, member, name, metric, help) \
	FIELD(ctl_worker, MZP_A_WORKER_##attr, type, member, name, NULL, metric, help)

static const struct ctl_field worker_fields[] = {
	WORKER(U32, CPU, cpu, "cpu", NULL, NULL),
	WORKER(U32, UP, up, "up", "up", "1 if the worker takes work."),
	WORKER(U64, BUSY, busy, "busy", "busy_seconds_total",
	       "Time that the worker worked for channels."),
	WORKER(U64, RUNS, runs, "runs", "runs_total",
	       "Times that the worker took up a channel."),
	WORKER(U64, PACKETS, packets, "packets", "packets_total",
	       "Packets that the worker put in rings."),
	WORKER(U64, SESSIONS, sessions, "sessions", "sessions_total",
	       "Sessions that the worker ever worked for."),
	WORKER(U32, QUEUE, queue, "queue", "queued_channels",
	       "Channels that wait for the worker."),
};
SET(worker);

#define ROUND(type, attr, member, name) \
	FIELD(ctl_round, MZP_A_ROUND_##attr, type, member, name, NULL, NULL, NULL)

static const struct ctl_field round_fields[] = {
	ROUND(U32, NUMBER, number, "number"),
	ROUND(U64, SUBMITTED, submitted, "submitted"),
	ROUND(U64, NORMAL, normal, "normal"),
	ROUND(U64, ZERO, zero, "zero"),
	ROUND(U64, ABSENT, absent, "absent"),
	ROUND(U64, LOST, lost, "lost"),
	ROUND(U64, DURATION, duration, "duration"),
};
SET(round);

#define TOTAL(attr, member, name, metric, help) \
	FIELD(ctl_totals, MZP_A_TOTALS_##attr, U64, member, name, NULL, metric, help)

static const struct ctl_field totals_fields[] = {
	TOTAL(STARTED, started, "started", "sessions_started_total", "Sessions that were set up."),
	TOTAL(ENDED, ended, "ended", NULL, NULL),
	TOTAL(CANCELLED, cancelled, "cancelled", NULL, NULL),
	TOTAL(CANCELLED_ADMIN, cancelled_admin, "cancelled-admin", NULL, NULL),
	TOTAL(FAILED_CLOSED, failed_closed, "failed-closed", NULL, NULL),
	TOTAL(FAILED_READER, failed_reader, "failed-reader", NULL, NULL),
	TOTAL(FAILED_JOB, failed_job, "failed-job", NULL, NULL),
	TOTAL(FAILED_COMPRESSOR, failed_compressor, "failed-compressor", NULL, NULL),
	TOTAL(FAILED_MEMORY, failed_memory, "failed-memory", NULL, NULL),
	TOTAL(FAILED_NETWORK, failed_network, "failed-network", NULL, NULL),
	TOTAL(NORMAL, normal, "normal", "normal_pages_total", "Pages sent with their contents."),
	TOTAL(ZERO, zero, "zero", "zero_pages_total", "Pages read and found to be zero."),
	TOTAL(ABSENT, absent, "absent", "absent_pages_total",
	      "Pages that hold no data and were not read."),
	TOTAL(LOST, lost, "lost", "lost_pages_total",
	      "Pages that were handed over and never sent, of sessions that are gone."),
	TOTAL(BYTES_IN, bytes_in, "bytes-in", "in_bytes_total",
	      "Contents of normal pages before compression."),
	TOTAL(BYTES_OUT, bytes_out, "bytes-out", "out_bytes_total",
	      "Bytes put in rings, headers included."),
	TOTAL(BYTES_READ, bytes_read, "bytes-read", "read_bytes_total",
	      "Bytes taken out of rings by their readers."),
	TOTAL(BYTES_ENCRYPTED, bytes_encrypted, "bytes-encrypted", "encrypted_bytes_total",
	      "Bytes given to sockets that the kernel encrypts."),
	TOTAL(TIME, time, "time", "session_seconds_total",
	      "Time that sessions took, from being set up until they were over."),
};
SET(totals);

#define HOST(type, attr, member, name, metric, help) \
	FIELD(ctl_host, MZP_A_HOST_##attr, type, member, name, NULL, metric, help)

static const struct ctl_field host_fields[] = {
	HOST(U32, DRAINING, draining, "draining", "draining", "1 if no session may be set up."),
	HOST(U32, MAX_SESSIONS, max_sessions, "max-sessions", "max_sessions",
	     "Sessions that may be set up at most, 0 for no limit."),
	HOST(U64, DEFAULT_RATE, default_rate, "default-rate", "default_rate_bytes",
	     "Bytes per second of a session whose VMM sets no rate, 0 for no limit."),
	HOST(U64, MAX_RATE, max_rate, "max-rate", "max_rate_bytes",
	     "Bytes per second of a session at most, 0 for no limit."),
	HOST(U64, TOTAL_RATE, total_rate, "total-rate", "total_rate_bytes",
	     "Bytes per second of all sessions together, 0 for no limit."),
	HOST(U32, SESSIONS, sessions, "sessions", "active_sessions", "Sessions that are set up."),
	HOST(U64, REFUSED, refused, "refused", "refused_sessions_total",
	     "Sessions that the host's limits, or draining, were in the way of."),
};
SET(host);

/* An attribute's number is a bit in the bitmap of those that are there. */
_Static_assert(MZP_A_INFO_MAX < 64 && MZP_A_SESSION_MAX < 64 && MZP_A_CHANNEL_MAX < 64 &&
	       MZP_A_WORKER_MAX < 64 && MZP_A_ROUND_MAX < 64 && MZP_A_TOTALS_MAX < 64 &&
	       MZP_A_HOST_MAX < 64, "bitmaps are too small");

static const struct ctl_field *find(const struct ctl_set *set, int attr)
{
	unsigned int i;

	for (i = 0; i < set->nr; i++)
		if (set->field[i].attr == attr)
			return &set->field[i];
	return NULL;
}

static bool uuid(char *to, const uint8_t *from)
{
	int i;

	for (i = 0; i < 16; i++)
		to += sprintf(to, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x",
			      from[i]);
	return true;
}

static bool take(const struct ctl_field *field, const struct nlattr *attr, void *member)
{
	int len = nla_len(attr);

	switch (field->type) {
	case CTL_TEXT:
		ctl_utf8(member, field->size, nla_data(attr), strnlen(nla_data(attr), len));
		return true;
	case CTL_UUID:
		return len >= 16 && uuid(member, nla_data(attr));
	case CTL_ROUND:
		ctl_parse(&ctl_round_set, nla_data(attr), len, member);
		return true;
	default:
		if (len < field->size)
			return false;
		/* copied, for 64 bits are not always aligned */
		memcpy(member, nla_data(attr), field->size);
		return true;
	}
}

void ctl_parse(const struct ctl_set *set, const struct nlattr *attrs, int len, void *to)
{
	uint64_t *has = to;
	const struct nlattr *attr;
	int left;

	memset(to, 0, set->size);
	nla_for_each_attr(attr, attrs, len, left) {
		const struct ctl_field *field = find(set, nla_type(attr));

		if (field && take(field, attr, (char *)to + field->offset))
			*has |= 1ull << field->attr;
	}
}

const char *ctl_name(const char *const *names, uint32_t value)
{
	while (*names && value--)
		names++;
	return *names ? *names : "?";
}

const char *ctl_reason_sentence(uint32_t reason)
{
	static const char *const sentences[] = {
		[MZP_REASON_NONE] = "for no reason",
		[MZP_REASON_CANCELLED] = "cancelled by its VMM",
		[MZP_REASON_ADMIN] = "cancelled by an administrator",
		[MZP_REASON_CLOSED] = "its VMM closed the device or died",
		[MZP_REASON_READER] = "a channel was closed before its end",
		[MZP_REASON_JOB] = "a page could not be sent",
		[MZP_REASON_COMPRESSOR] = "its compressor failed",
		[MZP_REASON_MEMORY] = "its memory broke",
		[MZP_REASON_NETWORK] = "the network or the destination failed",
	};

	if (reason >= sizeof(sentences) / sizeof(sentences[0]))
		return "for a reason that this mfdctl does not know";
	return sentences[reason];
}

/* SPDX-License-Identifier: GPL-2.0-only */
/* What the module tells about itself, one structure for each attribute set of the spec. */
#ifndef CTL_ATTR_H
#define CTL_ATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/multifd_zp_netlink.h>

struct nlattr;

/**
 * enum ctl_type - what an attribute is, and the member that holds it
 * @CTL_U32: uint32_t
 * @CTL_S32: int32_t
 * @CTL_U64: uint64_t
 * @CTL_ENUM: uint32_t, one of the field's names
 * @CTL_FLAGS: uint32_t, bit n is the n-th of the field's names
 * @CTL_TEXT: char[], valid UTF-8
 * @CTL_UUID: char[], 16 bytes as people write a UUID
 * @CTL_ROUND: struct ctl_round
 */
enum ctl_type { CTL_U32, CTL_S32, CTL_U64, CTL_ENUM, CTL_FLAGS, CTL_TEXT, CTL_UUID, CTL_ROUND };

/**
 * struct ctl_field - an attribute
 * @name: in the spec, and in JSON
 * @attr: its number
 * @type: of enum ctl_type
 * @offset: of the member in its structure
 * @size: of the member
 * @names: of an enum's values, up to NULL
 * @metric: its Prometheus name behind "multifd_zp_" and the set's name, or NULL. One
 *	that ends with _total is a counter, any other a gauge; one with _seconds is
 *	in nanoseconds here.
 * @help: the metric in words
 */
struct ctl_field {
	const char *name;
	uint16_t attr;
	uint8_t type;
	uint16_t offset;
	uint16_t size;
	const char *const *names;
	const char *metric;
	const char *help;
};

/**
 * struct ctl_set - an attribute set
 * @name: in the spec
 * @field: its attributes, in the order in which they are shown
 * @nr: how many
 * @size: of the structure, which starts with a bitmap of the attributes that it has
 */
struct ctl_set {
	const char *name;
	const struct ctl_field *field;
	unsigned int nr;
	size_t size;
};

extern const struct ctl_set ctl_info_set, ctl_session_set, ctl_channel_set,
			    ctl_worker_set, ctl_round_set, ctl_totals_set,
			    ctl_host_set;

struct ctl_info {
	uint64_t has;
	char version[32];
	uint64_t features;
	uint32_t abi_version, page_size, methods, detections, max_channels,
		 max_packet_pages, max_ring_packets, max_blocks, max_jobs, max_sessions,
		 sessions, workers, method, events;
	int32_t level_min, level_max, level_default;
};

/* What sessions and channels both count. */
struct ctl_counters {
	uint64_t normal, zero, absent, lost, bytes_in, bytes_payload, bytes_out, bytes_read, bytes_encrypted,
		 packets, syncs, ring_full, ring_empty, throttled, left, waits, reader_packets, reader_time,
		 busy, memory;
	uint32_t ring_packets, ring_size, pages_held;
};

struct ctl_round {
	uint64_t has;
	uint32_t number;
	uint64_t submitted, normal, zero, absent, lost, duration;
};

struct ctl_session {
	uint64_t has;
	uint64_t id, age, submitted, memlock, error_offset, rate, dirty_pages, dirty_time,
		 end_time, duration;
	uint32_t state, pid, uid, netns, method, detection, channels, blocks, packet_pages,
		 jobs, jobs_unfinished, error, reason, slot;
	int32_t level;
	struct ctl_counters count;
	struct ctl_round round;
	/* room for a byte that is not UTF-8 to become three */
	char comm[3 * MULTIFD_ZP_COMM_LEN];
	char error_block[3 * 256];
	char cpus[MULTIFD_ZP_CPUS_LEN];
	char uuid[37];
};

struct ctl_channel {
	uint64_t has;
	uint64_t session;
	uint32_t id, open, cpu;
	struct ctl_counters count;
};

struct ctl_worker {
	uint64_t has;
	uint64_t busy, runs, packets, sessions;
	uint32_t cpu, up, queue;
};

struct ctl_totals {
	uint64_t has;
	uint64_t started, ended, cancelled, cancelled_admin, failed_closed, failed_reader,
		 failed_job, failed_compressor, failed_memory, failed_network, normal, zero, absent,
		 lost, bytes_in, bytes_out, bytes_read, bytes_encrypted, time;
};

struct ctl_host {
	uint64_t has;
	uint64_t default_rate, max_rate, total_rate, refused;
	uint32_t draining, max_sessions, sessions;
};

/* Whether attribute @attr of the set that a structure belongs to was there. */
#define ctl_has(structure, attr) ((structure)->has >> (attr) & 1)

/*
 * Fill the structure of @set at @to from a message's attributes. What is too
 * short, or not known here, is left out. A structure that has everything is
 * not an error to lack anything: the kernel decides what it tells.
 */
void ctl_parse(const struct ctl_set *set, const struct nlattr *attrs, int len, void *to);

/* The name of an enum's value, or "?". */
const char *ctl_name(const char *const *names, uint32_t value);

extern const char *const ctl_state_names[], *const ctl_method_names[],
		  *const ctl_detection_names[], *const ctl_reason_names[];

/* Why a session failed, as it stands behind "failed". */
const char *ctl_reason_sentence(uint32_t reason);

#endif /* CTL_ATTR_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_HISTORY_H
#define MZP_HISTORY_H

#include <linux/sched.h>
#include <linux/types.h>
#include <linux/uidgid.h>

#include <linux/multifd_wire.h>
#include <linux/multifd_zp.h>

struct mzp_session;

#define MZP_REASONS	(MZP_REASON_NETWORK + 1)

/**
 * enum mzp_total - what is added up over all sessions that there ever were
 * @MZP_TOTAL_NORMAL: pages sent with their contents
 * @MZP_TOTAL_ZERO: pages read, and found zero
 * @MZP_TOTAL_ABSENT: pages that hold no data
 * @MZP_TOTAL_LOST: pages that were not sent; of sessions that are gone
 * @MZP_TOTAL_BYTES_IN: contents of the normal pages
 * @MZP_TOTAL_BYTES_OUT: bytes put in rings
 * @MZP_TOTAL_BYTES_READ: bytes taken out of them
 * @MZP_TOTAL_BYTES_ENCRYPTED: of these, those that the kernel encrypts
 * @MZP_TOTAL_TIME: from SETUP to the end, in ns
 * @MZP_TOTALS: how many these are
 */
enum mzp_total {
	MZP_TOTAL_NORMAL,
	MZP_TOTAL_ZERO,
	MZP_TOTAL_ABSENT,
	MZP_TOTAL_LOST,
	MZP_TOTAL_BYTES_IN,
	MZP_TOTAL_BYTES_OUT,
	MZP_TOTAL_BYTES_READ,
	MZP_TOTAL_BYTES_ENCRYPTED,
	MZP_TOTAL_TIME,
	MZP_TOTALS,
};

/**
 * struct mzp_totals - what all sessions come to since the module was loaded
 * @started: sessions that were set up
 * @over: those of them that are gone, by enum mzp_reason; with %MZP_REASON_NONE they
 *	have ended well
 * @total: of sessions that are gone, and of those that are there so far
 */
struct mzp_totals {
	u64 started;
	u64 over[MZP_REASONS];
	u64 total[MZP_TOTALS];
};

/**
 * struct mzp_record - a session that is gone, as the host has known it
 * @id: its number
 * @pid: of the process that set it up
 * @uid: who opened it
 * @netns: inode of that process's network namespace
 * @comm: that process's name
 * @uuid: the VM's, or all zero
 * @reason: why it was over; %MZP_REASON_NONE: it has ended well
 * @error: errno that first ended a job or the session, or 0
 * @method: how it was compressed
 * @channels: how many it had
 * @rounds: that were complete
 * @end: when it was over, in ns since 1970
 * @total: what it came to
 */
struct mzp_record {
	u64 id;
	u32 pid;
	kuid_t uid;
	u32 netns;
	char comm[TASK_COMM_LEN];
	u8 uuid[MZP_WIRE_UUID];
	enum mzp_reason reason;
	u32 error;
	u32 method;
	u32 channels;
	u32 rounds;
	u64 end;
	u64 total[MZP_TOTALS];
};

void mzp_history_begin(void);
void mzp_history_end(struct mzp_session *session);
void mzp_history_totals(struct mzp_totals *totals);
bool mzp_history_next(u64 *at, struct mzp_record *record);

#endif /* MZP_HISTORY_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_SESSION_H
#define MZP_SESSION_H

#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include <linux/multifd_wire.h>
#include <linux/multifd_zp.h>

#include "limit.h"
#include "round.h"
#include "slow.h"

#define MZP_MAX_CHANNELS	255u
#define MZP_MAX_RING_PACKETS	256u
#define MZP_MAX_BLOCKS		1024u
#define MZP_MAX_JOBS		4096u
#define MZP_MAX_SESSIONS	256u	/* of one user */

#define MZP_DEFAULT_RING_PACKETS 8u

struct mem_cgroup;
struct mm_struct;
struct mzp_block;
struct mzp_channel;
struct mzp_share;
struct pid;
struct seq_file;
struct user_struct;

/**
 * struct mzp_owner - a process, as people know it
 * @pid: the process
 * @netns: inode of its network namespace
 * @comm: its name
 */
struct mzp_owner {
	struct pid *pid;
	unsigned int netns;
	char comm[TASK_COMM_LEN];
};

/**
 * struct mzp_cpus - a set of CPUs that can be replaced
 * @rcu: for its end
 * @mask: the CPUs
 */
struct mzp_cpus {
	struct rcu_head rcu;
	struct cpumask mask;
};

/**
 * struct mzp_session - one open device file: a migration
 * @ref: the device file's, one for each channel file, and one for each channel
 *	that a worker has to do with
 * @id: number, never used again
 * @user: who opened it; fixed
 * @born: when that was, in ns of the monotonic clock; fixed
 *
 * @setup: held by SETUP, which takes its time; no more than it needs is done
 *	under @lock too, which others wait for
 * @lock: protects what follows unless said otherwise. Nothing that waits for
 *	user space is done under it.
 * @ready: set up; the members from @mm to @nr_channels are fixed from then on.
 *	Set once, under @lock; read anywhere.
 * @mm: the address space, kept (mmgrab()) but not used by the session itself
 * @owner: what set it up; before that, what opened it
 * @memcg: what allocations are charged to
 * @uuid: for the channels' first message
 * @method: of enum mzp_method
 * @level: of @method
 * @detection: of enum mzp_detection
 * @packet_pages: pages of a packet at most
 * @cpus: whose workers may work for the session, unless they are limited
 * @share: its places in the workers' queues; the workers' locks
 * @charged: whose RLIMIT_MEMLOCK pays for the guest pages in the rings, or NULL
 * @locked_pages: how many these are
 * @channel: the channels
 * @nr_channels: how many
 *
 * @error: why the session is over (-ECANCELED, -EPIPE, -EIO), or 0. Set once, under
 *	@lock; read anywhere.
 * @last_error: errno that last ended a job or the session, or 0
 * @error_block: idstr of the block where that was, or empty
 * @error_page: the page in it
 * @incomplete: a job has failed, so its pages are missing from the stream
 * @ended: the device file was closed and all jobs are done: channels end
 *	when they are drained. Set once, under @lock; read anywhere.
 * @packet_num: number of the next packet
 * @blocks: of struct mzp_block
 * @nr_blocks: how many
 * @last_block: id of the newest block; atomic, since replies go out before the
 *	lock is taken
 * @jobs: all jobs whose result nobody has fetched, by id
 * @nr_jobs: how many
 * @job_memory: bytes that they take
 * @unfinished: jobs that are not done
 * @waits: WAITs for all jobs so far
 * @last_job: id of the newest job; atomic, as @last_block
 * @active: jobs that channels still have to start on, in order
 * @epoch: number of SYNCs handed over so far
 * @syncs: how many of them are done
 * @round: what SENDs are counted in; ends with the next SYNC
 * @submitted: pages handed over
 * @counts: what became of them
 * @done: woken when a job is done
 * @slow: waits for pages that need time; its own lock
 * @limit: how fast packets may come; its own lock
 * @cpus_limit: those of @cpus that an administrator has left it, or NULL; RCU
 *
 * Lock order: @setup; the list of sessions; the session lock; a worker's lock,
 * the slow lane's. A channel's read lock is never held together with the session
 * lock by one that waits for the other: under the read lock the session lock is
 * not taken, and under the session lock the read lock is only tried.
 */
struct mzp_session {
	struct kref ref;
	u64 id;
	struct user_struct *user;
	u64 born;

	struct mutex setup; /* see above */
	struct mutex lock; /* see above */
	bool ready;
	struct mzp_owner owner;
	struct mm_struct *mm;
	struct mem_cgroup *memcg;
	u8 uuid[MZP_WIRE_UUID];
	enum mzp_method method;
	int level;
	enum mzp_detection detection;
	u32 packet_pages;
	cpumask_var_t cpus;
	struct mzp_share __percpu *share;
	struct user_struct *charged;
	unsigned long locked_pages;
	struct mzp_channel **channel;
	unsigned int nr_channels;

	int error;
	int last_error;
	char error_block[MZP_WIRE_IDSTR];
	u64 error_page;
	bool incomplete;
	bool ended;
	atomic64_t packet_num;
	struct list_head blocks;
	unsigned int nr_blocks;
	atomic_t last_block;
	struct xarray jobs;
	unsigned int nr_jobs;
	size_t job_memory;
	unsigned int unfinished;
	u64 waits;
	atomic64_t last_job;
	struct list_head active;
	u32 epoch;
	u32 syncs;
	struct mzp_round *round;
	u64 submitted;
	struct mzp_counts counts;
	wait_queue_head_t done;
	struct mzp_slow slow;
	struct mzp_limit limit;
	struct mzp_cpus __rcu *cpus_limit;
};

/**
 * struct mzp_cmd - an ioctl on its way
 * @session: the session
 * @user: the caller's argument structure
 * @user_size: how long the caller says it is
 * @arg: kernel copy of the argument structure
 * @arg_size: how long that is
 */
struct mzp_cmd {
	struct mzp_session *session;
	void __user *user;
	u32 user_size;
	void *arg;
	u32 arg_size;
};

int mzp_cmd_reply(struct mzp_cmd *cmd);

struct mzp_session *mzp_session_new(void);
void mzp_session_close(struct mzp_session *session);
struct mzp_session *mzp_session_get(struct mzp_session *session);
void mzp_session_put(struct mzp_session *session);
void mzp_session_fail(struct mzp_session *session, int error);
void mzp_session_cancel(struct mzp_session *session);
int mzp_session_usable(const struct mzp_session *session);
struct mzp_block *mzp_session_block(struct mzp_session *session, u32 id);
void mzp_session_kick(struct mzp_session *session);
void mzp_session_note_error(struct mzp_session *session, int error,
			    const struct mzp_block *block, u64 page);
int mzp_session_limit_cpus(struct mzp_session *session, const struct cpumask *cpus);
void mzp_session_show(struct mzp_session *session, struct seq_file *seq);

struct mzp_session *mzp_sessions_next(u64 *id);
unsigned int mzp_sessions_count(void);
void mzp_sessions_drain(void);

void mzp_info_fill(struct mzp_info *info, u32 method);
int mzp_ioctl_info(struct mzp_cmd *cmd);
int mzp_ioctl_setup(struct mzp_cmd *cmd);
int mzp_ioctl_cancel(struct mzp_cmd *cmd);

/*
 * The CPUs whose workers may work for a session now, under rcu_read_lock().
 */
static inline const struct cpumask *mzp_session_cpus(const struct mzp_session *session)
{
	const struct mzp_cpus *limit = rcu_dereference(session->cpus_limit);

	return limit ? &limit->mask : session->cpus;
}

#endif /* MZP_SESSION_H */

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
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <linux/multifd_wire.h>
#include <linux/multifd_zp.h>

#include "history.h"
#include "limit.h"
#include "pending.h"
#include "round.h"

#define MZP_MAX_CHANNELS	255u
#define MZP_MAX_RING_PACKETS	256u
#define MZP_MAX_BLOCKS		1024u
#define MZP_MAX_JOBS		4096u

#define MZP_DEFAULT_RING_PACKETS 8u

struct mem_cgroup;
struct mm_struct;
struct mzp_account;
struct mzp_block;
struct mzp_channel;
struct mzp_cmd;
struct mzp_share;
struct pid;
struct seq_file;
struct user_struct;

/**
 * enum mzp_phase - where a session is in its life
 * @MZP_NEW: not set up
 * @MZP_READY: in use
 * @MZP_ENDING: END was called: no job comes any more, and it ends when those that it
 *	has are done
 * @MZP_ENDED: they are, and none has failed: channels end when they are drained
 * @MZP_FAILED: it was over before its time; channels fail
 *
 * It only goes on in this order. The last two exclude each other, but that what
 * has ended can still be cancelled, if its rings have not been read.
 */
enum mzp_phase {
	MZP_NEW,
	MZP_READY,
	MZP_ENDING,
	MZP_ENDED,
	MZP_FAILED,
};

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
 *	in a worker's queue or hands
 * @id: number, never used again
 * @slot: number that no other session has now; fixed
 * @cred: of who opened it, since they hold the user, whom not every kernel lets modules
 *	hold by itself; fixed
 * @user: theirs; fixed
 * @account: what that user has of everything; fixed
 * @born: when that was, in ns of the monotonic clock; fixed
 *
 * @setup: held by SETUP, which takes its time
 * @owner: what set it up; before that, what opened it; the queue lock
 * @mm: the address space, kept (mmgrab()) but not used by the session itself;
 *	fixed once MZP_READY, as all up to @nr_channels
 * @memcg: what allocations are charged to
 * @uuid: for the channels' first message
 * @method: of enum mzp_method
 * @level: of @method
 * @detection: of enum mzp_detection
 * @packet_pages: pages of a packet at most
 * @workers: they may work for the session
 * @cpus: whose workers, unless they are limited
 * @share: its places in the workers' queues; the queues' locks
 * @payer: credentials of the user whose RLIMIT_MEMLOCK pays for the guest pages in the
 *	rings, or NULL
 * @locked_pages: how many these are
 * @channel: the channels
 * @nr_channels: how many
 *
 * @lock: protects what follows, which only the session's own callers need.
 *	Nothing that waits for user space is done under it, but its holder may be
 *	preempted for as long as others like: so no worker takes it, nor anyone else
 *	who has to do with other sessions.
 * @blocks: of struct mzp_block
 * @nr_blocks: how many; read anywhere
 * @last_block: id of the newest block; atomic, since replies go out before the
 *	lock is taken
 * @last_job: id of the newest job; atomic likewise
 * @job_memory: bytes that jobs hold; atomic
 * @packet_num: number of the next packet; atomic
 *
 * @queue_lock: a spinlock, which workers take; protects what follows. What is done
 *	under it takes microseconds, however many jobs there are.
 * @phase: written under the lock, read anywhere
 * @reason: with MZP_FAILED: why; as @phase
 * @started: when it was set up, in ns of the monotonic clock
 * @over_at: when it has ended or failed; 0: it has not
 * @counted: what of it is in the sums of all sessions already
 * @first_error: errno that first ended a job or the session, or 0
 * @error_id: the block where that was; 0: nowhere
 * @error_block: its idstr, or empty
 * @error_page: the page in it
 * @incomplete: a job has failed, so its pages are missing from the stream
 * @round: the last round, which SENDs join
 * @jobs: all jobs whose result nobody has fetched, or that are not done, by id
 * @finished: jobs that are done and that nobody has fetched, in that order
 * @broken: those of them that have failed
 * @nr_jobs: how many are in @jobs
 * @unfinished: jobs that are not done; written under the lock, read anywhere
 * @over: how many jobs with a result are done
 * @told: what those of @finished and @broken come to
 * @untold: what those that are not done and will have a result come to so far
 * @all: what all jobs ever come to so far
 * @syncs: SYNCs that are done
 * @rounds: those of them that ended a round
 * @round_start: when the last of these rounds began, in ns of the monotonic clock
 * @dirty_pages: what was handed over in it, unless it is the first
 * @dirty_ns: the time from the beginning of the one before to its own
 * @done: woken when a job is done
 *
 * @pending: what has been handed over and was not taken yet; its own rules
 * @limit: how fast packets may come; its own lock
 * @cpus_limit: those of @cpus that an administrator has left it, or NULL; RCU,
 *	replaced under the queue lock
 * @cut_off: PUMP has found a socket broken; read anywhere
 * @rouse: wakes readers that wait for something that does not matter any more
 * @free: for when a thread that serves others has dropped the last reference
 *
 * Lock order: @setup, or @lock, or a channel's read lock, which is only tried under
 * @lock; then @queue_lock, or a run queue's lock, neither of them within the other.
 */
struct mzp_session {
	struct kref ref;
	u64 id;
	int slot;
	const struct cred *cred;
	struct user_struct *user;
	struct mzp_account *account;
	u64 born;

	struct mutex setup; /* see above */
	struct mzp_owner owner;
	struct mm_struct *mm;
	struct mem_cgroup *memcg;
	u8 uuid[MZP_WIRE_UUID];
	enum mzp_method method;
	int level;
	enum mzp_detection detection;
	u32 packet_pages;
	bool workers;
	cpumask_var_t cpus;
	struct mzp_share __percpu *share;
	const struct cred *payer;
	unsigned long locked_pages;
	struct mzp_channel **channel;
	unsigned int nr_channels;

	struct mutex lock; /* see above */
	struct list_head blocks;
	unsigned int nr_blocks;
	atomic_t last_block;
	atomic64_t last_job;
	atomic_long_t job_memory;
	atomic64_t packet_num;

	spinlock_t queue_lock; /* see above */
	enum mzp_phase phase;
	enum mzp_reason reason;
	u64 started;
	u64 over_at;
	u64 counted[MZP_TOTALS];
	int first_error;
	u32 error_id;
	char error_block[MZP_WIRE_IDSTR];
	u64 error_page;
	bool incomplete;
	struct mzp_round *round;
	struct xarray jobs;
	struct list_head finished;
	struct list_head broken;
	unsigned int nr_jobs;
	unsigned int unfinished;
	u64 over;
	struct mzp_tally told;
	struct mzp_tally untold;
	struct mzp_tally all;
	u32 syncs;
	u32 rounds;
	u64 round_start;
	u64 dirty_pages;
	u64 dirty_ns;
	wait_queue_head_t done;

	struct mzp_pending pending;
	struct mzp_limit limit;
	struct mzp_cpus __rcu *cpus_limit;
	bool cut_off;
	struct delayed_work rouse;
	struct work_struct free;
};

struct mzp_session *mzp_session_new(void);
void mzp_session_teardown(struct mzp_session *session);
void mzp_session_free(struct mzp_session *session);
struct mzp_session *mzp_session_get(struct mzp_session *session);
void mzp_session_put(struct mzp_session *session);
void mzp_session_close(struct mzp_session *session);
void mzp_session_fail(struct mzp_session *session, enum mzp_reason reason);
void mzp_session_cancel(struct mzp_session *session);
int mzp_session_error(const struct mzp_session *session);
int mzp_session_usable(const struct mzp_session *session);
bool mzp_session_finish(struct mzp_session *session);
void mzp_session_finished(struct mzp_session *session);
void mzp_session_kick(struct mzp_session *session);
void mzp_session_rate_changed(struct mzp_session *session);
void mzp_session_set_rate(struct mzp_session *session, u64 *whose, u64 rate);
void mzp_session_note_error(struct mzp_session *session, int error,
			    const struct mzp_block *block, u64 page);
void mzp_session_set_owner(struct mzp_session *session);
int mzp_session_limit_cpus(struct mzp_session *session, const struct cpumask *cpus);
void mzp_session_show(struct mzp_session *session, struct seq_file *seq);

int mzp_ioctl_end(struct mzp_cmd *cmd);
int mzp_ioctl_cancel(struct mzp_cmd *cmd);

static inline enum mzp_phase mzp_session_phase(const struct mzp_session *session)
{
	/* Pairs with the stores of the phase: what came before them is visible. */
	return smp_load_acquire(&session->phase);
}

/* Whether it has been set up. */
static inline bool mzp_session_ready(const struct mzp_session *session)
{
	return mzp_session_phase(session) != MZP_NEW;
}

static inline bool mzp_session_failed(const struct mzp_session *session)
{
	return READ_ONCE(session->phase) == MZP_FAILED;
}

/*
 * The CPUs whose workers may work for a session now, under rcu_read_lock().
 */
static inline const struct cpumask *mzp_session_cpus(const struct mzp_session *session)
{
	const struct mzp_cpus *limit = rcu_dereference(session->cpus_limit);

	return limit ? &limit->mask : session->cpus;
}

#endif /* MZP_SESSION_H */

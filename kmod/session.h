/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_SESSION_H
#define MZP_SESSION_H

#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include <linux/multifd_wire.h>
#include <linux/multifd_zp.h>

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
struct seq_file;
struct user_struct;

/**
 * struct mzp_session - one open device file: a migration
 * @ref: the device file's, one for each channel file, and one for each channel
 *	that a worker has to do with
 * @node: in the list of all sessions; that list's lock
 * @id: number, never used again
 * @user: who opened it; fixed
 *
 * @lock: protects what follows unless said otherwise. Nothing that waits for
 *	user space is done under it.
 * @ready: set up; the members from @mm to @nr_channels are fixed from then on.
 *	Set once, under @lock; read anywhere.
 * @mm: the address space, kept (mmgrab()) but not used by the session itself
 * @memcg: what allocations are charged to
 * @uuid: for the channels' first message
 * @detection: of enum mzp_detection
 * @packet_pages: pages of a packet at most
 * @cpus: whose workers may work for the session
 * @share: its places in the workers' queues; the workers' locks
 * @charged: whose RLIMIT_MEMLOCK pays for the guest pages in the rings, or NULL
 * @locked_pages: how many these are
 * @channel: the channels
 * @nr_channels: how many
 *
 * @error: why the session is over (-ECANCELED, -EPIPE), or 0. Set once, under
 *	@lock; read anywhere.
 * @incomplete: a job has failed, so its pages are missing from the stream
 * @ended: the device file was closed and all jobs are done: channels end
 *	when they are drained. Set once, under @lock; read anywhere.
 * @packet_num: number of the next packet
 * @blocks: of struct mzp_block
 * @last_block: id of the newest block; atomic, since replies go out before the
 *	lock is taken
 * @jobs: all jobs whose result nobody has fetched, by id
 * @nr_jobs: how many
 * @unfinished: jobs that are not done
 * @last_job: id of the newest job; atomic, as @last_block
 * @active: jobs that channels still have to start on, in order
 * @epoch: number of SYNCs handed over so far
 * @done: woken when a job is done
 * @slow: waits for pages that need time; its own lock
 *
 * Lock order: list of sessions; then the session lock; then a worker's lock. A
 * channel's read lock is never held together with the session lock by one that
 * waits for the other: under the read lock the session lock is not taken, and
 * under the session lock the read lock is only tried.
 */
struct mzp_session {
	struct kref ref;
	struct list_head node;
	u64 id;
	struct user_struct *user;

	struct mutex lock; /* see above */
	bool ready;
	struct mm_struct *mm;
	struct mem_cgroup *memcg;
	u8 uuid[MZP_WIRE_UUID];
	enum mzp_detection detection;
	u32 packet_pages;
	cpumask_var_t cpus;
	struct mzp_share __percpu *share;
	struct user_struct *charged;
	unsigned long locked_pages;
	struct mzp_channel **channel;
	unsigned int nr_channels;

	int error;
	bool incomplete;
	bool ended;
	atomic64_t packet_num;
	struct list_head blocks;
	atomic_t last_block;
	struct xarray jobs;
	unsigned int nr_jobs;
	unsigned int unfinished;
	atomic64_t last_job;
	struct list_head active;
	u32 epoch;
	wait_queue_head_t done;
	struct mzp_slow slow;
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
int mzp_session_usable(const struct mzp_session *session);
struct mzp_block *mzp_session_block(struct mzp_session *session, u32 id);
void mzp_session_kick(struct mzp_session *session);
void mzp_session_show(struct mzp_session *session, struct seq_file *seq);
void mzp_sessions_drain(void);

int mzp_ioctl_info(struct mzp_cmd *cmd);
int mzp_ioctl_setup(struct mzp_cmd *cmd);
int mzp_ioctl_cancel(struct mzp_cmd *cmd);

#endif /* MZP_SESSION_H */

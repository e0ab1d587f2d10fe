// SPDX-License-Identifier: GPL-2.0-only
/*
 * INFO, and SETUP: what there can be, and what a session is to be.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "channel.h"
#include "cmd.h"
#include "comp.h"
#include "event.h"
#include "history.h"
#include "host.h"
#include "runqueue.h"
#include "session.h"
#include "sessions.h"
#include "setup.h"

#define MZP_SETUP_FLAGS	(MZP_SETUP_NO_WORKERS | MZP_SETUP_FIT | MZP_SETUP_DEFAULT_LEVEL)

static u32 mzp_info_methods(void)
{
	u32 methods = 0, method;

	for (method = MZP_METHOD_NONE; mzp_comp_known(method); method++) {
		if (mzp_comp_available(method))
			methods |= BIT(method);
	}
	return methods;
}

/**
 * mzp_info_fill - what the module can do
 * @arg: filled in, but for size and flags
 * @method: mzp_comp_known(); whose levels are told
 *
 * Context: any.
 */
void mzp_info_fill(struct mzp_info *arg, u32 method)
{
	const struct mzp_comp_ops *ops = mzp_comp_ops(method);

	arg->abi_version = MZP_ABI_VERSION;
	arg->page_size = PAGE_SIZE;
	arg->methods = mzp_info_methods();
	arg->method = method;
	arg->detections = BIT(MZP_DETECTION_NONE) | BIT(MZP_DETECTION_LEGACY) |
			  BIT(MZP_DETECTION_MULTIFD);
	arg->features = MZP_FEATURE_PUMP | MZP_FEATURE_NO_WORKERS | MZP_FEATURE_FIT |
			MZP_FEATURE_PENDING | MZP_FEATURE_INJECT | MZP_FEATURE_RATE |
			MZP_FEATURE_NO_ROUND;
	arg->max_channels = MZP_MAX_CHANNELS;
	arg->max_packet_pages = MZP_WIRE_PAGES;
	arg->max_ring_packets = MZP_MAX_RING_PACKETS;
	arg->max_blocks = MZP_MAX_BLOCKS;
	arg->max_jobs = MZP_MAX_JOBS;
	arg->max_sessions = MZP_MAX_SESSIONS;
	arg->level_min = ops ? ops->level_min : 0;
	arg->level_max = ops ? ops->level_max : 0;
	arg->level_default = ops ? ops->level_default : 0;
}

/**
 * mzp_ioctl_info - MZP_IOC_INFO
 * @cmd: the command
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_info(struct mzp_cmd *cmd)
{
	struct mzp_info *arg = cmd->arg;

	if (arg->flags || !mzp_comp_known(arg->method))
		return -EINVAL;
	if (!mzp_comp_available(arg->method))
		return -EOPNOTSUPP;
	mzp_info_fill(arg, arg->method);
	return mzp_cmd_reply(cmd);
}

static int mzp_setup_level(struct mzp_setup *arg)
{
	const struct mzp_comp_ops *ops = mzp_comp_ops(arg->method);

	if (arg->flags & MZP_SETUP_DEFAULT_LEVEL) {
		if (arg->level)
			return -EINVAL;
		arg->level = ops ? ops->level_default : 0;
	}
	if (!ops)
		return arg->level ? -EINVAL : 0;
	return arg->level < ops->level_min || arg->level > ops->level_max ? -EINVAL : 0;
}

static int mzp_setup_prepare(struct mzp_setup *arg)
{
	if (arg->flags & ~MZP_SETUP_FLAGS || arg->__reserved || !mzp_comp_known(arg->method) ||
	    arg->detection > MZP_DETECTION_MULTIFD)
		return -EINVAL;
	if (!mzp_comp_available(arg->method))
		return -EOPNOTSUPP;
	if (!arg->packet_pages)
		arg->packet_pages = MZP_WIRE_PAGES;
	if (!arg->ring_packets)
		arg->ring_packets = MZP_DEFAULT_RING_PACKETS;
	if (!arg->channels || arg->channels > MZP_MAX_CHANNELS ||
	    arg->packet_pages > MZP_WIRE_PAGES || arg->ring_packets > MZP_MAX_RING_PACKETS ||
	    !is_power_of_2(arg->ring_packets) || !arg->cpus != !arg->cpus_size)
		return -EINVAL;
	return mzp_setup_level(arg);
}

/*
 * Like sched_setaffinity(2), ignore bits that the kernel has no CPUs for.
 * Beyond the caller's own CPUs, which its cpuset may have restricted, go only
 * those who could move anywhere.
 */
static int mzp_setup_cpus(struct cpumask *cpus, const struct mzp_setup *arg)
{
	size_t size = min_t(size_t, arg->cpus_size, cpumask_size());

	if (!arg->cpus)
		cpumask_copy(cpus, current->cpus_ptr);
	else if (copy_from_user(cpus, u64_to_user_ptr(arg->cpus), size))
		return -EFAULT;
	if (!capable(CAP_SYS_NICE))
		cpumask_and(cpus, cpus, current->cpus_ptr);
	return cpumask_and(cpus, cpus, cpu_possible_mask) ? 0 : -EINVAL;
}

static unsigned long mzp_setup_pages(const struct mzp_setup *arg)
{
	return (unsigned long)arg->channels * arg->ring_packets * arg->packet_pages;
}

/* Take what fits in @room pages: first smaller rings, then smaller packets. */
static void mzp_setup_fit(struct mzp_setup *arg, unsigned long room)
{
	while (mzp_setup_pages(arg) > room && arg->ring_packets > 1)
		arg->ring_packets /= 2;
	if (mzp_setup_pages(arg) > room)
		arg->packet_pages = max(room / arg->channels, 1ul);
}

/* Charge the guest pages that the rings can hold to the caller, all at once. */
static int mzp_setup_charge(struct mzp_session *session, struct mzp_setup *arg)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT, room, pages;
	struct user_struct *user = current_user();
	long charged = atomic_long_read(&user->locked_vm);

	if (capable(CAP_IPC_LOCK))
		return 0;
	do {
		room = limit > charged ? limit - charged : 0;
		if (arg->flags & MZP_SETUP_FIT)
			mzp_setup_fit(arg, room);
		pages = mzp_setup_pages(arg);
		if (pages > room)
			return -ENOMEM;
	} while (!atomic_long_try_cmpxchg(&user->locked_vm, &charged, charged + pages));
	session->payer = get_current_cred();
	session->locked_pages = pages;
	return 0;
}

static int mzp_setup_channels(struct mzp_session *session, const struct mzp_setup *arg)
{
	struct mzp_channel *channel;
	u32 id;

	session->share = mzp_runqueue_share();
	if (!session->share)
		return -ENOMEM;
	session->channel = kvcalloc(arg->channels, sizeof(*session->channel), GFP_KERNEL_ACCOUNT);
	if (!session->channel)
		return -ENOMEM;
	for (id = 0; id < arg->channels; id++) {
		channel = mzp_channel_new(session, id, arg);
		if (IS_ERR(channel))
			return PTR_ERR(channel);
		session->channel[session->nr_channels++] = channel;
	}
	return 0;
}

static int mzp_setup_all(struct mzp_session *session, struct mzp_setup *arg)
{
	int err;

	memcpy(session->uuid, arg->uuid, sizeof(session->uuid));
	session->method = arg->method;
	session->level = arg->level;
	session->detection = arg->detection;
	session->workers = !(arg->flags & MZP_SETUP_NO_WORKERS);
	mmgrab(current->mm);
	session->mm = current->mm;
	session->memcg = get_mem_cgroup_from_mm(current->mm);

	err = mzp_setup_charge(session, arg);
	session->packet_pages = arg->packet_pages;
	if (!err)
		err = mzp_setup_channels(session, arg);
	if (err)
		mzp_session_teardown(session);
	return err;
}

/* Set the session up, and tell what came of it. */
static int mzp_setup_run(struct mzp_cmd *cmd)
{
	struct mzp_session *session = cmd->session;
	struct mzp_setup *arg = cmd->arg;
	int err = mzp_host_admit();

	if (err)
		return err;
	err = mzp_setup_all(session, arg);
	if (err)
		goto leave;
	arg->locked_bytes = (u64)session->locked_pages << PAGE_SHIFT;
	err = mzp_cmd_reply(cmd);
	if (err)
		goto teardown;
	return 0;

teardown:
	mzp_session_teardown(session);
leave:
	mzp_host_leave();
	return err;
}

/**
 * mzp_ioctl_setup - MZP_IOC_SETUP
 * @cmd: the command
 *
 * Context: process; takes the queue lock.
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_setup(struct mzp_cmd *cmd)
{
	struct mzp_session *session = cmd->session;
	struct mzp_setup *arg = cmd->arg;
	cpumask_var_t cpus;
	int err = mzp_setup_prepare(arg);

	if (err)
		return err;
	if (!zalloc_cpumask_var(&cpus, GFP_KERNEL_ACCOUNT))
		return -ENOMEM;
	err = mzp_setup_cpus(cpus, arg);
	if (err)
		goto free_cpus;

	mutex_lock(&session->setup);
	if (mzp_session_ready(session)) {
		err = -EBUSY;
	} else {
		cpumask_copy(session->cpus, cpus);
		err = mzp_setup_run(cmd);
	}
	if (!err) {
		mzp_session_set_owner(session);
		mzp_history_begin();
		spin_lock(&session->queue_lock);
		session->started = ktime_get_ns();
		/* Pairs with mzp_session_phase(): what was set up is visible. */
		smp_store_release(&session->phase, MZP_READY);
		mzp_event_created(session);
		spin_unlock(&session->queue_lock);
	}
	mutex_unlock(&session->setup);
free_cpus:
	free_cpumask_var(cpus);
	return err;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * multifd_zp: the RAM data plane of a live migration, in the kernel.
 *
 * The module's init ladder, the device file and its ioctl table. The way of
 * the data through the other files is that of the object list in Kbuild.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/sched.h>

#include <linux/multifd_zp.h>

#include "block.h"
#include "cmd.h"
#include "file.h"
#include "host.h"
#include "inject.h"
#include "job.h"
#include "netlink.h"
#include "pending.h"
#include "rate.h"
#include "session.h"
#include "sessions.h"
#include "setup.h"
#include "status.h"
#include "worker.h"

/**
 * enum mzp_op_state - which sessions a command works on
 * @MZP_OP_ANY: any, from any process
 * @MZP_OP_NEW: from any process, or from the one that set the session up
 * @MZP_OP_READY: one that is set up, from the process that did that
 */
enum mzp_op_state {
	MZP_OP_ANY,
	MZP_OP_NEW,
	MZP_OP_READY,
};

/**
 * struct mzp_op - an ioctl command
 * @run: does it
 * @size: of its argument structure
 * @min_size: of its first version
 * @state: which sessions it works on
 */
struct mzp_op {
	int (*run)(struct mzp_cmd *cmd);
	u32 size;
	u32 min_size;
	enum mzp_op_state state;
};

/* One line of the table: handler, argument, its first version's last member. */
#define MZP_OP(_run, _arg, _last, _state)				\
	{								\
		.run = _run,						\
		.size = sizeof(_arg),					\
		.min_size = offsetofend(_arg, _last),			\
		.state = _state,					\
	}

static const struct mzp_op mzp_ops[] = {
	[MZP_CMD_INFO] = MZP_OP(mzp_ioctl_info, struct mzp_info, level_default, MZP_OP_ANY),
	[MZP_CMD_SETUP] = MZP_OP(mzp_ioctl_setup, struct mzp_setup, locked_bytes, MZP_OP_NEW),
	[MZP_CMD_BLOCK_ADD] = MZP_OP(mzp_ioctl_block_add, struct mzp_block_add, offset,
				     MZP_OP_READY),
	[MZP_CMD_BLOCK_REMOVE] = MZP_OP(mzp_ioctl_block_remove, struct mzp_block_remove,
					__reserved, MZP_OP_READY),
	[MZP_CMD_CHANNEL] = MZP_OP(mzp_ioctl_channel, struct mzp_channel_get, fd, MZP_OP_READY),
	[MZP_CMD_SEND] = MZP_OP(mzp_ioctl_send, struct mzp_send, pages, MZP_OP_READY),
	[MZP_CMD_SYNC] = MZP_OP(mzp_ioctl_sync, struct mzp_sync, job_id, MZP_OP_READY),
	[MZP_CMD_WAIT] = MZP_OP(mzp_ioctl_wait, struct mzp_wait, absent, MZP_OP_READY),
	[MZP_CMD_STATUS] = MZP_OP(mzp_ioctl_status, struct mzp_status, jobs_unfinished,
				  MZP_OP_READY),
	[MZP_CMD_WAIT_PENDING] = MZP_OP(mzp_ioctl_wait_pending, struct mzp_wait_pending, bytes,
					MZP_OP_READY),
	[MZP_CMD_END] = MZP_OP(mzp_ioctl_end, struct mzp_end, flags, MZP_OP_READY),
	[MZP_CMD_INJECT] = MZP_OP(mzp_ioctl_inject, struct mzp_inject, data, MZP_OP_READY),
	[MZP_CMD_RATE] = MZP_OP(mzp_ioctl_rate, struct mzp_rate, rate, MZP_OP_READY),
	[MZP_CMD_CANCEL] = MZP_OP(mzp_ioctl_cancel, struct mzp_cancel, flags, MZP_OP_READY),
};

/* The largest argument structure; each command's handler sees its own. */
union mzp_arg {
	struct mzp_info info;
	struct mzp_setup setup;
	struct mzp_block_add block_add;
	struct mzp_block_remove block_remove;
	struct mzp_channel_get channel;
	struct mzp_send send;
	struct mzp_sync sync;
	struct mzp_wait wait;
	struct mzp_cancel cancel;
	struct mzp_status status;
	struct mzp_wait_pending wait_pending;
	struct mzp_end end;
	struct mzp_inject inject;
	struct mzp_rate rate;
};

static int mzp_op_allowed(const struct mzp_op *op, struct mzp_session *session)
{
	bool ready;

	if (op->state == MZP_OP_ANY)
		return 0;
	ready = mzp_session_ready(session);
	if (ready && session->mm != current->mm)
		return -EIO;
	return ready || op->state == MZP_OP_NEW ? 0 : -ENXIO;
}

static long mzp_ioctl(struct file *file, unsigned int number, unsigned long arg)
{
	unsigned int nr = _IOC_NR(number);
	union mzp_arg kernel_arg;
	struct mzp_cmd cmd = {
		.session = file->private_data,
		.user = (void __user *)arg,
		.arg = &kernel_arg,
	};
	const struct mzp_op *op;
	int err;

	if (number != _IO(MZP_IOC_TYPE, nr) || nr >= ARRAY_SIZE(mzp_ops))
		return -ENOTTY;
	op = &mzp_ops[array_index_nospec(nr, ARRAY_SIZE(mzp_ops))];
	/* PUMP has a file of its own. */
	if (!op->run)
		return -ENOTTY;
	cmd.arg_size = op->size;
	err = mzp_cmd_fetch(&cmd, op->min_size);
	if (err)
		return err;
	err = mzp_op_allowed(op, cmd.session);
	return err ?: op->run(&cmd);
}

static int mzp_open(struct inode *inode, struct file *file)
{
	struct mzp_session *session = mzp_session_new();

	if (IS_ERR(session))
		return PTR_ERR(session);
	file->private_data = session;
	return 0;
}

static int mzp_release(struct inode *inode, struct file *file)
{
	mzp_session_close(file->private_data);
	return 0;
}

static __poll_t mzp_poll(struct file *file, poll_table *wait)
{
	return mzp_pending_poll(file->private_data, file, wait);
}

static void mzp_show_fdinfo(struct seq_file *seq, struct file *file)
{
	mzp_session_show(file->private_data, seq);
}

static const struct file_operations mzp_fops = {
	.owner = THIS_MODULE,
	.open = mzp_open,
	.release = mzp_release,
	.poll = mzp_poll,
	.unlocked_ioctl = mzp_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.show_fdinfo = mzp_show_fdinfo,
};

static struct miscdevice mzp_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "multifd_zp",
	.mode = 0660,
	.fops = &mzp_fops,
};

static int __init mzp_init(void)
{
	int err;

	mzp_host_init();
	err = mzp_sessions_init();
	if (err)
		return err;
	err = mzp_workers_start();
	if (err)
		goto exit_sessions;
	err = mzp_netlink_register();
	if (err)
		goto stop_workers;
	err = misc_register(&mzp_device);
	if (err)
		goto unregister_netlink;
	return 0;

unregister_netlink:
	mzp_netlink_unregister();
stop_workers:
	mzp_workers_stop();
exit_sessions:
	mzp_sessions_exit();
	return err;
}

static void __exit mzp_exit(void)
{
	misc_deregister(&mzp_device);
	mzp_netlink_unregister();
	mzp_sessions_drain();
	mzp_workers_stop();
	mzp_sessions_exit();
}

module_init(mzp_init);
module_exit(mzp_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("RAM data plane of VM live migration (QEMU multifd)");
MODULE_VERSION(MZP_VERSION);
MODULE_ALIAS("devname:multifd_zp");

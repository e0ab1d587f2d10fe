// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file of a channel: read, poll, PUMP, close, and how a VMM gets it.
 *
 * It needs no position of its own: what was read is gone. O_NONBLOCK means what it
 * means for files: data that are not there are not waited for, though a page that has to
 * be brought in first is. Whoever must not sleep at all (RWF_NOWAIT, io_uring) gets
 * what can be had without.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/poll.h>
#include <linux/seq_file.h>
#include <linux/uio.h>
#include <asm/ioctls.h>

#include "channel.h"
#include "claim.h"
#include "cmd.h"
#include "compat.h"
#include "file.h"
#include "grab.h"
#include "pipe.h"
#include "reader.h"
#include "session.h"
#include "socket.h"
#include "trace.h"

/* Whether memory broke after it had been referenced, where the next byte is to be read. */
static bool mzp_file_poisoned(const struct mzp_channel *channel, const struct bio_vec *buf)
{
	return mzp_page_poisoned(buf->bv_page + ((buf->bv_offset + channel->offset) >> PAGE_SHIFT));
}

/* Return: bytes copied, or why not one. */
static ssize_t mzp_file_copy(struct mzp_channel *channel, struct iov_iter *to)
{
	struct mzp_packet *packet;
	ssize_t copied = 0;

	while (iov_iter_count(to) && (packet = mzp_ring_first(&channel->ring))) {
		const struct bio_vec *buf = &packet->buf[channel->buf];
		size_t part = min_t(size_t, buf->bv_len - channel->offset, iov_iter_count(to));
		size_t done;

		if (mzp_file_poisoned(channel, buf))
			return copied ?: -EHWPOISON;
		done = copy_page_to_iter(buf->bv_page, buf->bv_offset + channel->offset, part, to);
		if (mzp_channel_consume(channel, packet, done))
			mzp_claim_kick(channel);
		copied += done;
		if (done < part)
			return copied ?: -EFAULT;
	}
	return copied;
}

static ssize_t mzp_file_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct mzp_channel *channel = iocb->ki_filp->private_data;
	bool nowait = iocb->ki_flags & IOCB_NOWAIT;
	bool nonblock = nowait || iocb->ki_filp->f_flags & O_NONBLOCK;
	enum mzp_patience patience = nowait ? MZP_PATIENCE_NONE :
				     nonblock ? MZP_PATIENCE_PAGES : MZP_PATIENCE_ALL;
	ssize_t copied;
	int ret;

	if (!iov_iter_count(to))
		return 0;
	while ((ret = mzp_channel_lock(channel, nonblock)) == -EAGAIN) {
		ret = mzp_reader_fill(channel, patience);
		if (ret)
			return ret;
	}
	if (ret <= 0)
		return ret == -EBUSY ? -EAGAIN : ret;
	copied = mzp_file_copy(channel, to);
	if (copied > 0)
		mzp_pending_take(&channel->session->pending, copied);
	mzp_channel_unlock(channel);
	return copied;
}

static __poll_t mzp_file_poll(struct file *file, poll_table *wait)
{
	struct mzp_channel *channel = file->private_data;
	enum mzp_phase phase;

	poll_wait(file, &channel->readable, wait);
	/* Pairs with mzp_channel_wake(); not all kernels' poll_wait() has it. */
	smp_mb();
	/* Before the ring, as in mzp_channel_lock(). */
	phase = mzp_session_phase(channel->session);
	if (phase == MZP_FAILED)
		return EPOLLERR | EPOLLHUP;
	/* There is no work any more, though somebody may still be about to look for it. */
	if (phase == MZP_ENDED)
		return EPOLLIN | EPOLLRDNORM | (mzp_ring_fill(&channel->ring) ? 0 : EPOLLHUP);
	return mzp_reader_pollable(channel) ? EPOLLIN | EPOLLRDNORM : 0;
}

/* How many bytes can be read without more being made. */
static int mzp_file_readable(const struct mzp_channel *channel, int __user *user)
{
	const struct mzp_channel_stats *stats = &channel->stats;
	u64 taken = READ_ONCE(stats->bytes_read);
	int err = mzp_session_error(channel->session);

	/* Whoever took bytes had seen them in the ring, behind their being counted. */
	smp_rmb();
	return err ?: put_user((int)min_t(u64, READ_ONCE(stats->bytes) - taken, INT_MAX), user);
}

static long mzp_file_ioctl(struct file *file, unsigned int number, unsigned long arg)
{
	struct mzp_channel *channel = file->private_data;
	struct mzp_pump pump;
	struct mzp_cmd cmd = {
		.session = channel->session,
		.user = (void __user *)arg,
		.arg = &pump,
		.arg_size = sizeof(pump),
	};
	int err;

	if (number == FIONREAD)
		return mzp_file_readable(channel, (int __user *)arg);
	if (number != MZP_IOC_PUMP)
		return -ENOTTY;
	err = mzp_cmd_fetch(&cmd, offsetofend(struct mzp_pump, __reserved));
	return err ?: mzp_ioctl_pump(&cmd, channel);
}

/*
 * The last fd is closed, so there is no reader left. If the session is not,
 * its stream has lost a part that nobody will ever send.
 */
static int mzp_file_release(struct inode *inode, struct file *file)
{
	struct mzp_channel *channel = file->private_data;
	const struct mzp_channel_stats *stats = &channel->stats;

	trace_multifd_send_thread_end(channel->session->id, channel->id,
				      READ_ONCE(stats->packets), READ_ONCE(stats->sent),
				      READ_ONCE(stats->zeros));
	mzp_session_fail(channel->session, MZP_REASON_READER);
	mzp_channel_drain(channel);
	mzp_session_put(channel->session);
	return 0;
}

static void mzp_file_show_fdinfo(struct seq_file *seq, struct file *file)
{
	const struct mzp_channel *channel = file->private_data;
	const struct mzp_channel_stats *stats = &channel->stats;

	seq_printf(seq, "mzp-session:\t%llu\n", channel->session->id);
	seq_printf(seq, "mzp-channel:\t%u\n", channel->id);
	seq_printf(seq, "mzp-ring:\t%u/%u\n", mzp_ring_fill(&channel->ring), channel->ring.size);
	seq_printf(seq, "mzp-packets:\t%llu\n", READ_ONCE(stats->packets));
	seq_printf(seq, "mzp-syncs:\t%llu\n", READ_ONCE(stats->syncs));
	seq_printf(seq, "mzp-bytes:\t%llu\n", READ_ONCE(stats->bytes));
	seq_printf(seq, "mzp-bytes-read:\t%llu\n", READ_ONCE(stats->bytes_read));
	seq_printf(seq, "mzp-normal:\t%llu\n", READ_ONCE(stats->counts.normal));
	seq_printf(seq, "mzp-zero:\t%llu\n", READ_ONCE(stats->counts.zero));
	seq_printf(seq, "mzp-absent:\t%llu\n", READ_ONCE(stats->counts.absent));
	seq_printf(seq, "mzp-ring-full:\t%llu\n", READ_ONCE(stats->ring_full));
	seq_printf(seq, "mzp-left:\t%llu\n", READ_ONCE(stats->left));
	seq_printf(seq, "mzp-reader-packets:\t%llu\n", READ_ONCE(stats->reader_packets));
	seq_printf(seq, "mzp-busy-ns:\t%llu\n", READ_ONCE(stats->busy_ns));
}

static const struct file_operations mzp_channel_fops = {
	.owner = THIS_MODULE,
	.read_iter = mzp_file_read_iter,
	.splice_read = mzp_pipe_splice_read,
	.poll = mzp_file_poll,
	.unlocked_ioctl = mzp_file_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = mzp_file_release,
	.show_fdinfo = mzp_file_show_fdinfo,
};

/* A file for the channel, which holds a reference on the session. */
static struct file *mzp_file_open(struct mzp_channel *channel, unsigned int flags)
{
	struct file *file = mzp_anon_file("[multifd_zp]", &mzp_channel_fops, channel,
					  O_RDONLY | flags);

	if (IS_ERR(file))
		return file;
	mzp_session_get(channel->session);
	/* No position: what was read is gone. sendfile(2) to a socket refuses it. */
	stream_open(file_inode(file), file);
	file->f_mode |= FMODE_NOWAIT;
	return file;
}

/* Set aside a channel for the caller; each is handed out once. */
static struct mzp_channel *mzp_file_reserve(struct mzp_session *session, u32 id)
{
	struct mzp_channel *channel;
	int err;

	mutex_lock(&session->lock);
	err = mzp_session_usable(session);
	if (!err && id >= session->nr_channels)
		err = -EINVAL;
	if (err)
		goto unlock;
	channel = session->channel[array_index_nospec(id, session->nr_channels)];
	if (channel->handed_out)
		err = -EBUSY;
	channel->handed_out = true;
unlock:
	mutex_unlock(&session->lock);
	return err ? ERR_PTR(err) : channel;
}

static void mzp_file_unreserve(struct mzp_channel *channel)
{
	mutex_lock(&channel->session->lock);
	channel->handed_out = false;
	mutex_unlock(&channel->session->lock);
}

/**
 * mzp_ioctl_channel - MZP_IOC_CHANNEL
 * @cmd: the command, on a session that is in use
 *
 * Context: process; takes the session lock.
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_channel(struct mzp_cmd *cmd)
{
	struct mzp_channel_get *arg = cmd->arg;
	struct mzp_channel *channel;
	struct file *file;
	int fd, err;

	if (arg->flags & ~MZP_CHANNEL_NONBLOCK)
		return -EINVAL;
	channel = mzp_file_reserve(cmd->session, arg->channel);
	if (IS_ERR(channel))
		return PTR_ERR(channel);

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		err = fd;
		goto unreserve;
	}
	arg->fd = fd;
	err = mzp_cmd_reply(cmd);
	if (err)
		goto put_fd;
	file = mzp_file_open(channel, arg->flags & MZP_CHANNEL_NONBLOCK ? O_NONBLOCK : 0);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		goto put_fd;
	}
	fd_install(fd, file);
	return 0;

put_fd:
	put_unused_fd(fd);
unreserve:
	mzp_file_unreserve(channel);
	return err;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file of a channel: the reading end of its ring.
 *
 * Each byte comes out once and in order, because bytes are taken only under the
 * read lock, and the position moves by exactly what was passed on: by what a
 * copy to user space really copied, or by the length of the buffer that the
 * pipe really took. Whatever ends a read early (a fault, a signal, a full pipe,
 * an empty ring) leaves the position behind the last byte that was passed on.
 *
 * splice passes page references, not bytes. A buffer that fits whole takes the
 * ring's reference with it; of one that fits in part, the ring keeps its own,
 * and the pipe gets another. The pipe's operations are the kernel's own, so
 * that what is in a pipe or a socket does not need this module any more.
 *
 * Waiting never happens under a lock that others need. The read lock is
 * dropped, and so is the pipe's, which splice(2) holds while it calls us: else
 * a process that shares the pipe could not read, close or even be killed until
 * our data came. After the wait the pipe's room is looked at again. Only
 * splice(2) or sendfile(2) to a pipe gets here, with that pipe locked: to
 * anything else, sendfile(2) and the like would use a pipe of their own without
 * its lock, and they refuse a file that cannot seek.
 *
 * When the session is over before its time, the ring must be emptied though its
 * reader may be stuck in a page fault, or gone for good. Whoever sees it is
 * over tries the read lock: either they get it and empty the ring, or its
 * holder will look again after dropping it.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/pipe_fs_i.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/uio.h>

#include "channel.h"
#include "fault.h"
#include "packet.h"
#include "session.h"
#include "trace.h"
#include "worker.h"

/* The first message goes through the ring, like a packet without pages. */
static int mzp_channel_greet(struct mzp_channel *channel)
{
	struct mzp_packet *packet = mzp_ring_room(&channel->ring);
	struct mzp_wire_init *init;

	if (mzp_arena_reserve(&channel->arena, 1, GFP_KERNEL))
		return -ENOMEM;
	init = mzp_arena_take(&channel->arena, sizeof(*init), &packet->buf[0]);
	mzp_encode_init(init, channel->session->uuid, channel->id);
	packet->nr = 1;
	mzp_ring_publish(&channel->ring);
	mzp_stat_add(&channel->stats.bytes, sizeof(*init));
	return 0;
}

/**
 * mzp_channel_new - make a channel whose ring holds its first message
 * @session: whose channel; no reference is taken
 * @id: channel id
 * @setup: what the session is set up with
 *
 * Context: may sleep; memory is charged to the current memory cgroup.
 * Return: the channel, or an error pointer.
 */
struct mzp_channel *mzp_channel_new(struct mzp_session *session, unsigned int id,
				    const struct mzp_setup *setup)
{
	struct mzp_channel *channel = kzalloc(sizeof(*channel), GFP_KERNEL_ACCOUNT);
	int err;

	if (!channel)
		return ERR_PTR(-ENOMEM);
	channel->session = session;
	channel->id = id;
	mutex_init(&channel->read_lock);
	init_waitqueue_head(&channel->readable);
	mzp_worker_adopt(channel);
	err = mzp_comp_init(&channel->comp, setup->method, setup->level) ?:
	      mzp_ring_init(&channel->ring, setup->ring_packets) ?:
	      mzp_channel_greet(channel);
	if (err) {
		mzp_channel_free(channel);
		return ERR_PTR(err);
	}
	return channel;
}

/* Count the current buffer, which leaves the ring. */
static void mzp_channel_count_gone(struct mzp_channel *channel, const struct mzp_packet *packet)
{
	unsigned int bytes = packet->buf[channel->buf].bv_len;

	/* Behind the header are the guest's own pages, or what was made of them. */
	if (channel->buf && !channel->comp.ops)
		mzp_stat_add(&channel->stats.pages_gone, bytes >> PAGE_SHIFT);
	else
		mzp_stat_add(&channel->stats.own_gone, bytes);
}

/* Drop what is left of the first packet, or all of it. */
static void mzp_channel_drop_packet(struct mzp_channel *channel)
{
	struct mzp_packet *packet = mzp_ring_first(&channel->ring);

	for (; channel->buf < packet->nr; channel->buf++) {
		mzp_channel_count_gone(channel, packet);
		put_page(packet->buf[channel->buf].bv_page);
	}
	channel->buf = 0;
	channel->offset = 0;
	mzp_ring_release(&channel->ring);
}

/**
 * mzp_channel_free - free a channel that nobody uses any more
 * @channel: the channel
 *
 * Context: may sleep.
 */
void mzp_channel_free(struct mzp_channel *channel)
{
	if (channel->ring.slot) {
		while (mzp_ring_first(&channel->ring)) {
			mzp_channel_drop_packet(channel);
			cond_resched();
		}
	}
	mzp_ring_destroy(&channel->ring);
	mzp_comp_destroy(&channel->comp);
	mzp_arena_drop(&channel->arena);
	kfree(channel);
}

/**
 * mzp_channel_drain - empty the ring of a channel whose session is over
 * @channel: the channel
 *
 * Context: may sleep, but waits for nobody. If a reader is at work, it does it
 * instead when it is done.
 */
void mzp_channel_drain(struct mzp_channel *channel)
{
	/* The session's error was set before; pairs with mzp_channel_unlock(). */
	smp_mb();
	while (mzp_ring_fill(&channel->ring) && mutex_trylock(&channel->read_lock)) {
		while (mzp_ring_first(&channel->ring)) {
			mzp_channel_drop_packet(channel);
			cond_resched();
		}
		mutex_unlock(&channel->read_lock);
		/* What was published meanwhile by one whose trylock failed. */
		smp_mb();
	}
}

/**
 * mzp_channel_wake - tell the reader that there is something new
 * @channel: the channel
 *
 * Context: any. What is new must have been written before.
 */
void mzp_channel_wake(struct mzp_channel *channel)
{
	if (wq_has_sleeper(&channel->readable))
		wake_up_interruptible_poll(&channel->readable, EPOLLIN | EPOLLRDNORM);
}

static void mzp_channel_unlock(struct mzp_channel *channel)
{
	mutex_unlock(&channel->read_lock);
	/*
	 * Pairs with mzp_channel_drain(): either its trylock comes after our
	 * unlock and succeeds, or we see the error that made it try.
	 */
	smp_mb();
	if (unlikely(READ_ONCE(channel->session->error)))
		mzp_channel_drain(channel);
}

/* Whether there is anything to tell the reader: data, the end, or an error. */
static bool mzp_channel_readable(const struct mzp_channel *channel)
{
	const struct mzp_session *session = channel->session;

	return mzp_ring_fill(&channel->ring) || READ_ONCE(session->ended) ||
	       READ_ONCE(session->error);
}

/*
 * Lock the channel for reading, without waiting for data.
 * Return: 1: locked, with data; 0: the end; -EAGAIN: no data yet; or another
 * error.
 */
static int mzp_channel_lock(struct mzp_channel *channel, bool nowait)
{
	const struct mzp_session *session = channel->session;
	bool ended;
	int err;

	if (nowait) {
		if (!mutex_trylock(&channel->read_lock))
			return -EAGAIN;
	} else if (mutex_lock_interruptible(&channel->read_lock)) {
		return -ERESTARTSYS;
	}
	/* Before the ring: a session ends after its last packet is in there. */
	ended = smp_load_acquire(&session->ended);
	err = READ_ONCE(session->error);
	if (!err && mzp_ring_first(&channel->ring))
		return 1;
	if (!err && READ_ONCE(session->unfinished))
		mzp_stat_add(&channel->stats.ring_empty, 1);
	mzp_channel_unlock(channel);
	if (err)
		return err;
	return ended ? 0 : -EAGAIN;
}

/* Move the position by @bytes, which lie in the current buffer and were passed on. */
static void mzp_channel_advance(struct mzp_channel *channel, struct mzp_packet *packet,
				unsigned int bytes)
{
	mzp_stat_add(&channel->stats.bytes_read, bytes);
	channel->offset += bytes;
	if (channel->offset < packet->buf[channel->buf].bv_len)
		return;
	channel->offset = 0;
	mzp_channel_count_gone(channel, packet);
	if (++channel->buf < packet->nr)
		return;
	channel->buf = 0;
	if (mzp_ring_release(&channel->ring))
		mzp_worker_kick(channel);
}

/* Return: bytes copied; less than there are only after a fault. */
static size_t mzp_channel_copy(struct mzp_channel *channel, struct iov_iter *to)
{
	struct mzp_packet *packet;
	size_t copied = 0;

	while (iov_iter_count(to) && (packet = mzp_ring_first(&channel->ring))) {
		const struct bio_vec *buf = &packet->buf[channel->buf];
		size_t part = min_t(size_t, buf->bv_len - channel->offset, iov_iter_count(to));
		size_t done = copy_page_to_iter(buf->bv_page, buf->bv_offset + channel->offset,
						part, to);
		bool last = channel->offset + done == buf->bv_len;
		struct page *page = buf->bv_page;

		mzp_channel_advance(channel, packet, done);
		if (last)
			put_page(page);
		copied += done;
		if (done < part)
			break;
	}
	return copied;
}

static ssize_t mzp_channel_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct mzp_channel *channel = iocb->ki_filp->private_data;
	bool nonblock = iocb->ki_flags & IOCB_NOWAIT || iocb->ki_filp->f_flags & O_NONBLOCK;
	size_t copied;
	int ret;

	if (!iov_iter_count(to))
		return 0;
	while ((ret = mzp_channel_lock(channel, nonblock)) == -EAGAIN && !nonblock) {
		if (wait_event_interruptible(channel->readable, mzp_channel_readable(channel)))
			return -ERESTARTSYS;
	}
	if (ret <= 0)
		return ret;
	copied = mzp_channel_copy(channel, to);
	mzp_channel_unlock(channel);
	return copied ?: -EFAULT;
}

static bool mzp_pipe_has_room(const struct pipe_inode_info *pipe)
{
	return !pipe_full(READ_ONCE(pipe->head), READ_ONCE(pipe->tail),
			  READ_ONCE(pipe->max_usage));
}

/* Wait without the pipe's lock, which is held before and after. */
static int mzp_pipe_wait_readable(struct pipe_inode_info *pipe, struct mzp_channel *channel)
{
	int err;

	pipe_unlock(pipe);
	/* It may be another reader that keeps us off; queue behind it first. */
	err = mutex_lock_interruptible(&channel->read_lock);
	if (!err) {
		mzp_channel_unlock(channel);
		err = wait_event_interruptible(channel->readable, mzp_channel_readable(channel));
	}
	pipe_lock(pipe);
	return err ? -ERESTARTSYS : 0;
}

static int mzp_pipe_wait_room(struct pipe_inode_info *pipe)
{
	int err;

	pipe_unlock(pipe);
	err = wait_event_interruptible(pipe->wr_wait,
				       mzp_pipe_has_room(pipe) || !READ_ONCE(pipe->readers));
	pipe_lock(pipe);
	return err;
}

/*
 * Pass on the current buffer, or as much of it as fits in @len.
 * Return: bytes passed on, or a negative errno with the position unchanged.
 */
static ssize_t mzp_channel_splice_buf(struct mzp_channel *channel, struct mzp_packet *packet,
				      struct pipe_inode_info *pipe, size_t len)
{
	const struct bio_vec *bvec = &packet->buf[channel->buf];
	size_t left = bvec->bv_len - channel->offset;
	struct pipe_buffer buf = {
		.page = bvec->bv_page,
		.offset = bvec->bv_offset + channel->offset,
		.len = min(left, len),
		.ops = &nosteal_pipe_buf_ops,
	};
	ssize_t ret;

	if (buf.len < left && (mzp_fault() || !try_get_page(buf.page)))
		return -ENOMEM;
	/* Takes the reference; cannot fail, since the pipe has readers and room. */
	ret = add_to_pipe(pipe, &buf);
	if (WARN_ON_ONCE(ret != buf.len))
		return ret;
	mzp_channel_advance(channel, packet, ret);
	return ret;
}

static ssize_t mzp_channel_splice(struct mzp_channel *channel, struct pipe_inode_info *pipe,
				  size_t len)
{
	struct mzp_packet *packet;
	size_t spliced = 0;

	while (spliced < len && mzp_pipe_has_room(pipe) &&
	       (packet = mzp_ring_first(&channel->ring))) {
		ssize_t ret = mzp_channel_splice_buf(channel, packet, pipe, len - spliced);

		if (ret < 0)
			return spliced ?: ret;
		spliced += ret;
	}
	return spliced;
}

static ssize_t mzp_channel_splice_read(struct file *file, loff_t *pos,
				       struct pipe_inode_info *pipe, size_t len,
				       unsigned int flags)
{
	struct mzp_channel *channel = file->private_data;
	bool nonblock = flags & SPLICE_F_NONBLOCK || file->f_flags & O_NONBLOCK;
	ssize_t ret;

	if (!len)
		return 0;
	for (;;) {
		if (!pipe->readers) {
			send_sig(SIGPIPE, current, 0);
			return -EPIPE;
		}
		if (!mzp_pipe_has_room(pipe)) {
			/* Others filled it while we waited for data. */
			ret = nonblock ? -EAGAIN : mzp_pipe_wait_room(pipe);
			if (ret)
				return ret;
			continue;
		}
		ret = mzp_channel_lock(channel, true);
		if (ret == 1)
			break;
		if (ret != -EAGAIN || nonblock)
			return ret;
		ret = mzp_pipe_wait_readable(pipe, channel);
		if (ret)
			return ret;
	}
	ret = mzp_channel_splice(channel, pipe, len);
	mzp_channel_unlock(channel);
	return ret;
}

static __poll_t mzp_channel_poll(struct file *file, poll_table *wait)
{
	struct mzp_channel *channel = file->private_data;
	const struct mzp_session *session = channel->session;
	__poll_t mask = 0;
	bool ended;

	poll_wait(file, &channel->readable, wait);
	/* Before the ring, as in mzp_channel_lock(). */
	ended = smp_load_acquire(&session->ended);
	if (READ_ONCE(session->error))
		mask |= EPOLLERR | EPOLLHUP;
	else if (mzp_ring_fill(&channel->ring))
		mask |= EPOLLIN | EPOLLRDNORM;
	else if (ended)
		mask |= EPOLLIN | EPOLLRDNORM | EPOLLHUP;
	return mask;
}

/*
 * The last fd is closed, so there is no reader left. If the session is not,
 * its stream has lost a part that nobody will ever send.
 */
static int mzp_channel_release(struct inode *inode, struct file *file)
{
	struct mzp_channel *channel = file->private_data;
	const struct mzp_channel_stats *stats = &channel->stats;

	trace_multifd_send_thread_end(channel->session->id, channel->id,
				      READ_ONCE(stats->packets), READ_ONCE(stats->sent),
				      READ_ONCE(stats->zeros));
	mzp_session_fail(channel->session, -EPIPE);
	mzp_channel_drain(channel);
	mzp_session_put(channel->session);
	return 0;
}

static void mzp_channel_show_fdinfo(struct seq_file *seq, struct file *file)
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
	seq_printf(seq, "mzp-stalls:\t%llu\n", READ_ONCE(stats->stalls));
	seq_printf(seq, "mzp-busy-ns:\t%llu\n", READ_ONCE(stats->busy_ns));
}

static const struct file_operations mzp_channel_fops = {
	.owner = THIS_MODULE,
	.read_iter = mzp_channel_read_iter,
	.splice_read = mzp_channel_splice_read,
	.poll = mzp_channel_poll,
	.release = mzp_channel_release,
	.show_fdinfo = mzp_channel_show_fdinfo,
};

/* A file for the channel, which holds a reference on the session. */
static struct file *mzp_channel_open(struct mzp_channel *channel, unsigned int flags)
{
	struct file *file = anon_inode_getfile("[multifd_zp]", &mzp_channel_fops, channel,
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
static struct mzp_channel *mzp_channel_claim(struct mzp_session *session, u32 id)
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

static void mzp_channel_unclaim(struct mzp_channel *channel)
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
		return -EOPNOTSUPP;
	channel = mzp_channel_claim(cmd->session, arg->channel);
	if (IS_ERR(channel))
		return PTR_ERR(channel);

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		err = fd;
		goto unclaim;
	}
	arg->fd = fd;
	err = mzp_cmd_reply(cmd);
	if (err)
		goto put_fd;
	file = mzp_channel_open(channel, arg->flags & MZP_CHANNEL_NONBLOCK ? O_NONBLOCK : 0);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		goto put_fd;
	}
	fd_install(fd, file);
	return 0;

put_fd:
	put_unused_fd(fd);
unclaim:
	mzp_channel_unclaim(channel);
	return err;
}

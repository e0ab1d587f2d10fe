// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading a channel by splice(2): what passes on is page references, not bytes.
 *
 * A buffer that fits whole takes the ring's reference with it; of one that fits in part,
 * the ring keeps its own, and the pipe gets another. The pipe's operations are the
 * kernel's own, so that what is in a pipe or a socket does not need this module any
 * more.
 *
 * splice(2) calls us with the pipe locked. Whatever takes time is done without that
 * lock: else a process that shares the pipe could not read, close or even be killed
 * until our data came. Afterwards the pipe's room is looked at again. Only splice(2) or
 * sendfile(2) to a pipe gets here, with that pipe locked: to anything else, sendfile(2)
 * and the like would use a pipe of their own without its lock, and they refuse a file
 * that cannot seek.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pipe_fs_i.h>
#include <linux/sched/signal.h>
#include <linux/splice.h>

#include "channel.h"
#include "claim.h"
#include "fault.h"
#include "pipe.h"
#include "reader.h"
#include "session.h"

static bool mzp_pipe_has_room(const struct pipe_inode_info *pipe)
{
	return !pipe_full(READ_ONCE(pipe->head), READ_ONCE(pipe->tail),
			  READ_ONCE(pipe->max_usage));
}

/* Without the pipe's lock, which is held before and after. */
static int mzp_pipe_fill(struct pipe_inode_info *pipe, struct mzp_channel *channel,
			 enum mzp_patience patience)
{
	int err;

	pipe_unlock(pipe);
	/* It may be another reader that keeps us off; queue behind it first. */
	if (patience == MZP_PATIENCE_ALL && mutex_lock_interruptible(&channel->read_lock)) {
		err = -ERESTARTSYS;
	} else {
		if (patience == MZP_PATIENCE_ALL)
			mzp_channel_unlock(channel);
		err = mzp_reader_fill(channel, patience);
	}
	pipe_lock(pipe);
	return err;
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

/* Pass on @size bytes of a buffer from @offset on. Return: @size, or a negative errno. */
static ssize_t mzp_pipe_put_buffer(struct pipe_inode_info *pipe, const struct bio_vec *bvec,
				   size_t offset, size_t size)
{
	struct pipe_buffer buf = {
		.page = bvec->bv_page,
		.offset = bvec->bv_offset + offset,
		.len = size,
		.ops = &nosteal_pipe_buf_ops,
	};
	ssize_t ret;

	/* If the rest stays, the ring's reference does. */
	if (offset + size < bvec->bv_len && (mzp_fault() || !try_get_page(buf.page)))
		return -ENOMEM;
	/* Takes the reference; cannot fail, since the pipe has readers and room. */
	ret = add_to_pipe(pipe, &buf);
	WARN_ON_ONCE(ret != size);
	return ret;
}

/*
 * Pass on what fits of a packet. Return: bytes passed on, by which the position has moved; or
 * a negative errno: none.
 */
static ssize_t mzp_pipe_put(struct mzp_channel *channel, struct mzp_packet *packet,
			    struct pipe_inode_info *pipe, size_t len)
{
	size_t offset = channel->offset, put = 0;
	ssize_t ret = -ENOMEM;
	unsigned int i;

	for (i = channel->buf; i < packet->nr && put < len && mzp_pipe_has_room(pipe); i++) {
		size_t size = min(packet->buf[i].bv_len - offset, len - put);

		ret = mzp_pipe_put_buffer(pipe, &packet->buf[i], offset, size);
		if (ret < 0)
			break;
		put += size;
		offset = 0;
	}
	if (put && mzp_channel_advance(channel, packet, put))
		mzp_claim_kick(channel);
	return put ?: ret;
}

static ssize_t mzp_pipe_put_all(struct mzp_channel *channel, struct pipe_inode_info *pipe,
				size_t len)
{
	struct mzp_packet *packet;
	size_t spliced = 0;

	while (spliced < len && mzp_pipe_has_room(pipe) &&
	       (packet = mzp_ring_first(&channel->ring))) {
		ssize_t ret = mzp_pipe_put(channel, packet, pipe, len - spliced);

		if (ret < 0)
			return spliced ?: ret;
		spliced += ret;
	}
	return spliced;
}

/**
 * mzp_pipe_splice_read - splice(2) from a channel to a pipe
 * @file: the channel's
 * @pos: ignored: what was read is gone
 * @pipe: locked
 * @len: bytes at most
 * @flags: SPLICE_F_NONBLOCK
 *
 * Context: process; sleeps, without the pipe's lock.
 * Return: bytes; 0: the end; or a negative errno.
 */
ssize_t mzp_pipe_splice_read(struct file *file, loff_t *pos, struct pipe_inode_info *pipe,
			     size_t len, unsigned int flags)
{
	struct mzp_channel *channel = file->private_data;
	bool nonblock = flags & SPLICE_F_NONBLOCK || file->f_flags & O_NONBLOCK;
	enum mzp_patience patience = nonblock ? MZP_PATIENCE_PAGES : MZP_PATIENCE_ALL;
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
		if (ret == -EBUSY && nonblock)
			return -EAGAIN;
		if (ret != -EAGAIN && ret != -EBUSY)
			return ret;
		ret = mzp_pipe_fill(pipe, channel, patience);
		if (ret)
			return ret;
	}
	ret = mzp_pipe_put_all(channel, pipe, len);
	if (ret > 0)
		mzp_pending_take(&channel->session->pending, ret);
	mzp_channel_unlock(channel);
	return ret;
}

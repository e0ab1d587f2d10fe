// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading a channel by PUMP: the caller's thread hands the pages to a socket, and makes
 * more when there are none.
 *
 * The socket is the caller's: a reference is held during the call only, and none of its
 * callbacks is replaced. (A reference that stays could be in a circle: the channel's own
 * file can be on its way through that very socket.) What is sent goes through the
 * socket's own operations, with the caller's credentials, so that whatever stands between
 * the socket and the wire, such as TLS, has its part.
 *
 * A packet is sent without waiting, under the channel's read lock. All waiting is done
 * in one place, without a lock, for all that can happen: packets, room in the socket,
 * its failure, the end of the session, a signal. We hang in the wait queues of channel
 * and socket during the whole call. A note says whether anything has happened since we
 * last began to look, so nothing is missed between the look and the sleep.
 *
 * TCP's sockets stay locked while all that is in the ring is sent. Acknowledgements
 * that come meanwhile are worked off when the lock is given up, which sends what has
 * gathered in one go: far fewer segments wake the receiver by themselves than if that
 * were done for each packet. That goes past the socket layer, so what is sent first in
 * a call goes through it, where security modules have their say, as about any write.
 *
 * MSG_MORE lets TCP wait with an incomplete segment for what follows. It is given only
 * when the next packet is in the ring already: nothing else is sure to follow soon.
 *
 * While packets are being sent, workers look ahead if that is worth it: when pages are
 * compressed, as soon as there is room in the ring; else only while we wait for the
 * socket.
 */
#include <linux/bvec.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/socket.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/wait.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "channel.h"
#include "claim.h"
#include "cmd.h"
#include "compat.h"
#include "reader.h"
#include "session.h"
#include "socket.h"

/* Sockets have one wait queue, some kinds perhaps one for each direction. */
#define MZP_SOCKET_QUEUES 2

/**
 * struct mzp_socket_wait - the caller in one wait queue
 * @entry: its entry there
 * @head: the queue, or NULL
 * @pump: whose
 */
struct mzp_socket_wait {
	struct wait_queue_entry entry;
	wait_queue_head_t *head;
	struct mzp_socket_pump *pump;
};

/**
 * struct mzp_socket_pump - a PUMP under way
 * @channel: what is read
 * @sock: where it goes
 * @arg: the caller's arguments
 * @user: where these are
 * @told: bytes that have been told there
 * @task: the caller
 * @woken: something has happened since it last began to look
 * @asleep: it sleeps until something happens
 * @owed: the channel's producer waits for room, and has not been told that there is some
 * @refused: the socket has no room, though it said otherwise
 * @began: the socket layer has let something pass
 * @locked: the socket is locked, and TCP is called directly
 * @encrypted: the kernel encrypts what the socket takes
 * @since: when it last took something, in jiffies
 * @table: how the socket tells of its wait queues
 * @wait: the caller in these, and in the channel's
 * @nr_waits: how many
 */
struct mzp_socket_pump {
	struct mzp_channel *channel;
	struct socket *sock;
	struct mzp_pump *arg;
	struct mzp_pump __user *user;
	u64 told;
	struct task_struct *task;
	bool woken;
	bool asleep;
	bool owed;
	bool refused;
	bool began;
	bool locked;
	bool encrypted;
	unsigned long since;
	poll_table table;
	struct mzp_socket_wait wait[1 + MZP_SOCKET_QUEUES];
	unsigned int nr_waits;
};

/* --- sending */

/* Whether the socket is TCP itself, without anything above it. */
static bool mzp_socket_is_tcp(const struct sock *sk)
{
	const struct proto *prot = READ_ONCE(sk->sk_prot);

#if MZP_SENDPAGE
	return sk->sk_protocol == IPPROTO_TCP && prot->sendpage == tcp_sendpage;
#else
	return sk->sk_protocol == IPPROTO_TCP && prot->sendmsg == tcp_sendmsg;
#endif
}

/* Whether there is TLS above TCP that has a key. (It may have been asked to be there without.) */
static bool mzp_socket_is_tls(struct sock *sk)
{
	const struct tcp_ulp_ops *ulp;
	bool is;

	if (!sk_is_tcp(sk))
		return false;
	lock_sock(sk);
	ulp = inet_csk(sk)->icsk_ulp_ops;
	is = ulp && !strcmp(ulp->name, "tls") && !mzp_socket_is_tcp(sk);
	release_sock(sk);
	return is;
}

/* Several packets may follow: lock the socket for all of them, if that can be done. */
static void mzp_socket_lock(struct mzp_socket_pump *pump)
{
	struct sock *sk = pump->sock->sk;

	if (pump->locked || !pump->began)
		return;
	lock_sock(sk);
	pump->locked = mzp_socket_is_tcp(sk);
	if (!pump->locked)
		release_sock(sk);
}

static void mzp_socket_unlock(struct mzp_socket_pump *pump)
{
	if (pump->locked)
		release_sock(pump->sock->sk);
	pump->locked = false;
}

/*
 * Send @nr buffers, the first from @offset on, @max bytes at most. Return: bytes that
 * the socket took, or a negative errno.
 */
#if MZP_SENDPAGE
static ssize_t mzp_socket_send(struct mzp_socket_pump *pump, const struct bio_vec *buf,
			       unsigned int nr, size_t offset, size_t max, bool more)
{
	struct socket *sock = pump->sock;
	ssize_t sent = 0, n = 0;

	for (; nr && max; buf++, nr--, offset = 0) {
		size_t part = min_t(size_t, buf->bv_len - offset, max);
		int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
		int at = buf->bv_offset + offset;

		if (more || (nr > 1 && part < max))
			flags |= MSG_MORE | MSG_SENDPAGE_NOTLAST;
		n = pump->locked ?
		    kernel_sendpage_locked(sock->sk, buf->bv_page, at, part, flags) :
		    kernel_sendpage(sock, buf->bv_page, at, part, flags);
		if (n <= 0)
			break;
		sent += n;
		max -= n;
		if (n < part)
			break;
	}
	return sent ?: n ?: -EPIPE;
}
#else
static ssize_t mzp_socket_send(struct mzp_socket_pump *pump, const struct bio_vec *buf,
			       unsigned int nr, size_t offset, size_t max, bool more)
{
	struct msghdr msg = {
		.msg_flags = MSG_SPLICE_PAGES | MSG_DONTWAIT | MSG_NOSIGNAL |
			     (more ? MSG_MORE : 0),
	};
	struct socket *sock = pump->sock;
	size_t bytes = 0;
	unsigned int i;

	for (i = 0; i < nr; i++)
		bytes += buf[i].bv_len;
	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, buf, nr, bytes);
	iov_iter_advance(&msg.msg_iter, offset);
	iov_iter_truncate(&msg.msg_iter, max);
	return (pump->locked ? tcp_sendmsg_locked(sock->sk, &msg, msg_data_left(&msg)) :
			       sock_sendmsg(sock, &msg)) ?: -EPIPE;
}
#endif

/*
 * The socket has no room. If it is TLS above TCP, see that TCP sends what it has.
 *
 * Pages are sent with the word that more follow (MSG_SENDPAGE_NOTLAST). TLS passes that on,
 * and so TCP leaves the sending of a record to the last page, or to itself when it finds
 * no room. But TLS looks for room first, and the last page never comes. When nothing is
 * under way to the destination, nothing comes back either that would make TCP send, and both
 * wait for ever. (MSG_SPLICE_PAGES knows no such word.)
 *
 * There is no call but that of uncorking that has TCP send what it has. To a socket that is
 * not corked it does nothing else, and one that is corked by its owner stays so.
 */
#if MZP_SENDPAGE
static void mzp_socket_push(const struct mzp_socket_pump *pump)
{
	struct sock *sk = pump->sock->sk;
	bool corked;

	if (!sk_is_tcp(sk) || mzp_socket_is_tcp(sk))
		return;
	lock_sock(sk);
	corked = tcp_sk(sk)->nonagle & TCP_NAGLE_CORK;
	release_sock(sk);
	if (!corked)
		tcp_sock_set_cork(sk, false);
}
#else
static void mzp_socket_push(const struct mzp_socket_pump *pump)
{
}
#endif

/* The position moves by what the socket took. */
static void mzp_socket_took(struct mzp_socket_pump *pump, struct mzp_packet *packet, size_t bytes)
{
	struct mzp_channel *channel = pump->channel;

	pump->arg->bytes += bytes;
	if (pump->encrypted)
		mzp_stat_add(&channel->stats.bytes_encrypted, bytes);
	mzp_pending_take(&channel->session->pending, bytes);
	pump->owed |= mzp_channel_consume(channel, packet, bytes);
}

/* How many bytes may still go. */
static u64 mzp_socket_left(const struct mzp_pump *arg)
{
	if (!arg->max)
		return U64_MAX;
	return arg->max > arg->bytes ? arg->max - arg->bytes : 0;
}

/*
 * Whether something is sure to follow when the ring's first packet was sent: not if that
 * will not be sent to its end.
 */
static bool mzp_socket_more(const struct mzp_channel *channel, const struct mzp_packet *packet,
			    u64 max)
{
	u64 bytes = 0;
	unsigned int i;

	if (mzp_ring_fill(&channel->ring) < 2)
		return false;
	for (i = channel->buf; i < packet->nr; i++)
		bytes += packet->buf[i].bv_len;
	return bytes - channel->offset < max;
}

/* Tell who makes packets that there is room for some. */
static void mzp_socket_settle(struct mzp_socket_pump *pump)
{
	if (pump->owed)
		mzp_claim_kick(pump->channel);
	pump->owed = false;
}

/*
 * Send what is in the ring, which is locked. Return: 0: all, or as much as may go;
 * -EAGAIN: as much as the socket takes; or its error.
 */
static int mzp_socket_empty_ring(struct mzp_socket_pump *pump)
{
	struct mzp_channel *channel = pump->channel;
	struct mzp_packet *packet;
	ssize_t sent = 0;
	u64 max;

	while ((packet = mzp_ring_first(&channel->ring)) && (max = mzp_socket_left(pump->arg))) {
		mzp_socket_lock(pump);
		sent = mzp_socket_send(pump, &packet->buf[channel->buf],
				       packet->nr - channel->buf, channel->offset,
				       min_t(u64, max, INT_MAX),
				       mzp_socket_more(channel, packet, max));
		if (sent < 0)
			break;
		pump->since = jiffies;
		pump->refused = false;
		pump->began = true;
		mzp_socket_took(pump, packet, sent);
		if (channel->comp.ops)
			mzp_socket_settle(pump);
		if (mzp_session_failed(channel->session) || signal_pending(current))
			break;
		/* With the socket locked: nobody spins for it, and TCP sleeps with it, too. */
		cond_resched();
	}
	mzp_socket_unlock(pump);
	if (sent == -EAGAIN) {
		mzp_stat_add(&channel->stats.socket_full, 1);
		mzp_socket_push(pump);
	}
	return min_t(ssize_t, sent, 0);
}

/* --- waiting */

static int mzp_socket_wake(struct wait_queue_entry *entry, unsigned int mode, int sync, void *key)
{
	struct mzp_socket_wait *wait = container_of(entry, struct mzp_socket_wait, entry);

	/* Before we look whether it sleeps; pairs with mzp_socket_sleep(). */
	smp_store_mb(wait->pump->woken, true);
	/* If not, it may wait for something else, such as a page, and is left alone. */
	return READ_ONCE(wait->pump->asleep) ? default_wake_function(entry, mode, sync, key) : 0;
}

static void mzp_socket_hook(struct mzp_socket_pump *pump, wait_queue_head_t *head)
{
	struct mzp_socket_wait *wait = &pump->wait[pump->nr_waits++];

	init_waitqueue_func_entry(&wait->entry, mzp_socket_wake);
	wait->entry.private = pump->task;
	wait->pump = pump;
	wait->head = head;
	add_wait_queue(head, &wait->entry);
}

static void mzp_socket_queue(struct file *file, wait_queue_head_t *head, poll_table *table)
{
	struct mzp_socket_pump *pump = container_of(table, struct mzp_socket_pump, table);

	if (!WARN_ON_ONCE(pump->nr_waits == ARRAY_SIZE(pump->wait)))
		mzp_socket_hook(pump, head);
}

static void mzp_socket_unhook(struct mzp_socket_pump *pump)
{
	while (pump->nr_waits--)
		remove_wait_queue(pump->wait[pump->nr_waits].head,
				  &pump->wait[pump->nr_waits].entry);
}

/* Sleep until something happens that has not happened since mzp_socket_look(). */
static void mzp_socket_sleep(struct mzp_socket_pump *pump, long timeout)
{
	set_current_state(TASK_INTERRUPTIBLE);
	/* Pairs with mzp_socket_wake(). */
	smp_store_mb(pump->asleep, true);
	if (!READ_ONCE(pump->woken))
		schedule_timeout(timeout);
	WRITE_ONCE(pump->asleep, false);
	__set_current_state(TASK_RUNNING);
}

/* All that is looked at from now on is newer than what we were woken for so far. */
static void mzp_socket_look(struct mzp_socket_pump *pump)
{
	/* Pairs with mzp_socket_wake(). */
	smp_store_mb(pump->woken, false);
}

static __poll_t mzp_socket_poll(const struct mzp_socket_pump *pump)
{
	return vfs_poll(pump->sock->file, NULL);
}

/* What others of the caller's threads can look at meanwhile. */
static int mzp_socket_tell(struct mzp_socket_pump *pump)
{
	struct mzp_pump __user *user = pump->user;

	if (pump->told == pump->arg->bytes)
		return 0;
	pump->told = pump->arg->bytes;
	return put_user(pump->told, &user->bytes);
}

/* Return: 0: it is worth another look; -EAGAIN; -ETIMEDOUT; -EFAULT. */
static int mzp_socket_wait_room(struct mzp_socket_pump *pump)
{
	/* One more, since the first is not a whole one. */
	unsigned long stall = msecs_to_jiffies(pump->arg->stall_ms) + 1;
	unsigned long waited = jiffies - pump->since;
	long timeout = pump->arg->stall_ms ? stall - waited : MAX_SCHEDULE_TIMEOUT;
	int err;

	pump->arg->stop = MZP_PUMP_SOCKET;
	if (pump->arg->flags & MZP_PUMP_NONBLOCK)
		return -EAGAIN;
	if (pump->arg->stall_ms && waited >= stall)
		return -ETIMEDOUT;
	err = mzp_socket_tell(pump);
	if (err)
		return err;
	mzp_socket_settle(pump);
	/* Also has the socket tell when there is room; it may be there already. */
	if (!(mzp_socket_poll(pump) & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
		mzp_socket_sleep(pump, timeout);
		return 0;
	}
	/* There is room, but no memory for what is to be put there. */
	if (pump->refused)
		schedule_timeout_interruptible(1);
	pump->refused = true;
	return 0;
}

/* Return: 0: it is worth another look; -EAGAIN; or the socket's error. */
static int mzp_socket_wait_packet(struct mzp_socket_pump *pump)
{
	struct mzp_channel *channel = pump->channel;
	int err;

	pump->arg->stop = MZP_PUMP_SOCKET;
	if (mzp_socket_poll(pump) & (EPOLLERR | EPOLLHUP | EPOLLRDHUP) ||
	    READ_ONCE(pump->sock->sk->sk_shutdown) & SEND_SHUTDOWN) {
		err = sock_error(pump->sock->sk);
		return err ?: -EPIPE;
	}
	pump->arg->stop = MZP_PUMP_CHANNEL;
	if (pump->arg->flags & MZP_PUMP_NONBLOCK)
		return -EAGAIN;
	mzp_claim_wait_begin(channel);
	if (!mzp_reader_ready(channel))
		mzp_socket_sleep(pump, MAX_SCHEDULE_TIMEOUT);
	mzp_claim_wait_end(channel, !signal_pending(current) && !mzp_ring_fill(&channel->ring));
	/* The destination's time begins when there is something for it. */
	pump->since = jiffies;
	return 0;
}

/* --- the whole */

/* The ring is empty. Return: as mzp_socket_wait_packet(). */
static int mzp_socket_fill_ring(struct mzp_socket_pump *pump)
{
	enum mzp_patience patience = pump->arg->flags & MZP_PUMP_NONBLOCK ? MZP_PATIENCE_PAGES :
									    MZP_PATIENCE_ALL;
	int ret;

	pump->arg->stop = MZP_PUMP_CHANNEL;
	ret = mzp_reader_produce(pump->channel, patience);
	/* We have just seen that there is room; whoever else runs it may not have. */
	if (ret == -EBUSY)
		mzp_socket_settle(pump);
	pump->owed = false;
	if (ret && ret != -EBUSY)
		return min(ret, 0);
	return mzp_socket_wait_packet(pump);
}

/* Return: 1: go on; 0: the end, or as much as may go; or a negative errno. */
static int mzp_socket_step(struct mzp_socket_pump *pump)
{
	struct mzp_pump *arg = pump->arg;
	int ret;

	mzp_socket_look(pump);
	arg->stop = MZP_PUMP_MAX;
	if (!mzp_socket_left(arg))
		return 0;
	arg->stop = MZP_PUMP_CHANNEL;
	if (signal_pending(current))
		return -ERESTARTSYS;
	ret = mzp_channel_lock(pump->channel, arg->flags & MZP_PUMP_NONBLOCK);
	if (ret == -EBUSY)
		return -EAGAIN;
	if (ret == -EAGAIN)
		return mzp_socket_fill_ring(pump) ?: 1;
	if (ret <= 0) {
		if (!ret)
			arg->stop = MZP_PUMP_END;
		return ret;
	}
	ret = mzp_socket_empty_ring(pump);
	mzp_channel_unlock(pump->channel);
	if (ret == -EAGAIN)
		return mzp_socket_wait_room(pump) ?: 1;
	arg->stop = MZP_PUMP_SOCKET;
	return ret ?: 1;
}

/* Whether it is the socket that is to blame for an error, and not only at the moment. */
static bool mzp_socket_is_broken(const struct mzp_socket_pump *pump, int err)
{
	return pump->arg->stop == MZP_PUMP_SOCKET && err && err != -EAGAIN &&
	       err != -ERESTARTSYS && err != -EFAULT;
}

static int mzp_socket_run(struct mzp_socket_pump *pump)
{
	int ret;

	pump->encrypted = mzp_socket_is_tls(pump->sock->sk);
	mzp_socket_hook(pump, &pump->channel->readable);
	init_poll_funcptr(&pump->table, mzp_socket_queue);
	vfs_poll(pump->sock->file, &pump->table);
	do {
		cond_resched();
		ret = mzp_socket_tell(pump) ?: mzp_socket_step(pump);
	} while (ret > 0);
	mzp_socket_unhook(pump);
	mzp_socket_settle(pump);
	mzp_claim_pass_on(pump->channel);
	if (mzp_socket_is_broken(pump, ret))
		WRITE_ONCE(pump->channel->session->cut_off, true);
	return ret;
}

/**
 * mzp_ioctl_pump - MZP_IOC_PUMP
 * @cmd: the command
 * @channel: whose file it was called on
 *
 * Context: process; sleeps, interruptibly.
 * Return: 0 or a negative errno.
 */
int mzp_ioctl_pump(struct mzp_cmd *cmd, struct mzp_channel *channel)
{
	struct mzp_socket_pump pump = {
		.channel = channel,
		.arg = cmd->arg,
		.user = cmd->user,
		.task = current,
		.since = jiffies,
	};
	int err;

	if (pump.arg->flags & ~MZP_PUMP_NONBLOCK || pump.arg->__reserved)
		return -EINVAL;
	pump.told = pump.arg->bytes;
	pump.sock = sockfd_lookup(pump.arg->socket, &err);
	if (!pump.sock)
		return err;
	err = pump.sock->type == SOCK_STREAM ? mzp_socket_run(&pump) : -EOPNOTSUPP;
	sockfd_put(pump.sock);
	/* Also what an error came behind. Whoever is interrupted goes on from there. */
	return mzp_cmd_reply(cmd) ?: err;
}

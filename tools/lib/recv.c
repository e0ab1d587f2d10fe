// SPDX-License-Identifier: LGPL-2.1-or-later
/* An incoming migration: its life from open to close, its failure, its progress. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "recv_accept.h"
#include "recv_check.h"
#include "recv_worker.h"
#include "sized.h"

#define MAX_CHANNELS 255

int mfd_recv_params_init(struct mfd_recv_params *params)
{
	static const struct mfd_recv_params defaults = {
		.channels = 2,
		.method = MFD_METHOD_NONE,
		.stall_ms = 60000,
	};

	return mfd_sized_give(params, &defaults, sizeof(defaults));
}

static int check_params(const struct mfd_recv_params *params, struct mfd_error *err)
{
	struct mfd_compat compat;

	if (params->channels < 1 || params->channels > MAX_CHANNELS)
		return mfd_error_set(err, EINVAL, "channels: 1 to %u are possible, not %u",
				     MAX_CHANNELS, params->channels);
	if (params->method != MFD_METHOD_NONE && !mfd_recv_method_find(params->method))
		return mfd_error_set(err, EOPNOTSUPP, "there is no compression method %d",
				     params->method);
	if (params->compat && mfd_sized_take(&compat, sizeof(compat), params->compat))
		return mfd_error_set(err, EINVAL, "struct mfd_compat has no size");
	if (params->machine && strlen(params->machine) > 255)
		return mfd_error_set(err, EINVAL, "the machine type's name is too long");
	if (params->tls && !params->tls->server)
		return mfd_error_set(err, EINVAL,
				     "tls: a destination's credentials are wanted (mfd_tls_destination), not a source's");
	return 0;
}

/* What has been checked. */
static void copy_params(struct mfd_recv *recv, const struct mfd_recv_params *params)
{
	recv->params = *params;
	if (params->machine) {
		strcpy(recv->machine, params->machine);
		recv->params.machine = recv->machine;
	}
	if (params->compat) {
		mfd_sized_take(&recv->compat, sizeof(recv->compat), params->compat);
		recv->params.compat = &recv->compat;
	}
	recv->rules.method = params->method;
	recv->rules.blocks = &recv->blocks;
	recv->rules.no_stale_size = params->compat && recv->compat.major >= 9;
}

static void init_lock(struct mfd_recv *recv)
{
	pthread_condattr_t attr;

	/* none of these can fail with the attributes used here */
	pthread_mutex_init(&recv->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&recv->changed, &attr);
	pthread_condattr_destroy(&attr);
}

static int init_workers(struct mfd_recv *recv)
{
	unsigned int i;

	recv->workers = calloc(recv->params.channels, sizeof(*recv->workers));
	if (!recv->workers)
		return -ENOMEM;
	for (i = 0; i < recv->params.channels; i++) {
		recv->workers[i].recv = recv;
		recv->workers[i].socket.link = MFD_LINK_NONE;
		recv->workers[i].channel.id = i;
		recv->workers[i].channel.rules = &recv->rules;
	}
	return 0;
}

static int open_recv(struct mfd_recv **out, const struct mfd_recv_params *params,
		     struct mfd_error *err)
{
	struct mfd_recv *recv;
	int ret = check_params(params, err);

	if (ret)
		return ret;
	recv = calloc(1, sizeof(*recv));
	if (!recv)
		return mfd_error_errno(err, ENOMEM, "cannot receive");
	recv->failure = MFD_ERROR_NONE;
	recv->listener.fd = -1;
	recv->main_socket.link = MFD_LINK_NONE;
	copy_params(recv, params);
	init_lock(recv);
	recv->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = recv->cancel < 0 ? -errno : init_workers(recv);
	if (ret) {
		mfd_error_errno(err, -ret, "cannot receive");
		mfd_recv_close(recv);
		return ret;
	}
	*out = recv;
	return 0;
}

int mfd_recv_open(struct mfd_recv **out, const struct mfd_recv_params *params,
		  struct mfd_error *err)
{
	struct mfd_recv_params own;

	switch (mfd_sized_take(&own, sizeof(own), params)) {
	case 0:
		return open_recv(out, &own, err);
	case -E2BIG:
		return mfd_error_set(err, E2BIG,
				     "this libmfd-recv is too old for what the program wants");
	default:
		return mfd_error_set(err, EINVAL, "struct mfd_recv_params has no size");
	}
}

static int expect(struct mfd_recv *recv, uint32_t state, const char *what,
		  struct mfd_error *err)
{
	if (recv->state == state)
		return 0;
	return mfd_error_set(err, EINVAL, "%s for %s", recv->state < state ? "too early" :
			     "too late", what);
}

int mfd_recv_block_add(struct mfd_recv *recv, const char *idstr, void *addr, uint64_t length,
		       unsigned int flags, struct mfd_error *err)
{
	int ret = expect(recv, MFD_RECV_OPEN, "adding a block", err);

	if (!ret && flags & ~MFD_RECV_FRESH)
		return mfd_error_set(err, EINVAL, "unknown flags 0x%x", flags);
	return ret ? ret : mfd_recv_blocks_add(&recv->blocks, idstr, addr, length,
					       flags & MFD_RECV_FRESH, err);
}

int mfd_recv_block_add_fd(struct mfd_recv *recv, const char *idstr, int fd, uint64_t offset,
			  uint64_t length, struct mfd_error *err)
{
	int ret = expect(recv, MFD_RECV_OPEN, "adding a block", err);

	return ret ? ret : mfd_recv_blocks_map(&recv->blocks, idstr, fd, offset, length, err);
}

const char *mfd_recv_address(struct mfd_recv *recv)
{
	return recv->listener.text;
}

/* Whoever waits for something need not do so any more. Call with the lock. */
static void wake_all(struct mfd_recv *recv)
{
	uint64_t one = 1;

	/* cannot fail: nobody takes anything out, but nobody puts in so much either */
	if (write(recv->cancel, &one, sizeof(one)) < 0)
		recv->failure.code = errno;
	pthread_cond_broadcast(&recv->changed);
}

void mfd_recv_fail(struct mfd_recv *recv, const struct mfd_error *why)
{
	pthread_mutex_lock(&recv->lock);
	if (!recv->failure.code && !recv->concluded)
		recv->failure = *why;
	wake_all(recv);
	pthread_mutex_unlock(&recv->lock);
}

void mfd_recv_cancel(struct mfd_recv *recv)
{
	struct mfd_error why = MFD_ERROR_NONE;

	mfd_error_set(&why, ECANCELED, "the migration was cancelled");
	mfd_recv_fail(recv, &why);
}

static void tell(struct mfd_recv *recv)
{
	struct mfd_recv_progress now = { .size = sizeof(now) };
	uint64_t time = mfd_now();

	if (!recv->params.progress || time - recv->told < MFD_RECV_TICK_MS * 1000000ull)
		return;
	recv->told = time;
	mfd_recv_progress(recv, &now);
	recv->params.progress(&now, recv->params.opaque);
}

/* Return: 0 or the error that the migration has failed with. */
static int failed(struct mfd_recv *recv, struct mfd_error *err)
{
	int code;

	pthread_mutex_lock(&recv->lock);
	code = recv->failure.code;
	if (code && err)
		mfd_error_copy(err, &recv->failure);
	pthread_mutex_unlock(&recv->lock);
	return -code;
}

static int check_failed(void *recv, struct mfd_error *err)
{
	return failed(recv, err);
}

int mfd_recv_listen(struct mfd_recv *recv, const char *address, struct mfd_error *err)
{
	uint32_t stall_ms = recv->params.stall_ms;
	struct mfd_wait wait = {
		.deadline = stall_ms ? mfd_wait_until(stall_ms) : UINT64_MAX,
		.check = check_failed,
		.opaque = recv,
	};
	int ret = expect(recv, MFD_RECV_OPEN, "listening", err);

	if (ret)
		return ret;
	if (!recv->blocks.first)
		return mfd_error_set(err, EINVAL, "there is no block to receive");
	/* room for one too many, so that it is noticed */
	ret = mfd_recv_listener_open(&recv->listener, address, recv->params.channels + 2,
				     &wait, err);
	if (!ret)
		recv->state = MFD_RECV_LISTENING;
	return ret;
}

int mfd_recv_check(struct mfd_recv *recv, struct mfd_error *err)
{
	uint64_t heard = recv->heard, patience = recv->params.stall_ms * 1000000ull;
	int ret;

	tell(recv);
	ret = failed(recv, err);
	if (ret)
		return ret;
	if (patience && heard && mfd_now() > heard + patience)
		return mfd_error_set(err, ETIMEDOUT,
				     "the source has sent nothing for %.1f s, on no connection",
				     recv->params.stall_ms / 1e3);
	return 0;
}

void mfd_recv_wait_change(struct mfd_recv *recv, unsigned int ms)
{
	uint64_t then = mfd_now() + ms * 1000000ull;
	struct timespec until = {
		.tv_sec = then / 1000000000, .tv_nsec = then % 1000000000,
	};

	pthread_cond_timedwait(&recv->changed, &recv->lock, &until);
}

static struct mfd_recv *recv_of(struct mfd_recv_main *in)
{
	return (struct mfd_recv *)((char *)in - offsetof(struct mfd_recv, main));
}

static int flush(struct mfd_recv_main *in, struct mfd_error *err)
{
	return mfd_recv_workers_flush(recv_of(in), err);
}

/* There is always room for the few bytes, unless the source does not read them. */
static int reply(struct mfd_recv_main *in, const void *data, size_t size, struct mfd_error *err)
{
	struct mfd_link *link = &recv_of(in)->main_socket.link;
	ssize_t n = mfd_link_send(link, data, size);

	if (n < 0 && errno != EAGAIN) {
		n = mfd_error_errno(err, errno, "the source is gone");
		mfd_link_explain(link, true, err);
		return n;
	}
	return n == (ssize_t)size ? 0 : mfd_recv_reject(err, RECV_DEAF, "%s", "");
}

static int receive(struct mfd_recv *recv, struct mfd_error *err)
{
	int ret = mfd_recv_accept(recv, err);

	if (!ret)
		ret = mfd_recv_workers_start(recv, err);
	if (ret)
		return ret;
	recv->main.input = &recv->main_socket.input;
	recv->main.blocks = &recv->blocks;
	recv->main.machine = recv->params.machine;
	recv->main.uuid = recv->params.uuid;
	recv->main.compat = recv->params.compat;
	recv->main.switchover_ack = recv->params.switchover_ack;
	recv->main.flush = flush;
	recv->main.reply = reply;
	recv->main.device_state = recv->params.device_state;
	recv->main.opaque = recv->params.opaque;
	ret = mfd_recv_main_run(&recv->main, err);
	if (ret)
		return ret;
	/* without a return path, libmfd's source ends the channels when it sees this */
	if (!recv->main.return_path)
		shutdown(recv->main_socket.link.fd, SHUT_WR);
	return mfd_recv_workers_finish(recv, err);
}

/*
 * All is there. A source with a return path is told so, and lets go of the guest. That is
 * irrevocable, so whoever is about to fail or to cancel comes before it or is too late. The
 * channels of such a source are called off.
 */
static int conclude(struct mfd_recv *recv, struct mfd_error *err)
{
	int ret;

	pthread_mutex_lock(&recv->lock);
	ret = -recv->failure.code;
	if (!ret)
		ret = mfd_recv_main_shut(&recv->main, false, err);
	if (!ret) {
		recv->concluded = true;
		wake_all(recv);
	}
	pthread_mutex_unlock(&recv->lock);
	return ret;
}

/*
 * Without a return path, nothing but the way in which a connection ends tells the
 * source how the migration ended, and one that was read to its end would end in good
 * order. So TCP is told to reset it. A UNIX socket only does that with something
 * unread, which there may be none of; there, a byte for the source has to do, since a
 * destination never says anything else.
 */
static void refuse(struct mfd_recv *recv, struct mfd_link *link)
{
	static const struct linger reset = { .l_onoff = 1 };

	if (link == &recv->main_socket.link && recv->main.return_path)
		mfd_recv_main_shut(&recv->main, true, NULL);
	else if (recv->listener.address.local)
		mfd_link_send(link, "", 1);
	else
		setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}

static void close_socket(struct mfd_recv *recv, struct mfd_recv_socket *socket, bool failed)
{
	if (socket->link.fd < 0)
		return;
	if (failed)
		refuse(recv, &socket->link);
	mfd_link_close(&socket->link, false);
}

/*
 * The main connection last, as in QEMU: a source that sees its end finds that of
 * the channels.
 */
static void close_sockets(struct mfd_recv *recv, bool failed)
{
	unsigned int i;

	for (i = 0; recv->workers && i < recv->params.channels; i++)
		close_socket(recv, &recv->workers[i].socket, failed);
	close_socket(recv, &recv->main_socket, failed);
}

int mfd_recv_run(struct mfd_recv *recv, struct mfd_error *err)
{
	struct mfd_error why = MFD_ERROR_NONE;
	int ret = expect(recv, MFD_RECV_LISTENING, "receiving", err);

	if (ret)
		return ret;
	recv->state = MFD_RECV_RECEIVING;
	if (receive(recv, &why) || conclude(recv, &why))
		mfd_recv_fail(recv, &why);
	mfd_recv_workers_join(recv);
	ret = failed(recv, err);
	recv->ended = mfd_now();
	recv->state = ret ? MFD_RECV_FAILED : MFD_RECV_COMPLETE;
	close_sockets(recv, ret);
	return ret;
}

/* It is receiving only when the source is there. */
static uint32_t state(const struct mfd_recv *recv)
{
	return recv->state == MFD_RECV_RECEIVING && !recv->heard ? MFD_RECV_LISTENING : recv->state;
}

static uint64_t elapsed(const struct mfd_recv *recv)
{
	uint64_t begun = recv->begun, ended = recv->ended;

	return begun ? (ended ? ended : mfd_now()) - begun : 0;
}

int mfd_recv_progress(struct mfd_recv *recv, struct mfd_recv_progress *progress)
{
	struct mfd_recv_progress own = {
		.state = state(recv),
		.syncs = recv->main.syncs,
		.normal = recv->main.normal,
		.zero = recv->main.zero,
		.cleared = recv->main.cleared,
		.device_bytes = recv->main.device_bytes,
		.bytes = recv->main_socket.input.bytes,
		.strangers = recv->strangers,
		.ns = elapsed(recv),
	};
	struct mfd_recv_channel_stats of = { .size = sizeof(of) };
	unsigned int i;

	for (i = 0; i < recv->params.channels; i++) {
		mfd_recv_channel_stats(recv, i, &of);
		own.packets += of.packets;
		own.normal += of.normal;
		own.zero += of.zero;
		own.cleared += of.cleared;
		own.bytes += of.bytes;
	}
	return mfd_sized_give(progress, &own, sizeof(own));
}

int mfd_recv_channel_stats(struct mfd_recv *recv, unsigned int id,
			   struct mfd_recv_channel_stats *stats)
{
	struct mfd_recv_channel_stats own;
	struct mfd_recv_worker *worker;

	if (id >= recv->params.channels)
		return -EINVAL;
	worker = &recv->workers[id];
	own = (struct mfd_recv_channel_stats) {
		.channel = id,
		.packets = worker->channel.packets,
		.normal = worker->channel.normal,
		.zero = worker->channel.zero,
		.cleared = worker->channel.cleared,
		.syncs = worker->channel.syncs,
		.bytes = worker->socket.input.bytes,
	};
	return mfd_sized_give(stats, &own, sizeof(own));
}

void mfd_recv_close(struct mfd_recv *recv)
{
	unsigned int i;

	if (!recv)
		return;
	mfd_recv_listener_close(&recv->listener);
	for (i = 0; recv->workers && i < recv->params.channels; i++)
		mfd_recv_channel_close(&recv->workers[i].channel);
	free(recv->workers);
	mfd_recv_blocks_free(&recv->blocks);
	if (recv->cancel >= 0)
		close(recv->cancel);
	pthread_cond_destroy(&recv->changed);
	pthread_mutex_destroy(&recv->lock);
	free(recv);
}

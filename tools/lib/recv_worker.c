// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Channels' threads, and where they meet the main connection: at a SYNC.
 *
 * A channel counts the SYNCs that it came to, and waits until as many are
 * released. The main connection releases one more when all channels have come
 * that far. So whatever a channel wrote before a SYNC is in memory before any
 * channel goes on behind it: the lock orders the one before the other.
 */
#include <errno.h>

#include "recv_check.h"
#include "recv_worker.h"
#include "thread.h"

static struct mfd_recv_worker *worker_of(struct mfd_recv_channel *channel)
{
	return (struct mfd_recv_worker *)((char *)channel -
					  offsetof(struct mfd_recv_worker, channel));
}

static int wait_at_sync(struct mfd_recv_channel *channel, struct mfd_error *err)
{
	struct mfd_recv_worker *worker = worker_of(channel);
	struct mfd_recv *recv = worker->recv;
	int ret = 0;

	pthread_mutex_lock(&recv->lock);
	worker->reached++;
	pthread_cond_broadcast(&recv->changed);
	while (worker->reached > recv->released && !recv->failure.code && !recv->concluded)
		pthread_cond_wait(&recv->changed, &recv->lock);
	if (recv->failure.code || recv->concluded)
		ret = mfd_error_set(err, ECANCELED, "the migration is over already");
	pthread_mutex_unlock(&recv->lock);
	return ret;
}

static void *work(void *data)
{
	struct mfd_recv_worker *worker = data;
	struct mfd_recv *recv = worker->recv;
	struct mfd_error why = MFD_ERROR_NONE;

	if (mfd_recv_channel_run(&worker->channel, &why))
		mfd_recv_fail(recv, &why);
	pthread_mutex_lock(&recv->lock);
	worker->ended = true;
	pthread_cond_broadcast(&recv->changed);
	pthread_mutex_unlock(&recv->lock);
	return NULL;
}

static int start(struct mfd_recv_worker *worker, struct mfd_error *err)
{
	int ret = mfd_thread_start(&worker->thread, work, worker);

	if (ret)
		return mfd_error_errno(err, ret, "channel %u: no thread", worker->channel.id);
	worker->started = true;
	return 0;
}

int mfd_recv_workers_start(struct mfd_recv *recv, struct mfd_error *err)
{
	struct mfd_recv_worker *worker;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < recv->params.channels && !ret; i++) {
		worker = &recv->workers[i];
		worker->channel.input = &worker->socket.input;
		worker->channel.rules = &recv->rules;
		worker->channel.sync = wait_at_sync;
		worker->channel.packet = recv->params.packet;
		worker->channel.opaque = recv->params.opaque;
		ret = mfd_recv_channel_open(&worker->channel, err);
		if (!ret)
			ret = start(worker, err);
	}
	return ret;
}

/*
 * Wait for the others, @ms at most. Call with the lock, which is let go of meanwhile.
 */
static int wait_for_others(struct mfd_recv *recv, unsigned int ms, struct mfd_error *err)
{
	int ret;

	mfd_recv_wait_change(recv, ms);
	pthread_mutex_unlock(&recv->lock);
	ret = mfd_recv_check(recv, err);
	pthread_mutex_lock(&recv->lock);
	return ret;
}

/* Wait until @worker is at the SYNC after those that are released. */
static int wait_reached(struct mfd_recv *recv, struct mfd_recv_worker *worker,
			struct mfd_error *err)
{
	int ret = 0;

	while (worker->reached == recv->released && !ret) {
		if (worker->ended && !recv->failure.code)
			return mfd_recv_reject(err, RECV_SYNC_MISSING, "channel %u",
					       worker->channel.id);
		ret = wait_for_others(recv, MFD_RECV_TICK_MS, err);
	}
	return ret;
}

int mfd_recv_workers_flush(struct mfd_recv *recv, struct mfd_error *err)
{
	unsigned int i;
	int ret = 0;

	pthread_mutex_lock(&recv->lock);
	for (i = 0; i < recv->params.channels && !ret; i++)
		ret = wait_reached(recv, &recv->workers[i], err);
	if (!ret) {
		recv->released++;
		pthread_cond_broadcast(&recv->changed);
	}
	pthread_mutex_unlock(&recv->lock);
	return ret;
}

/*
 * Has all come on the channel? A source with a return path does not end its channels before
 * it is told that all has come. There, it has if nothing is behind the last SYNC, which a
 * source has at its end: first nothing that could be read, then nothing that was read.
 */
static bool complete(struct mfd_recv *recv, struct mfd_recv_worker *worker)
{
	if (worker->ended || !recv->main.return_path)
		return worker->ended;
	return worker->reached == recv->released &&
	       mfd_recv_socket_idle(&worker->socket) &&
	       mfd_recv_channel_settled(&worker->channel);
}

static int wait_complete(struct mfd_recv *recv, struct mfd_recv_worker *worker,
			 struct mfd_error *err)
{
	int ret = 0;

	while (!complete(recv, worker) && !ret) {
		if (worker->reached > recv->released)
			return mfd_recv_reject(err, RECV_SYNC_EXTRA, "channel %u",
					       worker->channel.id);
		/* nobody tells when there is nothing to be read any more */
		ret = wait_for_others(recv, recv->main.return_path ? 1 : MFD_RECV_TICK_MS, err);
	}
	return ret;
}

int mfd_recv_workers_finish(struct mfd_recv *recv, struct mfd_error *err)
{
	unsigned int i;
	int ret = 0;

	pthread_mutex_lock(&recv->lock);
	for (i = 0; i < recv->params.channels && !ret; i++)
		ret = wait_complete(recv, &recv->workers[i], err);
	pthread_mutex_unlock(&recv->lock);
	/* the last of them may have ended badly */
	return ret ? ret : mfd_recv_check(recv, err);
}

void mfd_recv_workers_join(struct mfd_recv *recv)
{
	unsigned int i;

	for (i = 0; i < recv->params.channels; i++)
		if (recv->workers[i].started)
			pthread_join(recv->workers[i].thread, NULL);
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Pumps: one thread for each channel that brings its packets to its socket.
 *
 * The module does it, in a system call of the pump's: it makes the packets that
 * are missing and hands their pages to the socket, until the stream ends. If the
 * session's params want splice, the pump does it by itself: splice.c. It has to if they want
 * TLS and the kernel does not encrypt: records.c.
 *
 * A destination that goes away is noticed either way even while there is nothing to
 * send, and so is one that takes nothing while there is.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/multifd_zp.h>

#include "block.h"
#include "device.h"
#include "error.h"
#include "pump.h"
#include "records.h"
#include "splice.h"
#include "thread.h"

int mfd_pump_error(struct mfd_pump *pump, int code, struct mfd_error *err)
{
	if (code == EPIPE || code == ECONNRESET)
		mfd_error_set(err, code,
			      "channel %u: the destination closed the connection; its own log says why%s",
			      pump->id, mfd_session_suspects_tls(pump->session));
	else
		mfd_error_errno(err, code, "channel %u", pump->id);
	mfd_link_explain(&pump->socket, !pump->session->rounds, err);
	mfd_error_channel(err, pump->id);
	return -code;
}

int mfd_pump_stalled(const struct mfd_pump *pump, struct mfd_error *err)
{
	const struct mfd_params *params = &pump->session->params;

	return mfd_error_set(err, ETIMEDOUT,
			     "channel %u: the destination has accepted nothing for %u s (are its multifd-channels %u, and is the flush right for its version?)",
			     pump->id, params->stall_ms / 1000, params->channels);
}

int mfd_pump_renew_key(struct mfd_pump *pump, struct mfd_error *err)
{
	struct mfd_tls_conn *tls = pump->socket.tls;
	int ret;

	if (!tls || !tls->kernel || pump->call.bytes - pump->counted < tls->chunk)
		return 0;
	pump->counted = pump->call.bytes;
	ret = tls->ops->renew(tls, err);
	if (ret)
		mfd_error_prefix(err, "channel %u", pump->id);
	return ret;
}

/* Let the module send. @call->stop says why it does not any more. */
static int send_some(struct mfd_pump *pump, struct mfd_error *err)
{
	struct mzp_pump *call = &pump->call;
	int ret;

	/* whose an error is that comes before it could be said */
	call->stop = MZP_PUMP_CHANNEL;
	if (pump->socket.tls)
		call->max = pump->counted + pump->socket.tls->chunk;
	ret = mfd_device_pump(pump->channel, call, err);
	if (!ret && call->stop == MZP_PUMP_MAX)
		return mfd_pump_renew_key(pump, err);
	if (!ret || ret == -EINTR)
		return ret;
	if (call->stop != MZP_PUMP_SOCKET)
		mfd_error_prefix(err, "channel %u", pump->id);
	else if (ret == -ETIMEDOUT)
		mfd_pump_stalled(pump, err);
	else
		mfd_pump_error(pump, -ret, err);
	return ret;
}

/* Let the module send, until the stream ends. */
static int send_all(struct mfd_pump *pump, struct mfd_error *err)
{
	struct mzp_pump *call = &pump->call;
	int ret;

	call->size = sizeof(*call);
	call->socket = pump->socket.fd;
	call->stall_ms = pump->session->params.stall_ms;
	do {
		ret = send_some(pump, err);
	} while (ret == -EINTR || (!ret && call->stop == MZP_PUMP_MAX));
	return ret;
}

static bool by_splice(const struct mfd_session *session)
{
	return session->params.flags & MFD_PARAMS_SPLICE;
}

/* How much a channel has to carry, in one round and as far as that is known. */
static uint64_t share(const struct mfd_session *session)
{
	const struct mfd_block *block;
	uint64_t bytes = 0;

	for (block = session->blocks; block; block = block->next)
		bytes += block->length;
	return bytes / session->params.channels;
}

/*
 * Encrypt the pump's connection, if that is wanted. In the pump's own thread, so that all
 * channels do it at the same time, and since the first packet has to follow at once: a QEMU
 * destination reads it without looking at anybody else meanwhile.
 */
static int secure(struct mfd_pump *pump, struct mfd_error *err)
{
	struct mfd_session *session = pump->session;
	int ret = mfd_socket_secure(session, &pump->socket, true, err);

	if (!ret && pump->socket.tls)
		ret = pump->socket.tls->ops->to_kernel(pump->socket.tls, share(session), err);
	if (!ret && mfd_link_by_hand(&pump->socket) &&
	    fcntl(pump->channel, F_SETFL, O_RDWR | O_NONBLOCK))
		ret = mfd_error_errno(err, errno, "fcntl");
	if (ret < 0) {
		mfd_error_prefix(err, "channel %u", pump->id);
		return ret;
	}
	pthread_mutex_lock(&session->lock);
	pump->secured = true;
	pthread_cond_signal(&session->pump_ended);
	pthread_mutex_unlock(&session->lock);
	return 0;
}

static int move_all(struct mfd_pump *pump, struct mfd_error *err)
{
	int ret = secure(pump, err);

	if (ret)
		return ret;
	if (mfd_link_by_hand(&pump->socket))
		return mfd_records(pump, err);
	return by_splice(pump->session) ? mfd_splice(pump, err) : send_all(pump, err);
}

/* To the end of the stream, in the thread of whoever calls. */
static int run_pump(struct mfd_pump *pump, struct mfd_error *err)
{
	struct mfd_session *session = pump->session;
	struct mfd_error why = MFD_ERROR_NONE;
	int ret = move_all(pump, &why);

	if (ret) {
		mfd_error_channel(&why, pump->id);
		ret = mfd_session_result(session, ret, &why, err);
	}
	pthread_mutex_lock(&session->lock);
	pump->ended = true;
	pthread_cond_signal(&session->pump_ended);
	pthread_mutex_unlock(&session->lock);
	return ret;
}

static void *pump_thread(void *data)
{
	run_pump(data, NULL);
	return NULL;
}

static int open_channel(struct mfd_pump *pump, struct mfd_error *err)
{
	struct mzp_channel_get get = {
		.size = sizeof(get),
		.flags = by_splice(pump->session) ? MZP_CHANNEL_NONBLOCK : 0,
		.channel = pump->id,
	};
	int ret = mfd_device_call(pump->session, MZP_IOC_CHANNEL, &get, err);

	if (!ret)
		pump->channel = get.fd;
	return ret;
}

static int start_thread(struct mfd_pump *pump, struct mfd_error *err)
{
	char name[16];
	int ret = mfd_thread_start(&pump->thread, pump_thread, pump);

	if (ret)
		return mfd_error_errno(err, ret, "channel %u: no thread", pump->id);
	pump->started = true;
	snprintf(name, sizeof(name), "mfd-channel-%u", pump->id);
	pthread_setname_np(pump->thread, name);
	return 0;
}

/* The channels, before they have sockets: there is one array for the session's life. */
static int make_pumps(struct mfd_session *session, struct mfd_error *err)
{
	unsigned int i, nr = session->params.channels;
	struct mfd_pump *pumps;

	if (session->pumps)
		return 0;
	pumps = calloc(nr, sizeof(*pumps));
	if (!pumps)
		return mfd_error_errno(err, ENOMEM, "channels");
	for (i = 0; i < nr; i++) {
		pumps[i].session = session;
		pumps[i].id = i;
		pumps[i].channel = -1;
		pumps[i].socket = MFD_LINK_NONE;
	}
	pthread_mutex_lock(&session->lock);
	session->pumps = pumps;
	pthread_mutex_unlock(&session->lock);
	return 0;
}

static void set_socket(struct mfd_pump *pump, int fd)
{
	pthread_mutex_lock(&pump->session->lock);
	pump->socket.fd = fd;
	pthread_mutex_unlock(&pump->session->lock);
}

int mfd_pump_attach(struct mfd_session *session, unsigned int id, int fd,
		    struct mfd_error *err)
{
	struct mfd_pump *pump;
	int ret = make_pumps(session, err);

	if (ret)
		return ret;
	pump = &session->pumps[id];
	if (pump->socket.fd >= 0)
		return mfd_error_set(err, EBUSY, "channel %u has a socket", id);
	ret = open_channel(pump, err);
	if (!ret)
		set_socket(pump, fd);
	return ret;
}

int mfd_pumps_connect(struct mfd_session *session, const struct mfd_endpoint *endpoint,
		      struct mfd_error *err)
{
	unsigned int i;
	int fd, ret = make_pumps(session, err);

	for (i = 0; i < session->params.channels && !ret; i++) {
		ret = mfd_socket_connect_to(session, endpoint, &fd, err);
		if (!ret) {
			set_socket(&session->pumps[i], fd);
			continue;
		}
		mfd_error_prefix(err, "channel %u", i);
		mfd_error_channel(err, i);
	}
	return ret;
}

void mfd_pumps_disconnect(struct mfd_session *session)
{
	unsigned int i;

	for (i = 0; session->pumps && i < session->params.channels; i++) {
		if (session->pumps[i].socket.fd >= 0)
			close(session->pumps[i].socket.fd);
		set_socket(&session->pumps[i], -1);
	}
}

static bool secured(const struct mfd_pump *pump)
{
	return pump->secured;
}

static bool ended(const struct mfd_pump *pump)
{
	return pump->ended;
}

/* Are all pumps so far? If not, wait until one has got on, for a moment. */
static bool all_are(struct mfd_session *session, bool (*so_far)(const struct mfd_pump *pump))
{
	uint64_t then = mfd_now() + MFD_TICK_MS * 1000000ull;
	struct timespec until = { .tv_sec = then / 1000000000, .tv_nsec = then % 1000000000 };
	unsigned int i = 0;

	pthread_mutex_lock(&session->lock);
	while (i < session->params.channels && so_far(&session->pumps[i]))
		i++;
	if (i < session->params.channels)
		pthread_cond_timedwait(&session->pump_ended, &session->lock, &until);
	pthread_mutex_unlock(&session->lock);
	return i == session->params.channels;
}

static int wait_until(struct mfd_session *session, bool (*so_far)(const struct mfd_pump *pump),
		      struct mfd_error *err)
{
	bool all;
	int ret;

	do {
		all = all_are(session, so_far);
		ret = mfd_session_check(session, err);
	} while (!ret && !all);
	return ret;
}

int mfd_pumps_start(struct mfd_session *session, struct mfd_error *err)
{
	bool own_threads = session->params.flags & MFD_PARAMS_OWN_THREADS;
	struct mfd_pump *pump;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < session->params.channels && !ret; i++) {
		pump = &session->pumps[i];
		if (pump->channel < 0)
			ret = open_channel(pump, err);
		if (!ret && !own_threads)
			ret = start_thread(pump, err);
	}
	return ret || own_threads ? ret : wait_until(session, secured, err);
}

/* The channel, if the caller may run it. */
static struct mfd_pump *claim(struct mfd_session *session, uint32_t channel)
{
	struct mfd_pump *pump = NULL;

	if (!(session->params.flags & MFD_PARAMS_OWN_THREADS))
		return NULL;
	pthread_mutex_lock(&session->lock);
	if (session->pumps && channel < session->params.channels)
		pump = &session->pumps[channel];
	if (pump && (pump->channel < 0 || pump->socket.fd < 0 || pump->claimed))
		pump = NULL;
	if (pump)
		pump->claimed = true;
	pthread_mutex_unlock(&session->lock);
	return pump;
}

int mfd_channel_run(struct mfd_session *session, uint32_t channel, struct mfd_error *err)
{
	struct mfd_pump *pump;

	if (!session)
		return mfd_error_set(err, EINVAL, "there is no session");
	if (mfd_session_inherited(session))
		return mfd_error_set(err, ECHILD, "the session is the parent process's");
	pump = claim(session, channel);
	if (!pump)
		return mfd_error_set(err, EINVAL,
				     "channel %u has no socket, or somebody runs it: that is for threads of the caller's (MFD_PARAMS_OWN_THREADS), one for each channel",
				     channel);
	return run_pump(pump, err);
}

uint64_t mfd_pumps_bytes(struct mfd_session *session)
{
	uint64_t bytes = 0;
	unsigned int i;

	for (i = 0; session->pumps && i < session->params.channels; i++)
		bytes += __atomic_load_n(&session->pumps[i].call.bytes, __ATOMIC_RELAXED);
	return bytes;
}

void mfd_pumps_shutdown(struct mfd_session *session)
{
	unsigned int i;

	for (i = 0; session->pumps && i < session->params.channels; i++)
		if (session->pumps[i].socket.fd >= 0)
			shutdown(session->pumps[i].socket.fd, SHUT_RDWR);
}

int mfd_pumps_drain(struct mfd_session *session, struct mfd_error *err)
{
	return wait_until(session, ended, err);
}

uint64_t mfd_pumps_unsent(struct mfd_session *session)
{
	uint64_t sum = 0;
	unsigned int i;
	int unsent;

	for (i = 0; session->pumps && i < session->params.channels; i++)
		if (session->pumps[i].socket.fd >= 0 &&
		    !ioctl(session->pumps[i].socket.fd, SIOCOUTQ, &unsent))
			sum += unsent;
	return sum;
}

static int verify(struct mfd_pump *pump, struct mfd_error *err)
{
	int code = mfd_socket_error(pump->socket.fd);

	return code ? mfd_pump_error(pump, code, err) : 0;
}

int mfd_pumps_verify(struct mfd_session *session, struct mfd_error *err)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < session->params.channels && !ret; i++)
		ret = verify(&session->pumps[i], err);
	return ret;
}

void mfd_pumps_end(struct mfd_session *session)
{
	unsigned int i;

	/* of one that is reset already mfd_pumps_ended knows */
	for (i = 0; i < session->params.channels; i++)
		shutdown(session->pumps[i].socket.fd, SHUT_WR);
}

/*
 * The order matters: what was under way is gone from the queue once the error is
 * there that says that it was thrown away, and not before.
 *
 * Return: 1: the destination has everything and has ended its side; 0: not yet, or
 * an error.
 */
static int pump_ended(struct mfd_pump *pump, struct mfd_error *err)
{
	int unsent = 0, ret;
	ssize_t n;
	char byte;

	/* vsock does not tell; then only the end that the destination makes of it counts */
	if (ioctl(pump->socket.fd, SIOCOUTQ, &unsent) && errno != EOPNOTSUPP && errno != ENOTTY)
		return mfd_pump_error(pump, errno, err);
	ret = verify(pump, err);
	if (ret || unsent)
		return ret;
	n = mfd_link_recv(&pump->socket, &byte, sizeof(byte));
	if (n > 0)
		return mfd_pump_error(pump, EPIPE, err);
	/* a vsock that both sides have ended is no connection any more */
	if (!n || errno == ENOTCONN)
		return 1;
	return errno == EAGAIN || errno == EINTR ? 0 : mfd_pump_error(pump, errno, err);
}

int mfd_pumps_ended(struct mfd_session *session, struct mfd_error *err)
{
	unsigned int i, ended = 0;
	int ret;

	for (i = 0; i < session->params.channels; i++) {
		ret = pump_ended(&session->pumps[i], err);
		if (ret < 0)
			return ret;
		ended += ret;
	}
	return ended == session->params.channels;
}

static void close_pump(struct mfd_pump *pump)
{
	if (pump->channel >= 0)
		close(pump->channel);
	mfd_link_close(&pump->socket, false);
}

void mfd_pumps_close(struct mfd_session *session)
{
	struct mfd_pump *pumps = session->pumps;
	unsigned int i;

	/*
	 * Failing pumps still shut down each other's sockets, so all threads must
	 * be gone before the first fd is closed.
	 */
	for (i = 0; pumps && i < session->params.channels; i++)
		if (pumps[i].started)
			pthread_join(pumps[i].thread, NULL);
	for (i = 0; pumps && i < session->params.channels; i++)
		close_pump(&pumps[i]);
	free(pumps);
	session->pumps = NULL;
}

void mfd_pumps_leave(struct mfd_session *session)
{
	unsigned int i;

	for (i = 0; session->pumps && i < session->params.channels; i++) {
		/* a thread of the parent's may have been at work on it */
		session->pumps[i].socket.tls = NULL;
		close_pump(&session->pumps[i]);
	}
	free(session->pumps);
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Pumps: one thread for each channel that moves its packets to its socket.
 *
 * splice(2) needs a pipe at one end, so it is channel → pipe → socket. The pipe
 * lives as long as the channel and is emptied before it is filled again.
 * Whatever a splice takes out of the channel is in the pipe, and whatever it
 * takes out of the pipe is in the socket's queue: nothing is lost however
 * little each of them moves. (sendfile(2) would use a pipe of its own and drop
 * what a non-blocking socket does not accept.)
 *
 * All fds are non-blocking, and a pump waits in poll(2) only, for the channel
 * and for the socket's failure alike: a destination that goes away is noticed
 * even while there is nothing to send.
 *
 * SPLICE_F_MORE lets TCP wait with an incomplete segment for what follows. It
 * is given only when the channel has more data already: only then is it sure that
 * the pump itself soon sends the rest. At the end of a burst it is not given, nor
 * if what the channel has more is its end, so no tail stays behind. TCP would keep
 * that for 200 ms.
 *
 * A splice to a socket whose other end is gone raises SIGPIPE, and unlike
 * send(2) there is no flag against it. The signal goes to the thread that
 * called; pumps block it, so it stays pending there and goes away with
 * the thread. The signals of the process are for the program's own threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/multifd_zp.h>

#include "device.h"
#include "error.h"
#include "pump.h"
#include "thread.h"

#define PIPE_SIZE_WANTED	(1 << 20)
#define PIPE_SIZE_LEAST		(1 << 12)

struct mfd_pump {
	struct mfd_session *session;
	unsigned int id;		/* the channel's */
	int channel;
	int pipe[2];
	int socket;
	size_t pipe_size;
	pthread_t thread;
	bool started;
	bool ended;			/* under the session's lock */

	_Atomic uint64_t bytes;		/* accepted by the socket */
	_Atomic uint64_t waiting_since;	/* ns; 0: nothing is in the pipe */
};

static int pump_error(struct mfd_pump *pump, int code, struct mfd_error *err)
{
	if (code == EPIPE || code == ECONNRESET)
		return mfd_error_set(err, code,
				     "channel %u: the destination closed the connection; its own log says why",
				     pump->id);
	return mfd_error_errno(err, code, "channel %u", pump->id);
}

static int gone(struct mfd_pump *pump, struct mfd_error *err)
{
	int code = mfd_socket_error(pump->socket);

	return pump_error(pump, code ? code : EPIPE, err);
}

/*
 * Wait until the channel has data or has ended (POLLIN and POLLHUP). Return: whether
 * it has data; or the socket's error.
 */
static int wait_channel(struct mfd_pump *pump, int timeout, struct mfd_error *err)
{
	struct pollfd fds[] = {
		{ .fd = pump->channel, .events = POLLIN },
		{ .fd = pump->socket, .events = POLLRDHUP },
	};

	while (poll(fds, 2, timeout) < 0)
		if (errno != EINTR)
			return pump_error(pump, errno, err);
	if (fds[1].revents)
		return gone(pump, err);
	return (fds[0].revents & (POLLIN | POLLHUP)) == POLLIN;
}

static int wait_socket(struct mfd_pump *pump, struct mfd_error *err)
{
	struct pollfd fd = { .fd = pump->socket, .events = POLLOUT };

	while (poll(&fd, 1, -1) < 0)
		if (errno != EINTR)
			return pump_error(pump, errno, err);
	return 0;
}

/* Channel to pipe. Return: bytes, 0 at the end of the stream, or an error. */
static ssize_t fill_pipe(struct mfd_pump *pump, struct mfd_error *err)
{
	ssize_t n;
	int ret;

	for (;;) {
		n = splice(pump->channel, NULL, pump->pipe[1], NULL, pump->pipe_size,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n >= 0)
			return n;
		if (errno == EAGAIN) {
			ret = wait_channel(pump, -1, err);
			if (ret < 0)
				return ret;
		} else if (errno != EINTR) {
			return pump_error(pump, errno, err);
		}
	}
}

/* Pipe to socket, all @left bytes. @more: others follow at once. */
static int empty_pipe(struct mfd_pump *pump, size_t left, bool more, struct mfd_error *err)
{
	unsigned int flags = SPLICE_F_MOVE | (more ? SPLICE_F_MORE : 0);
	ssize_t n;
	int ret;

	while (left) {
		pump->waiting_since = mfd_now();
		n = splice(pump->pipe[0], NULL, pump->socket, NULL, left, flags);
		if (n > 0) {
			left -= n;
			pump->bytes += n;
		} else if (n < 0 && errno == EAGAIN) {
			ret = wait_socket(pump, err);
			if (ret)
				return ret;
		} else if (n == 0 || errno != EINTR) {
			return pump_error(pump, n ? errno : EIO, err);
		}
	}
	pump->waiting_since = 0;
	return 0;
}

static int run(struct mfd_pump *pump, struct mfd_error *err)
{
	ssize_t n;
	int more;

	while ((n = fill_pipe(pump, err)) > 0) {
		more = wait_channel(pump, 0, err);
		if (more < 0)
			return more;
		more = empty_pipe(pump, n, more, err);
		if (more)
			return more;
	}
	return n;
}

static void *pump_thread(void *data)
{
	struct mfd_pump *pump = data;
	struct mfd_session *session = pump->session;
	struct mfd_error err;

	if (run(pump, &err))
		mfd_session_fail(session, &err);
	pthread_mutex_lock(&session->lock);
	pump->ended = true;
	pthread_cond_signal(&session->pump_ended);
	pthread_mutex_unlock(&session->lock);
	return NULL;
}

/*
 * As large as an ordinary user may make it: pipe-max-size and
 * pipe-user-pages-soft set limits, and a smaller pipe only costs more system
 * calls.
 */
static int open_pipe(struct mfd_pump *pump, struct mfd_error *err)
{
	int size;

	if (pipe2(pump->pipe, O_CLOEXEC)) {
		pump->pipe[0] = -1;
		pump->pipe[1] = -1;
		return pump_error(pump, errno, err);
	}
	for (size = PIPE_SIZE_WANTED; size >= PIPE_SIZE_LEAST; size /= 2)
		if (fcntl(pump->pipe[1], F_SETPIPE_SZ, size) >= 0)
			break;
	size = fcntl(pump->pipe[1], F_GETPIPE_SZ);
	pump->pipe_size = size > 0 ? size : PIPE_SIZE_LEAST;
	return 0;
}

static int open_channel(struct mfd_pump *pump, struct mfd_error *err)
{
	struct mzp_channel_get get = {
		.size = sizeof(get),
		.flags = MZP_CHANNEL_NONBLOCK,
		.channel = pump->id,
	};
	int ret = mfd_device_call(pump->session, MZP_IOC_CHANNEL, &get, err);

	if (!ret)
		pump->channel = get.fd;
	return ret;
}

static int start_thread(struct mfd_pump *pump, struct mfd_error *err)
{
	int ret = mfd_thread_start(&pump->thread, pump_thread, pump);

	if (ret)
		return mfd_error_errno(err, ret, "channel %u: no thread", pump->id);
	pump->started = true;
	return 0;
}

static int open_pump(struct mfd_pump *pump, const struct mfd_endpoint *endpoint,
		     struct mfd_error *err)
{
	struct mfd_session *session = pump->session;
	int fd, ret;

	ret = mfd_socket_connect_to(session, endpoint, &fd, err);
	if (ret) {
		mfd_error_prefix(err, "channel %u", pump->id);
		return ret;
	}
	pthread_mutex_lock(&session->lock);
	pump->socket = fd;
	pthread_mutex_unlock(&session->lock);
	ret = open_pipe(pump, err);
	if (!ret)
		ret = open_channel(pump, err);
	if (!ret)
		ret = start_thread(pump, err);
	return ret;
}

int mfd_pumps_open(struct mfd_session *session, const struct mfd_endpoint *endpoint,
		   struct mfd_error *err)
{
	unsigned int i, nr = session->params.channels;
	struct mfd_pump *pumps = calloc(nr, sizeof(*pumps));
	int ret = 0;

	if (!pumps)
		return mfd_error_errno(err, ENOMEM, "channels");
	for (i = 0; i < nr; i++) {
		pumps[i].session = session;
		pumps[i].id = i;
		pumps[i].channel = -1;
		pumps[i].pipe[0] = -1;
		pumps[i].pipe[1] = -1;
		pumps[i].socket = -1;
	}
	pthread_mutex_lock(&session->lock);
	session->pumps = pumps;
	pthread_mutex_unlock(&session->lock);
	for (i = 0; i < nr && !ret; i++)
		ret = open_pump(&pumps[i], endpoint, err);
	return ret;
}

int mfd_pumps_check(struct mfd_session *session, struct mfd_error *err)
{
	unsigned int i;
	uint64_t since;

	for (i = 0; session->pumps && i < session->params.channels; i++) {
		since = session->pumps[i].waiting_since;
		if (since && mfd_stalled(session, since))
			return mfd_error_set(err, ETIMEDOUT,
					     "channel %u: the destination has accepted nothing for %u s (are its multifd-channels %u, and is the flush right for its version?)",
					     i, session->params.stall_ms / 1000,
					     session->params.channels);
	}
	return 0;
}

uint64_t mfd_pumps_bytes(struct mfd_session *session)
{
	uint64_t bytes = 0;
	unsigned int i;

	for (i = 0; session->pumps && i < session->params.channels; i++)
		bytes += session->pumps[i].bytes;
	return bytes;
}

void mfd_pumps_shutdown(struct mfd_session *session)
{
	unsigned int i;

	for (i = 0; session->pumps && i < session->params.channels; i++)
		if (session->pumps[i].socket >= 0)
			shutdown(session->pumps[i].socket, SHUT_RDWR);
}

static void wait_for_a_pump(struct mfd_session *session)
{
	struct timespec until;
	uint64_t then = mfd_now() + MFD_TICK_MS * 1000000ull;

	until.tv_sec = then / 1000000000;
	until.tv_nsec = then % 1000000000;
	pthread_cond_timedwait(&session->pump_ended, &session->lock, &until);
}

static bool all_ended(const struct mfd_session *session)
{
	unsigned int i;

	for (i = 0; i < session->params.channels; i++)
		if (!session->pumps[i].ended)
			return false;
	return true;
}

int mfd_pumps_drain(struct mfd_session *session, struct mfd_error *err)
{
	bool ended;
	int ret;

	do {
		pthread_mutex_lock(&session->lock);
		ended = all_ended(session);
		if (!ended)
			wait_for_a_pump(session);
		pthread_mutex_unlock(&session->lock);
		ret = mfd_session_check(session, err);
	} while (!ret && !ended);
	return ret;
}

uint64_t mfd_pumps_unsent(struct mfd_session *session)
{
	uint64_t sum = 0;
	unsigned int i;
	int unsent;

	for (i = 0; i < session->params.channels; i++)
		if (!ioctl(session->pumps[i].socket, SIOCOUTQ, &unsent))
			sum += unsent;
	return sum;
}

static int verify(struct mfd_pump *pump, struct mfd_error *err)
{
	int code = mfd_socket_error(pump->socket);

	return code ? pump_error(pump, code, err) : 0;
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
		shutdown(session->pumps[i].socket, SHUT_WR);
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

	if (ioctl(pump->socket, SIOCOUTQ, &unsent))
		return pump_error(pump, errno, err);
	ret = verify(pump, err);
	if (ret || unsent)
		return ret;
	n = recv(pump->socket, &byte, sizeof(byte), MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : pump_error(pump, errno, err);
	return n ? pump_error(pump, EPIPE, err) : 1;
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
	int fds[] = { pump->channel, pump->pipe[0], pump->pipe[1], pump->socket };
	unsigned int i;

	for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
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

// SPDX-License-Identifier: LGPL-2.1-or-later
/* The main connection: the stream's way through a socket, and its sections. */
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "error.h"
#include "main_conn.h"
#include "pump.h"

static int main_error(int code, struct mfd_error *err)
{
	return mfd_error_errno(err, code, "main connection");
}

static int wait_writable(struct mfd_session *session, uint64_t since, struct mfd_error *err)
{
	struct pollfd fd = { .fd = session->main, .events = POLLOUT };

	if (poll(&fd, 1, MFD_TICK_MS) < 0 && errno != EINTR)
		return main_error(errno, err);
	if (mfd_stalled(session, since))
		return mfd_error_set(err, ETIMEDOUT,
				     "main connection: the destination has accepted nothing for %u s (are its multifd-channels %u, and is the flush right for its version?)",
				     session->params.stall_ms / 1000,
				     session->params.channels);
	return mfd_session_check(session, err);
}

static int write_all(void *opaque, const void *data, size_t size, struct mfd_error *err)
{
	struct mfd_session *session = opaque;
	uint64_t since = mfd_now();
	const char *p = data;
	ssize_t n;
	int ret;

	while (size) {
		n = send(session->main, p, size, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			p += n;
			size -= n;
			session->main_bytes += n;
			since = mfd_now();
		} else if (errno == EAGAIN) {
			ret = wait_writable(session, since, err);
			if (ret)
				return ret;
		} else if (errno != EINTR) {
			return main_error(errno, err);
		}
	}
	return 0;
}

int mfd_main_open(struct mfd_session *session, const struct mfd_address *address,
		  struct mfd_endpoint *endpoint, struct mfd_error *err)
{
	int fd;
	int ret = mfd_socket_connect(session, address, endpoint, &fd, err);

	if (ret)
		return ret;
	pthread_mutex_lock(&session->lock);
	session->main = fd;
	pthread_mutex_unlock(&session->lock);
	mfd_stream_init(&session->stream, write_all, session);
	mfd_stream_header(&session->stream, session->machine);
	return mfd_stream_flush(&session->stream, err);
}

int mfd_main_setup(struct mfd_session *session, struct mfd_error *err)
{
	const struct mfd_block *block;
	uint64_t total = 0;

	STAILQ_FOREACH(block, &session->blocks, next)
		total += block->length;
	mfd_stream_setup_begin(&session->stream, total);
	STAILQ_FOREACH(block, &session->blocks, next)
		mfd_stream_setup_block(&session->stream, block->idstr, block->length);
	mfd_stream_section_end(&session->stream, session->params.flush == MFD_FLUSH_ROUND);
	return mfd_stream_flush(&session->stream, err);
}

int mfd_main_round(struct mfd_session *session, struct mfd_error *err)
{
	if (!session->stream.in_section)
		mfd_stream_section_begin(&session->stream, false);
	mfd_stream_section_end(&session->stream, session->params.flush == MFD_FLUSH_ROUND);
	return mfd_stream_flush(&session->stream, err);
}

int mfd_main_last(struct mfd_session *session, struct mfd_error *err)
{
	mfd_stream_section_begin(&session->stream, true);
	mfd_stream_section_end(&session->stream, false);
	return mfd_stream_flush(&session->stream, err);
}

static uint64_t unsent(struct mfd_session *session)
{
	int bytes = 0;

	ioctl(session->main, SIOCOUTQ, &bytes);
	return bytes + mfd_pumps_unsent(session);
}

/*
 * Return: 1 when the destination has closed its end in good order, 0: not yet.
 */
static int read_end(struct mfd_session *session, struct mfd_error *err)
{
	char ignored[64];
	ssize_t n = recv(session->main, ignored, sizeof(ignored), MSG_DONTWAIT);

	if (!n)
		return 1;
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return mfd_error_set(err, errno,
				     "main connection: the destination gave up before the end; its own log says why");
	return 0;
}

/*
 * There is no return path, so the destination does not say whether it
 * succeeded. It closes the connection when it has read the end; if it leaves
 * before, with anything unread, the socket reports a reset and not an end.
 */
static int wait_end(struct mfd_session *session, struct mfd_error *err)
{
	struct pollfd fd = { .fd = session->main, .events = POLLIN };
	uint64_t since = mfd_now(), left = unsent(session);
	int ret;

	while (!(ret = read_end(session, err))) {
		poll(&fd, 1, MFD_TICK_MS);
		ret = mfd_session_check(session, err);
		if (ret)
			return ret;
		if (unsent(session) != left) {
			left = unsent(session);
			since = mfd_now();
		}
		if (mfd_stalled(session, since))
			return mfd_error_set(err, ETIMEDOUT,
					     "the destination has been sent everything, but has not finished for %u s (are its multifd-channels %u, and is the flush right for its version?)",
					     session->params.stall_ms / 1000,
					     session->params.channels);
	}
	return ret < 0 ? ret : mfd_pumps_verify(session, err);
}

int mfd_main_close(struct mfd_session *session, struct mfd_error *err)
{
	int ret;

	mfd_stream_eof(&session->stream);
	ret = mfd_stream_flush(&session->stream, err);
	if (ret)
		return ret;
	if (shutdown(session->main, SHUT_WR))
		return main_error(errno, err);
	return wait_end(session, err);
}

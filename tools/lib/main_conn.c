// SPDX-License-Identifier: LGPL-2.1-or-later
/* The main connection: the stream's way through a socket, and its sections. */
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "block.h"
#include "error.h"
#include "main_conn.h"
#include "pump.h"

/* How long connections may take to end when the destination has said how it went. */
#define MOMENT_MS 1000

static int main_error(int code, struct mfd_error *err)
{
	return mfd_error_errno(err, code, "main connection");
}

/* Writing has failed. */
static int write_error(struct mfd_session *session, int code, struct mfd_error *err)
{
	if (code == EPIPE || code == ECONNRESET)
		mfd_error_set(err, code,
			      "main connection: the destination closed the connection; its own log says why%s",
			      mfd_session_suspects_tls(session));
	else
		main_error(code, err);
	mfd_link_explain(&session->main, !session->rounds, err);
	return -code;
}

static int wait_writable(struct mfd_session *session, uint64_t since, struct mfd_error *err)
{
	struct pollfd fd = { .fd = session->main.fd, .events = POLLOUT };

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
		n = mfd_link_send(&session->main, p, size);
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
			return write_error(session, errno, err);
		}
	}
	return 0;
}

static void set_main(struct mfd_session *session, int fd)
{
	pthread_mutex_lock(&session->lock);
	session->main.fd = fd;
	pthread_mutex_unlock(&session->lock);
}

int mfd_main_begin(struct mfd_session *session, int fd, struct mfd_error *err)
{
	int ret;

	set_main(session, fd);
	ret = mfd_socket_secure(session, &session->main, false, err);
	if (ret) {
		mfd_error_prefix(err, "main connection");
		return ret;
	}
	mfd_stream_init(&session->stream, write_all, session);
	mfd_stream_header(&session->stream, session->machine);
	if (session->params.flags & MFD_PARAMS_RETURN_PATH)
		mfd_stream_return_path(&session->stream);
	return mfd_stream_flush(&session->stream, err);
}

void mfd_main_disconnect(struct mfd_session *session, bool close_it)
{
	struct mfd_link link = session->main;

	set_main(session, -1);
	session->main.tls = NULL;
	mfd_link_close(&link, !close_it);
}

int mfd_main_setup(struct mfd_session *session, struct mfd_error *err)
{
	const struct mfd_block *block;
	uint64_t total = 0;

	for (block = session->blocks; block; block = block->next)
		total += block->length;
	mfd_stream_setup_begin(&session->stream, total);
	for (block = session->blocks; block; block = block->next)
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

int mfd_main_raw(struct mfd_session *session, const void *data, size_t size,
		 struct mfd_error *err)
{
	mfd_stream_raw(&session->stream, data, size);
	return mfd_stream_flush(&session->stream, err);
}

int mfd_main_device(struct mfd_session *session, const char *idstr, uint32_t instance,
		    uint32_t version, const void *data, size_t size, struct mfd_error *err)
{
	uint32_t id = ++session->device_sections + MFD_STREAM_RAM_ID;

	mfd_stream_device_begin(&session->stream, id, idstr, instance, version);
	mfd_stream_raw(&session->stream, data, size);
	mfd_stream_device_end(&session->stream, id);
	return mfd_stream_flush(&session->stream, err);
}

static uint64_t unsent(struct mfd_session *session)
{
	int bytes = 0;

	ioctl(session->main.fd, SIOCOUTQ, &bytes);
	return bytes + mfd_pumps_unsent(session);
}

static int gave_up(struct mfd_session *session, int code, struct mfd_error *err)
{
	mfd_error_set(err, code,
		      "main connection: the destination gave up before the end; its own log says why%s",
		      mfd_session_suspects_tls(session));
	mfd_link_explain(&session->main, !session->rounds, err);
	mfd_error_of(err, MFD_ERROR_PEER);
	return -code;
}

/*
 * What has the destination said? Return: 1: that it has the guest; 0: nothing yet, or an
 * error.
 */
static int listen_to(struct mfd_session *session, struct mfd_error *err)
{
	size_t room;
	ssize_t n;
	int ret;

	do {
		void *to = mfd_return_path_room(&session->return_path, &room);

		n = mfd_link_recv(&session->main, to, room);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : gave_up(session, errno, err);
		if (!n)
			return mfd_error_set(err, EPIPE,
					     "main connection: the destination has ended it without saying how it went; its own log says more%s",
					     mfd_session_suspects_tls(session));
		ret = mfd_return_path_take(&session->return_path, n, err);
	} while (!ret);
	return ret;
}

/*
 * Has the destination ended the main connection? Return: 1: yes, in good order;
 * 0: not yet, or an error.
 */
static int look_for_end(struct mfd_session *session, struct mfd_error *err)
{
	char byte;
	ssize_t n = mfd_link_recv(&session->main, &byte, sizeof(byte));

	if (!n)
		return 1;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return gave_up(session, n < 0 ? errno : EPROTO, err);
}

static int main_ended(struct mfd_session *session, struct mfd_error *err)
{
	bool says = session->params.flags & MFD_PARAMS_RETURN_PATH;
	int (*look)(struct mfd_session *session, struct mfd_error *err) =
		says ? listen_to : look_for_end;
	struct mfd_error why = MFD_ERROR_NONE;
	int ret = look(session, err), failed;

	if (ret)
		return ret;
	/* a channel may be the first to show that it has failed, or that it is done */
	failed = mfd_pumps_verify(session, &why);
	if (!failed)
		return 0;
	ret = look(session, err);
	return ret ? ret : mfd_session_refuse(failed, &why, err);
}

/*
 * Wait until @ended, as long as the destination takes, unless it stands still. If
 * nothing but @ended can tell, @link is none: looked at often at first, since that is
 * downtime, and ever less.
 */
static int wait_ended(struct mfd_session *session, const struct mfd_link *link,
		      int (*ended)(struct mfd_session *session, struct mfd_error *err),
		      struct mfd_error *err)
{
	uint64_t since = mfd_now(), left = unsent(session), now;
	bool tells = link->fd >= 0;
	int ret, wait_ms = tells ? MFD_TICK_MS : 1;

	while (!(ret = ended(session, err))) {
		mfd_link_wait(link, wait_ms);
		wait_ms = 2 * wait_ms < MFD_TICK_MS ? 2 * wait_ms : MFD_TICK_MS;
		ret = mfd_session_check(session, err);
		if (ret)
			return ret;
		now = unsent(session);
		if (now != left)
			since = mfd_now();
		left = now;
		if (mfd_stalled(session, since))
			return mfd_error_set(err, ETIMEDOUT,
					     "the destination has been sent everything, but has not finished%s for %u s (are its multifd-channels %u, and is the flush right for its version?)",
					     tells ? "" : " with the channels",
					     session->params.stall_ms / 1000,
					     session->params.channels);
	}
	return ret < 0 ? ret : 0;
}

static bool main_is_open(struct mfd_session *session)
{
	char byte;
	ssize_t n = mfd_link_recv(&session->main, &byte, sizeof(byte));

	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/*
 * The destination has said that it has the guest. If it was driven in the wrong way (flush),
 * it has said so without waiting for the channels, and resets one of which it has not read
 * everything. So they get a moment to end, in the order that wait_end explains; whatever
 * else happens to the connections means nothing any more.
 */
static int contradicted(struct mfd_session *session, struct mfd_error *err)
{
	uint64_t until = mfd_now() + MOMENT_MS * 1000000ull;
	int ret = 0;

	/* A cancel that was too late has ended the sockets, which then tell nothing. */
	if (!mfd_session_conclude(session))
		return 0;
	while (main_is_open(session) && mfd_now() < until)
		mfd_link_wait(&session->main, 1);
	mfd_pumps_end(session);
	while (!(ret = mfd_pumps_ended(session, err)) && mfd_now() < until)
		poll(NULL, 0, 1);
	if (ret >= 0)
		return 0;
	mfd_session_contradict(session);
	mfd_error_prefix(err,
			 "the destination says that it has the guest, but has not read all of it (is the flush right for its version?)");
	return ret;
}

/*
 * Without a return path, whether the destination succeeded shows only in how it
 * ends the connections. It does so when it has read the end; if it leaves before,
 * with anything unread, its kernel resets the connection, and the socket reports
 * an error and not an end.
 *
 * TCP does so only while our side is open. If we have ended it, and so has the
 * destination, the connection is over for both, and nobody hears of what was
 * unread. QEMU ends its side before it closes the socket, also when it fails. So
 * the channels stay open until the main connection has been ended: stock
 * destinations close the channels first, and libmfd's receiver, which wants to
 * see them end, ends its side of the main connection for a sign. Only then the
 * channels are ended, and all must be acknowledged, this end too, and answered by
 * an end. A destination that is gone with something unread answers with a reset,
 * even if its first one was lost.
 *
 * QEMU 7.2 may close the channels last if it fails, and gets a moment for it.
 *
 * What cannot be known with TCP: whether a destination that ends its side, and
 * only closes the socket later, reads what its kernel has acknowledged. A UNIX
 * socket's bytes are not gone from the queue until they are read, or thrown away
 * with an error, so there it is certain.
 *
 * With a return path, it has said that it has the guest before all that.
 */
static int wait_end(struct mfd_session *session, struct mfd_error *err)
{
	const struct mfd_link nobody = MFD_LINK_NONE;
	int ret = wait_ended(session, &session->main, main_ended, err);

	if (ret)
		return ret;
	if (session->params.flags & MFD_PARAMS_RETURN_PATH)
		return contradicted(session, err);
	if (session->params.flush == MFD_FLUSH_SECTION)
		poll(NULL, 0, MFD_TICK_MS);
	mfd_pumps_end(session);
	return wait_ended(session, &nobody, mfd_pumps_ended, err);
}

int mfd_main_close(struct mfd_session *session, struct mfd_error *err)
{
	int ret;

	mfd_stream_eof(&session->stream);
	ret = mfd_stream_flush(&session->stream, err);
	if (ret)
		return ret;
	if (shutdown(session->main.fd, SHUT_WR))
		return main_error(errno, err);
	return wait_end(session, err);
}

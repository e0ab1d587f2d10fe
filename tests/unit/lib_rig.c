// SPDX-License-Identifier: GPL-2.0-only
/* A source without a module, and a destination that does as it is told. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/multifd_zp.h>

#include "device.h"
#include "error.h"
#include "lib_rig.h"
#include "socket.h"

char socket_path[96];

/* --- the module */

struct module module;

int mfd_device_open(struct mfd_session *session, const char *path, struct mfd_error *err)
{
	(void)path, (void)err;
	session->dev = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_true(session->dev >= 0);
	return 0;
}

void mfd_device_close(struct mfd_session *session)
{
	pthread_mutex_lock(&session->lock);
	if (session->dev >= 0)
		close(session->dev);
	session->dev = -1;
	pthread_mutex_unlock(&session->lock);
}

/* All of it, or until the pump is gone. */
static void *fill_channel(void *pipe)
{
	const void *stream = module.stream[(int *)pipe - module.pipe];
	char *data = calloc(1, module.bytes + 1);
	size_t done = 0;
	ssize_t n = 0;

	assert_non_null(data);
	if (stream)
		memcpy(data, stream, module.bytes);
	for (; done < module.bytes && n >= 0; done += n)
		n = write(*(int *)pipe, data + done, module.bytes - done);
	free(data);
	while (module.silent)
		usleep(1000);
	close(*(int *)pipe);
	return NULL;
}

static int get_channel(struct mzp_channel_get *get)
{
	unsigned int i = get->channel;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	get->fd = ends[0];
	module.pipe[i] = ends[1];
	assert_int_equal(pthread_create(&module.thread[i], NULL, fill_channel, &module.pipe[i]),
			 0);
	/* what fits into the pipe is there, and its end, before the pump looks */
	if (module.bytes <= PIPE_BUF && !module.silent) {
		struct pollfd closed = { .fd = ends[0] };

		assert_int_equal(poll(&closed, 1, PATIENCE_MS), 1);
	}
	return 0;
}

static int take_pages(const struct mzp_send *send, struct mfd_error *err)
{
	const uint64_t *bitmap = (const uint64_t *)(uintptr_t)send->input;

	if (module.send_error)
		return mfd_error_errno(err, module.send_error, "SEND");
	if (send->format == MZP_SEND_BITMAP && send->first_page < 64)
		module.sent_bits |= *bitmap << send->first_page;
	return 0;
}

static int tell_result(struct mzp_wait *wait)
{
	wait->error = module.wait.error;
	wait->error_block = module.wait.error_block;
	wait->error_offset = module.wait.error_offset;
	return 0;
}

int mfd_device_call(struct mfd_session *session, unsigned long command, void *argument,
		    struct mfd_error *err)
{
	struct mzp_info *info = argument;

	(void)session;
	(void)err;
	switch (command) {
	case MZP_IOC_INFO:
		info->abi_version = MZP_ABI_VERSION;
		info->page_size = 4096;
		info->methods = 1 << MZP_METHOD_NONE;
		info->detections = 1 << MZP_DETECTION_MULTIFD;
		info->max_channels = CHANNELS;
		return 0;
	case MZP_IOC_CHANNEL:
		return get_channel(argument);
	case MZP_IOC_SEND:
		return take_pages(argument, err);
	case MZP_IOC_WAIT:
		return tell_result(argument);
	case MZP_IOC_STATUS:
		*(struct mzp_status *)argument = module.status;
		return 0;
	default:
		return 0;
	}
}

/* Wait for @events, or for the socket's end. Return: 0 or whose error came. */
static int pump_wait(struct mzp_pump *pump, int fd, short events, int timeout)
{
	struct pollfd fds[] = {
		{ .fd = fd, .events = events },
		{ .fd = pump->socket, .events = POLLRDHUP },
	};

	if (!poll(fds, 2, timeout))
		return -ETIMEDOUT;
	if (fds[1].revents)
		return -(mfd_socket_error(pump->socket) ?: EPIPE);
	return 0;
}

/* All of @data to the socket. */
static int pump_send(struct mzp_pump *pump, const char *data, size_t size)
{
	ssize_t n;
	int ret;

	while (size) {
		n = send(pump->socket, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n > 0) {
			data += n;
			size -= n;
			__atomic_fetch_add(&pump->bytes, n, __ATOMIC_RELAXED);
			continue;
		}
		ret = pump_wait(pump, pump->socket, POLLOUT, (int)pump->stall_ms ?: -1);
		if (ret)
			return ret;
	}
	return 0;
}

/* As the module's, but that a signal comes in between. */
int mfd_device_pump(int channel, struct mzp_pump *pump, struct mfd_error *err)
{
	char data[4096];
	ssize_t n;
	int ret;

	assert_int_equal(pump->size, sizeof(*pump));
	assert_int_equal(pump->max, 0);
	if (module.failure)
		return mfd_error_errno(err, module.failure, "the session");
	pump->stop = MZP_PUMP_SOCKET;
	for (;;) {
		if (pump->bytes && !atomic_exchange(&module.interrupted, true))
			return -EINTR;
		n = read(channel, data, sizeof(data));
		if (!n) {
			pump->stop = MZP_PUMP_END;
			return 0;
		}
		ret = n < 0 ? pump_wait(pump, channel, POLLIN, -1) : pump_send(pump, data, n);
		if (ret)
			return ret;
	}
}

/* --- the destination: a thread of its own, from when all are connected */

struct peer peer;

/*
 * So many bytes, or until nothing more follows. If the source has failed, it is
 * the source that is asked why.
 */
void read_bytes(int fd, size_t size)
{
	char ignored[4096];
	ssize_t n;

	while (size && (n = read(fd, ignored, size < sizeof(ignored) ? size :
						     sizeof(ignored))) > 0)
		size -= n;
}

void read_all(int fd)
{
	read_bytes(fd, SIZE_MAX);
}

void hang_up(int *fd)
{
	close(*fd);
	*fd = -1;
}

void *serve(void *unused)
{
	unsigned int i;

	peer.main = accept(peer.listener, NULL, NULL);
	for (i = 0; i < CHANNELS; i++)
		peer.channel[i] = accept(peer.listener, NULL, NULL);
	if (peer.channel[CHANNELS - 1] >= 0)
		peer.behave();
	return unused;
}

void read_channels(void)
{
	unsigned int i;

	for (i = 0; i < CHANNELS; i++)
		read_bytes(peer.channel[i], module.bytes);
}

/* As QEMU does, whether it has read all of it or not. */
void leave_channels(void)
{
	unsigned int i;

	for (i = 0; i < CHANNELS; i++) {
		shutdown(peer.channel[i], SHUT_RDWR);
		hang_up(&peer.channel[i]);
	}
}

/* Return: where it listens, in libmfd's words. */
const char *listen_at(sa_family_t family)
{
	static char text[128];
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t size = sizeof(in);
	int small = 4096;

	peer.listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(peer.listener >= 0);
	if (family == AF_UNIX) {
		strcpy(un.sun_path, socket_path);
		unlink(un.sun_path);
		snprintf(text, sizeof(text), "unix:%s", socket_path);
		assert_int_equal(bind(peer.listener, (struct sockaddr *)&un, sizeof(un)), 0);
	} else {
		/* it is the source's socket that has to hold what nobody reads */
		setsockopt(peer.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		inet_pton(AF_INET, "127.0.0.1", &in.sin_addr);
		assert_int_equal(bind(peer.listener, (struct sockaddr *)&in, size), 0);
		getsockname(peer.listener, (struct sockaddr *)&in, &size);
		snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", ntohs(in.sin_port));
	}
	assert_int_equal(listen(peer.listener, CHANNELS + 1), 0);
	return text;
}

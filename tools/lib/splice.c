// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A pump by splice(2): what is done where the bytes have to come past the VMM.
 *
 * splice(2) needs a pipe at one end, so it is channel → pipe → socket. The pipe
 * lives as long as the pump and is emptied before it is filled again. Whatever a
 * splice takes out of the channel is in the pipe, and whatever it takes out of the
 * pipe is in the socket's queue: nothing is lost however little each of them
 * moves. (sendfile(2) would use a pipe of its own and drop what a non-blocking
 * socket does not accept.)
 *
 * All fds are non-blocking, and the pump waits in poll(2), for the channel and for
 * the socket's failure alike; and in splice(2) for pages that have to be brought in.
 *
 * SPLICE_F_MORE, by which TCP would wait with an incomplete segment for what follows,
 * is never given: that something follows soon is not sure. What poll(2) says there is
 * to read can come to nothing, and TCP would keep the tail for 200 ms.
 *
 * A splice to a socket whose other end is gone raises SIGPIPE, and unlike
 * send(2) there is no flag against it. The signal goes to the thread that
 * called; pumps block it, so it stays pending there and goes away with
 * the thread. The signals of the process are for the program's own threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "pump_wait.h"
#include "splice.h"

#define PIPE_SIZE_WANTED	(1 << 20)
#define PIPE_SIZE_LEAST		(1 << 12)

struct path {
	struct mfd_pump *pump;
	int pipe[2];
	size_t pipe_size;
};

/* Channel to pipe. Return: bytes, 0 at the end of the stream, or an error. */
static ssize_t fill_pipe(struct path *path, struct mfd_error *err)
{
	struct mfd_pump *pump = path->pump;
	ssize_t n;
	int ret;

	for (;;) {
		n = splice(pump->channel, NULL, path->pipe[1], NULL, path->pipe_size,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n >= 0)
			return n;
		if (errno == EAGAIN) {
			ret = mfd_pump_wait_channel(pump, err);
			if (ret)
				return ret;
		} else if (errno != EINTR) {
			return mfd_pump_error(pump, errno, err);
		}
	}
}

/*
 * Linux 6.1 tells TLS, and TLS tells TCP, that more pages follow in this call, so TCP leaves
 * the sending to the last one; then TLS finds that there is no room, and the last page never
 * comes. If nothing is under way to the destination by then, TCP would wait for ever. Setting
 * this option, which is set already, has it send what it has.
 */
static void push(const struct mfd_pump *pump)
{
	const int yes = 1;

	if (pump->socket.tls)
		setsockopt(pump->socket.fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

/* Pipe to socket, all @left bytes. */
static int empty_pipe(struct path *path, size_t left, struct mfd_error *err)
{
	struct mfd_pump *pump = path->pump;
	ssize_t n;
	int ret;

	while (left) {
		n = splice(path->pipe[0], NULL, pump->socket.fd, NULL, left, SPLICE_F_MOVE);
		if (n > 0) {
			left -= n;
			__atomic_fetch_add(&pump->call.bytes, n, __ATOMIC_RELAXED);
		} else if (n < 0 && errno == EAGAIN) {
			push(pump);
			ret = mfd_pump_wait_socket(pump, err);
			if (ret)
				return ret;
		} else if (n == 0 || errno != EINTR) {
			return mfd_pump_error(pump, n ? errno : EIO, err);
		}
	}
	return 0;
}

static int move_all(struct path *path, struct mfd_error *err)
{
	ssize_t n;
	int ret;

	while ((n = fill_pipe(path, err)) > 0) {
		ret = empty_pipe(path, n, err);
		if (!ret)
			ret = mfd_pump_renew_key(path->pump, err);
		if (ret)
			return ret;
	}
	return n;
}

/*
 * As large as an ordinary user may make it: pipe-max-size and
 * pipe-user-pages-soft set limits, and a smaller pipe only costs more system
 * calls.
 */
static int open_pipe(struct path *path, struct mfd_error *err)
{
	int size;

	if (pipe2(path->pipe, O_CLOEXEC))
		return mfd_pump_error(path->pump, errno, err);
	for (size = PIPE_SIZE_WANTED; size >= PIPE_SIZE_LEAST; size /= 2)
		if (fcntl(path->pipe[1], F_SETPIPE_SZ, size) >= 0)
			break;
	size = fcntl(path->pipe[1], F_GETPIPE_SZ);
	path->pipe_size = size > 0 ? size : PIPE_SIZE_LEAST;
	return 0;
}

int mfd_splice(struct mfd_pump *pump, struct mfd_error *err)
{
	struct path path = { .pump = pump };
	int ret = open_pipe(&path, err);

	if (ret)
		return ret;
	ret = move_all(&path, err);
	close(path.pipe[0]);
	close(path.pipe[1]);
	return ret;
}

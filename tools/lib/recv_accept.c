// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Waiting for the source's connections.
 *
 * They come in any order, and say what they are when they like. Nobody is
 * believed to be the source just because it was first: a connection that says
 * something wrong ends the migration before any memory is touched, and so does
 * one that says nothing for as long as a source may be silent. Only who leaves
 * without having said a word, politely or by a reset, is forgotten: that was
 * somebody who looked whether anybody is at home.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "recv_accept.h"
#include "recv_check.h"
#include "recv_hello.h"

struct newcomer {
	int fd;			/* -1: nobody */
	uint64_t since;		/* ns */
	struct mfd_recv_hello hello;
};

struct reception {
	struct mfd_recv *recv;
	unsigned int wanted;	/* connections */
	unsigned int known;	/* those that are what they should be */
	unsigned int waiting;	/* newcomers */
	struct newcomer *newcomers;	/* @wanted of them */
	struct pollfd *fds;	/* theirs, then the listener's and the cancel eventfd */
};

static struct newcomer *free_place(struct reception *all)
{
	struct newcomer *newcomer = all->newcomers;

	while (newcomer->fd >= 0)
		newcomer++;
	return newcomer;
}

/* There is no place for @fd; no harm is done if its owner has left already. */
static int turn_away(struct reception *all, int fd, struct mfd_error *err)
{
	char byte;
	ssize_t n = recv(fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT);
	bool left = !n || (n < 0 && errno == ECONNRESET);

	close(fd);
	return left ? 0 : mfd_recv_reject(err, RECV_CONNECTIONS, "%u", all->wanted);
}

/* Return: 1: somebody was at the door, 0: nobody; an error. */
static int greet(struct reception *all, struct mfd_error *err)
{
	int fd = mfd_recv_listener_accept(&all->recv->listener, err), ret;

	if (fd < 0)
		return fd == -EAGAIN ? 0 : fd;
	if (all->known + all->waiting == all->wanted) {
		ret = turn_away(all, fd, err);
		return ret ? ret : 1;
	}
	*free_place(all) = (struct newcomer) { .fd = fd, .since = mfd_now() };
	all->waiting++;
	return 1;
}

static void forget(struct reception *all, struct newcomer *newcomer)
{
	newcomer->fd = -1;
	all->waiting--;
}

static int introduce(struct reception *all, struct newcomer *newcomer, enum mfd_recv_kind kind,
		     unsigned int id, struct mfd_error *err)
{
	struct mfd_recv *recv = all->recv;
	struct mfd_recv_socket *socket = kind == MFD_RECV_MAIN ? &recv->main_socket :
								  &recv->workers[id].socket;

	if (socket->fd >= 0)
		return kind == MFD_RECV_MAIN ? mfd_recv_reject(err, RECV_MAIN_TWICE, "%s", "") :
					       mfd_recv_reject(err, RECV_CHANNEL_TWICE, "%u", id);
	mfd_recv_socket_init(socket, recv, newcomer->fd,
			     kind == MFD_RECV_MAIN ? MFD_RECV_TICK_MS : -1);
	socket->input.bytes = newcomer->hello.used;
	forget(all, newcomer);
	all->known++;
	return 0;
}

/* Not a byte more than what it says of itself is read. */
static int listen_to(struct reception *all, struct newcomer *newcomer, struct mfd_error *err)
{
	struct mfd_recv_hello *hello = &newcomer->hello;
	enum mfd_recv_kind kind;
	unsigned int id = 0;
	ssize_t n;
	int need;

	while ((need = mfd_recv_hello_parse(hello, &all->recv->params, &kind, &id, err)) > 0) {
		n = read(newcomer->fd, hello->bytes + hello->used, need);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n < 0 && errno == ECONNRESET && !hello->used)
			n = 0;
		if (n < 0)
			return mfd_error_errno(err, errno, "a new connection");
		if (!n && hello->used)
			return mfd_recv_reject(err, RECV_HANDSHAKE, "after %zu bytes",
					       hello->used);
		if (!n) {
			close(newcomer->fd);
			forget(all, newcomer);
			return 0;
		}
		hello->used += n;
		all->recv->heard = mfd_now();
	}
	return need ? need : introduce(all, newcomer, kind, id, err);
}

static int check_patience(struct reception *all, struct mfd_error *err)
{
	uint64_t patience = all->recv->params.stall_ms * 1000000ull, now = mfd_now();
	unsigned int i;

	for (i = 0; patience && i < all->wanted; i++)
		if (all->newcomers[i].fd >= 0 && now - all->newcomers[i].since > patience)
			return mfd_error_set(err, ETIMEDOUT,
					     "a connection has not said for %.1f s what it is",
					     all->recv->params.stall_ms / 1e3);
	return 0;
}

static void watch(struct reception *all)
{
	unsigned int i;

	for (i = 0; i < all->wanted; i++)
		all->fds[i] = (struct pollfd) { .fd = all->newcomers[i].fd, .events = POLLIN };
	all->fds[i++] = (struct pollfd) { .fd = all->recv->listener.fd, .events = POLLIN };
	all->fds[i] = (struct pollfd) { .fd = all->recv->cancel, .events = POLLIN };
}

/*
 * First those that are there, whether poll() saw them or not: who is gone by now
 * makes room for the next, and only then it is clear who is one too many.
 */
static int serve(struct reception *all, struct mfd_error *err)
{
	bool more = all->fds[all->wanted].revents;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < all->wanted && !ret; i++)
		if (all->newcomers[i].fd >= 0 && (more || all->fds[i].revents))
			ret = listen_to(all, &all->newcomers[i], err);
	if (!ret && more)
		ret = greet(all, err);
	return ret < 0 ? ret : 0;
}

static int receive_all(struct reception *all, struct mfd_error *err)
{
	int ret = 0;

	while (all->known < all->wanted && !ret) {
		watch(all);
		if (poll(all->fds, all->wanted + 2, MFD_RECV_TICK_MS) < 0 && errno != EINTR)
			return mfd_error_errno(err, errno, "poll");
		ret = serve(all, err);
		if (!ret)
			ret = check_patience(all, err);
		if (!ret)
			ret = mfd_recv_check(all->recv, err);
	}
	/* who is in the queue behind them should not be there */
	while (!ret && (ret = greet(all, err)) > 0)
		ret = 0;
	return ret;
}

static int make_room(struct reception *all)
{
	unsigned int i;

	all->newcomers = calloc(all->wanted, sizeof(*all->newcomers));
	all->fds = calloc(all->wanted + 2, sizeof(*all->fds));
	if (!all->newcomers || !all->fds)
		return -ENOMEM;
	for (i = 0; i < all->wanted; i++)
		all->newcomers[i].fd = -1;
	return 0;
}

int mfd_recv_accept(struct mfd_recv *recv, struct mfd_error *err)
{
	struct reception all = { .recv = recv, .wanted = recv->params.channels + 1 };
	int ret = make_room(&all);
	unsigned int i;

	if (ret)
		mfd_error_errno(err, ENOMEM, "connections");
	else
		ret = receive_all(&all, err);
	for (i = 0; all.waiting && i < all.wanted; i++)
		if (all.newcomers[i].fd >= 0)
			close(all.newcomers[i].fd);
	free(all.newcomers);
	free(all.fds);
	mfd_recv_listener_close(&recv->listener);
	return ret;
}

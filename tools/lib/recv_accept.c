// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Waiting for the source's connections.
 *
 * They come in any order, and say what they are when they like. Nobody is
 * believed to be the source just because it was first. Before anybody has said
 * that he is, others may come to the door: scanners, health checkers, a browser.
 * Whoever leaves, says something that no source says, or says nothing for as long
 * as a source may be silent, is a stranger and is forgotten, and so is who has been
 * silent for longest when there is no place for the next.
 *
 * From the first good word on, the source is there. All that is wrong then ends the
 * migration, before any memory is touched: it most likely is the source that is
 * wrong, and would wait for ever. Only who was there before it and has not said a word
 * is a stranger still.
 *
 * If connections are to be encrypted, that word comes after a handshake. All shake hands at
 * the same time, as far as each gets without waiting.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link.h"
#include "recv_accept.h"
#include "recv_check.h"
#include "recv_hello.h"

struct newcomer {
	struct mfd_link link;	/* none: nobody */
	uint64_t since;		/* ns */
	bool early;		/* was there before the source was */
	bool shaking;		/* hands, still */
	bool spoke;		/* in the handshake */
	short events;		/* of poll(), that it waits for */
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

/* Is the source there? Then it has begun to speak. */
static bool begun(const struct reception *all)
{
	return all->recv->heard;
}

static bool present(const struct newcomer *newcomer)
{
	return newcomer->link.fd >= 0;
}

static void forget(struct reception *all, struct newcomer *newcomer)
{
	newcomer->link = MFD_LINK_NONE;
	all->waiting--;
}

/* Not the source, as @why says. */
static void dismiss(struct reception *all, struct newcomer *newcomer, const struct mfd_error *why)
{
	struct mfd_recv *recv = all->recv;

	mfd_link_close(&newcomer->link, false);
	forget(all, newcomer);
	recv->strangers++;
	if (recv->params.stranger)
		recv->params.stranger(why, recv->params.opaque);
}

/* It was there before the source was, and has not even said what kind it is. */
static bool silent_stranger(const struct newcomer *newcomer)
{
	return present(newcomer) && newcomer->early &&
	       newcomer->hello.used < sizeof(newcomer->hello.init.magic);
}

/* Who has shown who it is may be a source that has nothing to say yet. */
static bool stranger_than(const struct newcomer *a, const struct newcomer *b)
{
	return a->shaking != b->shaking ? a->shaking : a->since < b->since;
}

/* Make room at the cost of who has been silent for longest; NULL: there is none. */
static struct newcomer *make_place(struct reception *all)
{
	struct mfd_error why = MFD_ERROR_NONE;
	struct newcomer *oldest = NULL;
	unsigned int i;

	for (i = 0; i < all->wanted; i++)
		if (silent_stranger(&all->newcomers[i]) &&
		    (!oldest || stranger_than(&all->newcomers[i], oldest)))
			oldest = &all->newcomers[i];
	if (oldest) {
		mfd_error_set(&why, ETIMEDOUT, "it was silent, and its place was needed");
		dismiss(all, oldest, &why);
	}
	return oldest;
}

static struct newcomer *find_place(struct reception *all)
{
	struct newcomer *newcomer = all->newcomers;

	if (all->known + all->waiting == all->wanted)
		return make_place(all);
	while (present(newcomer))
		newcomer++;
	return newcomer;
}

/* No harm is done by who has left already, and nobody has to make room for it. */
static bool has_left(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT);

	return !n || (n < 0 && errno == ECONNRESET);
}

static int let_in(struct reception *all, struct newcomer *place, int fd, struct mfd_error *err)
{
	struct mfd_tls *tls = all->recv->params.tls;

	*place = (struct newcomer) {
		.link.fd = fd, .since = mfd_now(), .early = !begun(all), .shaking = tls,
		.events = POLLIN,
	};
	all->waiting++;
	return tls ? tls->ops->open(tls, fd, NULL, &place->link.tls, err) : 0;
}

/* Return: 1: somebody was at the door, 0: nobody; an error. */
static int greet(struct reception *all, struct mfd_error *err)
{
	int fd = mfd_recv_listener_accept(&all->recv->listener, err);
	struct newcomer *place;
	int ret;

	if (fd < 0)
		return fd == -EAGAIN ? 0 : fd;
	if (all->known + all->waiting == all->wanted && has_left(fd)) {
		close(fd);
		return 1;
	}
	place = find_place(all);
	if (!place) {
		close(fd);
		return mfd_recv_reject(err, RECV_CONNECTIONS, "%u", all->wanted);
	}
	ret = let_in(all, place, fd, err);
	return ret ? ret : 1;
}

static int introduce(struct reception *all, struct newcomer *newcomer, enum mfd_recv_kind kind,
		     unsigned int id, struct mfd_error *err)
{
	struct mfd_recv *recv = all->recv;
	struct mfd_recv_socket *socket = kind == MFD_RECV_MAIN ? &recv->main_socket :
								  &recv->workers[id].socket;

	if (socket->link.fd >= 0)
		return kind == MFD_RECV_MAIN ? mfd_recv_reject(err, RECV_MAIN_TWICE, "%s", "") :
					       mfd_recv_reject(err, RECV_CHANNEL_TWICE, "%u", id);
	mfd_recv_socket_init(socket, recv, &newcomer->link,
			     kind == MFD_RECV_MAIN ? MFD_RECV_TICK_MS : -1);
	socket->input.bytes = newcomer->hello.used;
	recv->heard = mfd_now();
	if (!recv->begun)
		recv->begun = recv->heard;
	forget(all, newcomer);
	all->known++;
	return 0;
}

/* Return: 1: it is who it should be, 0: it has not shown that yet; an error. */
static int shake_hands(struct newcomer *newcomer, struct mfd_error *err)
{
	struct mfd_tls_conn *tls = newcomer->link.tls;
	char byte;
	int ret;

	if (!newcomer->spoke)
		newcomer->spoke = recv(newcomer->link.fd, &byte, sizeof(byte),
				       MSG_PEEK | MSG_DONTWAIT) > 0;
	ret = tls->ops->handshake(tls, &newcomer->events, err);
	if (ret <= 0)
		return ret;
	newcomer->shaking = false;
	newcomer->events = POLLIN;
	return 1;
}

/* Return: 1: it has said more, 0: nothing now; an error, also if it has left. */
static int hear_out(struct newcomer *newcomer, size_t need, struct mfd_error *err)
{
	struct mfd_recv_hello *hello = &newcomer->hello;
	ssize_t n = mfd_link_recv(&newcomer->link, hello->bytes + hello->used, need);

	if (n > 0) {
		hello->used += n;
		return 1;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		mfd_error_errno(err, errno, "a new connection");
	else
		mfd_recv_reject(err, RECV_HANDSHAKE, "after %zu bytes", hello->used);
	mfd_link_explain(&newcomer->link, true, err);
	return -err->code;
}

/*
 * @newcomer said something wrong, or has left. Return: 0: it is a stranger, and was
 * dismissed; or the error, if it may be the source. Who has said the whole of a channel's
 * first message is: it is only the wrong one.
 */
static int judge(struct reception *all, struct newcomer *newcomer, const struct mfd_error *why,
		 struct mfd_error *err)
{
	const struct mfd_recv_hello *hello = &newcomer->hello;

	if (hello->used == sizeof(hello->bytes) ||
	    (begun(all) && (hello->used || newcomer->spoke) && !silent_stranger(newcomer))) {
		mfd_error_copy(err, why);
		return -why->code;
	}
	dismiss(all, newcomer, why);
	return 0;
}

/* Not a byte more than what it says of itself is read. */
static int listen_to(struct reception *all, struct newcomer *newcomer, struct mfd_error *err)
{
	struct mfd_error why = MFD_ERROR_NONE;
	enum mfd_recv_kind kind;
	unsigned int id = 0;
	int ret = newcomer->shaking ? shake_hands(newcomer, &why) : 1;

	if (!ret)
		return 0;
	while (ret > 0 &&
	       (ret = mfd_recv_hello_parse(&newcomer->hello, &all->recv->params, &kind, &id,
					   &why)) > 0) {
		ret = hear_out(newcomer, ret, &why);
		if (!ret)
			return 0;
		if (ret < 0)
			break;
	}
	return ret ? judge(all, newcomer, &why, err) : introduce(all, newcomer, kind, id, err);
}

static int check_patience(struct reception *all, struct mfd_error *err)
{
	uint64_t patience = all->recv->params.stall_ms * 1000000ull, now = mfd_now();
	struct mfd_error why = MFD_ERROR_NONE;
	struct newcomer *newcomer;
	unsigned int i;

	for (i = 0; patience && i < all->wanted; i++) {
		newcomer = &all->newcomers[i];
		if (!present(newcomer) || now - newcomer->since <= patience)
			continue;
		mfd_error_set(&why, ETIMEDOUT, newcomer->shaking ?
			      "TLS: a connection has not completed its handshake for %.1f s" :
			      "a connection has not said for %.1f s what it is",
			      all->recv->params.stall_ms / 1e3);
		if (begun(all) && !silent_stranger(newcomer)) {
			mfd_error_copy(err, &why);
			return -ETIMEDOUT;
		}
		dismiss(all, newcomer, &why);
	}
	return 0;
}

static void watch(struct reception *all)
{
	unsigned int i;

	for (i = 0; i < all->wanted; i++)
		all->fds[i] = (struct pollfd) {
			.fd = all->newcomers[i].link.fd, .events = all->newcomers[i].events,
		};
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
		if (present(&all->newcomers[i]) && (more || all->fds[i].revents))
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
		all->newcomers[i].link = MFD_LINK_NONE;
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
		mfd_link_close(&all.newcomers[i].link, false);
	free(all.newcomers);
	free(all.fds);
	mfd_recv_listener_close(&recv->listener);
	return ret;
}

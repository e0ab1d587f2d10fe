// SPDX-License-Identifier: LGPL-2.1-or-later
/* Connections, encrypted or not. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "link.h"

static int shake_hands(struct mfd_link *link, const struct mfd_wait *wait, struct mfd_error *err)
{
	struct pollfd fd = { .fd = link->fd };
	int ret;

	while (!(ret = link->tls->ops->handshake(link->tls, &fd.events, err))) {
		if (mfd_wait_over(wait))
			return mfd_error_set(err, ETIMEDOUT,
					     "TLS: the destination does not answer (does it expect TLS?)");
		poll(&fd, 1, mfd_wait_tick(wait));
		ret = mfd_wait_check(wait, err);
		if (ret)
			return ret;
	}
	return ret < 0 ? ret : 0;
}

int mfd_link_secure(struct mfd_link *link, struct mfd_tls *tls, const char *host,
		    const struct mfd_wait *wait, struct mfd_error *err)
{
	int ret = tls->ops->open(tls, link->fd, host, &link->tls, err);

	return ret ? ret : shake_hands(link, wait, err);
}

ssize_t mfd_link_send(struct mfd_link *link, const void *data, size_t size)
{
	if (link->tls)
		return link->tls->ops->send(link->tls, data, size);
	return send(link->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t mfd_link_recv(struct mfd_link *link, void *data, size_t size)
{
	if (link->tls)
		return link->tls->ops->recv(link->tls, data, size);
	return recv(link->fd, data, size, MSG_DONTWAIT);
}

void mfd_link_wait(const struct mfd_link *link, int wait_ms)
{
	struct pollfd fd = { .fd = link->fd, .events = POLLIN };

	if (!link->tls || !link->tls->ops->buffered(link->tls))
		poll(&fd, 1, wait_ms);
}

void mfd_link_explain(const struct mfd_link *link, bool early, struct mfd_error *err)
{
	if (link->tls)
		link->tls->ops->explain(link->tls, early, err);
}

void mfd_link_close(struct mfd_link *link, bool keep)
{
	if (link->tls)
		link->tls->ops->close(link->tls);
	if (link->fd >= 0 && !keep)
		close(link->fd);
	*link = MFD_LINK_NONE;
}

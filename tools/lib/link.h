/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_LINK_H
#define MFD_PRIVATE_LINK_H

#include "tls.h"
#include "wait.h"

/* A connection: a non-blocking stream socket, and what it is encrypted with. */
struct mfd_link {
	int fd;				/* -1: none */
	struct mfd_tls_conn *tls;	/* NULL: it is not */
};

#define MFD_LINK_NONE ((struct mfd_link) { .fd = -1 })

/* Is there something that has to be encrypted in this process? */
static inline bool mfd_link_by_hand(const struct mfd_link *link)
{
	return link->tls && !link->tls->kernel;
}

/*
 * Begin to encrypt @link, whose socket is connected, and wait until both sides know who the
 * other is. @host: the destination's, or NULL.
 */
int mfd_link_secure(struct mfd_link *link, struct mfd_tls *tls, const char *host,
		    const struct mfd_wait *wait, struct mfd_error *err);

/* As send(2) and recv(2), without waiting and without SIGPIPE. */
ssize_t mfd_link_send(struct mfd_link *link, const void *data, size_t size);
ssize_t mfd_link_recv(struct mfd_link *link, void *data, size_t size);

/* Wait until there is something to receive, for @wait_ms at most. */
void mfd_link_wait(const struct mfd_link *link, int wait_ms);

/*
 * @err is of a connection that failed: add what TLS may have to do with that. @early: the other
 * side may not have made up its mind about our certificate.
 */
void mfd_link_explain(const struct mfd_link *link, bool early, struct mfd_error *err);

/* Close what is there. @keep: not the socket, which is somebody else's. */
void mfd_link_close(struct mfd_link *link, bool keep);

#endif /* MFD_PRIVATE_LINK_H */

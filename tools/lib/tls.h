/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What libmfd and libmfd-recv know of TLS: what can be done with a connection. How it is done
 * is libmfd-tls's, which they do not link: it comes with the credentials.
 */
#ifndef MFD_PRIVATE_TLS_H
#define MFD_PRIVATE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mfd.h"

struct mfd_tls_conn;

/*
 * @open: make a TLS connection of @fd, a connected non-blocking socket that stays the
 *	caller's. @host: the peer's, or NULL. Nothing is sent yet.
 * @handshake: go on with the handshake. Return: 1: it is complete and the other side is who
 *	it should be; 0: call again when the socket is ready for *@events; or an error.
 * @to_kernel: let the kernel encrypt what is sent from now on, @bytes or so. Return: 1: it
 *	does; 0: it does not, so @send has to; or an error.
 * @renew: of a connection that the kernel encrypts, called at least every mfd_tls_conn.chunk
 *	bytes: renew the key if it is time
 * @send: as send(2), without waiting; after EAGAIN with the same arguments
 * @recv: as recv(2), without waiting; 0 also if the other side did not say bye, which QEMU
 *	does not
 * @buffered: is there something to @recv that poll(2) does not know of?
 * @explain: append to @err, of a connection that failed, what TLS may have to do with that.
 *	@early: the other side may not have made up its mind about our certificate
 */
struct mfd_tls_ops {
	int (*open)(struct mfd_tls *tls, int fd, const char *host, struct mfd_tls_conn **conn,
		    struct mfd_error *err);
	int (*handshake)(struct mfd_tls_conn *conn, short *events, struct mfd_error *err);
	int (*to_kernel)(struct mfd_tls_conn *conn, uint64_t bytes, struct mfd_error *err);
	int (*renew)(struct mfd_tls_conn *conn, struct mfd_error *err);
	ssize_t (*send)(struct mfd_tls_conn *conn, const void *data, size_t size);
	ssize_t (*recv)(struct mfd_tls_conn *conn, void *data, size_t size);
	bool (*buffered)(const struct mfd_tls_conn *conn);
	void (*explain)(const struct mfd_tls_conn *conn, bool early, struct mfd_error *err);
	void (*close)(struct mfd_tls_conn *conn);
};

struct mfd_tls {
	const struct mfd_tls_ops *ops;
	bool server;			/* a destination's */
};

struct mfd_tls_conn {
	const struct mfd_tls_ops *ops;
	bool kernel;			/* encrypts what is sent */
	uint64_t chunk;			/* bytes, see @renew */
};

#endif /* MFD_PRIVATE_TLS_H */

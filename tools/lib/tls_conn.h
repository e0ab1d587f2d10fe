/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_TLS_CONN_H
#define MFD_PRIVATE_TLS_CONN_H

#include "tls_creds.h"

/* One encrypted connection. */
struct mfd_tls_gnutls {
	struct mfd_tls_conn conn;
	struct mfd_tls_creds *creds;
	int fd;
	gnutls_session_t handle;
	char *name;			/* that the other side must have, or NULL */
	gnutls_typed_vdata_st wanted[2];	/* of its certificate */
	const char *alert;		/* the other side's last word, or NULL */
	bool complete;			/* the handshake */
	bool heard;			/* the other side has sent something, behind that */
	bool ended;			/* by the other side, without a bye */
	bool renewable;			/* the kernel can take new keys */

	/* of a destination */
	size_t begin, end;		/* what GnuTLS has not read of @ahead */
	char ahead[];
};

extern const struct mfd_tls_ops mfd_tls_conn_ops;

/* What a connection was made with. */
struct mfd_tls_creds *mfd_tls_conn_creds(const struct mfd_tls_gnutls *tls);

#endif /* MFD_PRIVATE_TLS_CONN_H */

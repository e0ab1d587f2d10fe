/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_TLS_KERNEL_H
#define MFD_PRIVATE_TLS_KERNEL_H

#include "tls_conn.h"

/* The operations of these names; see tls.h. */
int mfd_tls_to_kernel(struct mfd_tls_conn *conn, uint64_t bytes, struct mfd_error *err);
int mfd_tls_renew(struct mfd_tls_conn *conn, struct mfd_error *err);

#endif /* MFD_PRIVATE_TLS_KERNEL_H */

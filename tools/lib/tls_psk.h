/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_TLS_PSK_H
#define MFD_PRIVATE_TLS_PSK_H

#include "tls_creds.h"

/* Read @creds' keys, and those of a client's @params.psk_user. */
int mfd_tls_psk_load(struct mfd_tls_creds *creds, const struct mfd_tls_params *params,
		     struct mfd_error *err);

#endif /* MFD_PRIVATE_TLS_PSK_H */

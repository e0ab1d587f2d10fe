/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_TLS_X509_H
#define MFD_PRIVATE_TLS_X509_H

#include "tls_creds.h"

/* Read the certificates of @creds' folder, and this side's key. */
int mfd_tls_x509_load(struct mfd_tls_creds *creds, struct mfd_error *err);

#endif /* MFD_PRIVATE_TLS_X509_H */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_TLS_CREDS_H
#define MFD_PRIVATE_TLS_CREDS_H

#include <gnutls/gnutls.h>
#include <pthread.h>

#include "mfd_tls.h"
#include "tls.h"
#include "tls_file.h"

/* A key of AES-GCM's is good for 2^24.5 records; GnuTLS renews its own after as many as this. */
#define MFD_TLS_KEY_RECORDS (1ull << 24)

/* What is known before there is a connection. Only @info changes later, under @lock. */
struct mfd_tls_creds {
	struct mfd_tls tls;
	uint32_t mode;
	uint64_t key_records;
	char *hostname;			/* or NULL */
	char *dir;			/* or NULL */
	bool has_certificate;		/* of this side's own */
	gnutls_priority_t priority;
	gnutls_certificate_credentials_t x509;
	gnutls_psk_client_credentials_t psk_client;
	gnutls_psk_server_credentials_t psk_server;
	struct mfd_tls_file keys;	/* of a server with PSK */
	pthread_mutex_t lock;
	struct mfd_tls_info info;
};

/* Give @handle what belongs to @creds. Return: a code of GnuTLS. */
int mfd_tls_creds_use(struct mfd_tls_creds *creds, gnutls_session_t handle);

#endif /* MFD_PRIVATE_TLS_CREDS_H */

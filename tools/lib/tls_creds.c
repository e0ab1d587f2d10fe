// SPDX-License-Identifier: LGPL-2.1-or-later
/* Credentials: what connections are to be encrypted with. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "sized.h"
#include "tls_conn.h"
#include "tls_creds.h"
#include "tls_psk.h"
#include "tls_x509.h"

/*
 * What the kernel and a GnuTLS of QEMU's defaults both know, the fastest first. Not CCM: it
 * reads what it encrypts twice, and a guest that writes between makes the other side break the
 * connection.
 *
 * GnuTLS takes PSKs for keys with SHA-256, with which AES-256 does not go. And not +PSK alone,
 * without a key exchange: who gets to know the key one day could read what was recorded. QEMU's
 * sources prefer ChaCha20 then, which takes GnuTLS several times as long as AES-GCM; so a
 * destination does not ask what they prefer.
 */
#define TLS_1_3 ":-VERS-ALL:+VERS-TLS1.3"
#define CIPHERS "NORMAL:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305"
#define CIPHERS_PSK CIPHERS ":+ECDHE-PSK:+DHE-PSK:%SERVER_PRECEDENCE"

int mfd_tls_params_init(struct mfd_tls_params *params)
{
	static const struct mfd_tls_params defaults = { .mode = MFD_TLS_AUTO };

	return mfd_sized_give(params, &defaults, sizeof(defaults));
}

static int set_priority(struct mfd_tls_creds *creds, const struct mfd_tls_params *params,
			struct mfd_error *err)
{
	const char *base = params->priority ? params->priority :
			   params->psk_file ? CIPHERS_PSK : CIPHERS;
	char text[1024];
	int ret;

	if (strlen(base) + sizeof(TLS_1_3) > sizeof(text))
		return mfd_error_set(err, ENAMETOOLONG, "TLS: the priority is too long");
	strcpy(text, base);
	strcat(text, TLS_1_3);
	ret = gnutls_priority_init(&creds->priority, text, NULL);
	if (ret)
		return mfd_error_set(err, EINVAL, "TLS: '%.128s' is no priority of GnuTLS's", base);
	return 0;
}

static int copy(char **to, const char *from, struct mfd_error *err)
{
	if (!from)
		return 0;
	*to = strdup(from);
	return *to ? 0 : mfd_error_errno(err, ENOMEM, "TLS");
}

static int check_params(const struct mfd_tls_params *params, struct mfd_error *err)
{
	if (!params->dir == !params->psk_file)
		return mfd_error_set(err, EINVAL,
				     "TLS: a folder with certificates is wanted, or a file with keys, and not both");
	if (params->mode > MFD_TLS_USER)
		return mfd_error_set(err, EINVAL, "TLS: there is no mode %u", params->mode);
	if (params->key_records > MFD_TLS_KEY_RECORDS)
		return mfd_error_set(err, EINVAL,
				     "TLS: a key is renewed after %llu records at the latest",
				     MFD_TLS_KEY_RECORDS);
	return 0;
}

static int load(struct mfd_tls_creds *creds, const struct mfd_tls_params *params,
		struct mfd_error *err)
{
	int ret = check_params(params, err);

	if (ret)
		return ret;
	creds->mode = params->mode;
	creds->key_records = params->key_records ? params->key_records : MFD_TLS_KEY_RECORDS;
	ret = copy(&creds->hostname, params->hostname, err);
	if (!ret)
		ret = copy(&creds->dir, params->dir, err);
	if (!ret)
		ret = set_priority(creds, params, err);
	if (ret)
		return ret;
	return params->dir ? mfd_tls_x509_load(creds, err) : mfd_tls_psk_load(creds, params, err);
}

static int make(struct mfd_tls **out, const struct mfd_tls_params *theirs, bool server,
		struct mfd_error *err)
{
	struct mfd_tls_params params;
	struct mfd_tls_creds *creds;
	int ret;

	if (!out)
		return mfd_error_set(err, EINVAL, "TLS: there is no place for the credentials");
	switch (mfd_sized_take(&params, sizeof(params), theirs)) {
	case 0:
		break;
	case -E2BIG:
		return mfd_error_set(err, E2BIG,
				     "this libmfd-tls is too old for what the program wants");
	default:
		return mfd_error_set(err, EINVAL, "struct mfd_tls_params has no size");
	}
	creds = calloc(1, sizeof(*creds));
	if (!creds)
		return mfd_error_errno(err, ENOMEM, "TLS");
	creds->tls.ops = &mfd_tls_conn_ops;
	creds->tls.server = server;
	pthread_mutex_init(&creds->lock, NULL);
	ret = load(creds, &params, err);
	if (ret)
		mfd_tls_free(&creds->tls);
	else
		*out = &creds->tls;
	return ret;
}

int mfd_tls_source(struct mfd_tls **tls, const struct mfd_tls_params *params,
		   struct mfd_error *err)
{
	return make(tls, params, false, err);
}

int mfd_tls_destination(struct mfd_tls **tls, const struct mfd_tls_params *params,
			struct mfd_error *err)
{
	return make(tls, params, true, err);
}

int mfd_tls_creds_use(struct mfd_tls_creds *creds, gnutls_session_t handle)
{
	int ret = gnutls_priority_set(handle, creds->priority);

	if (ret)
		return ret;
	if (creds->psk_client)
		return gnutls_credentials_set(handle, GNUTLS_CRD_PSK, creds->psk_client);
	if (creds->psk_server)
		return gnutls_credentials_set(handle, GNUTLS_CRD_PSK, creds->psk_server);
	if (creds->tls.server)
		gnutls_certificate_server_set_request(handle, GNUTLS_CERT_REQUIRE);
	return gnutls_credentials_set(handle, GNUTLS_CRD_CERTIFICATE, creds->x509);
}

int mfd_tls_info(struct mfd_tls *tls, struct mfd_tls_info *info)
{
	struct mfd_tls_creds *creds = (struct mfd_tls_creds *)tls;
	struct mfd_tls_info now;

	if (!tls)
		return -EINVAL;
	pthread_mutex_lock(&creds->lock);
	now = creds->info;
	pthread_mutex_unlock(&creds->lock);
	return mfd_sized_give(info, &now, sizeof(now));
}

void mfd_tls_free(struct mfd_tls *tls)
{
	struct mfd_tls_creds *creds = (struct mfd_tls_creds *)tls;

	if (!creds)
		return;
	if (creds->priority)
		gnutls_priority_deinit(creds->priority);
	if (creds->x509)
		gnutls_certificate_free_credentials(creds->x509);
	if (creds->psk_client)
		gnutls_psk_free_client_credentials(creds->psk_client);
	if (creds->psk_server)
		gnutls_psk_free_server_credentials(creds->psk_server);
	mfd_tls_file_wipe(&creds->keys);
	pthread_mutex_destroy(&creds->lock);
	free(creds->hostname);
	free(creds->dir);
	free(creds);
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/* Keys that both sides share: lines of ``user:hexkey``. */
#include <errno.h>
#include <string.h>

#include "error.h"
#include "tls_conn.h"
#include "tls_psk.h"

/* The hex key of @user, in the file's text. */
static bool find(const struct mfd_tls_file *keys, const char *user, gnutls_datum_t *key)
{
	size_t size = strlen(user);
	const char *line = keys->text, *end;

	for (; *line; line = *end ? end + 1 : end) {
		end = strchrnul(line, '\n');
		if ((size_t)(end - line) <= size || memcmp(line, user, size) || line[size] != ':')
			continue;
		key->data = (unsigned char *)line + size + 1;
		key->size = end - line - size - 1;
		if (key->size && key->data[key->size - 1] == '\r')
			key->size--;
		return true;
	}
	return false;
}

/* GnuTLS asks for the key of who wants to connect. It frees what it gets. */
static int give(gnutls_session_t handle, const char *user, gnutls_datum_t *out)
{
	struct mfd_tls_creds *creds = mfd_tls_conn_creds(gnutls_session_get_ptr(handle));
	gnutls_datum_t hex;

	if (!find(&creds->keys, user, &hex))
		return -1;
	return gnutls_hex_decode2(&hex, out) ? -1 : 0;
}

static int load_server(struct mfd_tls_creds *creds, struct mfd_error *err)
{
	if (gnutls_psk_allocate_server_credentials(&creds->psk_server))
		return mfd_error_errno(err, ENOMEM, "TLS");
	gnutls_psk_set_server_credentials_function(creds->psk_server, give);
	return 0;
}

static int load_client(struct mfd_tls_creds *creds, const char *user, struct mfd_error *err)
{
	gnutls_datum_t key;
	int ret;

	if (!find(&creds->keys, user, &key)) {
		ret = mfd_error_set(err, ENOENT, "TLS: %.128s has no key of user '%.64s'",
				    creds->keys.path, user);
		mfd_error_of(err, MFD_ERROR_USAGE);
		return ret;
	}
	if (gnutls_psk_allocate_client_credentials(&creds->psk_client))
		return mfd_error_errno(err, ENOMEM, "TLS");
	ret = gnutls_psk_set_client_credentials(creds->psk_client, user, &key, GNUTLS_PSK_KEY_HEX);
	if (ret)
		return mfd_error_set(err, EBADMSG, "TLS: %.128s: the key of '%.32s': %.64s",
				     creds->keys.path, user, gnutls_strerror(ret));
	return 0;
}

int mfd_tls_psk_load(struct mfd_tls_creds *creds, const struct mfd_tls_params *params,
		     struct mfd_error *err)
{
	int ret;

	if (!creds->tls.server && !params->psk_user)
		return mfd_error_set(err, EINVAL, "TLS: whose key of %.128s is to be used?",
				     params->psk_file);
	ret = mfd_tls_file_read(&creds->keys, NULL, params->psk_file, true, err);
	if (ret)
		return ret;
	if (creds->tls.server)
		return load_server(creds, err);
	ret = load_client(creds, params->psk_user, err);
	mfd_tls_file_wipe(&creds->keys);
	return ret;
}

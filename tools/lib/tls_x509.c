// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Certificates: a folder's, with QEMU's names.
 *
 * What the other side would refuse without a word is found here, where it can be said: that
 * this side's certificate is out of date, or not of the CA's. (QEMU looks for that, too.)
 */
#include <errno.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "tls_x509.h"

struct list {
	gnutls_x509_crt_t *certs;
	unsigned int nr;
};

static int bad(const struct mfd_tls_file *file, int code, struct mfd_error *err)
{
	mfd_error_set(err, EBADMSG, "TLS: %.128s: %.100s", file->path, gnutls_strerror(code));
	mfd_error_of(err, MFD_ERROR_USAGE);
	return -EBADMSG;
}

static void free_list(struct list *list)
{
	unsigned int i;

	for (i = 0; i < list->nr; i++)
		gnutls_x509_crt_deinit(list->certs[i]);
	gnutls_free(list->certs);
}

static int read_list(struct list *list, const struct mfd_tls_file *file, struct mfd_error *err)
{
	gnutls_datum_t text = mfd_tls_file_datum(file);
	int ret = gnutls_x509_crt_list_import2(&list->certs, &list->nr, &text,
					       GNUTLS_X509_FMT_PEM, 0);

	return ret < 0 ? bad(file, ret, err) : 0;
}

static int out_of_date(const struct mfd_tls_file *file, const char *what, time_t when,
		       struct mfd_error *err)
{
	char date[32] = "";
	struct tm tm;

	if (gmtime_r(&when, &tm))
		strftime(date, sizeof(date), "%F %R UTC", &tm);
	mfd_error_set(err, EKEYEXPIRED, "TLS: the certificate %.128s is good only %s %s",
		      file->path, what, date);
	mfd_error_of(err, MFD_ERROR_USAGE);
	return -EKEYEXPIRED;
}

static int check_date(const struct mfd_tls_file *file, gnutls_x509_crt_t cert,
		      struct mfd_error *err)
{
	time_t from = gnutls_x509_crt_get_activation_time(cert);
	time_t until = gnutls_x509_crt_get_expiration_time(cert);
	time_t now = time(NULL);

	if (now < from)
		return out_of_date(file, "from", from, err);
	return now > until ? out_of_date(file, "until", until, err) : 0;
}

/* Will whoever trusts the CA of this folder trust that certificate? */
static int check_issuer(const struct mfd_tls_file *file, const struct list *own,
			const struct list *ca, struct mfd_error *err)
{
	unsigned int status = 0;
	int ret = gnutls_x509_crt_list_verify(own->certs, own->nr, ca->certs, ca->nr, NULL, 0, 0,
					      &status);

	if (ret < 0)
		return bad(file, ret, err);
	/* who has signed it may be out of date; then the other side will say so */
	if (!(status & (GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_SIGNATURE_FAILURE)))
		return 0;
	mfd_error_set(err, EKEYREJECTED,
		      "TLS: the certificate %.128s is not one of the CA's in ca-cert.pem beside it",
		      file->path);
	mfd_error_of(err, MFD_ERROR_USAGE);
	return -EKEYREJECTED;
}

static int check_own(const struct mfd_tls_file *file, const struct list *ca,
		     struct mfd_error *err)
{
	struct list own = { .nr = 0 };
	int ret = read_list(&own, file, err);

	if (ret)
		return ret;
	ret = check_date(file, own.certs[0], err);
	if (!ret)
		ret = check_issuer(file, &own, ca, err);
	free_list(&own);
	return ret;
}

/* This side's certificate, and its key. */
static int load_own(struct mfd_tls_creds *creds, const struct list *ca, struct mfd_error *err)
{
	struct mfd_tls_file cert, key;
	gnutls_datum_t cert_text, key_text;
	int ret = mfd_tls_file_read(&cert, creds->dir,
				    creds->tls.server ? "server-cert.pem" : "client-cert.pem",
				    false, err);

	/* a destination may not want to know who the source is */
	if (ret == -ENOENT && !creds->tls.server)
		return 0;
	if (ret)
		return ret;
	ret = check_own(&cert, ca, err);
	if (!ret)
		ret = mfd_tls_file_read(&key, creds->dir,
					creds->tls.server ? "server-key.pem" : "client-key.pem",
					true, err);
	if (!ret) {
		cert_text = mfd_tls_file_datum(&cert);
		key_text = mfd_tls_file_datum(&key);
		ret = gnutls_certificate_set_x509_key_mem(creds->x509, &cert_text, &key_text,
							  GNUTLS_X509_FMT_PEM);
		ret = ret < 0 ? bad(&key, ret, err) : 0;
		mfd_tls_file_wipe(&key);
	}
	creds->has_certificate = !ret;
	mfd_tls_file_wipe(&cert);
	return ret;
}

static int load_revoked(struct mfd_tls_creds *creds, struct mfd_error *err)
{
	struct mfd_tls_file file;
	gnutls_datum_t text;
	int ret = mfd_tls_file_read(&file, creds->dir, "ca-crl.pem", false, err);

	if (ret)
		return ret == -ENOENT ? 0 : ret;
	text = mfd_tls_file_datum(&file);
	ret = gnutls_certificate_set_x509_crl_mem(creds->x509, &text, GNUTLS_X509_FMT_PEM);
	ret = ret < 0 ? bad(&file, ret, err) : 0;
	mfd_tls_file_wipe(&file);
	return ret;
}

static int load_all(struct mfd_tls_creds *creds, const struct mfd_tls_file *file,
		    struct mfd_error *err)
{
	gnutls_datum_t text = mfd_tls_file_datum(file);
	struct list ca = { .nr = 0 };
	int ret = read_list(&ca, file, err);

	if (ret)
		return ret;
	ret = gnutls_certificate_set_x509_trust_mem(creds->x509, &text, GNUTLS_X509_FMT_PEM);
	ret = ret < 0 ? bad(file, ret, err) : load_own(creds, &ca, err);
	free_list(&ca);
	return ret ? ret : load_revoked(creds, err);
}

int mfd_tls_x509_load(struct mfd_tls_creds *creds, struct mfd_error *err)
{
	struct mfd_tls_file file;
	int ret;

	if (gnutls_certificate_allocate_credentials(&creds->x509))
		return mfd_error_errno(err, ENOMEM, "TLS");
	ret = mfd_tls_file_read(&file, creds->dir, "ca-cert.pem", false, err);
	if (ret)
		return ret;
	ret = load_all(creds, &file, err);
	mfd_tls_file_wipe(&file);
	return ret;
}

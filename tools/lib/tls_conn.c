// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A connection that GnuTLS encrypts, or has the kernel encrypt.
 *
 * The handshake checks the other side, and whoever is not who it should be gets nothing but
 * an alert. A destination's check of our certificate is different: TLS 1.3 has the source
 * finish first. So a good handshake does not mean that the destination has accepted us, and
 * stock QEMUs that have not just close the connection.
 *
 * Nobody says bye. A QEMU destination never does, nor does it read the one of a source before
 * it closes the socket, which makes a reset of it. QEMU sources from 10.0 on say it on channels.
 *
 * So a source may end its side of a connection and still want to be told how the migration
 * went. To GnuTLS an end without a bye is an error, after which it sends nothing any more. It
 * does not get to see the end, therefore.
 */
#include <errno.h>
#include <gnutls/x509.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "error.h"
#include "tls_conn.h"
#include "tls_kernel.h"

/* Bytes, about four records */
#define AHEAD 65536

static struct mfd_tls_gnutls *gnutls_of(const struct mfd_tls_conn *conn)
{
	return (struct mfd_tls_gnutls *)conn;
}

struct mfd_tls_creds *mfd_tls_conn_creds(const struct mfd_tls_gnutls *tls)
{
	return tls->creds;
}

static const char *peer(const struct mfd_tls_gnutls *tls)
{
	return tls->creds->tls.server ? "source" : "destination";
}

/* What the other side's certificate must be good for, and have for a name. */
static int expect_peer(struct mfd_tls_gnutls *tls, const char *host, struct mfd_error *err)
{
	unsigned int nr = 0;

	if (!tls->creds->x509)
		return 0;
	tls->wanted[nr++] = (gnutls_typed_vdata_st) {
		.type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (unsigned char *)(tls->creds->tls.server ? GNUTLS_KP_TLS_WWW_CLIENT :
							       GNUTLS_KP_TLS_WWW_SERVER),
	};
	if (!tls->creds->tls.server) {
		if (tls->creds->hostname)
			host = tls->creds->hostname;
		if (!host)
			return mfd_error_set(err, EINVAL,
					     "TLS: which name must the destination's certificate have? Its address has none (hostname)");
		tls->name = strdup(host);
		if (!tls->name)
			return mfd_error_errno(err, ENOMEM, "TLS");
		tls->wanted[nr++] = (gnutls_typed_vdata_st) {
			.type = GNUTLS_DT_DNS_HOSTNAME,
			.data = (unsigned char *)tls->name,
		};
	}
	gnutls_session_set_verify_cert2(tls->handle, tls->wanted, nr, 0);
	return 0;
}

/* Read what there is of some records: GnuTLS reads each by two calls. Return: bytes, or -1. */
static ssize_t read_ahead(struct mfd_tls_gnutls *tls)
{
	ssize_t n = recv(tls->fd, tls->ahead, AHEAD, 0);

	if (!n) {
		tls->ended = true;
		gnutls_transport_set_errno(tls->handle, EAGAIN);
		return -1;
	}
	tls->begin = 0;
	tls->end = n > 0 ? n : 0;
	return n;
}

/* As recv(2), but there is no end. */
static ssize_t pull(gnutls_transport_ptr_t ptr, void *data, size_t size)
{
	struct mfd_tls_gnutls *tls = ptr;

	if (tls->begin == tls->end && read_ahead(tls) < 0)
		return -1;
	if (size > tls->end - tls->begin)
		size = tls->end - tls->begin;
	memcpy(data, tls->ahead + tls->begin, size);
	tls->begin += size;
	return size;
}

static void set_transport(struct mfd_tls_gnutls *tls)
{
	gnutls_transport_set_int(tls->handle, tls->fd);
	/* a source's GnuTLS may be configured to use the kernel, with no function but its own */
	if (!tls->creds->tls.server)
		return;
	gnutls_transport_set_ptr2(tls->handle, tls, (gnutls_transport_ptr_t)(intptr_t)tls->fd);
	gnutls_transport_set_pull_function(tls->handle, pull);
}

static int prepare(struct mfd_tls_gnutls *tls, const char *host, struct mfd_error *err)
{
	unsigned int flags = GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS;
	int ret = gnutls_init(&tls->handle,
			      flags | (tls->creds->tls.server ? GNUTLS_SERVER : GNUTLS_CLIENT));

	if (!ret) {
		gnutls_session_set_ptr(tls->handle, tls);
		set_transport(tls);
		/* how long it may take is the caller's business */
		gnutls_handshake_set_timeout(tls->handle, GNUTLS_INDEFINITE_TIMEOUT);
		ret = mfd_tls_creds_use(tls->creds, tls->handle);
	}
	if (ret)
		return mfd_error_set(err, ENOMEM, "TLS: %s", gnutls_strerror(ret));
	return expect_peer(tls, host, err);
}

static void close_conn(struct mfd_tls_conn *conn)
{
	struct mfd_tls_gnutls *tls = gnutls_of(conn);

	if (tls->handle)
		gnutls_deinit(tls->handle);
	free(tls->name);
	free(tls);
}

static int open_conn(struct mfd_tls *creds, int fd, const char *host,
		     struct mfd_tls_conn **conn, struct mfd_error *err)
{
	bool server = creds->server;
	struct mfd_tls_gnutls *tls = calloc(1, sizeof(*tls) + (server ? AHEAD : 0));
	int ret;

	if (!tls)
		return mfd_error_errno(err, ENOMEM, "TLS");
	tls->conn.ops = &mfd_tls_conn_ops;
	tls->creds = (struct mfd_tls_creds *)creds;
	tls->fd = fd;
	ret = prepare(tls, host, err);
	if (ret)
		close_conn(&tls->conn);
	else
		*conn = &tls->conn;
	return ret;
}

/* The other side's certificate is not what it should be: in GnuTLS's sentences. */
static int not_verified(struct mfd_tls_gnutls *tls, struct mfd_error *err)
{
	gnutls_datum_t text = { NULL, 0 };

	gnutls_certificate_verification_status_print(
		gnutls_session_get_verify_cert_status(tls->handle),
		gnutls_certificate_type_get2(tls->handle, GNUTLS_CTYPE_PEERS), &text, 0);
	if (tls->name)
		mfd_error_set(err, EKEYREJECTED,
			      "TLS: the destination's certificate is not accepted for '%.64s': %.140s",
			      tls->name, text.data ? (char *)text.data : "");
	else
		mfd_error_set(err, EKEYREJECTED, "TLS: the %s's certificate is not accepted: %.140s",
			      peer(tls), text.data ? (char *)text.data : "");
	gnutls_free(text.data);
	mfd_error_of(err, MFD_ERROR_PEER);
	return -EKEYREJECTED;
}

static const char *alert_name(gnutls_session_t handle)
{
	return gnutls_alert_get_name(gnutls_alert_get(handle));
}

/* A source's key, which is found out by the handshake itself. */
static int wrong_key(struct mfd_tls_gnutls *tls, int code, struct mfd_error *err)
{
	const char *file = tls->creds->keys.path;

	switch (code) {
	case GNUTLS_E_KEYFILE_ERROR:
		return mfd_error_set(err, EKEYREJECTED,
				     "TLS: the source's user is not one of those in %.128s", file);
	case GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER:
		return mfd_error_set(err, EKEYREJECTED,
				     "TLS: the source's key is not its user's in %.128s", file);
	default:
		return mfd_error_set(err, EKEYREJECTED,
				     "TLS: the source does not offer a key, as those in %.128s (has it certificates?)",
				     file);
	}
}

/* The handshake has failed, with GnuTLS's @code. */
static int handshake_error(struct mfd_tls_gnutls *tls, int code, struct mfd_error *err)
{
	int ret;

	switch (code) {
	case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
		ret = not_verified(tls, err);
		break;
	case GNUTLS_E_NO_CERTIFICATE_FOUND:
	case GNUTLS_E_CERTIFICATE_REQUIRED:
		ret = mfd_error_set(err, EKEYREJECTED,
				    "TLS: the %s has no certificate of a CA in ca-cert.pem here",
				    peer(tls));
		break;
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		ret = mfd_error_set(err, EKEYREJECTED,
				    "TLS: the %s refuses the handshake: \"%.64s\"; its own log may say why",
				    peer(tls), alert_name(tls->handle));
		break;
	case GNUTLS_E_PREMATURE_TERMINATION:
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PUSH_ERROR:
		ret = mfd_error_set(err, ECONNRESET,
				    "TLS: the %s closed the connection during the handshake%s; its own log says why",
				    peer(tls), tls->creds->tls.server ? "" :
				    tls->creds->psk_client ?
				    " (does it expect TLS, and this user's key?)" :
				    " (does it expect TLS?)");
		break;
	case GNUTLS_E_KEYFILE_ERROR:
	case GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER:
	case GNUTLS_E_INSUFFICIENT_CREDENTIALS:
		if (tls->creds->psk_server) {
			ret = wrong_key(tls, code, err);
			break;
		}
		/* fall through */
	case GNUTLS_E_UNEXPECTED_PACKET_LENGTH:
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
	case GNUTLS_E_UNEXPECTED_PACKET:
		ret = mfd_error_set(err, EPROTO,
				    "TLS: the %s does not speak TLS, or an old version of it: %s",
				    peer(tls), gnutls_strerror(code));
		break;
	default:
		ret = mfd_error_set(err, EPROTO, "TLS: handshake with the %s: %s", peer(tls),
				    gnutls_strerror(code));
	}
	mfd_error_of(err, MFD_ERROR_PEER);
	gnutls_alert_send_appropriate(tls->handle, code);
	return ret;
}

static void note(struct mfd_tls_gnutls *tls)
{
	struct mfd_tls_creds *creds = tls->creds;
	char *text = gnutls_session_get_desc(tls->handle);
	/* which it does not say beside a PSK; there is none unless a key exchange was made */
	const char *group = creds->x509 ? NULL :
			    gnutls_group_get_name(gnutls_group_get(tls->handle));

	pthread_mutex_lock(&creds->lock);
	creds->info.connections++;
	snprintf(creds->info.session, sizeof(creds->info.session), "%s%s%s", text ? text : "",
		 group ? "-" : "", group ? group : "");
	pthread_mutex_unlock(&creds->lock);
	gnutls_free(text);
}

static int handshake(struct mfd_tls_conn *conn, short *events, struct mfd_error *err)
{
	struct mfd_tls_gnutls *tls = gnutls_of(conn);
	int ret;

	do {
		ret = gnutls_handshake(tls->handle);
		if (ret == GNUTLS_E_AGAIN && tls->ended)
			ret = GNUTLS_E_PREMATURE_TERMINATION;
		if (ret == GNUTLS_E_AGAIN) {
			*events = gnutls_record_get_direction(tls->handle) ? POLLOUT : POLLIN;
			return 0;
		}
	} while (ret < 0 && !gnutls_error_is_fatal(ret));
	if (ret < 0)
		return handshake_error(tls, ret, err);
	tls->complete = true;
	note(tls);
	return 1;
}

/* GnuTLS's @code as an errno, which is returned the C library's way. */
static ssize_t fail(struct mfd_tls_gnutls *tls, ssize_t code)
{
	switch (code) {
	case GNUTLS_E_AGAIN:
		errno = EAGAIN;
		break;
	case GNUTLS_E_INTERRUPTED:
	case GNUTLS_E_WARNING_ALERT_RECEIVED:
		errno = EINTR;
		break;
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		tls->alert = alert_name(tls->handle);
		errno = EPIPE;
		break;
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PUSH_ERROR:
		errno = ECONNRESET;
		break;
	case GNUTLS_E_INVALID_SESSION:
		/* it has failed, which was said then */
		errno = EPIPE;
		break;
	default:
		tls->alert = gnutls_strerror(code);
		errno = EPROTO;
	}
	return -1;
}

static ssize_t send_data(struct mfd_tls_conn *conn, const void *data, size_t size)
{
	struct mfd_tls_gnutls *tls = gnutls_of(conn);
	ssize_t n = gnutls_record_send(tls->handle, data, size);

	return n < 0 ? fail(tls, n) : n;
}

static ssize_t recv_data(struct mfd_tls_conn *conn, void *data, size_t size)
{
	struct mfd_tls_gnutls *tls = gnutls_of(conn);
	ssize_t n = gnutls_record_recv(tls->handle, data, size);

	if (n == GNUTLS_E_PREMATURE_TERMINATION)
		tls->ended = true;
	/* an end stays one, however often it is looked at */
	if (tls->ended && (n == GNUTLS_E_PREMATURE_TERMINATION || n == GNUTLS_E_AGAIN ||
			   n == GNUTLS_E_INVALID_SESSION))
		return 0;
	if (n > 0)
		tls->heard = true;
	return n < 0 ? fail(tls, n) : n;
}

static bool buffered(const struct mfd_tls_conn *conn)
{
	const struct mfd_tls_gnutls *tls = gnutls_of(conn);

	return tls->begin < tls->end || gnutls_record_check_pending(tls->handle);
}

static void append(struct mfd_error *err, const char *format, const char *what)
{
	size_t used = strlen(err->text);

	snprintf(err->text + used, sizeof(err->text) - used, format, what);
}

static void explain(const struct mfd_tls_conn *conn, bool early, struct mfd_error *err)
{
	struct mfd_tls_gnutls *tls = gnutls_of(conn);
	char byte;

	if (!err || err->size < sizeof(*err) || !tls->complete)
		return;
	/* its last word may still be there; data does not matter any more */
	if (!tls->alert)
		recv_data(&tls->conn, &byte, sizeof(byte));
	if (tls->alert)
		append(err, " (TLS: \"%.64s\")", tls->alert);
	if (tls->alert || !early || !tls->creds->x509)
		return;
	if (!tls->creds->tls.server)
		append(err, tls->creds->has_certificate ?
			    " (TLS: it may have refused client-cert.pem in %.64s)" :
			    " (TLS: it may want a client-cert.pem in %.64s)", tls->creds->dir);
	else if (!tls->heard)
		append(err, " (TLS: it may not accept server-cert.pem in %.64s)",
		       tls->creds->dir);
}

const struct mfd_tls_ops mfd_tls_conn_ops = {
	.open = open_conn,
	.handshake = handshake,
	.to_kernel = mfd_tls_to_kernel,
	.renew = mfd_tls_renew,
	.send = send_data,
	.recv = recv_data,
	.buffered = buffered,
	.explain = explain,
	.close = close_conn,
};

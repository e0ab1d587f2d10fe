// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections that are encrypted, TLS 1.3 and AES-128-GCM, for source_cost: by GnuTLS, and by
 * the kernel; and encryption without a connection.
 *
 * Who receives throws everything away and so need not know the keys. A session of GnuTLS's
 * shakes hands with another one in this process, which is then forgotten. The kernel gets keys
 * that are no secret.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <linux/tls.h>

#include "source_cost_tls.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+ECDHE-PSK:+DHE-PSK"
#define CIPHER_FILE "/sys/module/source_cost_cipher/parameters/records"

static void works(int ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, gnutls_strerror(ret));
}

/* --- GnuTLS */

struct tls {
	gnutls_session_t session;
	gnutls_psk_client_credentials_t credentials;
	int socket;
	uint64_t bytes;
};

static int key_of(gnutls_session_t session, const char *user, gnutls_datum_t *key)
{
	(void)session;
	(void)user;
	key->size = 16;
	key->data = gnutls_calloc(1, key->size);
	return key->data ? 0 : -1;
}

static gnutls_session_t session_new(unsigned int flags, void *credentials, int fd)
{
	gnutls_session_t session;

	works(gnutls_init(&session, flags | GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS), "a session");
	works(gnutls_priority_set_direct(session, PRIORITY, NULL), "the priority");
	works(gnutls_credentials_set(session, GNUTLS_CRD_PSK, credentials), "credentials");
	gnutls_transport_set_int(session, fd);
	return session;
}

static int step(gnutls_session_t session)
{
	int ret = gnutls_handshake(session);

	if (ret != GNUTLS_E_AGAIN)
		works(ret, "the handshake");
	return ret;
}

static void shake_hands(gnutls_session_t client, int fd)
{
	gnutls_psk_server_credentials_t credentials;
	gnutls_session_t server;
	int client_ret, server_ret;

	works(gnutls_psk_allocate_server_credentials(&credentials), "the server");
	gnutls_psk_set_server_credentials_function(credentials, key_of);
	server = session_new(GNUTLS_SERVER, credentials, fd);
	client_ret = server_ret = GNUTLS_E_AGAIN;
	while (client_ret || server_ret) {
		if (client_ret)
			client_ret = step(client);
		if (server_ret)
			server_ret = step(server);
	}
	gnutls_deinit(server);
	gnutls_psk_free_server_credentials(credentials);
}

static ssize_t push(gnutls_transport_ptr_t arg, const void *data, size_t size)
{
	struct tls *tls = arg;
	ssize_t n = send(tls->socket, data, size, MSG_NOSIGNAL);

	if (n > 0)
		tls->bytes += n;
	return n;
}

struct tls *tls_open(int socket)
{
	gnutls_datum_t key = { NULL, 0 };
	struct tls *tls = calloc(1, sizeof(*tls));
	int pair[2];

	if (!tls || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) ||
	    key_of(NULL, NULL, &key))
		err(1, "TLS");
	works(gnutls_psk_allocate_client_credentials(&tls->credentials), "the client");
	works(gnutls_psk_set_client_credentials(tls->credentials, "bench", &key,
						GNUTLS_PSK_KEY_RAW), "the key");
	gnutls_free(key.data);
	tls->session = session_new(GNUTLS_CLIENT, tls->credentials, pair[0]);
	shake_hands(tls->session, pair[1]);
	if (gnutls_cipher_get(tls->session) != GNUTLS_CIPHER_AES_128_GCM)
		errx(1, "the cipher is %s",
		     gnutls_cipher_get_name(gnutls_cipher_get(tls->session)));
	close(pair[0]);
	close(pair[1]);
	tls->socket = socket;
	gnutls_transport_set_ptr(tls->session, tls);
	gnutls_transport_set_push_function(tls->session, push);
	return tls;
}

size_t tls_send(struct tls *tls, const void *data, size_t size)
{
	struct pollfd writable = { .fd = tls->socket, .events = POLLOUT };
	ssize_t n;

	while ((n = gnutls_record_send(tls->session, data, size)) == GNUTLS_E_AGAIN)
		if (poll(&writable, 1, -1) < 0)
			err(1, "poll");
	works(n, "gnutls_record_send");
	return n;
}

uint64_t tls_bytes(const struct tls *tls)
{
	return tls->bytes;
}

void tls_close(struct tls *tls)
{
	gnutls_deinit(tls->session);
	gnutls_psk_free_client_credentials(tls->credentials);
	free(tls);
}

/* --- the kernel */

void ktls_start(int socket)
{
	struct tls12_crypto_info_aes_gcm_128 info = {
		.info = { TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128 },
		.iv = "initials", .key = "0123456789abcde", .salt = "key",
	};

	if (setsockopt(socket, SOL_TCP, TCP_ULP, "tls", sizeof("tls")) ||
	    setsockopt(socket, SOL_TLS, TLS_TX, &info, sizeof(info)))
		err(1, "TLS in the kernel");
}

uint64_t ktls_records(int socket)
{
	struct tls12_crypto_info_aes_gcm_128 info;
	socklen_t size = sizeof(info);
	uint32_t number[2];

	if (getsockopt(socket, SOL_TLS, TLS_TX, &info, &size))
		err(1, "TLS in the kernel");
	memcpy(number, info.rec_seq, sizeof(number));
	return (uint64_t)ntohl(number[0]) << 32 | ntohl(number[1]);
}

/* --- encryption alone */

void encrypt_by_gnutls(uint64_t bytes, size_t record)
{
	static unsigned char plain[TLS_RECORD_MAX + 1], out[sizeof(plain) + 16];
	unsigned char nonce[12] = { 0 }, head[5] = { 23, 3, 3 };
	gnutls_datum_t key = { (unsigned char *)"0123456789abcde", 16 };
	gnutls_aead_cipher_hd_t cipher;
	uint64_t at, number = 0;
	size_t size;

	works(gnutls_aead_cipher_init(&cipher, GNUTLS_CIPHER_AES_128_GCM, &key), "the cipher");
	for (at = 0; at < bytes; at += record) {
		number++;
		memcpy(nonce, &number, sizeof(number));
		size = sizeof(out);
		works(gnutls_aead_cipher_encrypt(cipher, nonce, sizeof(nonce), head, sizeof(head),
						 16, plain, record + 1, out, &size), "to encrypt");
	}
	gnutls_aead_cipher_deinit(cipher);
}

void encrypt_by_kernel(uint64_t bytes, size_t record)
{
	int fd = open(CIPHER_FILE, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || dprintf(fd, "%llu", (unsigned long long)(bytes / record)) < 0)
		err(1, "%s", CIPHER_FILE);
	close(fd);
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The kernel encrypts what is sent (kTLS): GnuTLS makes the handshake and the keys, and what
 * it has to say afterwards, which is new keys and alerts, goes through the kernel as records
 * of their kinds. What is received stays GnuTLS's.
 *
 * A key of AES-GCM's must not encrypt more than 2^24.5 records. The kernel counts them, and
 * they are looked at every so many bytes. A kernel since 6.14 takes new keys; with another one
 * there is no way back once it has one. Whether it takes them is tried before anything is
 * sent, with the same key once more.
 */
#include <errno.h>
#include <gnutls/socket.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "tls_kernel.h"
#include "wait.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif
#ifndef TCP_ULP
#define TCP_ULP 31
#endif

/* Kinds of records. */
#define ALERT		21
#define HANDSHAKE	22

#define RECORD_SIZE	16384
/* Records are counted every so many bytes. */
#define CHUNK		(256ull << 20)
/* Of the shortest packets that there are, headers of 1.1 KiB, a chunk has so many. */
#define CHUNK_RECORDS	(CHUNK / 1100)
/* Sixteenths by which a key may be overdrawn that cannot be renewed, and what is most then. */
#define SPARE		6
#define MOST_RECORDS	(MFD_TLS_KEY_RECORDS + MFD_TLS_KEY_RECORDS * SPARE / 16 + CHUNK_RECORDS)

_Static_assert(MOST_RECORDS * MOST_RECORDS <= 1ull << 49, "a key is good for 2^24.5 records");
/* More than a key is surely good for, if each round is a quarter of the one before it or so. */
#define MUCH		(64ull << 30)
/* A record of GnuTLS's own, which waits for room in the socket behind data. */
#define PATIENCE_MS	10000

union crypto {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 gcm128;
	struct tls12_crypto_info_aes_gcm_256 gcm256;
	struct tls12_crypto_info_chacha20_poly1305 chacha20;
};

/* Where a cipher's structure has what. */
struct cipher {
	gnutls_cipher_algorithm_t gnutls;
	uint16_t type;
	size_t size;
	void *salt, *iv, *key, *seq;
	size_t salt_size, iv_size, key_size;
};

#define CIPHER(_gnutls, _type, member) {			\
	.gnutls = _gnutls, .type = _type,			\
	.size = sizeof(member),					\
	.salt = member.salt, .salt_size = sizeof(member.salt),	\
	.iv = member.iv, .iv_size = sizeof(member.iv),		\
	.key = member.key, .key_size = sizeof(member.key),	\
	.seq = member.rec_seq,					\
}

/* Not CCM, whatever the kernel knows: see CIPHERS. Return: whether the kernel can do it. */
static bool find_cipher(gnutls_session_t handle, union crypto *crypto, struct cipher *found)
{
	const struct cipher ciphers[] = {
		CIPHER(GNUTLS_CIPHER_AES_128_GCM, TLS_CIPHER_AES_GCM_128, crypto->gcm128),
		CIPHER(GNUTLS_CIPHER_AES_256_GCM, TLS_CIPHER_AES_GCM_256, crypto->gcm256),
		CIPHER(GNUTLS_CIPHER_CHACHA20_POLY1305, TLS_CIPHER_CHACHA20_POLY1305,
		       crypto->chacha20),
	};
	gnutls_cipher_algorithm_t wanted = gnutls_cipher_get(handle);
	unsigned int i;

	for (i = 0; i < sizeof(ciphers) / sizeof(*ciphers); i++) {
		*found = ciphers[i];
		if (found->gnutls == wanted)
			return true;
	}
	return false;
}

/* GnuTLS's present key for sending into @crypto. Return: its size, 0: no such cipher. */
static size_t fill(gnutls_session_t handle, union crypto *crypto)
{
	struct cipher cipher;
	gnutls_datum_t mac, iv, key;
	/* it writes more than the eight that it documents with some protocols */
	unsigned char seq[12] = { 0 };

	if (!find_cipher(handle, crypto, &cipher) ||
	    gnutls_record_get_state(handle, 0, &mac, &iv, &key, seq) ||
	    iv.size != cipher.salt_size + cipher.iv_size || key.size != cipher.key_size)
		return 0;
	crypto->info.version = TLS_1_3_VERSION;
	crypto->info.cipher_type = cipher.type;
	if (cipher.salt_size)
		memcpy(cipher.salt, iv.data, cipher.salt_size);
	memcpy(cipher.iv, iv.data + cipher.salt_size, cipher.iv_size);
	memcpy(cipher.key, key.data, cipher.key_size);
	memcpy(cipher.seq, seq, 8);
	return cipher.size;
}

/* Return: 0 or an errno; EOPNOTSUPP: the kernel does not know the cipher. */
static int set_key(const struct mfd_tls_gnutls *tls)
{
	union crypto crypto = { .info.version = 0 };
	size_t size = fill(tls->handle, &crypto);
	int code = 0;

	if (!size)
		code = EOPNOTSUPP;
	else if (setsockopt(tls->fd, SOL_TLS, TLS_TX, &crypto, size))
		code = errno;
	explicit_bzero(&crypto, sizeof(crypto));
	return code;
}

/* How many records the kernel has encrypted with the present key. */
static int count_records(const struct mfd_tls_gnutls *tls, uint64_t *count)
{
	union crypto crypto = { .info.version = 0 };
	socklen_t size;
	struct cipher cipher;
	unsigned int i;
	int code = 0;

	if (!find_cipher(tls->handle, &crypto, &cipher))
		return EOPNOTSUPP;
	size = cipher.size;
	if (getsockopt(tls->fd, SOL_TLS, TLS_TX, &crypto, &size))
		code = errno;
	*count = 0;
	for (i = 0; i < 8; i++)
		*count = *count << 8 | ((const uint8_t *)cipher.seq)[i];
	explicit_bzero(&crypto, sizeof(crypto));
	return code;
}

/* As a record of that kind. Return: 0 or an errno. */
static int send_record(int fd, unsigned char kind, const void *data, size_t size)
{
	char control[CMSG_SPACE(sizeof(kind))] = { 0 };
	struct iovec iov = { (void *)data, size };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	struct pollfd writable = { .fd = fd, .events = POLLOUT };
	uint64_t until = mfd_wait_until(PATIENCE_MS);
	ssize_t n;

	cmsg->cmsg_level = SOL_TLS;
	cmsg->cmsg_type = TLS_SET_RECORD_TYPE;
	cmsg->cmsg_len = CMSG_LEN(sizeof(kind));
	*CMSG_DATA(cmsg) = kind;
	while ((n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT)) < 0) {
		if (errno == EAGAIN && mfd_now() < until)
			poll(&writable, 1, MFD_WAIT_MS);
		else if (errno != EINTR)
			return errno;
	}
	/* a record is taken whole or not at all */
	return (size_t)n == size ? 0 : EIO;
}

static int send_handshake(gnutls_session_t handle, gnutls_record_encryption_level_t level,
			  gnutls_handshake_description_t type, const void *data, size_t size)
{
	struct mfd_tls_gnutls *tls = gnutls_session_get_ptr(handle);

	(void)level;
	/* TLS 1.3 has none of those */
	if (type == GNUTLS_HANDSHAKE_CHANGE_CIPHER_SPEC)
		return 0;
	return send_record(tls->fd, HANDSHAKE, data, size) ? -1 : 0;
}

static int send_alert(gnutls_session_t handle, gnutls_record_encryption_level_t level,
		      gnutls_alert_level_t alert_level, gnutls_alert_description_t alert)
{
	struct mfd_tls_gnutls *tls = gnutls_session_get_ptr(handle);
	unsigned char data[] = { alert_level, alert };

	(void)level;
	return send_record(tls->fd, ALERT, data, sizeof(data)) ? -1 : 0;
}

/* The kernel does not do it, for the reason @code. Is that an error? */
static int cannot(const struct mfd_tls_gnutls *tls, int code, const char *why,
		  struct mfd_error *err)
{
	if (tls->creds->mode == MFD_TLS_AUTO)
		return 0;
	mfd_error_errno(err, code, "TLS: the kernel cannot encrypt this connection (%s)", why);
	mfd_error_of(err, MFD_ERROR_RESOURCE);
	return -code;
}

/* Does this kernel take a second key? A connection to ourselves tells. */
static bool kernel_renews(void)
{
	struct tls12_crypto_info_aes_gcm_128 crypto = {
		.info = { TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128 },
	};
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool renews = listener >= 0 && fd >= 0 &&
		!bind(listener, (struct sockaddr *)&address, size) && !listen(listener, 1) &&
		!getsockname(listener, (struct sockaddr *)&address, &size) &&
		!connect(fd, (struct sockaddr *)&address, size) &&
		!setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) &&
		!setsockopt(fd, SOL_TLS, TLS_TX, &crypto, sizeof(crypto)) &&
		!setsockopt(fd, SOL_TLS, TLS_TX, &crypto, sizeof(crypto));

	if (listener >= 0)
		close(listener);
	if (fd >= 0)
		close(fd);
	return renews;
}

/* From here on there is no way back. */
static int hand_over(struct mfd_tls_gnutls *tls, struct mfd_error *err)
{
	int code = set_key(tls);

	if (code)
		return cannot(tls, code, "it does not take the cipher or the key", err);
	tls->renewable = !set_key(tls);
	/* set before, they would have taken the handshake's messages */
	gnutls_handshake_set_read_function(tls->handle, send_handshake);
	gnutls_alert_set_read_function(tls->handle, send_alert);
	return 1;
}

static int encrypted_by_kernel(struct mfd_tls_gnutls *tls)
{
	uint64_t records = tls->creds->key_records;

	tls->conn.kernel = true;
	tls->conn.chunk = records < CHUNK / RECORD_SIZE ? records * RECORD_SIZE : CHUNK;
	pthread_mutex_lock(&tls->creds->lock);
	tls->creds->info.kernel++;
	pthread_mutex_unlock(&tls->creds->lock);
	return 1;
}

int mfd_tls_to_kernel(struct mfd_tls_conn *conn, uint64_t bytes, struct mfd_error *err)
{
	struct mfd_tls_gnutls *tls = (struct mfd_tls_gnutls *)conn;
	int ret;

	if (tls->creds->mode == MFD_TLS_USER)
		return 0;
	/* GnuTLS has done so already, if the system's administrator wants that */
	if (gnutls_transport_is_ktls_enabled(tls->handle) & GNUTLS_KTLS_SEND)
		return encrypted_by_kernel(tls);
	if (tls->creds->mode == MFD_TLS_AUTO && bytes > MUCH && !kernel_renews())
		return 0;
	if (setsockopt(tls->fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")))
		return cannot(tls, errno,
			      errno == ENOENT ? "its module tls is not loaded: modprobe tls" :
						"it is no TCP connection",
			      err);
	ret = hand_over(tls, err);
	return ret > 0 ? encrypted_by_kernel(tls) : ret;
}

static int new_key(struct mfd_tls_gnutls *tls, struct mfd_error *err)
{
	int ret = gnutls_session_key_update(tls->handle, 0), code;

	if (ret)
		return mfd_error_set(err, EPROTO, "TLS: a new key: %s", gnutls_strerror(ret));
	code = set_key(tls);
	if (code)
		return mfd_error_errno(err, code, "TLS: the kernel does not take a new key");
	pthread_mutex_lock(&tls->creds->lock);
	tls->creds->info.key_updates++;
	pthread_mutex_unlock(&tls->creds->lock);
	return 0;
}

int mfd_tls_renew(struct mfd_tls_conn *conn, struct mfd_error *err)
{
	struct mfd_tls_gnutls *tls = (struct mfd_tls_gnutls *)conn;
	uint64_t records, limit = tls->creds->key_records;
	int code = count_records(tls, &records);

	if (code)
		return mfd_error_errno(err, code,
				       "TLS: the kernel does not say how much it has encrypted");
	/* ChaCha20's keys never wear out, but then a new one does no harm either */
	if (records < limit)
		return 0;
	if (tls->renewable)
		return new_key(tls, err);
	if (records < limit + limit * SPARE / 16)
		return 0;
	return mfd_error_set(err, EKEYEXPIRED,
			     "TLS: %llu records are encrypted with one key, which is all that is safe, and this kernel cannot take another: use more channels, or TLS mode user",
			     (unsigned long long)records);
}

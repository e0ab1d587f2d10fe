/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libmfd-tls: encrypt a migration's connections, with the files and in the way of QEMU's
 * ``tls-creds-x509`` and ``tls-creds-psk``.
 *
 * Credentials are made once, and given to struct mfd_params or struct mfd_recv_params as
 * their member tls; they may serve any number of migrations, and several at a time.
 *
 *	mfd_tls_params_init → mfd_tls_source → params.tls → mfd_setup … mfd_close → mfd_tls_free
 *
 * TLS 1.3 only. libmfd itself does not know GnuTLS: who wants no encryption links no library
 * for it.
 */
#ifndef MFD_TLS_H
#define MFD_TLS_H

#include "mfd.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * enum mfd_tls_mode - who encrypts what a source's channels send
 * @MFD_TLS_AUTO: the kernel where it can, else this process
 * @MFD_TLS_KERNEL: the kernel (kTLS), so that no page of the guest passes through this
 *	process; where it cannot, connecting fails
 * @MFD_TLS_USER: this process, with GnuTLS
 *
 * The kernel cannot: on UNIX sockets; without its module tls; with ciphers other than AES-GCM
 * and ChaCha20-Poly1305. A kernel that cannot renew keys (before 6.14) may encrypt about
 * 350 GiB a channel and no more: MFD_TLS_AUTO leaves guests to this process of which a
 * channel has more than 64 GiB to carry.
 *
 * The main connection is encrypted in this process in any case, and so is all that a
 * destination reads or says.
 */
enum mfd_tls_mode {
	MFD_TLS_AUTO = 0,
	MFD_TLS_KERNEL,
	MFD_TLS_USER,
};

/**
 * struct mfd_tls_params - what connections are encrypted with
 * @size: sizeof(struct mfd_tls_params), set by the caller
 * @mode: of enum mfd_tls_mode; a destination ignores it
 * @dir: a folder with certificates, named as for QEMU: ca-cert.pem, perhaps ca-crl.pem, and
 *	client-cert.pem and client-key.pem (a destination: server-…). A source needs no
 *	certificate of its own if the destination has ``verify-peer=off``.
 * @psk_file: instead of @dir: keys that both sides share, a line each: ``user:hexkey``, as
 *	psktool writes them
 * @psk_user: whose key a source uses; a destination knows all in the file
 * @hostname: the name that a destination's certificate must have; NULL: the host of the
 *	address. Needed with sockets of the caller's, and with those that have no host. A
 *	source's certificate may have any.
 * @priority: of GnuTLS; NULL: those that the kernel knows too, the fastest first. Whatever
 *	it says, it is TLS 1.3.
 * @key_records: renew a key when so many records are encrypted with it; 0: 2^24, which is
 *	also the most, a little less than is safe with AES-GCM. For tests.
 */
struct mfd_tls_params {
	uint32_t size;
	uint32_t mode;
	const char *dir;
	const char *psk_file;
	const char *psk_user;
	const char *hostname;
	const char *priority;
	uint64_t key_records;
};

/**
 * mfd_tls_params_init - the defaults, which lack @dir or @psk_file
 * @params: its size is set; the rest is filled in
 *
 * Return: 0; -EINVAL: that is no size.
 */
MFD_API int mfd_tls_params_init(struct mfd_tls_params *params);

/**
 * mfd_tls_source - read what a source's connections are encrypted with
 * @tls: out: for struct mfd_params; the caller's, until mfd_tls_free
 * @params: read and copied
 * @err: out: what is wrong with which file, or NULL
 *
 * The files are read now, once. One with a key that everybody could read is refused.
 *
 * Return: 0; -ENOENT: a file, or a user in it, is missing; -EACCES: not readable, or readable
 * for everybody; -EKEYEXPIRED: a certificate is too old or too new; -EBADMSG: a file is not
 * what it should be; -EINVAL.
 */
MFD_API int mfd_tls_source(struct mfd_tls **tls, const struct mfd_tls_params *params,
			   struct mfd_error *err);

/**
 * mfd_tls_destination - read what a destination's connections are encrypted with
 * @tls: out: for struct mfd_recv_params
 * @params: as mfd_tls_source
 * @err: out: what is wrong with which file, or NULL
 *
 * A source must have a certificate of the CA in @params' folder, or a key of the file.
 *
 * Return: as mfd_tls_source.
 */
MFD_API int mfd_tls_destination(struct mfd_tls **tls, const struct mfd_tls_params *params,
				struct mfd_error *err);

/**
 * struct mfd_tls_info - how the connections that were made are encrypted
 * @size: sizeof(struct mfd_tls_info), set by the caller
 * @connections: whose handshakes are complete
 * @kernel: of these, how many the kernel encrypts
 * @key_updates: how many keys were renewed for the kernel
 * @session: the last one's protocol, key exchange and cipher in GnuTLS's words, or ""
 */
struct mfd_tls_info {
	uint32_t size;
	uint32_t connections;
	uint32_t kernel;
	uint32_t key_updates;
	char session[128];
};

/**
 * mfd_tls_info - how are the connections encrypted?
 * @tls: credentials, in use or not
 * @info: out
 *
 * Context: any thread.
 * Return: 0; -EINVAL: @info has no size.
 */
MFD_API int mfd_tls_info(struct mfd_tls *tls, struct mfd_tls_info *info);

/**
 * mfd_tls_free - forget credentials; keys are wiped
 * @tls: in use by no migration any more, or NULL
 */
MFD_API void mfd_tls_free(struct mfd_tls *tls);

#ifdef __cplusplus
}
#endif

#endif /* MFD_TLS_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SOURCE_COST_TLS_H
#define SOURCE_COST_TLS_H

#include <stddef.h>
#include <stdint.h>

/* What a TLS 1.3 record of AES-128-GCM has beside its data: head, type and tag. */
#define TLS_RECORD_EXTRA (5 + 1 + 16)
#define TLS_RECORD_MAX 16384

/* A connection that GnuTLS encrypts. Nobody decrypts it. */
struct tls;

struct tls *tls_open(int socket);
/* At most a record. Waits for the socket. Return: bytes of @data that it took. */
size_t tls_send(struct tls *tls, const void *data, size_t size);
/* Return: bytes that went to the socket. */
uint64_t tls_bytes(const struct tls *tls);
void tls_close(struct tls *tls);

/* Have the kernel encrypt what is sent. */
void ktls_start(int socket);
/* Return: records that it has made. */
uint64_t ktls_records(int socket);

/* Encrypt @bytes in records of @record, and do nothing else. */
void encrypt_by_gnutls(uint64_t bytes, size_t record);
/* The same in the kernel, by the module in source_cost_cipher.c. */
void encrypt_by_kernel(uint64_t bytes, size_t record);

#endif /* SOURCE_COST_TLS_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* The options that say what connections are encrypted with, shared by the programs. */
#ifndef TLS_H
#define TLS_H

#include <stdbool.h>

#include "program.h"

struct tls {
	const char *creds;
	const char *psk;
	const char *hostname;
	const char *mode;
	const char *priority;
	const char *key_records;
};

enum {
	OPT_TLS_CREDS = OPT_PROGRAM,
	OPT_TLS_PSK,
	OPT_TLS_HOSTNAME,
	OPT_TLS_MODE,
	OPT_TLS_PRIORITY,
	OPT_TLS_KEY_RECORDS,
	OPT_TLS_END,		/* others' start here */
};

/* For the struct option array of a destination. */
#define TLS_CREDENTIALS \
	{ "tls-creds", required_argument, NULL, OPT_TLS_CREDS }, \
	{ "tls-psk", required_argument, NULL, OPT_TLS_PSK }, \
	{ "tls-priority", required_argument, NULL, OPT_TLS_PRIORITY }

/* The same of a source. */
#define TLS_OPTIONS \
	TLS_CREDENTIALS, \
	{ "tls-hostname", required_argument, NULL, OPT_TLS_HOSTNAME }, \
	{ "tls-mode", required_argument, NULL, OPT_TLS_MODE }, \
	{ "tls-key-records", required_argument, NULL, OPT_TLS_KEY_RECORDS }

/* Take one option from getopt_long(). Return: 0, or -ENOENT if it is not one of these. */
int tls_option(struct tls *tls, int option, const char *arg);

/* Is encryption wanted? */
bool tls_wanted(const struct tls *tls);

/*
 * Read the credentials. *@credentials: for the parameters of a migration; NULL if no
 * encryption is wanted. tls_close() when that is over. Return: 0, or the program's exit
 * status: 1: a file is not as it should be, 2: the options are wrong.
 */
int tls_source(const struct tls *tls, struct mfd_tls **credentials, struct mfd_error *err);
int tls_destination(const struct tls *tls, struct mfd_tls **credentials, struct mfd_error *err);

void tls_close(struct mfd_tls *credentials);

/*
 * How connections are encrypted, in words: "TLS 1.3, AES-128-GCM, by the kernel". Return:
 * whether they are.
 */
bool tls_describe(struct mfd_tls *credentials, char *text, size_t size);

/* The same of a destination, where the kernel has no part in it. */
bool tls_describe_destination(struct mfd_tls *credentials, char *text, size_t size);

#endif /* TLS_H */

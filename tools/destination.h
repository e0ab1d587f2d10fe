/* SPDX-License-Identifier: GPL-2.0-only */
/* The options that say where a guest goes, shared by the programs. */
#ifndef DESTINATION_H
#define DESTINATION_H

#include <stdbool.h>

#include "program.h"
#include "tls.h"

struct destination {
	const char *to;
	const char *zero;
	const char *method;
	unsigned int level;
	const char *compat;
	const char *peer_qmp;
	const char *flush;
	const char *machine;
	const char *uuid;
	unsigned int channels;
	unsigned int ring;
	bool timeout_known;
	unsigned long timeout;		/* seconds, 0: never */
	const char *fresh;
	struct tls tls;
};

enum {
	OPT_TO = OPT_TLS_END,
	OPT_CHANNELS,
	OPT_ZERO,
	OPT_METHOD,
	OPT_LEVEL,
	OPT_COMPAT,
	OPT_PEER_QMP,
	OPT_FLUSH,
	OPT_MACHINE,
	OPT_UUID,
	OPT_RING,
	OPT_TIMEOUT,
	OPT_FRESH,
	OPT_OTHERS,		/* a program's own options start here */
};

/* For a program's struct option array. */
#define DESTINATION_OPTIONS \
	{ "to", required_argument, NULL, OPT_TO }, \
	{ "channels", required_argument, NULL, OPT_CHANNELS }, \
	{ "zero", required_argument, NULL, OPT_ZERO }, \
	{ "method", required_argument, NULL, OPT_METHOD }, \
	{ "level", required_argument, NULL, OPT_LEVEL }, \
	{ "compat", required_argument, NULL, OPT_COMPAT }, \
	{ "peer-qmp", required_argument, NULL, OPT_PEER_QMP }, \
	{ "flush", required_argument, NULL, OPT_FLUSH }, \
	{ "machine", required_argument, NULL, OPT_MACHINE }, \
	{ "uuid", required_argument, NULL, OPT_UUID }, \
	{ "ring", required_argument, NULL, OPT_RING }, \
	{ "timeout", required_argument, NULL, OPT_TIMEOUT }, \
	{ "fresh", required_argument, NULL, OPT_FRESH }, \
	TLS_OPTIONS

extern const char destination_help[];

/*
 * A whole number in [@min, @max], or a message for people.
 * Return: 0 or -EINVAL.
 */
int parse_number(const char *option, const char *text, unsigned long min,
		 unsigned long max, unsigned long *value, struct mfd_error *err);

/* Is that something to listen at? fd:N is looked at when it is used. Return: 0 or -EINVAL. */
int check_listen(const char *address, struct mfd_error *err);

/*
 * Take one option from getopt_long(). Return: 0, -ENOENT if it is not one of
 * the destination's, or -EINVAL with a message.
 */
int destination_option(struct destination *destination, int option, const char *arg,
		       struct mfd_error *err);

/*
 * Turn the options into parameters, asking the destination if it can be asked. @params' tls
 * is the caller's, for tls_close(). @first_flags: of enum mfd_send_flags, for the first round.
 * Return: 0, or the program's exit status: 1: the destination cannot be asked,
 * 2: the options are wrong.
 */
int destination_params(const struct destination *destination, struct mfd_params *params,
		       unsigned int *first_flags, struct mfd_error *err);

/*
 * The migration has returned @ret, with an error in @err. Ask the destination, if it can
 * be asked, how it sees that. Return: @ret, or a negative errno if it has failed there.
 */
int destination_ended(const struct destination *destination, int ret, struct mfd_error *err);

/*
 * The exit status of a migration that has returned @ret; @sent: the destination may have all
 * that it needs, so that only if it has said itself that it failed is that known.
 */
int destination_status(int ret, bool sent);

#endif /* DESTINATION_H */

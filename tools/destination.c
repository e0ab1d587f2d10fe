// SPDX-License-Identifier: GPL-2.0-only
/* The options that say where a guest goes, and what its QEMU understands. */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "destination.h"
#include "lib/address.h"
#include "lib/error.h"
#include "lib/mfd_qmp.h"

#define QMP_TIMEOUT_MS 10000
/* how long to wait for the reason of a failure that is known already */
#define REASON_TIMEOUT_MS 2000
/* as long as the length byte of a configuration section can say */
#define MACHINE_MAX 255

const char destination_help[] =
	"The destination, a stock QEMU with the multifd capability on:\n"
	"  --to tcp:HOST:PORT|unix:PATH|vsock:CID:PORT\n"
	"                       where it listens (its migrate-incoming uri)\n"
	"  --channels N         its multifd-channels (default: what --peer-qmp says, or 2)\n"
	"  --compat X.Y         the version of its machine type (pc-q35-8.2: 8.2); for one\n"
	"                       without a version, like none, that of QEMU itself.\n"
	"                       Default: what --machine tells, or as new as 9.0. Picks\n"
	"                       --zero and --flush.\n"
	"  --peer-qmp ADDRESS   ask the running destination instead, at this QMP socket: a\n"
	"                       path or tcp:HOST:PORT. Also tells how the migration ended.\n"
	"  --method none|zlib|zstd       its multifd-compression\n"
	"                       (default: what --peer-qmp says, or none)\n"
	"  --level N            how hard to compress (default: as QEMU does, 1)\n"
	"  --zero auto|none|legacy|multifd\n"
	"                       who finds zero pages, as QEMU's zero-page-detection;\n"
	"                       multifd only from 9.0 on\n"
	"  --flush auto|section|round\n"
	"                       when it waits for the channels: section up to 8.0\n"
	"  --machine NAME       its machine type (default: what --peer-qmp says, or none)\n"
	"  --uuid UUID          its -uuid, if it has one (default: what --peer-qmp says)\n"
	"  --ring N             packets that a channel holds ready, a power of two\n"
	"  --timeout SECONDS    give up when it takes nothing for so long; 0: never\n"
	"                       (default 60)\n"
	"  --fresh auto|yes|no  is its memory new, all zero? Then what never held data here\n"
	"                       is not sent. no: it may hold something. auto, the default: no\n"
	"                       if --peer-qmp finds that memory is in a file, else yes\n"
	"  --tls-creds DIR      encrypt, with the certificates in DIR: ca-cert.pem,\n"
	"                       client-cert.pem, client-key.pem (its tls-creds-x509)\n"
	"  --tls-psk FILE:USER  encrypt, with USER's key in FILE (its tls-creds-psk)\n"
	"  --tls-hostname NAME  the name in its certificate (default: the host in --to)\n"
	"  --tls-mode auto|kernel|user   who encrypts: the kernel, or this process, which\n"
	"                       then sees all pages (default: the kernel if it can)\n"
	"  --tls-priority TEXT, --tls-key-records N\n"
	"                       for experts: see the manual\n";

static int wrong(struct mfd_error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int wrong(struct mfd_error *err, const char *format, ...)
{
	va_list args;

	err->code = EINVAL;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return -EINVAL;
}

int parse_number(const char *option, const char *text, unsigned long min,
		 unsigned long max, unsigned long *value, struct mfd_error *err)
{
	char *end;

	errno = 0;
	*value = strtoul(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end || *value < min || *value > max)
		return wrong(err, "--%s: a number from %lu to %lu is wanted, not '%.64s'",
			     option, min, max, text);
	return 0;
}

int check_listen(const char *address, struct mfd_error *err)
{
	struct mfd_address parsed;
	int ret = strncmp(address, "fd:", 3) ? mfd_address_parse(&parsed, address, err) : 0;

	if (ret)
		mfd_error_prefix(err, "--listen");
	return ret;
}

static int number_option(const char *option, const char *text, unsigned int max,
			 unsigned int *value, struct mfd_error *err)
{
	unsigned long number;
	int ret = parse_number(option, text, 1, max, &number, err);

	if (!ret)
		*value = number;
	return ret;
}

int destination_option(struct destination *destination, int option, const char *arg,
		       struct mfd_error *err)
{
	switch (option) {
	case OPT_TO:
		destination->to = arg;
		return 0;
	case OPT_CHANNELS:
		return number_option("channels", arg, 255, &destination->channels, err);
	case OPT_ZERO:
		destination->zero = arg;
		return 0;
	case OPT_METHOD:
		destination->method = arg;
		return 0;
	case OPT_LEVEL:
		return number_option("level", arg, 22, &destination->level, err);
	case OPT_COMPAT:
		destination->compat = arg;
		return 0;
	case OPT_PEER_QMP:
		destination->peer_qmp = arg;
		return 0;
	case OPT_FLUSH:
		destination->flush = arg;
		return 0;
	case OPT_MACHINE:
		destination->machine = arg;
		return 0;
	case OPT_UUID:
		destination->uuid = arg;
		return 0;
	case OPT_RING:
		return number_option("ring", arg, 1 << 20, &destination->ring, err);
	case OPT_TIMEOUT:
		destination->timeout_known = true;
		return parse_number("timeout", arg, 0, 1000000, &destination->timeout, err);
	case OPT_FRESH:
		destination->fresh = arg;
		return 0;
	}
	return tls_option(&destination->tls, option, arg);
}

/* The index of @text in @names, which ends with NULL. */
static int choose(const char *option, const char *text, const char *const names[],
		  int *chosen, struct mfd_error *err)
{
	char list[64] = "";
	int i;

	for (i = 0; names[i]; i++) {
		if (!strcmp(text, names[i])) {
			*chosen = i;
			return 0;
		}
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
			 i ? ", " : "", names[i]);
	}
	return wrong(err, "--%s: one of %s is wanted, not '%.64s'", option, list, text);
}

/* What is known of the destination's generation. */
struct generation {
	bool known;
	struct mfd_compat compat;
};

enum { FLUSH_SECTION, FLUSH_ROUND, FLUSH_AUTO };
enum { FRESH_NO, FRESH_YES, FRESH_AUTO };
enum { ZERO_NONE, ZERO_LEGACY, ZERO_MULTIFD, ZERO_AUTO };

static const char *const flushes[] = { "section", "round", "auto", NULL };
static const char *const freshes[] = { "no", "yes", "auto", NULL };
static const char *const zeros[] = { "none", "legacy", "multifd", "auto", NULL };
static const char *const methods[] = { "none", "zlib", "zstd", NULL };

/* The options that are words, as numbers. */
struct choice {
	int flush, zero, method, fresh;
};

/* An option's word, if it is given. */
static int may_choose(const char *option, const char *text, const char *const names[],
		      int *chosen, struct mfd_error *err)
{
	return text ? choose(option, text, names, chosen, err) : 0;
}

static int check_words(const struct destination *destination, struct choice *choice,
		       struct mfd_error *err)
{
	*choice = (struct choice) {
		.flush = FLUSH_AUTO, .zero = ZERO_AUTO, .method = MFD_METHOD_NONE,
		.fresh = FRESH_AUTO,
	};
	return may_choose("flush", destination->flush, flushes, &choice->flush, err) ||
	       may_choose("zero", destination->zero, zeros, &choice->zero, err) ||
	       may_choose("fresh", destination->fresh, freshes, &choice->fresh, err) ||
	       may_choose("method", destination->method, methods, &choice->method, err);
}

static int check_ring(unsigned int ring, struct mfd_error *err)
{
	if (ring & (ring - 1))
		return wrong(err, "--ring: a power of two is wanted, not %u", ring);
	return 0;
}

static int check_machine(const char *machine, struct mfd_error *err)
{
	if (!*machine || strlen(machine) > MACHINE_MAX)
		return wrong(err, "--machine: a name of 1 to %d bytes is wanted", MACHINE_MAX);
	return 0;
}

/* Nobody can say what it asks for but the user, who may have. */
static int check_known(const struct choice *choice, const char *machine, struct mfd_error *err)
{
	if (choice->flush == FLUSH_SECTION ||
	    (choice->flush != FLUSH_AUTO && choice->zero != ZERO_AUTO))
		return 0;
	return wrong(err, "it is not known which QEMU the destination's machine type %.64s is like: say so with --compat X.Y (its vendor tells, or the hw_compat_X_Y in its source)",
		     machine);
}

/* Without being told, as new as mfd_params_init() assumes. */
#define DEFAULT_MAJOR 9
#define DEFAULT_MINOR 0

/* What the options say of it. */
static int told_generation(const struct destination *destination, const struct choice *choice,
			   struct generation *generation, struct mfd_error *err)
{
	struct mfd_compat *compat = &generation->compat;
	const char *machine = destination->machine;

	if (destination->compat) {
		generation->known = true;
		return mfd_compat_parse(compat, destination->compat, err);
	}
	generation->known = machine && !mfd_compat_machine(compat, machine, 0, 0, NULL);
	/* one without a version tells nothing, and what is left is not known */
	if (generation->known || !machine || destination->peer_qmp ||
	    !mfd_compat_machine(compat, machine, DEFAULT_MAJOR, DEFAULT_MINOR, NULL))
		return 0;
	return check_known(choice, machine, err);
}

/* What can be wrong with the options without asking anybody. */
static int check_options(const struct destination *destination, struct choice *choice,
			 struct generation *generation, struct mfd_params *params,
			 struct mfd_error *err)
{
	if (!destination->to)
		return wrong(err, "--to is missing");
	if (mfd_address_check(destination->to, err)) {
		mfd_error_prefix(err, "--to");
		return -EINVAL;
	}
	if (check_words(destination, choice, err) || check_ring(destination->ring, err))
		return -EINVAL;
	if (destination->machine && check_machine(destination->machine, err))
		return -EINVAL;
	if (destination->uuid && mfd_uuid_parse(params->uuid, destination->uuid, err))
		return -EINVAL;
	return told_generation(destination, choice, generation, err);
}

static int check_channels(const struct destination *destination, const struct mfd_peer *peer,
			  struct mfd_error *err)
{
	if (!peer->multifd)
		return wrong(err, "the destination's multifd capability is off: switch it on with migrate-set-capabilities before migrate-incoming");
	if (destination->channels && destination->channels != peer->channels)
		return wrong(err, "--channels %u: the destination's multifd-channels are %u: set them with migrate-set-parameters, or leave the option out",
			     destination->channels, peer->channels);
	return 0;
}

static int take_method(const struct destination *destination, const struct mfd_peer *peer,
		       struct choice *choice, struct mfd_error *err)
{
	if (destination->method && strcmp(destination->method, peer->method))
		return wrong(err, "--method %s: the destination's multifd-compression is %s: set it with migrate-set-parameters, or leave the option out",
			     destination->method, peer->method);
	if (choose("method", peer->method, methods, &choice->method, err))
		return wrong(err, "the destination's multifd-compression is %s, which is not possible here: set none, zlib or zstd with migrate-set-parameters",
			     peer->method);
	return 0;
}

static int take_uuid(const struct destination *destination, const struct mfd_peer *peer,
		     struct mfd_params *params, struct mfd_error *err)
{
	if (destination->uuid && memcmp(params->uuid, peer->uuid, sizeof(peer->uuid)))
		return wrong(err, "--uuid: the destination's -uuid is another one");
	memcpy(params->uuid, peer->uuid, sizeof(params->uuid));
	return 0;
}

static int take_generation(const struct choice *choice, const struct mfd_peer *peer,
			   struct generation *generation, struct mfd_error *err)
{
	if (generation->known)
		return 0;
	if (!peer->compat_major)
		return check_known(choice, peer->machine, err);
	generation->known = true;
	return mfd_compat_version(&generation->compat, peer->compat_major, peer->compat_minor);
}

/*
 * Ask the destination, and take its word for what the options do not say. Return: 0, or the
 * program's exit status.
 */
static int ask_peer(const struct destination *destination, struct choice *choice,
		    struct generation *generation, struct mfd_params *params,
		    uint32_t *memory_files, struct mfd_error *err)
{
	static struct mfd_peer peer;
	int ret;

	peer.size = sizeof(peer);
	ret = mfd_peer_query(&peer, destination->peer_qmp, QMP_TIMEOUT_MS, err);
	/* that is no address */
	if (ret == -EINVAL || ret == -ENAMETOOLONG)
		return 2;
	if (ret || check_channels(destination, &peer, err) ||
	    take_method(destination, &peer, choice, err) ||
	    take_uuid(destination, &peer, params, err) ||
	    take_generation(choice, &peer, generation, err))
		return 1;
	params->channels = peer.channels;
	params->machine = peer.machine;
	*memory_files = peer.memory_files;
	return 0;
}

/* @files: in how many the destination's memory is, as far as it was asked. */
static unsigned int choose_fresh(const struct choice *choice, uint32_t files)
{
	bool fresh = choice->fresh == FRESH_AUTO ? !files : choice->fresh == FRESH_YES;

	return fresh ? MFD_SEND_FRESH : 0;
}

static void choose_flush(const struct choice *choice, const struct generation *generation,
			 struct mfd_params *params)
{
	if (choice->flush != FLUSH_AUTO)
		params->flush = choice->flush == FLUSH_ROUND ? MFD_FLUSH_ROUND : MFD_FLUSH_SECTION;
	else if (generation->known)
		params->flush = generation->compat.flush;
}

/*
 * A QEMU that is told of a zero page in a packet, and has not received that page before,
 * takes for granted that it is zero already. What it is told on the main connection it looks
 * at.
 */
static int mind_old_memory(const struct choice *choice, struct mfd_params *params,
			   struct mfd_error *err)
{
	if (params->detection != MFD_DETECTION_MULTIFD)
		return 0;
	if (choice->zero != ZERO_AUTO)
		return wrong(err, "--zero multifd leaves what the destination's memory holds already: --zero legacy does not, and with --fresh yes there is nothing");
	params->detection = MFD_DETECTION_LEGACY;
	return 0;
}

static int choose_detection(const struct choice *choice, const struct generation *generation,
			    struct mfd_params *params, struct mfd_error *err)
{
	static const enum mfd_detection modes[] = {
		[ZERO_NONE] = MFD_DETECTION_NONE,
		[ZERO_LEGACY] = MFD_DETECTION_LEGACY,
		[ZERO_MULTIFD] = MFD_DETECTION_MULTIFD,
	};

	if (choice->zero != ZERO_AUTO)
		params->detection = modes[choice->zero];
	else if (generation->known)
		params->detection = generation->compat.detection;
	else if (params->flush == MFD_FLUSH_SECTION)
		/* told to drive an old destination, but not how old: play safe */
		params->detection = MFD_DETECTION_LEGACY;
	return generation->known ?
	       mfd_compat_detection(&generation->compat, params->detection, err) : 0;
}

int destination_params(const struct destination *destination, struct mfd_params *params,
		       unsigned int *first_flags, struct mfd_error *err)
{
	struct generation generation = { .compat.size = sizeof(generation.compat) };
	struct choice choice;
	uint32_t memory_files = 0;
	int status = 0;

	mfd_params_init(params);
	if (check_options(destination, &choice, &generation, params, err))
		return 2;
	if (destination->peer_qmp)
		status = ask_peer(destination, &choice, &generation, params, &memory_files, err);
	if (status)
		return status;
	choose_flush(&choice, &generation, params);
	*first_flags = choose_fresh(&choice, memory_files);
	if (choose_detection(&choice, &generation, params, err) ||
	    (!*first_flags && mind_old_memory(&choice, params, err)))
		return 2;
	params->method = choice.method;
	if (destination->level && params->method == MFD_METHOD_NONE) {
		wrong(err, "--level needs a --method that has levels");
		return 2;
	}
	if (destination->level)
		params->level = destination->level;
	if (destination->channels)
		params->channels = destination->channels;
	if (destination->machine)
		params->machine = destination->machine;
	params->ring_packets = destination->ring;
	if (destination->timeout_known)
		params->stall_ms = destination->timeout * 1000;
	return tls_source(&destination->tls, &params->tls, err);
}

static bool gone(int ret)
{
	return ret == -ECONNREFUSED || ret == -ENOENT || ret == -ECONNRESET;
}

/* What an error's text has room for, beside what it says itself. */
#define REASON_SIZE 120

/* QEMU says first what it was doing and last what was wrong: of a long reason the end is kept. */
static void shorten(const char *reason, char room[REASON_SIZE + 1])
{
	static const char more[] = "…";
	size_t length = strlen(reason), kept = REASON_SIZE + 1 - sizeof(more);

	if (length <= REASON_SIZE)
		strcpy(room, reason);
	else
		sprintf(room, "%s%s", more, reason + length - kept);
}

/* The migration has failed, or not even begun. */
static int explain(const struct destination *destination, int ret, struct mfd_error *err)
{
	struct mfd_outcome outcome = { .size = sizeof(outcome) };
	char text[sizeof(err->text)], reason[REASON_SIZE + 1];
	int asked;

	/* would the destination know? */
	if (err->kind != MFD_ERROR_NETWORK && err->kind != MFD_ERROR_PEER &&
	    err->kind != MFD_ERROR_TIMEOUT)
		return ret;
	asked = mfd_peer_outcome(&outcome, destination->peer_qmp, REASON_TIMEOUT_MS, NULL);
	memcpy(text, err->text, sizeof(text));
	shorten(outcome.reason, reason);
	if (gone(asked))
		snprintf(err->text, sizeof(err->text), "%.150s; the destination's QEMU has ended",
			 text);
	else if (!asked && outcome.state == MFD_OUTCOME_FAILED && *outcome.reason)
		snprintf(err->text, sizeof(err->text), "%.100s; the destination says: %s", text,
			 reason);
	return ret;
}

/* It has taken everything. */
static int confirm(const struct destination *destination, struct mfd_error *err)
{
	struct mfd_outcome outcome = { .size = sizeof(outcome) };
	int ret = mfd_peer_outcome(&outcome, destination->peer_qmp, QMP_TIMEOUT_MS, err);
	char reason[REASON_SIZE + 1];

	if (gone(ret))
		return wrong(err, "the destination has been sent everything, but then its QEMU has ended; its own log says why");
	if (ret) {
		fprintf(stderr, "%s: the destination has taken everything; how it ended cannot be asked: %s\n",
			program_invocation_short_name, err->text);
		return 0;
	}
	switch (outcome.state) {
	case MFD_OUTCOME_FAILED:
		shorten(*outcome.reason ? outcome.reason : "its own log says why", reason);
		return wrong(err, "the destination has been sent everything, but its migration failed: %s",
			     reason);
	case MFD_OUTCOME_ACTIVE:
		return wrong(err, "the destination has been sent everything, but its migration does not complete");
	}
	return 0;
}

int destination_ended(const struct destination *destination, int ret, struct mfd_error *err)
{
	if (!destination->peer_qmp)
		return ret;
	return ret ? explain(destination, ret, err) : confirm(destination, err);
}

int destination_status(int ret, bool sent)
{
	return !ret ? 0 : sent && ret != -EREMOTEIO ? PROGRAM_UNKNOWN : 1;
}

// SPDX-License-Identifier: GPL-2.0-only
/* The options that say where a guest goes, and what its QEMU understands. */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "destination.h"
#include "lib/mfd_qmp.h"

#define QMP_TIMEOUT_MS 10000

const char destination_help[] =
	"The destination, a stock QEMU with the multifd capability on:\n"
	"  --to tcp:HOST:PORT|unix:PATH  where it listens (its migrate-incoming uri)\n"
	"  --channels N         its multifd-channels (default: what --peer-qmp says, or 2)\n"
	"  --compat X.Y         the version of its machine type (pc-q35-8.2: 8.2); for one\n"
	"                       without a version, like none, that of QEMU itself.\n"
	"                       Default: as new as 9.0. Picks --zero and --flush.\n"
	"  --peer-qmp SOCK      ask the running destination instead, at this UNIX socket\n"
	"  --method none|zlib|zstd       its multifd-compression (default none)\n"
	"  --level N            how hard to compress (default: as QEMU does, 1)\n"
	"  --zero auto|none|legacy|multifd\n"
	"                       who finds zero pages, as QEMU's zero-page-detection;\n"
	"                       multifd only from 9.0 on\n"
	"  --flush auto|section|round\n"
	"                       when it waits for the channels: section up to 8.0\n"
	"  --machine NAME       its machine type (default: what --peer-qmp says, or none)\n"
	"  --uuid UUID          its -uuid, if it has one\n"
	"  --ring N             packets that a channel holds ready, a power of two\n"
	"  --timeout SECONDS    give up when it takes nothing for so long (default 60)\n";

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
		return number_option("timeout", arg, 1000000, &destination->timeout, err);
	}
	return -ENOENT;
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

static int choose_flush(const struct destination *destination,
			const struct generation *generation, struct mfd_params *params,
			struct mfd_error *err)
{
	static const char *const names[] = { "section", "round", "auto", NULL };
	int chosen = 2;
	int ret = 0;

	if (destination->flush)
		ret = choose("flush", destination->flush, names, &chosen, err);
	if (ret)
		return ret;
	if (chosen < 2)
		params->flush = chosen ? MFD_FLUSH_ROUND : MFD_FLUSH_SECTION;
	else if (generation->known)
		params->flush = generation->compat.flush;
	return 0;
}

static int choose_detection(const struct destination *destination,
			    const struct generation *generation,
			    struct mfd_params *params, struct mfd_error *err)
{
	static const char *const names[] = { "none", "legacy", "multifd", "auto", NULL };
	static const enum mfd_detection modes[] = {
		MFD_DETECTION_NONE, MFD_DETECTION_LEGACY, MFD_DETECTION_MULTIFD,
	};
	int chosen = 3;
	int ret = 0;

	if (destination->zero)
		ret = choose("zero", destination->zero, names, &chosen, err);
	if (ret)
		return ret;
	if (chosen < 3)
		params->detection = modes[chosen];
	else if (generation->known)
		params->detection = generation->compat.detection;
	else if (params->flush == MFD_FLUSH_SECTION)
		/* told to drive an old destination, but not how old: play safe */
		params->detection = MFD_DETECTION_LEGACY;
	if (generation->known)
		ret = mfd_compat_detection(&generation->compat, params->detection, err);
	return ret;
}

static int choose_method(const struct destination *destination, struct mfd_params *params,
			 struct mfd_error *err)
{
	static const char *const names[] = { "none", "zlib", "zstd", NULL };
	int chosen = MFD_METHOD_NONE;
	int ret = 0;

	if (destination->method)
		ret = choose("method", destination->method, names, &chosen, err);
	if (!ret && destination->level && chosen == MFD_METHOD_NONE)
		ret = wrong(err, "--level needs a --method that has levels");
	params->method = chosen;
	if (destination->level)
		params->level = destination->level;
	return ret;
}

static int check_peer(const struct destination *destination, const struct mfd_peer *peer,
		      struct mfd_error *err)
{
	if (!peer->multifd)
		return wrong(err, "the destination's multifd capability is off: switch it on with migrate-set-capabilities before migrate-incoming");
	if (destination->channels && destination->channels != peer->channels)
		return wrong(err, "--channels %u: the destination's multifd-channels are %u",
			     destination->channels, peer->channels);
	return 0;
}

static int ask_peer(const struct destination *destination, struct generation *generation,
		    struct mfd_params *params, char *machine, size_t size,
		    struct mfd_error *err)
{
	struct mfd_peer peer = { .size = sizeof(peer) };

	if (mfd_peer_query(&peer, destination->peer_qmp, QMP_TIMEOUT_MS, err))
		return 1;
	if (check_peer(destination, &peer, err))
		return 1;
	params->channels = peer.channels;
	snprintf(machine, size, "%s", peer.machine);
	params->machine = machine;
	generation->known = true;
	return mfd_compat_version(&generation->compat, peer.compat_major, peer.compat_minor) ? 1 : 0;
}

static int choose_generation(const struct destination *destination,
			     struct generation *generation, struct mfd_params *params,
			     struct mfd_error *err)
{
	static char machine[64];
	int ret = 0;

	if (destination->peer_qmp)
		ret = ask_peer(destination, generation, params, machine, sizeof(machine), err);
	if (ret || !destination->compat)
		return ret;
	generation->known = true;
	return mfd_compat_parse(&generation->compat, destination->compat, err) ? 2 : 0;
}

int destination_params(const struct destination *destination, struct mfd_params *params,
		       struct mfd_error *err)
{
	struct generation generation = { .compat.size = sizeof(generation.compat) };
	int ret;

	mfd_params_init(params);
	if (!destination->to) {
		wrong(err, "--to is missing");
		return 2;
	}
	ret = choose_generation(destination, &generation, params, err);
	if (ret)
		return ret;
	if (choose_flush(destination, &generation, params, err) ||
	    choose_detection(destination, &generation, params, err) ||
	    choose_method(destination, params, err))
		return 2;
	if (destination->uuid && mfd_uuid_parse(params->uuid, destination->uuid, err))
		return 2;
	if (destination->channels)
		params->channels = destination->channels;
	if (destination->machine)
		params->machine = destination->machine;
	params->ring_packets = destination->ring;
	if (destination->timeout)
		params->stall_ms = destination->timeout * 1000;
	return 0;
}

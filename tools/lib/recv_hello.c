// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Telling connections apart: the main one by its first four bytes, channels by
 * theirs, which are the beginning of a message of 64 bytes.
 */
#include <endian.h>
#include <string.h>

#include "recv_check.h"
#include "recv_hello.h"

#define MAGIC_SIZE sizeof(uint32_t)
/* A TLS record: handshake, version 3.x. */
#define TLS_HANDSHAKE	0x1603

static int parse_channel(const struct mfd_recv_hello *hello,
			 const struct mfd_recv_params *params, unsigned int *id,
			 struct mfd_error *err)
{
	const struct mzp_wire_init *init = &hello->init;

	if (be32toh(init->version) != MZP_WIRE_VERSION)
		return mfd_recv_reject(err, RECV_VERSION, "%u", be32toh(init->version));
	if (memcmp(init->uuid, params->uuid, sizeof(init->uuid)))
		return mfd_recv_reject(err, RECV_UUID, "channel %u", init->id);
	if (init->id >= params->channels)
		return mfd_recv_reject(err, RECV_CHANNEL_ID, "%u, of %u channels", init->id,
				       params->channels);
	*id = init->id;
	return 0;
}

int mfd_recv_hello_parse(const struct mfd_recv_hello *hello,
			 const struct mfd_recv_params *params, enum mfd_recv_kind *kind,
			 unsigned int *id, struct mfd_error *err)
{
	uint32_t magic;

	if (hello->used < MAGIC_SIZE)
		return MAGIC_SIZE - hello->used;
	magic = be32toh(hello->init.magic);
	if (magic >> 16 == TLS_HANDSHAKE)
		return mfd_recv_reject(err, RECV_TLS, "%s", "");
	if (magic == MZP_WIRE_MAIN_MAGIC) {
		*kind = MFD_RECV_MAIN;
		return 0;
	}
	if (magic != MZP_WIRE_MAGIC)
		return mfd_recv_reject(err, RECV_MAGIC, "0x%08x", magic);
	if (hello->used < sizeof(hello->bytes))
		return sizeof(hello->bytes) - hello->used;
	*kind = MFD_RECV_CHANNEL;
	return parse_channel(hello, params, id, err);
}

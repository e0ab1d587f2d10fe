/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A channel's stream: packets into guest memory. Knows neither sockets nor
 * threads.
 */
#ifndef MFD_PRIVATE_RECV_CHANNEL_H
#define MFD_PRIVATE_RECV_CHANNEL_H

#include "recv_input.h"
#include "recv_method.h"
#include "recv_packet.h"

struct mfd_recv_channel {
	unsigned int id;
	struct mfd_recv_input *input;
	const struct mfd_recv_rules *rules;
	/* Wait until the main connection says go on. */
	int (*sync)(struct mfd_recv_channel *channel, struct mfd_error *err);
	/* Tell about a packet; or NULL. */
	void (*packet)(const struct mfd_recv_packet *packet, void *opaque);
	void *opaque;

	const struct mfd_recv_method *method;
	void *stream;
	uint8_t *payload;		/* compressed */
	size_t payload_room;

	struct mzp_wire_packet wire;
	size_t wire_used;		/* of the next header, read ahead */
	struct mfd_recv_header header;
	_Atomic uint64_t parsed;	/* bytes of the packets that are dealt with */
	_Atomic bool unsynced;		/* pages came behind the last SYNC */

	/* struct mfd_recv_channel_stats, without the bytes */
	_Atomic uint64_t packets;
	_Atomic uint64_t normal;
	_Atomic uint64_t zero;
	_Atomic uint64_t cleared;
	_Atomic uint64_t syncs;
};

/*
 * Prepare @channel, whose first five members and @opaque are set. Return: 0 or
 * -ENOMEM. mfd_recv_channel_close may follow in any case.
 */
int mfd_recv_channel_open(struct mfd_recv_channel *channel, struct mfd_error *err);

/* Receive packets until the source ends the connection. Return: 0 or an error. */
int mfd_recv_channel_run(struct mfd_recv_channel *channel, struct mfd_error *err);

/*
 * Is everything that was read dealt with, and nothing of it a page behind the last SYNC?
 * Any thread.
 */
bool mfd_recv_channel_settled(const struct mfd_recv_channel *channel);

void mfd_recv_channel_close(struct mfd_recv_channel *channel);

#endif /* MFD_PRIVATE_RECV_CHANNEL_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A strict destination: takes the streams of a session's channels apart, checks every byte that
 * has a meaning or must be zero, and puts the pages into memory of its own.
 *
 * A round is what lies between two SYNCs. A channel that delivered its SYNC is
 * left alone until all the others have.
 *
 * Of a method that compresses, each packet is decoded as soon as its last byte is
 * there, and must give all its pages.
 */
#ifndef RX_H
#define RX_H

#include "decoder.h"
#include "kit.h"

/* What became of a page in a round. */
enum { RX_NOTHING = 0, RX_NORMAL = 1, RX_ZERO = 2 };

struct rx_block {
	char idstr[256];
	uint64_t pages;
	uint8_t *shadow;	/* the destination's memory, or … */
	const uint8_t *source;	/* … what normal pages must be equal to */
	uint8_t *seen;		/* per page, in this round */
	uint64_t normal, zero;	/* in this round */
};

struct rx_chan {
	struct rx *rx;
	unsigned int id;
	int fd;
	int pipe[2];		/* [0] is -1: use read(2) */
	bool greeted;		/* the first message is behind us */
	unsigned int syncs;
	uint64_t packets;
	bool numbered;		/* last_num is valid */
	uint64_t last_num;
	size_t have;		/* of message, then of the payload */
	bool in_payload;
	struct rx_block *block;
	/* of a method */
	struct decoder decoder;
	uint8_t *payload, *pages;
	union {
		struct mzp_wire_init init;
		struct mzp_wire_packet packet;
		uint8_t bytes[sizeof(struct mzp_wire_packet)];
	} message;
};

#define RX_BLOCKS 4

struct rx {
	struct mzp_setup setup;
	unsigned int round;
	struct rx_block block[RX_BLOCKS];
	unsigned int blocks;
	struct rx_chan *chan;
	/* packet numbers that were seen */
	uint64_t *nums;
	uint64_t nums_room;
	uint64_t page_packets;	/* packets that are not SYNC */
	/* Told of each packet whose pages are where they belong. */
	void (*packet)(struct rx_chan *c);
};

enum rx_how { RX_READ, RX_SPLICE };

void rx_init(struct rx *rx, const struct session *s, enum rx_how how);
void rx_free(struct rx *rx);
/* @source: see struct rx_block; NULL: have a shadow */
struct rx_block *rx_add_block(struct rx *rx, const char *idstr, uint64_t pages, const void *source);

/* How many bytes are missing until the next message or payload is complete. */
size_t rx_want(const struct rx_chan *c);
/* Take @n bytes, whatever they are part of. */
void rx_feed(struct rx_chan *c, const void *data, size_t n);
/* Nothing of a message has been received that is not complete. */
bool rx_between_packets(const struct rx_chan *c);

/*
 * Receive some bytes at least, at most to the end of the current message or
 * payload. Return how many; 0: the end of the stream; or -errno.
 */
ssize_t rx_some(struct rx_chan *c);
/* Receive everything up to the next SYNC on each channel. */
void rx_round(struct rx *rx);
/* The same in a thread. */
void rx_round_start(struct rx *rx, struct thread *t);
/* Every channel must now come to its proper end without another packet. */
void rx_end(struct rx *rx);
/* Forget what this round's pages were. */
void rx_next_round(struct rx *rx);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A channel's compressed stream, decoded packet by packet as a receiver has to
 * that cannot wait for the next one: what a packet holds is exactly what its
 * payload gives. By the formats' own libraries.
 */
#ifndef DECODER_H
#define DECODER_H

#include "kit.h"

struct decoder {
	enum mzp_method method;
	void *stream;
	uint64_t in, out;	/* bytes so far */
};

/* @method has a stream, so it is not MZP_METHOD_NONE. */
void decoder_init(struct decoder *d, enum mzp_method method);
void decoder_free(struct decoder *d);

/*
 * Decode a packet's payload to the @want bytes at @out, behind which is room for
 * DECODER_SLACK more. Fails the test if the payload gives less or more than that,
 * if some of it is not needed for it, or if the stream comes to an end.
 */
#define DECODER_SLACK 64
void decoder_packet(struct decoder *d, const uint8_t *payload, size_t n, uint8_t *out, size_t want);

#endif

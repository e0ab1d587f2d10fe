/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bytes of QEMU's main migration connection.
 *
 * An encoder with a buffer and no idea of sockets. Errors of the sink are
 * kept: after the first one all output is dropped, and
 * mfd_stream_flush() returns it.
 */
#ifndef MFD_PRIVATE_STREAM_H
#define MFD_PRIVATE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mfd.h"

/* The section id of RAM: any number, as long as all of its sections have it, and no other. */
#define MFD_STREAM_RAM_ID 1

struct mfd_stream {
	/* takes all of the data, or returns a negative errno and says why */
	int (*sink)(void *opaque, const void *data, size_t size, struct mfd_error *err);
	void *opaque;
	struct mfd_error failure;
	bool in_section;
	char last_idstr[256];	/* of the zero record before, empty: none in this section */
	size_t used;
	uint8_t buffer[65536];
};

void mfd_stream_init(struct mfd_stream *stream,
		     int (*sink)(void *opaque, const void *data, size_t size,
				 struct mfd_error *err), void *opaque);

/* The file header and the configuration section. */
void mfd_stream_header(struct mfd_stream *stream, const char *machine);

/* Ask for a return path. */
void mfd_stream_return_path(struct mfd_stream *stream);

/* The RAM set-up section: begin, each block, then mfd_stream_section_end(). */
void mfd_stream_setup_begin(struct mfd_stream *stream, uint64_t total_bytes);
void mfd_stream_setup_block(struct mfd_stream *stream, const char *idstr,
			    uint64_t used_length);

/*
 * A RAM section of a round: begin, zero pages, end. @last: no further one
 * follows. @flush: the destination is to wait here for a SYNC on all channels.
 */
void mfd_stream_section_begin(struct mfd_stream *stream, bool last);
void mfd_stream_zero_page(struct mfd_stream *stream, const char *idstr, uint64_t offset);
void mfd_stream_section_end(struct mfd_stream *stream, bool flush);

/* Bytes that stand behind RAM, whatever they are. */
void mfd_stream_raw(struct mfd_stream *stream, const void *data, size_t size);

/* A device's section: what is ahead of its data, and what is behind. */
void mfd_stream_device_begin(struct mfd_stream *stream, uint32_t id, const char *idstr,
			     uint32_t instance, uint32_t version);
void mfd_stream_device_end(struct mfd_stream *stream, uint32_t id);

/* The end of the migration. */
void mfd_stream_eof(struct mfd_stream *stream);

/* Empty the buffer. Return: 0 or the first error since the start. */
int mfd_stream_flush(struct mfd_stream *stream, struct mfd_error *err);

#endif /* MFD_PRIVATE_STREAM_H */

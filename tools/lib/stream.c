// SPDX-License-Identifier: LGPL-2.1-or-later
/* Encoding QEMU's main migration connection: sections and RAM records. */
#include <stdio.h>
#include <string.h>

#include <linux/multifd_wire.h>

#include "error.h"
#include "stream.h"

#define RAM_SECTION_ID MFD_STREAM_RAM_ID

void mfd_stream_init(struct mfd_stream *stream,
		     int (*sink)(void *opaque, const void *data, size_t size,
				 struct mfd_error *err), void *opaque)
{
	stream->sink = sink;
	stream->opaque = opaque;
	stream->failure = MFD_ERROR_NONE;
	stream->in_section = false;
	stream->last_idstr[0] = '\0';
	stream->used = 0;
}

int mfd_stream_flush(struct mfd_stream *stream, struct mfd_error *err)
{
	size_t used = stream->used;

	stream->used = 0;
	if (!stream->failure.code && used)
		stream->sink(stream->opaque, stream->buffer, used, &stream->failure);
	if (stream->failure.code && err)
		mfd_error_copy(err, &stream->failure);
	return -stream->failure.code;
}

static void put(struct mfd_stream *stream, const void *data, size_t size)
{
	if (size > sizeof(stream->buffer) - stream->used)
		mfd_stream_flush(stream, NULL);
	memcpy(stream->buffer + stream->used, data, size);
	stream->used += size;
}

static void put_8(struct mfd_stream *stream, uint8_t value)
{
	put(stream, &value, 1);
}

static void put_be16(struct mfd_stream *stream, uint16_t value)
{
	uint8_t bytes[] = { value >> 8, value };

	put(stream, bytes, sizeof(bytes));
}

static void put_be32(struct mfd_stream *stream, uint32_t value)
{
	uint8_t bytes[] = { value >> 24, value >> 16, value >> 8, value };

	put(stream, bytes, sizeof(bytes));
}

static void put_be64(struct mfd_stream *stream, uint64_t value)
{
	put_be32(stream, value >> 32);
	put_be32(stream, value);
}

/* A string of at most 255 bytes behind a byte that says how long it is. */
static void put_string(struct mfd_stream *stream, const char *string)
{
	size_t length = strnlen(string, 255);

	put_8(stream, length);
	put(stream, string, length);
}

/*
 * Arm's targets can have pages of several sizes, and take a source that says nothing for one
 * with the smallest, of 1 KiB. These are their machine types that have 4 KiB, and take
 * guests of several architectures; where pages have one size, it does no harm.
 */
static bool page_bits_vary(const char *machine)
{
	return !strncmp(machine, "virt", 4) || !strcmp(machine, "sbsa-ref");
}

void mfd_stream_header(struct mfd_stream *stream, const char *machine)
{
	put_be32(stream, MZP_WIRE_MAIN_MAGIC);
	put_be32(stream, MZP_WIRE_MAIN_VERSION);
	put_8(stream, MZP_SECTION_CONFIG);
	put_be32(stream, strlen(machine));
	put(stream, machine, strlen(machine));
	if (page_bits_vary(machine)) {
		put_8(stream, MZP_SECTION_SUB);
		put_string(stream, "configuration/target-page-bits");
		put_be32(stream, 1);	/* version */
		put_be32(stream, 12);
	}
}

void mfd_stream_return_path(struct mfd_stream *stream)
{
	put_8(stream, MZP_SECTION_COMMAND);
	put_be16(stream, MZP_COMMAND_OPEN_RETURN_PATH);
	put_be16(stream, 0);	/* bytes that follow */
}

void mfd_stream_setup_begin(struct mfd_stream *stream, uint64_t total_bytes)
{
	put_8(stream, MZP_SECTION_START);
	put_be32(stream, RAM_SECTION_ID);
	put_string(stream, "ram");
	put_be32(stream, 0);	/* instance */
	put_be32(stream, MZP_WIRE_RAM_VERSION);
	put_be64(stream, total_bytes | MZP_RECORD_BLOCKS);
	stream->in_section = true;
}

void mfd_stream_setup_block(struct mfd_stream *stream, const char *idstr,
			    uint64_t used_length)
{
	put_string(stream, idstr);
	put_be64(stream, used_length);
}

void mfd_stream_section_begin(struct mfd_stream *stream, bool last)
{
	put_8(stream, last ? MZP_SECTION_END : MZP_SECTION_PART);
	put_be32(stream, RAM_SECTION_ID);
	stream->in_section = true;
	stream->last_idstr[0] = '\0';
}

void mfd_stream_zero_page(struct mfd_stream *stream, const char *idstr, uint64_t offset)
{
	if (strcmp(idstr, stream->last_idstr)) {
		put_be64(stream, offset | MZP_RECORD_ZERO);
		put_string(stream, idstr);
		snprintf(stream->last_idstr, sizeof(stream->last_idstr), "%s", idstr);
	} else {
		put_be64(stream, offset | MZP_RECORD_ZERO | MZP_RECORD_CONTINUE);
	}
	put_8(stream, 0);	/* the byte that the page is full of */
}

void mfd_stream_section_end(struct mfd_stream *stream, bool flush)
{
	if (flush)
		put_be64(stream, MZP_RECORD_FLUSH);
	put_be64(stream, MZP_RECORD_END);
	put_8(stream, MZP_SECTION_FOOTER);
	put_be32(stream, RAM_SECTION_ID);
	stream->in_section = false;
}

void mfd_stream_raw(struct mfd_stream *stream, const void *data, size_t size)
{
	mfd_stream_flush(stream, NULL);
	if (!stream->failure.code && size)
		stream->sink(stream->opaque, data, size, &stream->failure);
}

void mfd_stream_device_begin(struct mfd_stream *stream, uint32_t id, const char *idstr,
			     uint32_t instance, uint32_t version)
{
	put_8(stream, MZP_SECTION_FULL);
	put_be32(stream, id);
	put_string(stream, idstr);
	put_be32(stream, instance);
	put_be32(stream, version);
}

void mfd_stream_device_end(struct mfd_stream *stream, uint32_t id)
{
	put_8(stream, MZP_SECTION_FOOTER);
	put_be32(stream, id);
}

void mfd_stream_eof(struct mfd_stream *stream)
{
	put_8(stream, MZP_SECTION_EOF);
	/* a description of the devices' formats, for tools; the destination skips it */
	put_8(stream, MZP_SECTION_VMDESC);
	put_be32(stream, 2);
	put(stream, "{}", 2);
}

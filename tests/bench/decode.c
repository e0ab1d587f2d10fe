// SPDX-License-Identifier: GPL-2.0-only
#include "decode.h"

#include <stdlib.h>

#include <zlib.h>
#include <zstd.h>

struct decode {
	bool is_zstd;
	z_stream zlib;
	ZSTD_DStream *zstd;
};

struct decode *decode_open(bool zstd)
{
	struct decode *decode = calloc(1, sizeof(*decode));

	if (!decode)
		abort();
	decode->is_zstd = zstd;
	if (zstd)
		decode->zstd = ZSTD_createDStream();
	if (zstd ? !decode->zstd : inflateInit(&decode->zlib) != Z_OK)
		abort();
	return decode;
}

void decode_close(struct decode *decode)
{
	if (decode->is_zstd)
		ZSTD_freeDStream(decode->zstd);
	else
		inflateEnd(&decode->zlib);
	free(decode);
}

static const char *zlib_packet(z_stream *stream, const void *payload, size_t size, uint8_t *to,
			       unsigned int nr)
{
	int status;

	stream->next_in = (uint8_t *)payload;
	stream->avail_in = size;
	for (; nr; nr--, to += DECODE_PAGE) {
		stream->next_out = to;
		stream->avail_out = DECODE_PAGE;
		do {
			status = inflate(stream, nr == 1 ? Z_SYNC_FLUSH : Z_NO_FLUSH);
		} while (status == Z_OK && stream->avail_in && stream->avail_out);
		if (status != Z_OK)
			return "inflate finds an error, the stream's end, or nothing to do";
		if (stream->avail_out)
			return "a page is incomplete";
	}
	return stream->avail_in ? "bytes are left" : NULL;
}

static const char *zstd_packet(ZSTD_DStream *stream, const void *payload, size_t size,
			       uint8_t *to, unsigned int nr)
{
	ZSTD_inBuffer in = { payload, size, 0 };
	size_t left;

	for (; nr; nr--, to += DECODE_PAGE) {
		ZSTD_outBuffer out = { to, DECODE_PAGE, 0 };

		do {
			left = ZSTD_decompressStream(stream, &out, &in);
			if (ZSTD_isError(left))
				return ZSTD_getErrorName(left);
		} while (left && in.pos < in.size && out.pos < out.size);
		if (out.pos < out.size)
			return "a page is incomplete";
	}
	return in.pos < in.size ? "bytes are left" : NULL;
}

const char *decode_packet(struct decode *decode, const void *payload, size_t size, uint8_t *to,
			  unsigned int nr)
{
	return decode->is_zstd ? zstd_packet(decode->zstd, payload, size, to, nr) :
				 zlib_packet(&decode->zlib, payload, size, to, nr);
}

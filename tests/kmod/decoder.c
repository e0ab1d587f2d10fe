// SPDX-License-Identifier: GPL-2.0-only
#include "decoder.h"

#include <zlib.h>
#include <zstd.h>

/* The most that a packet has. */
#define OUT_MAX (MZP_WIRE_PAGES * PAGE + DECODER_SLACK)

void decoder_init(struct decoder *d, enum mzp_method method)
{
	*d = (struct decoder){ .method = method };
	if (method == MZP_METHOD_ZLIB) {
		z_stream *z = calloc(1, sizeof(*z));

		must(z && inflateInit(z) == Z_OK);
		d->stream = z;
	} else {
		must(method == MZP_METHOD_ZSTD);
		d->stream = ZSTD_createDStream();
		must(d->stream);
	}
}

void decoder_free(struct decoder *d)
{
	if (d->method == MZP_METHOD_ZLIB) {
		inflateEnd(d->stream);
		free(d->stream);
	} else {
		ZSTD_freeDStream(d->stream);
	}
}

static size_t inflate_packet(struct decoder *d, const uint8_t *payload, size_t n, uint8_t *out,
			     size_t room)
{
	z_stream *z = d->stream;
	int ret;

	z->next_in = (uint8_t *)payload;
	z->avail_in = n;
	z->next_out = out;
	z->avail_out = room;
	ret = inflate(z, Z_SYNC_FLUSH);
	must(ret == Z_OK, "inflate gives %d, %s, after %zu bytes of %zu", ret, z->msg ?: "",
	     n - z->avail_in, n);
	must(!z->avail_in, "zlib: %u of %zu bytes are left over", z->avail_in, n);
	/* and nothing is held back that would come of no more input */
	ret = inflate(z, Z_SYNC_FLUSH);
	must(ret == Z_BUF_ERROR, "inflate had more to do: %d", ret);
	return room - z->avail_out;
}

static size_t unzstd_packet(struct decoder *d, const uint8_t *payload, size_t n, uint8_t *out,
			    size_t room)
{
	ZSTD_outBuffer o = { out, room, 0 };
	ZSTD_inBuffer i = { payload, n, 0 };
	size_t in, made, ret;
	bool ended = false;

	do {
		in = i.pos;
		made = o.pos;
		ret = ZSTD_decompressStream(d->stream, &o, &i);
		must(!ZSTD_isError(ret), "zstd: %s after %zu bytes of %zu", ZSTD_getErrorName(ret),
		     i.pos, n);
		/* a frame may end where the packet does, and then another begins */
		must(ret || i.pos == n, "the zstd frame ends after %zu bytes of %zu", i.pos, n);
		ended |= !ret;
	} while (i.pos != in || o.pos != made);
	must(i.pos == n, "zstd: %zu of %zu bytes are left over", n - i.pos, n);
	/* what comes next is the head of a block, so this one is complete */
	must(ended || ret == 3, "zstd is within a block, and wants %zu bytes more", ret);
	return o.pos;
}

/* How a stream has to begin; where it goes on, this would not decode. */
static void check_head(const struct decoder *d, const uint8_t *payload, size_t n)
{
	static const uint8_t zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };

	if (d->method == MZP_METHOD_ZSTD) {
		must(n > sizeof(zstd) && !memcmp(payload, zstd, sizeof(zstd)));
		return;
	}
	/* deflate with a window of 32 KiB, no dictionary */
	must(n > 2 && payload[0] == 0x78 && !(payload[1] & 0x20));
	must(!((payload[0] << 8 | payload[1]) % 31));
}

void decoder_packet(struct decoder *d, const uint8_t *payload, size_t n, uint8_t *out, size_t want)
{
	size_t got;

	must(n && want + DECODER_SLACK <= OUT_MAX);
	if (!d->in)
		check_head(d, payload, n);
	if (d->method == MZP_METHOD_ZLIB)
		got = inflate_packet(d, payload, n, out, want + DECODER_SLACK);
	else
		got = unzstd_packet(d, payload, n, out, want + DECODER_SLACK);
	must(got == want, "%zu bytes of payload behind %ju give %zu, not %zu", n, (uintmax_t)d->in,
	     got, want);
	d->in += n;
	d->out += want;
}

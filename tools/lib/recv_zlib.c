// SPDX-License-Identifier: LGPL-2.1-or-later
/* Decompressing with zlib. */
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#include "recv_method.h"

static int zlib_open(void **out)
{
	z_stream *stream = calloc(1, sizeof(*stream));

	if (!stream || inflateInit(stream) != Z_OK) {
		free(stream);
		return -ENOMEM;
	}
	*out = stream;
	return 0;
}

static void take(struct iovec *iov, size_t left)
{
	iov->iov_base = (char *)iov->iov_base + (iov->iov_len - left);
	iov->iov_len = left;
}

static const char *zlib_step(void *data, struct iovec *in, struct iovec *out, bool *ended)
{
	z_stream *stream = data;
	int ret;

	stream->next_in = in->iov_base;
	stream->avail_in = in->iov_len;
	stream->next_out = out->iov_base;
	stream->avail_out = out->iov_len;
	ret = inflate(stream, Z_SYNC_FLUSH);
	take(in, stream->avail_in);
	take(out, stream->avail_out);
	switch (ret) {
	case Z_OK:
	case Z_BUF_ERROR:	/* nothing could be done this time */
		return NULL;
	case Z_STREAM_END:
		*ended = true;
		return NULL;
	case Z_NEED_DICT:
		return "a dictionary is needed";
	case Z_MEM_ERROR:
		return "out of memory";
	default:
		return stream->msg ? stream->msg : "no deflate stream";
	}
}

static void zlib_close(void *stream)
{
	inflateEnd(stream);
	free(stream);
}

const struct mfd_recv_method mfd_recv_zlib = {
	.open = zlib_open,
	.step = zlib_step,
	.close = zlib_close,
};

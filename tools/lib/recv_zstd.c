// SPDX-License-Identifier: LGPL-2.1-or-later
/* Decompressing with zstd. */
#include <errno.h>
#include <zstd.h>

#include "recv_method.h"

/*
 * As libzstd's own default, which is also what a QEMU destination has: the
 * largest window of levels up to 20, QEMU's highest. A frame may ask for as much
 * memory and no more, and gets it only as it fills it.
 */
#define WINDOW_LOG_MAX 27

static int zstd_open(void **out)
{
	ZSTD_DCtx *stream = ZSTD_createDCtx();

	if (!stream)
		return -ENOMEM;
	if (ZSTD_isError(ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, WINDOW_LOG_MAX))) {
		ZSTD_freeDCtx(stream);
		return -ENOMEM;
	}
	*out = stream;
	return 0;
}

static void take(struct iovec *iov, size_t pos)
{
	iov->iov_base = (char *)iov->iov_base + pos;
	iov->iov_len -= pos;
}

static const char *zstd_step(void *stream, struct iovec *in, struct iovec *out, bool *ended)
{
	ZSTD_inBuffer input = { .src = in->iov_base, .size = in->iov_len };
	ZSTD_outBuffer output = { .dst = out->iov_base, .size = out->iov_len };
	size_t ret = ZSTD_decompressStream(stream, &output, &input);

	take(in, input.pos);
	take(out, output.pos);
	if (ZSTD_isError(ret))
		return ZSTD_getErrorName(ret);
	/*
	 * A frame may end where a packet does, as a QEMU destination would take
	 * it; the next packet begins another. Within a packet it may not.
	 */
	*ended = !ret && in->iov_len;
	return NULL;
}

static void zstd_close(void *stream)
{
	ZSTD_freeDCtx(stream);
}

const struct mfd_recv_method mfd_recv_zstd = {
	.open = zstd_open,
	.step = zstd_step,
	.close = zstd_close,
};

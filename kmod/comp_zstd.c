// SPDX-License-Identifier: GPL-2.0-only
/*
 * zstd: one frame per channel, flushed at the end of each packet.
 *
 * The kernel's compressor may be a module of its own that is not there. So its
 * functions are weak references: without them they are NULL, this module still
 * loads, and the method is not available.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/zstd.h>

#include "comp.h"

#pragma weak zstd_get_params
#pragma weak zstd_cstream_workspace_bound
#pragma weak zstd_init_cstream
#pragma weak zstd_compress_stream
#pragma weak zstd_flush_stream
#pragma weak zstd_is_error

struct mzp_zstd {
	zstd_cstream *cstream;
	void *workspace;
	zstd_out_buffer out;
};

static bool mzp_zstd_available(void)
{
	return zstd_get_params && zstd_cstream_workspace_bound && zstd_init_cstream &&
	       zstd_compress_stream && zstd_flush_stream && zstd_is_error;
}

static void mzp_zstd_destroy(void *stream)
{
	struct mzp_zstd *zstd = stream;

	kvfree(zstd->workspace);
	kfree(zstd);
}

static void *mzp_zstd_create(int level)
{
	zstd_parameters params = zstd_get_params(level, 0);
	size_t size = zstd_cstream_workspace_bound(&params.cParams);
	struct mzp_zstd *zstd = kzalloc(sizeof(*zstd), GFP_KERNEL_ACCOUNT);

	if (!zstd)
		return ERR_PTR(-ENOMEM);
	zstd->workspace = kvmalloc(size, GFP_KERNEL_ACCOUNT);
	if (zstd->workspace)
		zstd->cstream = zstd_init_cstream(&params, 0, zstd->workspace, size);
	if (!zstd->cstream) {
		mzp_zstd_destroy(zstd);
		return ERR_PTR(-ENOMEM);
	}
	return zstd;
}

static void mzp_zstd_begin(void *stream, void *payload)
{
	struct mzp_zstd *zstd = stream;

	zstd->out.dst = payload;
	zstd->out.size = MZP_COMP_MAX;
	zstd->out.pos = 0;
}

static int mzp_zstd_add(void *stream, const void *page)
{
	struct mzp_zstd *zstd = stream;
	zstd_in_buffer in = { .src = page, .size = PAGE_SIZE };

	while (in.pos < in.size) {
		size_t before = in.pos;

		if (zstd_is_error(zstd_compress_stream(zstd->cstream, &zstd->out, &in)) ||
		    in.pos == before)
			return -EIO;
	}
	return 0;
}

static ssize_t mzp_zstd_end(void *stream)
{
	struct mzp_zstd *zstd = stream;

	/* What is left inside is 0 if all has come out. */
	return zstd_flush_stream(zstd->cstream, &zstd->out) ? -EIO : zstd->out.pos;
}

const struct mzp_comp_ops mzp_comp_zstd = {
	.wire = MZP_WIRE_ZSTD,
	.level_min = 1,
	.level_max = 19,
	.level_default = 1,
	.available = mzp_zstd_available,
	.create = mzp_zstd_create,
	.destroy = mzp_zstd_destroy,
	.begin = mzp_zstd_begin,
	.add = mzp_zstd_add,
	.end = mzp_zstd_end,
};

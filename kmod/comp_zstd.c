// SPDX-License-Identifier: GPL-2.0-only
/*
 * zstd: frames one after the other, flushed at the end of each packet.
 *
 * The compressor keeps its history in a ring that is as large as its window and
 * a block. Once that wraps, each look at the history has to handle two pieces of
 * it, and that is the largest part of what the kernel's compressor is slower
 * than it could be. So before it wraps, a frame is ended, with the packet that is
 * the last to fit, and the next one begins with an empty history. To make up
 * for that, the window is twice what the level would have: then there is as
 * much history as the level would have, on average.
 *
 * A receiver that decompresses a stream, as QEMU does, takes several frames as
 * it takes one; but not a packet that begins with the end of a frame, which
 * would leave QEMU with a page that got nothing. So a frame ends where a packet
 * does.
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
#include "large.h"

#pragma weak zstd_get_params
#pragma weak zstd_cstream_workspace_bound
#pragma weak zstd_init_cstream
#pragma weak zstd_compress_stream
#pragma weak zstd_flush_stream
#pragma weak zstd_end_stream
#pragma weak zstd_is_error

/* The smallest window's bits: 2 MiB. It costs little, even of the lowest level's time. */
#define MZP_ZSTD_WINDOW_MIN 21

/**
 * struct mzp_zstd - a stream
 * @cstream: the compressor
 * @workspace: its memory
 * @out: where the packet's bytes go
 * @window: bytes that a frame may have
 * @frame: bytes that the current one has
 */
struct mzp_zstd {
	zstd_cstream *cstream;
	void *workspace;
	zstd_out_buffer out;
	size_t window;
	size_t frame;
};

static bool mzp_zstd_available(void)
{
	return zstd_get_params && zstd_cstream_workspace_bound && zstd_init_cstream &&
	       zstd_compress_stream && zstd_flush_stream && zstd_end_stream &&
	       zstd_is_error;
}

static void mzp_zstd_destroy(void *stream)
{
	struct mzp_zstd *zstd = stream;

	kvfree(zstd->workspace);
	kfree(zstd);
}

static zstd_parameters mzp_zstd_params(int level)
{
	zstd_parameters params = zstd_get_params(level, 0);
	unsigned int *window = &params.cParams.windowLog;

	*window = max(*window + 1, MZP_ZSTD_WINDOW_MIN);
	return params;
}

static size_t mzp_zstd_memory(int level)
{
	zstd_parameters params = mzp_zstd_params(level);

	return zstd_cstream_workspace_bound(&params.cParams);
}

static void *mzp_zstd_create(int level)
{
	zstd_parameters params = mzp_zstd_params(level);
	size_t size = mzp_zstd_memory(level);
	struct mzp_zstd *zstd = kzalloc(sizeof(*zstd), GFP_KERNEL_ACCOUNT);

	if (!zstd)
		return ERR_PTR(-ENOMEM);
	zstd->workspace = mzp_large_alloc(1, size, 0);
	if (zstd->workspace)
		zstd->cstream = zstd_init_cstream(&params, 0, zstd->workspace, size);
	if (!zstd->cstream) {
		mzp_zstd_destroy(zstd);
		return ERR_PTR(-ENOMEM);
	}
	zstd->window = 1ul << params.cParams.windowLog;
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
	zstd->frame += PAGE_SIZE;
	return 0;
}

static ssize_t mzp_zstd_end(void *stream)
{
	struct mzp_zstd *zstd = stream;
	bool full = zstd->frame + MZP_WIRE_PAGES * PAGE_SIZE > zstd->window;
	size_t left;

	/* Behind the end of a frame, the next one begins by itself. */
	left = full ? zstd_end_stream(zstd->cstream, &zstd->out) :
		      zstd_flush_stream(zstd->cstream, &zstd->out);
	if (full)
		zstd->frame = 0;
	/* What is left inside, or zstd's error; 0 if all has come out. */
	return left ? -EIO : zstd->out.pos;
}

const struct mzp_comp_ops mzp_comp_zstd = {
	.wire = MZP_WIRE_ZSTD,
	.level_min = 1,
	.level_max = 19,
	.level_default = 1,
	.available = mzp_zstd_available,
	.memory = mzp_zstd_memory,
	.create = mzp_zstd_create,
	.destroy = mzp_zstd_destroy,
	.begin = mzp_zstd_begin,
	.add = mzp_zstd_add,
	.end = mzp_zstd_end,
};

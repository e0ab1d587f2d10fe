// SPDX-License-Identifier: GPL-2.0-only
/*
 * zlib: one deflate stream per channel, with a zlib header and a 32 KiB window,
 * flushed to a byte boundary at the end of each packet.
 *
 * The stream has no end, so nobody will ever look at its checksum. It is
 * therefore made as a raw deflate stream, which computes none, behind a zlib
 * header of our own.
 *
 * deflate takes longest over what it cannot compress. Such pages are put into
 * the stream as stored blocks, by ourselves, which can be done where the stream
 * is at a byte boundary. The compressor does not know of them, so that its
 * distances to what came before would be wrong: it begins anew behind them,
 * with an empty history.
 */
#include <linux/err.h>
#include <linux/kconfig.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/zlib.h>

#include "comp.h"
#include "large.h"

/* Deflate with a 32 KiB window, no dictionary; a multiple of 31 as it must be. */
#define MZP_ZLIB_CMF	0x78
#define MZP_ZLIB_FLG	0x01

/* A stored block: a byte that says so, its length twice, the second time inverted. */
#define MZP_ZLIB_STORED	5

/**
 * struct mzp_zlib - a stream
 * @strm: the compressor, and where its next byte goes
 * @payload: where the packet's bytes begin
 * @begun: the header was sent
 * @pending: the compressor has bytes that it did not flush
 * @history: the compressor has seen pages
 */
struct mzp_zlib {
	z_stream strm;
	u8 *payload;
	bool begun;
	bool pending;
	bool history;
};

static bool mzp_zlib_available(void)
{
	return IS_BUILTIN(CONFIG_ZLIB_DEFLATE) || IS_MODULE(CONFIG_ZLIB_DEFLATE);
}

static size_t mzp_zlib_memory(int level)
{
	return zlib_deflate_workspacesize(MAX_WBITS, MAX_MEM_LEVEL);
}

static void mzp_zlib_destroy(void *stream)
{
	struct mzp_zlib *zlib = stream;

	kvfree(zlib->strm.workspace);
	kfree(zlib);
}

static void *mzp_zlib_create(int level)
{
	struct mzp_zlib *zlib = kzalloc(sizeof(*zlib), GFP_KERNEL_ACCOUNT);

	if (!zlib)
		return ERR_PTR(-ENOMEM);
	zlib->strm.workspace = mzp_large_alloc(1, mzp_zlib_memory(level), __GFP_ZERO);
	if (!zlib->strm.workspace) {
		kfree(zlib);
		return ERR_PTR(-ENOMEM);
	}
	if (zlib_deflateInit2(&zlib->strm, level, Z_DEFLATED, -MAX_WBITS, DEF_MEM_LEVEL,
			      Z_DEFAULT_STRATEGY) != Z_OK) {
		mzp_zlib_destroy(zlib);
		return ERR_PTR(-EINVAL);
	}
	return zlib;
}

static void mzp_zlib_put(struct mzp_zlib *zlib, const void *bytes, unsigned int n)
{
	memcpy(zlib->strm.next_out, bytes, n);
	zlib->strm.next_out += n;
	zlib->strm.avail_out -= n;
}

static void mzp_zlib_begin(void *stream, void *payload)
{
	static const u8 header[] = { MZP_ZLIB_CMF, MZP_ZLIB_FLG };
	struct mzp_zlib *zlib = stream;

	zlib->payload = payload;
	zlib->strm.next_out = payload;
	zlib->strm.avail_out = MZP_COMP_MAX;
	if (!zlib->begun)
		mzp_zlib_put(zlib, header, sizeof(header));
	zlib->begun = true;
}

static int mzp_zlib_add(void *stream, const void *page)
{
	struct mzp_zlib *zlib = stream;

	zlib->strm.next_in = page;
	zlib->strm.avail_in = PAGE_SIZE;
	if (zlib_deflate(&zlib->strm, Z_NO_FLUSH) != Z_OK || zlib->strm.avail_in)
		return -EIO;
	zlib->pending = true;
	zlib->history = true;
	return 0;
}

/* Bring the stream to a byte boundary. */
static int mzp_zlib_flush(struct mzp_zlib *zlib)
{
	if (!zlib->pending)
		return 0;
	/* With room left, all has come out. */
	if (zlib_deflate(&zlib->strm, Z_SYNC_FLUSH) != Z_OK || !zlib->strm.avail_out)
		return -EIO;
	zlib->pending = false;
	return 0;
}

static int mzp_zlib_forget(struct mzp_zlib *zlib)
{
	if (!zlib->history)
		return 0;
	zlib->history = false;
	return zlib_deflateReset(&zlib->strm) == Z_OK ? 0 : -EIO;
}

static int mzp_zlib_store(void *stream, const void *page)
{
	static const u8 header[MZP_ZLIB_STORED] = {
		0,
		PAGE_SIZE & 0xff, PAGE_SIZE >> 8,
		~PAGE_SIZE & 0xff, ~PAGE_SIZE >> 8 & 0xff,
	};
	struct mzp_zlib *zlib = stream;
	int err = mzp_zlib_flush(zlib) ?: mzp_zlib_forget(zlib);

	if (err || zlib->strm.avail_out < sizeof(header) + PAGE_SIZE)
		return err ?: -EIO;
	mzp_zlib_put(zlib, header, sizeof(header));
	mzp_zlib_put(zlib, page, PAGE_SIZE);
	return 0;
}

static ssize_t mzp_zlib_end(void *stream)
{
	struct mzp_zlib *zlib = stream;

	return mzp_zlib_flush(zlib) ?: zlib->strm.next_out - zlib->payload;
}

const struct mzp_comp_ops mzp_comp_zlib = {
	.wire = MZP_WIRE_ZLIB,
	.level_min = 1,
	.level_max = 9,
	.level_default = 1,
	.available = mzp_zlib_available,
	.memory = mzp_zlib_memory,
	.create = mzp_zlib_create,
	.destroy = mzp_zlib_destroy,
	.begin = mzp_zlib_begin,
	.add = mzp_zlib_add,
	.store = mzp_zlib_store,
	.end = mzp_zlib_end,
};

// SPDX-License-Identifier: GPL-2.0-only
/*
 * zlib: one deflate stream per channel, with a zlib header and a 32 KiB window,
 * flushed to a byte boundary at the end of each packet.
 *
 * The stream has no end, so nobody will ever look at its checksum. It is
 * therefore made as a raw deflate stream, which computes none, behind a zlib
 * header of our own.
 */
#include <linux/err.h>
#include <linux/kconfig.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/zlib.h>

#include "comp.h"

/* Deflate with a 32 KiB window, no dictionary; a multiple of 31 as it must be. */
#define MZP_ZLIB_CMF	0x78
#define MZP_ZLIB_FLG	0x01

struct mzp_zlib {
	z_stream strm;
	bool begun;
};

static bool mzp_zlib_available(void)
{
	return IS_BUILTIN(CONFIG_ZLIB_DEFLATE) || IS_MODULE(CONFIG_ZLIB_DEFLATE);
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
	int bits = -MAX_WBITS;

	if (!zlib)
		return ERR_PTR(-ENOMEM);
	zlib->strm.workspace = kvzalloc(zlib_deflate_workspacesize(-bits, MAX_MEM_LEVEL),
					GFP_KERNEL_ACCOUNT);
	if (!zlib->strm.workspace) {
		kfree(zlib);
		return ERR_PTR(-ENOMEM);
	}
	if (zlib_deflateInit2(&zlib->strm, level, Z_DEFLATED, bits, DEF_MEM_LEVEL,
			      Z_DEFAULT_STRATEGY) != Z_OK) {
		mzp_zlib_destroy(zlib);
		return ERR_PTR(-EINVAL);
	}
	return zlib;
}

static void mzp_zlib_begin(void *stream, void *payload)
{
	struct mzp_zlib *zlib = stream;
	u8 *out = payload;

	zlib->strm.total_out = 0;
	if (!zlib->begun) {
		*out++ = MZP_ZLIB_CMF;
		*out++ = MZP_ZLIB_FLG;
		zlib->strm.total_out = 2;
		zlib->begun = true;
	}
	zlib->strm.next_out = out;
	zlib->strm.avail_out = MZP_COMP_MAX - zlib->strm.total_out;
}

static int mzp_zlib_add(void *stream, const void *page)
{
	struct mzp_zlib *zlib = stream;

	zlib->strm.next_in = page;
	zlib->strm.avail_in = PAGE_SIZE;
	if (zlib_deflate(&zlib->strm, Z_NO_FLUSH) != Z_OK || zlib->strm.avail_in)
		return -EIO;
	return 0;
}

static ssize_t mzp_zlib_end(void *stream)
{
	struct mzp_zlib *zlib = stream;

	/* With room left, all has come out. */
	if (zlib_deflate(&zlib->strm, Z_SYNC_FLUSH) != Z_OK || !zlib->strm.avail_out)
		return -EIO;
	return zlib->strm.total_out;
}

const struct mzp_comp_ops mzp_comp_zlib = {
	.wire = MZP_WIRE_ZLIB,
	.level_min = 1,
	.level_max = 9,
	.level_default = 1,
	.available = mzp_zlib_available,
	.create = mzp_zlib_create,
	.destroy = mzp_zlib_destroy,
	.begin = mzp_zlib_begin,
	.add = mzp_zlib_add,
	.end = mzp_zlib_end,
};

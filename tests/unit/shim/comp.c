// SPDX-License-Identifier: GPL-2.0-only
/* The kernel's compressors, by the libraries that they came from. */
#include <zlib.h>

#include "kernel.h"
#include "linux/zlib.h"
#include "linux/zstd.h"

/* libz in memory that is given, as the kernel's has it. */
struct workspace {
	z_stream libz;
	size_t used;
	unsigned char memory[1 << 19];
};

static void *take(void *opaque, unsigned int items, unsigned int size)
{
	struct workspace *workspace = opaque;
	void *memory = &workspace->memory[workspace->used];

	workspace->used += ALIGN((size_t)items * size, 16);
	return workspace->used <= sizeof(workspace->memory) ? memory : NULL;
}

static void give(void *opaque, void *memory)
{
	(void)opaque, (void)memory;
}

int zlib_deflate_workspacesize(int bits, int mem_level)
{
	(void)bits, (void)mem_level;
	return sizeof(struct workspace);
}

int zlib_deflateInit2(struct shim_zlib *strm, int level, int method, int bits, int mem_level,
		      int strategy)
{
	struct workspace *workspace = strm->workspace;

	workspace->libz = (z_stream){ .zalloc = take, .zfree = give, .opaque = workspace };
	return deflateInit2(&workspace->libz, level, method, bits, mem_level, strategy);
}

int zlib_deflate(struct shim_zlib *strm, int flush)
{
	z_stream *libz = &((struct workspace *)strm->workspace)->libz;
	int status;

	libz->next_in = (unsigned char *)strm->next_in;
	libz->avail_in = strm->avail_in;
	libz->next_out = strm->next_out;
	libz->avail_out = strm->avail_out;
	status = deflate(libz, flush == SHIM_Z_SYNC_FLUSH ? Z_SYNC_FLUSH : Z_NO_FLUSH);
	strm->next_in = libz->next_in;
	strm->avail_in = libz->avail_in;
	strm->next_out = libz->next_out;
	strm->avail_out = libz->avail_out;
	return status;
}

int zlib_deflateReset(struct shim_zlib *strm)
{
	return deflateReset(&((struct workspace *)strm->workspace)->libz);
}

zstd_parameters zstd_get_params(int level, unsigned long long size)
{
	return ZSTD_getParams(level, size, 0);
}

size_t zstd_cstream_workspace_bound(const zstd_compression_parameters *params)
{
	return ZSTD_estimateCStreamSize_usingCParams(*params);
}

zstd_cstream *zstd_init_cstream(const zstd_parameters *params, unsigned long long size,
				void *workspace, size_t workspace_size)
{
	zstd_cstream *cstream = ZSTD_initStaticCStream(workspace, workspace_size);

	if (!cstream || ZSTD_isError(ZSTD_CCtx_setCParams(cstream, params->cParams)) ||
	    ZSTD_isError(zstd_reset_cstream(cstream, size)))
		return NULL;
	return cstream;
}

/* For the kernel, a size of 0 is one that is not known. */
size_t zstd_reset_cstream(zstd_cstream *cstream, unsigned long long size)
{
	size_t code = ZSTD_CCtx_reset(cstream, ZSTD_reset_session_only);

	return code ?: ZSTD_CCtx_setPledgedSrcSize(cstream, size ?: ZSTD_CONTENTSIZE_UNKNOWN);
}

size_t zstd_compress_stream(zstd_cstream *cstream, zstd_out_buffer *out, zstd_in_buffer *in)
{
	return ZSTD_compressStream(cstream, out, in);
}

size_t zstd_flush_stream(zstd_cstream *cstream, zstd_out_buffer *out)
{
	return ZSTD_flushStream(cstream, out);
}

size_t zstd_end_stream(zstd_cstream *cstream, zstd_out_buffer *out)
{
	return ZSTD_endStream(cstream, out);
}

unsigned int zstd_is_error(size_t code)
{
	return ZSTD_isError(code);
}

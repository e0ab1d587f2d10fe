/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's names for zstd, by libzstd: see ../comp.c. */
#ifndef SHIM_ZSTD_H
#define SHIM_ZSTD_H

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

typedef ZSTD_parameters zstd_parameters;
typedef ZSTD_compressionParameters zstd_compression_parameters;
typedef ZSTD_CStream zstd_cstream;
typedef ZSTD_inBuffer zstd_in_buffer;
typedef ZSTD_outBuffer zstd_out_buffer;

zstd_parameters zstd_get_params(int level, unsigned long long size);
size_t zstd_cstream_workspace_bound(const zstd_compression_parameters *params);
zstd_cstream *zstd_init_cstream(const zstd_parameters *params, unsigned long long size,
				void *workspace, size_t workspace_size);
size_t zstd_reset_cstream(zstd_cstream *cstream, unsigned long long size);
size_t zstd_compress_stream(zstd_cstream *cstream, zstd_out_buffer *out, zstd_in_buffer *in);
size_t zstd_flush_stream(zstd_cstream *cstream, zstd_out_buffer *out);
size_t zstd_end_stream(zstd_cstream *cstream, zstd_out_buffer *out);
unsigned int zstd_is_error(size_t code);

#endif /* SHIM_ZSTD_H */

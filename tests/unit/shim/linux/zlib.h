/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's deflate, by libz: see ../comp.c. */
#ifndef SHIM_ZLIB_H
#define SHIM_ZLIB_H

struct shim_zlib {
	const unsigned char *next_in;
	unsigned long avail_in;
	unsigned char *next_out;
	unsigned long avail_out;
	void *workspace;
};

int zlib_deflate_workspacesize(int bits, int mem_level);
int zlib_deflateInit2(struct shim_zlib *strm, int level, int method, int bits, int mem_level,
		      int strategy);
int zlib_deflate(struct shim_zlib *strm, int flush);
int zlib_deflateReset(struct shim_zlib *strm);

/* what libz calls the same but has other values or members for */
#define SHIM_Z_NO_FLUSH 0
#define SHIM_Z_SYNC_FLUSH 3

#ifndef ZLIB_H
typedef struct shim_zlib z_stream;
#define Z_OK 0
#define Z_NO_FLUSH SHIM_Z_NO_FLUSH
#define Z_SYNC_FLUSH SHIM_Z_SYNC_FLUSH
#define Z_DEFLATED 8
#define Z_DEFAULT_STRATEGY 0
#define MAX_WBITS 15
#define MAX_MEM_LEVEL 8
#define DEF_MEM_LEVEL 8
#endif

#endif /* SHIM_ZLIB_H */

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * RAM blocks of a destination.
 *
 * A page that is announced as zero must be zero afterwards, and memory that
 * holds nothing must go on holding nothing. Reading is no way to find out:
 * reading a hole of a file on shmem allocates the page. So each block has a bit
 * for each page: set if the page may hold data. It is clear at first where
 * memory is known to be fresh, and set when contents are received. A zero page
 * whose bit is clear costs nothing at all; one whose bit is set is read, since
 * it is allocated anyway, and cleared only if it is not zero yet, so that no
 * page is made dirty for nothing.
 *
 * Clearing is a memset: the page stays allocated. Punching a hole would give it
 * back, but it is a system call for each page, splits huge pages, and makes the
 * guest fault the page in again, which most likely is about to use it: it held
 * data a moment ago.
 *
 * A second bit for each page tells whether it has been written here. If not, there may be no
 * memory for it: its file system is full, or there are no huge pages. A system call that
 * writes to it says so; the processor raises SIGBUS. So whoever is about to touch such a page
 * other than by a system call asks the kernel for it first. A page that was written once
 * stays there, unless somebody takes it away.
 *
 * Channels work at the same time, and share words of the bitmap, so its bits are
 * set atomically. The order does not matter there: what two channels may do to
 * one page is ordered by a SYNC.
 */
#ifndef MFD_PRIVATE_RECV_BLOCK_H
#define MFD_PRIVATE_RECV_BLOCK_H

#include <stdatomic.h>
#include <stdbool.h>

#include "mfd_recv.h"

#define MFD_RECV_PAGE 4096u

struct mfd_recv_block {
	struct mfd_recv_block *next;
	char idstr[256];
	uint8_t *memory;
	uint64_t length;
	bool mapped;			/* by us: to be unmapped */
	bool listed;			/* the source has named it */
	_Atomic uint64_t *data;		/* pages that may hold data */
	_Atomic uint64_t *there;	/* pages that were written here */
};

/* In the order in which they were added; all zero: there is none. */
struct mfd_recv_blocks {
	struct mfd_recv_block *first;
};

/*
 * Add a block at @memory. @fresh: all of it is known to be zero.
 * Return: 0, -EEXIST, -EINVAL or -ENOMEM.
 */
int mfd_recv_blocks_add(struct mfd_recv_blocks *blocks, const char *idstr, void *memory,
			uint64_t length, bool fresh, struct mfd_error *err);

/* Add a block that is a part of a file, and map it. Its holes are fresh. */
int mfd_recv_blocks_map(struct mfd_recv_blocks *blocks, const char *idstr, int fd,
			uint64_t offset, uint64_t length, struct mfd_error *err);

struct mfd_recv_block *mfd_recv_blocks_find(struct mfd_recv_blocks *blocks, const char *idstr);

/* Unmap what was mapped, and free all. */
void mfd_recv_blocks_free(struct mfd_recv_blocks *blocks);

/* May a page be at @offset? Return: 0 or -EPROTO. */
int mfd_recv_block_check(const struct mfd_recv_block *block, uint64_t offset,
			 struct mfd_error *err);

/*
 * The page at @offset, which is fine, is about to be written. Return: whether there may be no
 * memory for it.
 */
bool mfd_recv_block_touch(struct mfd_recv_block *block, uint64_t offset);

/*
 * Have memory for these bytes, to write or only to read; from Linux 5.14 on. Return: 0, or the
 * error of the first page for which there is none.
 */
int mfd_recv_block_populate(struct mfd_recv_block *block, uint64_t offset, uint64_t size,
			    bool write, struct mfd_error *err);

/*
 * Make the page at @offset, which is fine, zero. Return: 1: it was not; 0: it was; or the
 * error if there is no memory for it.
 */
int mfd_recv_block_clear(struct mfd_recv_block *block, uint64_t offset, struct mfd_error *err);

#endif /* MFD_PRIVATE_RECV_BLOCK_H */

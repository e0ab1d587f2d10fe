/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_ARENA_H
#define MZP_ARENA_H

#include <linux/types.h>

struct bio_vec;
struct page;

/* Enough for a packet: its header, and pages that do not compress. */
#define MZP_ARENA_PAGES 132u

/**
 * struct mzp_arena - pages that packets' own bytes are written to
 * @page: pages with room; the first one is being filled
 * @nr: how many
 * @used: bytes of the first one that were handed out
 */
struct mzp_arena {
	struct page *page[MZP_ARENA_PAGES];
	unsigned int nr;
	unsigned int used;
};

int mzp_arena_reserve(struct mzp_arena *arena, unsigned int pages, gfp_t gfp);
void *mzp_arena_take(struct mzp_arena *arena, unsigned int size, struct bio_vec *buf);
unsigned int mzp_arena_write(struct mzp_arena *arena, const void *data, unsigned int size,
			     struct bio_vec *buf);
void mzp_arena_drop(struct mzp_arena *arena);

#endif /* MZP_ARENA_H */

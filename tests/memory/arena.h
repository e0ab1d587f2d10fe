/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory whose contents can be told right from wrong while others work on it.
 *
 * Half of the pages are stable: written once, and from then on only moved, paged
 * out, merged, split, collapsed or copied around. Whatever is done to them, they
 * must arrive in each round as normal pages with their exact contents, never as
 * zero and never not at all.
 *
 * The other pages are wild. An aggressor takes one, does to it whatever the
 * stress is about, and writes it again with the next odd number as its version.
 * Each word tells its page and its version. What arrives of it was there at some
 * time between SEND and the end of the round: a version from the last one that
 * was complete before SEND to the last one that was begun before the end; or
 * zero, if there was more than one.
 *
 * Pages are copied while they are written to, at the latest by who reads from a
 * channel, and how is nobody's business: it can be byte by byte (as by the `rep
 * movsb` of the kernel's copy_to_user() in an emulated CPU). Where the writer
 * overtook it, the first bytes of a word can be of another version than the rest,
 * or one of both can be still zero, or zero again.
 *
 * Where a compressor is stressed, versions differ in how well they compress, too,
 * and some are zero.
 */
#ifndef ARENA_H
#define ARENA_H

#include "guest.h"

/*
 * Where the memory is: far below all that the kernel finds a place for, so that
 * nobody else's mapping gets into a gap while it is there.
 */
#define PLACES ((uint8_t *)(1ul << 44))

enum { RUNS = 2048 };

struct run {
	uint64_t first, count;
	unsigned int owner;
};

/* A way to name the memory to the module, and what came that way. */
struct view {
	uint32_t id;
	struct rx_block *rx;
	uint64_t stable_job, wild_job;
};

struct arena {
	uint8_t *base;
	uint64_t pages;
	int fd;				/* its file, or -1 */
	uint8_t *want;			/* what stable pages hold */
	uint64_t *stable, *wild;	/* bitmaps */
	struct run run[RUNS];
	unsigned int runs;
	uint32_t *started, *committed, *lo;
	struct view view[2];
	unsigned int views;
};

/* All that there are. */
extern struct arena *arenas[2];
extern unsigned int nr_arenas;

/* Anonymous memory or that of a memfd, as the stress wants it; to become the next of arenas[]. */
struct arena *arena_new(bool file, uint64_t *seed);
void arena_free(struct arena *a);

/* Bit @n of one of the bitmaps: page @n is such a page. */
bool bit(const uint64_t *bits, uint64_t n);
/* Word @i of a page. All that are not zero tell page and version, though not to everybody. */
uint64_t word_of(uint64_t page, uint32_t version, unsigned int i);

/* One of the runs that belong to aggressor @me. */
const struct run *own_run(struct arena *a, uint64_t *seed, unsigned int me);
/* Some stretch, stable or not, often a multiple of huge pages. */
void any_range(struct arena *a, uint64_t *seed, uint8_t **at, uint64_t *length);
/* Before anything is done to wild pages: from now on, they are of their next version. */
void take(struct arena *a, uint64_t first, uint64_t count);
/* Write that version, which is complete then. */
void give_back(struct arena *a, uint64_t first, uint64_t count);
/* Map these pages again where they belong, whatever is there. */
void remap(struct arena *a, uint64_t first, uint64_t count);

/*
 * What arrived of a wild page with a SEND of these flags, with @lo of the arena as
 * it was before SEND. @failed: the job ended with an error, so it need not be there.
 */
void check_wild(struct arena *a, const struct view *v, uint64_t page, uint32_t flags, bool failed);

#endif

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory for what packets have of their own: headers and compressed bytes.
 *
 * What was spliced may sit in a pipe, a socket's queue or a network card long
 * after the reader consumed it, and each of these reads it by reference. So
 * this memory is written once: pages are filled from the front, each buffer
 * holds a reference on its page, and a page that is full is let go and never
 * written again. The last holder frees it.
 *
 * The pages come from the page allocator, since slab memory cannot be
 * referenced like this, and are zeroed, so that what nobody wrote is no secret.
 */
#include <linux/bvec.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "arena.h"

/* Let go of the page that is being filled. */
static void mzp_arena_next(struct mzp_arena *arena)
{
	put_page(arena->page[0]);
	arena->nr--;
	memmove(&arena->page[0], &arena->page[1], arena->nr * sizeof(arena->page[0]));
	arena->used = 0;
}

/**
 * mzp_arena_reserve - see to it that there is memory
 * @arena: the arena
 * @pages: pages that must have not been written to yet, less than
 *	MZP_ARENA_PAGES
 * @gfp: how to allocate
 *
 * Context: as @gfp says; callers with the same @arena exclude each other.
 * Charged to the memory cgroup that is active.
 * Return: 0 or -ENOMEM; then what there is stays.
 */
int mzp_arena_reserve(struct mzp_arena *arena, unsigned int pages, gfp_t gfp)
{
	unsigned int started = arena->used ? 1 : 0;

	while (arena->nr < pages + started) {
		struct page *page = alloc_page(gfp | __GFP_ACCOUNT | __GFP_ZERO | __GFP_NOWARN);

		if (!page)
			return -ENOMEM;
		arena->page[arena->nr++] = page;
	}
	return 0;
}

/**
 * mzp_arena_take - take memory in one piece
 * @arena: the arena; a page was reserved
 * @size: bytes, at most PAGE_SIZE
 * @buf: filled in to describe the memory, with a page reference that is the
 *	caller's
 *
 * Context: any; callers with the same @arena exclude each other.
 * Return: the memory, zeroed, to be written before anyone else sees @buf.
 */
void *mzp_arena_take(struct mzp_arena *arena, unsigned int size, struct bio_vec *buf)
{
	if (arena->used + size > PAGE_SIZE)
		mzp_arena_next(arena);
	get_page(arena->page[0]);
	buf->bv_page = arena->page[0];
	buf->bv_offset = arena->used;
	buf->bv_len = size;
	arena->used += size;
	return page_address(buf->bv_page) + buf->bv_offset;
}

/**
 * mzp_arena_write - copy bytes into as many pieces as it takes
 * @arena: the arena; pages for them were reserved
 * @data: the bytes
 * @size: how many
 * @buf: filled in to describe the pieces, each with a page reference that is
 *	the caller's
 *
 * Context: as mzp_arena_take().
 * Return: the number of pieces.
 */
unsigned int mzp_arena_write(struct mzp_arena *arena, const void *data, unsigned int size,
			     struct bio_vec *buf)
{
	unsigned int n = 0;

	while (size) {
		unsigned int room = arena->used < PAGE_SIZE ? PAGE_SIZE - arena->used : PAGE_SIZE;
		unsigned int part = min(size, room);

		memcpy(mzp_arena_take(arena, part, &buf[n++]), data, part);
		data += part;
		size -= part;
	}
	return n;
}

/**
 * mzp_arena_drop - let go of all pages
 * @arena: the arena
 *
 * Context: any. What was taken before stays valid.
 */
void mzp_arena_drop(struct mzp_arena *arena)
{
	while (arena->nr)
		put_page(arena->page[--arena->nr]);
	arena->used = 0;
}

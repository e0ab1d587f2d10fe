// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Pages that are to be sent, collected until somebody sends them.
 *
 * A page may be handed over once a round, and dirty logs tell of one more than once: KVM's
 * ring once for each time that it was protected again, several logs (the vCPUs', a device's)
 * each for itself. So their pages are marked in a bitmap a block first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dirty.h"
#include "error.h"

/* A part of a block that KVM has a name for. */
struct mfd_slot {
	struct mfd_slot *next;
	uint32_t id;
	uint64_t first_page;
	uint64_t nr_pages;
};

#define BITS 64u

/* As much as mfd_send_bitmap is given at once: 4 GiB, as in round.c. */
#define WINDOW (1u << 20)

static uint64_t words(uint64_t pages)
{
	return (pages + BITS - 1) / BITS;
}

static int collect(struct mfd_block *block, const char *what, struct mfd_error *err)
{
	int ret;

	if (!block)
		return mfd_error_set(err, EINVAL, "%s: there is no block", what);
	ret = mfd_session_expect(block->session, block->session->state, what, err);
	if (ret || block->dirty)
		return ret;
	block->dirty = calloc(words(mfd_block_pages(block)), sizeof(*block->dirty));
	return block->dirty ? 0 : mfd_error_errno(err, ENOMEM, "block %.64s: %s", block->idstr,
						  what);
}

static void mark(struct mfd_block *block, uint64_t word, uint64_t bits)
{
	block->nr_dirty += __builtin_popcountll(bits & ~block->dirty[word]);
	block->dirty[word] |= bits;
}

static bool within(const struct mfd_block *block, uint64_t first_page, uint64_t nr)
{
	uint64_t pages = mfd_block_pages(block);

	return first_page <= pages && nr <= pages - first_page;
}

static int outside(const struct mfd_block *block, struct mfd_error *err)
{
	return mfd_error_set(err, ERANGE, "block %.64s: these pages reach beyond its end",
			     block->idstr);
}

int mfd_dirty_pages(struct mfd_block *block, uint64_t first_page, uint64_t page_count,
		    struct mfd_error *err)
{
	int ret = collect(block, "marking pages", err);
	uint64_t end, part;

	if (ret)
		return ret;
	if (!within(block, first_page, page_count))
		return outside(block, err);
	for (end = first_page + page_count; first_page < end; first_page += part) {
		part = BITS - first_page % BITS;
		if (part > end - first_page)
			part = end - first_page;
		mark(block, first_page / BITS,
		     (part == BITS ? UINT64_MAX : (1ull << part) - 1) << first_page % BITS);
	}
	return 0;
}

/* The word of @bitmap that begins at bit @at, of which @left count. */
static uint64_t word_at(const uint64_t *bitmap, uint64_t at, uint64_t left)
{
	uint64_t word = bitmap[at / BITS];

	return left < BITS ? word & ((1ull << left) - 1) : word;
}

int mfd_dirty_bitmap(struct mfd_block *block, uint64_t first_page, uint64_t page_count,
		     const uint64_t *bitmap, struct mfd_error *err)
{
	unsigned int shift = first_page % BITS;
	int ret = collect(block, "marking pages", err);
	uint64_t at, bits, word;

	if (ret)
		return ret;
	if (!within(block, first_page, page_count))
		return outside(block, err);
	if (page_count && !bitmap)
		return mfd_error_set(err, EINVAL, "marking pages: there is no bitmap");
	for (at = 0; at < page_count; at += BITS) {
		bits = word_at(bitmap, at, page_count - at);
		word = (first_page + at) / BITS;
		if (!bits)
			continue;
		mark(block, word, bits << shift);
		if (shift && bits >> (BITS - shift))
			mark(block, word + 1, bits >> (BITS - shift));
	}
	return 0;
}

int mfd_block_slot(struct mfd_block *block, uint32_t slot, uint64_t first_page,
		   uint64_t page_count, struct mfd_error *err)
{
	int ret = collect(block, "naming a slot", err);
	struct mfd_slot *new;

	if (ret)
		return ret;
	if (!page_count || !within(block, first_page, page_count))
		return outside(block, err);
	new = malloc(sizeof(*new));
	if (!new)
		return mfd_error_errno(err, ENOMEM, "naming a slot");
	*new = (struct mfd_slot) {
		.next = block->slots,
		.id = slot,
		.first_page = first_page,
		.nr_pages = page_count,
	};
	block->slots = new;
	return 0;
}

static struct mfd_slot *find_slot(struct mfd_session *session, uint32_t id,
				  struct mfd_block **block)
{
	struct mfd_slot *slot;

	for (*block = session->blocks; *block; *block = (*block)->next)
		for (slot = (*block)->slots; slot; slot = slot->next)
			if (slot->id == id)
				return slot;
	return NULL;
}

int mfd_dirty_ring(struct mfd_session *session, const struct mfd_gfn *gfns, uint32_t nr_gfns,
		   struct mfd_error *err)
{
	struct mfd_slot *slot = NULL;
	struct mfd_block *block = NULL;
	uint64_t page;
	uint32_t i;
	int ret = mfd_session_expect(session, session ? session->state : MFD_OPEN,
				     "marking pages", err);

	if (ret)
		return ret;
	for (i = 0; i < nr_gfns; i++) {
		/* they come in runs */
		if (!slot || slot->id != gfns[i].slot)
			slot = find_slot(session, gfns[i].slot, &block);
		if (!slot)
			return mfd_error_set(err, ENOENT, "no block has the slot 0x%x",
					     gfns[i].slot);
		if (gfns[i].offset >= slot->nr_pages)
			return outside(block, err);
		page = slot->first_page + gfns[i].offset;
		mark(block, page / BITS, 1ull << page % BITS);
	}
	return 0;
}

uint64_t mfd_dirty_count(struct mfd_session *session)
{
	const struct mfd_block *block;
	uint64_t count = 0;

	if (!session)
		return 0;
	for (block = session->blocks; block; block = block->next)
		count += block->nr_dirty;
	return count;
}

/* What is cleared is what was handed over. */
static int send_window(struct mfd_block *block, uint64_t first, uint64_t count,
		       unsigned int flags, struct mfd_error *err)
{
	uint64_t *bitmap = block->dirty + first / BITS;
	uint64_t i, nr = 0;
	int ret;

	for (i = 0; i < words(count); i++)
		nr += __builtin_popcountll(bitmap[i]);
	if (!nr)
		return 0;
	ret = mfd_send_bitmap(block, first, count, bitmap, flags, err);
	if (ret)
		return ret;
	memset(bitmap, 0, words(count) * sizeof(*bitmap));
	block->nr_dirty -= nr;
	return 0;
}

int mfd_send_dirty(struct mfd_session *session, unsigned int flags, struct mfd_error *err)
{
	int ret = mfd_session_expect(session, MFD_CONNECTED, "sending pages", err);
	struct mfd_block *block;
	uint64_t first, pages;

	if (ret)
		return ret;
	for (block = session->blocks; block; block = block->next) {
		pages = mfd_block_pages(block);
		for (first = 0; !ret && block->nr_dirty && first < pages; first += WINDOW)
			ret = send_window(block, first,
					  pages - first < WINDOW ? pages - first : WINDOW,
					  flags, err);
		if (ret)
			return ret;
	}
	return 0;
}

void mfd_dirty_free(struct mfd_block *block)
{
	struct mfd_slot *slot;

	free(block->dirty);
	while ((slot = block->slots)) {
		block->slots = slot->next;
		free(slot);
	}
}

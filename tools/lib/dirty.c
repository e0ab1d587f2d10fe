// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Pages that are to be sent, collected until somebody sends them.
 *
 * A page may be handed over once a round, and dirty logs tell of one more than once: KVM's
 * ring once for each time that it was protected again, several logs (the vCPUs', a device's)
 * each for itself. So their pages are marked in a bitmap a block first.
 *
 * A vCPU whose ring is full cannot go on before somebody has emptied it, whatever the thread
 * that migrates is waiting for. So any thread may mark pages. What is sent is taken out of
 * the bitmaps first, under the lock, and what is marked meanwhile is the next round's.
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

/* Begin to mark pages: if this succeeds, it holds the lock. */
static int collect(struct mfd_block *block, const char *what, struct mfd_error *err)
{
	int ret;

	if (!block)
		return mfd_error_set(err, EINVAL, "%s: there is no block", what);
	ret = mfd_session_expect(block->session, block->session->state, what, err);
	if (ret)
		return ret;
	pthread_mutex_lock(&block->session->dirty_lock);
	if (!block->dirty)
		block->dirty = calloc(words(mfd_block_pages(block)), sizeof(*block->dirty));
	if (block->dirty)
		return 0;
	pthread_mutex_unlock(&block->session->dirty_lock);
	return mfd_error_errno(err, ENOMEM, "block %.64s: %s", block->idstr, what);
}

/* End it. */
static int collected(struct mfd_session *session, int ret)
{
	pthread_mutex_unlock(&session->dirty_lock);
	return ret;
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

static void mark_pages(struct mfd_block *block, uint64_t first_page, uint64_t page_count)
{
	uint64_t end, part;

	for (end = first_page + page_count; first_page < end; first_page += part) {
		part = BITS - first_page % BITS;
		if (part > end - first_page)
			part = end - first_page;
		mark(block, first_page / BITS,
		     (part == BITS ? UINT64_MAX : (1ull << part) - 1) << first_page % BITS);
	}
}

int mfd_dirty_pages(struct mfd_block *block, uint64_t first_page, uint64_t page_count,
		    struct mfd_error *err)
{
	int ret = collect(block, "marking pages", err);

	if (ret)
		return ret;
	if (within(block, first_page, page_count))
		mark_pages(block, first_page, page_count);
	else
		ret = outside(block, err);
	return collected(block->session, ret);
}

/* The word of @bitmap that begins at bit @at, of which @left count. */
static uint64_t word_at(const uint64_t *bitmap, uint64_t at, uint64_t left)
{
	uint64_t word = bitmap[at / BITS];

	return left < BITS ? word & ((1ull << left) - 1) : word;
}

static void mark_bitmap(struct mfd_block *block, uint64_t first_page, uint64_t page_count,
			const uint64_t *bitmap)
{
	unsigned int shift = first_page % BITS;
	uint64_t at, bits, word;

	for (at = 0; at < page_count; at += BITS) {
		bits = word_at(bitmap, at, page_count - at);
		word = (first_page + at) / BITS;
		if (!bits)
			continue;
		mark(block, word, bits << shift);
		if (shift && bits >> (BITS - shift))
			mark(block, word + 1, bits >> (BITS - shift));
	}
}

int mfd_dirty_bitmap(struct mfd_block *block, uint64_t first_page, uint64_t page_count,
		     const uint64_t *bitmap, struct mfd_error *err)
{
	int ret = collect(block, "marking pages", err);

	if (ret)
		return ret;
	if (!within(block, first_page, page_count))
		ret = outside(block, err);
	else if (page_count && !bitmap)
		ret = mfd_error_set(err, EINVAL, "marking pages: there is no bitmap");
	else
		mark_bitmap(block, first_page, page_count, bitmap);
	return collected(block->session, ret);
}

static int add_slot(struct mfd_block *block, uint32_t slot, uint64_t first_page,
		    uint64_t page_count, struct mfd_error *err)
{
	struct mfd_slot *new;

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

int mfd_block_slot(struct mfd_block *block, uint32_t slot, uint64_t first_page,
		   uint64_t page_count, struct mfd_error *err)
{
	int ret = collect(block, "naming a slot", err);

	if (ret)
		return ret;
	return collected(block->session, add_slot(block, slot, first_page, page_count, err));
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

static int mark_gfns(struct mfd_session *session, const struct mfd_gfn *gfns, uint32_t nr_gfns,
		     struct mfd_error *err)
{
	struct mfd_slot *slot = NULL;
	struct mfd_block *block = NULL;
	uint64_t page;
	uint32_t i;

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

int mfd_dirty_ring(struct mfd_session *session, const struct mfd_gfn *gfns, uint32_t nr_gfns,
		   struct mfd_error *err)
{
	int ret = mfd_session_expect(session, session ? session->state : MFD_OPEN,
				     "marking pages", err);

	if (ret)
		return ret;
	pthread_mutex_lock(&session->dirty_lock);
	return collected(session, mark_gfns(session, gfns, nr_gfns, err));
}

uint64_t mfd_dirty_count(struct mfd_session *session)
{
	const struct mfd_block *block;
	uint64_t count = 0;

	if (!session)
		return 0;
	pthread_mutex_lock(&session->dirty_lock);
	for (block = session->blocks; block; block = block->next)
		count += block->nr_dirty;
	pthread_mutex_unlock(&session->dirty_lock);
	return count;
}

/* Move the marks of a window of the block to @bitmap. Return: how many there are. */
static uint64_t take_window(struct mfd_block *block, uint64_t first, uint64_t count,
			    uint64_t *bitmap)
{
	uint64_t *dirty, i, nr = 0;

	pthread_mutex_lock(&block->session->dirty_lock);
	if (block->nr_dirty) {
		dirty = block->dirty + first / BITS;
		for (i = 0; i < words(count); i++) {
			nr += __builtin_popcountll(dirty[i]);
			bitmap[i] = dirty[i];
			dirty[i] = 0;
		}
		block->nr_dirty -= nr;
	}
	pthread_mutex_unlock(&block->session->dirty_lock);
	return nr;
}

/* What could not be handed over stays marked. */
static int send_window(struct mfd_block *block, uint64_t first, uint64_t count,
		       uint64_t *bitmap, unsigned int flags, struct mfd_error *err)
{
	int ret;

	if (!take_window(block, first, count, bitmap))
		return 0;
	ret = mfd_send_bitmap(block, first, count, bitmap, flags, err);
	if (!ret)
		return 0;
	pthread_mutex_lock(&block->session->dirty_lock);
	mark_bitmap(block, first, count, bitmap);
	return collected(block->session, ret);
}

static int send_block(struct mfd_block *block, uint64_t *bitmap, unsigned int flags,
		      struct mfd_error *err)
{
	uint64_t pages = mfd_block_pages(block), first;
	int ret = 0;

	for (first = 0; !ret && first < pages; first += WINDOW)
		ret = send_window(block, first, pages - first < WINDOW ? pages - first : WINDOW,
				  bitmap, flags, err);
	return ret;
}

int mfd_send_dirty(struct mfd_session *session, unsigned int flags, struct mfd_error *err)
{
	int ret = mfd_session_expect(session, MFD_CONNECTED, "sending pages", err);
	struct mfd_block *block;
	uint64_t *bitmap;

	if (ret)
		return ret;
	bitmap = malloc(words(WINDOW) * sizeof(*bitmap));
	if (!bitmap)
		return mfd_error_errno(err, ENOMEM, "sending pages");
	for (block = session->blocks; !ret && block; block = block->next)
		ret = send_block(block, bitmap, flags, err);
	free(bitmap);
	return ret;
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

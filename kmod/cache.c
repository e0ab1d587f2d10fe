// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a file holds, as its page cache says it.
 *
 * For shmem (memfd, tmpfs, System V and shared anonymous memory) and hugetlbfs
 * the page cache is the file: what has neither a page nor a swap entry there is
 * a hole, and a hole is zero. Reading a hole the ordinary way would allocate
 * it, whether by a fault or by read(2); looking it up does not. For files on a
 * disk the cache is only a cache: what it has can be taken from it without
 * mapping it, and what it lacks says nothing.
 *
 * A page may be in the cache that does not have its contents yet:
 *
 *  - memory that was fallocated and never written stays so. Its bytes are
 *    whatever was there before, so nobody may see them; logically it is zero.
 *  - a page that write(2) or a fault is just filling, or that khugepaged is
 *    just copying smaller pages into. These are locked until their contents are
 *    there, or until they are taken out of the cache again.
 *
 * Hence: a page that was not locked, is not up to date afterwards, and still is
 * in the file after that, is of the first kind, and zero. What is locked, or
 * has left the file, is to be looked at again later.
 *
 * All lookups take their references as the page cache does, against truncation,
 * hole punching, reclaim, migration and splitting: a page that was found keeps
 * its contents as long as we hold it, whatever becomes of the file.
 */
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/magic.h>
#include <linux/pagemap.h>
#include <linux/shmem_fs.h>

#include "cache.h"
#include "compat.h"
#include "grab.h"
#include "residency.h"

static bool mzp_is_hugetlb(const struct address_space *mapping)
{
	return mapping->host->i_sb->s_magic == HUGETLBFS_MAGIC;
}

/**
 * mzp_cache_knows_holes - whether what is not in the page cache is zero
 * @mapping: of a file
 *
 * Context: any.
 * Return: true for shmem and hugetlbfs.
 */
bool mzp_cache_knows_holes(struct address_space *mapping)
{
	return shmem_mapping(mapping) || mzp_is_hugetlb(mapping);
}

/**
 * mzp_cache_usable - whether pages may be taken from the page cache directly
 * @mapping: of a file that the owner of the memory has mapped readable
 *
 * Not from pseudo file systems that we do not know: pages of some of them
 * (memfd_secret, guest_memfd) are not for the kernel to read.
 *
 * Context: any.
 * Return: true for shmem, hugetlbfs and regular files on a disk.
 */
bool mzp_cache_usable(struct address_space *mapping)
{
	const struct inode *inode = mapping->host;

	if (mzp_cache_knows_holes(mapping))
		return true;
	return S_ISREG(inode->i_mode) && !IS_DAX(inode) &&
	       inode->i_sb->s_type->fs_flags & FS_REQUIRES_DEV;
}

/* Pages that one index of the mapping stands for, as a power of two. */
static unsigned int mzp_cache_shift(const struct address_space *mapping)
{
	if (!MZP_HUGETLB_INDEX_IS_HUGE || !mzp_is_hugetlb(mapping))
		return 0;
	return huge_page_order(hstate_inode(mapping->host));
}

static pgoff_t mzp_cache_end(const struct address_space *mapping)
{
	return DIV_ROUND_UP_ULL(i_size_read(mapping->host), PAGE_SIZE);
}

/* What a folio says that was found in the cache. MZP_TAKEN: it has its contents. */
static enum mzp_resident mzp_folio_means(const struct address_space *mapping,
					 struct folio *folio, bool knows_holes)
{
	bool locked = folio_test_locked(folio);

	/* Pairs with folio_unlock(), before which the contents became valid. */
	smp_rmb();
	if (folio_test_uptodate(folio))
		return MZP_TAKEN;
	/*
	 * On a disk, the folio may have some of its contents, or its reading
	 * has failed.
	 */
	if (!knows_holes)
		return MZP_HELD;
	/* Pairs with the unlocking of a folio that was taken out again. */
	smp_rmb();
	return locked || READ_ONCE(folio->mapping) != mapping ? MZP_HELD : MZP_ABSENT;
}

/*
 * Decide on what is asked for of a folio that starts at page @first of the file. The
 * caller's reference is used up.
 */
static void mzp_cache_take(const struct address_space *mapping, struct folio *folio,
			   pgoff_t first, pgoff_t index, unsigned int nr,
			   struct mzp_residency *res, unsigned int at, bool knows_holes)
{
	pgoff_t start = max(first, index);
	pgoff_t end = min(first + folio_nr_pages(folio), index + nr);
	enum mzp_resident means = mzp_folio_means(mapping, folio, knows_holes);
	unsigned int taken = 0;

	if (!mzp_folio_countable(folio))
		means = MZP_HELD;
	for (; start < end; start++) {
		struct page *page = folio_page(folio, start - first);
		unsigned int i = at + (start - index);

		/*
		 * While khugepaged puts a huge page in the place of small ones,
		 * it can be found at more than one index.
		 */
		if (res->state[i] != MZP_UNKNOWN)
			continue;
		/* Broken memory is left to be reported by who tries to read it. */
		res->state[i] = mzp_page_poisoned(page) ? MZP_HELD : means;
		if (res->state[i] == MZP_TAKEN) {
			res->page[i] = page;
			taken++;
		}
	}
	/* One for each page; the caller's is that of one of them. */
	if (taken)
		folio_ref_add(folio, taken - 1);
	else
		folio_put(folio);
}

/*
 * The same of a folio that is one page, the one at @at of @res. It was found in the file at
 * that place when we had our reference, which keeps a larger one from being split.
 */
static void mzp_cache_take_one(const struct address_space *mapping, struct folio *folio,
			       struct mzp_residency *res, unsigned int at, bool knows_holes)
{
	if (res->state[at] == MZP_UNKNOWN) {
		res->state[at] = mzp_folio_means(mapping, folio, knows_holes);
		if (!mzp_folio_countable(folio) || mzp_page_poisoned(folio_page(folio, 0)))
			res->state[at] = MZP_HELD;
		if (res->state[at] == MZP_TAKEN) {
			res->page[at] = folio_page(folio, 0);
			return;
		}
	}
	folio_put(folio);
}

/* A reference on what @xas has found; NULL: it is on its way out, and to be looked up again. */
static struct folio *mzp_cache_get(struct xa_state *xas, struct folio *folio)
{
	if (folio_try_get(folio)) {
		if (folio == xas_reload(xas))
			return folio;
		folio_put(folio);
	}
	xas_reset(xas);
	return NULL;
}

static void mzp_cache_take_all(struct address_space *mapping, pgoff_t index, unsigned int nr,
			       struct mzp_residency *res, unsigned int at, bool knows_holes)
{
	unsigned int shift = mzp_cache_shift(mapping);
	XA_STATE(xas, &mapping->i_pages, index >> shift);
	pgoff_t last = (index + nr - 1) >> shift;
	struct folio *folio;

	rcu_read_lock();
	xas_for_each(&xas, folio, last) {
		/* a node that has moved, or what is in swap */
		if (xas_retry(&xas, folio) || xa_is_value(folio))
			continue;
		folio = mzp_cache_get(&xas, folio);
		if (folio && !folio_test_large(folio))
			mzp_cache_take_one(mapping, folio, res, at + (xas.xa_index - index),
					   knows_holes);
		else if (folio)
			mzp_cache_take(mapping, folio, folio->index << shift, index, nr, res, at,
				       knows_holes);
	}
	rcu_read_unlock();
}

/* The next index from @index on that has a page or a swap entry, or @end. */
static pgoff_t mzp_cache_find(struct address_space *mapping, pgoff_t index, pgoff_t end)
{
	unsigned int shift = mzp_cache_shift(mapping);
	unsigned long at = index >> shift;

	if (index >= end || !xa_find(&mapping->i_pages, &at, (end - 1) >> shift, XA_PRESENT))
		return end;
	return clamp_t(pgoff_t, at << shift, index, end);
}

/*
 * Decide on what had no page, if anything had none. It is a hole if it still has neither a
 * page nor a swap entry; a page that has come since is to be looked at again.
 */
static void mzp_cache_holes(struct address_space *mapping, pgoff_t index, unsigned int nr,
			    struct mzp_residency *res, unsigned int at)
{
	unsigned int i, hole;

	for (i = 0; i < nr; i += hole + 1) {
		hole = 0;
		if (res->state[at + i] != MZP_UNKNOWN)
			continue;
		hole = mzp_cache_find(mapping, index + i, index + nr) - (index + i);
		mzp_residency_fill(res, at + i, hole, MZP_ABSENT);
		if (i + hole < nr)
			mzp_residency_fill(res, at + i + hole, 1, MZP_HELD);
	}
}

/**
 * mzp_cache_look - find out what a file holds
 * @mapping: of the file, mzp_cache_usable()
 * @index: first page in the file
 * @nr: pages
 * @res: pages @at to @at + @nr - 1 of it are decided on, as far as they are
 *	MZP_UNKNOWN and the cache knows
 * @at: see @res
 *
 * Nothing is read, faulted in or allocated. Pages behind the end of the file
 * have to be read, which fails.
 *
 * Context: does not sleep.
 */
void mzp_cache_look(struct address_space *mapping, pgoff_t index, unsigned int nr,
		    struct mzp_residency *res, unsigned int at)
{
	bool knows_holes = mzp_cache_knows_holes(mapping);
	pgoff_t eof = mzp_cache_end(mapping);
	unsigned int inside = min_t(pgoff_t, nr, eof > index ? eof - index : 0);

	mzp_residency_fill(res, at + inside, nr - inside, MZP_HELD);
	if (!inside)
		return;
	mzp_cache_take_all(mapping, index, inside, res, at, knows_holes);
	if (knows_holes)
		mzp_cache_holes(mapping, index, inside, res, at);
}

/**
 * mzp_cache_next - find the next page of a file that may hold data
 * @mapping: of the file, mzp_cache_knows_holes()
 * @index: where to start
 * @end: where to stop
 *
 * Context: does not sleep.
 * Return: a page from @index to @end; all before it are holes.
 */
pgoff_t mzp_cache_next(struct address_space *mapping, pgoff_t index, pgoff_t end)
{
	pgoff_t stop = min(end, mzp_cache_end(mapping));

	return index < stop ? mzp_cache_find(mapping, index, stop) : index;
}

/* Wait for a folio that is just being filled. Return: 0 or a negative errno. */
static int mzp_cache_wait(struct address_space *mapping, pgoff_t index)
{
	unsigned int shift = mzp_cache_shift(mapping);
	pgoff_t start = index >> shift;
	struct folio_batch folios;
	struct folio *folio;
	int err;

	folio_batch_init(&folios);
	if (!filemap_get_folios(mapping, &start, start, &folios))
		return 0;
	folio = folios.folios[0];
	if (mzp_page_poisoned(folio_page(folio, index - (folio->index << shift))))
		err = -EHWPOISON;
	else
		err = folio_wait_locked_killable(folio);
	folio_batch_release(&folios);
	return err;
}

/**
 * mzp_cache_fetch - wait for a page that holds data but could not be taken
 * @mapping: of the file, mzp_cache_knows_holes()
 * @index: the page
 *
 * Reads it from swap if that is where it is.
 *
 * Context: sleeps, also for I/O.
 * Return: 0: it is worth another look; -EFAULT: it is behind the end of the
 * file; -EHWPOISON: its memory is broken; or another errno of reading it.
 */
int mzp_cache_fetch(struct address_space *mapping, pgoff_t index)
{
	struct page *page;

	if (index >= mzp_cache_end(mapping))
		return -EFAULT;
	if (!shmem_mapping(mapping) || !xa_is_value(xa_load(&mapping->i_pages, index)))
		return mzp_cache_wait(mapping, index);
	page = shmem_read_mapping_page_gfp(mapping, index, mapping_gfp_mask(mapping));
	if (!IS_ERR(page))
		put_page(page);
	/*
	 * -EINVAL: the file was truncated meanwhile; the next look will see it.
	 * -ENOMEM: there may be memory in a moment.
	 */
	return PTR_ERR_OR_ZERO(page) == -EINVAL || PTR_ERR_OR_ZERO(page) == -ENOMEM ?
		0 : PTR_ERR_OR_ZERO(page);
}

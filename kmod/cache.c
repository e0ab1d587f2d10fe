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
#include <linux/bitmap.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/magic.h>
#include <linux/pagemap.h>
#include <linux/pagevec.h>
#include <linux/shmem_fs.h>

#include "cache.h"
#include "compat.h"
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

enum mzp_contents {
	MZP_CONTENTS_THERE,
	MZP_CONTENTS_NEVER,
	MZP_CONTENTS_LATER,
};

static enum mzp_contents mzp_folio_contents(const struct address_space *mapping,
					    struct folio *folio)
{
	bool locked = folio_test_locked(folio);

	/* Pairs with folio_unlock(), before which the contents became valid. */
	smp_rmb();
	if (folio_test_uptodate(folio))
		return MZP_CONTENTS_THERE;
	/* Pairs with the unlocking of a folio that was taken out again. */
	smp_rmb();
	if (locked || READ_ONCE(folio->mapping) != mapping)
		return MZP_CONTENTS_LATER;
	return MZP_CONTENTS_NEVER;
}

/*
 * Take over what is asked for of a folio that starts at page @first of the
 * file. What is decided thereby is set in @known.
 */
static void mzp_cache_take(const struct address_space *mapping, struct folio *folio,
			   pgoff_t first, pgoff_t index, unsigned int nr,
			   struct mzp_residency *res, unsigned int at, unsigned long *known)
{
	pgoff_t start = max(first, index);
	pgoff_t end = min(first + folio_nr_pages(folio), index + nr);
	enum mzp_contents contents = mzp_folio_contents(mapping, folio);

	for (; start < end; start++) {
		struct page *page = folio_page(folio, start - first);
		unsigned int i = start - index;

		__set_bit(i, known);
		/*
		 * While khugepaged puts a huge page in the place of small ones,
		 * it can be found at more than one index.
		 */
		if (contents == MZP_CONTENTS_NEVER || res->page[at + i])
			continue;
		__set_bit(at + i, res->held);
		/* Broken memory is left to be reported by who tries to read it. */
		if (contents == MZP_CONTENTS_LATER || PageHWPoison(page) ||
		    folio_test_hwpoison(folio))
			continue;
		folio_get(folio);
		res->page[at + i] = page;
	}
}

static void mzp_cache_take_all(struct address_space *mapping, pgoff_t index, unsigned int nr,
			       struct mzp_residency *res, unsigned int at, unsigned long *known)
{
	unsigned int shift = mzp_cache_shift(mapping);
	pgoff_t start = index >> shift, last = (index + nr - 1) >> shift;
	struct folio_batch folios;
	unsigned int i;

	folio_batch_init(&folios);
	while (start <= last && filemap_get_folios(mapping, &start, last, &folios)) {
		for (i = 0; i < folio_batch_count(&folios); i++) {
			struct folio *folio = folios.folios[i];

			mzp_cache_take(mapping, folio, folio->index << shift, index, nr, res, at,
				       known);
		}
		folio_batch_release(&folios);
	}
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

/**
 * mzp_cache_look - find out what a file holds
 * @mapping: of the file, mzp_cache_usable()
 * @index: first page in the file
 * @nr: pages
 * @res: pages @at to @at + @nr - 1 are filled in: the ones that have to be read
 *	are set in its bitmap, and those of which the cache has the contents are
 *	referenced
 * @at: see @res
 *
 * Nothing is read, faulted in or allocated. Pages behind the end of the file
 * have to be read, which fails.
 *
 * Context: does not sleep for long.
 */
void mzp_cache_look(struct address_space *mapping, pgoff_t index, unsigned int nr,
		    struct mzp_residency *res, unsigned int at)
{
	bool knows_holes = mzp_cache_knows_holes(mapping);
	pgoff_t end = min(index + nr, mzp_cache_end(mapping));
	DECLARE_BITMAP(known, MZP_WIRE_PAGES) = { };
	unsigned int i = 0;

	mzp_cache_take_all(mapping, index, nr, res, at, known);
	/*
	 * Now what had no page. It is a hole if it still has neither a page nor
	 * a swap entry; a page that has come since is to be looked at again.
	 */
	while ((i = find_next_zero_bit(known, nr, i)) < nr) {
		if (knows_holes && index + i < end) {
			i = mzp_cache_find(mapping, index + i, end) - index;
			if (index + i >= end || test_bit(i, known))
				continue;
		}
		__set_bit(at + i, res->held);
		i++;
	}
}

/**
 * mzp_cache_next - find the next page of a file that may hold data
 * @mapping: of the file, mzp_cache_knows_holes()
 * @index: where to start
 * @end: where to stop
 *
 * Context: does not sleep for long.
 * Return: a page from @index to @end; all before it are holes.
 */
pgoff_t mzp_cache_next(struct address_space *mapping, pgoff_t index, pgoff_t end)
{
	pgoff_t stop = min(end, mzp_cache_end(mapping));

	return index < stop ? mzp_cache_find(mapping, index, stop) : index;
}

/* Whether the page's memory is broken. */
static bool mzp_cache_poisoned(struct address_space *mapping, pgoff_t index)
{
	unsigned int shift = mzp_cache_shift(mapping);
	pgoff_t start = index >> shift;
	struct folio_batch folios;
	bool poisoned = false;

	folio_batch_init(&folios);
	if (filemap_get_folios(mapping, &start, start, &folios)) {
		struct folio *folio = folios.folios[0];
		struct page *page = folio_page(folio, index - (folio->index << shift));

		poisoned = PageHWPoison(page) || folio_test_hwpoison(folio);
		folio_batch_release(&folios);
	}
	return poisoned;
}

/**
 * mzp_cache_fetch - wait for a page that holds data but could not be taken
 * @mapping: of the file, mzp_cache_knows_holes()
 * @index: the page
 *
 * Reads it from swap if that is where it is. A hole is left alone.
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
	if (mzp_cache_poisoned(mapping, index))
		return -EHWPOISON;
	if (!shmem_mapping(mapping) || !xa_is_value(xa_load(&mapping->i_pages, index)))
		return 0;
	page = shmem_read_mapping_page_gfp(mapping, index, mapping_gfp_mask(mapping));
	if (IS_ERR(page))
		return PTR_ERR(page);
	put_page(page);
	return 0;
}

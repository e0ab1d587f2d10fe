/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that this module builds for. Kbuild looks into their
 * headers, and defines MZP_HAS_... for what it found: distributions give older versions
 * what newer ones have. The only file with kernel-version conditionals, of which there
 * is one, for something that no header shows.
 */
#ifndef MZP_COMPAT_H
#define MZP_COMPAT_H

#include <linux/mm.h>
#include <linux/userfaultfd_k.h>
#include <linux/version.h>
#include <net/genetlink.h>

/* A header of its own since 7.1, of another name before. */
#ifdef MZP_HAS_FOLIO_BATCH_H
#include <linux/folio_batch.h>
#else
#include <linux/pagevec.h>
#endif

/* Since 6.19; it also gave a name to the marker for a hole that userfaultfd protects. */
#ifdef MZP_HAS_LEAFOPS_H
#include <linux/leafops.h>
#define mzp_pte_is_uffd_marker(pte) pte_is_uffd_wp_marker(pte)
#else
#define mzp_pte_is_uffd_marker(pte) pte_marker_uffd_wp(pte)
#endif

/*
 * Offsets on the wire, dirty bitmaps and counters assume these. Each could be
 * lifted, none is worth untested code.
 */
#if !defined(CONFIG_64BIT) || !defined(__LITTLE_ENDIAN)
#error "multifd_zp needs a 64-bit little-endian kernel"
#endif
#if PAGE_SHIFT != 12
#error "multifd_zp needs a kernel with pages of 4 KiB: on the wire, one is a page"
#endif

/* The array of VMAs that callers once could ask for went away in 6.5. */
#ifdef MZP_HAS_GUP_VMAS
#define mzp_get_user_pages_remote(mm, start, nr, flags, pages) \
	get_user_pages_remote(mm, start, nr, flags, pages, NULL, NULL)
#else
#define mzp_get_user_pages_remote(mm, start, nr, flags, pages) \
	get_user_pages_remote(mm, start, nr, flags, pages, NULL)
#endif

/*
 * What it takes for GUP to take a page that NUMA balancing has marked without the
 * fault that this is for. Until 6.6 that was something like force, which does no more
 * than that where the VMA has been seen to be readable.
 */
#ifdef MZP_HAS_HONOR_NUMA_FAULT
#define MZP_FOLL_HINTED 0
#else
#define MZP_FOLL_HINTED FOLL_FORCE
#endif

/* Until 6.5 pages went to sockets by an operation of their own. */
#ifdef MZP_HAS_SENDPAGE
#define MZP_SENDPAGE 1
#else
#define MZP_SENDPAGE 0
#endif

/* Since 6.8 a file can have an inode of its own, which security modules label. */
#ifdef MZP_HAS_FILE_WITH_INODE
#define mzp_anon_file(name, fops, priv, flags) \
	anon_inode_create_getfile(name, fops, priv, flags, NULL)
#else
#define mzp_anon_file(name, fops, priv, flags) anon_inode_getfile(name, fops, priv, flags)
#endif

/* An index of hugetlbfs's page cache stood for a huge page until 6.7. */
#ifdef MZP_HAS_HUGETLB_INDEX_OF_PAGES
#define MZP_HUGETLB_INDEX_IS_HUGE 0
#else
#define MZP_HUGETLB_INDEX_IS_HUGE 1
#endif

/*
 * From 6.18 on the huge zero page is mapped as special, and GUP does not give a
 * reference on it. Before, it does, and the page is found zero by reading it.
 */
#ifdef MZP_HAS_SPECIAL_HUGE_ZERO
#define mzp_pmd_is_zero(pmd) pmd_special(pmd)
#else
#define mzp_pmd_is_zero(pmd) false
#endif

/* vmalloc() that fails frees what it got from a work item since 6.19; no header says so. */
#define MZP_VMALLOC_FAILS_LATE (KERNEL_VERSION(6, 19, 0) <= LINUX_VERSION_CODE)

/* The attributes of a dump's request went into a struct genl_info in 6.6. */
#ifdef MZP_HAS_GENL_INFO_OF_DUMP
#define mzp_genl_dump_attrs(cb) (genl_dumpit_info(cb)->info.attrs)
#else
#define mzp_genl_dump_attrs(cb) (genl_dumpit_info(cb)->attrs)
#endif

#endif /* MZP_COMPAT_H */

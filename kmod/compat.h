/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that this module builds for. The only file
 * with kernel-version conditionals.
 */
#ifndef MZP_COMPAT_H
#define MZP_COMPAT_H

#include <linux/mm.h>
#include <linux/userfaultfd_k.h>
#include <linux/version.h>
#include <net/genetlink.h>

/* A header of its own since 7.1, of another name before. */
#if KERNEL_VERSION(7, 1, 0) > LINUX_VERSION_CODE
#include <linux/pagevec.h>
#else
#include <linux/folio_batch.h>
#endif

#if KERNEL_VERSION(6, 19, 0) <= LINUX_VERSION_CODE
#include <linux/leafops.h>
#endif

/*
 * Offsets on the wire, dirty bitmaps and counters assume these. Each could be
 * lifted, none is worth untested code.
 */
#if !defined(CONFIG_64BIT) || !defined(__LITTLE_ENDIAN)
#error "multifd_zp needs a 64-bit little-endian kernel"
#endif

/* The array of VMAs that callers once could ask for went away in 6.5. */
#if KERNEL_VERSION(6, 5, 0) > LINUX_VERSION_CODE
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
#if KERNEL_VERSION(6, 6, 0) > LINUX_VERSION_CODE
#define MZP_FOLL_HINTED FOLL_FORCE
#else
#define MZP_FOLL_HINTED 0
#endif

/* Until 6.5 pages went to sockets by an operation of their own. */
#define MZP_SENDPAGE (KERNEL_VERSION(6, 5, 0) > LINUX_VERSION_CODE)

/* Since 6.8 a file can have an inode of its own, which security modules label. */
#if KERNEL_VERSION(6, 8, 0) > LINUX_VERSION_CODE
#define mzp_anon_file(name, fops, priv, flags) anon_inode_getfile(name, fops, priv, flags)
#else
#define mzp_anon_file(name, fops, priv, flags) \
	anon_inode_create_getfile(name, fops, priv, flags, NULL)
#endif

/* An index of hugetlbfs's page cache stood for a huge page until 6.7. */
#define MZP_HUGETLB_INDEX_IS_HUGE (KERNEL_VERSION(6, 7, 0) > LINUX_VERSION_CODE)

/*
 * From 6.18 on the huge zero page is mapped as special, and GUP does not give a
 * reference on it. Before, it does, and the page is found zero by reading it.
 */
#if KERNEL_VERSION(6, 18, 0) > LINUX_VERSION_CODE
#define mzp_pmd_is_zero(pmd) false
#else
#define mzp_pmd_is_zero(pmd) pmd_special(pmd)
#endif

/* The marker for a hole that userfaultfd protects got its name from leafops.h in 6.19. */
#if KERNEL_VERSION(6, 19, 0) > LINUX_VERSION_CODE
#define mzp_pte_is_uffd_marker(pte) pte_marker_uffd_wp(pte)
#else
#define mzp_pte_is_uffd_marker(pte) pte_is_uffd_wp_marker(pte)
#endif

/* vmalloc() that fails frees what it got from a work item since 6.19. */
#define MZP_VMALLOC_FAILS_LATE (KERNEL_VERSION(6, 19, 0) <= LINUX_VERSION_CODE)

/* The attributes of a dump's request went into a struct genl_info in 6.6. */
#if KERNEL_VERSION(6, 6, 0) > LINUX_VERSION_CODE
#define mzp_genl_dump_attrs(cb) (genl_dumpit_info(cb)->attrs)
#else
#define mzp_genl_dump_attrs(cb) (genl_dumpit_info(cb)->info.attrs)
#endif

#endif /* MZP_COMPAT_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guests on some kinds of memory, and what may have happened to their memory
 * before it is sent, as far as several of the programs need it.
 */
#ifndef KINDS_H
#define KINDS_H

#include "guest.h"

/* Not a multiple of anything. */
enum { PAGES = 1037 };

/* Private anonymous memory, advised to have transparent huge pages, or none. */
struct guest *anonymous(uint64_t pages, bool huge);
/* A memfd, of which all from @offset on is mapped; @flags: further ones of memfd_create(). */
struct guest *shared_memfd(uint64_t pages, uint64_t offset, unsigned int flags);
/* What becomes of files in memory: the kernel's words for when they have huge pages. */
void shmem_huge_pages(const char *when);

/* Have so many huge pages of hugetlbfs; false if there are fewer. */
bool want_huge(long pages);
/* The same, or skip the test. */
void huge_needed(long pages);
/* Give the guest a file of such pages, which it is still to map. */
void huge_file(struct guest *g);
/* A whole huge page that holds data: every third of its pages. */
void write_huge(struct guest *g, uint64_t page);

/* An ext4 in a file; returns the fd of a file in it, or -1 if there can be none. */
int disk_file(void);
/* Close that fd, and take the ext4 away. */
void disk_done(int fd);

/* Map what is there, or about one of each @every / 2. */
void touch(struct guest *g, unsigned int every);
/* Send it to swap, and fail if nothing gets there. */
void page_out(struct guest *g);

/* For a child that is to share memory and do nothing else. */
void wait_for_death(void *arg);

#endif

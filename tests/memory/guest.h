/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A block of guest memory of some kind, what a destination must make of each of
 * its pages, and what must not change at the source when it is sent.
 *
 * Nothing here looks at the memory itself to know what is in it: a look could
 * allocate.
 */
#ifndef GUEST_H
#define GUEST_H

#include "kit.h"
#include "mem.h"
#include "rx.h"

#include <fcntl.h>
#include <sys/mman.h>

#define HUGE (2 * MIB)
#define RW (PROT_READ | PROT_WRITE)

/* What there is of memory, in kB or pages: of the mapping, the process, the machine. */
struct footprint {
	long rss, pss, anon, dirty, thp, hugetlb, swap;
	long process_rss, process_anon, tables;
	long shmem, free_huge, free_giant, ksm_shared, ksm_sharing;
	long file;
};

struct guest {
	uint64_t pages;
	uint8_t *base;		/* NULL: only by fd */
	int fd;			/* -1: only by address */
	uint64_t offset;	/* of the block in the file */
	uint8_t *kind;		/* per page: ABSENT, ZERO or DATA */
	uint64_t *id;		/* per page: which data */
	uint8_t *area;		/* the reserved part of the address space */
	uint64_t area_length;
	/* what sending it may do */
	bool swaps_in;		/* bring in what is in swap, and nothing else */
	bool maps;		/* map what is in a file's page cache, or read from it */
	bool written;		/* the mapping knows soft-dirty, so it can be seen that we wrote nothing */
	void (*check)(struct guest *g);	/* what else must be so afterwards */
	pid_t other;		/* a process that has to go in the end */
};

/* All pages ABSENT, no memory yet. */
struct guest *guest_new(uint64_t pages);
void guest_free(struct guest *g);
/*
 * Where to map it with MAP_FIXED: @skew pages behind an address that is a
 * multiple of @align, with nothing in its neighbourhood.
 */
void *guest_place(struct guest *g, uint64_t align, uint64_t skew);
/* mmap() there. */
void guest_map(struct guest *g, uint64_t skew, int prot, int flags, int fd, uint64_t offset);

/* The data that page @id has. */
void guest_data(void *page, uint64_t id);
/* Write through the mapping or to the file, and note that it is so. */
void guest_write(struct guest *g, uint64_t page, enum kind kind);
void guest_pwrite(struct guest *g, uint64_t page, enum kind kind);
/* Only read a page, which is of @kind then, if it was ABSENT. */
void guest_read(struct guest *g, uint64_t page, enum kind kind);
/*
 * Do all of these at random, with runs of one kind and single pages; what is
 * only read is of @read then. @written by guest_write or guest_pwrite.
 */
void guest_mix(struct guest *g, uint64_t seed, enum kind read,
	       void (*write)(struct guest *g, uint64_t page, enum kind kind));
uint64_t guest_count(const struct guest *g, enum kind kind);

struct footprint footprint(const struct guest *g);

struct way {
	const char *name;
	enum mzp_detection detection;
	uint32_t flags;
	enum rx_how how;
};
extern const struct way ways[3];

/* Send it by address or by fd and see that all is as it must be. */
void guest_send(struct guest *g, bool by_fd, const struct way *way);
/* In all ways and by all means. */
void guest_check(struct guest *g);
/* Must end with @error at page @page; all before it is right. */
void guest_fails(struct guest *g, bool by_fd, int error, uint64_t page);

/* @key of the mapping in /proc/self/smaps, added up, in kB. */
long guest_smaps(const struct guest *g, const char *key);
/* One word of /proc/self/pagemap a page. */
void guest_pagemap(const struct guest *g, uint64_t *entries);

/* There is swap space. */
bool have_swap(void);
/* Skip the test where there is none. */
void swap_needed(void);
void sysfs_put(const char *path, long value);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A block of guest memory whose contents are known without looking at it (a
 * look could allocate), and what a destination must make of it.
 */
#ifndef MEM_H
#define MEM_H

#include "kit.h"
#include "rx.h"

enum kind {
	ABSENT,		/* never touched, or given back */
	HOLE,		/* only read, or a hole in a file: absent or zero, as the module likes */
	ZERO,		/* written, but zero */
	ONE,		/* one byte is not zero */
	DATA,		/* all bytes are likely not to be zero */
	KINDS
};

struct mem {
	char idstr[256];
	uint8_t *base;
	uint64_t pages;
	uint32_t tag;
	bool shared;		/* of a file: ABSENT is a HOLE then */
	uint8_t *kind;		/* per page */
	uint32_t *version;
	/* the destination's */
	uint8_t *dst_kind;
	uint32_t *dst_version;
	uint8_t *sent;		/* in this round */
	uint32_t block_id;
	struct rx_block *rx;
};

/* Private anonymous memory. Its small pages stay small. */
void mem_init(struct mem *m, const char *idstr, uint64_t pages);
/* Memory that is there already, and zero. */
void mem_init_at(struct mem *m, const char *idstr, uint64_t pages, void *base, bool shared);
/* Make it a block of the session and of the destination. */
void mem_add(struct mem *m, struct session *s, struct rx *rx);
/* The same, as contents of a file. */
void mem_add_fd(struct mem *m, struct session *s, struct rx *rx, int fd, uint64_t offset);
void mem_free(struct mem *m);

void mem_set(struct mem *m, uint64_t page, enum kind kind);
void mem_set_range(struct mem *m, uint64_t page, uint64_t count, enum kind kind);
/* Touch everything at random. */
void mem_shuffle(struct mem *m, uint64_t *random);

/* What a page of kind DATA or ONE holds. */
void page_fill(void *page, enum kind kind, uint32_t tag, uint64_t number, uint32_t version);
bool page_is(const void *page, enum kind kind, uint32_t tag, uint64_t number, uint32_t version);

/* Note that these pages go out, and hand them over: bit n of @bits for page @first + n. */
struct sent {
	struct mem *m;
	uint64_t job;
	uint32_t flags;
	uint64_t first, count, pages;
	uint64_t *bits;
};
struct sent mem_send(struct mem *m, struct session *s, uint64_t first, uint64_t count,
		     const uint64_t *bits, enum mzp_send_format format, uint32_t flags);
/* Fetch the result; check it against what the destination got in this round. */
void mem_check_job(struct session *s, struct sent *sent);
/* All that the destination has is right, and nothing else came in this round. */
void mem_check(struct mem *m);
/* A round of all pages: send it, receive it, and check both its result and what came. */
void mem_round(struct mem *m, struct session *s, struct rx *rx, uint32_t flags);

#endif

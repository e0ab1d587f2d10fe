/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_HEADER_H
#define MZP_HEADER_H

#include <linux/types.h>

struct bio_vec;
struct page;

/**
 * struct mzp_headers - where the next header is written
 * @page: a page that still has room, or NULL
 * @used: bytes of it that were handed out
 */
struct mzp_headers {
	struct page *page;
	unsigned int used;
};

int mzp_header_reserve(struct mzp_headers *headers, unsigned int size, gfp_t gfp);
void *mzp_header_take(struct mzp_headers *headers, unsigned int size, struct bio_vec *buf);
void mzp_headers_drop(struct mzp_headers *headers);

#endif /* MZP_HEADER_H */

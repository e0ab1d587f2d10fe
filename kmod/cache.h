/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_CACHE_H
#define MZP_CACHE_H

#include <linux/types.h>

struct address_space;
struct mzp_residency;

bool mzp_cache_knows_holes(struct address_space *mapping);
bool mzp_cache_usable(struct address_space *mapping);
void mzp_cache_look(struct address_space *mapping, pgoff_t index, unsigned int nr,
		    struct mzp_residency *res, unsigned int at);
pgoff_t mzp_cache_next(struct address_space *mapping, pgoff_t index, pgoff_t end);
int mzp_cache_fetch(struct address_space *mapping, pgoff_t index);

#endif /* MZP_CACHE_H */

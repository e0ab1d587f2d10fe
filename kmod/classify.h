/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_CLASSIFY_H
#define MZP_CLASSIFY_H

#include <linux/types.h>

#include <linux/multifd_wire.h>

struct mzp_channel;

/**
 * struct mzp_take - pages that a producer has taken from its job
 * @page: their numbers in the block, ascending
 * @nr: how many
 * @pos: how many of them have been classified
 */
struct mzp_take {
	u64 page[MZP_WIRE_PAGES];
	unsigned int nr;
	unsigned int pos;
};

int mzp_classify(struct mzp_channel *channel);

#endif /* MZP_CLASSIFY_H */

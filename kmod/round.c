// SPDX-License-Identifier: GPL-2.0-only
/*
 * A round: the jobs between two SYNCs, as one thing to be counted.
 */
#include <linux/slab.h>

#include "round.h"

/**
 * mzp_round_new - make a round without jobs
 *
 * Context: may sleep.
 * Return: the round, whose reference is the caller's, or NULL.
 */
struct mzp_round *mzp_round_new(void)
{
	struct mzp_round *round = kzalloc(sizeof(*round), GFP_KERNEL_ACCOUNT);

	if (round)
		kref_init(&round->ref);
	return round;
}

/**
 * mzp_round_get - take a reference
 * @round: the round
 *
 * Context: any.
 * Return: @round.
 */
struct mzp_round *mzp_round_get(struct mzp_round *round)
{
	kref_get(&round->ref);
	return round;
}

static void mzp_round_free(struct kref *ref)
{
	kfree(container_of(ref, struct mzp_round, ref));
}

/**
 * mzp_round_put - drop a reference
 * @round: the round, or NULL
 *
 * Context: any.
 */
void mzp_round_put(struct mzp_round *round)
{
	if (round)
		kref_put(&round->ref, mzp_round_free);
}

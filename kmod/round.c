// SPDX-License-Identifier: GPL-2.0-only
/*
 * A round: the jobs between two SYNCs, as a stage on the channels' way and as one
 * thing to be counted.
 */
#include <linux/slab.h>

#include "job.h"
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

	if (!round)
		return NULL;
	kref_init(&round->ref);
	INIT_LIST_HEAD(&round->jobs);
	round->number = 1;
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

/* What it refers to is the caller's to drop. */
static void mzp_round_last(struct kref *ref)
{
}

/**
 * mzp_round_put - drop a reference
 * @round: the round, or NULL
 *
 * Each round keeps the next one, so there may be many to go.
 *
 * Context: may sleep; no lock is held.
 */
void mzp_round_put(struct mzp_round *round)
{
	while (round && kref_put(&round->ref, mzp_round_last)) {
		struct mzp_round *next = round->next;

		if (round->sync)
			mzp_job_put(round->sync);
		kfree(round);
		round = next;
	}
}

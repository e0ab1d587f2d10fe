/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_PRODUCER_H
#define MZP_PRODUCER_H

struct mzp_channel;

/**
 * enum mzp_produced - what came of running a producer
 * @MZP_PRODUCED_NOTHING: there is nothing to do, until the channel is kicked
 * @MZP_PRODUCED_SOME: some work was done, and there may be more
 * @MZP_PRODUCED_LATER: the slow lane is to get or to wait for something
 */
enum mzp_produced {
	MZP_PRODUCED_NOTHING,
	MZP_PRODUCED_SOME,
	MZP_PRODUCED_LATER,
};

enum mzp_produced mzp_producer_run(struct mzp_channel *channel);

#endif /* MZP_PRODUCER_H */

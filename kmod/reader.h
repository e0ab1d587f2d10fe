/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_READER_H
#define MZP_READER_H

#include <linux/types.h>

#include "producer.h"

struct mzp_channel;
struct work_struct;

bool mzp_reader_ready(const struct mzp_channel *channel);
bool mzp_reader_pollable(struct mzp_channel *channel);
void mzp_reader_again(struct work_struct *work);
int mzp_reader_produce(struct mzp_channel *channel, enum mzp_patience patience);
int mzp_reader_fill(struct mzp_channel *channel, enum mzp_patience patience);

#endif /* MZP_READER_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_INJECT_H
#define MZP_INJECT_H

#include <linux/types.h>

struct mzp_cmd;
struct mzp_job;
struct mzp_packet;

bool mzp_inject_move(struct mzp_job *job, struct mzp_packet *packet, u32 *bytes);

int mzp_ioctl_inject(struct mzp_cmd *cmd);

#endif /* MZP_INJECT_H */

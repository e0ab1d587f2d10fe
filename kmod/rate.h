/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_RATE_H
#define MZP_RATE_H

struct mzp_cmd;

int mzp_ioctl_rate(struct mzp_cmd *cmd);

#endif /* MZP_RATE_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_STATUS_H
#define MZP_STATUS_H

struct mzp_cmd;

int mzp_ioctl_status(struct mzp_cmd *cmd);

#endif /* MZP_STATUS_H */

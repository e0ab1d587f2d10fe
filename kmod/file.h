/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_FILE_H
#define MZP_FILE_H

struct mzp_cmd;

int mzp_ioctl_channel(struct mzp_cmd *cmd);

#endif /* MZP_FILE_H */

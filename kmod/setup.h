/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_SETUP_H
#define MZP_SETUP_H

#include <linux/types.h>

struct mzp_cmd;
struct mzp_info;

void mzp_info_fill(struct mzp_info *info, u32 method);
int mzp_ioctl_info(struct mzp_cmd *cmd);
int mzp_ioctl_setup(struct mzp_cmd *cmd);

#endif /* MZP_SETUP_H */

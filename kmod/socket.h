/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_SOCKET_H
#define MZP_SOCKET_H

struct mzp_channel;
struct mzp_cmd;

int mzp_ioctl_pump(struct mzp_cmd *cmd, struct mzp_channel *channel);

#endif /* MZP_SOCKET_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_NETLINK_H
#define MZP_NETLINK_H

struct genl_family;

extern struct genl_family mzp_genl_family;

int mzp_netlink_register(void);
void mzp_netlink_unregister(void);

#endif /* MZP_NETLINK_H */

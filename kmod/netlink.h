/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_NETLINK_H
#define MZP_NETLINK_H

struct mzp_round;
struct mzp_session;

int mzp_netlink_register(void);
void mzp_netlink_unregister(void);

void mzp_netlink_created(const struct mzp_session *session);
void mzp_netlink_synced(const struct mzp_session *session, const struct mzp_round *round);
void mzp_netlink_failed(const struct mzp_session *session);
void mzp_netlink_ended(const struct mzp_session *session);

#endif /* MZP_NETLINK_H */

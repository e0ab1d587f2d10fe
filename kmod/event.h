/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_EVENT_H
#define MZP_EVENT_H

struct mzp_round;
struct mzp_session;

void mzp_event_created(const struct mzp_session *session);
void mzp_event_synced(const struct mzp_session *session, const struct mzp_round *round);
void mzp_event_failed(const struct mzp_session *session);
void mzp_event_ended(const struct mzp_session *session);

#endif /* MZP_EVENT_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_HOST_H
#define MZP_HOST_H

#include <linux/types.h>

#include "limit.h"

struct mzp_session;

/**
 * enum mzp_host_setting - what an administrator sets for the whole host
 * @MZP_HOST_DRAINING: 1: no session is set up any more
 * @MZP_HOST_MAX_SESSIONS: sessions that are set up at most; 0: no limit
 * @MZP_HOST_DEFAULT_RATE: bytes per second of a session whose VMM sets no rate; 0: none
 * @MZP_HOST_MAX_RATE: bytes per second of a session that an administrator has given no
 *	rate of its own; 0: no limit
 * @MZP_HOST_TOTAL_RATE: bytes per second of all sessions together; 0: no limit
 * @MZP_HOST_SETTINGS: how many these are
 */
enum mzp_host_setting {
	MZP_HOST_DRAINING,
	MZP_HOST_MAX_SESSIONS,
	MZP_HOST_DEFAULT_RATE,
	MZP_HOST_MAX_RATE,
	MZP_HOST_TOTAL_RATE,
	MZP_HOST_SETTINGS,
};

/**
 * struct mzp_host - the settings, and what comes of them
 * @setting: by enum mzp_host_setting
 * @sessions: that are set up
 * @refused: SETUPs that were refused so far
 */
struct mzp_host {
	u64 setting[MZP_HOST_SETTINGS];
	unsigned int sessions;
	u64 refused;
};

int mzp_host_admit(void);
void mzp_host_leave(void);
void mzp_host_apply(struct mzp_session *session);
void mzp_host_get(struct mzp_host *host);
void mzp_host_set(const u64 *setting, unsigned int which);
u64 mzp_host_wait(struct mzp_limit *limit);
void mzp_host_charge(struct mzp_limit *limit, u64 bytes);
void mzp_host_init(void);

#endif /* MZP_HOST_H */

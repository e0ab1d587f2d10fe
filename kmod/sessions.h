/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_SESSIONS_H
#define MZP_SESSIONS_H

#include <linux/sizes.h>
#include <linux/types.h>

#define MZP_MAX_SESSIONS	256u	/* of one user */
#define MZP_MAX_JOB_MEMORY	SZ_1G	/* that one user's jobs hold */

struct mzp_account;
struct mzp_session;

int mzp_sessions_add(struct mzp_session *session);
void mzp_sessions_remove(struct mzp_session *session);
struct mzp_session *mzp_sessions_next(u64 *id);
unsigned int mzp_sessions_count(void);
void mzp_sessions_kick(void);
void mzp_sessions_free_later(struct mzp_session *session);
int mzp_sessions_init(void);
void mzp_sessions_drain(void);
void mzp_sessions_exit(void);

int mzp_account_charge(struct mzp_account *account, size_t bytes);
void mzp_account_uncharge(struct mzp_account *account, size_t bytes);

#endif /* MZP_SESSIONS_H */

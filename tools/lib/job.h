/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_JOB_H
#define MFD_PRIVATE_JOB_H

#include <linux/multifd_zp.h>

#include "session.h"

/* Give @send to the module; waits for older jobs if there are too many. */
int mfd_job_send(struct mfd_block *block, struct mzp_send *send, struct mfd_error *err);

/* Have SYNC packets put on all channels; @round: they end one. */
int mfd_job_sync(struct mfd_session *session, bool round, struct mfd_error *err);

/* Wait for all jobs; with legacy detection announce their zero pages. */
int mfd_jobs_wait(struct mfd_session *session, struct mfd_error *err);

/* Free what is left of jobs when the session ends. */
void mfd_jobs_forget(struct mfd_session *session);

#endif /* MFD_PRIVATE_JOB_H */

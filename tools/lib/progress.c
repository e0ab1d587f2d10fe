// SPDX-License-Identifier: LGPL-2.1-or-later
/* How far a migration is: what the module counts, and what sockets have taken. */
#include <errno.h>
#include <string.h>

#include "device.h"
#include "error.h"
#include "pump.h"
#include "session.h"
#include "sized.h"

void mfd_progress_update(struct mfd_session *session)
{
	struct mzp_status status = { .size = sizeof(status) };

	if (session->dev >= 0 && session->state != MFD_OPEN &&
	    !mfd_device_call(session, MZP_IOC_STATUS, &status, NULL))
		session->status = status;
}

static uint32_t state_of(const struct mfd_session *session)
{
	if (session->failure.code)
		return MFD_STATE_FAILED;
	switch (session->state) {
	case MFD_OPEN:
	case MFD_SET_UP:
		return MFD_STATE_SETUP;
	case MFD_CONNECTED:
		return MFD_STATE_ACTIVE;
	case MFD_FINISHED:
		break;
	}
	return MFD_STATE_COMPLETED;
}

int mfd_progress(struct mfd_session *session, struct mfd_progress *progress)
{
	struct mfd_progress own = { .size = sizeof(own) };

	if (!session || mfd_session_inherited(session))
		return session ? -ECHILD : -EINVAL;
	pthread_mutex_lock(&session->lock);
	mfd_progress_update(session);
	own.state = state_of(session);
	own.rounds = session->rounds;
	own.submitted = session->status.submitted;
	own.normal = session->status.normal;
	own.zero = session->status.zero;
	own.absent = session->status.absent;
	own.done = own.normal + own.zero + own.absent;
	own.bytes = session->main_bytes + mfd_pumps_bytes(session);
	own.pending_pages = session->status.pending_pages;
	own.pending_bytes = session->status.pending_bytes;
	own.unacknowledged = mfd_pumps_unsent(session);
	pthread_mutex_unlock(&session->lock);
	return mfd_sized_give(progress, &own, sizeof(own));
}

void mfd_progress_tell(struct mfd_session *session)
{
	uint64_t now = mfd_now();
	struct mfd_progress progress = { .size = sizeof(progress) };

	if (!session->params.progress || now - session->told < MFD_TICK_MS * 1000000ull)
		return;
	session->told = now;
	mfd_progress(session, &progress);
	session->params.progress(&progress, session->params.opaque);
}

int mfd_fd(struct mfd_session *session)
{
	return session && !mfd_session_inherited(session) ? session->dev : -1;
}

int mfd_wait_pending(struct mfd_session *session, uint64_t max_pages, uint64_t max_bytes,
		     int64_t timeout_ns, struct mfd_error *err)
{
	struct mzp_wait_pending wait = {
		.size = sizeof(wait),
		.max_pages = max_pages,
		.max_bytes = max_bytes,
		.timeout_ns = timeout_ns,
	};
	int ret = mfd_session_expect(session, MFD_CONNECTED, "waiting", err);

	return ret ? ret : mfd_device_call(session, MZP_IOC_WAIT_PENDING, &wait, err);
}

/* Of the last round if that took long enough to be measured, else of all of them. */
static uint64_t bandwidth(const struct mfd_session *session, const struct mfd_progress *now)
{
	uint64_t bytes = session->last_round.bytes, ns = session->last_round.ns;

	if (ns < MFD_TICK_MS * 1000000ull) {
		bytes = now->bytes;
		ns = mfd_now() - session->started;
	}
	return ns ? (uint64_t)((double)bytes * 1e9 / (double)ns) : 0;
}

int mfd_convergence(struct mfd_session *session, uint64_t dirty_pages, uint32_t downtime_ms,
		    struct mfd_convergence *out, struct mfd_error *err)
{
	struct mfd_progress now = { .size = sizeof(now) };
	struct mfd_convergence own = { .size = sizeof(own) };
	int ret = mfd_session_expect(session, MFD_CONNECTED, "looking at the convergence", err);

	if (ret)
		return ret;
	mfd_progress(session, &now);
	own.bandwidth = bandwidth(session, &now);
	own.remaining = (dirty_pages + now.pending_pages) * session->page_size +
			now.pending_bytes + now.unacknowledged;
	own.threshold = (uint64_t)((double)own.bandwidth * downtime_ms / 1e3);
	own.expected_downtime_ms = own.bandwidth ?
		(uint64_t)((double)own.remaining * 1e3 / (double)own.bandwidth) : UINT64_MAX;
	own.converged = own.bandwidth && own.remaining <= own.threshold;
	if (mfd_sized_give(out, &own, sizeof(own)))
		return mfd_error_set(err, EINVAL, "struct mfd_convergence has no size");
	return 0;
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/* A migration's beginning and end; the rounds in between are in round.c. */
#include <errno.h>

#include "address.h"
#include "device.h"
#include "error.h"
#include "job.h"
#include "main_conn.h"
#include "pump.h"

static int open_stream(struct mfd_session *session, const char *text,
		       struct mfd_error *err)
{
	struct mfd_address address;
	struct mfd_endpoint endpoint;
	int ret;

	if (STAILQ_EMPTY(&session->blocks))
		return mfd_error_set(err, EINVAL, "there is no block to migrate");
	ret = mfd_address_parse(&address, text, err);
	if (ret)
		return ret;
	ret = mfd_main_open(session, &address, &endpoint, err);
	if (ret) {
		mfd_error_prefix(err, "%.128s", text);
		return ret;
	}
	ret = mfd_pumps_open(session, &endpoint, err);
	/* the set-up section too has its SYNC, whichever the flush */
	if (!ret)
		ret = mfd_job_sync(session, err);
	if (!ret)
		ret = mfd_jobs_wait(session, err);
	if (!ret)
		ret = mfd_main_setup(session, err);
	return ret;
}

int mfd_connect(struct mfd_session *session, const char *address, struct mfd_error *err)
{
	struct mfd_error why = MFD_ERROR_NONE;
	int ret = mfd_session_expect(session, MFD_SET_UP, "connecting", err);

	if (ret)
		return ret;
	ret = mfd_session_result(session, open_stream(session, address, &why), &why, err);
	if (ret)
		return ret;
	session->state = MFD_CONNECTED;
	return 0;
}

/*
 * The end marker goes out only when the channels are at their ends: a
 * destination that has read it closes all connections, and a pump would take
 * that for a failure.
 */
static int close_stream(struct mfd_session *session, struct mfd_error *err)
{
	int ret = 0;

	if (session->params.flush == MFD_FLUSH_SECTION) {
		ret = mfd_job_sync(session, err);
		if (!ret)
			ret = mfd_jobs_wait(session, err);
	}
	if (!ret)
		ret = mfd_main_last(session, err);
	if (ret)
		return ret;
	ret = mfd_device_end(session, err);
	if (!ret)
		ret = mfd_pumps_drain(session, err);
	return ret ? ret : mfd_main_close(session, err);
}

int mfd_finish(struct mfd_session *session, struct mfd_error *err)
{
	struct mfd_error why = MFD_ERROR_NONE;
	int ret = mfd_session_expect(session, MFD_CONNECTED, "finishing", err);

	if (!ret && session->round_open)
		ret = mfd_round_finish(session, NULL, err);
	if (!ret)
		ret = mfd_session_result(session, close_stream(session, &why), &why, err);
	if (!ret)
		session->state = MFD_FINISHED;
	return ret;
}

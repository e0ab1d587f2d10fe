// SPDX-License-Identifier: LGPL-2.1-or-later
/* A session: its life from open to close, and its failure. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/multifd_zp.h>

#include "block.h"
#include "device.h"
#include "error.h"
#include "job.h"
#include "pump.h"
#include "session.h"

static struct mfd_session *session_new(void)
{
	struct mfd_session *session = calloc(1, sizeof(*session));
	pthread_condattr_t attr;

	if (!session)
		return NULL;
	session->process = getpid();
	session->blocks_end = &session->blocks;
	session->jobs_end = &session->jobs;
	session->failure = MFD_ERROR_NONE;
	session->dev = -1;
	session->main = MFD_LINK_NONE;
	/* none of these can fail with the attributes used here */
	pthread_mutex_init(&session->lock, NULL);
	pthread_mutex_init(&session->dirty_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&session->pump_ended, &attr);
	pthread_condattr_destroy(&attr);
	return session;
}

static int check_abi(struct mfd_session *session, struct mfd_error *err)
{
	struct mzp_info *info = &session->info;
	int ret;

	info->size = sizeof(*info);
	ret = mfd_device_call(session, MZP_IOC_INFO, info, err);
	if (!ret && info->abi_version != MZP_ABI_VERSION)
		ret = mfd_error_set(err, EPROTO,
				    "the loaded multifd_zp.ko speaks version %u of its API, this program version %u",
				    info->abi_version, MZP_ABI_VERSION);
	if (ret)
		mfd_error_of(err, MFD_ERROR_MODULE);
	session->page_size = info->page_size;
	return ret;
}

/* @fd: of the device, or -1 to open @path. */
static int open_session(struct mfd_session **out, const char *path, int fd,
			struct mfd_error *err)
{
	struct mfd_session *session = session_new();
	int ret;

	if (!session)
		return mfd_error_errno(err, ENOMEM, "cannot open a session");
	session->dev = fd;
	ret = fd < 0 ? mfd_device_open(session, path, err) : 0;
	if (!ret)
		ret = check_abi(session, err);
	if (ret) {
		/* it stays the caller's */
		if (fd >= 0)
			session->dev = -1;
		mfd_close(session);
		return ret;
	}
	*out = session;
	return 0;
}

int mfd_open(struct mfd_session **out, const char *path, struct mfd_error *err)
{
	if (!out)
		return mfd_error_set(err, EINVAL, "there is no place for the session");
	return open_session(out, path, -1, err);
}

int mfd_open_fd(struct mfd_session **out, int fd, struct mfd_error *err)
{
	if (!out || fd < 0)
		return mfd_error_set(err, EINVAL, "there is no device, or no place for the session");
	return open_session(out, NULL, fd, err);
}

bool mfd_session_inherited(const struct mfd_session *session)
{
	return session->process != getpid();
}

/* Who cancelled it, if it was not this library: the module knows. */
static void say_who(struct mfd_session *session)
{
	struct mzp_status status = { .size = sizeof(status) };

	if (session->failure.code != ECANCELED || session->dev < 0 ||
	    mfd_device_call(session, MZP_IOC_STATUS, &status, NULL) ||
	    status.reason != MZP_REASON_ADMIN)
		return;
	mfd_error_set(&session->failure, ECANCELED,
		      "an administrator has cancelled the migration (mfdctl cancel)");
}

void mfd_session_fail(struct mfd_session *session, const struct mfd_error *why)
{
	struct mzp_cancel cancel = { .size = sizeof(cancel) };

	pthread_mutex_lock(&session->lock);
	if (!session->concluded) {
		if (!session->failure.code) {
			session->failure = *why;
			say_who(session);
			mfd_progress_update(session);
		}
		if (session->dev >= 0)
			mfd_device_call(session, MZP_IOC_CANCEL, &cancel, NULL);
		if (session->main.fd >= 0)
			shutdown(session->main.fd, SHUT_RDWR);
		mfd_pumps_shutdown(session);
	}
	pthread_mutex_unlock(&session->lock);
}

bool mfd_session_conclude(struct mfd_session *session)
{
	bool undisturbed;

	pthread_mutex_lock(&session->lock);
	undisturbed = !session->failure.code;
	session->failure = MFD_ERROR_NONE;
	session->concluded = true;
	pthread_mutex_unlock(&session->lock);
	return undisturbed;
}

void mfd_session_contradict(struct mfd_session *session)
{
	pthread_mutex_lock(&session->lock);
	session->concluded = false;
	pthread_mutex_unlock(&session->lock);
}

void mfd_cancel(struct mfd_session *session)
{
	struct mfd_error why = MFD_ERROR_NONE;

	if (!session || mfd_session_inherited(session))
		return;
	mfd_error_set(&why, ECANCELED, "the migration was cancelled");
	mfd_session_fail(session, &why);
}

int mfd_session_failure(struct mfd_session *session, struct mfd_error *err)
{
	int code;

	pthread_mutex_lock(&session->lock);
	code = session->failure.code;
	if (code && err)
		mfd_error_copy(err, &session->failure);
	pthread_mutex_unlock(&session->lock);
	return -code;
}

const char *mfd_session_suspects_tls(const struct mfd_session *session)
{
	return session->params.tls || session->rounds ? "" : " (does it expect TLS?)";
}

int mfd_session_check(struct mfd_session *session, struct mfd_error *err)
{
	mfd_progress_tell(session);
	return mfd_session_failure(session, err);
}

int mfd_session_expect(struct mfd_session *session, enum mfd_state state,
		       const char *what, struct mfd_error *err)
{
	static const char *const states[] = {
		[MFD_OPEN] = "not set up",
		[MFD_SET_UP] = "not connected",
		[MFD_CONNECTED] = "connected already",
		[MFD_FINISHED] = "finished already",
	};
	int ret;

	if (!session)
		return mfd_error_set(err, EINVAL, "%s: there is no session", what);
	if (mfd_session_inherited(session))
		return mfd_error_set(err, ECHILD,
				     "%s: the session is that of the process that forked this one, which may only close it",
				     what);
	ret = mfd_session_failure(session, err);
	if (ret || session->state == state)
		return ret;
	return mfd_error_set(err, EINVAL, "%s: the session is %s", what,
			     states[session->state]);
}

int mfd_session_result(struct mfd_session *session, int ret,
		       const struct mfd_error *why, struct mfd_error *err)
{
	if (!ret)
		return 0;
	mfd_session_fail(session, why);
	return mfd_session_failure(session, err);
}

int mfd_session_refuse(int ret, const struct mfd_error *why, struct mfd_error *err)
{
	if (ret)
		mfd_error_copy(err, why);
	return ret;
}

static void free_session(struct mfd_session *session)
{
	mfd_jobs_forget(session);
	mfd_blocks_free(session);
	free(session->zero_bitmap);
	free(session);
}

/*
 * In a child after fork(2): its threads are the parent's, the lock may be anybody's, and
 * what is done to a socket or to the device is done to the parent's as well.
 */
static void leave_to_parent(struct mfd_session *session)
{
	mfd_pumps_leave(session);
	if (session->dev >= 0)
		close(session->dev);
	mfd_link_close(&session->main, false);
	free_session(session);
}

void mfd_close(struct mfd_session *session)
{
	if (!session)
		return;
	if (mfd_session_inherited(session)) {
		leave_to_parent(session);
		return;
	}
	if (session->state == MFD_SET_UP || session->state == MFD_CONNECTED)
		mfd_cancel(session);
	mfd_pumps_close(session);
	mfd_device_close(session);
	mfd_link_close(&session->main, false);
	pthread_cond_destroy(&session->pump_ended);
	pthread_mutex_destroy(&session->lock);
	pthread_mutex_destroy(&session->dirty_lock);
	free_session(session);
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/* A session: its life from open to close, its failure, its progress. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/multifd_zp.h>

#include "device.h"
#include "error.h"
#include "job.h"
#include "pump.h"
#include "session.h"
#include "sized.h"

_Static_assert((int)MFD_METHOD_NONE == MZP_METHOD_NONE, "method");
_Static_assert((int)MFD_METHOD_ZLIB == MZP_METHOD_ZLIB, "method");
_Static_assert((int)MFD_METHOD_ZSTD == MZP_METHOD_ZSTD, "method");
_Static_assert((int)MFD_DETECTION_NONE == MZP_DETECTION_NONE &&
	       (int)MFD_DETECTION_LEGACY == MZP_DETECTION_LEGACY &&
	       (int)MFD_DETECTION_MULTIFD == MZP_DETECTION_MULTIFD, "detection");

int mfd_params_init(struct mfd_params *params)
{
	static const struct mfd_params defaults = {
		.channels = 2,
		.method = MFD_METHOD_NONE,
		.level = MFD_LEVEL_DEFAULT,
		.detection = MFD_DETECTION_MULTIFD,
		.flush = MFD_FLUSH_ROUND,
		.machine = "none",
		.stall_ms = 60000,
	};

	return mfd_sized_give(params, &defaults, sizeof(defaults));
}

static struct mfd_session *session_new(void)
{
	struct mfd_session *session = calloc(1, sizeof(*session));
	pthread_condattr_t attr;

	if (!session)
		return NULL;
	STAILQ_INIT(&session->blocks);
	STAILQ_INIT(&session->jobs);
	session->failure = MFD_ERROR_NONE;
	session->dev = -1;
	session->main = -1;
	/* none of these can fail with the attributes used here */
	pthread_mutex_init(&session->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&session->pump_ended, &attr);
	pthread_condattr_destroy(&attr);
	return session;
}

static int check_abi(struct mfd_session *session, struct mfd_error *err)
{
	struct mzp_info info = { .size = sizeof(info) };
	int ret = mfd_device_call(session, MZP_IOC_INFO, &info, err);

	if (ret)
		return ret;
	if (info.abi_version != MZP_ABI_VERSION)
		return mfd_error_set(err, EPROTO,
				     "the loaded multifd_zp.ko speaks version %u of its API, this program version %u",
				     info.abi_version, MZP_ABI_VERSION);
	session->page_size = info.page_size;
	return 0;
}

int mfd_open(struct mfd_session **out, struct mfd_error *err)
{
	struct mfd_session *session = session_new();
	int ret;

	if (!session)
		return mfd_error_errno(err, ENOMEM, "cannot open a session");
	ret = mfd_device_open(session, err);
	if (!ret)
		ret = check_abi(session, err);
	if (ret) {
		mfd_close(session);
		return ret;
	}
	*out = session;
	return 0;
}

int mfd_info(struct mfd_session *session, struct mfd_info *out, struct mfd_error *err)
{
	struct mzp_info info = { .size = sizeof(info) };
	struct mfd_info own;
	int ret = mfd_device_call(session, MZP_IOC_INFO, &info, err);

	if (ret)
		return ret;
	own = (struct mfd_info) {
		.page_size = info.page_size,
		.methods = info.methods,
		.detections = info.detections,
		.max_channels = info.max_channels,
		.max_packet_pages = info.max_packet_pages,
		.max_ring_packets = info.max_ring_packets,
		.max_blocks = info.max_blocks,
	};
	if (mfd_sized_give(out, &own, sizeof(own)))
		return mfd_error_set(err, EINVAL, "struct mfd_info has no size");
	return 0;
}

static int check_level(struct mfd_session *session, const struct mfd_params *params,
		       struct mfd_error *err)
{
	struct mzp_info info = { .size = sizeof(info), .method = params->method };
	int ret = mfd_device_call(session, MZP_IOC_INFO, &info, err);

	if (ret || params->level == MFD_LEVEL_DEFAULT)
		return ret;
	if (params->level < info.level_min || params->level > info.level_max)
		return mfd_error_set(err, EINVAL,
				     "level: %d to %d are possible, not %d (a higher one would need too much memory in the kernel)",
				     info.level_min, info.level_max, params->level);
	return 0;
}

/* What the kernel would say too, but not which parameter it means. */
static int check_params(struct mfd_session *session, const struct mfd_params *params,
			struct mfd_error *err)
{
	struct mfd_info info = { .size = sizeof(info) };
	int ret = mfd_info(session, &info, err);

	if (ret)
		return ret;
	if (params->channels < 1 || params->channels > info.max_channels)
		return mfd_error_set(err, EINVAL, "channels: 1 to %u are possible, not %u",
				     info.max_channels, params->channels);
	if (params->method > 31 || !(info.methods & 1u << params->method))
		return mfd_error_set(err, EOPNOTSUPP,
				     "the module cannot compress with %s; if the kernel's compressor is a module of its own (zstd_compress), load that first, then multifd_zp again",
				     params->method == MFD_METHOD_ZLIB ? "zlib" :
				     params->method == MFD_METHOD_ZSTD ? "zstd" : "that");
	ret = check_level(session, params, err);
	if (ret)
		return ret;
	if (params->detection > 31 || !(info.detections & 1u << params->detection))
		return mfd_error_set(err, EOPNOTSUPP,
				     "the module has no zero page detection %d",
				     params->detection);
	if (params->packet_pages > info.max_packet_pages)
		return mfd_error_set(err, EINVAL, "a packet has at most %u pages, not %u",
				     info.max_packet_pages, params->packet_pages);
	if (params->ring_packets > info.max_ring_packets ||
	    (params->ring_packets & (params->ring_packets - 1)))
		return mfd_error_set(err, EINVAL,
				     "a ring has a power of two up to %u packets, not %u",
				     info.max_ring_packets, params->ring_packets);
	if (params->flags & ~MFD_PARAMS_SPLICE)
		return mfd_error_set(err, EINVAL, "unknown flags 0x%x", params->flags);
	if (!params->machine)
		return mfd_error_set(err, EINVAL,
				     "machine: the destination's machine type, \"none\" for -M none, is missing");
	if (strlen(params->machine) >= sizeof(session->machine))
		return mfd_error_set(err, EINVAL, "the machine type's name is too long");
	return 0;
}

/* The likely cause of ENOMEM, in numbers. */
static int explain_enomem(const struct mfd_session *session,
			  const struct mfd_params *params, struct mfd_error *err)
{
	unsigned long long ring = params->ring_packets ? params->ring_packets : 8;
	unsigned long long pages = params->packet_pages ? params->packet_pages : 128;

	return mfd_error_set(err, ENOMEM,
			     "cannot set up the session: out of memory, or %llu MiB in flight (%u channels x %llu packets x %llu pages) exceed the limit of locked memory: raise it (ulimit -l), or use fewer channels or a smaller ring",
			     params->channels * ring * pages * session->page_size >> 20,
			     params->channels, ring, pages);
}

static int set_up(struct mfd_session *session, const struct mfd_params *params,
		  struct mfd_error *err)
{
	bool any = params->level == MFD_LEVEL_DEFAULT;
	struct mzp_setup setup = {
		.size = sizeof(setup),
		.flags = any ? MZP_SETUP_DEFAULT_LEVEL : 0,
		.channels = params->channels,
		.method = params->method,
		.level = any ? 0 : params->level,
		.detection = params->detection,
		.packet_pages = params->packet_pages,
		.ring_packets = params->ring_packets,
		.cpus = (uintptr_t)params->cpus,
		.cpus_size = params->cpus_size,
	};
	int ret = check_params(session, params, err);

	if (ret)
		return ret;
	memcpy(setup.uuid, params->uuid, sizeof(setup.uuid));
	ret = mfd_device_call(session, MZP_IOC_SETUP, &setup, err);
	if (ret == -ENOMEM)
		return explain_enomem(session, params, err);
	if (ret)
		return ret;
	session->params = *params;
	strcpy(session->machine, params->machine);
	session->params.machine = session->machine;
	session->params.cpus = NULL;
	session->state = MFD_SET_UP;
	return 0;
}

int mfd_setup(struct mfd_session *session, const struct mfd_params *params,
	      struct mfd_error *err)
{
	struct mfd_params own;

	switch (mfd_sized_take(&own, sizeof(own), params)) {
	case 0:
		return set_up(session, &own, err);
	case -E2BIG:
		return mfd_error_set(err, E2BIG, "this libmfd is too old for what the program wants");
	default:
		return mfd_error_set(err, EINVAL, "struct mfd_params has no size");
	}
}

void mfd_session_fail(struct mfd_session *session, const struct mfd_error *why)
{
	struct mzp_cancel cancel = { .size = sizeof(cancel) };

	pthread_mutex_lock(&session->lock);
	if (!session->failure.code)
		session->failure = *why;
	if (session->dev >= 0)
		mfd_device_call(session, MZP_IOC_CANCEL, &cancel, NULL);
	if (session->main >= 0)
		shutdown(session->main, SHUT_RDWR);
	mfd_pumps_shutdown(session);
	pthread_mutex_unlock(&session->lock);
}

void mfd_cancel(struct mfd_session *session)
{
	struct mfd_error why = MFD_ERROR_NONE;

	mfd_error_set(&why, ECANCELED, "the migration was cancelled");
	mfd_session_fail(session, &why);
}

static void tell_progress(struct mfd_session *session)
{
	uint64_t now = mfd_now();
	struct mfd_progress progress = { .size = sizeof(progress) };

	if (!session->params.progress || now - session->told < MFD_TICK_MS * 1000000ull)
		return;
	session->told = now;
	mfd_progress(session, &progress);
	session->params.progress(&progress, session->params.opaque);
}

static int failure(struct mfd_session *session, struct mfd_error *err)
{
	int code;

	pthread_mutex_lock(&session->lock);
	code = session->failure.code;
	if (code && err)
		mfd_error_copy(err, &session->failure);
	pthread_mutex_unlock(&session->lock);
	return -code;
}

int mfd_session_check(struct mfd_session *session, struct mfd_error *err)
{
	tell_progress(session);
	return failure(session, err);
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
	int ret = failure(session, err);

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
	return failure(session, err);
}

int mfd_progress(struct mfd_session *session, struct mfd_progress *progress)
{
	struct mfd_progress own = {
		.rounds = session->rounds,
		.submitted = session->submitted,
		.normal = session->normal,
		.zero = session->zero,
		.absent = session->absent,
	};

	own.done = own.normal + own.zero + own.absent;
	pthread_mutex_lock(&session->lock);
	own.bytes = session->main_bytes + mfd_pumps_bytes(session);
	pthread_mutex_unlock(&session->lock);
	return mfd_sized_give(progress, &own, sizeof(own));
}

void mfd_close(struct mfd_session *session)
{
	struct mfd_block *block;

	if (!session)
		return;
	if (session->state == MFD_SET_UP || session->state == MFD_CONNECTED)
		mfd_cancel(session);
	mfd_pumps_close(session);
	mfd_jobs_forget(session);
	mfd_device_close(session);
	if (session->main >= 0)
		close(session->main);
	while ((block = STAILQ_FIRST(&session->blocks))) {
		STAILQ_REMOVE_HEAD(&session->blocks, next);
		free(block);
	}
	pthread_cond_destroy(&session->pump_ended);
	pthread_mutex_destroy(&session->lock);
	free(session->zero_bitmap);
	free(session);
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a session is to do: its parameters, and whether the module can do it. */
#include <errno.h>
#include <string.h>

#include "device.h"
#include "error.h"
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
		.flags = MFD_PARAMS_RETURN_PATH,
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

int mfd_info(struct mfd_session *session, struct mfd_info *out, struct mfd_error *err)
{
	const struct mzp_info *info;
	struct mfd_info own;

	if (!session)
		return mfd_error_set(err, EINVAL, "there is no session");
	info = &session->info;
	own = (struct mfd_info) {
		.page_size = info->page_size,
		.methods = info->methods,
		.detections = info->detections,
		.max_channels = info->max_channels,
		.max_packet_pages = info->max_packet_pages,
		.max_ring_packets = info->max_ring_packets,
		.max_blocks = info->max_blocks,
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

#define MFD_PARAMS_ALL \
	(MFD_PARAMS_SPLICE | MFD_PARAMS_RETURN_PATH | MFD_PARAMS_NO_MAIN | \
	 MFD_PARAMS_OWN_THREADS | MFD_PARAMS_NO_WORKERS | MFD_PARAMS_FIT)

/* What does not go together. */
static int check_flags(const struct mfd_params *params, struct mfd_error *err)
{
	bool no_main = params->flags & MFD_PARAMS_NO_MAIN;

	if (params->flags & ~MFD_PARAMS_ALL)
		return mfd_error_set(err, EINVAL, "unknown flags 0x%x",
				     params->flags & ~MFD_PARAMS_ALL);
	if (params->flags & MFD_PARAMS_SPLICE && params->flags & MFD_PARAMS_OWN_THREADS)
		return mfd_error_set(err, EINVAL,
				     "splice needs threads of the library's, which get no SIGPIPE");
	if (no_main && params->detection == MFD_DETECTION_LEGACY)
		return mfd_error_set(err, EINVAL,
				     "legacy detection announces zero pages on the main connection, and there is to be none");
	return 0;
}

/* The destination's machine type goes into the main connection. */
static int check_machine(const struct mfd_session *session, const struct mfd_params *params,
			 struct mfd_error *err)
{
	if (!params->machine)
		return mfd_error_set(err, EINVAL,
				     "machine: the destination's machine type, \"none\" for -M none, is missing");
	if (strlen(params->machine) >= sizeof(session->machine))
		return mfd_error_set(err, EINVAL, "the machine type's name is too long");
	return 0;
}

/* What the kernel would say too, but not which parameter it means. */
static int check_params(struct mfd_session *session, const struct mfd_params *params,
			struct mfd_error *err)
{
	const struct mzp_info *info = &session->info;
	int ret;

	if (params->channels < 1 || params->channels > info->max_channels)
		return mfd_error_set(err, EINVAL, "channels: 1 to %u are possible, not %u",
				     info->max_channels, params->channels);
	if (params->method > 31 || !(info->methods & 1u << params->method))
		return mfd_error_set(err, EOPNOTSUPP,
				     "the module cannot compress with %s; if the kernel's compressor is a module of its own (zstd_compress), load that first, then multifd_zp again",
				     params->method == MFD_METHOD_ZLIB ? "zlib" :
				     params->method == MFD_METHOD_ZSTD ? "zstd" : "that");
	ret = check_level(session, params, err);
	if (ret)
		return ret;
	if (params->detection > 31 || !(info->detections & 1u << params->detection))
		return mfd_error_set(err, EOPNOTSUPP,
				     "the module has no zero page detection %d",
				     params->detection);
	if (params->packet_pages > info->max_packet_pages)
		return mfd_error_set(err, EINVAL, "a packet has at most %u pages, not %u",
				     info->max_packet_pages, params->packet_pages);
	if (params->ring_packets > info->max_ring_packets ||
	    (params->ring_packets & (params->ring_packets - 1)))
		return mfd_error_set(err, EINVAL,
				     "a ring has a power of two up to %u packets, not %u",
				     info->max_ring_packets, params->ring_packets);
	if (params->tls && params->tls->server)
		return mfd_error_set(err, EINVAL,
				     "tls: a source's credentials are wanted (mfd_tls_source), not a destination's");
	ret = check_flags(params, err);
	return ret ? ret : check_machine(session, params, err);
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

static uint32_t setup_flags(const struct mfd_params *params)
{
	return (params->level == MFD_LEVEL_DEFAULT ? MZP_SETUP_DEFAULT_LEVEL : 0) |
	       (params->flags & MFD_PARAMS_FIT ? MZP_SETUP_FIT : 0) |
	       (params->flags & MFD_PARAMS_NO_WORKERS ? MZP_SETUP_NO_WORKERS : 0);
}

/* What the session is from now on; @setup says what the module has made of it. */
static void keep_params(struct mfd_session *session, const struct mfd_params *params,
			const struct mzp_setup *setup)
{
	session->params = *params;
	strcpy(session->machine, params->machine);
	session->params.machine = session->machine;
	session->params.cpus = NULL;
	session->params.packet_pages = setup->packet_pages;
	session->params.ring_packets = setup->ring_packets;
	session->state = MFD_SET_UP;
}

static int set_up(struct mfd_session *session, const struct mfd_params *params,
		  struct mfd_error *err)
{
	struct mzp_setup setup = {
		.size = sizeof(setup),
		.flags = setup_flags(params),
		.channels = params->channels,
		.method = params->method,
		.level = params->level == MFD_LEVEL_DEFAULT ? 0 : params->level,
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
	keep_params(session, params, &setup);
	return params->rate ? mfd_rate(session, params->rate, err) : 0;
}

int mfd_setup(struct mfd_session *session, const struct mfd_params *params,
	      struct mfd_error *err)
{
	struct mfd_params own;
	int ret;

	if (session && session->state != MFD_OPEN)
		return mfd_error_set(err, EBUSY, "the session has been set up before");
	ret = mfd_session_expect(session, MFD_OPEN, "setting up", err);
	if (ret)
		return ret;
	switch (mfd_sized_take(&own, sizeof(own), params)) {
	case 0:
		return set_up(session, &own, err);
	case -E2BIG:
		return mfd_error_set(err, E2BIG, "this libmfd is too old for what the program wants");
	default:
		return mfd_error_set(err, EINVAL, "struct mfd_params has no size");
	}
}

int mfd_rate(struct mfd_session *session, uint64_t bytes_per_second, struct mfd_error *err)
{
	struct mzp_rate rate = { .size = sizeof(rate), .rate = bytes_per_second };
	int ret;

	ret = mfd_session_expect(session, session && session->state == MFD_CONNECTED ?
				 MFD_CONNECTED : MFD_SET_UP, "limiting the bandwidth", err);
	return ret ? ret : mfd_device_call(session, MZP_IOC_RATE, &rate, err);
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/* A migration's beginning and end; the rounds in between are in round.c. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "address.h"
#include "block.h"
#include "device.h"
#include "error.h"
#include "job.h"
#include "main_conn.h"
#include "pump.h"

static int check_socket(int fd, struct mfd_error *err)
{
	socklen_t size = sizeof(int);
	int type = 0;

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) || type != SOCK_STREAM)
		return mfd_error_set(err, EINVAL, "that is no stream socket");
	return 0;
}

/* A destination is told all blocks at once, so there have to be some. */
static int check_blocks(const struct mfd_session *session, struct mfd_error *err)
{
	if (session->blocks || !mfd_has_main(session))
		return 0;
	return mfd_error_set(err, EINVAL, "there is no block to migrate");
}

int mfd_attach_main(struct mfd_session *session, int fd, struct mfd_error *err)
{
	struct mfd_error why = MFD_ERROR_NONE;
	int ret = mfd_session_expect(session, MFD_SET_UP, "attaching the main connection", err);

	if (!ret && (!mfd_has_main(session) || session->main.fd >= 0))
		ret = mfd_error_set(err, EINVAL, "there is one main connection, or none (MFD_PARAMS_NO_MAIN)");
	if (!ret)
		ret = check_socket(fd, err);
	if (ret)
		return ret;
	ret = mfd_main_begin(session, fd, &why);
	if (ret)
		mfd_main_disconnect(session, false);
	return mfd_session_refuse(ret, &why, err);
}

int mfd_attach_channel(struct mfd_session *session, uint32_t channel, int fd,
		       struct mfd_error *err)
{
	int ret = mfd_session_expect(session, MFD_SET_UP, "attaching a channel", err);

	if (!ret && channel >= session->params.channels)
		ret = mfd_error_set(err, EINVAL, "channel %u: there are %u, from 0 on", channel,
				    session->params.channels);
	if (!ret)
		ret = check_socket(fd, err);
	return ret ? ret : mfd_pump_attach(session, channel, fd, err);
}

static int start(struct mfd_session *session, struct mfd_error *err)
{
	int ret = mfd_pumps_start(session, err);

	if (ret || !mfd_has_main(session))
		return ret;
	/* the set-up section too has its SYNC, whichever the flush */
	ret = mfd_job_sync(session, false, err);
	if (!ret)
		ret = mfd_jobs_wait(session, err);
	return ret ? ret : mfd_main_setup(session, err);
}

static int check_attached(const struct mfd_session *session, struct mfd_error *err)
{
	unsigned int i;

	if (mfd_has_main(session) && session->main.fd < 0)
		return mfd_error_set(err, EINVAL, "starting: there is no main connection yet");
	for (i = 0; i < session->params.channels; i++)
		if (!session->pumps || session->pumps[i].socket.fd < 0)
			return mfd_error_set(err, EINVAL, "starting: channel %u has no socket yet",
					     i);
	return 0;
}

int mfd_start(struct mfd_session *session, struct mfd_error *err)
{
	struct mfd_error why = MFD_ERROR_NONE;
	int ret = mfd_session_expect(session, MFD_SET_UP, "starting", err);

	if (!ret)
		ret = check_blocks(session, err);
	if (!ret)
		ret = check_attached(session, err);
	if (!ret)
		ret = mfd_session_result(session, start(session, &why), &why, err);
	if (ret)
		return ret;
	session->started = mfd_now();
	session->state = MFD_CONNECTED;
	return 0;
}

/*
 * All connections, or none. The main one first: a QEMU destination looks at what is sent
 * there before it accepts another.
 */
static int connect_all(struct mfd_session *session, const char *text, struct mfd_error *err)
{
	struct mfd_address address;
	struct mfd_endpoint endpoint;
	int fd, ret = mfd_address_parse(&address, text, err);

	if (ret)
		return ret;
	/* the name that a certificate must have; no host: this machine */
	if (!address.local && !address.vsock)
		strcpy(session->host, *address.host ? address.host : "localhost");
	ret = mfd_socket_connect(session, &address, &endpoint, &fd, err);
	if (ret) {
		mfd_error_prefix(err, "%.128s", text);
		return ret;
	}
	ret = mfd_main_begin(session, fd, err);
	return ret ? ret : mfd_pumps_connect(session, &endpoint, err);
}

static bool has_sockets(const struct mfd_session *session)
{
	unsigned int i;

	for (i = 0; session->pumps && i < session->params.channels; i++)
		if (session->pumps[i].socket.fd >= 0)
			return true;
	return session->main.fd >= 0;
}

static int check_connect(struct mfd_session *session, const char *address,
			 struct mfd_error *err)
{
	int ret = mfd_session_expect(session, MFD_SET_UP, "connecting", err);

	if (ret)
		return ret;
	if (!address)
		return mfd_error_set(err, EINVAL, "connecting: there is no address");
	if (!mfd_has_main(session))
		return mfd_error_set(err, EINVAL,
				     "connecting: without a main connection, attach sockets to the channels");
	if (session->params.flags & MFD_PARAMS_OWN_THREADS)
		return mfd_error_set(err, EINVAL,
				     "connecting: with threads of the caller's, attach sockets to the channels");
	if (has_sockets(session))
		return mfd_error_set(err, EINVAL, "connecting: there are sockets already");
	return check_blocks(session, err);
}

int mfd_connect(struct mfd_session *session, const char *address, struct mfd_error *err)
{
	struct mfd_error why = MFD_ERROR_NONE;
	int ret = check_connect(session, address, err);

	if (ret)
		return ret;
	ret = connect_all(session, address, &why);
	if (!ret)
		return mfd_start(session, err);
	mfd_pumps_disconnect(session);
	mfd_main_disconnect(session, true);
	/* it may have been cancelled */
	return mfd_session_check(session, err) ?: mfd_session_refuse(ret, &why, err);
}

/* The last section of RAM. With flush by section it has a SYNC of its own. */
static int end_ram(struct mfd_session *session, struct mfd_error *err)
{
	int ret = 0;

	if (session->ram_ended || !mfd_has_main(session))
		return 0;
	if (session->params.flush == MFD_FLUSH_SECTION) {
		ret = mfd_job_sync(session, false, err);
		if (!ret)
			ret = mfd_jobs_wait(session, err);
	}
	if (!ret)
		ret = mfd_main_last(session, err);
	session->ram_ended = !ret;
	return ret;
}

static int finish_round(struct mfd_session *session, struct mfd_error *err)
{
	return session->round_open ? mfd_round_finish(session, NULL, err) : 0;
}

static int begin_devices(struct mfd_session *session, struct mfd_error *err)
{
	int ret = mfd_session_expect(session, MFD_CONNECTED, "sending the state of devices", err);

	if (!ret && !mfd_has_main(session))
		ret = mfd_error_set(err, EINVAL,
				    "sending the state of devices: there is no main connection");
	return ret ? ret : finish_round(session, err);
}

int mfd_device_state(struct mfd_session *session, const void *data, size_t size,
		     struct mfd_error *err)
{
	struct mfd_error why = MFD_ERROR_NONE;
	int ret = begin_devices(session, err);

	if (ret)
		return ret;
	if (size && !data)
		return mfd_error_set(err, EINVAL, "sending the state of devices: there is none");
	ret = end_ram(session, &why);
	if (!ret)
		ret = mfd_main_raw(session, data, size, &why);
	return mfd_session_result(session, ret, &why, err);
}

int mfd_device_section(struct mfd_session *session, const char *idstr, uint32_t instance,
		       uint32_t version, const void *data, size_t size, struct mfd_error *err)
{
	struct mfd_error why = MFD_ERROR_NONE;
	int ret = begin_devices(session, err);

	if (ret)
		return ret;
	if (!idstr || !*idstr || strlen(idstr) > 255 || (size && !data))
		return mfd_error_set(err, EINVAL,
				     "a device's section has a name of 1 to 255 bytes, and data");
	ret = end_ram(session, &why);
	if (!ret)
		ret = mfd_main_device(session, idstr, instance, version, data, size, &why);
	return mfd_session_result(session, ret, &why, err);
}

/*
 * The end marker goes out only when the channels are at their ends: a
 * destination that has read it closes all connections, and a pump would take
 * that for a failure.
 */
static int close_stream(struct mfd_session *session, struct mfd_error *err)
{
	struct mzp_end end = { .size = sizeof(end) };
	int ret = end_ram(session, err);

	if (!ret)
		ret = mfd_device_call(session, MZP_IOC_END, &end, err);
	if (!ret)
		ret = mfd_pumps_drain(session, err);
	return ret || !mfd_has_main(session) ? ret : mfd_main_close(session, err);
}

int mfd_finish(struct mfd_session *session, struct mfd_error *err)
{
	struct mfd_error why = MFD_ERROR_NONE;
	int ret = mfd_session_expect(session, MFD_CONNECTED, "finishing", err);

	if (!ret)
		ret = finish_round(session, err);
	if (!ret)
		ret = mfd_session_result(session, close_stream(session, &why), &why, err);
	if (!ret)
		session->state = MFD_FINISHED;
	return ret;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libmfd-qmp: asking a QEMU destination about itself. */
#ifndef MFD_QMP_H
#define MFD_QMP_H

#include "mfd.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct mfd_peer - what a running destination says about itself
 * @size: sizeof(struct mfd_peer), set by the caller
 * @major: QEMU's version
 * @minor: likewise
 * @compat_major: what it asks for (mfd_compat_version()): its machine type's version if it
 *	has one
 * @compat_minor: likewise
 * @channels: its ``multifd-channels``
 * @multifd: whether its multifd capability is on
 * @machine: machine type name, as in ``-M``
 */
struct mfd_peer {
	uint32_t size;
	uint32_t major;
	uint32_t minor;
	uint32_t compat_major;
	uint32_t compat_minor;
	uint32_t channels;
	uint32_t multifd;
	char machine[64];
};

/**
 * mfd_peer_query - ask a destination through its QMP socket
 * @peer: out
 * @path: of the UNIX socket. QMP serves one client at a time: while another is
 *	connected, this call waits for it to leave.
 * @timeout_ms: how long the whole conversation may take
 * @err: out: what went wrong, or NULL
 *
 * Return: 0; -ETIMEDOUT; -EPROTO: that is not QMP; or the socket's error.
 */
MFD_API int mfd_peer_query(struct mfd_peer *peer, const char *path,
			   uint32_t timeout_ms, struct mfd_error *err);

#ifdef __cplusplus
}
#endif

#endif /* MFD_QMP_H */

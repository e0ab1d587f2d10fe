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
 * @major: QEMU's version
 * @minor: likewise
 * @machine: machine type name, as in ``-M``
 * @compat: what it asks for, its machine type's version counting if it has one
 * @channels: its ``multifd-channels``
 * @multifd: whether its multifd capability is on
 */
struct mfd_peer {
	unsigned int major;
	unsigned int minor;
	char machine[64];
	struct mfd_compat compat;
	unsigned int channels;
	int multifd;
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
			   unsigned int timeout_ms, struct mfd_error *err);

#ifdef __cplusplus
}
#endif

#endif /* MFD_QMP_H */

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
 * @compat_major: what it asks for (mfd_compat_version()), as mfd_compat_machine() finds
 *	by its machine type; 0: that is not known, and not to be guessed: people have to say
 *	it
 * @compat_minor: likewise
 * @channels: its ``multifd-channels``
 * @multifd: whether its multifd capability is on
 * @machine: machine type name, as in ``-M``
 * @method: its ``multifd-compression``: "none", "zlib", "zstd" or another one
 * @uuid: its ``-uuid``, all zero if it has none
 * @memory_files: how many of its objects are memory in a file (``memory-backend-file``), which
 *	may hold something already: then ``MFD_SEND_FRESH`` would leave it there
 *
 * A property that was set with ``-global``, such as
 * ``migration.multifd-flush-after-each-section``, cannot be asked.
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
	char method[16];
	uint8_t uuid[16];
	uint32_t memory_files;
};

/**
 * mfd_peer_query - ask a destination through its QMP socket
 * @peer: out
 * @address: of the socket: ``unix:PATH``, a path alone, or ``tcp:HOST:PORT``. QMP serves
 *	one client at a time: while another is connected, this call waits for it to leave.
 * @timeout_ms: how long the whole conversation may take
 * @err: out: what went wrong, or NULL
 *
 * Return: 0; -ETIMEDOUT; -EPROTO: that is not QMP; or the socket's error.
 */
MFD_API int mfd_peer_query(struct mfd_peer *peer, const char *address,
			   uint32_t timeout_ms, struct mfd_error *err);

/**
 * enum mfd_outcome_state - how a destination's migration ended
 * @MFD_OUTCOME_NONE: it does not know of any
 * @MFD_OUTCOME_ACTIVE: it has not
 * @MFD_OUTCOME_COMPLETED: well
 * @MFD_OUTCOME_FAILED: not well
 */
enum mfd_outcome_state {
	MFD_OUTCOME_NONE = 0,
	MFD_OUTCOME_ACTIVE,
	MFD_OUTCOME_COMPLETED,
	MFD_OUTCOME_FAILED,
};

/**
 * struct mfd_outcome - how a migration ended, as the destination sees it
 * @size: sizeof(struct mfd_outcome), set by the caller
 * @state: of enum mfd_outcome_state
 * @reason: QEMU's own words why it failed, or ""; of many words the last ones
 */
struct mfd_outcome {
	uint32_t size;
	uint32_t state;
	char reason[256];
};

/**
 * mfd_peer_outcome - ask a destination how the migration ended
 * @outcome: out
 * @address: as in mfd_peer_query()
 * @timeout_ms: how long to wait for the end, and for answers. Then the state may still be
 *	MFD_OUTCOME_ACTIVE.
 * @err: out: what went wrong, or NULL
 *
 * For when mfd_finish() has returned, whatever it returned. A destination that was not
 * told to stay (``exit-on-error`` of migrate-incoming) ends itself when a migration fails:
 * then nobody answers, and its log says why.
 *
 * Return: 0; -ECONNREFUSED, -ENOENT, -ECONNRESET: it is gone; or as mfd_peer_query().
 */
MFD_API int mfd_peer_outcome(struct mfd_outcome *outcome, const char *address,
			     uint32_t timeout_ms, struct mfd_error *err);

#ifdef __cplusplus
}
#endif

#endif /* MFD_QMP_H */

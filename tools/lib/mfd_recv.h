/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libmfd-recv: the destination's side of a multifd migration, for a VMM that is
 * not QEMU. It needs no kernel module. The source is QEMU, or this library.
 *
 *	mfd_recv_open → mfd_recv_block_add … → mfd_recv_listen → mfd_recv_run
 *	  → mfd_recv_close
 *
 * Calls for one migration come from one thread at a time; mfd_recv_cancel,
 * mfd_recv_progress and mfd_recv_channel_stats may come from any thread at any
 * time between mfd_recv_open and mfd_recv_close.
 */
#ifndef MFD_RECV_H
#define MFD_RECV_H

#include "mfd.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mfd_recv;

/**
 * enum mfd_recv_state - where an incoming migration is
 * @MFD_RECV_OPEN: not listening yet
 * @MFD_RECV_LISTENING: waiting for the source
 * @MFD_RECV_RECEIVING: the source is there
 * @MFD_RECV_COMPLETE: mfd_recv_run has returned, and all is there
 * @MFD_RECV_FAILED: it has failed
 */
enum mfd_recv_state {
	MFD_RECV_OPEN = 0,
	MFD_RECV_LISTENING,
	MFD_RECV_RECEIVING,
	MFD_RECV_COMPLETE,
	MFD_RECV_FAILED,
};

/**
 * struct mfd_recv_progress - how far an incoming migration is
 * @size: sizeof(struct mfd_recv_progress), set by the caller
 * @state: of enum mfd_recv_state
 * @syncs: times that the channels waited for each other, the set-up included
 * @packets: packets received, those for SYNC included
 * @normal: pages received with their contents
 * @zero: pages that the source announced as zero
 * @cleared: those of @zero that held data here, so had to be written
 * @bytes: bytes received, on all connections
 * @device_bytes: bytes of them that are the state of devices
 * @strangers: connections that were turned away before the source was there
 * @ns: time since the source was there, in nanoseconds; until the end, if it has ended
 */
struct mfd_recv_progress {
	uint32_t size;
	uint32_t state;
	uint64_t syncs;
	uint64_t packets;
	uint64_t normal;
	uint64_t zero;
	uint64_t cleared;
	uint64_t bytes;
	uint64_t device_bytes;
	uint64_t strangers;
	uint64_t ns;
};

/**
 * struct mfd_recv_channel_stats - what came on one channel
 * @size: sizeof(struct mfd_recv_channel_stats), set by the caller
 * @channel: its id
 * @packets: as in struct mfd_recv_progress
 * @normal: likewise
 * @zero: likewise, without those announced on the main connection
 * @cleared: likewise
 * @syncs: packets with SYNC
 * @bytes: likewise
 */
struct mfd_recv_channel_stats {
	uint32_t size;
	uint32_t channel;
	uint64_t packets;
	uint64_t normal;
	uint64_t zero;
	uint64_t cleared;
	uint64_t syncs;
	uint64_t bytes;
};

/**
 * struct mfd_recv_packet - a packet that was received
 * @size: sizeof(struct mfd_recv_packet) of the library
 * @channel: its channel's id
 * @packet_num: the number that the source gave it
 * @normal_pages: pages with their contents
 * @zero_pages: pages that are zero
 * @flags: as on the wire
 * @payload_size: bytes behind its header, as it says
 */
struct mfd_recv_packet {
	uint32_t size;
	uint32_t channel;
	uint64_t packet_num;
	uint32_t normal_pages;
	uint32_t zero_pages;
	uint32_t flags;
	uint32_t payload_size;
};

/**
 * struct mfd_recv_params - parameters; start from mfd_recv_params_init()
 * @size: sizeof(struct mfd_recv_params), set by the caller
 * @channels: 1 to 255; the source's ``multifd-channels``
 * @method: of enum mfd_method; the source's ``multifd-compression``
 * @stall_ms: give up if nothing comes on any connection for so long, once the source is
 *	there; or if a connection does not say for so long what it is. 0: never. A
 *	source may pause between rounds.
 * @switchover_ack: 1: the source has the capability ``switchover-ack``, and waits to be told
 *	that nothing here holds up its last round; 0: it does not, and that would be an
 *	error to it. See Documentation/receiver.rst for which do
 * @reserved: 0
 * @compat: the generation of the source's machine type, so that the stream is
 *	held to it: the way of flushing must be its, and from 9.0 on no packet may
 *	carry the stale sizes of older sources. NULL: not known, the stream
 *	shows how it flushes. Copied by mfd_recv_open.
 * @uuid: the VM's; all zero if it has none
 * @machine: the machine type that the source must have, NULL: any. Copied.
 * @device_state: called by mfd_recv_run, in its thread, with what is not RAM in the
 *	stream: sections that come early (of virtio-mem), each from its header to its
 *	footer, while RAM is under way; then what follows RAM, beginning with the header
 *	of the first section, up to and including the end marker and the description
 *	behind it. Returns 0, or a negative errno that fails the migration. NULL: it is
 *	dropped
 * @packet: called for each packet, in the thread of its channel, so for several
 *	at the same time; or NULL
 * @progress: called about ten times a second by mfd_recv_run, in its thread, or
 *	NULL. It may call mfd_recv_cancel.
 * @stranger: called for each connection that is turned away since it is not the
 *	source, with the reason; by mfd_recv_run, in its thread. Or NULL
 * @opaque: passed to these functions
 * @tls: what the connections are encrypted with, from mfd_tls_destination of libmfd-tls; NULL:
 *	they are not. It stays the caller's, who keeps it until mfd_recv_close.
 */
struct mfd_recv_params {
	uint32_t size;
	uint32_t channels;
	uint32_t method;
	uint32_t stall_ms;
	uint32_t switchover_ack;
	uint32_t reserved;
	const struct mfd_compat *compat;
	uint8_t uuid[16];
	const char *machine;
	int (*device_state)(const void *data, size_t size, void *opaque);
	void (*packet)(const struct mfd_recv_packet *packet, void *opaque);
	void (*progress)(const struct mfd_recv_progress *now, void *opaque);
	void (*stranger)(const struct mfd_error *why, void *opaque);
	void *opaque;
	struct mfd_tls *tls;
};

/**
 * mfd_recv_params_init - the defaults
 * @params: its size is set; the rest is filled in: two channels, as QEMU's default,
 *	method none, any source, a minute's patience
 *
 * Context: any thread.
 * Return: 0; -EINVAL: that is no size.
 */
MFD_API int mfd_recv_params_init(struct mfd_recv_params *params);

/**
 * mfd_recv_open - prepare to receive a migration
 * @recv: out: owned by the caller until mfd_recv_close
 * @params: read and copied
 * @err: out: what went wrong, or NULL
 *
 * Return: 0; -EINVAL; -EOPNOTSUPP: no such method; -ENOMEM; -EMFILE.
 */
MFD_API int mfd_recv_open(struct mfd_recv **recv, const struct mfd_recv_params *params,
			  struct mfd_error *err);

/**
 * enum mfd_recv_flags - flags of mfd_recv_block_add
 * @MFD_RECV_FRESH: all of the memory is zero, and nobody has written to it since it
 *	was made: zero pages that arrive for the first time are not even looked at
 */
enum mfd_recv_flags {
	MFD_RECV_FRESH = 1 << 0,
};

/**
 * mfd_recv_block_add - name a stretch of memory that takes a RAM block
 * @recv: not listening yet
 * @idstr: the source's name for it, 1 to 255 bytes; copied
 * @addr: where it is mapped, writable and page-aligned. Whoever maps it keeps
 *	owning it; it stays mapped until mfd_recv_run has returned. Pages that the
 *	source does not mention, because they never held data there, keep what
 *	they hold: they should be zero.
 * @length: bytes, a multiple of the page size, equal to the source's
 * @flags: of enum mfd_recv_flags
 * @err: out: what went wrong, or NULL
 *
 * Without MFD_RECV_FRESH, a page that is announced as zero is read first, and
 * written only if need be. In a mapping of a file, reading a hole allocates it:
 * then mfd_recv_block_add_fd is the better one.
 *
 * Return: 0; -EEXIST: there is a block of that name; -EINVAL; -ENOMEM.
 */
MFD_API int mfd_recv_block_add(struct mfd_recv *recv, const char *idstr, void *addr,
			       uint64_t length, unsigned int flags, struct mfd_error *err);

/**
 * mfd_recv_block_add_fd - name a stretch of a file that takes a RAM block
 * @recv: not listening yet
 * @idstr: as mfd_recv_block_add
 * @fd: a memfd or another file, open for reading and writing, at least
 *	@offset + @length bytes long. It is mapped until mfd_recv_close; the caller
 *	may close @fd.
 * @offset: where the block starts in it, in bytes, page-aligned
 * @length: as mfd_recv_block_add
 * @err: out: what went wrong, or NULL
 *
 * Looks for the file's holes: they stay holes unless the source has data for
 * them.
 *
 * Return: 0; -EEXIST; -EINVAL: also if the file is too short; -EACCES; -ENOMEM.
 */
MFD_API int mfd_recv_block_add_fd(struct mfd_recv *recv, const char *idstr, int fd,
				  uint64_t offset, uint64_t length, struct mfd_error *err);

/**
 * mfd_recv_listen - let the source connect
 * @recv: with all its blocks
 * @address: ``tcp:HOST:PORT`` (an IPv6 host in brackets; an empty HOST: all of
 *	this machine's addresses; PORT 0: any), ``unix:PATH``, ``unix:@NAME`` (abstract),
 *	``vsock:CID:PORT``, or ``fd:N``: a socket of any of these kinds that listens
 *	already, as systemd passes it on; the descriptor stays the caller's
 * @err: out: what went wrong, or NULL
 *
 * A HOST that is a name is looked up within stall_ms, and mfd_recv_cancel ends that. The
 * lookup goes on in a thread of its own until the system's resolver gives it up.
 *
 * Return: 0; -ETIMEDOUT: a name server is silent; -ECANCELED; or the error of the address
 * or the socket.
 */
MFD_API int mfd_recv_listen(struct mfd_recv *recv, const char *address,
			    struct mfd_error *err);

/**
 * mfd_recv_address - where it listens
 * @recv: listening, or later
 *
 * Return: the address in numbers, with the port that was chosen. It is good until
 * mfd_recv_close.
 */
MFD_API const char *mfd_recv_address(struct mfd_recv *recv);

/**
 * mfd_recv_run - receive the migration
 * @recv: listening
 * @err: out: what went wrong, or NULL
 *
 * Waits for the source as long as it takes, turning others away, then for a main
 * connection and all channels, then receives until the source has ended all of them, or has
 * been told on a return path that it may. Serves the
 * main connection in the caller's thread, and each channel in one of its own,
 * which blocks all signals but those of its own faults (SIGBUS and the like), and
 * is gone when the function returns, whatever it returns. All that arrives is
 * checked; what is not as it should be ends the migration, with an error that says
 * where and what.
 *
 * Return: 0: all of RAM is there, and the stream ended as it should. -EPROTO:
 * the source sent something wrong; -ETIMEDOUT: it was silent for stall_ms;
 * -EFAULT: memory cannot be written; -ECANCELED; or an error of a socket or a
 * thread. After an error memory holds a part of the guest, and the guest must not
 * be run; the source's connections are reset (UNIX: see
 * Documentation/receiver.rst), so that it does not take their end for success.
 */
MFD_API int mfd_recv_run(struct mfd_recv *recv, struct mfd_error *err);

/**
 * mfd_recv_cancel - make the migration fail now
 * @recv: in any state
 *
 * mfd_recv_run returns -ECANCELED soon, or at once if it is called later.
 * Context: any thread, or one of the functions in params; not a signal handler.
 */
MFD_API void mfd_recv_cancel(struct mfd_recv *recv);

/**
 * mfd_recv_progress - how far the migration is
 * @recv: in any state
 * @progress: out
 *
 * Context: any thread.
 * Return: 0; -EINVAL: @progress has no size.
 */
MFD_API int mfd_recv_progress(struct mfd_recv *recv, struct mfd_recv_progress *progress);

/**
 * mfd_recv_channel_stats - what came on a channel
 * @recv: in any state
 * @id: of the channel
 * @stats: out
 *
 * Context: any thread.
 *
 * Return: 0; -EINVAL: no such channel, or @stats has no size.
 */
MFD_API int mfd_recv_channel_stats(struct mfd_recv *recv, unsigned int id,
				   struct mfd_recv_channel_stats *stats);

/**
 * mfd_recv_close - free everything
 * @recv: mfd_recv_run has returned or was never called; or NULL
 *
 * Stops listening, and unmaps what mfd_recv_block_add_fd mapped.
 */
MFD_API void mfd_recv_close(struct mfd_recv *recv);

#ifdef __cplusplus
}
#endif

#endif /* MFD_RECV_H */

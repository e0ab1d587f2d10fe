/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libmfd: migrate a guest to a QEMU destination through multifd_zp.ko.
 *
 * The life of a migration:
 *
 *	mfd_open → mfd_setup → mfd_block_add … → mfd_connect
 *	  → { mfd_send_… … → mfd_round_finish } per round → mfd_finish → mfd_close
 *
 * Every structure begins with its size, which the caller sets before the library looks
 * at it or fills it in: programs and libraries of different ages understand each other,
 * and a member that the other does not know is zero. (Exempt is struct mfd_range, which
 * comes in arrays and is the kernel's.)
 *
 * Functions return 0 or a negative errno. What went wrong is in the struct
 * mfd_error that the caller passes last (or NULL), as a sentence for people. A pointer
 * that must not be NULL and is gives -EINVAL. An
 * error of mfd_connect, mfd_send_…, mfd_round_finish or mfd_finish is final: the
 * migration has failed, such calls repeat the first error from then on, and the
 * guest can simply go on running where it is.
 *
 * Calls for one session come from one thread at a time, all in the process that
 * called mfd_setup; mfd_cancel and mfd_progress may come from any thread at any
 * time between mfd_open and mfd_close. The library prints nothing, changes no
 * signal disposition, keeps no global state and never exits.
 */
#ifndef MFD_H
#define MFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MFD_API __attribute__((visibility("default")))

/* The version of this header. That of the library is mfd_version()'s. */
#define MFD_VERSION_MAJOR 0
#define MFD_VERSION_MINOR 1
#define MFD_VERSION_PATCH 0

/**
 * mfd_version - the version of the library that runs
 *
 * Context: any thread.
 * Return: such as "0.1.0", for ever good.
 */
MFD_API const char *mfd_version(void);

/**
 * enum mfd_error_kind - whose an error is
 * @MFD_ERROR_OTHER: none of the others
 * @MFD_ERROR_USAGE: the caller's: an argument is wrong, or it is too early or too late
 * @MFD_ERROR_RESOURCE: something is used up: memory, files, threads, a limit
 * @MFD_ERROR_MODULE: multifd_zp.ko is missing, too old, or not for this user
 * @MFD_ERROR_MEMORY: a page of the guest cannot be read (source) or written (destination)
 * @MFD_ERROR_NETWORK: an address, or a connection
 * @MFD_ERROR_PEER: the other side says something wrong, or that it has failed
 * @MFD_ERROR_TIMEOUT: the other side took too long
 * @MFD_ERROR_CANCELED: somebody wanted it to end
 */
enum mfd_error_kind {
	MFD_ERROR_OTHER = 0,
	MFD_ERROR_USAGE,
	MFD_ERROR_RESOURCE,
	MFD_ERROR_MODULE,
	MFD_ERROR_MEMORY,
	MFD_ERROR_NETWORK,
	MFD_ERROR_PEER,
	MFD_ERROR_TIMEOUT,
	MFD_ERROR_CANCELED,
};

/**
 * struct mfd_error - what went wrong
 * @size: sizeof(struct mfd_error), set by the caller; of an error that has none, nothing
 *	is filled in
 * @code: an errno value, positive
 * @kind: of enum mfd_error_kind
 * @channel: the channel whose error it is, or -1
 * @offset: the page's that is to blame, in bytes from the start of @block
 * @block: the block's name, or ""
 * @text: one line without a newline, saying what to do about it where possible
 */
struct mfd_error {
	uint32_t size;
	int32_t code;
	uint32_t kind;
	int32_t channel;
	uint64_t offset;
	char block[256];
	char text[256];
};

/**
 * enum mfd_method - how pages are compressed; QEMU's ``multifd-compression``
 * @MFD_METHOD_NONE: not at all
 * @MFD_METHOD_ZLIB: with zlib
 * @MFD_METHOD_ZSTD: with zstd
 */
enum mfd_method {
	MFD_METHOD_NONE = 0,
	MFD_METHOD_ZLIB,
	MFD_METHOD_ZSTD,
};

/**
 * enum mfd_detection - QEMU's ``zero-page-detection``
 * @MFD_DETECTION_NONE: zero pages are not looked for; any destination
 * @MFD_DETECTION_LEGACY: announced on the main connection; any destination
 * @MFD_DETECTION_MULTIFD: in the channels' packets; QEMU 9.0 and newer, older
 *	destinations silently lose the zero pages
 */
enum mfd_detection {
	MFD_DETECTION_NONE = 0,
	MFD_DETECTION_LEGACY,
	MFD_DETECTION_MULTIFD,
};

/**
 * enum mfd_flush - when the destination waits for the channels
 * @MFD_FLUSH_SECTION: at the end of every RAM section: machine types up to 8.0
 * @MFD_FLUSH_ROUND: when told so, once a round: machine types from 8.1 on
 *
 * It must be what the destination expects, or it hangs.
 */
enum mfd_flush {
	MFD_FLUSH_SECTION = 0,
	MFD_FLUSH_ROUND,
};

struct mfd_session;
struct mfd_block;

/**
 * struct mfd_info - what the kernel module can do; see struct mzp_info
 * @size: sizeof(struct mfd_info), set by the caller
 * @page_size: bytes
 * @methods: bit n set: method n of enum mfd_method
 * @detections: bit n set: mode n of enum mfd_detection
 * @max_channels: channels of a session
 * @max_packet_pages: pages of a packet
 * @max_ring_packets: packets in a channel's ring
 * @max_blocks: blocks of a session
 */
struct mfd_info {
	uint32_t size;
	uint32_t page_size;
	uint32_t methods;
	uint32_t detections;
	uint32_t max_channels;
	uint32_t max_packet_pages;
	uint32_t max_ring_packets;
	uint32_t max_blocks;
};

/**
 * struct mfd_progress - how far a migration is; all counts since mfd_connect
 * @size: sizeof(struct mfd_progress), set by the caller
 * @reserved: 0
 * @rounds: rounds finished
 * @submitted: pages handed over
 * @done: pages dealt with, as far as jobs are finished: @normal + @zero + @absent
 * @normal: pages sent with their contents
 * @zero: pages read and found to be zero
 * @absent: pages that hold no data, so were not read
 * @bytes: bytes that sockets have accepted, the main connection's included
 */
struct mfd_progress {
	uint32_t size;
	uint32_t reserved;
	uint64_t rounds;
	uint64_t submitted;
	uint64_t done;
	uint64_t normal;
	uint64_t zero;
	uint64_t absent;
	uint64_t bytes;
};

/* The level that a method has if none is asked for. */
#define MFD_LEVEL_DEFAULT INT32_MIN

/**
 * enum mfd_params_flags - flags of struct mfd_params
 * @MFD_PARAMS_SPLICE: bring the packets to the sockets by splice(2), through this
 *	process, instead of letting the module send them. Costs more CPU time.
 */
enum mfd_params_flags {
	MFD_PARAMS_SPLICE = 1 << 0,
};

/**
 * struct mfd_params - parameters of a session; start from mfd_params_init()
 * @size: sizeof(struct mfd_params), set by the caller
 * @channels: 1 to 255; the destination's ``multifd-channels``
 * @method: of enum mfd_method; the destination's ``multifd-compression``
 * @level: level of @method, or MFD_LEVEL_DEFAULT
 * @detection: of enum mfd_detection
 * @flush: of enum mfd_flush
 * @packet_pages: pages of a packet at most; 0: as many as QEMU
 * @ring_packets: packets that a channel holds ready, a power of two; 0: the
 *	module's default
 * @uuid: the destination's ``-uuid``, all zero if it has none
 * @cpus: CPUs whose module workers may work for the session, as for
 *	sched_setaffinity(2); NULL: those the caller may run on. The channels'
 *	threads run where the process may. Only read by mfd_setup.
 * @cpus_size: bytes at @cpus
 * @machine: machine type name of the destination; "none" for ``-M none``.
 *	Copied by mfd_setup.
 * @stall_ms: give up if the destination accepts nothing for so long although
 *	there is something to send, or does not finish when it has everything;
 *	0: never
 * @flags: of enum mfd_params_flags
 * @progress: called about ten times a second by functions that wait, in the
 *	caller's thread, or NULL. It may call mfd_cancel.
 * @opaque: passed to @progress
 */
struct mfd_params {
	uint32_t size;
	uint32_t channels;
	uint32_t method;
	int32_t level;
	uint32_t detection;
	uint32_t flush;
	uint32_t packet_pages;
	uint32_t ring_packets;
	uint8_t uuid[16];
	const void *cpus;
	size_t cpus_size;
	const char *machine;
	uint32_t stall_ms;
	uint32_t flags;
	void (*progress)(const struct mfd_progress *now, void *opaque);
	void *opaque;
};

/**
 * mfd_params_init - the defaults: a destination of the newest QEMU
 * @params: its size is set; the rest is filled in: two channels, as QEMU's default, method none, detection
 *	multifd, flush by round, machine "none", a minute's patience
 *
 * Context: any thread.
 * Return: 0; -EINVAL: that is no size.
 */
MFD_API int mfd_params_init(struct mfd_params *params);

/**
 * mfd_open - open /dev/multifd_zp
 * @session: out: the new session, owned by the caller until mfd_close
 * @err: out: what went wrong, or NULL
 *
 * Return: 0; -ENOENT: the module is not loaded; -EACCES: not in the device's
 * group; -EPROTO: the module speaks another version of the API.
 */
MFD_API int mfd_open(struct mfd_session **session, struct mfd_error *err);

/**
 * mfd_info - what the module can do
 * @session: from mfd_open, in any state
 * @info: out
 * @err: out: what went wrong, or NULL
 */
MFD_API int mfd_info(struct mfd_session *session, struct mfd_info *info,
		     struct mfd_error *err);

/**
 * mfd_setup - configure the session, once
 * @session: from mfd_open
 * @params: read and copied
 * @err: out: what went wrong, or NULL
 *
 * Ties the session to the calling process's address space: RAM blocks are in it.
 *
 * Return: 0; -ENOMEM: also when the pages in flight are more than RLIMIT_MEMLOCK
 * allows; -EOPNOTSUPP: the module cannot do that; -EINVAL; -EBUSY: set up before.
 */
MFD_API int mfd_setup(struct mfd_session *session, const struct mfd_params *params,
		      struct mfd_error *err);

/**
 * mfd_block_add - name a stretch of guest memory
 * @session: set up, not connected yet
 * @idstr: the destination's name for it, 1 to 255 bytes; copied
 * @addr: where it is mapped here, page-aligned. Whoever maps it keeps owning
 *	it; it stays mapped until mfd_finish or mfd_close.
 * @length: bytes, a multiple of the page size; the destination's used length
 * @block: out: for mfd_send_…; it lives as long as the session
 * @err: out: what went wrong, or NULL
 *
 * Return: 0; -EEXIST: there is a block of that name; -ENOSPC: too many; -EINVAL.
 */
MFD_API int mfd_block_add(struct mfd_session *session, const char *idstr,
			  const void *addr, uint64_t length,
			  struct mfd_block **block, struct mfd_error *err);

/**
 * mfd_block_add_fd - name a stretch of a file that is guest memory
 * @session: set up, not connected yet
 * @idstr: as mfd_block_add
 * @fd: a memfd, or a file on tmpfs or hugetlbfs, open for reading. The module
 *	keeps the file; the caller may close @fd.
 * @offset: where the block starts in it, in bytes, page-aligned
 * @length: as mfd_block_add
 * @block: as mfd_block_add
 * @err: out: what went wrong, or NULL
 *
 * Needs no mapping, so that a process other than the VMM can migrate its
 * memory, for instance with an fd opened from /proc/PID/fd.
 *
 * Return: as mfd_block_add; -EOPNOTSUPP: memory of that kind has to be given by
 * address; -EACCES: not open for reading; -EBADF.
 */
MFD_API int mfd_block_add_fd(struct mfd_session *session, const char *idstr, int fd,
			     uint64_t offset, uint64_t length,
			     struct mfd_block **block, struct mfd_error *err);

/**
 * mfd_connect - connect to the destination and tell it about the blocks
 * @session: set up, with all its blocks
 * @address: ``tcp:HOST:PORT`` (an IPv6 host in brackets) or ``unix:PATH``
 * @err: out: what went wrong, or NULL
 *
 * Opens the main connection and the channels and starts a thread for each
 * channel that brings its packets to its socket, and makes those that the module's
 * workers have not made. These threads block all signals but those of their own
 * faults (SIGBUS and the like). Waits for the destination to accept, at most the
 * session's stall_ms.
 *
 * Return: 0 or the error of the address, a socket, a thread or the module.
 */
MFD_API int mfd_connect(struct mfd_session *session, const char *address,
			struct mfd_error *err);

/**
 * enum mfd_send_flags - flags of mfd_send_…
 * @MFD_SEND_FRESH: the destination's RAM has not been written yet, so pages that
 *	never held data need not be sent: in the first round
 */
enum mfd_send_flags {
	MFD_SEND_FRESH = 1 << 0,
};

/**
 * mfd_send_all - send all pages of a block in this round
 * @block: of a connected session
 * @flags: of enum mfd_send_flags
 * @err: out: what went wrong, or NULL
 *
 * Like all mfd_send_…: what arrives of a page is at least as new as when the
 * function returns; what is written later belongs in the dirty log and in the
 * next round. No page may be handed over twice in a round. The work is done in
 * the background; the function may wait for earlier parts of the round, so
 * for the destination.
 *
 * Return: 0 or an error that ends the migration.
 */
MFD_API int mfd_send_all(struct mfd_block *block, unsigned int flags,
			 struct mfd_error *err);

/**
 * mfd_send_bitmap - send the pages whose bits are set
 * @block: of a connected session
 * @first_page: page of bit 0, counted from the start of the block
 * @page_count: bits that count, at least 1; those behind are ignored
 * @bitmap: little-endian 64-bit words, as KVM_GET_DIRTY_LOG fills them in; copied
 * @flags: of enum mfd_send_flags
 * @err: out: what went wrong, or NULL
 *
 * See mfd_send_all.
 *
 * Return: 0 or an error that ends the migration.
 */
MFD_API int mfd_send_bitmap(struct mfd_block *block, uint64_t first_page,
			    uint64_t page_count, const uint64_t *bitmap,
			    unsigned int flags, struct mfd_error *err);

/**
 * struct mfd_range - laid out like PAGEMAP_SCAN's struct page_region
 * @start: first byte, page-aligned
 * @end: the byte behind the last one, page-aligned
 * @categories: ignored
 */
struct mfd_range {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

/**
 * mfd_send_ranges - send the pages of ranges
 * @block: of a connected session
 * @ranges: ascending, not empty, not overlapping; copied
 * @nr_ranges: how many; none is a round without work
 * @base: subtracted from the ranges' start and end to get bytes from the start
 *	of the block: its address if the ranges are addresses, 0 if they are offsets
 * @flags: of enum mfd_send_flags
 * @err: out: what went wrong, or NULL
 *
 * See mfd_send_all.
 *
 * Return: 0 or an error that ends the migration.
 */
MFD_API int mfd_send_ranges(struct mfd_block *block, const struct mfd_range *ranges,
			    uint32_t nr_ranges, uint64_t base, unsigned int flags,
			    struct mfd_error *err);

/**
 * struct mfd_round - a finished round
 * @size: sizeof(struct mfd_round), set by the caller
 * @number: of the round, from 1 on
 * @pages: pages handed over in it
 * @normal: those sent with their contents
 * @zero: those read and found to be zero
 * @absent: those that hold no data, so were not read
 * @bytes: what sockets have accepted since the previous round was finished. The
 *	last packets of a round may still be in the rings, and count for the next.
 * @ns: from its first mfd_send_… to the end of mfd_round_finish
 */
struct mfd_round {
	uint32_t size;
	uint32_t number;
	uint64_t pages;
	uint64_t normal;
	uint64_t zero;
	uint64_t absent;
	uint64_t bytes;
	uint64_t ns;
};

/**
 * mfd_round_finish - complete a round: everything handed over since the last one
 * @session: connected
 * @round: out: its counts; or NULL
 * @err: out: what went wrong, or NULL
 *
 * When it returns, all packets of the round are on their way to the sockets, in
 * an order in which no page of a later round can be overtaken. A round may be
 * empty.
 *
 * Return: 0 or an error that ends the migration.
 */
MFD_API int mfd_round_finish(struct mfd_session *session, struct mfd_round *round,
			     struct mfd_error *err);

/**
 * mfd_finish - end the stream, and wait until the destination has taken it all
 * @session: connected; a round that is not finished is finished first
 * @err: out: what went wrong, or NULL
 *
 * The guest must not run any more when its last round is handed over, and not
 * before this function has failed either: what is under way are references to its
 * memory, not copies. Afterwards only mfd_progress and mfd_close are useful.
 *
 * The destination has read the end of the main connection when it ends its side of
 * that; then the channels are ended, and it has to acknowledge all that is on them
 * and to end them too. There is no return path, so with TCP this is as much as can
 * be known: "How it ends" in Documentation/wire.rst.
 *
 * Return: 0: the destination has read every byte and ended its side of all
 * connections. An error otherwise: the destination does not have the guest.
 * -ETIMEDOUT: it did nothing for stall_ms; -EPIPE, -ECONNRESET: it gave up.
 */
MFD_API int mfd_finish(struct mfd_session *session, struct mfd_error *err);

/**
 * mfd_cancel - make the migration fail now
 * @session: in any state
 *
 * A call that is under way in another thread returns -ECANCELED soon.
 * Context: any thread, or the progress function; not a signal handler.
 */
MFD_API void mfd_cancel(struct mfd_session *session);

/**
 * mfd_progress - how far the migration is
 * @session: in any state
 * @progress: out
 *
 * Context: any thread.
 * Return: 0; -EINVAL: @progress has no size.
 */
MFD_API int mfd_progress(struct mfd_session *session, struct mfd_progress *progress);

/**
 * mfd_close - end the session and free it
 * @session: in any state, or NULL
 *
 * A migration that has not been finished is cancelled. Ends the threads, closes
 * the sockets; waits neither for the destination nor for a userfaultfd handler that
 * a channel's thread waits for.
 */
MFD_API void mfd_close(struct mfd_session *session);

/**
 * struct mfd_compat - what the destination's generation asks for
 * @size: sizeof(struct mfd_compat), set by the caller
 * @major: of the destination's machine type (for ``none``: of its QEMU)
 * @minor: likewise
 * @flush: of enum mfd_flush: how it must be driven
 * @detection: of enum mfd_detection: the best one it understands
 */
struct mfd_compat {
	uint32_t size;
	uint32_t major;
	uint32_t minor;
	uint32_t flush;
	uint32_t detection;
};

/**
 * mfd_compat_version - what a destination of that generation asks for
 * @compat: out
 * @major: as in struct mfd_compat
 * @minor: likewise
 *
 * Return: 0; -EINVAL: @compat has no size.
 */
MFD_API int mfd_compat_version(struct mfd_compat *compat, uint32_t major, uint32_t minor);

/**
 * mfd_compat_parse - the same from a text such as "8.2"
 * @compat: out
 * @text: MAJOR.MINOR
 * @err: out: what went wrong, or NULL
 *
 * Return: 0; -EINVAL: not a version; -EOPNOTSUPP: older than multifd (4.0).
 */
MFD_API int mfd_compat_parse(struct mfd_compat *compat, const char *text,
			     struct mfd_error *err);

/**
 * mfd_compat_detection - may a detection be used with this destination?
 * @compat: its generation
 * @detection: to be checked
 * @err: out: why not, or NULL
 *
 * Return: 0; -EOPNOTSUPP: the destination would lose pages.
 */
MFD_API int mfd_compat_detection(const struct mfd_compat *compat,
				 uint32_t detection, struct mfd_error *err);

/**
 * mfd_uuid_parse - read a UUID of 32 hex digits, with or without hyphens
 * @uuid: out: 16 bytes
 * @text: e.g. "6f2e60cc-3ec4-4c3d-8ce2-8b0d5f4dbb39"
 * @err: out: what went wrong, or NULL
 *
 * Return: 0; -EINVAL.
 */
MFD_API int mfd_uuid_parse(uint8_t uuid[16], const char *text, struct mfd_error *err);

#ifdef __cplusplus
}
#endif

#endif /* MFD_H */

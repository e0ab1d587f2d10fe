/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libmfd: migrate a guest to a QEMU destination through multifd_zp.ko.
 *
 * The life of a migration:
 *
 *	mfd_open → mfd_setup → mfd_block_add … → mfd_connect
 *	  → { mfd_send_… … → mfd_round_finish } per round
 *	  → mfd_device_state … → mfd_finish → mfd_close
 *
 * A caller with sockets of its own calls mfd_attach_main, mfd_attach_channel … and
 * mfd_start instead of mfd_connect.
 *
 * Every structure begins with its size, which the caller sets before the library looks
 * at it or fills it in: programs and libraries of different ages understand each other,
 * and a member that the other does not know is zero. (Exempt is struct mfd_range, which
 * comes in arrays and is the kernel's.)
 *
 * Functions return 0 or a negative errno. What went wrong is in the struct
 * mfd_error that the caller passes last (or NULL), as a sentence for people. A pointer
 * that must not be NULL and is gives -EINVAL.
 *
 * An argument that is wrong, or a call at the wrong time, changes nothing, and the
 * migration goes on; so it does if mfd_connect finds nobody. What goes wrong on the way is
 * final: the migration has failed (MFD_STATE_FAILED), such calls repeat the first error
 * from then on, and the guest can simply go on running where it is.
 *
 * Calls for one session come from one thread at a time, all in the process that
 * called mfd_open; mfd_cancel, mfd_progress, mfd_rate and mfd_channel_run may come from
 * any thread between mfd_open and mfd_close, and mfd_dirty_… from when the session's blocks
 * are added until mfd_finish. In a child after fork(2) the session can be
 * closed, which touches nothing of the parent's; all else is -ECHILD there. The library
 * prints nothing, changes no signal disposition, keeps no global state and never exits.
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
struct mfd_tls;

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
 * enum mfd_progress_state - where a migration is, in QEMU's words
 * @MFD_STATE_SETUP: not connected yet
 * @MFD_STATE_ACTIVE: under way
 * @MFD_STATE_COMPLETED: the destination has the guest
 * @MFD_STATE_FAILED: it has not, and will not
 */
enum mfd_progress_state {
	MFD_STATE_SETUP = 0,
	MFD_STATE_ACTIVE,
	MFD_STATE_COMPLETED,
	MFD_STATE_FAILED,
};

/**
 * struct mfd_progress - how far a migration is; all counts since mfd_setup
 * @size: sizeof(struct mfd_progress), set by the caller
 * @state: of enum mfd_progress_state
 * @rounds: rounds finished
 * @submitted: pages handed over
 * @done: pages dealt with: @normal + @zero + @absent
 * @normal: pages sent with their contents
 * @zero: pages read and found to be zero
 * @absent: pages that hold no data, so were not read
 * @bytes: bytes that sockets have accepted, the main connection's included
 * @pending_pages: pages handed over that are not dealt with yet
 * @pending_bytes: bytes that are made, and that no socket has accepted yet
 * @unacknowledged: bytes in the sockets that the destination has not acknowledged
 */
struct mfd_progress {
	uint32_t size;
	uint32_t state;
	uint64_t rounds;
	uint64_t submitted;
	uint64_t done;
	uint64_t normal;
	uint64_t zero;
	uint64_t absent;
	uint64_t bytes;
	uint64_t pending_pages;
	uint64_t pending_bytes;
	uint64_t unacknowledged;
};

/* The level that a method has if none is asked for. */
#define MFD_LEVEL_DEFAULT INT32_MIN

/**
 * enum mfd_params_flags - flags of struct mfd_params
 * @MFD_PARAMS_SPLICE: bring the packets to the sockets by splice(2), through this
 *	process, instead of letting the module send them. Costs more CPU time.
 * @MFD_PARAMS_RETURN_PATH: ask the destination to say how it went: mfd_finish
 *	succeeds only if it says so. Without it there is nothing but the way in which
 *	connections end, and a relay or a tunnel makes an end of a reset.
 * @MFD_PARAMS_NO_MAIN: there is no main connection. The channels carry the guest's pages,
 *	and all else, such as names of blocks, the end of rounds and whether it
 *	succeeded, is between the caller and its peer.
 * @MFD_PARAMS_OWN_THREADS: start no threads: the caller calls mfd_channel_run for each
 *	channel, in threads of its own
 * @MFD_PARAMS_NO_WORKERS: let nobody but the channels' threads make packets, so that all
 *	CPU time is that of this process
 * @MFD_PARAMS_FIT: if RLIMIT_MEMLOCK does not suffice, make the rings, then the packets
 *	as small as it wants
 */
enum mfd_params_flags {
	MFD_PARAMS_SPLICE = 1 << 0,
	MFD_PARAMS_RETURN_PATH = 1 << 1,
	MFD_PARAMS_NO_MAIN = 1 << 2,
	MFD_PARAMS_OWN_THREADS = 1 << 3,
	MFD_PARAMS_NO_WORKERS = 1 << 4,
	MFD_PARAMS_FIT = 1 << 5,
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
 * @rate: bytes per second that all channels together may send, 0: no limit; see
 *	mfd_rate
 * @progress: called about ten times a second by functions that wait, in the
 *	caller's thread, or NULL. It may call mfd_cancel.
 * @opaque: passed to @progress
 * @tls: what the connections are encrypted with, from mfd_tls_source of libmfd-tls; NULL:
 *	they are not. It stays the caller's, who keeps it until mfd_close.
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
	uint64_t rate;
	void (*progress)(const struct mfd_progress *now, void *opaque);
	void *opaque;
	struct mfd_tls *tls;
};

/**
 * mfd_params_init - the defaults: a destination of the newest QEMU
 * @params: its size is set; the rest is filled in: two channels, as QEMU's default,
 *	method none, detection multifd, flush by round, machine "none", a return path, a
 *	minute's patience
 *
 * Context: any thread.
 * Return: 0; -EINVAL: that is no size.
 */
MFD_API int mfd_params_init(struct mfd_params *params);

/**
 * mfd_open - open the module's device
 * @session: out: the new session, owned by the caller until mfd_close
 * @path: of the device; NULL: /dev/multifd_zp
 * @err: out: what went wrong, or NULL
 *
 * Return: 0; -ENOENT: the module is not loaded; -EACCES: not in the device's
 * group; -EPROTO: the module speaks another version of the API.
 */
MFD_API int mfd_open(struct mfd_session **session, const char *path, struct mfd_error *err);

/**
 * mfd_open_fd - take a device that is open already
 * @session: as mfd_open
 * @fd: the device, opened for nobody else's session: for instance by who started a VMM
 *	that is jailed. It is the session's from now on, unless this fails.
 * @err: out: what went wrong, or NULL
 *
 * Return: as mfd_open.
 */
MFD_API int mfd_open_fd(struct mfd_session **session, int fd, struct mfd_error *err);

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
 * @session: set up, not connected yet (with MFD_PARAMS_NO_MAIN: at any time)
 * @idstr: the destination's name for it, 1 to 255 bytes; copied
 * @addr: where it is mapped here, page-aligned. Whoever maps it keeps owning
 *	it; it stays mapped until mfd_finish or mfd_close.
 * @length: bytes, a multiple of the page size; the destination's used length
 * @block: out: for mfd_send_…; it lives until mfd_block_remove or mfd_close
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
 * mfd_block_remove - forget a block
 * @block: not used afterwards, whatever is returned but an error of the arguments
 * @err: out: what went wrong, or NULL
 *
 * When memory goes, such as a DIMM that is unplugged. Waits until what was handed over of
 * it is in packets, whose pages are kept until they are sent. QEMU's protocol does not
 * tell the destination, which keeps its block as it is.
 *
 * Return: 0, or an error, after which the block is still there.
 */
MFD_API int mfd_block_remove(struct mfd_block *block, struct mfd_error *err);

/**
 * mfd_address_check - is that an address for mfd_connect?
 * @address: what somebody has written
 * @err: out: what is wrong with it, or NULL
 *
 * Looks at the text alone: whether there is such a host shows when it is connected to.
 *
 * Return: 0; -EINVAL; -ENAMETOOLONG.
 */
MFD_API int mfd_address_check(const char *address, struct mfd_error *err);

/**
 * mfd_connect - connect to the destination and tell it about the blocks
 * @session: set up, with all its blocks
 * @address: ``tcp:HOST:PORT`` (an IPv6 host in brackets), ``unix:PATH``,
 *	``unix:@NAME`` for an abstract UNIX socket, or ``vsock:CID:PORT``
 * @err: out: what went wrong, or NULL
 *
 * Opens the main connection and the channels and starts a thread for each
 * channel (mfd_start). Waits for the destination to accept, at most the
 * session's stall_ms.
 *
 * Return: 0 or the error of the address, a socket, a thread or the module. If not all
 * connections could be made, it can be called again, with another address.
 */
MFD_API int mfd_connect(struct mfd_session *session, const char *address,
			struct mfd_error *err);

/**
 * mfd_attach_main - use a socket of the caller's as the main connection
 * @session: set up, with all its blocks
 * @fd: a connected stream socket of any kind, such as TCP, UNIX or vsock. It is the
 *	session's from now on, unless this fails. It is written to and read from without
 *	waiting, whether it is non-blocking or not.
 * @err: out: what went wrong, or NULL
 *
 * Sends what a QEMU destination knows the main connection by. It looks at that before it
 * accepts others, so this comes before the channels are connected.
 *
 * Return: 0; -EINVAL; or the socket's error.
 */
MFD_API int mfd_attach_main(struct mfd_session *session, int fd, struct mfd_error *err);

/**
 * mfd_attach_channel - use a socket of the caller's for a channel
 * @session: set up
 * @channel: from 0 on
 * @fd: as mfd_attach_main. The destination tells channels apart by what is sent there, so
 *	the order in which they are connected does not matter.
 * @err: out: what went wrong, or NULL
 *
 * Return: 0; -EINVAL: also if that is no stream socket; -EBUSY: it has one.
 */
MFD_API int mfd_attach_channel(struct mfd_session *session, uint32_t channel, int fd,
			       struct mfd_error *err);

/**
 * mfd_start - begin the migration, on the sockets that were attached
 * @session: with all that it needs attached
 * @err: out: what went wrong, or NULL
 *
 * Starts a thread for each channel, named mfd-channel-N, that brings its packets to its
 * socket, and makes those that the module's workers have not made; unless the caller wants
 * to run them (MFD_PARAMS_OWN_THREADS). These threads block all signals but those of
 * their own faults (SIGBUS and the like). Then tells the destination about the blocks.
 *
 * Return: 0 or an error; but for -EINVAL, that ends the migration.
 */
MFD_API int mfd_start(struct mfd_session *session, struct mfd_error *err);

/**
 * mfd_channel_run - bring a channel's packets to its socket
 * @session: started, or about to be, with MFD_PARAMS_OWN_THREADS
 * @channel: which has a socket, and which nobody else runs
 * @err: out: what went wrong, or NULL
 *
 * To the end of the stream. Each channel needs a thread of its own. A signal handler
 * interrupts nothing; mfd_cancel, and whatever fails, does.
 *
 * Context: any thread. It has to have returned before mfd_close is called.
 * Return: 0: the stream has been sent to its end; or the error that the migration has
 * failed with.
 */
MFD_API int mfd_channel_run(struct mfd_session *session, uint32_t channel,
			    struct mfd_error *err);

/**
 * mfd_rate - limit how many bytes a second all channels together may send
 * @session: set up, not finished
 * @bytes_per_second: 0: no limit. An administrator's limit holds as well.
 * @err: out: what went wrong, or NULL
 *
 * Context: any thread.
 */
MFD_API int mfd_rate(struct mfd_session *session, uint64_t bytes_per_second,
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
 * function was called; what is written later belongs in the dirty log and in the
 * next round. No page may be handed over twice in a round. The work is done in
 * the background; the function may wait for earlier parts of the round, so
 * for the destination.
 *
 * Return: 0 or an error. -EINVAL, -ERANGE, -EFAULT, -ENOMEM: nothing was handed over, and
 * the migration goes on; any other has ended it.
 */
MFD_API int mfd_send_all(struct mfd_block *block, unsigned int flags,
			 struct mfd_error *err);

/**
 * mfd_send_bitmap - send the pages whose bits are set
 * @block: of a connected session
 * @first_page: page of bit 0, counted from the start of the block
 * @page_count: bits that count; those behind are ignored
 * @bitmap: little-endian 64-bit words, as KVM_GET_DIRTY_LOG fills them in; copied
 * @flags: of enum mfd_send_flags
 * @err: out: what went wrong, or NULL
 *
 * See mfd_send_all.
 *
 * Return: as mfd_send_all.
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
 * Return: as mfd_send_all.
 */
MFD_API int mfd_send_ranges(struct mfd_block *block, const struct mfd_range *ranges,
			    uint32_t nr_ranges, uint64_t base, unsigned int flags,
			    struct mfd_error *err);

/*
 * Pages can also be marked first, by any thread, from several sources and more than once, and
 * be sent together once a round. So a vCPU's thread can empty its ring when it is full.
 */

/**
 * mfd_dirty_pages - mark pages that are to be sent
 * @block: their block
 * @first_page: the first, counted from the start of the block
 * @page_count: how many
 * @err: out: what went wrong, or NULL
 *
 * Return: 0; -ERANGE; -ENOMEM.
 */
MFD_API int mfd_dirty_pages(struct mfd_block *block, uint64_t first_page, uint64_t page_count,
			    struct mfd_error *err);

/**
 * mfd_dirty_bitmap - mark the pages whose bits are set
 * @block: their block
 * @first_page: page of bit 0
 * @page_count: bits that count
 * @bitmap: as mfd_send_bitmap
 * @err: out: what went wrong, or NULL
 *
 * Fetch the log, mark, clear the log (KVM_CLEAR_DIRTY_LOG), then send: in this order no
 * page is missed.
 *
 * Return: 0; -ERANGE; -ENOMEM.
 */
MFD_API int mfd_dirty_bitmap(struct mfd_block *block, uint64_t first_page,
			     uint64_t page_count, const uint64_t *bitmap,
			     struct mfd_error *err);

/**
 * mfd_block_slot - say what KVM calls a part of a block
 * @block: the block
 * @slot: as in struct kvm_dirty_gfn: the address space's number << 16 | the slot's
 * @first_page: where the slot begins, counted from the start of the block
 * @page_count: of the slot
 * @err: out: what went wrong, or NULL
 *
 * Return: 0; -ERANGE; -ENOMEM.
 */
MFD_API int mfd_block_slot(struct mfd_block *block, uint32_t slot, uint64_t first_page,
			   uint64_t page_count, struct mfd_error *err);

/**
 * struct mfd_gfn - laid out like KVM's struct kvm_dirty_gfn
 * @flags: ignored
 * @slot: see mfd_block_slot
 * @offset: page in the slot
 */
struct mfd_gfn {
	uint32_t flags;
	uint32_t slot;
	uint64_t offset;
};

/**
 * mfd_dirty_ring - mark the pages of KVM's dirty ring
 * @session: whose blocks' slots are known
 * @gfns: a stretch of the ring
 * @nr_gfns: how many
 * @err: out: what went wrong, or NULL
 *
 * In the thread that sends: mark, set the entries' KVM_DIRTY_GFN_F_RESET,
 * KVM_RESET_DIRTY_RINGS, then send. In another one: copy the entries, set the flags,
 * KVM_RESET_DIRTY_RINGS, and mark the copies last. Otherwise a page might be sent, and a vCPU
 * write to it once more, before KVM looks out for that again.
 *
 * Return: 0; -ENOENT: no block has such a slot; -ERANGE. Then the entries before it are
 * marked.
 */
MFD_API int mfd_dirty_ring(struct mfd_session *session, const struct mfd_gfn *gfns,
			   uint32_t nr_gfns, struct mfd_error *err);

/**
 * mfd_dirty_count - how many pages are marked
 * @session: in any state
 */
MFD_API uint64_t mfd_dirty_count(struct mfd_session *session);

/**
 * mfd_send_dirty - send the pages that are marked
 * @session: connected
 * @flags: of enum mfd_send_flags
 * @err: out: what went wrong, or NULL
 *
 * At most once a round. What was handed over is not marked any more; what is marked
 * meanwhile may have to wait for the next round.
 *
 * Return: as mfd_send_all.
 */
MFD_API int mfd_send_dirty(struct mfd_session *session, unsigned int flags,
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
 * struct mfd_convergence - whether a pause of the guest would be short enough
 * @size: sizeof(struct mfd_convergence), set by the caller
 * @converged: whether @remaining is at most @threshold
 * @bandwidth: bytes per second, of the last round or, if that was too short to tell, since
 *	the beginning; QEMU's ``mbps``
 * @remaining: bytes that a pause would have to wait for: QEMU's ``remaining``, and what
 *	is in rings and sockets
 * @threshold: bytes that can be sent in the time that was given: QEMU's
 *	``threshold_size``
 * @expected_downtime_ms: for @remaining; QEMU's ``expected-downtime``; UINT64_MAX: not
 *	known
 */
struct mfd_convergence {
	uint32_t size;
	uint32_t converged;
	uint64_t bandwidth;
	uint64_t remaining;
	uint64_t threshold;
	uint64_t expected_downtime_ms;
};

/**
 * mfd_convergence - would a pause of the guest be short enough?
 * @session: connected
 * @dirty_pages: pages that the dirty log has now, and that would have to be sent. Each
 *	counts with all of its bytes, as in QEMU, though it may be zero or be compressed.
 * @downtime_ms: how long the guest may stop; QEMU's ``downtime-limit``
 * @convergence: out
 * @err: out: what went wrong, or NULL
 *
 * What devices need on top of that, to stop, to be sent and to start again, is not in it.
 */
MFD_API int mfd_convergence(struct mfd_session *session, uint64_t dirty_pages,
			    uint32_t downtime_ms, struct mfd_convergence *convergence,
			    struct mfd_error *err);

/**
 * mfd_fd - what can be polled
 * @session: set up
 *
 * Return: the device's fd, which is the session's; -1 if there is none. It is readable
 * when no more is pending than mfd_wait_pending was told last, and has POLLERR when the
 * migration has failed.
 */
MFD_API int mfd_fd(struct mfd_session *session);

/**
 * mfd_wait_pending - wait until little enough is pending
 * @session: connected
 * @max_pages: as struct mfd_progress's pending_pages
 * @max_bytes: as its pending_bytes
 * @timeout_ns: 0: only say when mfd_fd is to be readable; negative: no limit
 * @err: out: what went wrong, or NULL
 *
 * Return: 0; -ETIMEDOUT: there is more; -EINTR: a signal handler ran; or the error that
 * the migration has failed with. None of the first three ends it.
 */
MFD_API int mfd_wait_pending(struct mfd_session *session, uint64_t max_pages,
			     uint64_t max_bytes, int64_t timeout_ns, struct mfd_error *err);

/**
 * mfd_device_state - send the state of devices, behind RAM
 * @session: connected, with a main connection; the guest has stopped, and its last round
 *	has been handed over
 * @data: the next part of what is to stand between RAM and the end of the stream: sections
 *	as in QEMU's stream, each with a header. mfd_device_section writes a whole one.
 * @size: bytes
 * @err: out: what went wrong, or NULL
 *
 * May be called any number of times, so that a large state need not be in memory at once.
 * The first call finishes a round that is not finished, and ends RAM: nothing can be
 * handed over afterwards.
 *
 * Return: 0 or an error that ends the migration.
 */
MFD_API int mfd_device_state(struct mfd_session *session, const void *data, size_t size,
			     struct mfd_error *err);

/**
 * mfd_device_section - send the state of one device as a section of its own
 * @session: as mfd_device_state
 * @idstr: the device's name, 1 to 255 bytes
 * @instance: which of the devices of that name
 * @version: of the format of @data
 * @data: its state, in whatever format the destination knows
 * @size: bytes
 * @err: out: what went wrong, or NULL
 *
 * A "full" section of QEMU's. It does not say how long it is, so @data has to.
 *
 * Return: as mfd_device_state.
 */
MFD_API int mfd_device_section(struct mfd_session *session, const char *idstr,
			       uint32_t instance, uint32_t version, const void *data,
			       size_t size, struct mfd_error *err);

/**
 * mfd_finish - end the stream, and wait until the destination has taken it all
 * @session: connected; a round that is not finished is finished first
 * @err: out: what went wrong, or NULL
 *
 * The guest must not run any more when its last round is handed over, and not
 * before this function has failed either: what is under way are references to its
 * memory, not copies. Afterwards only mfd_progress, mfd_info and mfd_close are useful.
 *
 * With a return path, it waits until the destination says how it went. Without one, the
 * destination has read the end of the main connection when it ends its side of
 * that; then the channels are ended, and it has to acknowledge all that is on them
 * and to end them too: as much as can be known then, and only if nobody is in between:
 * "How it ends" in Documentation/wire.rst. Without a main connection, all that is known is
 * that the sockets have accepted everything: the caller's protocol has to say the rest.
 *
 * Return: 0: the destination has the guest. -EREMOTEIO: it says that it has failed.
 * -ETIMEDOUT: it did nothing for stall_ms; -EPIPE, -ECONNRESET: it gave up, or the
 * connection broke. After an error other than -EREMOTEIO make sure that it does not run
 * the guest before this side does: its answer may have been lost on the way.
 */
MFD_API int mfd_finish(struct mfd_session *session, struct mfd_error *err);

/**
 * mfd_cancel - make the migration fail now
 * @session: in any state; or NULL
 *
 * A call that is under way in another thread returns -ECANCELED soon. It is too late once
 * the destination has said that it has the guest: then mfd_finish succeeds.
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
 * mfd_compat_machine - what a destination of that machine type asks for
 * @compat: out
 * @machine: its name, not an alias: "pc-q35-8.0", "pc-i440fx-jammy", "none"
 * @major: of the destination's QEMU, which counts for types without a version; 0: not
 *	known
 * @minor: likewise
 * @err: out: what went wrong, or NULL
 *
 * Knows QEMU's own types, and those of RHEL and Ubuntu as far as their sources say what
 * they are like. A property may have been set otherwise when the destination was started
 * (``-global migration.multifd-flush-after-each-section=…``), which nobody can ask it.
 *
 * Return: 0; -ENOENT: not known, so people have to say it (mfd_compat_parse()); -EINVAL.
 */
MFD_API int mfd_compat_machine(struct mfd_compat *compat, const char *machine,
			       uint32_t major, uint32_t minor, struct mfd_error *err);

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

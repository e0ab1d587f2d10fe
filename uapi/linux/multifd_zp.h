/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * multifd_zp: the RAM data plane of a live migration, in the kernel.
 */
#ifndef _UAPI_LINUX_MULTIFD_ZP_H
#define _UAPI_LINUX_MULTIFD_ZP_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * DOC: General ioctl format
 *
 * Opening ``/dev/multifd_zp`` makes a session; each ioctl takes a pointer to a
 * structure whose first member is its size, which the caller sets to ``sizeof``
 * of the structure it was compiled with. A newer kernel reads what an older
 * caller does not know of as zero, and an older kernel accepts a longer
 * structure as long as the part that it does not know is zero. Members marked
 * *out* are written by the kernel; all reserved members and unused flag bits
 * must be zero.
 *
 * Errors that every command shares:
 *
 *  - ENOTTY: the command is not known.
 *  - E2BIG: the structure is longer than the kernel knows, and its tail is not
 *    zero; or it is longer than a page.
 *  - EINVAL: a flag, mode or value that the kernel does not know, a reserved member
 *    that is not zero, or members that do not fit each other; also a size below the
 *    first version's.
 *  - EOPNOTSUPP: known, but this kernel, or the file or socket given, cannot do it.
 *  - EOVERFLOW: a position plus a length overflows.
 *  - ENOENT: no block or job has this id.
 *  - EFAULT: a pointer in the arguments leads to memory that is not there.
 *  - EIO: the session belongs to another process: it was set up from another
 *    address space (so a child after fork, or the same process after exec, gets
 *    it too). Not for INFO and PUMP. Or its compressor has failed, which ends the session.
 *  - EHWPOISON: the session is over: memory has broken after it had been taken and
 *    before it was compressed.
 *  - ENOMEM: out of memory, or over the memory cgroup's limit, or all jobs of the
 *    user hold 1 GiB already.
 *  - ENXIO: the session has not been set up. Not for INFO and SETUP.
 *  - ECANCELED: the session was cancelled, or closed without END.
 *  - EPIPE: a channel was closed by its reader, so the stream is incomplete
 *    and the session is over. As ECANCELED, not for INFO, SETUP, WAIT, STATUS, RATE and
 *    CANCEL; WAIT and STATUS tell it as an error of jobs.
 *  - ESHUTDOWN: END was called. For BLOCK_ADD, BLOCK_REMOVE, CHANNEL, SEND, SYNC, INJECT
 *    and END.
 *
 * Commands other than WAIT, WAIT_PENDING and PUMP do not wait for I/O or for the
 * reader of a channel.
 *
 * open(2) of the device fails with EMFILE if the user has too many sessions.
 *
 * The order of a session: SETUP; BLOCK_ADD and CHANNEL; for each round SEND,
 * SYNC and WAIT; END; then the channels are read to their ends, and all is closed.
 *
 * poll(2) on the device tells POLLIN when no more is pending than the last
 * WAIT_PENDING has named (at first: when nothing is pending), and POLLERR when the
 * session is over before its time. So a VMM can drive a migration from an event
 * loop.
 */

/**
 * DOC: What is promised
 *
 * What is sent of a page is at least as new as it was when SEND was *called*, and
 * whole. That is not when SEND returned: pages may be read while the call is under
 * way. So the order for a dirty log is: fetch and clear its bits, then SEND. What the
 * guest writes after that is in the log again, and in a later SEND. A log must not be
 * cleared, for pages of a SEND, after that SEND was called.
 *
 * The same goes for %MZP_SEND_FRESH and pages that hold no data: they held none at
 * some moment after the call.
 *
 * Between two SYNCs nothing is promised of the order of pages, on one channel or on
 * several. Two SENDs of one page need a SYNC between them, and the receiver has to
 * be told to wait for it (QEMU: a flush on the main connection), or the older copy can
 * arrive last. SYNC need not be waited for: the flush may be sent when SYNC returns.
 * With %MZP_DETECTION_LEGACY there is one thing more to order: the records of a round's
 * zero pages, which WAIT hands back, have to lie on the main connection behind
 * the flush of the round before and before this round's own. So there the round's
 * jobs are waited for first, then the records are sent, then SYNC, then the flush.
 *
 * A dirty log is best fetched, cleared and sent in windows, of 1 GiB for example, of
 * which a few are under way: what is written between the clearing and the time when
 * the page is read travels twice.
 */

#define MZP_ABI_VERSION 1

#define MZP_IOC_TYPE 0xbd

enum {
	MZP_CMD_INFO = 0x00,
	MZP_CMD_SETUP,
	MZP_CMD_BLOCK_ADD,
	MZP_CMD_BLOCK_REMOVE,
	MZP_CMD_CHANNEL,
	MZP_CMD_SEND,
	MZP_CMD_SYNC,
	MZP_CMD_WAIT,
	MZP_CMD_CANCEL,
	MZP_CMD_PUMP,
	MZP_CMD_STATUS,
	MZP_CMD_WAIT_PENDING,
	MZP_CMD_END,
	MZP_CMD_INJECT,
	MZP_CMD_RATE,
};

/**
 * enum mzp_method - how the payload of a packet is compressed
 * @MZP_METHOD_NONE: not at all; pages are referenced, never copied
 * @MZP_METHOD_ZLIB: one deflate stream a channel
 * @MZP_METHOD_ZSTD: zstd frames, one after the other, a channel
 *
 * The names are those of QEMU's ``multifd-compression``. The receiver must be
 * configured with the same method; levels are the sender's business. Each
 * packet can be decompressed as soon as it is there. Zero pages never get to
 * the compressor.
 *
 * Each channel has a compressor of its own, whose memory is charged to the
 * caller's memory cgroup by SETUP: 1 MiB for zlib; for zstd from 3 MiB at level 1
 * to 100 MiB at level 19, which is the highest that INFO tells for that reason.
 *
 * A method is available if the kernel has the compressor: for zstd, its module
 * zstd_compress, where it is one, must be loaded before this module.
 */
enum mzp_method {
	MZP_METHOD_NONE = 0,
	MZP_METHOD_ZLIB,
	MZP_METHOD_ZSTD,
};

/**
 * enum mzp_detection - where zero pages are found and how they travel
 * @MZP_DETECTION_NONE: nowhere; every page travels as a normal page. Works with
 *	any receiver.
 * @MZP_DETECTION_LEGACY: zero pages are not put into packets. WAIT hands their
 *	bitmap back, and the VMM announces them on the main migration
 *	connection. The only kind of detection that QEMU 8.2 and older
 *	understand.
 * @MZP_DETECTION_MULTIFD: zero pages travel as offsets in the packets. Needs a
 *	receiver of QEMU 9.0 or newer: an older one reads such a stream without
 *	complaint and silently loses the zero pages.
 *
 * The names are those of QEMU's ``zero-page-detection``. In QEMU, ``multifd``
 * presupposes the multifd capability: without multifd channels QEMU falls back
 * to ``legacy``. A session of this module always has channels, so the question
 * does not arise here.
 */
enum mzp_detection {
	MZP_DETECTION_NONE = 0,
	MZP_DETECTION_LEGACY,
	MZP_DETECTION_MULTIFD,
};

/**
 * enum mzp_feature - what a kernel may know, as bits of the features that INFO tells
 * @MZP_FEATURE_PUMP: MZP_IOC_PUMP
 * @MZP_FEATURE_NO_WORKERS: %MZP_SETUP_NO_WORKERS
 * @MZP_FEATURE_FIT: %MZP_SETUP_FIT
 * @MZP_FEATURE_PENDING: MZP_IOC_STATUS, MZP_IOC_WAIT_PENDING, poll(2) on the device
 *	and the flags NO_RESULT
 * @MZP_FEATURE_INJECT: MZP_IOC_INJECT
 * @MZP_FEATURE_RATE: MZP_IOC_RATE
 * @MZP_FEATURE_NO_ROUND: %MZP_SYNC_NO_ROUND
 */
enum mzp_feature {
	MZP_FEATURE_PUMP = 1 << 0,
	MZP_FEATURE_NO_WORKERS = 1 << 1,
	MZP_FEATURE_FIT = 1 << 2,
	MZP_FEATURE_PENDING = 1 << 3,
	MZP_FEATURE_INJECT = 1 << 4,
	MZP_FEATURE_RATE = 1 << 5,
	MZP_FEATURE_NO_ROUND = 1 << 6,
};

/**
 * struct mzp_info - ioctl(MZP_IOC_INFO)
 * @size: sizeof(struct mzp_info)
 * @flags: must be 0
 * @abi_version: out: %MZP_ABI_VERSION
 * @page_size: out: bytes in a page
 * @methods: out: bit n set: method n of enum mzp_method can be used
 * @detections: out: bit n set: mode n of enum mzp_detection can be used
 * @features: out: of enum mzp_feature
 * @max_channels: out: channels of a session at most
 * @max_packet_pages: out: pages of a packet at most
 * @max_ring_packets: out: packets that a channel's ring holds at most
 * @max_blocks: out: blocks of a session at most
 * @max_jobs: out: jobs of a session that are not done or whose result nobody has fetched,
 *	at most
 * @max_sessions: out: sessions that one user may have
 * @method: in: the method that the following members are to describe; one that
 *	@methods has
 * @level_min: out: lowest level of @method
 * @level_max: out: highest level of @method
 * @level_default: out: the level of @method that QEMU uses by default
 *
 * What this kernel can do. Works on a session in any state and from any
 * process.
 */
struct mzp_info {
	__u32 size;
	__u32 flags;
	__u32 abi_version;
	__u32 page_size;
	__u32 methods;
	__u32 detections;
	__aligned_u64 features;
	__u32 max_channels;
	__u32 max_packet_pages;
	__u32 max_ring_packets;
	__u32 max_blocks;
	__u32 max_jobs;
	__u32 max_sessions;
	__u32 method;
	__s32 level_min;
	__s32 level_max;
	__s32 level_default;
};

#define MZP_IOC_INFO _IO(MZP_IOC_TYPE, MZP_CMD_INFO)

/**
 * enum mzp_setup_flags - flags of MZP_IOC_SETUP
 * @MZP_SETUP_NO_WORKERS: only the threads that read the channels work for the
 *	session. All of its CPU time then is theirs, and so is subject to what
 *	they are subject to: cgroups, cpusets, priorities. A job gets on only while
 *	its channels are read, so WAIT and the readers must be different threads.
 * @MZP_SETUP_FIT: if RLIMIT_MEMLOCK does not suffice, take what fits: halve
 *	@ring_packets, down to 1, then take fewer @packet_pages, down to 1.
 * @MZP_SETUP_DEFAULT_LEVEL: the method's default level, whatever that is; @level
 *	must be 0
 */
enum mzp_setup_flags {
	MZP_SETUP_NO_WORKERS = 1 << 0,
	MZP_SETUP_FIT = 1 << 1,
	MZP_SETUP_DEFAULT_LEVEL = 1 << 2,
};

/**
 * struct mzp_setup - ioctl(MZP_IOC_SETUP)
 * @size: sizeof(struct mzp_setup)
 * @flags: of enum mzp_setup_flags
 * @channels: number of channels, 1 to 255; must equal the receiver's
 *	``multifd-channels``
 * @method: one of enum mzp_method
 * @level: in and out: level of the method, in the range that INFO tells; 0 for
 *	%MZP_METHOD_NONE
 * @detection: one of enum mzp_detection
 * @packet_pages: in and out: pages of a packet at most, 1 to 128; 0: 128, as QEMU
 *	does
 * @ring_packets: in and out: finished packets that a channel holds for its reader: a
 *	power of two; 0: 8
 * @uuid: the VM's UUID as the receiver was given it, or all zero
 * @cpus: pointer to a CPU mask in the format of sched_setaffinity(2): the CPUs
 *	whose workers may work for this session. 0: those that the caller may
 *	run on, so that a cpuset is honoured.
 * @cpus_size: bytes of the mask at @cpus; 0 if @cpus is 0
 * @__reserved: must be 0
 * @locked_bytes: out: what was charged to RLIMIT_MEMLOCK
 *
 * Configure the session, once, and tie it to the caller's address space. The
 * guest pages that the rings can hold references to (@channels × @ring_packets
 * × @packet_pages) are charged to the user's RLIMIT_MEMLOCK from now on, unless
 * the caller has CAP_IPC_LOCK. The limit is one for all sessions of the user.
 *
 * Without CAP_SYS_NICE, only those of @cpus count that the caller may run on. An
 * administrator may later limit the session to some of them. If all of them are
 * offline later on, any online CPU takes over, as the scheduler does.
 *
 * Errors: EBUSY: already set up. ENOMEM: also when RLIMIT_MEMLOCK does not
 * suffice. EINVAL: also when no CPU of @cpus is left. EOPNOTSUPP: this kernel does
 * not have the method. ESHUTDOWN: an administrator has drained the host, so that no
 * session begins. EUSERS: as many are set up as an administrator allows.
 */
struct mzp_setup {
	__u32 size;
	__u32 flags;
	__u32 channels;
	__u32 method;
	__s32 level;
	__u32 detection;
	__u32 packet_pages;
	__u32 ring_packets;
	__u8 uuid[16];
	__aligned_u64 cpus;
	__u32 cpus_size;
	__u32 __reserved;
	__aligned_u64 locked_bytes;
};

#define MZP_IOC_SETUP _IO(MZP_IOC_TYPE, MZP_CMD_SETUP)

/**
 * enum mzp_block_flags - flags of MZP_IOC_BLOCK_ADD
 * @MZP_BLOCK_FD: the block is contents of a file, not of the caller's memory
 */
enum mzp_block_flags {
	MZP_BLOCK_FD = 1 << 0,
};

/**
 * struct mzp_block_add - ioctl(MZP_IOC_BLOCK_ADD)
 * @size: sizeof(struct mzp_block_add)
 * @flags: of enum mzp_block_flags
 * @idstr: pointer to the block's name as the receiver knows it; no NUL needed
 * @idstr_len: bytes of the name, 1 to 255, none of them NUL
 * @block_id: out: id for the other commands
 * @length: used length of the block in bytes, a multiple of the page size
 * @addr: where the block starts in the caller's memory, page-aligned; 0 with
 *	%MZP_BLOCK_FD
 * @fd: with %MZP_BLOCK_FD: a file on shmem (memfd, tmpfs, System V) or
 *	hugetlbfs, open for reading; else 0
 * @__reserved: must be 0
 * @offset: where the block starts in the file, page-aligned; 0 without
 *	%MZP_BLOCK_FD
 *
 * Name a stretch of guest memory. Nothing is read, and the memory need not be
 * mapped yet, nor the file be that long. The mapping or the file may change at
 * any time: each page is looked up when it is its turn.
 *
 * By address, any memory will do that the caller can read, but for
 * memfd_secret(2)'s. By fd, no mapping is
 * needed, so that a process other than the VMM can send its memory; the file
 * stays open until the block is removed. A file says nothing of pages that a
 * userfaultfd handler has yet to supply: a VMM that is still being restored
 * lazily must give its memory by address.
 *
 * Errors: EEXIST: the session has a block of that name. ENOSPC: too many
 * blocks. EOVERFLOW: the block reaches beyond the user address space, or the
 * largest file. EBADF: @fd is not open. EACCES: it is not open for reading.
 * EOPNOTSUPP: also for files of another kind (memfd_secret, guest_memfd, a
 * device, a file on a disk).
 */
struct mzp_block_add {
	__u32 size;
	__u32 flags;
	__aligned_u64 idstr;
	__u32 idstr_len;
	__u32 block_id;
	__aligned_u64 length;
	__aligned_u64 addr;
	__s32 fd;
	__u32 __reserved;
	__aligned_u64 offset;
};

#define MZP_IOC_BLOCK_ADD _IO(MZP_IOC_TYPE, MZP_CMD_BLOCK_ADD)

/**
 * struct mzp_block_remove - ioctl(MZP_IOC_BLOCK_REMOVE)
 * @size: sizeof(struct mzp_block_remove)
 * @flags: must be 0
 * @block_id: the block
 * @__reserved: must be 0
 *
 * Forget a block. Its packets that are already in a ring stay there.
 *
 * Errors: EBUSY: a job that is not done yet needs it.
 */
struct mzp_block_remove {
	__u32 size;
	__u32 flags;
	__u32 block_id;
	__u32 __reserved;
};

#define MZP_IOC_BLOCK_REMOVE _IO(MZP_IOC_TYPE, MZP_CMD_BLOCK_REMOVE)

/**
 * enum mzp_channel_flags - flags of MZP_IOC_CHANNEL
 * @MZP_CHANNEL_NONBLOCK: the new fd is O_NONBLOCK
 */
enum mzp_channel_flags {
	MZP_CHANNEL_NONBLOCK = 1 << 0,
};

/**
 * struct mzp_channel_get - ioctl(MZP_IOC_CHANNEL)
 * @size: sizeof(struct mzp_channel_get)
 * @flags: of enum mzp_channel_flags
 * @channel: channel id, 0 to channels - 1
 * @fd: out: the channel's file descriptor, close-on-exec
 *
 * Get the fd that a channel's bytes come out of: its first message, then
 * packets. splice(2) to a pipe moves the pages without copying them; read(2)
 * copies them; MZP_IOC_PUMP sends them to a socket. All may be mixed, in pieces of
 * any size and from any process: each byte comes out once and in order. The fd
 * cannot seek, and sendfile(2) to a socket or file refuses it, since that would
 * lose bytes on a non-blocking socket.
 *
 * Whoever reads makes the packets that are missing. So a page that is swapped out,
 * or that a userfaultfd handler has yet to supply, is waited for by the channel's
 * reader; a signal interrupts that. O_NONBLOCK is for data that are not there: a
 * page that has to be read first is waited for all the same. RWF_NOWAIT waits for
 * neither. Read each channel in a thread of its own if such pages can occur, and
 * never stop reading one: work that only a reader can do waits for it.
 *
 * poll(2) tells data, work or the end (POLLIN), the end (POLLIN and POLLHUP), and
 * failed (POLLERR and POLLHUP). Work may turn out to be nothing, or be done by
 * somebody else: a non-blocking reader then gets EAGAIN in spite of POLLIN.
 *
 * read(2) fails with EHWPOISON at a page whose memory has broken since it was put
 * in the ring.
 *
 * After END, when all jobs are done, what the ring holds can still be read; then
 * read, splice and PUMP return 0. In a session that was cancelled, or whose device was
 * closed (its last fd, which a child may have too) without END, be it by the kernel
 * since the VMM died, they fail with ECANCELED, so that an incomplete stream is
 * never taken for a complete one.
 *
 * Closing a channel's last fd before the session has ended and all jobs are done
 * ends the session's stream with EPIPE: what was in the ring is lost.
 *
 * ioctl(FIONREAD) tells how many bytes the ring holds.
 *
 * Errors: EINVAL: no such channel. EBUSY: it has been handed out before.
 * EMFILE: the process has too many fds.
 */
struct mzp_channel_get {
	__u32 size;
	__u32 flags;
	__u32 channel;
	__s32 fd;
};

#define MZP_IOC_CHANNEL _IO(MZP_IOC_TYPE, MZP_CMD_CHANNEL)

/**
 * enum mzp_send_flags - flags of MZP_IOC_SEND
 * @MZP_SEND_FRESH: none of these pages was ever handed over before, so the receiver's
 *	are still as they were allocated, all zero: pages that hold no data need not be
 *	sent. Right for each page's first SEND in a migration, and only there; and not for
 *	memory that has contents at the receiver before, such as a file or a ROM.
 * @MZP_SEND_ZERO_BITMAP: keep the bitmap of zero pages for WAIT. Implied by
 *	%MZP_DETECTION_LEGACY; not possible with %MZP_DETECTION_NONE.
 * @MZP_SEND_NO_RESULT: nobody will WAIT for the job by its id, so it is forgotten as
 *	soon as it is done. What it comes to is in STATUS. Not possible with a bitmap of
 *	zero pages.
 */
enum mzp_send_flags {
	MZP_SEND_FRESH = 1 << 0,
	MZP_SEND_ZERO_BITMAP = 1 << 1,
	MZP_SEND_NO_RESULT = 1 << 2,
};

/**
 * enum mzp_send_format - how MZP_IOC_SEND is told which pages to send
 * @MZP_SEND_ALL: all pages of the window
 * @MZP_SEND_BITMAP: @input points to a bitmap, bit n (little-endian 64-bit
 *	words) for page @first_page + n: KVM_GET_DIRTY_LOG's format
 * @MZP_SEND_RANGES: @input points to @nr_ranges of struct mzp_range
 */
enum mzp_send_format {
	MZP_SEND_ALL = 0,
	MZP_SEND_BITMAP,
	MZP_SEND_RANGES,
};

/**
 * struct mzp_range - one range of %MZP_SEND_RANGES
 * @start: first byte
 * @end: the byte behind the last one
 * @categories: ignored
 *
 * The layout is that of PAGEMAP_SCAN's ``struct page_region``, so that its
 * output can be passed on as it is, if it has found any. Ranges are page-aligned, not
 * empty, ascending and do not overlap.
 */
struct mzp_range {
	__aligned_u64 start;
	__aligned_u64 end;
	__aligned_u64 categories;
};

/**
 * struct mzp_send - ioctl(MZP_IOC_SEND)
 * @size: sizeof(struct mzp_send)
 * @flags: of enum mzp_send_flags
 * @block_id: the block
 * @format: one of enum mzp_send_format
 * @first_page: start of the window, in pages from the start of the block; a
 *	bitmap's bit 0
 * @page_count: pages of the window, at least 1
 * @input: pointer to the bitmap (⌈@page_count / 64⌉ words; bits behind the
 *	window are ignored) or to the ranges; 0 for %MZP_SEND_ALL
 * @nr_ranges: number of ranges; 0 unless %MZP_SEND_RANGES
 * @__reserved: must be 0
 * @ranges_base: subtracted from each start and end to get bytes from the start
 *	of the block: the block's address for PAGEMAP_SCAN's output, 0 for
 *	offsets
 * @job_id: out: the job, for WAIT; 0 with %MZP_SEND_NO_RESULT
 * @pages: out: how many pages the job is to send
 *
 * Hand over pages. The input is copied, the work is done by the module's workers
 * and by those who read the channels, and SEND returns at once. What is sent of
 * each page is at least as new as when SEND was called; a page that is written
 * later belongs in the dirty log and in a later SEND.
 *
 * Pages of one job may go out on any channel and in any order. A page must not
 * be handed over again before a SYNC, or an older copy of it can arrive behind
 * a newer one.
 *
 * A block that is a file is read with the caller's authority: each SEND asks whether
 * the caller may read there, as read(2) does, and fails with what that says.
 *
 * Errors: EAGAIN: too many jobs that are not done or whose result nobody has fetched: WAIT
 * for some, or for all.
 * ESHUTDOWN: END was called. ENOMEM: also if all jobs of the user hold more than
 * 1 GiB: bitmaps, ranges until the last page was taken, and bitmaps of zero pages until
 * the result was fetched.
 * ERANGE: the window or a range reaches beyond the block or the window. EINVAL:
 * also no ranges, or ranges that are empty, unaligned, not ascending, or more than there
 * are pages in the window, %MZP_SEND_ZERO_BITMAP with %MZP_DETECTION_NONE, and
 * %MZP_SEND_NO_RESULT with %MZP_DETECTION_LEGACY.
 * EINTR: killed while the input was copied.
 */
struct mzp_send {
	__u32 size;
	__u32 flags;
	__u32 block_id;
	__u32 format;
	__aligned_u64 first_page;
	__aligned_u64 page_count;
	__aligned_u64 input;
	__u32 nr_ranges;
	__u32 __reserved;
	__aligned_u64 ranges_base;
	__aligned_u64 job_id;
	__aligned_u64 pages;
};

#define MZP_IOC_SEND _IO(MZP_IOC_TYPE, MZP_CMD_SEND)

/**
 * enum mzp_sync_flags - flags of MZP_IOC_SYNC
 * @MZP_SYNC_NO_RESULT: as %MZP_SEND_NO_RESULT
 * @MZP_SYNC_NO_ROUND: it does not end a round as people count them, such as the SYNC
 *	that the receiver wants before the first page. Those who watch are not told of
 *	it; for all else it is a SYNC like any other.
 */
enum mzp_sync_flags {
	MZP_SYNC_NO_RESULT = 1 << 0,
	MZP_SYNC_NO_ROUND = 1 << 1,
};

/**
 * struct mzp_sync - ioctl(MZP_IOC_SYNC)
 * @size: sizeof(struct mzp_sync)
 * @flags: of enum mzp_sync_flags
 * @job_id: out: the job, for WAIT; 0 with %MZP_SYNC_NO_RESULT
 *
 * Put a SYNC packet on each channel behind all pages of the jobs handed over so
 * far, and before all pages of later ones. The job is done when each ring has
 * its SYNC packet; a ring that is full delays it until the reader makes room,
 * and so does all that delays the pages before it.
 *
 * Errors: EAGAIN, ENOMEM, ESHUTDOWN: as SEND.
 */
struct mzp_sync {
	__u32 size;
	__u32 flags;
	__aligned_u64 job_id;
};

#define MZP_IOC_SYNC _IO(MZP_IOC_TYPE, MZP_CMD_SYNC)

/**
 * struct mzp_wait - ioctl(MZP_IOC_WAIT)
 * @size: sizeof(struct mzp_wait)
 * @flags: must be 0
 * @job_id: the job; 0: all that have not been waited for
 * @timeout_ns: in and out: how long to wait; 0: only look; negative: without end. If
 *	a signal interrupts the wait, what was left of it.
 * @zero_bitmap: where to put the bitmap of zero pages (bit n for page
 *	first_page + n of the SEND), or 0 if it is not wanted; must be 0 with
 *	@job_id 0
 * @zero_bitmap_pages: room at @zero_bitmap, in bits, a multiple of 64
 * @error: out: 0, or the errno that ended the (first failed) job
 * @__reserved: must be 0
 * @error_block: out: block id of the page that could not be sent; 0: the error is not
 *	a page's
 * @__reserved2: must be 0
 * @error_offset: out: the page's offset in its block, in bytes
 * @submitted: out: pages handed over
 * @normal: out: pages that were sent with their contents
 * @zero: out: pages that were read and found to be zero
 * @absent: out: pages that hold no data and so were not read; sent as zero
 *	pages, or not at all with %MZP_SEND_FRESH
 *
 * Wait until a job is done: all its packets are in the channels' rings.
 * Fetching the result ends the job; its id is not known any more. If @error is
 * 0, then @submitted = @normal + @zero + @absent. With ETIMEDOUT, the members
 * that are out tell how far it is.
 *
 * With @job_id 0 jobs without a result are waited for, too, but are in none of the
 * counts.
 *
 * While nobody reads the channels, a job gets on as far as the rings have room, and
 * with pages that workers can have at once. It needs readers for all beyond that:
 * pages that have to be read from somewhere first, and what a rate holds back, whoever
 * has set it; without workers, for anything. So who waits and who reads must be
 * different threads.
 *
 * In a zero bitmap a bit is set for each page that the receiver has to be told
 * is zero, so not for those that %MZP_SEND_FRESH leaves out. Bits behind the
 * SEND's window are clear.
 *
 * A page that cannot be read ends its job; what was not sent by then is not
 * sent, and the session and other jobs go on. Then @error is EFAULT: there is
 * no memory, no permission to read it, or the file has become too short;
 * EHWPOISON: broken memory; ESRCH: the address space is gone; EBUSY: the page
 * was brought in time and again, and each time was gone or unusable again;
 * ENOMEM: no memory for a header; or what reading it from swap said, such as
 * EIO. If the session is over, @error is ECANCELED, EPIPE, EIO if a compressor
 * has failed, or EHWPOISON if it was to read broken memory.
 *
 * Errors: ETIMEDOUT: not done within @timeout_ns. EINTR: a signal handler ran
 * (without a handler, or with SA_RESTART, WAIT goes on by itself, as it does when the
 * process was stopped or frozen; the time for which it was does not count).
 * ENOSPC: @zero_bitmap_pages does not suffice; ENODATA: a zero bitmap is wanted
 * but was not kept (both at once, without waiting; the job can still be waited
 * for).
 */
struct mzp_wait {
	__u32 size;
	__u32 flags;
	__aligned_u64 job_id;
	__aligned_s64 timeout_ns;
	__aligned_u64 zero_bitmap;
	__aligned_u64 zero_bitmap_pages;
	__u32 error;
	__u32 __reserved;
	__u32 error_block;
	__u32 __reserved2;
	__aligned_u64 error_offset;
	__aligned_u64 submitted;
	__aligned_u64 normal;
	__aligned_u64 zero;
	__aligned_u64 absent;
};

#define MZP_IOC_WAIT _IO(MZP_IOC_TYPE, MZP_CMD_WAIT)

/**
 * struct mzp_cancel - ioctl(MZP_IOC_CANCEL)
 * @size: sizeof(struct mzp_cancel)
 * @flags: must be 0
 *
 * End the session at once: jobs that are not done end with ECANCELED, rings are
 * emptied, and readers get ECANCELED. BLOCK_ADD, BLOCK_REMOVE, CHANNEL, SEND, SYNC,
 * WAIT_PENDING, INJECT and END fail with ECANCELED from now on. Never fails on a session
 * that was set up, however often it is called, and does nothing to one that has ended.
 */
struct mzp_cancel {
	__u32 size;
	__u32 flags;
};

#define MZP_IOC_CANCEL _IO(MZP_IOC_TYPE, MZP_CMD_CANCEL)

/**
 * enum mzp_state - where a session is in its life
 * @MZP_STATE_READY: in use
 * @MZP_STATE_ENDING: END was called, and jobs are not done yet
 * @MZP_STATE_ENDED: END was called, and all jobs are done: channels end when they
 *	have been read
 * @MZP_STATE_FAILED: over before its time
 */
enum mzp_state {
	MZP_STATE_READY = 1,
	MZP_STATE_ENDING,
	MZP_STATE_ENDED,
	MZP_STATE_FAILED,
};

/**
 * enum mzp_reason - why a session is over before its time
 * @MZP_REASON_NONE: it is not
 * @MZP_REASON_CANCELLED: its owner called MZP_IOC_CANCEL
 * @MZP_REASON_ADMIN: an administrator has cancelled it
 * @MZP_REASON_CLOSED: the device was closed without END, as when the owner dies
 * @MZP_REASON_READER: a channel was closed before its end
 * @MZP_REASON_JOB: END was called, and then a page could not be sent
 * @MZP_REASON_COMPRESSOR: a compressor has failed
 * @MZP_REASON_MEMORY: memory has broken after it had been taken
 * @MZP_REASON_NETWORK: its owner called MZP_IOC_CANCEL, after MZP_IOC_PUMP had found
 *	a socket broken, or had waited for it for too long
 */
enum mzp_reason {
	MZP_REASON_NONE = 0,
	MZP_REASON_CANCELLED,
	MZP_REASON_ADMIN,
	MZP_REASON_CLOSED,
	MZP_REASON_READER,
	MZP_REASON_JOB,
	MZP_REASON_COMPRESSOR,
	MZP_REASON_MEMORY,
	MZP_REASON_NETWORK,
};

/**
 * struct mzp_status - ioctl(MZP_IOC_STATUS)
 * @size: sizeof(struct mzp_status)
 * @flags: must be 0
 * @state: out: one of enum mzp_state
 * @error: out: the errno that first ended a job or the session, or 0
 * @error_block: out: block id of the page that could not be sent; 0: the error is not
 *	a page's
 * @syncs: out: SYNCs that are done
 * @error_offset: out: with @error_block: the page's offset in it, in bytes
 * @submitted: out: pages handed over
 * @normal: out: pages that were sent with their contents
 * @zero: out: pages that were read and found to be zero
 * @absent: out: pages that hold no data and so were not read
 * @lost: out: pages that jobs were done without, after an error
 * @bytes_made: out: bytes put into the rings
 * @bytes_taken: out: bytes that readers, sockets and pipes took out of them
 * @pending_pages: out: pages handed over that are none of the above yet
 * @pending_bytes: out: bytes that readers have yet to take: what is in the rings,
 *	and what SYNC and INJECT have yet to put there
 * @ring_pages: out: pages of the packets in the rings, normal and zero
 * @rate: out: bytes per second that the session may send; 0: no limit. What all sessions
 *	of the host together may is not in it.
 * @jobs: out: jobs that are not done or whose result nobody has fetched
 * @jobs_unfinished: out: jobs that are not done
 * @reason: out: with %MZP_STATE_FAILED: one of enum mzp_reason
 * @__reserved: out: 0
 *
 * How far it is, from the beginning on, without waiting for anything. What has "out"
 * and counts upwards never goes back, so two of these can be subtracted. All pages
 * are counted at one moment: @submitted is @normal + @zero + @absent + @lost +
 * @pending_pages. Bytes are counted at another one, after it.
 *
 * Pages that are done are in a packet in a ring or were on their way to the receiver
 * before. So a VMM that wants to know what a pause of the guest would have to wait for
 * adds @pending_pages and @pending_bytes (and what is in its own pipes and sockets).
 */
struct mzp_status {
	__u32 size;
	__u32 flags;
	__u32 state;
	__u32 error;
	__u32 error_block;
	__u32 syncs;
	__aligned_u64 error_offset;
	__aligned_u64 submitted;
	__aligned_u64 normal;
	__aligned_u64 zero;
	__aligned_u64 absent;
	__aligned_u64 lost;
	__aligned_u64 bytes_made;
	__aligned_u64 bytes_taken;
	__aligned_u64 pending_pages;
	__aligned_u64 pending_bytes;
	__aligned_u64 ring_pages;
	__aligned_u64 rate;
	__u32 jobs;
	__u32 jobs_unfinished;
	__u32 reason;
	__u32 __reserved;
};

#define MZP_IOC_STATUS _IO(MZP_IOC_TYPE, MZP_CMD_STATUS)

/**
 * struct mzp_wait_pending - ioctl(MZP_IOC_WAIT_PENDING)
 * @size: sizeof(struct mzp_wait_pending)
 * @flags: must be 0
 * @max_pages: how many pages may be pending
 * @max_bytes: and how many bytes
 * @timeout_ns: as for WAIT
 * @pages: out: pages that are pending, as STATUS tells them
 * @bytes: out: bytes that are pending
 *
 * Wait until at most @max_pages pages have yet to be dealt with, and readers have yet to take
 * at most @max_bytes. A session has one mark: the last such call sets it, for poll(2) on the
 * device, too, and for another call that still waits. With @timeout_ns 0 it does not wait.
 *
 * Errors: ETIMEDOUT: there is more; @pages and @bytes tell how much. EINTR: as WAIT.
 */
struct mzp_wait_pending {
	__u32 size;
	__u32 flags;
	__aligned_u64 max_pages;
	__aligned_u64 max_bytes;
	__aligned_s64 timeout_ns;
	__aligned_u64 pages;
	__aligned_u64 bytes;
};

#define MZP_IOC_WAIT_PENDING _IO(MZP_IOC_TYPE, MZP_CMD_WAIT_PENDING)

/**
 * struct mzp_end - ioctl(MZP_IOC_END)
 * @size: sizeof(struct mzp_end)
 * @flags: must be 0
 *
 * The stream is complete with what was handed over so far: no job can follow. When
 * all jobs are done, each channel ends behind its last byte. The device may be closed
 * at once, but the address space must stay until the jobs are done. A job that fails
 * after this ends the session with ECANCELED.
 *
 * Blocks stay as they are, and no channel can be fetched any more. WAIT, WAIT_PENDING,
 * STATUS and RATE go on as before.
 *
 * Closing the device without END is a failure for every reader, so that a VMM that
 * dies is never taken for one that has finished.
 *
 * Errors: ENOTRECOVERABLE: a job has failed, so the stream lacks its pages; all that
 * is left is to cancel. ESHUTDOWN: END was called before.
 */
struct mzp_end {
	__u32 size;
	__u32 flags;
};

#define MZP_IOC_END _IO(MZP_IOC_TYPE, MZP_CMD_END)

/**
 * struct mzp_inject - ioctl(MZP_IOC_INJECT)
 * @size: sizeof(struct mzp_inject)
 * @flags: must be 0
 * @channel: the channel
 * @length: bytes, 1 to 2 MiB
 * @data: pointer to them
 *
 * Put bytes of the caller's own into a channel, whole and between two packets: what a
 * receiver gets on a channel beside RAM, such as the state of a device. They are
 * copied; INJECT does not wait until they are sent.
 *
 * What is injected into a channel goes out in the order of the calls; behind the SYNC
 * packet of each SYNC that was called before, and before that of each that is called
 * later. Pages that were handed over between the same two SYNCs may go out before or
 * behind it.
 *
 * It is a job without a result: WAIT for all waits until it is in the ring, and the session
 * does not end before. Until a reader has taken it, its bytes are pending. A rate does not
 * hold it back, but is used up by it.
 *
 * Errors: EAGAIN, ESHUTDOWN: as SEND. ENOMEM: also if all jobs of the user hold more
 * than 1 GiB.
 */
struct mzp_inject {
	__u32 size;
	__u32 flags;
	__u32 channel;
	__u32 length;
	__aligned_u64 data;
};

#define MZP_IOC_INJECT _IO(MZP_IOC_TYPE, MZP_CMD_INJECT)

/**
 * struct mzp_rate - ioctl(MZP_IOC_RATE)
 * @size: sizeof(struct mzp_rate)
 * @flags: must be 0
 * @rate: bytes per second that the session may send over all channels, headers
 *	included; 0: none of the VMM's own, so what the host has for such sessions
 *
 * Limit the session, as the VMM's own ``max-bandwidth`` asks for. Works from now on and
 * can be changed at any time. An administrator may set another limit; the lower one
 * holds, and STATUS tells it. What all sessions of the host together may send is a limit
 * besides.
 */
struct mzp_rate {
	__u32 size;
	__u32 flags;
	__aligned_u64 rate;
};

#define MZP_IOC_RATE _IO(MZP_IOC_TYPE, MZP_CMD_RATE)

/**
 * enum mzp_pump_flags - flags of MZP_IOC_PUMP
 * @MZP_PUMP_NONBLOCK: fail with EAGAIN instead of waiting for the socket, for
 *	work, or for the rate. A page that has to be read first, from swap for
 *	example, is waited for all the same, as reading a file would.
 */
enum mzp_pump_flags {
	MZP_PUMP_NONBLOCK = 1 << 0,
};

/**
 * enum mzp_pump_stop - why MZP_IOC_PUMP came back
 * @MZP_PUMP_END: with success: the stream is at its end
 * @MZP_PUMP_MAX: with success: @max was reached
 * @MZP_PUMP_CHANNEL: with EAGAIN: the channel has nothing to send at the moment
 *	(poll for POLLIN). With another error: it is the session's.
 * @MZP_PUMP_SOCKET: with EAGAIN: the socket has no room at the moment (poll for
 *	POLLOUT). With another error: it is the socket's, and the session goes on.
 */
enum mzp_pump_stop {
	MZP_PUMP_END = 0,
	MZP_PUMP_MAX,
	MZP_PUMP_CHANNEL,
	MZP_PUMP_SOCKET,
};

/**
 * struct mzp_pump - ioctl(MZP_IOC_PUMP)
 * @size: sizeof(struct mzp_pump)
 * @flags: of enum mzp_pump_flags
 * @socket: a connected stream socket: TCP, also with TLS in the kernel, UNIX, vsock
 * @stall_ms: fail with ETIMEDOUT if the socket takes nothing for so long though
 *	there is something to send; 0: wait without end
 * @max: stop when @bytes has come to that; 0: at the stream's end
 * @bytes: in and out: what the socket took is added to it, while the call runs and
 *	also with an error
 * @stop: out: one of enum mzp_pump_stop; not set by a call that fails before it has begun
 *	(EBADF, EFAULT, EINVAL, ENOTSOCK, EOPNOTSUPP)
 * @__reserved: must be 0
 *
 * Send the channel's bytes to a socket, until the stream ends. This is called on
 * the channel's own fd, from any process, and does in one call what splice(2)
 * through a pipe does in many: the caller's thread makes the packets that are
 * missing and hands their pages to the socket, without copying them where the
 * socket can do that.
 *
 * The channel's position moves by what the socket took, so PUMP, splice and read
 * can follow one another in any order. A reference to the socket is held during the
 * call only; whether it is O_NONBLOCK does not matter. SIGPIPE is never raised.
 *
 * While there is nothing to send, a destination that closes its end is noticed,
 * too: EPIPE.
 *
 * Errors: EAGAIN, ETIMEDOUT: see above; call again to go on. EINTR: a signal
 * handler ran; likewise (without a handler, or with SA_RESTART, PUMP goes on by
 * itself). EBADF: @socket is not open. ENOTSOCK: it is not a socket. EOPNOTSUPP:
 * also if it is not a stream socket. ECANCELED, EPIPE, EIO, EHWPOISON with
 * %MZP_PUMP_CHANNEL: the session is over, as for read(2). EPIPE, ECONNRESET and
 * others with %MZP_PUMP_SOCKET: as for send(2).
 */
struct mzp_pump {
	__u32 size;
	__u32 flags;
	__s32 socket;
	__u32 stall_ms;
	__aligned_u64 max;
	__aligned_u64 bytes;
	__u32 stop;
	__u32 __reserved;
};

#define MZP_IOC_PUMP _IO(MZP_IOC_TYPE, MZP_CMD_PUMP)

#endif /* _UAPI_LINUX_MULTIFD_ZP_H */

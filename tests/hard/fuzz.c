// SPDX-License-Identifier: GPL-2.0-only
/*
 * Anybody may do anything, in any order and from anywhere: random calls on the
 * device, its channels, the memory behind them and netlink, by several threads
 * of several processes, with signals, faults that are injected, and CPUs that
 * come and go. Nothing is expected but that the kernel stands it, answers only
 * with errors that are documented, and has nothing left in the end.
 *
 * A life is a process that makes some hundred calls. What it does comes from
 * its genes, a few numbers: the first makes the whole list of calls, each further
 * one changes some of them. A life that reaches code that none had reached
 * before is kept, and later ones are mostly such lives with one gene more.
 * Genes are in the kernel's log before a life begins, and `--genes` lives it
 * again; only how its threads meet is then up to the scheduler.
 */
#include "genl.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum {
	GENES = 8, CALLS = 384, THREADS = 2, LIVES = 4, CORPUS = 4096,
	DEVICES = 4, CHANNELS = 8, PIPES = 3, FILES = 3,
	MEMORY_PAGES = 1024,
	PATIENCE = 120,			/* seconds that a life may last */
	/* results of a call beside 0: an errno, or these */
	NO_ERRNO = 250, NOT_MADE, RESULTS,
};

struct genes {
	unsigned int nr;
	uint64_t gene[GENES];
};

/* What all processes of a run share. */
static struct shared {
	uint64_t calls, good, lives, bad_errno, stuck;
	uint64_t results[64][RESULTS];
	struct progress {
		pid_t tid;
		unsigned int calls;
	} progress[LIVES][THREADS];
} *shared;

/* What the threads of a life share; each place is taken out by exchange, so nobody closes twice. */
static int device[DEVICES], chan[CHANNELS], pipes[PIPES][2], files[FILES], netlink;
static uint8_t *memory;
static uint64_t call_gene[CALLS];
static unsigned int next_call;
static int nth_usable;
static __thread int nth = -1;
static __thread bool nth_set;

/* --- small things */

static uint64_t pick(uint64_t *r, uint64_t n)
{
	return rnd_below(r, n);
}

static bool chance(uint64_t *r, unsigned int percent)
{
	return pick(r, 100) < percent;
}

static int any(const int *places, unsigned int nr, uint64_t *r)
{
	unsigned int at = pick(r, nr);

	/* Mostly one that there is. */
	for (unsigned int i = 0; i < nr; i++, at++) {
		int fd = __atomic_load_n(&places[at % nr], __ATOMIC_RELAXED);

		if (fd >= 0)
			return fd;
	}
	return -1;
}

static void place(int *places, unsigned int nr, int fd, uint64_t *r)
{
	int old;

	if (fd < 0)
		return;
	old = __atomic_exchange_n(&places[pick(r, nr)], fd, __ATOMIC_RELAXED);
	if (old >= 0)
		close(old);
}

static void take_out(int *places, unsigned int nr, uint64_t *r)
{
	int old = __atomic_exchange_n(&places[pick(r, nr)], -1, __ATOMIC_RELAXED);

	if (old >= 0)
		close(old);
}

/* A number that is likely to matter. */
static uint64_t number(uint64_t *r)
{
	static const uint64_t special[] = {
		0, 1, 2, 7, 8, 63, 64, 127, 128, 129, 255, 256, 257, 1024, 4095, 4096, 4097,
		0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 1ull << 47, (1ull << 47) - 4096,
		1ull << 52, 1ull << 63, ~0ull, ~0ull << 12, ~0ull >> 12,
	};

	switch (pick(r, 4)) {
	case 0:
		return special[pick(r, ARRAY_SIZE(special))];
	case 1:
		return rnd(r) >> pick(r, 64);
	default:
		return pick(r, 16);
	}
}

/* Some address: mostly good memory, at times at its edge, or none. */
static void *address(uint64_t *r)
{
	switch (pick(r, 12)) {
	case 0:
		return NULL;
	case 1:
		return (void *)number(r);
	case 2:
		return memory + MEMORY_PAGES * PAGE - pick(r, 64);
	default:
		return memory + pick(r, MEMORY_PAGES) * PAGE + (chance(r, 20) ? pick(r, PAGE) : 0);
	}
}

static void part(uint64_t *r, uint8_t **at, size_t *length)
{
	uint64_t first = pick(r, MEMORY_PAGES);

	if (chance(r, 20))
		first &= ~511ull;
	*at = memory + first * PAGE;
	*length = (1 + pick(r, min(MEMORY_PAGES - first, 600ul))) * PAGE;
	*length = min(*length, (MEMORY_PAGES - first) * PAGE);
}

/* --- ioctls; returns 0 or an errno */

static const uint8_t documented[] = {
	EINTR, EIO, ENXIO, E2BIG, EBADF, EAGAIN, ENOMEM, EACCES, EFAULT, EBUSY, EEXIST, ENODEV,
	EINVAL, EMFILE, ENOTTY, ENOSPC, EPIPE, ERANGE, ENODATA, EOVERFLOW, EOPNOTSUPP, ETIMEDOUT,
	ECANCELED, ENOENT,
};

static int ask(int fd, unsigned long cmd, void *arg)
{
	int err = ioctl(fd, cmd, arg) ? errno : 0;

	if (err && !memchr(documented, err, sizeof(documented))) {
		fprintf(stderr, "# ioctl %lx gave %s\n", cmd, kit_errno(err));
		__atomic_fetch_add(&shared->bad_errno, 1, __ATOMIC_RELAXED);
	}
	return err;
}

/* Spoil an argument structure: a member, its size, or where it lies. */
static int ask_spoiled(int fd, unsigned long cmd, void *arg, size_t size, uint64_t *r)
{
	uint8_t *copy;

	switch (pick(r, 30)) {
	case 0:
		((uint32_t *)arg)[pick(r, size / 4)] = number(r);
		break;
	case 1:
		((uint8_t *)arg)[pick(r, size)] ^= 1 << pick(r, 8);
		break;
	case 2:
		*(uint32_t *)arg = number(r);
		break;
	case 3:
		return ask(fd, cmd, address(r));
	case 4:
		copy = memory + pick(r, MEMORY_PAGES - 1) * PAGE + PAGE - pick(r, size + 1);
		/* It may be unmapped: then the kernel is to find that out, not we. */
		{
			struct iovec from = { arg, size }, to = { copy, size };

			process_vm_writev(getpid(), &from, 1, &to, 1, 0);
		}
		return ask(fd, cmd, copy);
	}
	return ask(fd, cmd, arg);
}

static int call_open(uint64_t *r)
{
	int fd = open(DEVICE, O_RDWR | (chance(r, 90) ? O_CLOEXEC : 0));

	place(device, DEVICES, fd, r);
	return fd < 0;
}

static struct mzp_setup a_setup(uint64_t *r)
{
	return (struct mzp_setup){
		.size = sizeof(struct mzp_setup),
		.channels = 1 + pick(r, CHANNELS / 2),
		.method = chance(r, 70) ? 0 : pick(r, 3),
		.level = chance(r, 90) ? 0 : pick(r, 4),
		.detection = pick(r, 3),
		.packet_pages = chance(r, 50) ? 0 : 1 + pick(r, 128),
		.ring_packets = chance(r, 50) ? 0 : 1 << pick(r, 6),
	};
}

static int call_setup(uint64_t *r)
{
	uint64_t cpus[2] = { chance(r, 90) ? 3 : number(r), 0 };
	struct mzp_setup setup = a_setup(r);

	setup.cpus = chance(r, 30) ? (uintptr_t)cpus : 0;
	setup.cpus_size = setup.cpus ? sizeof(cpus) : 0;
	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_SETUP, &setup, sizeof(setup), r);
}

/* @name: 8 bytes, to which the block refers */
static struct mzp_block_add a_block(uint64_t *r, char *name)
{
	struct mzp_block_add add = { .size = sizeof(add), .idstr = (uintptr_t)name };
	uint8_t *at;
	size_t length;

	part(r, &at, &length);
	add.idstr_len = snprintf(name, 8, "b%lu", pick(r, 6));
	add.length = length;
	if (chance(r, 30)) {
		add.flags = MZP_BLOCK_FD;
		add.fd = any(files, FILES, r);
		add.offset = pick(r, 64) * PAGE;
	} else {
		add.addr = (uintptr_t)at;
	}
	return add;
}

static int call_block_add(uint64_t *r)
{
	char name[8];
	struct mzp_block_add add = a_block(r, name);

	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_BLOCK_ADD, &add, sizeof(add), r);
}

static int call_block_remove(uint64_t *r)
{
	struct mzp_block_remove remove = { .size = sizeof(remove), .block_id = 1 + pick(r, 6) };

	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_BLOCK_REMOVE, &remove,
			   sizeof(remove), r);
}

static int call_channel(uint64_t *r)
{
	struct mzp_channel_get get = {
		.size = sizeof(get),
		.flags = chance(r, 50) ? MZP_CHANNEL_NONBLOCK : 0,
		.channel = pick(r, CHANNELS / 2),
		.fd = -1,
	};
	int err = ask_spoiled(any(device, DEVICES, r), MZP_IOC_CHANNEL, &get, sizeof(get), r);

	if (!err && get.fd > 2)
		place(chan, CHANNELS, get.fd, r);
	return err;
}

/* What a VMM begins with, in its order: without it, few of the others come far. */
static int call_begin(uint64_t *r)
{
	struct mzp_setup setup = a_setup(r);
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC), err;

	if (fd < 0)
		return errno;
	err = ask(fd, MZP_IOC_SETUP, &setup);
	for (unsigned int i = 0; !err && i < 3; i++) {
		char name[8];
		struct mzp_block_add add = a_block(r, name);

		ask(fd, MZP_IOC_BLOCK_ADD, &add);
	}
	for (unsigned int i = 0; !err && i < setup.channels; i++) {
		struct mzp_channel_get get = {
			.size = sizeof(get),
			.flags = MZP_CHANNEL_NONBLOCK,
			.channel = i,
			.fd = -1,
		};

		if (!ask(fd, MZP_IOC_CHANNEL, &get))
			place(chan, CHANNELS, get.fd, r);
	}
	place(device, DEVICES, fd, r);
	return err;
}

static int call_send(uint64_t *r)
{
	struct mzp_range ranges[8];
	struct mzp_send send = {
		.size = sizeof(send),
		.flags = chance(r, 50) ? 0 : pick(r, 4),
		.block_id = 1 + pick(r, 4),
		.format = pick(r, 3),
		.first_page = chance(r, 60) ? 0 : pick(r, 64),
		.page_count = 1 + pick(r, 64),
	};
	uint64_t at = send.first_page;

	if (send.format == MZP_SEND_BITMAP) {
		send.input = (uintptr_t)address(r);
	} else if (send.format == MZP_SEND_RANGES) {
		send.nr_ranges = 1 + pick(r, min(send.page_count, 8ul));
		for (unsigned int i = 0; i < send.nr_ranges; i++) {
			uint64_t count = 1 + pick(r, 3);

			ranges[i] = (struct mzp_range){ at * PAGE, (at + count) * PAGE, 0 };
			at += count + pick(r, 3);
		}
		send.page_count = at - send.first_page;
		send.input = (uintptr_t)ranges;
	}
	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_SEND, &send, sizeof(send), r);
}

static int call_sync(uint64_t *r)
{
	struct mzp_sync sync = { .size = sizeof(sync) };

	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_SYNC, &sync, sizeof(sync), r);
}

static int call_wait(uint64_t *r)
{
	struct mzp_wait w = {
		.size = sizeof(w),
		.job_id = chance(r, 30) ? 0 : 1 + pick(r, 12),
		.timeout_ns = chance(r, 60) ? 0 : chance(r, 80) ? (int)pick(r, 3000000) : -1,
	};
	int err;

	if (w.job_id && chance(r, 30)) {
		w.zero_bitmap = (uintptr_t)address(r);
		w.zero_bitmap_pages = pick(r, 4) * 64;
	}
	err = ask(any(device, DEVICES, r), MZP_IOC_WAIT, &w);
	if (!err && !w.error && w.submitted != w.normal + w.zero + w.absent) {
		fprintf(stderr, "# %llu pages of which %llu normal, %llu zero, %llu absent\n",
			w.submitted, w.normal, w.zero, w.absent);
		__atomic_fetch_add(&shared->bad_errno, 1, __ATOMIC_RELAXED);
	}
	return err;
}

static int call_wait_spoiled(uint64_t *r)
{
	struct mzp_wait w = { .size = sizeof(w), .job_id = pick(r, 12) };

	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_WAIT, &w, sizeof(w), r);
}

static int call_info(uint64_t *r)
{
	struct mzp_info info = { .size = sizeof(info), .method = pick(r, 4) };

	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_INFO, &info, sizeof(info), r);
}

static int call_cancel(uint64_t *r)
{
	struct mzp_cancel cancel = { .size = sizeof(cancel) };

	/* Too often, and nothing else would ever happen. */
	if (chance(r, 70))
		return NOT_MADE;
	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_CANCEL, &cancel, sizeof(cancel), r);
}

static int call_garbage(uint64_t *r)
{
	uint64_t junk[32];
	unsigned long cmd = chance(r, 70) ? _IO(MZP_IOC_TYPE, pick(r, 12)) : number(r);
	int fd = chance(r, 80) ? any(device, DEVICES, r) : any(chan, CHANNELS, r);

	for (unsigned int i = 0; i < ARRAY_SIZE(junk); i++)
		junk[i] = number(r);
	if (chance(r, 50))
		junk[0] = pick(r, sizeof(junk)) | junk[0] << 32;
	return ioctl(fd, cmd, junk) ? 1 : 0;
}

/* --- files */

static int call_read(uint64_t *r)
{
	return read(any(chan, CHANNELS, r), address(r), pick(r, 2) ? number(r) % MIB : 64 * 1024) < 0;
}

static int call_readv(uint64_t *r)
{
	struct iovec iov[4];

	for (unsigned int i = 0; i < 4; i++)
		iov[i] = (struct iovec){ address(r), pick(r, 3) * PAGE + pick(r, 9) };
	return preadv2(any(chan, CHANNELS, r), iov, 4, -1, chance(r, 50) ? RWF_NOWAIT : 0) < 0;
}

static int call_splice(uint64_t *r)
{
	return splice(any(chan, CHANNELS, r), NULL, pipes[pick(r, PIPES)][1], NULL,
		      chance(r, 60) ? MIB : number(r), chance(r, 70) ? SPLICE_F_NONBLOCK : 0) < 0;
}

static int call_tee(uint64_t *r)
{
	return tee(pipes[pick(r, PIPES)][0], pipes[pick(r, PIPES)][1], pick(r, MIB),
		   SPLICE_F_NONBLOCK) < 0;
}

static int call_drain(uint64_t *r)
{
	static int nowhere = -1;
	int from = pipes[pick(r, PIPES)][0];

	if (nowhere < 0)
		nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (chance(r, 50))
		return splice(from, NULL, nowhere, NULL, MIB, SPLICE_F_NONBLOCK) < 0;
	return read(from, address(r), pick(r, 65536)) < 0;
}

static int call_sendfile(uint64_t *r)
{
	return syscall(SYS_sendfile, any(files, FILES, r), any(chan, CHANNELS, r), NULL, PAGE) < 0;
}

static int call_poll(uint64_t *r)
{
	struct pollfd p[4];

	for (unsigned int i = 0; i < 4; i++)
		p[i] = (struct pollfd){ .fd = any(chan, CHANNELS, r), .events = POLLIN | POLLOUT };
	return poll(p, 4, pick(r, 3)) < 0;
}

static int call_dup(uint64_t *r)
{
	if (chance(r, 50))
		place(device, DEVICES, dup(any(device, DEVICES, r)), r);
	else
		place(chan, CHANNELS, dup(any(chan, CHANNELS, r)), r);
	return 0;
}

static int call_close(uint64_t *r)
{
	if (chance(r, 40))
		take_out(device, DEVICES, r);
	else
		take_out(chan, CHANNELS, r);
	return 0;
}

static int call_other(uint64_t *r)
{
	int fd = chance(r, 50) ? any(device, DEVICES, r) : any(chan, CHANNELS, r);

	switch (pick(r, 6)) {
	case 0:
		return write(fd, address(r), 8) < 0;
	case 1:
		return lseek(fd, number(r), SEEK_SET) < 0;
	case 2:
		return mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED;
	case 3:
		return fcntl(fd, F_SETFL, chance(r, 70) ? O_NONBLOCK : 0) < 0;
	case 4:
		return fcntl(pipes[pick(r, PIPES)][1], F_SETPIPE_SZ, 1 << (12 + pick(r, 8))) < 0;
	}
	return ftruncate(fd, number(r)) < 0;
}

static int call_fdinfo(uint64_t *r)
{
	char path[64], text[1024];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d",
		 chance(r, 50) ? any(device, DEVICES, r) : any(chan, CHANNELS, r));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text)) < 0) {
		close(fd);
		return 1;
	}
	close(fd);
	return 0;
}

/* Put a descriptor into a socket's queue, from where it never comes back. */
static int call_scm(uint64_t *r)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int pair[2], fd = chance(r, 50) ? any(device, DEVICES, r) : any(chan, CHANNELS, r), ret;
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return 1;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	ret = sendmsg(pair[0], &msg, MSG_DONTWAIT) < 0;
	close(pair[0]);
	close(pair[1]);
	return ret;
}

/* --- memory */

static int call_map(uint64_t *r)
{
	uint8_t *at;
	size_t length;
	int fd = chance(r, 40) ? any(files, FILES, r) : -1;

	part(r, &at, &length);
	return mmap(at, length, chance(r, 90) ? PROT_READ | PROT_WRITE : pick(r, 4),
		    MAP_FIXED | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0) |
		    (fd >= 0 && chance(r, 60) ? MAP_SHARED : MAP_PRIVATE),
		    fd, fd < 0 ? 0 : pick(r, 64) * PAGE) == MAP_FAILED;
}

static int call_unmap(uint64_t *r)
{
	uint8_t *at;
	size_t length;

	part(r, &at, &length);
	return munmap(at, length) < 0;
}

static int call_remap(uint64_t *r)
{
	uint8_t *from, *to;
	size_t length, other;

	part(r, &from, &length);
	part(r, &to, &other);
	length = min(length, other);
	return mremap(from, length, length, MREMAP_MAYMOVE | MREMAP_FIXED |
		      (chance(r, 30) ? MREMAP_DONTUNMAP : 0), to) == MAP_FAILED;
}

static int call_advise(uint64_t *r)
{
	static const int advice[] = {
		MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_PAGEOUT, MADV_COLD, MADV_COLLAPSE,
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_WILLNEED,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_DONTFORK, MADV_WIPEONFORK,
	};
	uint8_t *at;
	size_t length;

	part(r, &at, &length);
	return madvise(at, length, advice[pick(r, ARRAY_SIZE(advice))]) < 0;
}

static int call_protect(uint64_t *r)
{
	uint8_t *at;
	size_t length;

	part(r, &at, &length);
	return mprotect(at, length, chance(r, 70) ? PROT_READ | PROT_WRITE : pick(r, 4)) < 0;
}

/* Through the kernel, which does not mind what is not mapped. */
static int call_touch(uint64_t *r)
{
	static const uint8_t zeros[PAGE];
	uint8_t data[PAGE];
	struct iovec from = { data, PAGE }, to = { memory + pick(r, MEMORY_PAGES) * PAGE, PAGE };

	memset(data, chance(r, 70) ? 1 + pick(r, 255) : 0, sizeof(data));
	if (chance(r, 20))
		from.iov_base = (void *)zeros;
	return process_vm_writev(getpid(), &from, 1, &to, 1, 0) < 0;
}

static int call_file(uint64_t *r)
{
	int fd = any(files, FILES, r);

	switch (pick(r, 5)) {
	case 0:
		return ftruncate(fd, pick(r, 256) * PAGE) < 0;
	case 1:
		return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 pick(r, 256) * PAGE, (1 + pick(r, 64)) * PAGE) < 0;
	case 2:
		return fallocate(fd, 0, pick(r, 256) * PAGE, (1 + pick(r, 32)) * PAGE) < 0;
	case 3:
		return pwrite(fd, memory, PAGE, pick(r, 256) * PAGE) < 0;
	}
	place(files, FILES, memfd_create("fuzz", MFD_CLOEXEC), r);
	return 0;
}

/* --- others */

static int call_netlink(uint64_t *r)
{
	static const uint8_t commands[] = {
		MZP_NL_CMD_INFO_GET, MZP_NL_CMD_SESSION_GET, MZP_NL_CMD_CHANNEL_GET,
		MZP_NL_CMD_WORKER_GET, MZP_NL_CMD_SESSION_LIMIT, MZP_NL_CMD_SESSION_CANCEL,
	};
	uint8_t cmd = chance(r, 95) ? commands[pick(r, ARRAY_SIZE(commands))] : number(r);
	int dev = any(device, DEVICES, r), fd, err = 0;
	struct genl_request request;
	char path[64], text[64];
	uint8_t buf[16384] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *answer = (struct nlmsghdr *)buf;
	uint64_t id = number(r);
	ssize_t n;

	if (cmd == MZP_NL_CMD_SESSION_CANCEL && chance(r, 70))
		cmd = MZP_NL_CMD_SESSION_GET;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", dev);
	fd = chance(r, 80) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		char *at;

		n = pread(fd, buf, sizeof(buf) - 1, 0);
		buf[n < 0 ? 0 : n] = 0;
		at = strstr((char *)buf, "mzp-session:");
		if (at)
			id = strtoull(at + 12, NULL, 0);
		close(fd);
	}
	genl_begin(&request, cmd, chance(r, 40));
	if (cmd == MZP_NL_CMD_WORKER_GET) {
		genl_put_u32(&request, MZP_A_WORKER_CPU, number(r));
	} else if (cmd == MZP_NL_CMD_CHANNEL_GET) {
		genl_put_u64(&request, MZP_A_CHANNEL_SESSION, id);
		if (chance(r, 80))
			genl_put_u32(&request, MZP_A_CHANNEL_ID, number(r));
	} else if (cmd != MZP_NL_CMD_INFO_GET) {
		genl_put_u64(&request, MZP_A_SESSION_ID, id);
	}
	if (cmd == MZP_NL_CMD_SESSION_LIMIT) {
		static const char *const lists[] = { "0", "1", "0-1", "", "7", "x", "0,1", "0-" };
		const char *list = lists[pick(r, ARRAY_SIZE(lists))];

		snprintf(text, sizeof(text), "%s", list);
		if (chance(r, 70))
			genl_put(&request, MZP_A_SESSION_CPUS, text, strlen(text) + 1);
		if (chance(r, 50))
			genl_put_u64(&request, MZP_A_SESSION_RATE,
				     chance(r, 50) ? 0 : MIB + number(r));
	}
	if (chance(r, 10))
		request.bytes[pick(r, request.length)] ^= 1 << pick(r, 8);
	if (send(netlink, request.bytes, request.length, MSG_DONTWAIT) < 0)
		return 1;
	while (recv(netlink, buf, sizeof(buf), MSG_DONTWAIT) > 0) {
		if (answer->nlmsg_type == NLMSG_ERROR)
			err = -((struct nlmsgerr *)NLMSG_DATA(answer))->error;
	}
	errno = err;
	return err;
}

static void in_child(uint64_t *r)
{
	for (unsigned int i = pick(r, 6); i; i--) {
		call_read(r);
		call_wait(r);
		call_splice(r);
		call_fdinfo(r);
	}
	if (chance(r, 10))
		execl("/bin/true", "true", NULL);
}

static int call_fork(uint64_t *r)
{
	pid_t pid;
	int status;

	/* Expensive. */
	if (chance(r, 80))
		return NOT_MADE;
	pid = fork();
	if (!pid) {
		ualarm(50000, 0);
		in_child(r);
		_exit(0);
	}
	if (pid < 0)
		return 1;
	if (chance(r, 50))
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return 0;
}

static int call_signal(uint64_t *r)
{
	(void)r;
	return kill(getpid(), SIGUSR1);
}

/* Let one of the calls that come next fail inside. */
static int call_fault(uint64_t *r)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%lu", 1 + pick(r, 30));

	if (nth < 0)
		return NOT_MADE;
	nth_set = true;
	return pwrite(nth, text, length, 0) < 0;
}

/* There are descriptors open, so it must not go. */
static int call_unload(uint64_t *r)
{
	(void)r;
	if (!syscall(SYS_delete_module, "multifd_zp", O_NONBLOCK)) {
		fprintf(stderr, "# the module was unloaded while it was in use\n");
		__atomic_fetch_add(&shared->bad_errno, 1, __ATOMIC_RELAXED);
	}
	return 1;
}

#define CALL(name, weight) { #name, call_##name, weight }
static const struct {
	const char *name;
	int (*fn)(uint64_t *r);
	unsigned int weight;
} calls[] = {
	CALL(open, 2), CALL(begin, 5), CALL(setup, 5), CALL(block_add, 6), CALL(block_remove, 2),
	CALL(channel, 5), CALL(send, 12), CALL(sync, 5), CALL(wait, 10), CALL(wait_spoiled, 2),
	CALL(info, 2), CALL(cancel, 1), CALL(garbage, 4), CALL(read, 8), CALL(readv, 4),
	CALL(splice, 12), CALL(tee, 2), CALL(drain, 8), CALL(sendfile, 1), CALL(poll, 4),
	CALL(dup, 2), CALL(close, 4), CALL(other, 3), CALL(fdinfo, 2), CALL(scm, 1),
	CALL(map, 3), CALL(unmap, 2), CALL(remap, 2), CALL(advise, 5), CALL(protect, 2),
	CALL(touch, 8), CALL(file, 5), CALL(netlink, 5), CALL(fork, 1), CALL(signal, 1),
	CALL(fault, 6), CALL(unload, 1),
};

static unsigned int which_call(uint64_t *r)
{
	static unsigned int total;
	unsigned int at, i;

	if (!total) {
		unsigned int sum = 0;

		for (i = 0; i < ARRAY_SIZE(calls); i++)
			sum += calls[i].weight;
		total = sum;
	}
	at = pick(r, total);
	for (i = 0; at >= calls[i].weight; i++)
		at -= calls[i].weight;
	return i;
}

/* --- a life */

static void express(const struct genes *g)
{
	uint64_t r = g->gene[0];

	for (unsigned int i = 0; i < CALLS; i++)
		call_gene[i] = rnd(&r);
	for (unsigned int n = 1; n < g->nr; n++) {
		unsigned int at, nr, to;

		r = g->gene[n];
		at = pick(&r, CALLS);
		nr = 1 + pick(&r, 16);
		to = pick(&r, CALLS);
		for (unsigned int i = 0; i < nr; i++) {
			/* a stretch is new, or is done again elsewhere */
			if (g->gene[n] & 1ull << 63)
				call_gene[(at + i) % CALLS] = rnd(&r);
			else
				call_gene[(to + i) % CALLS] = call_gene[(at + i) % CALLS];
		}
	}
}

/* Make a call, and count what came of it. */
static void make(unsigned int which, uint64_t *r)
{
	int result;

	errno = 0;
	result = calls[which].fn(r);
	if (result == 1)
		result = errno ? errno : NO_ERRNO;
	must(result >= 0 && result < RESULTS);
	__atomic_fetch_add(&shared->results[which][result], 1, __ATOMIC_RELAXED);
	if (result == NOT_MADE)
		return;
	__atomic_fetch_add(&shared->calls, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&shared->good, !result, __ATOMIC_RELAXED);
}

static void *live(void *arg)
{
	struct progress *progress = arg;

	__atomic_store_n(&progress->tid, gettid(), __ATOMIC_RELAXED);
	nth = nth_usable ? open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC) : -1;
	for (;;) {
		unsigned int at = __atomic_fetch_add(&next_call, 1, __ATOMIC_RELAXED), which;
		uint64_t r;

		if (at >= CALLS)
			break;
		r = call_gene[at];
		which = which_call(&r);
		make(which, &r);
		__atomic_fetch_add(&progress->calls, 1, __ATOMIC_RELAXED);
		if (nth_set && calls[which].fn != call_fault) {
			(void)!pwrite(nth, "0", 1, 0);
			nth_set = false;
		}
	}
	/* A fault that is left would hit the end of the thread, and nobody would hear of it. */
	if (nth_set)
		(void)!pwrite(nth, "0", 1, 0);
	return NULL;
}

static void nothing(int sig)
{
	(void)sig;
}

/*
 * So many pages, and one behind them that nobody may touch: the kernel is told to write
 * across the end at times, and there may be what all lives share.
 */
static uint8_t *fenced(size_t pages)
{
	uint8_t *at = mmap(NULL, (pages + 1) * PAGE, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(at != MAP_FAILED);
	sys(mprotect(at, pages * PAGE, PROT_READ | PROT_WRITE));
	return at;
}

static void life(const struct genes *g, struct progress *progress)
{
	struct sigaction action = { .sa_handler = nothing };
	pthread_t thread[THREADS];
	uint64_t r = g->gene[g->nr - 1];

	sigaction(SIGUSR1, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	memset(device, -1, sizeof(device));
	memset(chan, -1, sizeof(chan));
	memory = fenced(MEMORY_PAGES);
	netlink = genl_open();
	for (unsigned int i = 0; i < PIPES; i++)
		sys(pipe2(pipes[i], O_CLOEXEC | O_NONBLOCK));
	for (unsigned int i = 0; i < FILES; i++) {
		files[i] = sys(memfd_create("fuzz", MFD_CLOEXEC));
		sys(ftruncate(files[i], 256 * PAGE));
	}
	/* Half of them are nobody special. */
	if (r & 1) {
		struct rlimit limit = { 8 * MIB, 8 * MIB };

		sys(setrlimit(RLIMIT_MEMLOCK, &limit));
		sys(setresuid(65534, 65534, 65534));
		sys(prctl(PR_SET_DUMPABLE, 1));
	}
	express(g);
	for (unsigned int i = 0; i < THREADS; i++)
		must(!pthread_create(&thread[i], NULL, live, &progress[i]));
	/* Some end in the middle of it. */
	if (r & 2) {
		while (__atomic_load_n(&next_call, __ATOMIC_RELAXED) < (r >> 8) % CALLS)
			sched_yield();
		kill(getpid(), SIGKILL);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	_exit(0);
}

/* --- evolution */

static uint64_t seed = 1;
static struct genes corpus[CORPUS];
static unsigned int corpus_nr;
static int cov_file = -1;
static off_t cov_at;
static size_t cov_size;
static unsigned int cov_seen;

static void cov_open(void)
{
	char line[32] = "";
	uint64_t text;
	int sections;

	cov_file = open("/sys/kernel/debug/mzp_cov", O_RDONLY | O_CLOEXEC);
	if (cov_file < 0)
		return;
	sections = sys(open("/sys/module/multifd_zp/sections/.text", O_RDONLY | O_CLOEXEC));
	must(read(sections, line, sizeof(line) - 1) > 0);
	close(sections);
	text = strtoull(line, NULL, 16);
	cov_size = file_number("/sys/module/multifd_zp/coresize", NULL) / 8 + 8;
	cov_at = (text & ((1 << 24) - 1)) / 8;
	/* where it goes round, only the first part is looked at */
	cov_size = min(cov_size, (size_t)((1 << 21) - cov_at));
}

/* How many points of the code have been reached so far. */
static unsigned int cov_count(void)
{
	static uint64_t bits[1 << 18];
	unsigned int nr = 0;
	ssize_t got;

	if (cov_file < 0)
		return 0;
	got = pread(cov_file, bits, cov_size, cov_at);
	for (ssize_t i = 0; i < got / 8; i++)
		nr += __builtin_popcountll(bits[i]);
	return nr;
}

static struct genes conceive(uint64_t *r)
{
	struct genes g = { .nr = 1, .gene = { rnd(r) } };

	if (corpus_nr && chance(r, 75)) {
		g = corpus[pick(r, corpus_nr)];
		if (g.nr == GENES)
			memmove(&g.gene[1], &g.gene[2], (--g.nr - 1) * sizeof(g.gene[0]));
		g.gene[g.nr++] = rnd(r);
	}
	return g;
}

static struct genes_text {
	char text[GENES * 17 + 1];
} genes_text(const struct genes *g)
{
	struct genes_text to;
	int n = 0;

	for (unsigned int i = 0; i < g->nr; i++)
		n += sprintf(to.text + n, "%s%lx", i ? ":" : "", g->gene[i]);
	return to;
}

static bool genes_parse(const char *text, struct genes *g)
{
	char *end;

	for (g->nr = 0; g->nr < GENES; text = end + 1) {
		g->gene[g->nr++] = strtoull(text, &end, 16);
		if (!*end)
			return true;
		if (*end != ':')
			return false;
	}
	return false;
}

struct running {
	pid_t pid;
	struct genes genes;
	time_t since;
	bool stuck;
};

static time_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* CPU 1 goes and comes, all the time. */
static void hotplug(void)
{
	static unsigned int turn;
	int fd;

	if (turn++ % 256)
		return;
	fd = open("/sys/devices/system/cpu/cpu1/online", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!write(fd, turn / 256 % 2 ? "0" : "1", 1);
	close(fd);
}

static void begin_life(struct running *run, struct progress *progress, uint64_t *r,
		       const struct genes *only, int log)
{
	memset(progress, 0, sizeof(*progress) * THREADS);
	run->genes = only ? *only : conceive(r);
	run->since = now();
	run->stuck = false;
	dprintf(log, "<7>fuzz: life %s\n", genes_text(&run->genes).text);
	run->pid = fork();
	must(run->pid >= 0);
	if (!run->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		life(&run->genes, progress);
	}
}

/* What the kernel says of each thread of a process. */
static void tell_where(pid_t pid)
{
	char path[64], line[256];
	struct dirent *task;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && (task = readdir(tasks))) {
		FILE *status;

		snprintf(path, sizeof(path), "/proc/%d/task/%.12s/status", pid, task->d_name);
		status = fopen(path, "re");
		while (status && fgets(line, sizeof(line), status))
			if (!strncmp(line, "State", 5) || !strncmp(line, "Sig", 3) ||
			    !strncmp(line, "Shd", 3) || !strncmp(line, "Pid", 3))
				fprintf(stderr, "#   %s", line);
		if (status)
			fclose(status);
	}
	if (tasks)
		closedir(tasks);
}

/* Nothing waits for as long: somebody should have been woken. */
static void kill_stuck(struct running *run)
{
	if (!run->pid || run->stuck || now() - run->since <= PATIENCE)
		return;
	fprintf(stderr, "# a life does not end: %s\n", genes_text(&run->genes).text);
	tell_where(run->pid);
	run->stuck = true;
	shared->stuck++;
	kill(run->pid, SIGKILL);
}

/* No call waits for long: threads that are where they were get a signal. */
static void nudge(const struct running *run, const struct progress *progress)
{
	static unsigned int before[LIVES][THREADS];
	unsigned int life = (progress - shared->progress[0]) / THREADS;

	for (unsigned int i = 0; i < THREADS && run->pid; i++) {
		pid_t tid = __atomic_load_n(&progress[i].tid, __ATOMIC_RELAXED);
		unsigned int nr = __atomic_load_n(&progress[i].calls, __ATOMIC_RELAXED);

		if (tid && nr == before[life][i])
			syscall(SYS_tgkill, run->pid, tid, SIGUSR1);
		before[life][i] = nr;
	}
}

static void end_life(struct running *run, int status)
{
	unsigned int seen = cov_count();

	run->pid = 0;
	shared->lives++;
	if (WIFEXITED(status) && WEXITSTATUS(status)) {
		fprintf(stderr, "# a life ended with %d\n", WEXITSTATUS(status));
		shared->bad_errno++;
	}
	if (seen > cov_seen) {
		corpus[corpus_nr < CORPUS ? corpus_nr++ : rnd(&seed) % CORPUS] = run->genes;
		cov_seen = seen;
	}
}

static void report(time_t start)
{
	time_t took = now() - start;

	printf("# %ld s: %lu calls, %lu a second (%lu returned no error), %lu lives, %u kept, %u points of code\n",
	       took, shared->calls, shared->calls / (took ? took : 1), shared->good, shared->lives,
	       corpus_nr, cov_seen);
	fflush(stdout);
}

/* What came of one kind of call: the three results that were most frequent. */
static void report_results(const char *name, const uint64_t *results)
{
	uint64_t made = 0, left[NOT_MADE];

	for (unsigned int i = 0; i < NOT_MADE; i++)
		made += left[i] = results[i];
	printf("# %8lu %-12s", made, name);
	for (unsigned int nr = 0; nr < 3 && made; nr++) {
		unsigned int most = 0;

		for (unsigned int i = 0; i < NOT_MADE; i++)
			most = left[i] > left[most] ? i : most;
		if (!left[most])
			break;
		printf(" %5.1f %% %-12s", 100.0 * left[most] / made,
		       !most ? "no error" : most == NO_ERRNO ? "no errno" : kit_errno(most));
		left[most] = 0;
	}
	printf("\n");
}

static void evolve(time_t seconds, uint64_t most, const struct genes *only)
{
	int log = sys(open("/dev/kmsg", O_WRONLY | O_CLOEXEC)), keep = mzp_open(), status;
	const struct timespec a_moment = { 0, 5000000 };
	time_t start = now(), told = start;
	struct running run[LIVES] = { };
	sigset_t child;
	uint64_t r = seed;
	unsigned int alive = 0;
	bool over = false;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sys(sigprocmask(SIG_BLOCK, &child, NULL));
	while (!over || alive) {
		pid_t pid;

		over = over || now() - start >= seconds || shared->calls >= most;
		for (unsigned int i = 0; i < LIVES && !over; i++) {
			if (run[i].pid)
				continue;
			begin_life(&run[i], shared->progress[i], &r, only, log);
			alive++;
		}
		hotplug();
		pid = waitpid(-1, &status, WNOHANG);
		if (pid <= 0)
			sigtimedwait(&child, NULL, &a_moment);
		for (unsigned int i = 0; i < LIVES && pid <= 0; i++)
			nudge(&run[i], shared->progress[i]);
		for (unsigned int i = 0; i < LIVES; i++) {
			if (pid > 0 && run[i].pid == pid) {
				end_life(&run[i], status);
				alive--;
			}
			kill_stuck(&run[i]);
		}
		if (now() - told >= 30) {
			told = now();
			report(start);
		}
	}
	report(start);
	close(keep);
	close(log);
}

static void faults_quiet(void)
{
	static const char *const quiet[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	char path[80];

	nth_usable = !access("/sys/kernel/debug/failslab", F_OK);
	for (unsigned int i = 0; nth_usable && i < 3; i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/verbose", quiet[i]);
		file_put(path, "0");
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/ignore-gfp-wait", quiet[i]);
		if (!access(path, F_OK))
			file_put(path, "N");
	}
}

static int usage(void)
{
	fprintf(stderr, "usage: fuzz [--seed N] [--seconds N] [--calls N] [--genes A:B:…]\n");
	return 2;
}

int main(int argc, char **argv)
{
	uint64_t most = ~0ull;
	time_t seconds = 60;
	struct genes only;
	bool again = false, failed;

	for (int i = 1; i < argc; i += 2) {
		if (i + 1 == argc)
			return usage();
		if (!strcmp(argv[i], "--seed"))
			seed = strtoull(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--seconds"))
			seconds = atol(argv[i + 1]);
		else if (!strcmp(argv[i], "--calls"))
			most = strtoull(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--genes"))
			again = genes_parse(argv[i + 1], &only);
		else
			return usage();
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	must(shared != MAP_FAILED);
	printf("# seed %lu\n", seed);
	close(genl_open());
	faults_quiet();
	cov_open();
	evolve(seconds, most, again ? &only : NULL);
	for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++)
		report_results(calls[i].name, shared->results[i]);
	/* Nothing is left of anybody. */
	until(!genl_sessions());
	until(!module_refs());
	failed = shared->bad_errno || shared->stuck;
	printf("%sok fuzz\n", failed ? "not " : "");
	return failed;
}

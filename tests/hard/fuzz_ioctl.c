// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ioctls with any arguments, or none that make sense: they return 0 or an errno that
 * is documented.
 */
#include "fuzz_call.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static const uint8_t documented[] = {
	EINTR, EIO, ENXIO, E2BIG, EBADF, EAGAIN, ENOMEM, EACCES, EFAULT, EBUSY, EEXIST, ENODEV,
	EINVAL, EMFILE, ENOTTY, ENOSPC, EPIPE, ERANGE, ENODATA, EOVERFLOW, EOPNOTSUPP, ETIMEDOUT,
	ECANCELED, ENOENT, ESHUTDOWN, ENOTRECOVERABLE,
	/* of a socket */
	ENOTSOCK, ENOTCONN, ECONNRESET, ENOBUFS,
};

int ask(int fd, unsigned long cmd, void *arg)
{
	int err = ioctl(fd, cmd, arg) ? errno : 0;

	if (err && !memchr(documented, err, sizeof(documented))) {
		fprintf(stderr, "# ioctl %lx gave %s\n", cmd, kit_errno(err));
		__atomic_fetch_add(&shared->bad_errno, 1, __ATOMIC_RELAXED);
	}
	return err;
}

int ask_spoiled(int fd, unsigned long cmd, void *arg, size_t size, uint64_t *r)
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

int call_open(uint64_t *r)
{
	int fd = open(DEVICE, O_RDWR | (chance(r, 90) ? O_CLOEXEC : 0));

	place(device, DEVICES, fd, r);
	return fd < 0;
}

static struct mzp_setup a_setup(uint64_t *r)
{
	return (struct mzp_setup){
		.size = sizeof(struct mzp_setup),
		.flags = (chance(r, 70) ? 0 : MZP_SETUP_NO_WORKERS) |
			 (chance(r, 80) ? 0 : MZP_SETUP_FIT) |
			 (chance(r, 10) ? 0 : MZP_SETUP_DEFAULT_LEVEL),
		.channels = 1 + pick(r, CHANNELS / 2),
		.method = chance(r, 70) ? 0 : pick(r, 3),
		.level = chance(r, 90) ? 0 : pick(r, 4),
		.detection = pick(r, 3),
		.packet_pages = chance(r, 50) ? 0 : 1 + pick(r, 128),
		.ring_packets = chance(r, 50) ? 0 : 1 << pick(r, 6),
	};
}

int call_setup(uint64_t *r)
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
	} else if (chance(r, 40)) {
		add.addr = (uintptr_t)lazy;
		add.length = LAZY_PAGES * PAGE;
	} else {
		add.addr = (uintptr_t)at;
	}
	return add;
}

int call_block_add(uint64_t *r)
{
	char name[8];
	struct mzp_block_add add = a_block(r, name);

	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_BLOCK_ADD, &add, sizeof(add), r);
}

int call_block_remove(uint64_t *r)
{
	struct mzp_block_remove remove = { .size = sizeof(remove), .block_id = 1 + pick(r, 6) };

	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_BLOCK_REMOVE, &remove,
			   sizeof(remove), r);
}

int call_channel(uint64_t *r)
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
int call_begin(uint64_t *r)
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
			.flags = chance(r, 70) ? MZP_CHANNEL_NONBLOCK : 0,
			.channel = i,
			.fd = -1,
		};

		if (!ask(fd, MZP_IOC_CHANNEL, &get))
			place(chan, CHANNELS, get.fd, r);
	}
	place(device, DEVICES, fd, r);
	return err;
}

int call_send(uint64_t *r)
{
	struct mzp_range ranges[8];
	struct mzp_send send = {
		.size = sizeof(send),
		.flags = chance(r, 50) ? 0 : pick(r, 8),
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

int call_sync(uint64_t *r)
{
	struct mzp_sync sync = {
		.size = sizeof(sync),
		.flags = (chance(r, 70) ? 0 : MZP_SYNC_NO_RESULT) |
			 (chance(r, 80) ? 0 : MZP_SYNC_NO_ROUND),
	};

	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_SYNC, &sync, sizeof(sync), r);
}

int call_wait(uint64_t *r)
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

int call_wait_spoiled(uint64_t *r)
{
	struct mzp_wait w = { .size = sizeof(w), .job_id = pick(r, 12) };

	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_WAIT, &w, sizeof(w), r);
}

int call_info(uint64_t *r)
{
	struct mzp_info info = { .size = sizeof(info), .method = pick(r, 4) };

	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_INFO, &info, sizeof(info), r);
}

int call_status(uint64_t *r)
{
	struct mzp_status status = { .size = sizeof(status) };

	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_STATUS, &status, sizeof(status), r);
}

int call_wait_pending(uint64_t *r)
{
	struct mzp_wait_pending w = {
		.size = sizeof(w),
		.max_pages = chance(r, 50) ? 0 : pick(r, 2000),
		.max_bytes = chance(r, 50) ? 0 : pick(r, 1 << 20),
		.timeout_ns = chance(r, 60) ? 0 : chance(r, 80) ? (int)pick(r, 3000000) : -1,
	};

	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_WAIT_PENDING, &w, sizeof(w), r);
}

int call_inject(uint64_t *r)
{
	uint8_t *at;
	size_t length;
	struct mzp_inject inject = { .size = sizeof(inject), .channel = pick(r, CHANNELS / 2) };

	part(r, &at, &length);
	inject.data = (uintptr_t)at;
	inject.length = 1 + pick(r, min(length, MIB));
	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_INJECT, &inject, sizeof(inject), r);
}

int call_rate(uint64_t *r)
{
	struct mzp_rate rate = {
		.size = sizeof(rate),
		.rate = chance(r, 50) ? 0 : MIB + pick(r, GIB),
	};

	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_RATE, &rate, sizeof(rate), r);
}

int call_end(uint64_t *r)
{
	struct mzp_end end = { .size = sizeof(end) };

	/* As for CANCEL. */
	if (chance(r, 70))
		return NOT_MADE;
	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_END, &end, sizeof(end), r);
}

int call_cancel(uint64_t *r)
{
	struct mzp_cancel cancel = { .size = sizeof(cancel) };

	/* Too often, and nothing else would ever happen. */
	if (chance(r, 70))
		return NOT_MADE;
	return ask_spoiled(any(device, DEVICES, r), MZP_IOC_CANCEL, &cancel, sizeof(cancel), r);
}

int call_garbage(uint64_t *r)
{
	uint64_t junk[32];
	unsigned long cmd = chance(r, 70) ? _IO(MZP_IOC_TYPE, pick(r, MZP_CMD_PUMP + 3)) : number(r);
	int fd = chance(r, 80) ? any(device, DEVICES, r) : any(chan, CHANNELS, r);

	for (unsigned int i = 0; i < ARRAY_SIZE(junk); i++)
		junk[i] = number(r);
	if (chance(r, 50))
		junk[0] = pick(r, sizeof(junk)) | junk[0] << 32;
	return ioctl(fd, cmd, junk) ? 1 : 0;
}

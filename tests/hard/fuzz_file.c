// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can be done with descriptors, of the device and of channels: to read from them,
 * to pass on what is read, and all that is possible with any file.
 */
#include "fuzz_call.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

int call_read(uint64_t *r)
{
	return read(any(chan, CHANNELS, r), address(r), pick(r, 2) ? number(r) % MIB : 64 * 1024) < 0;
}

int call_readv(uint64_t *r)
{
	struct iovec iov[4];

	for (unsigned int i = 0; i < 4; i++)
		iov[i] = (struct iovec){ address(r), pick(r, 3) * PAGE + pick(r, 9) };
	return preadv2(any(chan, CHANNELS, r), iov, 4, -1, chance(r, 50) ? RWF_NOWAIT : 0) < 0;
}

int call_splice(uint64_t *r)
{
	return splice(any(chan, CHANNELS, r), NULL, pipes[pick(r, PIPES)][1], NULL,
		      chance(r, 60) ? MIB : number(r), chance(r, 70) ? SPLICE_F_NONBLOCK : 0) < 0;
}

int call_tee(uint64_t *r)
{
	return tee(pipes[pick(r, PIPES)][0], pipes[pick(r, PIPES)][1], pick(r, MIB),
		   SPLICE_F_NONBLOCK) < 0;
}

int call_drain(uint64_t *r)
{
	static int nowhere = -1;
	int from = pipes[pick(r, PIPES)][0];

	if (nowhere < 0)
		nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (chance(r, 50))
		return splice(from, NULL, nowhere, NULL, MIB, SPLICE_F_NONBLOCK) < 0;
	return read(from, address(r), pick(r, 65536)) < 0;
}

int call_sendfile(uint64_t *r)
{
	return syscall(SYS_sendfile, any(files, FILES, r), any(chan, CHANNELS, r), NULL, PAGE) < 0;
}

int call_poll(uint64_t *r)
{
	struct pollfd p[5] = { { .fd = any(device, DEVICES, r), .events = POLLIN } };

	for (unsigned int i = 1; i < 5; i++)
		p[i] = (struct pollfd){ .fd = any(chan, CHANNELS, r), .events = POLLIN | POLLOUT };
	return poll(p, 5, pick(r, 3)) < 0;
}

int call_readable(uint64_t *r)
{
	int bytes;

	return ioctl(any(chan, CHANNELS, r), FIONREAD, chance(r, 90) ? &bytes : address(r)) < 0;
}

int call_dup(uint64_t *r)
{
	if (chance(r, 50))
		place(device, DEVICES, dup(any(device, DEVICES, r)), r);
	else
		place(chan, CHANNELS, dup(any(chan, CHANNELS, r)), r);
	return 0;
}

int call_close(uint64_t *r)
{
	if (chance(r, 40))
		take_out(device, DEVICES, r);
	else
		take_out(chan, CHANNELS, r);
	return 0;
}

int call_other(uint64_t *r)
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

int call_fdinfo(uint64_t *r)
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

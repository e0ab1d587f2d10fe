// SPDX-License-Identifier: GPL-2.0-only
/* A guest's memory: one RAM block. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fail.h"
#include "ram.h"

int ram_map(struct ram *ram, uint64_t size, enum ram_kind kind, struct mfd_error *err)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, fd = -1;
	void *base = MAP_FAILED;

	if (kind == RAM_MEMFD) {
		flags = MAP_SHARED;
		fd = memfd_create("guest", MFD_CLOEXEC);
		if (fd < 0)
			return demo_fail(err, "guest memory");
	}
	if (fd < 0 || !ftruncate(fd, size))
		base = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (base == MAP_FAILED)
		demo_fail(err, "guest memory");
	else
		*ram = (struct ram){ .base = base, .size = size, .pages = size / RAM_PAGE };
	if (fd >= 0)
		close(fd);
	return base == MAP_FAILED ? -err->code : 0;
}

/* Read [@at, @end) of the file to where it belongs. */
static int read_data(struct ram *ram, int fd, uint64_t at, uint64_t end,
		     const char *image, struct mfd_error *err)
{
	ssize_t n;

	while (at < end) {
		n = pread(fd, ram->base + at, end - at, at);
		if (n < 0)
			return demo_fail(err, image);
		if (!n)
			break;
		at += n;
	}
	return 0;
}

static int load_fd(struct ram *ram, int fd, const char *image, struct mfd_error *err)
{
	off_t data = 0, hole;
	int ret;

	if (lseek(fd, 0, SEEK_END) > (off_t)ram->size) {
		errno = EFBIG;
		return demo_fail(err, image);
	}
	while ((data = lseek(fd, data, SEEK_DATA)) >= 0) {
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return demo_fail(err, image);
		ret = read_data(ram, fd, data, hole, image, err);
		if (ret)
			return ret;
		data = hole;
	}
	return errno == ENXIO ? 0 : demo_fail(err, image);
}

int ram_load(struct ram *ram, const char *image, struct mfd_error *err)
{
	int fd = open(image, O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return demo_fail(err, image);
	ret = load_fd(ram, fd, image, err);
	close(fd);
	return ret;
}

static int write_fd(const struct ram *ram, int fd, const char *file, struct mfd_error *err)
{
	uint64_t at = 0;
	ssize_t n;

	while (at < ram->size) {
		n = write(fd, ram->base + at, ram->size - at);
		if (n < 0)
			return demo_fail(err, file);
		at += n;
	}
	return 0;
}

int ram_dump(const struct ram *ram, const char *file, struct mfd_error *err)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int ret;

	if (fd < 0)
		return demo_fail(err, file);
	ret = write_fd(ram, fd, file, err);
	if (close(fd) && !ret)
		ret = demo_fail(err, file);
	return ret;
}

void ram_unmap(struct ram *ram)
{
	if (ram->base)
		munmap(ram->base, ram->size);
	ram->base = NULL;
}

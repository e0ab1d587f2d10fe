// SPDX-License-Identifier: GPL-2.0-only
/*
 * A toy guest with a dirty log.
 *
 * No write may be lost between a vCPU and the migration, which fetches the log
 * and then sends the pages whose bits were set. So
 *
 *	vCPU:		write the page, then set its bit
 *	migration:	get and clear the bits, then have the pages read
 *
 * Whatever the interleaving, if the fetch sees the bit, the page is read after
 * the write. If it does not, because the bit is set later, the next fetch sees
 * it; that this round may have sent half of the write does no harm. The other
 * order loses data: bit set, bit fetched, old page sent, page written, and no
 * bit is left. (KVM may set the bit first, because the guest cannot write to a
 * page after the fetch without another fault or log entry.)
 *
 * The release of the vCPU's atomic OR pairs with the acquire of the fetch's
 * exchange.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"
#include "report.h"

/* vCPUs write in bursts, one per tick. */
#define TICK_NS		1000000
/* One write in so many clears its page. */
#define CLEAR_EVERY	8

static int fail(struct mfd_error *err, const char *what)
{
	err->code = errno;
	snprintf(err->text, sizeof(err->text), "%.128s: %s", what, strerror(errno));
	return -err->code;
}

static uint64_t words(const struct guest *guest)
{
	return (guest->pages + 63) / 64;
}

static int map_ram(struct guest *guest, enum guest_memory memory, struct mfd_error *err)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, fd = -1;
	void *ram = MAP_FAILED;

	if (memory == GUEST_MEMFD) {
		flags = MAP_SHARED;
		fd = memfd_create("guest", MFD_CLOEXEC);
		if (fd < 0)
			return fail(err, "guest memory");
	}
	if (fd < 0 || !ftruncate(fd, guest->size))
		ram = mmap(NULL, guest->size, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (ram == MAP_FAILED)
		fail(err, "guest memory");
	else
		guest->ram = ram;
	if (fd >= 0)
		close(fd);
	return guest->ram ? 0 : -err->code;
}

/* Read [@at, @end) of the file to where it belongs. */
static int read_data(struct guest *guest, int fd, uint64_t at, uint64_t end,
		     const char *image, struct mfd_error *err)
{
	ssize_t n;

	while (at < end) {
		n = pread(fd, guest->ram + at, end - at, at);
		if (n < 0)
			return fail(err, image);
		if (!n)
			break;
		at += n;
	}
	return 0;
}

static int load_fd(struct guest *guest, int fd, const char *image, struct mfd_error *err)
{
	off_t data = 0, hole;
	int ret;

	if (lseek(fd, 0, SEEK_END) > (off_t)guest->size) {
		errno = EFBIG;
		return fail(err, image);
	}
	while ((data = lseek(fd, data, SEEK_DATA)) >= 0) {
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return fail(err, image);
		ret = read_data(guest, fd, data, hole, image, err);
		if (ret)
			return ret;
		data = hole;
	}
	return errno == ENXIO ? 0 : fail(err, image);
}

static int load_image(struct guest *guest, const char *image, struct mfd_error *err)
{
	int fd = open(image, O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return fail(err, image);
	ret = load_fd(guest, fd, image, err);
	close(fd);
	return ret;
}

int guest_create(struct guest *guest, uint64_t size, enum guest_memory memory,
		 const char *image, struct mfd_error *err)
{
	int ret;

	*guest = (struct guest){ .size = size, .pages = size / GUEST_PAGE };
	ret = map_ram(guest, memory, err);
	if (!ret && image)
		ret = load_image(guest, image, err);
	if (!ret) {
		guest->dirty = calloc(words(guest), sizeof(*guest->dirty));
		if (!guest->dirty)
			ret = fail(err, "dirty log");
	}
	if (ret)
		guest_destroy(guest);
	return ret;
}

static uint64_t next_random(struct vcpu *vcpu)
{
	vcpu->random ^= vcpu->random << 13;
	vcpu->random ^= vcpu->random >> 7;
	vcpu->random ^= vcpu->random << 17;
	return vcpu->random;
}

static void mark_dirty(struct guest *guest, uint64_t page)
{
	atomic_fetch_or_explicit(&guest->dirty[page / 64], 1ull << page % 64,
				 memory_order_release);
}

/* Each vCPU writes to pages of its own: two do not race for the same bytes. */
static void write_page(struct vcpu *vcpu)
{
	struct guest *guest = vcpu->guest;
	uint64_t own = guest->pages / guest->nr_vcpus;
	uint64_t page = vcpu->id * own + next_random(vcpu) % own;
	uint64_t *ram = (uint64_t *)(guest->ram + page * GUEST_PAGE);
	unsigned int i;

	if (next_random(vcpu) % CLEAR_EVERY == 0)
		memset(ram, 0, GUEST_PAGE);
	else
		for (i = 0; i < GUEST_PAGE / sizeof(*ram); i += 16)
			ram[i] = next_random(vcpu);
	mark_dirty(guest, page);
}

static void *vcpu_thread(void *data)
{
	struct vcpu *vcpu = data;
	struct guest *guest = vcpu->guest;
	const struct timespec tick = { .tv_nsec = TICK_NS };
	uint64_t start = now_ns(), written = 0, due;

	while (!atomic_load(&guest->stop)) {
		due = (now_ns() - start) / 1000 * guest->write_rate / 1000000;
		while (written < due && !atomic_load(&guest->stop)) {
			write_page(vcpu);
			written++;
		}
		nanosleep(&tick, NULL);
	}
	return NULL;
}

int guest_start(struct guest *guest, unsigned int nr_vcpus, unsigned int write_rate,
		struct mfd_error *err)
{
	guest->vcpus = calloc(nr_vcpus, sizeof(*guest->vcpus));
	if (!guest->vcpus)
		return fail(err, "vCPUs");
	guest->nr_vcpus = nr_vcpus;
	guest->write_rate = write_rate;
	for (; guest->running < nr_vcpus; guest->running++) {
		struct vcpu *vcpu = &guest->vcpus[guest->running];

		vcpu->guest = guest;
		vcpu->id = guest->running;
		vcpu->random = 0x9e3779b97f4a7c15ull * (vcpu->id + 1);
		errno = pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);
		if (errno)
			return fail(err, "vCPU");
	}
	return 0;
}

void guest_stop(struct guest *guest)
{
	atomic_store(&guest->stop, true);
	while (guest->running)
		pthread_join(guest->vcpus[--guest->running].thread, NULL);
}

uint64_t guest_fetch_dirty(struct guest *guest, uint64_t *bitmap)
{
	uint64_t i, count = 0;

	for (i = 0; i < words(guest); i++) {
		bitmap[i] |= atomic_exchange_explicit(&guest->dirty[i], 0,
						      memory_order_acquire);
		count += __builtin_popcountll(bitmap[i]);
	}
	return count;
}

static int write_fd(const struct guest *guest, int fd, const char *file, struct mfd_error *err)
{
	uint64_t at = 0;
	ssize_t n;

	while (at < guest->size) {
		n = write(fd, guest->ram + at, guest->size - at);
		if (n < 0)
			return fail(err, file);
		at += n;
	}
	return 0;
}

int guest_dump(const struct guest *guest, const char *file, struct mfd_error *err)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int ret;

	if (fd < 0)
		return fail(err, file);
	ret = write_fd(guest, fd, file, err);
	if (close(fd) && !ret)
		ret = fail(err, file);
	return ret;
}

void guest_destroy(struct guest *guest)
{
	guest_stop(guest);
	free(guest->vcpus);
	free(guest->dirty);
	if (guest->ram)
		munmap(guest->ram, guest->size);
	*guest = (struct guest){ .ram = NULL };
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls as the uapi header promises them: every member, every error.
 */
#include "mem.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

union arg {
	uint32_t size;
	uint8_t bytes[256];
	struct mzp_info info;
	struct mzp_setup setup;
	struct mzp_block_add add;
	struct mzp_block_remove remove;
	struct mzp_channel_get channel;
	struct mzp_send send;
	struct mzp_sync sync;
	struct mzp_wait wait;
	struct mzp_cancel cancel;
};

/* A session in which one more call of any command works. */
struct fix {
	int fd;
	uint8_t *ram;
	uint32_t block, spare;
	uint64_t job;
};
#define RAM_PAGES 64ul

static void fix_open_bare(struct fix *f)
{
	*f = (struct fix){ .fd = mzp_open() };
	f->ram = mmap(NULL, RAM_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	must(f->ram != MAP_FAILED);
	memset(f->ram, 0x5a, RAM_PAGES * PAGE);
}

static void fix_open(struct fix *f)
{
	struct mzp_setup setup = setup_for(2);
	struct mzp_wait w = { 0 };

	fix_open_bare(f);
	setup.packet_pages = 8;
	setup.ring_packets = 32;
	works(mzp_setup(f->fd, &setup));
	works(mzp_block_add(f->fd, "ram", f->ram, RAM_PAGES * PAGE, &f->block));
	works(mzp_block_add(f->fd, "spare", f->ram, PAGE, &f->spare));
	works(mzp_send_all(f->fd, f->block, 0, 1, 0, &f->job));
	/* done, but not fetched */
	until(mzp_block_remove(f->fd, f->block) == 0);
	works(mzp_block_add(f->fd, "ram", f->ram, RAM_PAGES * PAGE, &f->block));
	gives(ENOENT, mzp_wait(f->fd, f->job + 1000, 0, &w));
}

static void fix_close(struct fix *f)
{
	sys(close(f->fd));
	munmap(f->ram, RAM_PAGES * PAGE);
}

static void fill_setup(struct fix *f, union arg *a)
{
	(void)f;
	a->setup = setup_for(2);
}

static void fill_add(struct fix *f, union arg *a)
{
	a->add.idstr = (uintptr_t)"another";
	a->add.idstr_len = 7;
	a->add.length = RAM_PAGES * PAGE;
	a->add.addr = (uintptr_t)f->ram;
}

static void fill_remove(struct fix *f, union arg *a)
{
	a->remove.block_id = f->spare;
}

static void fill_channel(struct fix *f, union arg *a)
{
	(void)f;
	a->channel.channel = 1;
	a->channel.fd = -1;
}

static void fill_send(struct fix *f, union arg *a)
{
	a->send.block_id = f->block;
	a->send.page_count = 3;
}

static void fill_wait(struct fix *f, union arg *a)
{
	a->wait.job_id = f->job;
	a->wait.timeout_ns = -1;
}

static const struct command {
	const char *name;
	unsigned long cmd;
	size_t size;
	void (*fill)(struct fix *f, union arg *a);
	uint32_t flags;		/* those that exist */
	bool bare;		/* needs no SETUP */
	bool replies;
	size_t reserved[3];
} commands[] = {
	{ "INFO", MZP_IOC_INFO, sizeof(struct mzp_info), NULL, 0, true, true, { 0 } },
	{ "SETUP", MZP_IOC_SETUP, sizeof(struct mzp_setup), fill_setup, 0, true, false,
	  { offsetof(struct mzp_setup, __reserved) } },
	{ "BLOCK_ADD", MZP_IOC_BLOCK_ADD, sizeof(struct mzp_block_add), fill_add, MZP_BLOCK_FD,
	  false, true, { offsetof(struct mzp_block_add, __reserved) } },
	{ "BLOCK_REMOVE", MZP_IOC_BLOCK_REMOVE, sizeof(struct mzp_block_remove), fill_remove, 0,
	  false, false, { offsetof(struct mzp_block_remove, __reserved) } },
	{ "CHANNEL", MZP_IOC_CHANNEL, sizeof(struct mzp_channel_get), fill_channel,
	  MZP_CHANNEL_NONBLOCK, false, true, { 0 } },
	{ "SEND", MZP_IOC_SEND, sizeof(struct mzp_send), fill_send,
	  MZP_SEND_FRESH | MZP_SEND_ZERO_BITMAP, false, true,
	  { offsetof(struct mzp_send, __reserved) } },
	{ "SYNC", MZP_IOC_SYNC, sizeof(struct mzp_sync), NULL, 0, false, true, { 0 } },
	{ "WAIT", MZP_IOC_WAIT, sizeof(struct mzp_wait), fill_wait, 0, false, true,
	  { offsetof(struct mzp_wait, __reserved), offsetof(struct mzp_wait, __reserved2) } },
	{ "CANCEL", MZP_IOC_CANCEL, sizeof(struct mzp_cancel), NULL, 0, false, false, { 0 } },
};
#define FOR_EACH_COMMAND(c) \
	for (const struct command *c = commands; c < commands + ARRAY_SIZE(commands); c++)
#define command_gives(want, c, call)                                           \
	do {                                                                   \
		int got_ = (call);                                             \
		must(got_ == (want), "%s: %s, not %s", (c)->name,              \
		     kit_errno(got_), kit_errno(want));                        \
	} while (0)

static void prepare(const struct command *c, struct fix *f, union arg *a)
{
	if (c->cmd == MZP_IOC_SETUP)
		fix_open_bare(f);
	else
		fix_open(f);
	memset(a, 0, sizeof(*a));
	a->size = c->size;
	if (c->fill)
		c->fill(f, a);
}

static void sizes(void **state)
{
	(void)state;
	FOR_EACH_COMMAND(c) {
		static const uint8_t past[] = { 0, 1, 3, 7, 8 };
		union arg a, longer;
		struct fix f;

		for (size_t size = 0; size < c->size; size++) {
			/* a size that this test would have to guess about */
			if (size == 0 || size == 3 || size == 4 || size == 8 || size + 1 == c->size) {
				prepare(c, &f, &a);
				a.size = size;
				command_gives(EINVAL, c, mzp(f.fd, c->cmd, &a));
				/* it did nothing */
				a.size = c->size;
				command_gives(0, c, mzp(f.fd, c->cmd, &a));
				fix_close(&f);
			}
		}
		for (unsigned int i = 0; i < ARRAY_SIZE(past); i++) {
			size_t tail = 8 + past[i];

			prepare(c, &f, &a);
			longer = a;
			longer.size += tail;
			longer.bytes[c->size + past[i]] = 1;
			command_gives(E2BIG, c, mzp(f.fd, c->cmd, &longer));
			longer.bytes[c->size + past[i]] = 0;
			longer.bytes[c->size + tail - 1] = 0x80;
			command_gives(E2BIG, c, mzp(f.fd, c->cmd, &longer));
			longer.bytes[c->size + tail - 1] = 0;
			/* what is behind its size does not count */
			longer.bytes[c->size + tail] = 0xff;
			command_gives(0, c, mzp(f.fd, c->cmd, &longer));
			must(longer.size == c->size + tail);
			fix_close(&f);
		}
	}
}

/* The reply reaches a caller that has a longer structure, and is all of it. */
static void long_replies(void **state)
{
	union arg a = { .info.size = sizeof(a.info) + 16 };
	struct mzp_info info = mzp_info();
	struct fix f;

	(void)state;
	fix_open(&f);
	works(mzp(f.fd, MZP_IOC_INFO, &a));
	a.info.size = info.size;
	assert_memory_equal(&a.info, &info, sizeof(info));

	memset(&a, 0, sizeof(a));
	a.size = sizeof(a.wait) + 16;
	fill_wait(&f, &a);
	works(mzp(f.fd, MZP_IOC_WAIT, &a));
	assert_int_equal(a.wait.submitted, 1);
	assert_int_equal(a.wait.normal, 1);
	fix_close(&f);
}

static void unknown_flags(void **state)
{
	(void)state;
	FOR_EACH_COMMAND(c) {
		union arg a;
		struct fix f;

		prepare(c, &f, &a);
		for (unsigned int i = 0; i < 32; i++) {
			if (c->flags >> i & 1)
				continue;
			/* all structures have it there */
			a.setup.flags = 1u << i;
			command_gives(EOPNOTSUPP, c, mzp(f.fd, c->cmd, &a));
		}
		a.setup.flags = c->flags ^ ~0u;
		command_gives(EOPNOTSUPP, c, mzp(f.fd, c->cmd, &a));
		a.setup.flags = 0;
		command_gives(0, c, mzp(f.fd, c->cmd, &a));
		fix_close(&f);
	}
}

static void reserved_members(void **state)
{
	(void)state;
	FOR_EACH_COMMAND(c) {
		union arg a;
		struct fix f;

		prepare(c, &f, &a);
		for (const size_t *at = c->reserved; *at; at++) {
			for (unsigned int i = 0; i < 4; i++) {
				a.bytes[*at + i] = 0x80;
				command_gives(EOPNOTSUPP, c, mzp(f.fd, c->cmd, &a));
				a.bytes[*at + i] = 0;
			}
		}
		command_gives(0, c, mzp(f.fd, c->cmd, &a));
		fix_close(&f);
	}
}

static void bad_pointers(void **state)
{
	uint8_t *two = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	(void)state;
	must(two != MAP_FAILED);
	sys(munmap(two + PAGE, PAGE));
	FOR_EACH_COMMAND(c) {
		void *bad[] = {
			NULL, (void *)8, two + PAGE, two + PAGE - 3, (void *)(1ul << 63),
			(void *)-PAGE, (void *)(0ul - c->size), (void *)-4ul,
		};
		union arg a;
		struct fix f;

		prepare(c, &f, &a);
		for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
			command_gives(EFAULT, c, mzp(f.fd, c->cmd, bad[i]));
		/* a size, and nothing behind it */
		*(uint32_t *)(two + PAGE - 4) = c->size;
		command_gives(EFAULT, c, mzp(f.fd, c->cmd, two + PAGE - 4));
		/* the structure, and then less than its size says */
		a.size = c->size + 8;
		memcpy(two + PAGE - c->size, &a, c->size);
		command_gives(EFAULT, c, mzp(f.fd, c->cmd, two + PAGE - c->size));
		/* right up to the end is enough */
		a.size = c->size;
		memcpy(two + PAGE - c->size, &a, c->size);
		command_gives(0, c, mzp(f.fd, c->cmd, two + PAGE - c->size));
		fix_close(&f);
	}
	munmap(two, PAGE);
}

/* A structure of any amount is not a reason to read that much: a page is the end. */
static void huge_size(void **state)
{
	static uint8_t big[3 * PAGE];

	(void)state;
	FOR_EACH_COMMAND(c) {
		static const uint32_t sizes[] = {
			PAGE + 1, PAGE + 8, 2 * PAGE, 1u << 31, UINT32_MAX,
		};
		union arg a;
		struct fix f;

		prepare(c, &f, &a);
		memset(big, 0, sizeof(big));
		memcpy(big, &a, c->size);
		for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
			*(uint32_t *)big = sizes[i];
			command_gives(E2BIG, c, mzp(f.fd, c->cmd, big));
		}
		*(uint32_t *)big = PAGE;
		big[PAGE - 1] = 1;
		command_gives(E2BIG, c, mzp(f.fd, c->cmd, big));
		big[PAGE - 1] = 0;
		big[PAGE] = 1;
		command_gives(0, c, mzp(f.fd, c->cmd, big));
		fix_close(&f);
	}
}

/* A reply that cannot be delivered: nothing has happened. */
static void reply_to_nowhere(void **state)
{
	union arg *ro = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);

	(void)state;
	must(ro != MAP_FAILED);
	FOR_EACH_COMMAND(c) {
		struct mzp_wait w = { 0 };
		int lowest, ch[2];
		struct fix f;
		uint64_t job;

		if (!c->replies)
			continue;
		sys(mprotect(ro, PAGE, PROT_READ | PROT_WRITE));
		prepare(c, &f, ro);
		sys(mprotect(ro, PAGE, PROT_READ));
		lowest = sys(dup(0));
		close(lowest);
		for (unsigned int i = 0; i < 3; i++)
			command_gives(EFAULT, c, mzp(f.fd, c->cmd, ro));
		must(sys(dup(0)) == lowest, "%s: a file descriptor was left", c->name);
		close(lowest);

		/* a job, if it had been one, would have come before this */
		if (c->cmd == MZP_IOC_SEND || c->cmd == MZP_IOC_SYNC) {
			uint8_t got[64 + 2 * 1344 + PAGE];
			size_t n = 0;

			works(mzp_sync(f.fd, &job));
			works(mzp_wait(f.fd, job, -1, &w));
			for (unsigned int i = 0; i < 2; i++) {
				ssize_t part;

				works(mzp_channel(f.fd, i, MZP_CHANNEL_NONBLOCK, &ch[i]));
				while ((part = read(ch[i], got, sizeof(got))) > 0)
					n += part;
				must(part == -1 && errno == EAGAIN);
			}
			/* the fixture's page, and the SYNC */
			must(n == 2 * 64 + 1344 + PAGE + 2 * 1344, "%s: %zu bytes", c->name, n);
			close(ch[0]);
			close(ch[1]);
		} else {
			sys(mprotect(ro, PAGE, PROT_READ | PROT_WRITE));
			command_gives(0, c, mzp(f.fd, c->cmd, ro));
			if (c->cmd == MZP_IOC_CHANNEL)
				close(ro->channel.fd);
		}
		fix_close(&f);
	}
	munmap(ro, PAGE);
}

static void unknown_commands(void **state)
{
	union arg a;
	struct fix f;
	int ch;

	(void)state;
	for (unsigned int set_up = 0; set_up < 2; set_up++) {
		if (set_up)
			fix_open(&f);
		else
			fix_open_bare(&f);
		for (unsigned int nr = MZP_CMD_CANCEL + 1; nr < 256; nr++) {
			memset(&a, 0, sizeof(a));
			a.size = 8;
			gives(ENOTTY, mzp(f.fd, _IO(MZP_IOC_TYPE, nr), &a));
			gives(ENOTTY, mzp(f.fd, _IO(MZP_IOC_TYPE, nr), NULL));
		}
		for (unsigned int type = 0; type < 256; type++) {
			memset(&a, 0, sizeof(a));
			a.size = sizeof(a.info);
			/* 'T', 'f' and 'X' have some that all files know */
			if (type != MZP_IOC_TYPE && type != 'T' && type != 'f' && type != 'X' && type)
				gives(ENOTTY, mzp(f.fd, _IO(type, MZP_CMD_INFO), &a));
		}
		FOR_EACH_COMMAND(c) {
			static const unsigned long dirs[] = {
				_IOR(0, 0, int), _IOW(0, 0, int), _IOWR(0, 0, long), 64 << 16,
			};

			memset(&a, 0, sizeof(a));
			a.size = c->size;
			for (unsigned int i = 0; i < ARRAY_SIZE(dirs); i++)
				command_gives(ENOTTY, c, mzp(f.fd, c->cmd | dirs[i], &a));
		}
		fix_close(&f);
	}

	/* a channel has none */
	fix_open(&f);
	works(mzp_channel(f.fd, 0, 0, &ch));
	FOR_EACH_COMMAND(c) {
		memset(&a, 0, sizeof(a));
		a.size = c->size;
		command_gives(ENOTTY, c, mzp(ch, c->cmd, &a));
	}
	close(ch);
	fix_close(&f);
}

static void before_setup(void **state)
{
	(void)state;
	FOR_EACH_COMMAND(c) {
		union arg a = { .size = c->size };
		struct fix f;

		fix_open_bare(&f);
		f.job = 1;
		if (c->fill)
			c->fill(&f, &a);
		command_gives(c->bare ? 0 : ENXIO, c, mzp(f.fd, c->cmd, &a));
		fix_close(&f);
	}
}

static void info(void **state)
{
	struct mzp_info i = mzp_info();

	(void)state;
	assert_int_equal(i.abi_version, MZP_ABI_VERSION);
	assert_int_equal(i.page_size, PAGE);
	assert_int_equal(i.methods & 1 << MZP_METHOD_NONE, 1 << MZP_METHOD_NONE);
	assert_int_equal(i.detections, 7);
	assert_int_equal(i.features, 0);
	assert_int_equal(i.max_channels, 255);
	assert_int_equal(i.max_packet_pages, 128);
	assert_true(i.max_ring_packets >= 8 && !(i.max_ring_packets & (i.max_ring_packets - 1)));
	assert_true(i.max_blocks >= 16);
	assert_true(i.max_jobs >= 16);
	assert_true(i.max_sessions >= 16);
	assert_int_equal(i.level_min, 0);
	assert_int_equal(i.level_max, 0);
	assert_int_equal(i.level_default, 0);
}

static void info_of_a_method(void **state)
{
	uint32_t methods = mzp_info().methods;
	int fd = mzp_open();

	(void)state;
	for (uint32_t m = 0; m < 40; m++) {
		struct mzp_info i = { .size = sizeof(i), .method = m };
		bool known = m < 32 && methods >> m & 1;

		gives(known ? 0 : EOPNOTSUPP, mzp(fd, MZP_IOC_INFO, &i));
		if (known)
			assert_true(i.level_min <= i.level_default && i.level_default <= i.level_max);
	}
	close(fd);
}

/* What there is, and how hard it can be told to try; each end, and what is beyond. */
static void methods_and_levels(void **state)
{
	static const struct {
		enum mzp_method method;
		int32_t min, max, preset;
	} methods[] = {
		{ MZP_METHOD_NONE, 0, 0, 0 },
		{ MZP_METHOD_ZLIB, 1, 9, 1 },
		{ MZP_METHOD_ZSTD, 1, 19, 1 },
	};

	(void)state;
	assert_int_equal(mzp_info().methods, (1 << ARRAY_SIZE(methods)) - 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(methods); i++) {
		struct mzp_info info = { .size = sizeof(info), .method = methods[i].method };
		const int32_t min = methods[i].min, max = methods[i].max;
		const int32_t good[] = { 0, min, max, min + (max - min) / 2 };
		const int32_t bad[] = { min ? min - 2 : -1, max + 1, max + 100, INT32_MIN, INT32_MAX };
		struct mzp_setup setup = setup_for(1);
		int fd = mzp_open();

		works(mzp(fd, MZP_IOC_INFO, &info));
		assert_int_equal(info.level_min, min);
		assert_int_equal(info.level_max, max);
		assert_int_equal(info.level_default, methods[i].preset);
		setup.method = methods[i].method;
		for (unsigned int n = 0; n < ARRAY_SIZE(bad); n++) {
			setup.level = bad[n];
			must(mzp_setup(fd, &setup) == EINVAL, "method %u, level %d", setup.method,
			     setup.level);
		}
		close(fd);
		for (unsigned int n = 0; n < ARRAY_SIZE(good); n++) {
			setup.level = good[n];
			fd = mzp_open();
			must(!mzp_setup(fd, &setup), "method %u, level %d", setup.method,
			     setup.level);
			close(fd);
		}
	}
}

static void setup_twice(void **state)
{
	struct mzp_setup setup = setup_for(3);
	struct fix f;

	(void)state;
	fix_open(&f);
	gives(EBUSY, mzp_setup(f.fd, &setup));
	fix_close(&f);
}

static void setup_bounds(void **state)
{
	struct mzp_info info = mzp_info();
	uint64_t cpu0 = 1, none = 0;
	const struct {
		size_t at;
		uint64_t value;
		int want;
	} cases[] = {
#define CASE(member, value, want) { offsetof(struct mzp_setup, member), value, want }
		CASE(channels, 0, EINVAL),
		CASE(channels, 256, EINVAL),
		CASE(channels, UINT32_MAX, EINVAL),
		CASE(channels, 1, 0),
		CASE(channels, 255, 0),
		CASE(method, MZP_METHOD_ZSTD + 1, EOPNOTSUPP),
		CASE(method, 31, EOPNOTSUPP),
		CASE(method, 32, EOPNOTSUPP),
		CASE(method, UINT32_MAX, EOPNOTSUPP),
		CASE(level, 1, EINVAL),
		CASE(level, (uint32_t)-1, EINVAL),
		CASE(detection, 3, EOPNOTSUPP),
		CASE(detection, 33, EOPNOTSUPP),
		CASE(detection, UINT32_MAX, EOPNOTSUPP),
		CASE(detection, MZP_DETECTION_NONE, 0),
		CASE(detection, MZP_DETECTION_LEGACY, 0),
		CASE(packet_pages, 1, 0),
		CASE(packet_pages, 128, 0),
		CASE(packet_pages, 129, EINVAL),
		CASE(packet_pages, UINT32_MAX, EINVAL),
		CASE(ring_packets, 1, 0),
		CASE(ring_packets, 3, EINVAL),
		CASE(ring_packets, 6, EINVAL),
		CASE(ring_packets, info.max_ring_packets, 0),
		CASE(ring_packets, 2 * info.max_ring_packets, EINVAL),
		CASE(ring_packets, 1u << 31, EINVAL),
		CASE(ring_packets, UINT32_MAX, EINVAL),
#undef CASE
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mzp_setup setup = setup_for(2), good = setup;
		int fd = mzp_open(), got;

		*(uint32_t *)((char *)&setup + cases[i].at) = cases[i].value;
		got = mzp_setup(fd, &setup);
		must(got == cases[i].want, "%ju at %zu: %s, not %s", (uintmax_t)cases[i].value,
		     cases[i].at, kit_errno(got), kit_errno(cases[i].want));
		/* nothing is left of a failed one */
		gives(got ? 0 : EBUSY, mzp_setup(fd, &good));
		close(fd);
	}

	for (unsigned int i = 0; i < 2; i++) {
		/* a mask without a size, and the reverse */
		struct mzp_setup setup = setup_for(2);
		int fd = mzp_open();

		setup.cpus = i ? (uintptr_t)&cpu0 : 0;
		setup.cpus_size = i ? 0 : sizeof(cpu0);
		gives(EINVAL, mzp_setup(fd, &setup));
		setup.cpus = (uintptr_t)&none;
		setup.cpus_size = sizeof(none);
		gives(EINVAL, mzp_setup(fd, &setup));
		setup.cpus = (uintptr_t)&cpu0;
		works(mzp_setup(fd, &setup));
		close(fd);
	}
}

static void setup_cpus(void **state)
{
	static uint8_t mask[PAGE];
	uint8_t *end = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	struct mzp_setup setup = setup_for(1);
	int fd;

	(void)state;
	must(end != MAP_FAILED);
	sys(munmap(end + PAGE, PAGE));
	fd = mzp_open();
	/* a CPU that does not exist, in and behind what the kernel has masks for */
	for (unsigned int cpu = 1000; cpu < 8 * sizeof(mask); cpu += 9000) {
		memset(mask, 0, sizeof(mask));
		mask[cpu / 8] |= 1 << cpu % 8;
		setup.cpus = (uintptr_t)mask;
		setup.cpus_size = sizeof(mask);
		gives(EINVAL, mzp_setup(fd, &setup));
	}
	setup.cpus = (uintptr_t)(end + PAGE);
	setup.cpus_size = 8;
	gives(EFAULT, mzp_setup(fd, &setup));
	setup.cpus = (uintptr_t)(end + PAGE - 4);
	gives(EFAULT, mzp_setup(fd, &setup));
	setup.cpus = -8ul;
	gives(EFAULT, mzp_setup(fd, &setup));

	/* like sched_setaffinity: what is too long is cut, what is short is filled up */
	mask[0] = 1;
	setup.cpus = (uintptr_t)mask;
	setup.cpus_size = sizeof(mask);
	works(mzp_setup(fd, &setup));
	close(fd);
	fd = mzp_open();
	end[PAGE - 1] = 1;
	setup.cpus = (uintptr_t)(end + PAGE - 1);
	setup.cpus_size = 1;
	works(mzp_setup(fd, &setup));
	close(fd);
	munmap(end, PAGE);
}

/* Without CAP_SYS_NICE, a session does not get farther than its process could. */
static void setup_cpus_child(void *arg)
{
	uint64_t cpu1 = 2, both = 3;
	struct mzp_setup setup = setup_for(1);
	cpu_set_t set;
	int fd;

	(void)arg;
	setup.ring_packets = setup.packet_pages = 1;
	setup.cpus_size = 8;
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sys(sched_setaffinity(0, sizeof(set), &set));
	fd = mzp_open();
	become(SOMEBODY);
	setup.cpus = (uintptr_t)&cpu1;
	gives(EINVAL, mzp_setup(fd, &setup));
	setup.cpus = (uintptr_t)&both;
	works(mzp_setup(fd, &setup));
	close(fd);
}

static void setup_cpus_unprivileged(void **state)
{
	(void)state;
	reap(child(setup_cpus_child, NULL), 0);
}

static void memlock_child(void *arg)
{
	/* 2 channels of 4 packets of 8 pages */
	struct mzp_setup setup = setup_for(2);
	struct rlimit limit = { 64 * PAGE, 128 * PAGE };
	int fd[4], ch;

	(void)arg;
	setup.ring_packets = 4;
	setup.packet_pages = 8;
	become(SOMEBODY);
	for (unsigned int i = 0; i < 4; i++)
		fd[i] = mzp_open();
	sys(setrlimit(RLIMIT_MEMLOCK, &limit));
	works(mzp_setup(fd[0], &setup));
	/* it is the user's limit, not the session's */
	gives(ENOMEM, mzp_setup(fd[1], &setup));
	limit.rlim_cur = 128 * PAGE - 1;
	sys(setrlimit(RLIMIT_MEMLOCK, &limit));
	gives(ENOMEM, mzp_setup(fd[1], &setup));
	limit.rlim_cur = 128 * PAGE;
	sys(setrlimit(RLIMIT_MEMLOCK, &limit));
	works(mzp_setup(fd[1], &setup));
	setup.channels = setup.ring_packets = setup.packet_pages = 1;
	gives(ENOMEM, mzp_setup(fd[2], &setup));
	/* a failed attempt is not charged, a closed session not any more */
	close(fd[1]);
	setup.channels = 2;
	setup.ring_packets = 4;
	setup.packet_pages = 8;
	until(mzp_setup(fd[2], &setup) == 0);
	/* defaults count for what they stand for */
	close(fd[2]);
	setup = setup_for(1);
	gives(ENOMEM, mzp_setup(fd[3], &setup));

	/* a channel that outlives its session still holds what is in its ring */
	works(mzp_channel(fd[0], 0, 0, &ch));
	close(fd[0]);
	setup.channels = 4;
	setup.packet_pages = 8;
	setup.ring_packets = 4;
	gives(ENOMEM, mzp_setup(fd[3], &setup));
	close(ch);
	until(mzp_setup(fd[3], &setup) == 0);
}

static void memlock(void **state)
{
	struct mzp_setup setup = setup_for(255);
	struct rlimit limit = { 0, RLIM_INFINITY };
	int fd;

	(void)state;
	sys(chmod(DEVICE, 0666));
	reap(child(memlock_child, NULL), 0);
	/* once more: the first one's charge is gone with it */
	reap(child(memlock_child, NULL), 0);
	sys(chmod(DEVICE, 0660));

	/* CAP_IPC_LOCK */
	sys(setrlimit(RLIMIT_MEMLOCK, &limit));
	fd = mzp_open();
	works(mzp_setup(fd, &setup));
	close(fd);
}

/* @arg: where to put the number of sessions that worked */
static void many_sessions(void *arg)
{
	struct mzp_setup setup = setup_for(1);
	unsigned int n = 0, max = mzp_info().max_sessions;
	int *fd = calloc(max + 1, sizeof(*fd)), err = 0;

	must(fd);
	setup.ring_packets = setup.packet_pages = 1;
	become(SOMEBODY);
	while (n <= max) {
		fd[n] = open(DEVICE, O_RDWR | O_CLOEXEC);
		err = fd[n] < 0 ? errno : mzp_setup(fd[n], &setup);
		if (err)
			break;
		n++;
	}
	must(n == max, "%u sessions, then %s", n, kit_errno(err));
	must(fd[n] < 0 && err == EMFILE, "%s", kit_errno(err));
	/* somebody else's sessions are not concerned, and one less is one more */
	write_exactly(*(int *)arg, "", 1);
	close(fd[0]);
	until((fd[n] = open(DEVICE, O_RDWR | O_CLOEXEC)) >= 0);
	until(mzp_setup(fd[n], &setup) == 0);
}

static void session_cap(void **state)
{
	struct rlimit files = { 65536, 65536 }, lock = { RLIM_INFINITY, RLIM_INFINITY };
	struct mzp_setup setup = setup_for(1);
	int ready[2], fd;
	pid_t pid;
	char c;

	(void)state;
	setrlimit(RLIMIT_NOFILE, &files);
	sys(setrlimit(RLIMIT_MEMLOCK, &lock));
	sys(pipe2(ready, O_CLOEXEC));
	sys(chmod(DEVICE, 0666));
	pid = child(many_sessions, &ready[1]);
	close(ready[1]);
	must(read(ready[0], &c, 1) == 1);
	fd = mzp_open();
	works(mzp_setup(fd, &setup));
	close(fd);
	reap(pid, 0);
	sys(chmod(DEVICE, 0660));
}

static void block_add_bounds(void **state)
{
	static char names[512];
	uint8_t *two = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	const uint64_t end = task_size();
	struct fix f;
	union arg a;

	(void)state;
	must(two != MAP_FAILED);
	sys(munmap(two + PAGE, PAGE));
	memset(names, 'n', sizeof(names));
	fix_open(&f);
#define TRY(want, change)                                                      \
	do {                                                                   \
		a = (union arg){ .size = sizeof(a.add) };                      \
		fill_add(&f, &a);                                              \
		change;                                                        \
		gives(want, mzp(f.fd, MZP_IOC_BLOCK_ADD, &a));                 \
	} while (0)
	TRY(EINVAL, a.add.idstr_len = 0);
	TRY(EINVAL, (a.add.idstr = (uintptr_t)names, a.add.idstr_len = 256));
	TRY(EINVAL, (a.add.idstr = (uintptr_t)names, a.add.idstr_len = UINT32_MAX));
	TRY(EINVAL, (a.add.idstr = (uintptr_t)"", a.add.idstr_len = 1));
	TRY(EINVAL, (a.add.idstr = (uintptr_t)"with\0nul", a.add.idstr_len = 8));
	TRY(EINVAL, (a.add.idstr = (uintptr_t)"nul at the end", a.add.idstr_len = 15));
	TRY(EFAULT, a.add.idstr = 0);
	TRY(EFAULT, a.add.idstr = (uintptr_t)(two + PAGE));
	TRY(EFAULT, a.add.idstr = (uintptr_t)(two + PAGE - 3));
	TRY(EFAULT, a.add.idstr = -7ul);
	TRY(EFAULT, a.add.idstr = 1ul << 63);
	TRY(EEXIST, (a.add.idstr = (uintptr_t)"ram", a.add.idstr_len = 3));
	TRY(EINVAL, a.add.addr += 1);
	TRY(EINVAL, a.add.addr += PAGE / 2);
	TRY(EINVAL, a.add.length -= 1);
	TRY(EINVAL, a.add.length += 512);
	TRY(EINVAL, a.add.length = 0);
	TRY(EINVAL, a.add.length = 1);
	TRY(EOVERFLOW, a.add.length = -PAGE);
	TRY(EOVERFLOW, (a.add.addr = -PAGE, a.add.length = PAGE));
	TRY(EOVERFLOW, (a.add.addr = -PAGE, a.add.length = 2 * PAGE));
	TRY(EOVERFLOW, (a.add.addr = -16 * PAGE, a.add.length = PAGE));
	TRY(EOVERFLOW, (a.add.addr = 1ul << 63, a.add.length = PAGE));
	TRY(EOVERFLOW, (a.add.addr = 1ul << 63, a.add.length = 1ul << 63));
	TRY(EOVERFLOW, a.add.length = 1ul << 63);
	TRY(EOVERFLOW, (a.add.addr = 0, a.add.length = 1ul << 63));
	/* with 5-level page tables the end is elsewhere, so only what is far beyond it */
	TRY(EOVERFLOW, (a.add.addr = end - PAGE, a.add.length = 1ul << 57));
	/* all of these failed without a trace, so the name is still free */
	TRY(0, (void)0);
	TRY(EEXIST, (void)0);
	/* a name without a NUL behind it, up to the end of the page; and 255 bytes */
	TRY(0, (a.add.idstr = (uintptr_t)memcpy(two + PAGE - 3, "end", 3), a.add.idstr_len = 3));
	TRY(0, (a.add.idstr = (uintptr_t)names, a.add.idstr_len = 255));
	TRY(0, (a.add.idstr = (uintptr_t)names, a.add.idstr_len = 254));
	TRY(EEXIST, (a.add.idstr = (uintptr_t)names, a.add.idstr_len = 255));
	/* memory that is not there yet, and that is there twice */
	TRY(0, (a.add.idstr = (uintptr_t)"unmapped", a.add.idstr_len = 8,
		a.add.addr = (uintptr_t)(two + PAGE)));
	TRY(0, (a.add.idstr = (uintptr_t)"again", a.add.idstr_len = 5));
	TRY(0, (a.add.idstr = (uintptr_t)"all", a.add.idstr_len = 3, a.add.addr = 0,
		a.add.length = end));
#undef TRY
	fix_close(&f);
	munmap(two, PAGE);
}

static void block_add_fd(void **state)
{
	int shm = sys(memfd_create("ram", MFD_CLOEXEC)), wo, disk, dir, p[2];
	union arg a;
	struct fix f;
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", shm);
	wo = sys(open(path, O_WRONLY | O_CLOEXEC));
	disk = sys(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	dir = sys(open("/dev/shm", O_RDONLY | O_CLOEXEC | O_DIRECTORY));
	sys(pipe2(p, O_CLOEXEC));
	fix_open(&f);
#define TRY(want, change)                                                      \
	do {                                                                   \
		a = (union arg){ .size = sizeof(a.add) };                      \
		fill_add(&f, &a);                                              \
		a.add.flags = MZP_BLOCK_FD;                                    \
		a.add.addr = 0;                                                \
		a.add.fd = shm;                                                \
		change;                                                        \
		gives(want, mzp(f.fd, MZP_IOC_BLOCK_ADD, &a));                 \
	} while (0)
	TRY(EBADF, a.add.fd = -1);
	TRY(EBADF, a.add.fd = 12345);
	TRY(EBADF, a.add.fd = INT32_MIN);
	TRY(EACCES, a.add.fd = wo);
	TRY(EBADF, a.add.fd = sys(open(path, O_PATH | O_CLOEXEC)));
	TRY(EOPNOTSUPP, a.add.fd = disk);
	TRY(EOPNOTSUPP, a.add.fd = p[0]);
	TRY(EOPNOTSUPP, a.add.fd = f.fd);
	TRY(EOPNOTSUPP, a.add.fd = sys(open("/dev/zero", O_RDWR | O_CLOEXEC)));
	TRY(EOPNOTSUPP, a.add.fd = sys(open("/dev/kmsg", O_RDONLY | O_CLOEXEC)));
	TRY(EOPNOTSUPP, a.add.fd = sys(open("/proc/self/maps", O_RDONLY | O_CLOEXEC)));
	TRY(EOPNOTSUPP, a.add.fd = dir);
	TRY(EINVAL, a.add.addr = (uintptr_t)f.ram);
	TRY(EINVAL, a.add.offset = 1);
	TRY(EINVAL, a.add.offset = PAGE - 1);
	TRY(EINVAL, a.add.length = 0);
	TRY(EINVAL, a.add.length = 100);
	TRY(EOVERFLOW, a.add.offset = 1ul << 63);
	TRY(EOVERFLOW, a.add.offset = -PAGE);
	TRY(EOVERFLOW, a.add.offset = (1ul << 63) - PAGE);
	TRY(EOVERFLOW, a.add.length = 1ul << 63);
	/* members that belong to the other kind of block */
	TRY(EINVAL, (a.add.flags = 0, a.add.addr = (uintptr_t)f.ram));
	TRY(EINVAL, (a.add.flags = 0, a.add.addr = (uintptr_t)f.ram, a.add.fd = 0,
		     a.add.offset = PAGE));
	/* none of that has kept a name; and the file need not be that long */
	TRY(0, a.add.offset = 1ul << 40);
	TRY(EEXIST, (void)0);
#undef TRY
	fix_close(&f);
	close(shm);
	close(wo);
	close(disk);
	close(dir);
	close(p[0]);
	close(p[1]);
}

static void too_many_blocks(void **state)
{
	unsigned int max = mzp_info().max_blocks;
	uint32_t *id = calloc(max, sizeof(*id)), more;
	struct mzp_setup setup = setup_for(1);
	struct fix f;
	char name[32];

	(void)state;
	must(id);
	fix_open_bare(&f);
	works(mzp_setup(f.fd, &setup));
	for (unsigned int i = 0; i < max; i++) {
		snprintf(name, sizeof(name), "block %u", i);
		works(mzp_block_add(f.fd, name, f.ram, PAGE, &id[i]));
		for (unsigned int j = 0; j < i; j++)
			must(id[i] != id[j]);
	}
	gives(ENOSPC, mzp_block_add(f.fd, "one more", f.ram, PAGE, &more));
	works(mzp_block_remove(f.fd, id[max / 2]));
	gives(ENOENT, mzp_block_remove(f.fd, id[max / 2]));
	works(mzp_block_add(f.fd, "one more", f.ram, PAGE, &more));
	gives(ENOSPC, mzp_block_add(f.fd, "and another", f.ram, PAGE, &more));
	fix_close(&f);
}

/* A session whose ring of 2 × 8 pages is full and which has more to do. */
static void fix_open_full(struct fix *f)
{
	struct mzp_setup setup = setup_for(1);
	struct mzp_wait w = { 0 };

	fix_open_bare(f);
	setup.packet_pages = 8;
	setup.ring_packets = 2;
	works(mzp_setup(f->fd, &setup));
	works(mzp_block_add(f->fd, "ram", f->ram, RAM_PAGES * PAGE, &f->block));
	works(mzp_block_add(f->fd, "spare", f->ram, PAGE, &f->spare));
	works(mzp_send_all(f->fd, f->block, 0, RAM_PAGES, 0, &f->job));
	gives(ETIMEDOUT, mzp_wait(f->fd, f->job, 0, &w));
}

static void drain(struct fix *f)
{
	static uint8_t buf[64 + (RAM_PAGES / 8) * 1344 + RAM_PAGES * PAGE];
	int ch;

	works(mzp_channel(f->fd, 0, 0, &ch));
	read_exactly(ch, buf, sizeof(buf));
	/* stays open with the session */
}

static void block_remove(void **state)
{
	struct mzp_wait w = { 0 };
	struct fix f;

	(void)state;
	fix_open_full(&f);
	gives(ENOENT, mzp_block_remove(f.fd, f.block + 1000));
	gives(ENOENT, mzp_block_remove(f.fd, UINT32_MAX));
	gives(EBUSY, mzp_block_remove(f.fd, f.block));
	/* of which nobody makes use */
	works(mzp_block_remove(f.fd, f.spare));
	gives(ENOENT, mzp_block_remove(f.fd, f.spare));
	gives(EBUSY, mzp_block_remove(f.fd, f.block));
	drain(&f);
	/* done, which can be seen without fetching the result */
	until(mzp_block_remove(f.fd, f.block) != EBUSY);
	gives(ENOENT, mzp_block_remove(f.fd, f.block));
	gives(ENOENT, mzp_send_all(f.fd, f.block, 0, 1, 0, NULL));
	works(mzp_wait(f.fd, f.job, 0, &w));
	must(!w.error && w.normal == RAM_PAGES);
	works(mzp_block_add(f.fd, "ram", f.ram, PAGE, NULL));
	fix_close(&f);
}

static void channel(void **state)
{
	struct fix f;
	int ch, again;

	(void)state;
	fix_open(&f);
	gives(EINVAL, mzp_channel(f.fd, 2, 0, &ch));
	gives(EINVAL, mzp_channel(f.fd, 255, 0, &ch));
	gives(EINVAL, mzp_channel(f.fd, UINT32_MAX, 0, &ch));
	works(mzp_channel(f.fd, 0, 0, &ch));
	gives(EBUSY, mzp_channel(f.fd, 0, 0, &again));
	must(sys(fcntl(ch, F_GETFD)) == FD_CLOEXEC);
	must((sys(fcntl(ch, F_GETFL)) & O_ACCMODE) == O_RDONLY);
	must(!(sys(fcntl(ch, F_GETFL)) & O_NONBLOCK));
	works(mzp_channel(f.fd, 1, MZP_CHANNEL_NONBLOCK, &again));
	must(sys(fcntl(again, F_GETFL)) & O_NONBLOCK);
	must(sys(fcntl(again, F_GETFD)) == FD_CLOEXEC);
	close(again);
	/* handed out before, and closed by now */
	gives(EPIPE, mzp_channel(f.fd, 1, 0, &again));
	close(ch);
	fix_close(&f);
}

static void send_errors(void **state)
{
	static uint64_t bits[RAM_PAGES / 64] = { 1 };
	static struct mzp_range range[4];
	void *hole = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mzp_send send;
	struct fix f;

	(void)state;
	fix_open(&f);
#define TRY(want, ...)                                                         \
	do {                                                                   \
		send = (struct mzp_send){                                      \
			.size = sizeof(send), .block_id = f.block,             \
			.page_count = 8,                                       \
		};                                                             \
		__VA_ARGS__;                                                   \
		gives(want, mzp(f.fd, MZP_IOC_SEND, &send));                   \
	} while (0)
#define BITMAP (send.format = MZP_SEND_BITMAP, send.input = (uintptr_t)bits)
#define RANGE(n, from, to) (range[n] = (struct mzp_range){ (from) * PAGE, (to) * PAGE, 0 })
#define RANGES(n)                                                              \
	(send.format = MZP_SEND_RANGES, send.input = (uintptr_t)range,         \
	 send.nr_ranges = (n), send.page_count = RAM_PAGES)

	TRY(ENOENT, send.block_id += 1000);
	TRY(ENOENT, send.block_id = UINT32_MAX);
	TRY(EOPNOTSUPP, send.format = 3);
	TRY(EOPNOTSUPP, send.format = UINT32_MAX);
	TRY(EINVAL, send.page_count = 0);
	TRY(ERANGE, send.page_count = RAM_PAGES + 1);
	TRY(ERANGE, send.first_page = RAM_PAGES);
	TRY(ERANGE, (send.first_page = RAM_PAGES - 7));
	TRY(ERANGE, (send.first_page = 1, send.page_count = RAM_PAGES));
	TRY(ERANGE, send.page_count = 1ul << 52);
	TRY(ERANGE, (send.first_page = 1ul << 52, send.page_count = 1));
	TRY(ERANGE, (send.first_page = 1ul << 63, send.page_count = 1));
	TRY(EOVERFLOW, (send.first_page = UINT64_MAX, send.page_count = 1));
	TRY(EOVERFLOW, (send.first_page = 1, send.page_count = UINT64_MAX));
	TRY(EOVERFLOW, (send.first_page = 1ul << 63, send.page_count = 1ul << 63));

	/* input that does not belong to the format */
	TRY(EINVAL, send.input = (uintptr_t)bits);
	TRY(EINVAL, send.nr_ranges = 1);
	TRY(EINVAL, (BITMAP, send.nr_ranges = 1));

	TRY(EFAULT, (BITMAP, send.input = 0));
	TRY(EFAULT, (BITMAP, send.input = (uintptr_t)hole));
	TRY(EFAULT, (BITMAP, send.input = (uintptr_t)hole - 4));
	TRY(EFAULT, (BITMAP, send.input = -8ul));
	TRY(EFAULT, (BITMAP, send.input = 1ul << 63));

	TRY(EFAULT, (RANGES(1), send.input = 0));
	TRY(EFAULT, (RANGES(1), send.input = (uintptr_t)hole));
	TRY(EFAULT, (RANGES(1), send.input = -8ul));
	TRY(EINVAL, (RANGE(0, 3, 3), RANGES(1)));
	TRY(EINVAL, (RANGE(0, 4, 3), RANGES(1)));
	TRY(EINVAL, (RANGE(0, 4, 6), RANGE(1, 2, 3), RANGES(2)));
	TRY(EINVAL, (RANGE(0, 4, 6), RANGE(1, 5, 7), RANGES(2)));
	TRY(EINVAL, (RANGE(0, 4, 6), RANGE(1, 4, 6), RANGES(2)));
	TRY(EINVAL, (RANGE(0, 4, 6), RANGE(1, 6, 6), RANGES(2)));
	TRY(EINVAL, (RANGE(0, 4, 6), range[0].start++, RANGES(1)));
	TRY(EINVAL, (RANGE(0, 4, 6), range[0].end--, RANGES(1)));
	TRY(EINVAL, (RANGE(0, 4, 6), RANGES(1), send.ranges_base = 1));
	TRY(ERANGE, (RANGE(0, 4, RAM_PAGES + 1), RANGES(1)));
	TRY(ERANGE, (RANGE(0, RAM_PAGES, RAM_PAGES + 1), RANGES(1)));
	TRY(ERANGE, (RANGE(0, 4, 6), RANGE(1, 1ul << 51, (1ul << 51) + 1), RANGES(2)));
	TRY(ERANGE, (RANGE(0, 4, 6), RANGES(1), send.first_page = 5, send.page_count = 9));
	TRY(ERANGE, (RANGE(0, 4, 6), RANGES(1), send.page_count = 5));
	/* positions that wrap round to something below the base */
	TRY(ERANGE, (RANGE(0, 4, 6), RANGES(1), send.ranges_base = 5 * PAGE));
	TRY(ERANGE, (RANGE(0, 4, 6), RANGES(1), send.ranges_base = 8 * PAGE));
	TRY(ERANGE, (RANGE(0, 4, 6), RANGES(1), send.ranges_base = -PAGE));
	TRY(ERANGE, (RANGE(0, 0, (1ul << 52) - 1), RANGES(1)));

	/* any number of them is not a reason to allocate that much */
	RANGE(0, 4, 6);
	range[1] = range[2] = range[3] = range[0];
	for (unsigned int i = 0; i < 32; i++) {
		send = (struct mzp_send){ .size = sizeof(send), .block_id = f.block };
		RANGES(1u << i | 5);
		must(mzp(f.fd, MZP_IOC_SEND, &send) != 0);
		send.input = (uintptr_t)hole;
		must(mzp(f.fd, MZP_IOC_SEND, &send) != 0);
	}

	/* and what is just allowed */
	TRY(0, (RANGE(0, 4, 6), RANGE(1, 6, 7), RANGES(2)));
	TRY(0, (RANGE(0, 4, 6), RANGES(1), send.first_page = 4, send.page_count = 2));
	TRY(0, (send.first_page = RAM_PAGES - 1, send.page_count = 1));
	TRY(0, BITMAP);
	TRY(0, (BITMAP, send.page_count = RAM_PAGES));
#undef TRY
	munmap(hole, PAGE);
	fix_close(&f);
}

/* A block as large as the address space: lengths that no allocation can have. */
static void enormous_block(void **state)
{
	struct mzp_setup setup = setup_for(1);
	const uint64_t pages = task_size() / PAGE;
	struct mzp_send send;
	struct fix f;
	uint32_t id;

	(void)state;
	fix_open_bare(&f);
	works(mzp_setup(f.fd, &setup));
	works(mzp_block_add(f.fd, "all", NULL, pages * PAGE, &id));
	for (unsigned int shift = 26; shift < 36; shift++) {
		/* in between it is a lot, but can be had */
		if (shift >= 29 && shift <= 33)
			continue;
		send = (struct mzp_send){
			.size = sizeof(send),
			.block_id = id,
			.format = MZP_SEND_BITMAP,
			.page_count = min(1ul << shift, pages),
		};
		/* not there, so nothing of it can be read */
		must(mzp(f.fd, MZP_IOC_SEND, &send) != 0);
		send.input = 1ul << 63;
		must(mzp(f.fd, MZP_IOC_SEND, &send) != 0);
	}
	/* no input, but a result that would need 4 GiB */
	send = (struct mzp_send){
		.size = sizeof(send),
		.flags = MZP_SEND_ZERO_BITMAP,
		.block_id = id,
		.page_count = pages,
	};
	if (pages / 8 > INT32_MAX)
		gives(ENOMEM, mzp(f.fd, MZP_IOC_SEND, &send));
	else
		print_message("# address spaces are too small for a result of 4 GiB\n");
	/* the session is as it was */
	works(mzp_sync(f.fd, NULL));
	fix_close(&f);
}

static void zero_bitmap_needs_detection(void **state)
{
	struct mzp_setup setup = setup_for(1);
	struct mzp_wait w = { 0 };
	uint64_t bits[2], job;
	struct fix f;

	(void)state;
	fix_open_bare(&f);
	setup.detection = MZP_DETECTION_NONE;
	works(mzp_setup(f.fd, &setup));
	works(mzp_block_add(f.fd, "ram", f.ram, RAM_PAGES * PAGE, &f.block));
	gives(EINVAL, mzp_send_all(f.fd, f.block, 0, 1, MZP_SEND_ZERO_BITMAP, &job));
	works(mzp_send_all(f.fd, f.block, 0, 1, 0, &job));
	w.zero_bitmap = (uintptr_t)bits;
	w.zero_bitmap_pages = 64;
	gives(ENODATA, mzp_wait(f.fd, job, -1, &w));
	w.zero_bitmap = w.zero_bitmap_pages = 0;
	works(mzp_wait(f.fd, job, -1, &w));
	fix_close(&f);
}

static void too_many_jobs(void **state)
{
	unsigned int max = mzp_info().max_jobs;
	uint64_t *job = calloc(max, sizeof(*job)), more;
	struct mzp_setup setup = setup_for(1);
	uint64_t none = 0;
	struct mzp_wait w = { 0 };
	struct mzp_send send;
	struct fix f;

	(void)state;
	must(job);
	fix_open_bare(&f);
	works(mzp_setup(f.fd, &setup));
	works(mzp_block_add(f.fd, "ram", f.ram, RAM_PAGES * PAGE, &f.block));
	/* with nothing to send, so that no reader is needed */
	for (unsigned int i = 0; i < max; i++) {
		send = (struct mzp_send){
			.size = sizeof(send), .block_id = f.block, .format = MZP_SEND_BITMAP,
			.page_count = 5, .input = (uintptr_t)&none,
		};
		works(mzp(f.fd, MZP_IOC_SEND, &send));
		must(!send.pages && send.job_id);
		job[i] = send.job_id;
		for (unsigned int j = 0; j < i; j++)
			must(job[i] != job[j]);
	}
	gives(EAGAIN, mzp_send_all(f.fd, f.block, 0, 1, 0, &more));
	gives(EAGAIN, mzp_sync(f.fd, &more));
	works(mzp_wait(f.fd, job[max / 2], -1, &w));
	works(mzp_sync(f.fd, &more));
	gives(EAGAIN, mzp_sync(f.fd, &more));
	works(mzp_wait(f.fd, 0, -1, &w));
	must(!w.error && !w.submitted);
	for (unsigned int i = 0; i < max; i++)
		gives(ENOENT, mzp_wait(f.fd, job[i], 0, &w));
	works(mzp_sync(f.fd, &more));
	fix_close(&f);
}

static void wait_results(void **state)
{
	struct mzp_wait w = { 0 };
	uint64_t bits[4] = { 0 }, job[3];
	struct fix f;

	(void)state;
	fix_open(&f);
	gives(ENOENT, mzp_wait(f.fd, UINT64_MAX, -1, &w));
	gives(ENOENT, mzp_wait(f.fd, f.job + 100, -1, &w));
	/* wanted, but not kept */
	w.zero_bitmap = (uintptr_t)bits;
	w.zero_bitmap_pages = 64;
	gives(ENODATA, mzp_wait(f.fd, f.job, -1, &w));
	/* for all: not possible */
	gives(EINVAL, mzp_wait(f.fd, 0, -1, &w));
	w.zero_bitmap = w.zero_bitmap_pages = 0;
	works(mzp_wait(f.fd, f.job, -1, &w));
	must(w.submitted == 1 && w.normal == 1 && !w.error);
	gives(ENOENT, mzp_wait(f.fd, f.job, -1, &w));
	gives(ENOENT, mzp_wait(f.fd, f.job, 0, &w));
	/* all of none */
	works(mzp_wait(f.fd, 0, -1, &w));
	must(!w.submitted);

	/* the sum of what has not been fetched */
	memset(f.ram + 2 * PAGE, 0, 3 * PAGE);
	works(mzp_send_all(f.fd, f.block, 0, 5, 0, &job[0]));
	works(mzp_send_all(f.fd, f.block, 5, 3, 0, &job[1]));
	works(mzp_sync(f.fd, &job[2]));
	works(mzp_wait(f.fd, job[1], -1, &w));
	must(w.submitted == 3 && w.normal == 3);
	works(mzp_wait(f.fd, 0, -1, &w));
	must(w.submitted == 5 && w.normal == 2 && w.zero == 3 && !w.absent && !w.error);
	gives(ENOENT, mzp_wait(f.fd, job[0], 0, &w));
	gives(ENOENT, mzp_wait(f.fd, job[2], 0, &w));

	/* a SYNC has no pages */
	works(mzp_sync(f.fd, &job[0]));
	works(mzp_wait(f.fd, job[0], -1, &w));
	must(!w.submitted && !w.error);
	fix_close(&f);
}

static void wait_zero_bitmap(void **state)
{
	uint64_t *bits = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			      -1, 0);
	struct mzp_setup setup = setup_for(1);
	struct mzp_wait w = { 0 };
	struct fix f;
	uint64_t job;

	(void)state;
	must(bits != MAP_FAILED);
	sys(munmap((char *)bits + PAGE, PAGE));
	fix_open_bare(&f);
	munmap(f.ram, RAM_PAGES * PAGE);
	f.ram = mmap(NULL, 200 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(f.ram != MAP_FAILED);
	thp_off(f.ram, 200 * PAGE);
	for (unsigned int i = 0; i < 200; i++)
		memset(f.ram + i * PAGE, i % 3, PAGE);
	setup.detection = MZP_DETECTION_LEGACY;
	works(mzp_setup(f.fd, &setup));
	works(mzp_block_add(f.fd, "ram", f.ram, 200 * PAGE, &f.block));
	works(mzp_send_all(f.fd, f.block, 10, 130, 0, &job));

	/* too small, by a word or by all of it; and it must be in words */
	w.zero_bitmap = (uintptr_t)bits;
	w.zero_bitmap_pages = 0;
	gives(ENOSPC, mzp_wait(f.fd, job, -1, &w));
	w.zero_bitmap_pages = 128;
	gives(ENOSPC, mzp_wait(f.fd, job, -1, &w));
	w.zero_bitmap_pages = 191;
	gives(EINVAL, mzp_wait(f.fd, job, -1, &w));
	w.zero_bitmap_pages = 192;
	/* nowhere, or nowhere half-way: still not lost */
	w.zero_bitmap = 8;
	gives(EFAULT, mzp_wait(f.fd, job, -1, &w));
	w.zero_bitmap = -16ul;
	gives(EFAULT, mzp_wait(f.fd, job, -1, &w));
	w.zero_bitmap = (uintptr_t)bits + PAGE - 16;
	gives(EFAULT, mzp_wait(f.fd, job, -1, &w));
	/* right at the end of the page */
	w.zero_bitmap = (uintptr_t)bits + PAGE - 24;
	works(mzp_wait(f.fd, job, -1, &w));
	must(w.submitted == 130 && w.normal + w.zero == 130 && !w.absent);
	for (unsigned int i = 0; i < 192; i++) {
		bool is = bits[PAGE / 8 - 3 + i / 64] >> i % 64 & 1;

		must(is == (i < 130 && (i + 10) % 3 == 0), "bit %u", i);
	}
	gives(ENOENT, mzp_wait(f.fd, job, -1, &w));

	/* a legacy job whose bitmap nobody wants */
	works(mzp_send_all(f.fd, f.block, 10, 1, 0, &job));
	w.zero_bitmap = w.zero_bitmap_pages = 0;
	works(mzp_wait(f.fd, job, -1, &w));
	close(f.fd);
	munmap(f.ram, 200 * PAGE);
	munmap(bits, PAGE);
}

static void wait_timeout(void **state)
{
	struct mzp_wait w = { 0 };
	struct fix f;
	uint64_t job;

	(void)state;
	fix_open_full(&f);
	works(mzp_sync(f.fd, &job));
	gives(ETIMEDOUT, mzp_wait(f.fd, f.job, 0, &w));
	gives(ETIMEDOUT, mzp_wait(f.fd, f.job, 1, &w));
	gives(ETIMEDOUT, mzp_wait(f.fd, f.job, 20 * 1000 * 1000, &w));
	gives(ETIMEDOUT, mzp_wait(f.fd, job, 1000 * 1000, &w));
	/* how far it is: what is in the ring, at most */
	gives(ETIMEDOUT, mzp_wait(f.fd, f.job, 0, &w));
	must(w.submitted == RAM_PAGES && w.normal <= 16 && !w.zero && !w.absent && !w.error);
	gives(ETIMEDOUT, mzp_wait(f.fd, 0, 0, &w));
	must(w.submitted == RAM_PAGES && w.normal <= 16 && !w.zero && !w.absent && !w.error);
	gives(ETIMEDOUT, mzp_wait(f.fd, 0, 1000 * 1000, &w));
	/* which is nothing that one could wait for */
	w.zero_bitmap = (uintptr_t)&job;
	w.zero_bitmap_pages = 64;
	gives(ENODATA, mzp_wait(f.fd, f.job, -1, &w));
	w.zero_bitmap = w.zero_bitmap_pages = 0;
	drain(&f);
	/* the longest there is, and negative ones other than -1 */
	works(mzp_wait(f.fd, f.job, INT64_MAX, &w));
	must(w.submitted == RAM_PAGES && w.normal == RAM_PAGES);
	works(mzp_wait(f.fd, job, INT64_MIN, &w));
	fix_close(&f);
}

/* What cannot come to a good end is told at once. */
static void wait_without_room(void **state)
{
	struct mzp_wait w = { 0 };
	uint64_t bits[2], job;
	struct fix f;

	(void)state;
	fix_open_full(&f);
	works(mzp_send_all(f.fd, f.block, 0, RAM_PAGES, MZP_SEND_ZERO_BITMAP, &job));
	w.zero_bitmap = (uintptr_t)bits;
	gives(ENOSPC, mzp_wait(f.fd, job, -1, &w));
	w.zero_bitmap_pages = 1;
	gives(EINVAL, mzp_wait(f.fd, job, -1, &w));
	w.zero_bitmap_pages = 64;
	gives(ETIMEDOUT, mzp_wait(f.fd, job, 0, &w));
	/* more room than there are pages */
	works(mzp_cancel(f.fd));
	w.zero_bitmap_pages = 128;
	works(mzp_wait(f.fd, job, -1, &w));
	must(w.error == ECANCELED);
	fix_close(&f);
}

static void nothing(int sig)
{
	(void)sig;
}

struct waiter {
	int fd;
	uint64_t job;
	int64_t timeout;
	int err;
	struct mzp_wait w;
};

static void *waiter(void *arg)
{
	struct waiter *w = arg;

	w->err = mzp_wait(w->fd, w->job, w->timeout, &w->w);
	return NULL;
}

static void wait_signal(void **state)
{
	struct sigaction action = { .sa_handler = nothing };
	struct waiter w = { .timeout = -1 };
	struct thread t;
	struct fix f;

	(void)state;
	sys(sigaction(SIGUSR1, &action, NULL));
	fix_open_full(&f);
	for (unsigned int i = 0; i < 6; i++) {
		w.fd = f.fd;
		w.job = i % 2 ? 0 : f.job;
		w.timeout = i / 2 ? -1 : 3600 * 1000000000l;
		thread_start(&t, waiter, &w);
		until_blocked_in(getpid(), t.tid, SYS_ioctl);
		if (i < 4) {
			pthread_kill(t.pthread, SIGUSR1);
			thread_join(&t);
			gives(EINTR, w.err);
			continue;
		}
		/* the reader wakes it */
		if (i == 4) {
			drain(&f);
			thread_join(&t);
			works(w.err);
			must(w.w.submitted == RAM_PAGES);
			fix_close(&f);
			fix_open_full(&f);
			continue;
		}
		/* so does CANCEL */
		works(mzp_cancel(f.fd));
		thread_join(&t);
		works(w.err);
		must(w.w.error == ECANCELED);
	}
	fix_close(&f);
}

static void cancel(void **state)
{
	struct mzp_wait w = { 0 };
	uint64_t job;
	struct fix f;
	union arg a;
	char c;
	int ch;

	(void)state;
	fix_open_full(&f);
	works(mzp_channel(f.fd, 0, 0, &ch));
	works(mzp_sync(f.fd, &job));
	for (unsigned int i = 0; i < 3; i++)
		works(mzp_cancel(f.fd));
	gives(ECANCELED, mzp_send_all(f.fd, f.block, 0, 1, 0, NULL));
	gives(ECANCELED, mzp_sync(f.fd, NULL));
	gives(ECANCELED, mzp_block_add(f.fd, "more", f.ram, PAGE, NULL));
	gives(ECANCELED, mzp_block_remove(f.fd, f.block));
	gives(ECANCELED, mzp_channel(f.fd, 0, 0, &(int){ 0 }));
	a.setup = setup_for(1);
	must(mzp(f.fd, MZP_IOC_SETUP, &a) == EBUSY || mzp(f.fd, MZP_IOC_SETUP, &a) == ECANCELED);
	a = (union arg){ .size = sizeof(a.info) };
	works(mzp(f.fd, MZP_IOC_INFO, &a));
	/* jobs are over, and can be asked how */
	works(mzp_wait(f.fd, f.job, -1, &w));
	must(w.error == ECANCELED);
	works(mzp_wait(f.fd, job, 0, &w));
	must(w.error == ECANCELED);
	gives(ENOENT, mzp_wait(f.fd, f.job, -1, &w));
	refuses(ECANCELED, read(ch, &c, 1));
	works(mzp_cancel(f.fd));
	close(ch);
	fix_close(&f);
}

/* A reply that cannot be delivered does not take the results with it. */
static void wait_all_to_nowhere(void **state)
{
	struct mzp_wait *ro = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), w = { 0 };
	struct fix f;

	(void)state;
	must(ro != MAP_FAILED);
	fix_open(&f);
	*ro = (struct mzp_wait){ .size = sizeof(*ro), .timeout_ns = -1 };
	sys(mprotect(ro, PAGE, PROT_READ));
	gives(EFAULT, mzp(f.fd, MZP_IOC_WAIT, ro));
	works(mzp_wait(f.fd, 0, -1, &w));
	must(w.submitted == 1 && w.normal == 1);
	munmap(ro, PAGE);
	fix_close(&f);
}

struct late {
	int fd;
	struct mzp_send send;
	struct mzp_wait *wait;
	int err;
};

static void *send_late(void *arg)
{
	struct late *late = arg;

	late->err = mzp(late->fd, MZP_IOC_SEND, &late->send);
	return NULL;
}

static void *wait_late(void *arg)
{
	struct late *late = arg;

	late->err = mzp(late->fd, MZP_IOC_WAIT, late->wait);
	return NULL;
}

static void hear_of_fault(int uffd)
{
	struct uffd_msg msg;

	must(sys(read(uffd, &msg, sizeof(msg))) == sizeof(msg));
}

static void answer_fault(int uffd, void *addr, const void *content)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)addr, .src = (uintptr_t)content, .len = PAGE,
	};

	sys(ioctl(uffd, UFFDIO_COPY, &copy));
}

/*
 * A job whose input takes long to read has a lower id than one that is done before it
 * has begun. WAIT for all, whose answer takes long to write, tells of the latter, and
 * must not forget the former, which has begun meanwhile.
 */
static void wait_all_and_latecomers(void **state)
{
	static const uint64_t content[PAGE / 8] = { 1 };
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	uint8_t *slow = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);
	int uffd = sys(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
	struct late send = { .wait = NULL }, wait = { .wait = (void *)(slow + PAGE) };
	struct thread sender, waiter;
	struct mzp_setup setup = setup_for(1);
	struct mzp_wait w = { 0 };
	uint8_t buf[4096];
	struct fix f;
	int ch;

	(void)state;
	must(slow != MAP_FAILED);
	fix_open_bare(&f);
	setup.packet_pages = 1;
	setup.ring_packets = 2;
	works(mzp_setup(f.fd, &setup));
	works(mzp_block_add(f.fd, "ram", f.ram, RAM_PAGES * PAGE, &f.block));
	works(mzp_channel(f.fd, 0, MZP_CHANNEL_NONBLOCK, &ch));

	*wait.wait = (struct mzp_wait){ .size = sizeof(w), .timeout_ns = -1 };
	sys(ioctl(uffd, UFFDIO_API, &api));
	reg.range.start = (uintptr_t)slow;
	reg.range.len = 2 * PAGE;
	sys(ioctl(uffd, UFFDIO_REGISTER, &reg));

	send.fd = wait.fd = f.fd;
	send.send = (struct mzp_send){
		.size = sizeof(send.send), .block_id = f.block, .format = MZP_SEND_BITMAP,
		.page_count = 1, .input = (uintptr_t)slow,
	};
	thread_start(&sender, send_late, &send);
	until(readable(uffd));
	works(mzp_send_all(f.fd, f.block, 0, 8, 0, &f.job));
	thread_start(&waiter, wait_late, &wait);
	until_blocked_in(getpid(), waiter.tid, SYS_ioctl);
	sys(madvise(slow + PAGE, PAGE, MADV_DONTNEED));
	hear_of_fault(uffd);
	/* it is told of when nothing is under way that has begun */
	while (!readable(uffd))
		must(read(ch, buf, sizeof(buf)) > 0 || errno == EAGAIN);

	answer_fault(uffd, slow, content);
	thread_join(&sender);
	works(send.err);
	must(send.send.job_id < f.job);
	answer_fault(uffd, slow + PAGE, content);
	thread_join(&waiter);
	works(wait.err);
	must(wait.wait->submitted == 8 && wait.wait->normal == 8);
	gives(ENOENT, mzp_wait(f.fd, f.job, 0, &w));

	while (mzp_wait(f.fd, send.send.job_id, 0, &w) == ETIMEDOUT)
		must(read(ch, buf, sizeof(buf)) > 0 || errno == EAGAIN);
	must(w.submitted == 1 && w.normal == 1 && !w.error);
	gives(ENOENT, mzp_wait(f.fd, send.send.job_id, 0, &w));
	close(uffd);
	close(ch);
	munmap(slow, 2 * PAGE);
	fix_close(&f);
}

/* WAIT for all tells the first failure. */
static void wait_all_canceled(void **state)
{
	struct mzp_wait w = { 0 };
	struct fix f;

	(void)state;
	fix_open_full(&f);
	works(mzp_sync(f.fd, NULL));
	works(mzp_cancel(f.fd));
	works(mzp_wait(f.fd, 0, -1, &w));
	must(w.error == ECANCELED);
	works(mzp_wait(f.fd, 0, -1, &w));
	must(!w.error);
	fix_close(&f);
}

static void try_all(int fd, struct fix *f)
{
	FOR_EACH_COMMAND(c) {
		union arg a = { .size = c->size };

		if (c->fill)
			c->fill(f, &a);
		command_gives(c->cmd == MZP_IOC_INFO ? 0 : EIO, c, mzp(fd, c->cmd, &a));
	}
}

static void other_mm_child(void *arg)
{
	struct fix *f = arg;

	try_all(f->fd, f);
}

/* execve's new program gets the numbers of the descriptors. */
static int after_exec(int fd, int ch)
{
	struct fix f = { .job = 1, .block = 1, .spare = 1, .ram = (uint8_t *)0x10000 };
	uint8_t first[64];

	if (read(ch, first, sizeof(first)) != sizeof(first))
		return 2;
	FOR_EACH_COMMAND(c) {
		union arg a = { .size = c->size };
		int want = c->cmd == MZP_IOC_INFO ? 0 : EIO, got;

		if (c->fill)
			c->fill(&f, &a);
		got = mzp(fd, c->cmd, &a);
		if (got != want) {
			fprintf(stderr, "# %s after exec: %s\n", c->name, kit_errno(got));
			return 1;
		}
	}
	return 0;
}

static void exec_child(void *arg)
{
	int *fds = arg;
	char a[16], b[16];

	snprintf(a, sizeof(a), "%d", fds[0]);
	snprintf(b, sizeof(b), "%d", fds[1]);
	execl("/proc/self/exe", "t_ioctl", "-x", a, b, NULL);
	_exit(3);
}

static void other_mm(void **state)
{
	struct mzp_wait w = { 0 };
	uint8_t first[64];
	int fds[2], ch;
	struct fix f;

	(void)state;
	fix_open(&f);
	works(mzp_channel(f.fd, 0, 0, &ch));
	reap(child(other_mm_child, &f), 0);
	/* same program, fresh address space */
	fds[0] = sys(fcntl(f.fd, F_DUPFD, 100));
	fds[1] = sys(fcntl(ch, F_DUPFD, 100));
	reap(child(exec_child, fds), 0);
	close(fds[0]);
	close(fds[1]);
	/* the owner did not notice, except for what the other one read */
	works(mzp_wait(f.fd, f.job, -1, &w));
	works(mzp_send_all(f.fd, f.block, 0, 1, 0, &f.job));
	works(mzp_wait(f.fd, f.job, -1, &w));
	must(w.normal == 1);
	/* a packet on each channel, whichever took the pages */
	works(mzp_sync(f.fd, &f.job));
	works(mzp_wait(f.fd, f.job, -1, &w));
	read_exactly(ch, first, 4);
	must(!memcmp(first, "\x11\x22\x33\x44", 4));
	close(ch);
	fix_close(&f);
}

static void *in_thread(void *arg)
{
	struct fix *f = arg;
	struct mzp_wait w = { 0 };

	works(mzp_wait(f->fd, f->job, -1, &w));
	works(mzp_sync(f->fd, NULL));
	return NULL;
}

/* Another thread, and a session that was opened by somebody else but set up here. */
static void same_mm(void **state)
{
	struct mzp_setup setup = setup_for(1);
	struct thread t;
	struct fix f;
	pid_t pid;
	int fd;

	(void)state;
	fix_open(&f);
	thread_start(&t, in_thread, &f);
	thread_join(&t);
	fix_close(&f);

	fd = mzp_open();
	pid = sys(fork());
	if (!pid) {
		works(mzp_setup(fd, &setup));
		works(mzp_sync(fd, NULL));
		_exit(0);
	}
	reap(pid, 0);
	gives(EIO, mzp_sync(fd, NULL));
	gives(EIO, mzp_cancel(fd));
	must(mzp_setup(fd, &setup) == EIO || mzp_setup(fd, &setup) == EBUSY);
	close(fd);
}

/* What else one can do to a device. */
static void other_operations(void **state)
{
	struct fix f;
	char c = 0;

	(void)state;
	fix_open(&f);
	must(read(f.fd, &c, 1) == -1 && (errno == EINVAL || errno == EBADF));
	must(write(f.fd, &c, 1) == -1 && (errno == EINVAL || errno == EBADF));
	refuses(ENODEV, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, f.fd, 0));
	refuses(ENODEV, mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, f.fd, 0));
	fix_close(&f);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(info),
		cmocka_unit_test(info_of_a_method),
		cmocka_unit_test(methods_and_levels),
		cmocka_unit_test(sizes),
		cmocka_unit_test(long_replies),
		cmocka_unit_test(unknown_flags),
		cmocka_unit_test(reserved_members),
		cmocka_unit_test(bad_pointers),
		cmocka_unit_test(huge_size),
		cmocka_unit_test(reply_to_nowhere),
		cmocka_unit_test(unknown_commands),
		cmocka_unit_test(before_setup),
		cmocka_unit_test(setup_twice),
		cmocka_unit_test(setup_bounds),
		cmocka_unit_test(setup_cpus),
		cmocka_unit_test(setup_cpus_unprivileged),
		cmocka_unit_test(memlock),
		cmocka_unit_test(session_cap),
		cmocka_unit_test(block_add_bounds),
		cmocka_unit_test(block_add_fd),
		cmocka_unit_test(too_many_blocks),
		cmocka_unit_test(block_remove),
		cmocka_unit_test(channel),
		cmocka_unit_test(send_errors),
		cmocka_unit_test(enormous_block),
		cmocka_unit_test(zero_bitmap_needs_detection),
		cmocka_unit_test(too_many_jobs),
		cmocka_unit_test(wait_results),
		cmocka_unit_test(wait_zero_bitmap),
		cmocka_unit_test(wait_timeout),
		cmocka_unit_test(wait_without_room),
		cmocka_unit_test(wait_signal),
		cmocka_unit_test(cancel),
		cmocka_unit_test(wait_all_to_nowhere),
		cmocka_unit_test(wait_all_and_latecomers),
		cmocka_unit_test(wait_all_canceled),
		cmocka_unit_test(other_mm),
		cmocka_unit_test(same_mm),
		cmocka_unit_test(other_operations),
	};

	if (argc == 4 && !strcmp(argv[1], "-x"))
		return after_exec(atoi(argv[2]), atoi(argv[3]));
	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls as the uapi header promises them, in what they have in common: sizes,
 * flags, pointers, and who may call them and when. What one command has of its own is
 * in t_setup, t_block, t_send and t_wait, or here if it is INFO or CHANNEL.
 */
#include "fix.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

static void fill_setup(struct fix *f, union arg *a)
{
	(void)f;
	a->setup = setup_for(2);
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

static void fill_pending(struct fix *f, union arg *a)
{
	(void)f;
	a->pending.max_pages = UINT64_MAX;
	a->pending.max_bytes = UINT64_MAX;
}

static void fill_inject(struct fix *f, union arg *a)
{
	a->inject.channel = 1;
	a->inject.length = 5000;
	a->inject.data = (uintptr_t)f->ram;
}

static void fill_rate(struct fix *f, union arg *a)
{
	(void)f;
	a->rate.rate = MIB;
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
	{ "SETUP", MZP_IOC_SETUP, sizeof(struct mzp_setup), fill_setup,
	  MZP_SETUP_NO_WORKERS | MZP_SETUP_FIT | MZP_SETUP_DEFAULT_LEVEL, true, true,
	  { offsetof(struct mzp_setup, __reserved) } },
	{ "BLOCK_ADD", MZP_IOC_BLOCK_ADD, sizeof(struct mzp_block_add), fill_add, MZP_BLOCK_FD,
	  false, true, { offsetof(struct mzp_block_add, __reserved) } },
	{ "BLOCK_REMOVE", MZP_IOC_BLOCK_REMOVE, sizeof(struct mzp_block_remove), fill_remove, 0,
	  false, false, { offsetof(struct mzp_block_remove, __reserved) } },
	{ "CHANNEL", MZP_IOC_CHANNEL, sizeof(struct mzp_channel_get), fill_channel,
	  MZP_CHANNEL_NONBLOCK, false, true, { 0 } },
	{ "SEND", MZP_IOC_SEND, sizeof(struct mzp_send), fill_send,
	  MZP_SEND_FRESH | MZP_SEND_ZERO_BITMAP | MZP_SEND_NO_RESULT, false, true,
	  { offsetof(struct mzp_send, __reserved) } },
	{ "SYNC", MZP_IOC_SYNC, sizeof(struct mzp_sync), NULL,
	  MZP_SYNC_NO_RESULT | MZP_SYNC_NO_ROUND, false, true, { 0 } },
	{ "WAIT", MZP_IOC_WAIT, sizeof(struct mzp_wait), fill_wait, 0, false, true,
	  { offsetof(struct mzp_wait, __reserved), offsetof(struct mzp_wait, __reserved2) } },
	{ "STATUS", MZP_IOC_STATUS, sizeof(struct mzp_status), NULL, 0, false, true, { 0 } },
	{ "WAIT_PENDING", MZP_IOC_WAIT_PENDING, sizeof(struct mzp_wait_pending), fill_pending, 0,
	  false, true, { 0 } },
	{ "END", MZP_IOC_END, sizeof(struct mzp_end), NULL, 0, false, false, { 0 } },
	{ "INJECT", MZP_IOC_INJECT, sizeof(struct mzp_inject), fill_inject, 0, false, false,
	  { 0 } },
	{ "RATE", MZP_IOC_RATE, sizeof(struct mzp_rate), fill_rate, 0, false, false, { 0 } },
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

/* The size of a structure in its first version. */
static size_t first_size(const struct command *c)
{
	return c->cmd == MZP_IOC_STATUS ? offsetof(struct mzp_status, reason) : c->size;
}

static void sizes(void **state)
{
	(void)state;
	FOR_EACH_COMMAND(c) {
		static const uint8_t past[] = { 0, 1, 3, 7, 8 };
		const size_t first = first_size(c);
		union arg a, longer;
		struct fix f;

		for (size_t size = 0; size < first; size++) {
			/* a size that this test would have to guess about */
			if (size == 0 || size == 3 || size == 4 || size == 8 || size + 1 == first) {
				prepare(c, &f, &a);
				a.size = size;
				command_gives(EINVAL, c, mzp(f.fd, c->cmd, &a));
				/* it did nothing; who knows the first version only gets that */
				a.size = first;
				memset(a.bytes + first, 0xa5, sizeof(a) - first);
				command_gives(0, c, mzp(f.fd, c->cmd, &a));
				must(a.bytes[first] == 0xa5);
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
			command_gives(EINVAL, c, mzp(f.fd, c->cmd, &a));
		}
		a.setup.flags = c->flags ^ ~0u;
		command_gives(EINVAL, c, mzp(f.fd, c->cmd, &a));
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
				command_gives(EINVAL, c, mzp(f.fd, c->cmd, &a));
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
			/* PUMP is a channel's */
			if (nr > MZP_CMD_PUMP && nr <= MZP_CMD_RATE)
				continue;
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
	assert_int_equal(i.features, (MZP_FEATURE_NO_ROUND << 1) - 1);
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
		cmocka_unit_test(sizes),
		cmocka_unit_test(long_replies),
		cmocka_unit_test(unknown_flags),
		cmocka_unit_test(reserved_members),
		cmocka_unit_test(bad_pointers),
		cmocka_unit_test(huge_size),
		cmocka_unit_test(reply_to_nowhere),
		cmocka_unit_test(unknown_commands),
		cmocka_unit_test(before_setup),
		cmocka_unit_test(channel),
		cmocka_unit_test(other_mm),
		cmocka_unit_test(same_mm),
		cmocka_unit_test(other_operations),
	};

	if (argc == 4 && !strcmp(argv[1], "-x"))
		return after_exec(atoi(argv[2]), atoi(argv[3]));
	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

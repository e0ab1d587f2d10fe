// SPDX-License-Identifier: GPL-2.0-only
/*
 * SETUP, and what INFO says of it: every member up to its bounds, and what the user's
 * limits leave. A session that was refused leaves nothing behind.
 */
#include "fix.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void info_of_a_method(void **state)
{
	uint32_t methods = mzp_info().methods;
	int fd = mzp_open();

	(void)state;
	for (uint32_t m = 0; m < 40; m++) {
		struct mzp_info i = { .size = sizeof(i), .method = m };
		bool known = m < 32 && methods >> m & 1;

		gives(known ? 0 : EINVAL, mzp(fd, MZP_IOC_INFO, &i));
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
		/* 0 is a level like any other, unless the default is asked for */
		setup.level = 0;
		gives(min ? EINVAL : 0, mzp(fd, MZP_IOC_SETUP, &setup));
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

static void twice(void **state)
{
	struct mzp_setup setup = setup_for(3);
	struct fix f;

	(void)state;
	fix_open(&f);
	gives(EBUSY, mzp_setup(f.fd, &setup));
	fix_close(&f);
}

static void bounds(void **state)
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
		CASE(method, MZP_METHOD_ZSTD + 1, EINVAL),
		CASE(method, 31, EINVAL),
		CASE(method, 32, EINVAL),
		CASE(method, UINT32_MAX, EINVAL),
		CASE(level, 1, EINVAL),
		CASE(level, (uint32_t)-1, EINVAL),
		CASE(detection, 3, EINVAL),
		CASE(detection, 33, EINVAL),
		CASE(detection, UINT32_MAX, EINVAL),
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

static void cpus(void **state)
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
static void cpus_child(void *arg)
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

static void cpus_unprivileged(void **state)
{
	(void)state;
	reap(child(cpus_child, NULL), 0);
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

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(info_of_a_method),
		cmocka_unit_test(methods_and_levels),
		cmocka_unit_test(twice),
		cmocka_unit_test(bounds),
		cmocka_unit_test(cpus),
		cmocka_unit_test(cpus_unprivileged),
		cmocka_unit_test(memlock),
		cmocka_unit_test(session_cap),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a session may have: a rate, which it keeps over all of its channels; a ring that
 * fits what its user may lock; and a level.
 */
#include "mem.h"
#include "take.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define RATE (6 * MIB)

/* --- RATE */

struct flood {
	struct thread thread;
	struct session s;
	struct mem m;
	struct taker t[4];
	bool over;
};

/* There is always more to send. */
static void *flood(void *arg)
{
	struct flood *f = arg;
	struct mzp_wait_pending p;

	while (!__atomic_load_n(&f->over, __ATOMIC_RELAXED)) {
		works(mzp_send_blind(f->s.fd, f->m.block_id, 0, f->m.pages));
		works(mzp_sync_blind(f->s.fd));
		works(mzp_wait_pending(f->s.fd, f->m.pages, UINT64_MAX, -1, &p));
	}
	return NULL;
}

static void flood_start(struct flood *f, unsigned int channels)
{
	struct mzp_setup setup = setup_for(channels);

	f->over = false;
	/* so that a packet more or less makes no difference */
	setup.packet_pages = 16;
	session_open(&f->s, &setup);
	mem_init(&f->m, "ram", 1000);
	mem_set_range(&f->m, 0, f->m.pages, DATA);
	mem_add(&f->m, &f->s, NULL);
	for (unsigned int i = 0; i < channels; i++)
		taker_start(&f->t[i], f->s.ch[i], i % WAYS, NULL, NULL);
}

static void flood_end(struct flood *f)
{
	__atomic_store_n(&f->over, true, __ATOMIC_RELAXED);
	thread_join(&f->thread);
	works(mzp_end(f->s.fd));
	for (unsigned int i = 0; i < f->s.setup.channels; i++)
		gives(0, taker_end(&f->t[i]));
	close(f->s.fd);
	mem_free(&f->m);
}

/* Bytes per second: between which two it was. */
struct measured {
	double least, most;
};

/* For so long. We may lose the CPU between a look at the clock and one at the bytes. */
static struct measured measure(int fd, double ms)
{
	double before = now_ms(), start, end;
	uint64_t bytes = mzp_status(fd).bytes_taken;

	start = now_ms();
	usleep(ms * 1000);
	end = now_ms();
	bytes = mzp_status(fd).bytes_taken - bytes;
	return (struct measured) {
		.least = bytes * 1000 / (now_ms() - before),
		.most = bytes * 1000 / (end - start),
	};
}

/* Others may have the CPUs for a while, which makes it slower, but never faster. */
static void expect_rate(int fd, uint64_t rate)
{
	struct measured got;

	works(mzp_rate(fd, rate));
	must(mzp_status(fd).rate == rate);
	/* what is in the rings was made at another rate */
	usleep(300 * 1000);
	for (unsigned int look = 0; look < 5; look++) {
		got = measure(fd, 2000);
		print_message("# %.1f%% to %.1f%% of the rate\n", 100 * got.least / rate,
			      100 * got.most / rate);
		must(got.least < 1.1 * rate, "%.0f, not %ju", got.least, (uintmax_t)rate);
		if (got.most > 0.9 * rate)
			return;
	}
	must(false, "%.0f at most, not %ju", got.most, (uintmax_t)rate);
}

static void rate(void **state)
{
	static struct flood f;

	(void)state;
	for (unsigned int channels = 1; channels <= 4; channels += 3) {
		flood_start(&f, channels);
		must(!mzp_status(f.s.fd).rate);
		works(mzp_rate(f.s.fd, RATE));
		thread_start(&f.thread, flood, &f);
		expect_rate(f.s.fd, RATE);
		expect_rate(f.s.fd, 2 * RATE);
		expect_rate(f.s.fd, RATE / 2);
		works(mzp_rate(f.s.fd, 0));
		must(!mzp_status(f.s.fd).rate);
		must(measure(f.s.fd, 1000).least > 3 * RATE);
		flood_end(&f);
	}
}

static void rate_arguments(void **state)
{
	struct mzp_rate rate = { .size = sizeof(rate), .flags = 1, .rate = 1 };
	struct mzp_setup setup = setup_for(1);
	int fd = mzp_open();

	(void)state;
	gives(ENXIO, mzp_rate(fd, 1));
	works(mzp_setup(fd, &setup));
	gives(EINVAL, mzp(fd, MZP_IOC_RATE, &rate));
	must(!mzp_status(fd).rate);
	works(mzp_rate(fd, UINT64_MAX));
	must(mzp_status(fd).rate == UINT64_MAX);
	works(mzp_rate(fd, 1));
	must(mzp_status(fd).rate == 1);
	close(fd);
}

/* --- SETUP that fits */

static int setup_raw(int fd, struct mzp_setup *setup)
{
	return mzp(fd, MZP_IOC_SETUP, setup);
}

static void set_memlock(uint64_t bytes)
{
	struct rlimit limit;

	sys(getrlimit(RLIMIT_MEMLOCK, &limit));
	limit.rlim_cur = bytes;
	sys(setrlimit(RLIMIT_MEMLOCK, &limit));
}

/* All of these pages arrive. */
static void migrate(int fd, const struct mzp_setup *setup)
{
	struct session s = { .fd = fd, .setup = *setup };
	struct rx rx;
	struct mem m;

	for (unsigned int i = 0; i < setup->channels; i++)
		works(mzp_channel(fd, i, 0, &s.ch[i]));
	rx_init(&rx, &s, RX_READ);
	mem_init(&m, "ram", 300);
	mem_set_range(&m, 0, m.pages, DATA);
	mem_add(&m, &s, &rx);
	mem_round(&m, &s, &rx, 0);
	works(mzp_end(fd));
	rx_end(&rx);
	session_close(&s);
	rx_free(&rx);
	mem_free(&m);
}

/* Exactly what was told was charged: so much more fits, and not one page beyond it. */
static void check_charge(const struct mzp_setup *setup, uint64_t limit)
{
	struct mzp_setup rest = setup_for(1), one = setup_for(1);
	uint64_t left = (limit - setup->locked_bytes) / PAGE;
	int fd[64], n = 0, fd_more = mzp_open();

	must(setup->locked_bytes == (uint64_t)setup->channels * setup->ring_packets *
	     setup->packet_pages * PAGE);
	must(setup->locked_bytes <= limit);
	one.ring_packets = one.packet_pages = 1;
	while (left) {
		must(n < 64);
		rest.ring_packets = 1;
		rest.packet_pages = min(left, 128ul);
		fd[n] = mzp_open();
		works(setup_raw(fd[n++], &rest));
		left -= rest.packet_pages;
	}
	gives(ENOMEM, setup_raw(fd_more, &one));
	while (n)
		close(fd[--n]);
	close(fd_more);
}

/*
 * A SETUP of that many channels made to fit. What a closed session held comes back when
 * the last worker has left it, which may be a little later; until then less fits.
 */
static int setup_fit(unsigned int channels, unsigned int ring, unsigned int pages,
		     struct mzp_setup *setup)
{
	for (unsigned int tries = 0; tries < 1000; tries++) {
		int fd = mzp_open(), err;

		*setup = setup_for(channels);
		setup->flags = MZP_SETUP_FIT;
		setup->locked_bytes = 5;
		err = setup_raw(fd, setup);
		if (!err && setup->ring_packets == ring && setup->packet_pages == pages)
			return fd;
		must(!err || err == ENOMEM, "error %d", err);
		must(err || setup->ring_packets < ring || setup->packet_pages < pages,
		     "%u channels: %u × %u", channels, setup->ring_packets,
		     setup->packet_pages);
		close(fd);
		usleep(10000);
	}
	must(false, "%u channels: %u × %u in vain", channels, ring, pages);
}

static void fit_child(void *arg)
{
	static const struct {
		uint64_t limit;
		unsigned int channels, ring, pages;	/* what fits */
	} cases[] = {
		/* 20 × 8 × 128 pages are 80 MiB, which an ordinary user may not lock */
		{ 8 * MIB, 20, 1, 102 },
		{ 8 * MIB, 16, 1, 128 },
		{ 8 * MIB, 4, 4, 128 },
		{ 8 * MIB, 2, 8, 128 },
		{ 20 * PAGE, 20, 1, 1 },
		{ 39 * PAGE, 20, 1, 1 },
		{ 40 * PAGE, 20, 1, 2 },
		{ 4 * MIB + 1, 1, 8, 128 },
		{ 4 * MIB - 1, 1, 4, 128 },
	};

	(void)arg;
	become(SOMEBODY);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mzp_setup setup = setup_for(cases[i].channels);
		uint64_t limit = cases[i].limit;
		int fd = mzp_open();

		set_memlock(limit);
		/* what does not fit is refused when it is not to be made to fit */
		if ((uint64_t)setup.channels * 8 * 128 * PAGE > limit)
			gives(ENOMEM, setup_raw(fd, &setup));
		close(fd);
		fd = setup_fit(cases[i].channels, cases[i].ring, cases[i].pages, &setup);
		check_charge(&setup, limit);
		migrate(fd, &setup);
	}
	/* not even a page each */
	for (unsigned int i = 0; i < 2; i++) {
		struct mzp_setup setup = setup_for(20);
		int fd = mzp_open();

		set_memlock(i ? 0 : 19 * PAGE);
		setup.flags = MZP_SETUP_FIT;
		gives(ENOMEM, setup_raw(fd, &setup));
		close(fd);
	}
}

static void fit(void **state)
{
	struct mzp_setup setup = setup_for(20);
	int fd = mzp_open();

	(void)state;
	sys(chmod(DEVICE, 0666));
	reap(child(fit_child, NULL), 0);
	sys(chmod(DEVICE, 0660));
	/* who may lock what they like is not charged, and gets all */
	set_memlock(0);
	setup.flags = MZP_SETUP_FIT;
	works(setup_raw(fd, &setup));
	must(setup.ring_packets == 8 && setup.packet_pages == 128 && !setup.locked_bytes);
	migrate(fd, &setup);
}

/* --- levels */

static void default_level(void **state)
{
	(void)state;
	for (enum mzp_method method = MZP_METHOD_NONE; method <= MZP_METHOD_ZSTD; method++) {
		struct mzp_info info = { .size = sizeof(info), .method = method };
		struct mzp_setup setup = setup_for(1);
		int fd = mzp_open();

		works(mzp(fd, MZP_IOC_INFO, &info));
		setup.method = method;
		/* 0 is a level as any other, if it is one at all */
		if (info.level_min)
			gives(EINVAL, setup_raw(fd, &setup));
		setup.flags = MZP_SETUP_DEFAULT_LEVEL;
		for (int level = -1; level <= 1; level += 2) {
			setup.level = level;
			gives(EINVAL, setup_raw(fd, &setup));
		}
		setup.level = 0;
		works(setup_raw(fd, &setup));
		must(setup.level == info.level_default);
		close(fd);
		fd = mzp_open();
		setup = setup_for(1);
		setup.method = method;
		setup.level = info.level_max;
		works(setup_raw(fd, &setup));
		must(setup.level == info.level_max);
		must(setup.ring_packets == 8 && setup.packet_pages == 128);
		close(fd);
	}
}

static void features(void **state)
{
	struct mzp_setup setup = setup_for(1);
	int fd = mzp_open();

	(void)state;
	must(mzp_info().features == (MZP_FEATURE_PUMP | MZP_FEATURE_NO_WORKERS | MZP_FEATURE_FIT |
				     MZP_FEATURE_PENDING | MZP_FEATURE_INJECT |
				     MZP_FEATURE_RATE | MZP_FEATURE_NO_ROUND));
	setup.flags = MZP_SETUP_DEFAULT_LEVEL << 1;
	gives(EINVAL, setup_raw(fd, &setup));
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(rate),
		cmocka_unit_test(rate_arguments),
		cmocka_unit_test(fit),
		cmocka_unit_test(default_level),
		cmocka_unit_test(features),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

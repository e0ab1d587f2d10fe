// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device's own calls, each of which fails at its first allocation or user copy,
 * then at its second, and so on (see sweep.h): opening it, its ioctls, and closing
 * it, which cannot fail.
 */
#include "sweep.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>

static int act_open(struct state *st)
{
	st->s.fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	st->s.setup = state_setup();
	return st->s.fd < 0 ? errno : 0;
}

static void device_open(void **state)
{
	(void)state;
	/* ENFILE and the like are the VFS's business */
	sweep(&(struct sweep){ .act = act_open, .to = OPEN, .may_differ = true });
}

static int act_info(struct state *st)
{
	struct mzp_info info = { .size = sizeof(info) };

	return mzp(st->s.fd, MZP_IOC_INFO, &info);
}

static void info(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = OPEN, .act = act_info });
}

static void setup(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = OPEN, .act = act_setup, .to = SET_UP });
}

/* What compressors need; what they make of pages is for other tests. */
static void finish_setup(struct state *st)
{
	st->stage = SET_UP;
	for (unsigned int i = 0; i < CHANNELS; i++)
		works(mzp_channel(st->s.fd, i, 0, &st->s.ch[i]));
}

static void prepare_zlib(struct state *st)
{
	st->s.setup.method = MZP_METHOD_ZLIB;
}

static void setup_zlib(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = OPEN, .prepare = prepare_zlib, .act = act_setup,
			       .finish = finish_setup });
}

static void prepare_zstd(struct state *st)
{
	st->s.setup.method = MZP_METHOD_ZSTD;
}

static void setup_zstd(void **state)
{
	(void)state;
	if (!(mzp_info().methods >> MZP_METHOD_ZSTD & 1)) {
		print_message("# SKIP there is no zstd\n");
		return;
	}
	sweep(&(struct sweep){ .from = OPEN, .prepare = prepare_zstd, .act = act_setup,
			       .finish = finish_setup });
}

static void setup_with_listener(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = OPEN, .prepare = prepare_events, .act = act_setup,
			       .to = SET_UP });
}

/* Four times of what may be locked is asked for, and all that may be locked is given. */
static void prepare_fit(struct state *st)
{
	st->s.setup.flags = MZP_SETUP_FIT | MZP_SETUP_DEFAULT_LEVEL;
	st->s.setup.ring_packets *= 4;
}

static int act_setup_fit(struct state *st)
{
	struct mzp_setup setup = st->s.setup;
	int err = mzp(st->s.fd, MZP_IOC_SETUP, &setup);

	if (!err)
		st->s.setup = setup;
	return err;
}

static void finish_setup_fit(struct state *st)
{
	struct rlimit limit;

	sys(getrlimit(RLIMIT_MEMLOCK, &limit));
	must(st->s.setup.locked_bytes == limit.rlim_cur);
	must(st->s.setup.ring_packets == state_setup().ring_packets);
	advance_to(st, DONE);
}

static void setup_fit(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = OPEN, .prepare = prepare_fit, .act = act_setup_fit,
			       .to = SET_UP, .finish = finish_setup_fit });
}

static int act_channel(struct state *st)
{
	return mzp_channel(st->s.fd, 1, 0, &st->s.ch[1]);
}

static void channel(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SET_UP, .act = act_channel, .may_differ = true });
}

static int act_block_add(struct state *st)
{
	return mzp_block_add(st->s.fd, "ram", st->m.base, PAGES * PAGE, &st->m.block_id);
}

static void block_add(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = READABLE, .act = act_block_add, .to = WITH_BLOCK });
}

static void prepare_memfd(struct state *st)
{
	st->memfd = sys(memfd_create("extra", MFD_CLOEXEC));
	sys(ftruncate(st->memfd, PAGE));
}

static int act_block_add_fd(struct state *st)
{
	return mzp_block_add_fd(st->s.fd, "extra", st->memfd, 0, PAGE, &st->extra);
}

static void block_add_fd(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = WITH_BLOCK, .prepare = prepare_memfd,
			       .act = act_block_add_fd });
}

static void prepare_extra(struct state *st)
{
	works(mzp_block_add(st->s.fd, "extra", st->m.base, PAGE, &st->extra));
}

static int act_block_remove(struct state *st)
{
	return mzp_block_remove(st->s.fd, st->extra);
}

static void block_remove(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = WITH_BLOCK, .prepare = prepare_extra,
			       .act = act_block_remove });
}

/* Pages that are not the round's, so that nobody counts them twice. */
static int act_send(struct state *st, struct mzp_send *send)
{
	int err;

	send->size = sizeof(*send);
	send->block_id = st->extra;
	send->page_count = 1;
	err = mzp(st->s.fd, MZP_IOC_SEND, send);
	st->sent.job = err ? 0 : send->job_id;
	return err;
}

static int act_send_all(struct state *st)
{
	return act_send(st, &(struct mzp_send){ .format = MZP_SEND_ALL });
}

static int act_send_bitmap(struct state *st)
{
	st->bits[0] = 1;
	return act_send(st, &(struct mzp_send){ .format = MZP_SEND_BITMAP,
						.flags = MZP_SEND_ZERO_BITMAP,
						.input = (uintptr_t)st->bits });
}

static int act_send_ranges(struct state *st)
{
	struct mzp_range range = { .end = PAGE };

	return act_send(st, &(struct mzp_send){ .format = MZP_SEND_RANGES, .nr_ranges = 1,
						.input = (uintptr_t)&range });
}

/* The extra block is unknown to the receiver: throw the bytes away until the SYNC's. */
static void drain_round(struct state *st)
{
	struct pollfd p[CHANNELS];
	uint64_t sync = session_sync(&st->s);
	struct mzp_wait w = { 0 };

	while (mzp_wait(st->s.fd, sync, 0, &w) == ETIMEDOUT) {
		for (unsigned int i = 0; i < CHANNELS; i++)
			p[i] = (struct pollfd){ .fd = st->s.ch[i], .events = POLLIN };
		sys(poll(p, CHANNELS, 10));
		for (unsigned int i = 0; i < CHANNELS; i++) {
			if (p[i].revents & POLLIN)
				sys(read(st->s.ch[i], st->buf, sizeof(st->buf)));
		}
	}
	works(w.error);
}

static void finish_send(struct state *st)
{
	drain_round(st);
	session_wait(&st->s, st->sent.job);
	works(mzp_block_remove(st->s.fd, st->extra));
}

static void send_all(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = READABLE, .prepare = prepare_extra, .act = act_send_all,
			       .finish = finish_send });
}

static void send_bitmap(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = READABLE, .prepare = prepare_extra,
			       .act = act_send_bitmap, .finish = finish_send });
}

static void send_ranges(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = READABLE, .prepare = prepare_extra,
			       .act = act_send_ranges, .finish = finish_send });
}

static int act_send_blind(struct state *st)
{
	return mzp_send_blind(st->s.fd, st->extra, 0, 1);
}

/* Neither a failure nor a job that is done leaves anything behind. */
static void finish_send_blind(struct state *st)
{
	struct mzp_status status;

	drain_round(st);
	status = mzp_status(st->s.fd);
	must(status.submitted == 1 && !status.pending_pages && !status.jobs);
	works(mzp_block_remove(st->s.fd, st->extra));
}

static void send_no_result(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = READABLE, .prepare = prepare_extra,
			       .act = act_send_blind, .finish = finish_send_blind });
}

static int act_sync(struct state *st)
{
	return mzp_sync(st->s.fd, &st->sync);
}

static void sync_(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SENT, .act = act_sync, .to = SYNCED });
}

/* WAIT for all, with id 0, waits for it, too. */
static int act_sync_blind(struct state *st)
{
	return mzp_sync_blind(st->s.fd);
}

static void sync_no_result(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SENT, .act = act_sync_blind, .to = SYNCED });
}

/* All that was handed over has been received, and nobody has asked for the results. */
static void prepare_received(struct state *st)
{
	rx_round(&st->rx);
}

static int act_wait(struct state *st)
{
	struct mzp_wait w = { .zero_bitmap = (uintptr_t)st->bits, .zero_bitmap_pages = 64 };

	return mzp_wait(st->s.fd, st->sent.job, -1, &w);
}

static void prepare_wait_bitmap(struct state *st)
{
	st->sent = mem_send(&st->m, &st->s, 0, PAGES, NULL, MZP_SEND_ALL, MZP_SEND_ZERO_BITMAP);
	st->sync = session_sync(&st->s);
	rx_round(&st->rx);
}

static void prepare_rx_block(struct state *st)
{
	st->m.rx = rx_add_block(&st->rx, "ram", PAGES, NULL);
	prepare_wait_bitmap(st);
}

static void finish_wait(struct state *st)
{
	struct mzp_wait w = { 0 };
	uint64_t want = 0;

	for (unsigned int i = 0; i < PAGES; i++)
		want |= (uint64_t)(i % 5 < 2) << i;
	must(st->bits[0] == want, "the bitmap of zero pages is %lx, not %lx", st->bits[0], want);
	gives(ENOENT, mzp_wait(st->s.fd, st->sent.job, 0, &w));
	session_wait(&st->s, st->sync);
	rx_next_round(&st->rx);
}

static void wait_one(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = WITH_BLOCK, .prepare = prepare_rx_block, .act = act_wait,
			       .finish = finish_wait });
}

static int act_wait_all(struct state *st)
{
	struct mzp_wait w = { 0 };
	int err = mzp_wait(st->s.fd, 0, -1, &w);

	must(err || w.submitted == PAGES);
	return err;
}

static void finish_wait_all(struct state *st)
{
	struct mzp_wait w = { 0 };

	gives(ENOENT, mzp_wait(st->s.fd, st->sync, 0, &w));
}

static void wait_all(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_received,
			       .act = act_wait_all, .finish = finish_wait_all });
}

static int act_cancel(struct state *st)
{
	return mzp_cancel(st->s.fd);
}

static void cancel(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_pending, .act = act_cancel,
			       .finish = finish_cancel });
}

static int act_close(struct state *st)
{
	close_fd(&st->s.fd);
	return 0;
}

static void finish_close(struct state *st)
{
	refuses(ECANCELED, read(st->s.ch[0], st->buf, 1));
}

/* Nothing of it can fail; there is a listener, for whom memory would be needed. */
static void device_close(void **state)
{
	(void)state;
	sweep(&(struct sweep){ .from = SYNCED, .prepare = prepare_pending, .act = act_close,
			       .finish = finish_close });
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(device_open),
		cmocka_unit_test(info),
		cmocka_unit_test(setup),
		cmocka_unit_test(setup_zlib),
		cmocka_unit_test(setup_zstd),
		cmocka_unit_test(setup_with_listener),
		cmocka_unit_test(setup_fit),
		cmocka_unit_test(channel),
		cmocka_unit_test(block_add),
		cmocka_unit_test(block_add_fd),
		cmocka_unit_test(block_remove),
		cmocka_unit_test(send_all),
		cmocka_unit_test(send_bitmap),
		cmocka_unit_test(send_ranges),
		cmocka_unit_test(send_no_result),
		cmocka_unit_test(sync_),
		cmocka_unit_test(sync_no_result),
		cmocka_unit_test(wait_one),
		cmocka_unit_test(wait_all),
		cmocka_unit_test(cancel),
		cmocka_unit_test(device_close),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

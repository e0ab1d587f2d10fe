// SPDX-License-Identifier: GPL-2.0-only
/*
 * STATUS: what it counts is what the receiver counts, at any moment it is true, and it
 * never goes back. And FIONREAD, the same of one channel.
 */
#include "mem.h"
#include "take.h"

#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define HEADER sizeof(struct mzp_wire_packet)
#define GREETING sizeof(struct mzp_wire_init)

/* --- somebody who looks all the time */

struct looker {
	struct thread thread;
	struct session *s;
	bool over;
	unsigned int looks, busy;	/* and with how many of them something was pending */
};

static void check_balance(const struct mzp_status *now)
{
	must(now->submitted == now->normal + now->zero + now->absent + now->lost +
	     now->pending_pages, "%ju: %ju + %ju + %ju + %ju + %ju", (uintmax_t)now->submitted,
	     (uintmax_t)now->normal, (uintmax_t)now->zero, (uintmax_t)now->absent,
	     (uintmax_t)now->lost, (uintmax_t)now->pending_pages);
	must(now->bytes_taken <= now->bytes_made, "%ju taken of %ju", (uintmax_t)now->bytes_taken,
	     (uintmax_t)now->bytes_made);
}

static void check_next(const struct mzp_status *last, const struct mzp_status *now)
{
	check_balance(now);
	must(now->submitted >= last->submitted);
	must(now->normal >= last->normal);
	must(now->zero >= last->zero);
	must(now->absent >= last->absent);
	must(now->lost >= last->lost);
	must(now->bytes_made >= last->bytes_made);
	must(now->bytes_taken >= last->bytes_taken);
	must(now->syncs >= last->syncs);
}

static void *look(void *arg)
{
	struct looker *l = arg;
	const struct mzp_setup *setup = &l->s->setup;
	struct mzp_status last = { 0 }, now;

	while (!__atomic_load_n(&l->over, __ATOMIC_ACQUIRE)) {
		now = mzp_status(l->s->fd);
		check_next(&last, &now);
		must(now.state == MZP_STATE_READY && !now.error && !now.lost);
		must(now.ring_pages <= setup->channels * setup->ring_packets * setup->packet_pages);
		must(now.jobs_unfinished <= now.jobs);
		l->looks++;
		l->busy += now.pending_pages != 0;
		last = now;
		sched_yield();
	}
	return NULL;
}

static void look_start(struct looker *l, struct session *s)
{
	*l = (struct looker){ .s = s };
	thread_start(&l->thread, look, l);
}

static void look_end(struct looker *l)
{
	__atomic_store_n(&l->over, true, __ATOMIC_RELEASE);
	thread_join(&l->thread);
	must(l->looks > 10 && l->busy, "%u looks, %u of them at work", l->looks, l->busy);
}

/* --- what the receiver counts */

static pthread_mutex_t rx_lock = PTHREAD_MUTEX_INITIALIZER;

static void feed(void *arg, const uint8_t *data, size_t n)
{
	pthread_mutex_lock(&rx_lock);
	rx_feed(arg, data, n);
	pthread_mutex_unlock(&rx_lock);
}

static bool all_synced(struct rx *rx, unsigned int syncs)
{
	bool all = true;

	pthread_mutex_lock(&rx_lock);
	for (unsigned int i = 0; i < rx->setup.channels; i++)
		all &= rx->chan[i].syncs == syncs;
	pthread_mutex_unlock(&rx_lock);
	return all;
}

/* What the pages are, exactly: no kind here leaves the module a choice. */
static const enum kind kinds[] = { ABSENT, ZERO, ONE, DATA, DATA };

struct sums {
	uint64_t submitted, normal, zero, absent;
};

static void add_round(struct sums *sums, const struct mem *m, enum mzp_detection detection)
{
	bool zeros = detection != MZP_DETECTION_NONE;

	for (uint64_t i = 0; i < m->pages; i++) {
		enum kind kind = m->kind[i];

		sums->submitted++;
		sums->absent += kind == ABSENT;
		sums->zero += kind == ZERO && zeros;
		sums->normal += kind >= ONE || (kind == ZERO && !zeros);
	}
}

/* Each page is another kind of page in each round. */
static void change(struct mem *m, unsigned int round)
{
	for (uint64_t i = 0; i < m->pages; i++) {
		enum kind kind = kinds[(i / 3 + round) % ARRAY_SIZE(kinds)];

		if (round || kind != ABSENT)
			mem_set(m, i, kind);
	}
}

static void check_round(struct session *s, const struct sums *sums, uint64_t normal,
			unsigned int rounds)
{
	struct mzp_status status = mzp_status(s->fd);

	check_balance(&status);
	must(status.submitted == sums->submitted);
	must(status.normal == sums->normal, "%ju, not %ju", (uintmax_t)status.normal,
	     (uintmax_t)sums->normal);
	must(status.zero == sums->zero);
	must(status.absent == sums->absent);
	/* without detection, absent pages go out as if they were data, but for the first time */
	must(normal >= status.normal);
	must(status.syncs == rounds && !status.jobs_unfinished);
	must(!status.pending_pages && !status.pending_bytes && !status.ring_pages);
	must(status.bytes_made == status.bytes_taken);
}

static void counts_of(struct session *s, enum mzp_method method, enum mzp_detection detection)
{
	struct mzp_setup setup = setup_for(2);
	uint64_t normal = 0, taken = 0;
	struct mzp_wait_pending p;
	struct sums sums = { 0 };
	struct taker t[2];
	struct looker l;
	struct mem m;
	struct rx rx;

	setup.method = method;
	setup.detection = detection;
	setup.ring_packets = 2;
	setup.packet_pages = 16;
	session_open(s, &setup);
	rx_init(&rx, s, RX_READ);
	mem_init(&m, "ram", 400);
	mem_add(&m, s, &rx);
	for (unsigned int i = 0; i < 2; i++)
		taker_start(&t[i], s->ch[i], i ? BY_PUMP : BY_SPLICE, feed, &rx.chan[i]);
	look_start(&l, s);
	for (unsigned int round = 0; round < 3; round++) {
		struct sent sent;

		change(&m, round);
		add_round(&sums, &m, detection);
		sent = mem_send(&m, s, 0, m.pages, NULL, MZP_SEND_ALL, round ? 0 : MZP_SEND_FRESH);
		session_sync(s);
		works(mzp_wait_pending(s->fd, 0, 0, -1, &p));
		until(all_synced(&rx, round + 1));
		session_wait(s, sent.job + 1);
		normal += m.rx->normal;
		check_round(s, &sums, normal, round + 1);
		if (detection != MZP_DETECTION_NONE)
			must(mzp_status(s->fd).normal == normal);
		mem_check_job(s, &sent);
		mem_check(&m);
		rx_next_round(&rx);
	}
	look_end(&l);
	works(mzp_end(s->fd));
	for (unsigned int i = 0; i < 2; i++) {
		gives(0, taker_end(&t[i]));
		taken += t[i].bytes;
	}
	must(mzp_status(s->fd).bytes_taken == taken);
	close(s->fd);
	rx_free(&rx);
	mem_free(&m);
}

static void counts(void **state)
{
	struct session s;

	(void)state;
	for (enum mzp_method m = MZP_METHOD_NONE; m <= MZP_METHOD_ZSTD; m++) {
		for (enum mzp_detection d = MZP_DETECTION_NONE; d <= MZP_DETECTION_MULTIFD; d++)
			counts_of(&s, m, d);
	}
}

/* --- a channel's own */

static int waiting(int ch)
{
	int bytes = -1;

	sys(ioctl(ch, FIONREAD, &bytes));
	return bytes;
}

static void fionread(void **state)
{
	static uint8_t buf[HEADER + 3 * PAGE];
	struct mzp_setup setup = setup_for(2);
	struct mzp_status status;
	struct session s;
	struct mem m;

	(void)state;
	session_open(&s, &setup);
	mem_init(&m, "ram", 3);
	mem_set_range(&m, 0, 3, DATA);
	mem_add(&m, &s, NULL);
	must(waiting(s.ch[0]) == GREETING && waiting(s.ch[1]) == GREETING);
	must(mzp_status(s.fd).pending_bytes == 2 * GREETING);
	read_exactly(s.ch[0], buf, 60);
	must(waiting(s.ch[0]) == GREETING - 60);
	read_exactly(s.ch[0], buf, GREETING - 60);
	read_exactly(s.ch[1], buf, GREETING);
	must(waiting(s.ch[0]) == 0);

	session_send(&s, m.block_id, 0, 3, 0);
	until(waiting(s.ch[0]) + waiting(s.ch[1]) == HEADER + 3 * PAGE);
	status = mzp_status(s.fd);
	must(status.pending_bytes == HEADER + 3 * PAGE && status.ring_pages == 3);
	must(status.bytes_made - status.bytes_taken == status.pending_bytes);
	session_sync(&s);
	session_wait(&s, 0);
	status = mzp_status(s.fd);
	must(status.pending_bytes == 3 * HEADER + 3 * PAGE && !status.pending_pages);
	for (unsigned int i = 0; i < 2; i++) {
		int bytes = waiting(s.ch[i]);

		must(bytes == HEADER || bytes == 2 * HEADER + 3 * PAGE, "%d", bytes);
		/* in the middle of a page, too */
		for (int part = 1000; part + 4000 <= bytes; part += 5000) {
			read_exactly(s.ch[i], buf, 5000);
			must(waiting(s.ch[i]) == bytes - (part + 4000));
		}
	}
	works(mzp_end(s.fd));
	for (unsigned int i = 0; i < 2; i++) {
		while (waiting(s.ch[i]))
			read_exactly(s.ch[i], buf, min(waiting(s.ch[i]), 1000));
		must(sys(read(s.ch[i], buf, 1)) == 0);
	}
	must(!mzp_status(s.fd).pending_bytes && !mzp_status(s.fd).ring_pages);
	refuses(EFAULT, ioctl(s.ch[0], FIONREAD, 1));
	session_close(&s);

	session_open(&s, &setup);
	works(mzp_cancel(s.fd));
	refuses(ECANCELED, ioctl(s.ch[0], FIONREAD, buf));
	session_close(&s);
	mem_free(&m);
}

/* --- what went wrong first */

static void check_error(int fd, uint32_t error, uint32_t block, uint64_t page)
{
	struct mzp_status status = mzp_status(fd);

	check_balance(&status);
	must(status.error == error, "%s", kit_errno(status.error));
	must(status.error_block == block && status.error_offset == page * PAGE, "%u at %jx",
	     status.error_block, (uintmax_t)status.error_offset);
}

static void first_error(void **state)
{
	struct mzp_setup setup = setup_for(1);
	struct mzp_wait w = { 0 };
	struct session s;
	struct mem m[2];
	uint64_t job[3];
	struct sink t;

	(void)state;
	session_open(&s, &setup);
	for (unsigned int i = 0; i < 2; i++) {
		mem_init(&m[i], i ? "other" : "ram", 100);
		mem_set_range(&m[i], 0, 100, DATA);
		mem_add(&m[i], &s, NULL);
	}
	sys(munmap(m[0].base + 11 * PAGE, PAGE));
	sys(munmap(m[1].base + 7 * PAGE, PAGE));
	sink_start(&t, s.ch[0]);
	check_error(s.fd, 0, 0, 0);
	job[0] = session_send(&s, m[1].block_id, 0, 7, 0);
	job[1] = session_send(&s, m[0].block_id, 0, 100, 0);
	until(!mzp_status(s.fd).jobs_unfinished);
	check_error(s.fd, EFAULT, m[0].block_id, 11);
	must(mzp_status(s.fd).lost > 0 && mzp_status(s.fd).state == MZP_STATE_READY);
	job[2] = session_send(&s, m[1].block_id, 0, 100, 0);
	works(mzp_wait(s.fd, job[2], -1, &w));
	must(w.error == EFAULT && w.error_block == m[1].block_id && w.error_offset == 7 * PAGE);
	/* it stays, whatever follows, and whatever was fetched */
	check_error(s.fd, EFAULT, m[0].block_id, 11);
	session_wait(&s, job[0]);
	works(mzp_wait(s.fd, job[1], -1, &w));
	check_error(s.fd, EFAULT, m[0].block_id, 11);
	works(mzp_cancel(s.fd));
	gives(ECANCELED, sink_end(&t));
	check_error(s.fd, EFAULT, m[0].block_id, 11);
	must(mzp_status(s.fd).state == MZP_STATE_FAILED);
	session_close(&s);
	for (unsigned int i = 0; i < 2; i++)
		mem_free(&m[i]);
}

/* The end of a session is no page's error. */
static void no_page(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		bool closed = i & 1, all = i & 2;
		struct mzp_setup setup = setup_for(2);
		struct mzp_wait w = { 0 };
		struct mzp_status status;
		struct session s;
		struct mem m;
		uint64_t job;
		int err = closed ? EPIPE : ECANCELED;

		setup.ring_packets = 2;
		setup.packet_pages = 4;
		session_open(&s, &setup);
		mem_init(&m, "ram", 100);
		mem_set_range(&m, 0, 100, DATA);
		mem_add(&m, &s, NULL);
		job = session_send(&s, m.block_id, 0, 100, 0);
		gives(ETIMEDOUT, mzp_wait(s.fd, job, 0, &w));
		if (closed) {
			close(s.ch[1]);
			s.ch[1] = -1;
		} else {
			works(mzp_cancel(s.fd));
		}
		check_error(s.fd, err, 0, 0);
		status = mzp_status(s.fd);
		must(status.state == MZP_STATE_FAILED && status.jobs == 1);
		must(status.reason == (closed ? MZP_REASON_READER : MZP_REASON_CANCELLED));
		must(status.submitted == 100 && status.normal < 100);
		w.error_block = 12;
		w.error_offset = 12;
		works(mzp_wait(s.fd, all ? 0 : job, -1, &w));
		must((int)w.error == err && !w.error_block && !w.error_offset);
		must(w.submitted == 100 && w.normal == status.normal);
		must(!mzp_status(s.fd).jobs && !mzp_status(s.fd).jobs_unfinished);
		session_close(&s);
		mem_free(&m);
	}
}

/* --- before, and who may ask */

static void another_process(void *arg)
{
	struct mzp_status status = { .size = sizeof(status) };

	gives(EIO, mzp(*(int *)arg, MZP_IOC_STATUS, &status));
}

static void states(void **state)
{
	struct mzp_status status = { .size = sizeof(status) };
	struct mzp_setup setup = setup_for(1);
	int fd = mzp_open(), ch;
	char c;

	(void)state;
	gives(ENXIO, mzp(fd, MZP_IOC_STATUS, &status));
	works(mzp_setup(fd, &setup));
	status.flags = 1;
	gives(EINVAL, mzp(fd, MZP_IOC_STATUS, &status));
	status = mzp_status(fd);
	must(status.state == MZP_STATE_READY && status.bytes_made == GREETING);
	must(!status.submitted && !status.jobs && !status.syncs && !status.rate);
	reap(child(another_process, &fd), 0);
	works(mzp_channel(fd, 0, 0, &ch));
	works(mzp_sync(fd, NULL));
	until(mzp_status(fd).syncs == 1);
	/* done, but not fetched */
	must(mzp_status(fd).jobs == 1 && !mzp_status(fd).jobs_unfinished);
	works(mzp_end(fd));
	must(mzp_status(fd).state == MZP_STATE_ENDED);
	must(mzp_status(fd).pending_bytes == GREETING + HEADER);
	for (unsigned int i = 0; i < GREETING + HEADER; i++)
		read_exactly(ch, &c, 1);
	must(mzp_status(fd).bytes_taken == GREETING + HEADER);
	must(!read(ch, &c, 1));
	close(ch);
	must(mzp_status(fd).state == MZP_STATE_ENDED && !mzp_status(fd).error);
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts),
		cmocka_unit_test(fionread),
		cmocka_unit_test(first_error),
		cmocka_unit_test(no_page),
		cmocka_unit_test(states),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

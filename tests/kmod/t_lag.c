// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pending bytes against the readers' own counts, while a session sends at a rate: they
 * never differ by more than what is on its way to the readers, by none of the ways.
 *
 * What was made and has not arrived is in the rings, which is what is pending, or on its
 * way. That is
 *   - with read, what a call under way may return,
 *   - with splice, what is in the pipe: it gets no more before it is empty,
 *   - with PUMP, what the socket holds: its buffers, each of which TCP can fill beyond its
 *     size by a segment; and what a call of the receiver's may return.
 * In the other direction, what has arrived may still be pending where PUMP has sent a
 * packet and has not counted it yet; and the bytes of a packet that is being put into a
 * ring are pending a moment before STATUS tells that they were made.
 */
#include "mem.h"
#include "sock.h"
#include "take.h"

#include <fcntl.h>
#include <sys/socket.h>

enum {
	CHANNELS = 2,
	PACKET_PAGES = 16,
	PAGES = 5000,
	RATE = 8 * 1000 * 1000,
	PART = 16384,		/* what a reader asks for at a time */
	BUFFER = 65536,		/* of a socket, in each direction */
	SEGMENT = 65536,	/* the most that TCP puts into one piece */
	PAUSE_US = 10000,	/* of the slower reader, between two parts */
};

static const int64_t packet = sizeof(struct mzp_wire_packet) + PACKET_PAGES * PAGE;

struct reader {
	struct thread thread;
	enum way way;
	int ch, pipe[2], socket[2];
	size_t in_pipe;
	struct pump pump;
	unsigned int pause_us;
	uint64_t bytes;		/* that have arrived */
};

static ssize_t read_part(struct reader *r, void *buf)
{
	ssize_t got;

	if (r->way == BY_READ)
		return sys(read(r->ch, buf, PART));
	if (r->way == BY_PUMP)
		return sys(read(r->socket[1], buf, PART));
	if (!r->in_pipe)
		r->in_pipe = sys(splice(r->ch, NULL, r->pipe[1], NULL, TAKE_MAX, 0));
	if (!r->in_pipe)
		return 0;
	got = sys(read(r->pipe[0], buf, PART));
	r->in_pipe -= got;
	return got;
}

static void *reads(void *arg)
{
	struct reader *r = arg;
	uint8_t buf[PART];
	ssize_t got;

	while ((got = read_part(r, buf))) {
		__atomic_add_fetch(&r->bytes, got, __ATOMIC_SEQ_CST);
		usleep(r->pause_us);
	}
	return NULL;
}

static void reader_start(struct reader *r, enum way way, int ch, unsigned int pause_us)
{
	*r = (struct reader){ .way = way, .ch = ch, .pause_us = pause_us };
	sys(pipe2(r->pipe, O_CLOEXEC));
	/* the kernel doubles it */
	tcp_pair(r->socket, BUFFER / 2, BUFFER / 2);
	if (way == BY_PUMP)
		pump_start(&r->pump, ch, r->socket[0]);
	thread_start(&r->thread, reads, r);
}

static void reader_end(struct reader *r)
{
	if (r->way == BY_PUMP) {
		gives(0, pump_end(&r->pump));
		sys(shutdown(r->socket[0], SHUT_WR));
	}
	thread_join(&r->thread);
	close_pair(r->pipe);
	close_pair(r->socket);
	sys(close(r->ch));
}

/* How many bytes there can be on the way to a reader; how many that are pending as well. */
static int64_t on_the_way(enum way way)
{
	static const int64_t most[] = {
		[BY_READ] = PART,
		[BY_SPLICE] = TAKE_MAX,
		[BY_PUMP] = 2 * (BUFFER + SEGMENT) + PART,
	};

	return CHANNELS * most[way];
}

static int64_t counted_late(enum way way)
{
	return CHANNELS * (way == BY_PUMP ? 2 * packet : packet);
}

static uint64_t arrived(const struct reader *r)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < CHANNELS; i++)
		sum += __atomic_load_n(&r[i].bytes, __ATOMIC_SEQ_CST);
	return sum;
}

/* The most of each that was seen; of the first two, what was there for certain. */
struct seen {
	unsigned int looks;
	int64_t on_the_way, counted_late, pending;
};

/* @made and @arrived: before and after; neither goes back. */
static void check(struct seen *seen, enum way way, int64_t pending, const int64_t *made,
		  const int64_t *arrived)
{
	int64_t lacks = made[0] - arrived[1] - pending, late = pending + arrived[0] - made[1];

	seen->looks++;
	seen->on_the_way = max(seen->on_the_way, lacks);
	seen->counted_late = max(seen->counted_late, late);
	seen->pending = max(seen->pending, pending);
	must(lacks <= on_the_way(way), "%jd pending, %jd arrived, %jd made", (intmax_t)pending,
	     (intmax_t)arrived[1], (intmax_t)made[0]);
	must(late <= counted_late(way), "%jd pending, %jd arrived, %jd made", (intmax_t)pending,
	     (intmax_t)arrived[0], (intmax_t)made[1]);
}

/* Return: whether nothing is left to be done. */
static bool look(struct seen *seen, enum way way, int fd, const struct reader *r)
{
	int64_t made[2], got[2];
	struct mzp_wait_pending p;
	struct mzp_status status;
	int err;

	made[0] = mzp_status(fd).bytes_made;
	got[0] = arrived(r);
	err = mzp_wait_pending(fd, 0, 0, 0, &p);
	status = mzp_status(fd);
	made[1] = status.bytes_made;
	got[1] = arrived(r);
	check(seen, way, p.bytes, made, got);
	check(seen, way, status.pending_bytes, made, got);
	must(!err || err == ETIMEDOUT);
	return !err;
}

static void lag(enum way way)
{
	struct mzp_setup setup = setup_for(CHANNELS);
	struct reader r[CHANNELS];
	struct seen seen = { 0 };
	struct mzp_status status;
	struct session s;
	double start;
	struct mem m;

	setup.packet_pages = PACKET_PAGES;
	session_open(&s, &setup);
	mem_init(&m, "ram", PAGES);
	mem_set_range(&m, 0, PAGES, DATA);
	mem_add(&m, &s, NULL);
	works(mzp_rate(s.fd, RATE));
	works(mzp_send_blind(s.fd, m.block_id, 0, PAGES));
	for (unsigned int i = 0; i < CHANNELS; i++)
		reader_start(&r[i], way, s.ch[i], i ? PAUSE_US : 0);
	start = now_ms();
	while (!look(&seen, way, s.fd, r))
		usleep(1000);
	print_message("# %u looks in %.0f ms, at most %jd bytes pending, %jd on the way, %jd late\n",
		      seen.looks, now_ms() - start, (intmax_t)seen.pending,
		      (intmax_t)seen.on_the_way, (intmax_t)seen.counted_late);
	must(seen.looks > 100 && seen.pending > packet);
	/* a call that has not come back yet is hardly ever seen */
	must(way == BY_READ || seen.on_the_way > 0);
	status = mzp_status(s.fd);
	works(mzp_end(s.fd));
	for (unsigned int i = 0; i < CHANNELS; i++)
		reader_end(&r[i]);
	must(arrived(r) == status.bytes_made && status.bytes_taken == status.bytes_made);
	must(status.bytes_made >= PAGES * PAGE);
	sys(close(s.fd));
	mem_free(&m);
}

static void by_read(void **state)
{
	(void)state;
	lag(BY_READ);
}

static void by_splice(void **state)
{
	(void)state;
	lag(BY_SPLICE);
}

static void by_pump(void **state)
{
	(void)state;
	lag(BY_PUMP);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_read),
		cmocka_unit_test(by_splice),
		cmocka_unit_test(by_pump),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

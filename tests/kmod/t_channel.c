// SPDX-License-Identifier: GPL-2.0-only
/*
 * A channel's file: each byte comes out exactly once and in order, whatever
 * the mix of read and splice, and whoever gets in the way.
 */
#include "one.h"
#include "sock.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>

static size_t some_size(uint64_t *random)
{
	uint64_t top = 1ull << rnd_below(random, 21);

	return top + rnd_below(random, top);
}

#define BUF (2 * MIB)

/* Read into several buffers, of which some may be empty. */
static ssize_t vector_read(int fd, uint8_t *buf, size_t n, int flags, uint64_t *random)
{
	struct iovec iov[5];
	size_t at = 0;

	for (unsigned int i = 0; i < 5; i++) {
		size_t part = i < 4 ? rnd_below(random, n - at + 1) / (1 + i % 2) : n - at;

		iov[i] = (struct iovec){ buf + at, part };
		at += part;
	}
	return preadv2(fd, iov, 5, -1, flags);
}

static void reads(void **state)
{
	uint64_t random = 1;
	uint8_t *buf = malloc(BUF);
	struct one o;

	(void)state;
	must(buf);
	one_open(&o, 2500, 4, 20);
	one_send(&o);
	while (o.rx.chan[0].syncs < 1) {
		size_t n = some_size(&random);
		ssize_t got = rnd_below(&random, 2) ? read(o.ch, buf, n) :
						      vector_read(o.ch, buf, n, 0, &random);

		must(got > 0 && (size_t)got <= n);
		rx_feed(&o.rx.chan[0], buf, got);
	}
	one_check(&o);
	one_close(&o);
	free(buf);
}

/* Bytes come in pieces no larger than asked for: one at a time. */
static void single_bytes(void **state)
{
	struct one o;
	uint8_t b;

	(void)state;
	one_open(&o, 5, 1, 2);
	one_send(&o);
	while (o.rx.chan[0].syncs < 1) {
		must(sys(read(o.ch, &b, 1)) == 1);
		rx_feed(&o.rx.chan[0], &b, 1);
	}
	one_check(&o);
	one_close(&o);
}

/* What was taken out of the channel but not looked at yet, in order. */
struct piece {
	int pipe;		/* of the mix, or -1: in memory */
	size_t n;
	uint8_t *data;
};

#define PIECES 64
struct mix {
	struct one *o;
	int pipe[3][2];
	struct piece piece[PIECES];
	unsigned int first, pieces;
	uint64_t random;
	uint8_t *buf;
	int flags;		/* of preadv2() */
};

/* Look at the oldest bytes. */
static void mix_drain(struct mix *m)
{
	struct piece *p = &m->piece[m->first % PIECES];
	size_t n = min(p->n, some_size(&m->random));

	if (p->pipe >= 0) {
		n = sys(read(m->pipe[p->pipe][0], m->buf, n));
		must(n > 0);
		rx_feed(&m->o->rx.chan[0], m->buf, n);
	} else {
		rx_feed(&m->o->rx.chan[0], p->data, n);
		memmove(p->data, p->data + n, p->n - n);
	}
	p->n -= n;
	if (!p->n) {
		if (p->pipe < 0)
			free(p->data);
		m->first++;
		m->pieces--;
	}
}

/* Take some bytes out of the channel, one way or the other. 0: nothing there or no room. */
static size_t mix_take(struct mix *m)
{
	struct piece *p = &m->piece[(m->first + m->pieces) % PIECES];
	unsigned int way = rnd_below(&m->random, 5);
	size_t n = some_size(&m->random);
	ssize_t got;

	if (way < 3) {
		p->pipe = way;
		got = splice(m->o->ch, NULL, m->pipe[way][1], NULL, n, SPLICE_F_NONBLOCK);
	} else {
		p->pipe = -1;
		got = way == 3 ? preadv2(m->o->ch, &(struct iovec){ m->buf, n }, 1, -1, m->flags) :
				 vector_read(m->o->ch, m->buf, n, m->flags, &m->random);
	}
	if (got < 0) {
		must(errno == EAGAIN || errno == EINTR, "%s", strerror(errno));
		return 0;
	}
	must(got > 0 && (size_t)got <= n);
	if (p->pipe < 0) {
		p->data = malloc(got);
		must(p->data);
		memcpy(p->data, m->buf, got);
	}
	p->n = got;
	m->pieces++;
	return got;
}

static void mix_run(struct mix *m, struct one *o, uint64_t seed, int flags)
{
	static const int sizes[] = { PAGE, 16 * PAGE, MIB };

	*m = (struct mix){ .o = o, .random = seed, .buf = malloc(BUF), .flags = flags };
	must(m->buf);
	for (unsigned int i = 0; i < 3; i++)
		make_pipe(m->pipe[i], sizes[i]);
	one_send(o);
	while (o->rx.chan[0].syncs < 1) {
		/* for a while rather one, for a while rather the other */
		bool rather_take = m->random >> 60 & 1;

		if (m->pieces < PIECES && (!m->pieces || rnd_below(&m->random, 4) < 1 + 2u * rather_take)) {
			if (!mix_take(m) && !m->pieces) {
				struct pollfd p = { .fd = o->ch, .events = POLLIN };

				if (poll(&p, 1, -1) < 0)
					must(errno == EINTR);
			}
		} else {
			mix_drain(m);
		}
	}
	must(!m->pieces);
	for (unsigned int i = 0; i < 3; i++) {
		close(m->pipe[i][0]);
		close(m->pipe[i][1]);
	}
	free(m->buf);
}

static void mixed(void **state)
{
	static const struct {
		uint64_t pages;
		unsigned int ring, packet_pages;
	} shapes[] = { { 1500, 1, 1 }, { 3000, 2, 128 }, { 2500, 8, 7 } };
	struct mix m;
	struct one o;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(shapes); i++) {
		one_open(&o, shapes[i].pages, shapes[i].ring, shapes[i].packet_pages);
		mix_run(&m, &o, 100 + i, RWF_NOWAIT);
		one_check(&o);
		one_close(&o);
	}
}

static void mixed_nonblocking(void **state)
{
	struct mix m;
	struct one o;

	(void)state;
	one_open(&o, 2000, 2, 9);
	sys(fcntl(o.ch, F_SETFL, O_NONBLOCK));
	mix_run(&m, &o, 7, 0);
	one_check(&o);
	sys(fcntl(o.ch, F_SETFL, 0));
	one_close(&o);
}

/* A signal every now and then, in whatever is being done. */
static void mixed_with_signals(void **state)
{
	struct sigaction action = { .sa_handler = interrupt };
	struct itimerval often = { { 0, 700 }, { 0, 700 } }, never = { { 0, 0 }, { 0, 0 } };
	uint64_t random = 5;
	uint8_t *buf = malloc(BUF);
	struct one o;
	int p[2];

	(void)state;
	must(buf);
	make_pipe(p, 16 * PAGE);
	one_open(&o, 3000, 1, 3);
	sys(sigaction(SIGALRM, &action, NULL));
	sys(setitimer(ITIMER_REAL, &often, NULL));
	one_send(&o);
	while (o.rx.chan[0].syncs < 1) {
		size_t n = some_size(&random);
		bool spliced = rnd_below(&random, 2);
		ssize_t got = spliced ? splice(o.ch, NULL, p[1], NULL, n, 0) :
					read(o.ch, buf, n);

		if (got < 0) {
			must(errno == EINTR);
			continue;
		}
		must(got > 0);
		for (ssize_t left = got; spliced && left; ) {
			ssize_t part = read(p[0], buf + got - left, left);

			must(part > 0 || errno == EINTR);
			left -= part > 0 ? part : 0;
		}
		rx_feed(&o.rx.chan[0], buf, got);
	}
	sys(setitimer(ITIMER_REAL, &never, NULL));
	one_check(&o);
	one_close(&o);
	close(p[0]);
	close(p[1]);
	free(buf);
}

static void nothing_there(void **state)
{
	uint8_t buf[64];
	struct one o;
	int p[2];

	(void)state;
	make_pipe(p, PAGE);
	one_open(&o, 10, 1, 0);
	read_exactly(o.ch, buf, sizeof(buf));
	rx_feed(&o.rx.chan[0], buf, sizeof(buf));
	/* nothing asked for, nothing given, no wait */
	must(read(o.ch, buf, 0) == 0);
	must(readv(o.ch, &(struct iovec){ buf, 0 }, 1) == 0);
	must(splice(o.ch, NULL, p[1], NULL, 0, 0) == 0);
	must(!poll_events(o.ch, POLLIN | POLLPRI | POLLOUT | POLLRDHUP));

	refuses(EAGAIN, splice(o.ch, NULL, p[1], NULL, 10, SPLICE_F_NONBLOCK));
	refuses(EAGAIN, preadv2(o.ch, &(struct iovec){ buf, 10 }, 1, -1, RWF_NOWAIT));
	sys(fcntl(o.ch, F_SETFL, O_NONBLOCK));
	refuses(EAGAIN, read(o.ch, buf, 1));
	refuses(EAGAIN, splice(o.ch, NULL, p[1], NULL, 10, 0));
	sys(fcntl(o.ch, F_SETFL, 0));

	one_send(&o);
	while (o.rx.chan[0].syncs < 1)
		must(rx_some(&o.rx.chan[0]) > 0);
	sys(fcntl(o.ch, F_SETFL, O_NONBLOCK));
	refuses(EAGAIN, read(o.ch, buf, 1));
	sys(fcntl(o.ch, F_SETFL, 0));
	one_check(&o);
	one_close(&o);
	close(p[0]);
	close(p[1]);
}

/* A blocked read, and a blocked splice: a signal ends it, data ends it, nothing is lost. */
static void blocked(void **state)
{
	struct sigaction action = { .sa_handler = interrupt };
	static uint8_t buf[MIB];
	struct one o;
	int p[2];

	(void)state;
	sys(sigaction(SIGUSR1, &action, NULL));
	make_pipe(p, MIB);
	one_open(&o, 40, 8, 8);
	must(rx_some(&o.rx.chan[0]) == 64);
	for (unsigned int i = 0; i < 2; i++) {
		struct reader r = { o.ch, i ? p[1] : -1, 0, buf, sizeof(buf), 0, 0 };
		struct thread t;

		for (unsigned int j = 0; j < 3; j++) {
			thread_start(&t, reader, &r);
			until_blocked_in(getpid(), t.tid, reader_call(&r));
			pthread_kill(t.pthread, SIGUSR1);
			thread_join(&t);
			must(r.got == -1 && r.err == EINTR, "%s", kit_errno(r.err));
		}
		thread_start(&t, reader, &r);
		until_blocked_in(getpid(), t.tid, reader_call(&r));
		one_send(&o);
		thread_join(&t);
		must(r.got > 0, "%s", kit_errno(r.err));
		if (i)
			read_exactly(p[0], buf, r.got);
		rx_feed(&o.rx.chan[0], buf, r.got);
		while (o.rx.chan[0].syncs < i + 1)
			must(rx_some(&o.rx.chan[0]) > 0);
		one_check(&o);
	}
	one_close(&o);
	close(p[0]);
	close(p[1]);
}

/* A signal that asks for it has the call go on by itself. */
static void blocked_restart(void **state)
{
	struct sigaction action = { .sa_handler = interrupt, .sa_flags = SA_RESTART };
	static uint8_t buf[MIB];
	struct reader r = { .to = -1, .buf = buf, .n = sizeof(buf) };
	struct thread t;
	struct one o;

	(void)state;
	sys(sigaction(SIGUSR1, &action, NULL));
	one_open(&o, 10, 8, 0);
	must(rx_some(&o.rx.chan[0]) == 64);
	r.ch = o.ch;
	thread_start(&t, reader, &r);
	for (unsigned int i = 0; i < 5; i++) {
		until_blocked_in(getpid(), t.tid, SYS_read);
		pthread_kill(t.pthread, SIGUSR1);
	}
	one_send(&o);
	thread_join(&t);
	must(r.got > 0, "%s", kit_errno(r.err));
	rx_feed(&o.rx.chan[0], buf, r.got);
	while (o.rx.chan[0].syncs < 1)
		must(rx_some(&o.rx.chan[0]) > 0);
	one_check(&o);
	one_close(&o);
}

static void *poller(void *arg)
{
	struct pollfd *p = arg;

	sys(poll(p, 1, -1));
	return NULL;
}

static int polled(struct one *o)
{
	struct pollfd p = { .fd = o->ch, .events = POLLIN };
	struct thread t;

	thread_start(&t, poller, &p);
	thread_join(&t);
	return p.revents;
}

static void poll_wakes(void **state)
{
	struct thread t;
	struct one o;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		struct pollfd p = { .events = POLLIN };

		one_open(&o, 10, 8, 0);
		must(polled(&o) == POLLIN);
		must(rx_some(&o.rx.chan[0]) == 64);
		p.fd = o.ch;
		thread_start(&t, poller, &p);
		until_blocked_in(getpid(), t.tid, SYS_OF_POLL);
		if (i == 0)
			one_send(&o);
		else if (i == 1)
			session_end(&o.s);
		else
			works(mzp_cancel(o.s.fd));
		thread_join(&t);
		if (i == 0) {
			must(p.revents == POLLIN);
			/* the rest is there, and can be read, when the session is closed */
			session_wait(&o.s, 0);
			session_end(&o.s);
			must(polled(&o) == POLLIN);
			while (o.rx.chan[0].syncs < 1)
				must(rx_some(&o.rx.chan[0]) > 0);
			must(polled(&o) == (POLLIN | POLLHUP));
		} else if (i == 1) {
			/* the first message is behind us */
			must(p.revents == (POLLIN | POLLHUP));
		} else {
			must(p.revents == (POLLERR | POLLHUP));
			close(o.s.fd);
			must(polled(&o) == (POLLERR | POLLHUP));
		}
		close(o.ch);
		rx_free(&o.rx);
		mem_free(&o.m);
	}
}

#define TAG 0xc0deull
#define WORDS (PAGE / 8)

struct shared {
	int ch;
	uint64_t *seen;		/* a bit for each word of memory */
	uint64_t pages;
	unsigned int way;
	uint64_t seed;
	/* results */
	uint64_t bytes, words, magics;
};

/* At most what the socket has room for, so that it does not wait in the middle. */
static ssize_t share_by_pump(const struct shared *s, int sock[2], uint64_t *buf, size_t n)
{
	struct mzp_pump pump = pump_to(sock[0]);

	pump.max = min(n, 32768ul);
	works(mzp_pump(s->ch, &pump));
	read_exactly(sock[1], buf, pump.bytes);
	return pump.bytes;
}

static ssize_t share_by_splice(const struct shared *s, int pipe[2], uint64_t *buf, size_t n)
{
	ssize_t got = sys(splice(s->ch, NULL, pipe[1], NULL, n, 0));

	read_exactly(pipe[0], buf, got);
	return got;
}

/* Reads along with others. */
static void *shares(void *arg)
{
	struct shared *s = arg;
	uint64_t *buf = malloc(BUF);
	int p[2], sock[2];

	must(buf);
	make_pipe(p, 32 * PAGE);
	unix_pair(sock);
	for (;;) {
		size_t n = (some_size(&s->seed) + 7) & -8ul;
		ssize_t got = s->way == 0 ? sys(read(s->ch, buf, n)) :
			      s->way == 1 ? share_by_splice(s, p, buf, n) :
					    share_by_pump(s, sock, buf, n);

		if (!got)
			break;
		s->bytes += got;
		must(got % 8 == 0, "a piece of %zd bytes ends within a word", got);
		for (ssize_t i = 0; i < got / 8; i++) {
			uint64_t at = buf[i] & ((1ull << 48) - 1);

			s->magics += buf[i] == 0x0100000044332211;
			if (buf[i] >> 48 != TAG)
				continue;
			must(at < s->pages * WORDS);
			must(!(__atomic_fetch_or(&s->seen[at / 64], 1ull << at % 64,
						 __ATOMIC_RELAXED) >> at % 64 & 1),
			     "word %ju twice", (uintmax_t)at);
			s->words++;
		}
	}
	close_pair(p);
	close_pair(sock);
	free(buf);
	return NULL;
}

/* Several threads at once: each byte goes to one of them. */
static void several_readers(void **state)
{
	enum { PAGES = 3000, READERS = 6 };
	struct mzp_setup setup = setup_for(1);
	uint64_t *seen = calloc(PAGES * WORDS / 64, 8), *ram, bytes = 0, words = 0, magics = 0;
	struct shared shared[READERS];
	struct thread t[READERS];
	struct session s;
	uint32_t id;

	(void)state;
	setup.packet_pages = 5;
	setup.ring_packets = 4;
	ram = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(seen && ram != MAP_FAILED);
	for (uint64_t i = 0; i < PAGES * WORDS; i++)
		ram[i] = TAG << 48 | i;
	session_open(&s, &setup);
	id = session_block(&s, "ram", ram, PAGES * PAGE);
	for (unsigned int i = 0; i < READERS; i++) {
		shared[i] = (struct shared){
			.ch = s.ch[0], .seen = seen, .pages = PAGES, .way = i % 3, .seed = i,
		};
		thread_start(&t[i], shares, &shared[i]);
	}
	session_wait(&s, session_send(&s, id, 0, PAGES, 0));
	session_wait(&s, session_sync(&s));
	session_end(&s);
	for (unsigned int i = 0; i < READERS; i++) {
		thread_join(&t[i]);
		bytes += shared[i].bytes;
		words += shared[i].words;
		magics += shared[i].magics;
	}
	must(words == PAGES * WORDS, "%ju words", (uintmax_t)words);
	/* a first message and so many packets */
	must(bytes == 64 + PAGES * PAGE + (magics - 1) * 1344, "%ju bytes, %ju packets",
	     (uintmax_t)bytes, (uintmax_t)magics - 1);
	must(magics >= 2 + PAGES / 5);
	close(s.ch[0]);
	munmap(ram, PAGES * PAGE);
	free(seen);
}

/* The buffer ends in the middle: what was delivered is gone, the rest is still there. */
static void faulting_buffer(void **state)
{
	uint8_t *two = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0), *end = two + 32 * PAGE;
	uint64_t random = 77;
	struct one o;

	(void)state;
	must(two != MAP_FAILED);
	/* there, so that nothing else is mapped there */
	sys(mprotect(end, 32 * PAGE, PROT_NONE));
	one_open(&o, 200, 2, 10);
	refuses(EFAULT, read(o.ch, (void *)-PAGE, 10));
	refuses(EFAULT, read(o.ch, two + 32 * PAGE, 10));
	one_send(&o);
	while (o.rx.chan[0].syncs < 1) {
		size_t room = rnd_below(&random, 32 * PAGE), n = room + 1 + some_size(&random);
		struct iovec iov[2] = { { end - room, room }, { end, n - room } };
		ssize_t got;

		if (rnd_below(&random, 4) == 0)
			room = 0;
		got = rnd_below(&random, 2) ? read(o.ch, end - room, n) : readv(o.ch, iov, 2);
		if (got < 0) {
			/* nothing but a fault, and then nothing is gone */
			must(errno == EFAULT);
			continue;
		}
		must(got > 0 && (size_t)got <= iov[0].iov_len);
		rx_feed(&o.rx.chan[0], end - iov[0].iov_len, got);
	}
	one_check(&o);
	one_close(&o);
	munmap(two, 64 * PAGE);
}

/* Everything that a channel cannot do, and that none of it takes any bytes away. */
static void refused(void **state)
{
	int file = sys(memfd_create("out", MFD_CLOEXEC)), sock[2], p[2];
	uint8_t buf[16];
	struct one o;
	loff_t at = 0;

	(void)state;
	make_pipe(p, MIB);
	sys(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock));
	one_open(&o, 30, 8, 0);
	one_send(&o);
	refuses(EINVAL, sendfile(sock[0], o.ch, NULL, 100));
	refuses(EINVAL, sendfile(file, o.ch, NULL, 100));
	refuses(ESPIPE, sendfile(sock[0], o.ch, &at, 100));
	must(copy_file_range(o.ch, NULL, file, NULL, 100, 0) == -1);
	refuses(ESPIPE, lseek(o.ch, 0, SEEK_CUR));
	refuses(ESPIPE, lseek(o.ch, 0, SEEK_SET));
	refuses(ESPIPE, lseek(o.ch, 0, SEEK_DATA));
	refuses(ESPIPE, pread(o.ch, buf, 10, 0));
	refuses(ESPIPE, preadv(o.ch, &(struct iovec){ buf, 10 }, 1, 0));
	must(splice(o.ch, &at, p[1], NULL, 10, 0) == -1);
	refuses(EBADF, write(o.ch, buf, 10));
	refuses(EBADF, splice(p[0], NULL, o.ch, NULL, 10, 0));
	refuses(EINVAL, splice(o.ch, NULL, file, NULL, 10, 0));
	must(pwrite(o.ch, buf, 10, 0) == -1);
	refuses(ENODEV, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, o.ch, 0));
	refuses(ENODEV, mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, o.ch, 0));
	refuses(EINVAL, ftruncate(o.ch, 0));
	while (o.rx.chan[0].syncs < 1)
		must(rx_some(&o.rx.chan[0]) > 0);
	one_check(&o);
	one_close(&o);
	close(file);
	close(p[0]);
	close(p[1]);
	close(sock[0]);
	close(sock[1]);
}

static void reads_elsewhere(void *arg)
{
	struct one *o = arg;

	sys(close(o->s.fd));
	while (o->rx.chan[0].syncs < 1)
		must(rx_some(&o->rx.chan[0]) > 0);
	must(rx_between_packets(&o->rx.chan[0]));
	mem_check(&o->m);
}

/* A process that is not the session's, and that takes over in mid-packet. */
static void other_process(void **state)
{
	uint8_t buf[5000];
	struct one o;

	(void)state;
	one_open(&o, 700, 2, 16);
	one_send(&o);
	read_exactly(o.ch, buf, sizeof(buf));
	rx_feed(&o.rx.chan[0], buf, sizeof(buf));
	reap(child(reads_elsewhere, &o), 0);
	session_wait(&o.s, 0);
	one_close(&o);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(single_bytes),
		cmocka_unit_test(mixed),
		cmocka_unit_test(mixed_nonblocking),
		cmocka_unit_test(mixed_with_signals),
		cmocka_unit_test(nothing_there),
		cmocka_unit_test(blocked),
		cmocka_unit_test(blocked_restart),
		cmocka_unit_test(poll_wakes),
		cmocka_unit_test(several_readers),
		cmocka_unit_test(faulting_buffer),
		cmocka_unit_test(refused),
		cmocka_unit_test(other_process),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

// SPDX-License-Identifier: GPL-2.0-only
#include "one.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>

void one_open(struct one *o, uint64_t pages, unsigned int ring, unsigned int packet_pages)
{
	struct mzp_setup setup = setup_for(1);

	setup.ring_packets = ring;
	setup.packet_pages = packet_pages;
	one_open_as(o, pages, &setup);
}

void one_open_as(struct one *o, uint64_t pages, const struct mzp_setup *setup)
{
	session_open(&o->s, setup);
	o->ch = o->s.ch[0];
	rx_init(&o->rx, &o->s, RX_READ);
	mem_init(&o->m, "ram", pages);
	mem_add(&o->m, &o->s, &o->rx);
	for (uint64_t i = 0; i < pages; i++)
		mem_set(&o->m, i, i % 11 == 3 ? ZERO : i % 13 == 5 ? ONE : DATA);
}

void one_send(struct one *o)
{
	o->sent = mem_send(&o->m, &o->s, 0, o->m.pages, NULL, MZP_SEND_ALL, 0);
	session_sync(&o->s);
}

uint8_t *one_stream(const struct one *o, size_t *length)
{
	/* a header a page at most, a SYNC, and the first message */
	size_t room = o->m.pages * (PAGE + 1344) + 1344 + 64 + 1, n = 0;
	uint8_t *stream = malloc(room);
	struct mzp_wait w = { 0 };
	struct session s;
	uint64_t sync;
	ssize_t got;

	must(stream);
	session_open(&s, &o->s.setup);
	sys(fcntl(s.ch[0], F_SETFL, O_NONBLOCK));
	session_send(&s, session_block(&s, o->m.idstr, o->m.base, o->m.pages * PAGE), 0,
		     o->m.pages, 0);
	sync = session_sync(&s);
	while (mzp_wait(s.fd, sync, 0, &w)) {
		struct pollfd p = { .fd = s.ch[0], .events = POLLIN };

		sys(poll(&p, 1, 1));
		got = read(s.ch[0], stream + n, room - n);
		must(got > 0 || errno == EAGAIN);
		n += max(got, 0);
	}
	session_wait(&s, 0);
	session_end(&s);
	while ((got = sys(read(s.ch[0], stream + n, room - n))))
		n += got;
	must(n < room);
	sys(close(s.ch[0]));
	*length = n;
	return stream;
}

void one_check(struct one *o)
{
	must(rx_between_packets(&o->rx.chan[0]));
	mem_check_job(&o->s, &o->sent);
	mem_check(&o->m);
	rx_next_round(&o->rx);
}

void one_close(struct one *o)
{
	struct mzp_wait w = { 0 };
	char c;

	/* a SYNC that was read is perhaps not done yet, and would be cut off */
	works(mzp_wait(o->s.fd, 0, -1, &w));
	session_end(&o->s);
	must(sys(read(o->ch, &c, 1)) == 0);
	sys(close(o->ch));
	rx_free(&o->rx);
	mem_free(&o->m);
}

int make_pipe(int p[2], int size)
{
	sys(pipe2(p, O_CLOEXEC));
	return sys(fcntl(p[1], F_SETPIPE_SZ, size));
}

void *reader(void *arg)
{
	struct reader *r = arg;

	errno = 0;
	r->got = r->to < 0 ? read(r->ch, r->buf, r->n) :
			     splice(r->ch, NULL, r->to, NULL, r->n, r->flags);
	r->err = errno;
	return NULL;
}

long reader_call(const struct reader *r)
{
	return r->to < 0 ? SYS_read : SYS_splice;
}

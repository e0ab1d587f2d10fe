// SPDX-License-Identifier: GPL-2.0-only
/*
 * PUMP to a connection that the kernel encrypts: what comes out at its end is the
 * channel's bytes, and nothing of them can be seen on the way there.
 *
 * What the sender's kernel makes of them is looked at as it arrives, and is passed on
 * through a second connection to the receiver, whose kernel decrypts it.
 */
#include "one.h"
#include "sock.h"

#include <linux/tls.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

/* What a page is full of, and no cipher makes by chance. */
#define PATTERN "This must not be seen."

/* From PUMP by [0] to those who look on, and from there to the receiver. */
struct wire {
	int sealed[2], opened[2];
	struct thread thread;
	/* what was seen */
	uint64_t bytes, records;
	uint32_t left;		/* of the current record */
	uint8_t head[5];
	unsigned int have;	/* bytes of its head */
};

/* Have the kernel encrypt what is sent, or decrypt what is received. */
static void tls(int sock, int direction)
{
	struct tls12_crypto_info_aes_gcm_128 info = {
		.info = { TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128 },
		.iv = "initials", .key = "0123456789abcde", .salt = "key",
	};

	sys(setsockopt(sock, SOL_TCP, TCP_ULP, "tls", sizeof("tls")));
	sys(setsockopt(sock, SOL_TLS, direction, &info, sizeof(info)));
}

/* Each record is one of data, as TLS 1.3 disguises it, and not longer than it may be. */
static void see_records(struct wire *w, const uint8_t *at, size_t n)
{
	while (n) {
		size_t part;

		if (!w->left) {
			w->head[w->have++] = *at++;
			n--;
			if (w->have < sizeof(w->head))
				continue;
			must(w->head[0] == 23 && w->head[1] == 3 && w->head[2] == 3);
			w->left = w->head[3] << 8 | w->head[4];
			must(w->left > 17 && w->left <= 16384 + 256, "%u bytes", w->left);
			w->have = 0;
			w->records++;
			continue;
		}
		part = min(n, (size_t)w->left);
		w->left -= part;
		at += part;
		n -= part;
	}
}

static void *looks_on(void *arg)
{
	enum { KEEP = sizeof(PATTERN) - 2 };
	struct wire *w = arg;
	static uint8_t buf[KEEP + 100000];
	uint64_t random = 3;
	ssize_t n;

	while ((n = sys(recv(w->sealed[1], buf + KEEP, 1 + rnd_below(&random, 100000), 0)))) {
		see_records(w, buf + KEEP, n);
		/* with the end of what came before */
		must(!memmem(buf, KEEP + n, PATTERN, KEEP + 1), "it is legible");
		write_exactly(w->opened[0], buf + KEEP, n);
		memmove(buf, buf + n, KEEP);
		w->bytes += n;
		if (!rnd_below(&random, 20))
			usleep(1000);
	}
	must(!w->left && !w->have, "the last record is not complete");
	sys(shutdown(w->opened[0], SHUT_WR));
	return NULL;
}

static void need_tls(void)
{
	/* where it is built in, there is no such module */
	if (system("modprobe tls 2>/dev/null") && access("/proc/net/tls_stat", F_OK))
		skip_since("the kernel has no TLS");
}

static void wire_open(struct wire *w, int sndbuf, int rcvbuf)
{
	need_tls();
	memset(w, 0, sizeof(*w));
	tcp_pair(w->sealed, sndbuf, rcvbuf);
	tcp_pair(w->opened, 0, 0);
	tls(w->sealed[0], TLS_TX);
	tls(w->opened[1], TLS_RX);
	thread_start(&w->thread, looks_on, w);
}

static void wire_close(struct wire *w)
{
	close_pair(w->sealed);
	close_pair(w->opened);
}

static void write_pattern(uint8_t *page)
{
	for (size_t at = 0; at + sizeof(PATTERN) <= PAGE; at += sizeof(PATTERN))
		memcpy(page + at, PATTERN, sizeof(PATTERN));
}

/* A session with a block that can be read by whoever sees it. */
struct legible {
	struct session s;
	struct rx rx;
	uint8_t *ram;
	uint64_t pages;
	uint32_t block;
};

static void legible_open(struct legible *l, uint64_t pages)
{
	struct mzp_setup setup = setup_for(1);

	setup.ring_packets = 4;
	setup.packet_pages = 32;
	session_open(&l->s, &setup);
	rx_init(&l->rx, &l->s, RX_READ);
	l->pages = pages;
	l->ram = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	must(l->ram != MAP_FAILED);
	for (uint64_t page = 0; page < pages; page++) {
		write_pattern(l->ram + page * PAGE);
		/* and each is another */
		memcpy(l->ram + page * PAGE + 100, &page, sizeof(page));
	}
	rx_add_block(&l->rx, "legible", pages, l->ram);
	l->block = session_block(&l->s, "legible", l->ram, pages * PAGE);
}

/* A round, of which each page must come. */
static void legible_round(struct legible *l)
{
	uint64_t job = session_send(&l->s, l->block, 0, l->pages, 0);

	session_sync(&l->s);
	rx_round(&l->rx);
	must(session_wait(&l->s, job).normal == l->pages);
	must(l->rx.block[0].normal == l->pages);
	rx_next_round(&l->rx);
}

static void legible_close(struct legible *l)
{
	sys(close(l->s.ch[0]));
	rx_free(&l->rx);
	munmap(l->ram, l->pages * PAGE);
}

static void encrypted(int sndbuf, int rcvbuf, uint64_t pages)
{
	struct legible l;
	struct wire w;
	struct pump p;

	wire_open(&w, sndbuf, rcvbuf);
	legible_open(&l, pages);
	l.rx.chan[0].fd = w.opened[1];
	pump_start(&p, l.s.ch[0], w.sealed[0]);
	/* each comes to its last byte without anything behind it */
	for (unsigned int round = 0; round < 3; round++)
		legible_round(&l);
	session_wait(&l.s, 0);
	session_end(&l.s);
	works(pump_end(&p));
	must(p.arg.stop == MZP_PUMP_END);
	must(p.arg.bytes == 64 + 3 * ((pages + 31) / 32 + 1) * 1344 + 3 * pages * PAGE);
	sys(shutdown(w.sealed[0], SHUT_WR));
	thread_join(&w.thread);
	must(w.bytes == p.arg.bytes + w.records * (5 + 1 + 16), "%ju bytes, %ju records, %ju sent",
	     (uintmax_t)w.bytes, (uintmax_t)w.records, (uintmax_t)p.arg.bytes);
	must(sys(read(w.opened[1], &(char){ 0 }, 1)) == 0);
	legible_close(&l);
	wire_close(&w);
}

static void much_room(void **state)
{
	(void)state;
	encrypted(0, 32 * 1024, 400);
}

/* The socket takes a part of a packet at a time. */
static void little_room(void **state)
{
	(void)state;
	encrypted(32 * 1024, 32 * 1024, 200);
}

/*
 * The socket becomes full at any place of a record, and nothing is under way then that TCP
 * would hear of.
 */
static void full_anywhere(void **state)
{
	(void)state;
	for (int sndbuf = 16 * 1024; sndbuf < 160 * 1024; sndbuf += 3 * 1024)
		encrypted(sndbuf, 0, 100);
}

/* In pieces, some of them without waiting, with other ways to send in between. */
static void in_pieces(void **state)
{
	static uint8_t buf[4 * MIB];
	uint64_t random = 8, sent = 0, got = 0;
	struct mzp_pump pump;
	struct legible l;
	struct wire w;

	(void)state;
	wire_open(&w, 32 * 1024, 32 * 1024);
	legible_open(&l, 300);
	session_send(&l.s, l.block, 0, l.pages, 0);
	session_sync(&l.s);
	while (l.rx.chan[0].syncs < 1) {
		struct rx_chan *c = &l.rx.chan[0];
		uint64_t n = 1 + rnd_below(&random, 60000);
		int err;

		switch (rnd_below(&random, 3)) {
		case 0:
			n = sys(read(l.s.ch[0], buf, min(n, 20000ul)));
			write_exactly(w.sealed[0], buf, n);
			sent += n;
			break;
		case 1:
			pump = pump_to(w.sealed[0]);
			pump.flags = MZP_PUMP_NONBLOCK;
			pump.max = n;
			err = mzp_pump(l.s.ch[0], &pump);
			must(!err || err == EAGAIN, "%s", kit_errno(err));
			sent += pump.bytes;
			break;
		default:
			pump = pump_to(w.sealed[0]);
			pump.max = sent + min(n, rx_want(c));
			pump.bytes = sent;
			works(mzp_pump(l.s.ch[0], &pump));
			sent = pump.bytes;
		}
		/* all of it comes, whatever was said of more */
		while (got < sent) {
			ssize_t part = sys(recv(w.opened[1], buf, sizeof(buf), 0));

			must(part > 0);
			rx_feed(c, buf, part);
			got += part;
		}
		must(got == sent);
	}
	must(l.rx.block[0].normal == l.pages);
	session_wait(&l.s, 0);
	session_end(&l.s);
	sys(shutdown(w.sealed[0], SHUT_WR));
	thread_join(&w.thread);
	legible_close(&l);
	wire_close(&w);
}

/* The destination goes away, with records that were not sent yet. */
static void peer_resets(void **state)
{
	struct legible l;
	struct wire w;
	struct pump p;

	(void)state;
	need_tls();
	tcp_pair(w.sealed, 32 * 1024, 32 * 1024);
	tls(w.sealed[0], TLS_TX);
	legible_open(&l, 300);
	session_send(&l.s, l.block, 0, l.pages, 0);
	pump_start(&p, l.s.ch[0], w.sealed[0]);
	pump_is_stuck(&p);
	reset(&w.sealed[1]);
	pump_end(&p);
	must(p.err == ECONNRESET || p.err == EPIPE, "%s", kit_errno(p.err));
	must(p.arg.stop == MZP_PUMP_SOCKET);
	works(mzp_cancel(l.s.fd));
	sys(close(l.s.fd));
	legible_close(&l);
	close_pair(w.sealed);
	until(!module_refs());
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(much_room),
		cmocka_unit_test(little_room),
		cmocka_unit_test(full_anywhere),
		cmocka_unit_test(in_pieces),
		cmocka_unit_test(peer_resets),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A slow receiver and a small ring: many packets sit in a pipe or in a socket
 * by reference while the workers go on. If anything of them were written again
 * before it was delivered, a header would not be right any more.
 */
#include "mem.h"
#include "sock.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* How a VMM passes on what a channel has. */
struct relay {
	int ch, sock;
	uint64_t bytes;
	struct thread thread;
};

/* From the channel to the socket through a pipe of its own. */
static void *splice_on(void *arg)
{
	struct relay *relay = arg;
	int p[2];

	sys(pipe2(p, O_CLOEXEC));
	sys(fcntl(p[1], F_SETPIPE_SZ, MIB));
	for (;;) {
		ssize_t n = sys(splice(relay->ch, NULL, p[1], NULL, MIB, SPLICE_F_MOVE));

		if (!n)
			break;
		relay->bytes += n;
		while (n)
			n -= sys(splice(p[0], NULL, relay->sock, NULL, n, SPLICE_F_MOVE));
	}
	sys(shutdown(relay->sock, SHUT_WR));
	close(p[0]);
	close(p[1]);
	return NULL;
}

/* Directly. */
static void *pump_on(void *arg)
{
	struct relay *relay = arg;
	struct mzp_pump pump = pump_to(relay->sock);

	works(mzp_pump(relay->ch, &pump));
	must(pump.stop == MZP_PUMP_END);
	relay->bytes = pump.bytes;
	sys(shutdown(relay->sock, SHUT_WR));
	return NULL;
}

struct slow {
	unsigned int channels, ring, packet_pages;
	uint64_t pages;
	enum kind kind;
	const char *name;
	void *(*relay)(void *arg);
};

/* Odd sizes, slowly at first, so that the queues stay full for long. */
static size_t dribble(uint64_t *random, unsigned int *count)
{
	if (++*count < 300) {
		usleep(1000);
		return 1 + rnd_below(random, 700);
	}
	return 1 + rnd_below(random, *count < 1000 ? 9000 : 300000);
}

static void tcp(void **state)
{
	const struct slow *slow = *state;
	struct mzp_setup setup = setup_for(slow->channels);
	uint64_t random = slow->packet_pages, bytes[2] = { 0 };
	uint8_t *buf = malloc(MIB);
	unsigned int count = 0, left = slow->channels;
	struct relay relay[2];
	int sock[2];
	struct session s;
	struct sent sent;
	struct mem m;
	struct rx rx;

	must(buf);
	setup.ring_packets = slow->ring;
	setup.packet_pages = slow->packet_pages;
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	mem_init(&m, "ram", slow->pages);
	mem_add(&m, &s, &rx);
	if (slow->kind != ABSENT)
		mem_set_range(&m, 0, m.pages, slow->kind);
	for (unsigned int i = 0; i < slow->channels; i++) {
		int pair[2];

		/* much room at the sender, and little at the receiver */
		tcp_pair(pair, 16 * MIB, 4096);
		relay[i] = (struct relay){ .ch = s.ch[i], .sock = pair[0] };
		sock[i] = pair[1];
		thread_start(&relay[i].thread, slow->relay, &relay[i]);
	}
	sent = mem_send(&m, &s, 0, m.pages, NULL, MZP_SEND_ALL, 0);
	session_sync(&s);
	/* it all backs up: nothing goes until we read */
	sleep(1);
	for (unsigned int i = 0; i < slow->channels; i++)
		until_blocked_in(getpid(), relay[i].thread.tid,
				 slow->relay == pump_on ? SYS_ioctl : SYS_splice);

	while (left) {
		for (unsigned int i = 0; i < slow->channels; i++) {
			struct rx_chan *c = &rx.chan[i];
			ssize_t n;

			if (c->syncs)
				continue;
			n = sys(recv(sock[i], buf, dribble(&random, &count), 0));
			must(n > 0, "the connection ends before the SYNC");
			bytes[i] += n;
			rx_feed(c, buf, n);
			left -= c->syncs;
		}
	}
	mem_check_job(&s, &sent);
	mem_check(&m);
	session_end(&s);
	for (unsigned int i = 0; i < slow->channels; i++) {
		must(rx_between_packets(&rx.chan[i]));
		must(sys(recv(sock[i], buf, 1, 0)) == 0);
		thread_join(&relay[i].thread);
		must(bytes[i] == relay[i].bytes);
		close(s.ch[i]);
		close(sock[i]);
		close(relay[i].sock);
	}
	if (slow->packet_pages == 1)
		must(rx.page_packets == slow->pages);
	rx_free(&rx);
	mem_free(&m);
	free(buf);
}

/* The same with nothing but a pipe, of which a slot is a header or a piece of memory. */
static void through_pipe(void **state)
{
	const struct slow *slow = *state;
	struct mzp_setup setup = setup_for(1);
	uint64_t random = slow->packet_pages;
	uint8_t *buf = malloc(MIB);
	unsigned int count = 0;
	struct session s;
	struct sent sent;
	struct mem m;
	struct rx rx;
	struct mzp_wait w = { 0 };
	size_t in_pipe = 0;
	unsigned int filled = 0;
	bool synced = false;
	uint64_t sync;
	int p[2];

	must(buf);
	sys(pipe2(p, O_CLOEXEC));
	sys(fcntl(p[1], F_SETPIPE_SZ, 4 * MIB));
	setup.ring_packets = slow->ring;
	setup.packet_pages = slow->packet_pages;
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	mem_init(&m, "ram", slow->pages);
	mem_add(&m, &s, &rx);
	if (slow->kind != ABSENT)
		mem_set_range(&m, 0, m.pages, slow->kind);
	sent = mem_send(&m, &s, 0, m.pages, NULL, MZP_SEND_ALL, 0);
	sync = session_sync(&s);
	while (!rx.chan[0].syncs) {
		struct pollfd data = { .fd = s.ch[0], .events = POLLIN };
		ssize_t n;

		/* fill it up to the brim */
		synced = synced || !mzp_wait(s.fd, sync, 0, &w);
		n = splice(s.ch[0], NULL, p[1], NULL, 64 * MIB, SPLICE_F_NONBLOCK);
		if (n > 0) {
			in_pipe += n;
			continue;
		}
		must(n == -1 && errno == EAGAIN);
		if (poll_events(p[1], POLLOUT) && !synced) {
			sys(poll(&data, 1, 10));
			continue;
		}
		/* then take out about half of it before there is more */
		filled++;
		for (size_t low = synced ? 0 : in_pipe / 2; in_pipe > low; in_pipe -= n) {
			n = sys(read(p[0], buf, min(in_pipe, dribble(&random, &count))));
			must(n > 0);
			rx_feed(&rx.chan[0], buf, n);
		}
	}
	must(filled > 2, "it was never full");
	must(!in_pipe);
	mem_check_job(&s, &sent);
	mem_check(&m);
	session_wait(&s, 0);
	session_end(&s);
	rx_end(&rx);
	close(s.ch[0]);
	close(p[0]);
	close(p[1]);
	rx_free(&rx);
	mem_free(&m);
	free(buf);
}

/* 64 MiB of data, or as many headers as make up for it. */
static struct slow tcp_ways[] = {
	{ 1, 1, 128, 16384, DATA, "tcp_large_packets", splice_on },
	{ 2, 2, 3, 16384, DATA, "tcp_small_packets", splice_on },
	{ 1, 2, 1, 16384, ABSENT, "tcp_headers_only", splice_on },
	{ 1, 2, 128, 16384, DATA, "pump_large_packets", pump_on },
	{ 2, 2, 3, 16384, DATA, "pump_small_packets", pump_on },
	{ 1, 2, 1, 16384, ABSENT, "pump_headers_only", pump_on },
};
static struct slow pipe_ways[] = {
	{ 1, 2, 128, 16384, DATA, "pipe_large_packets", NULL },
	{ 1, 1, 1, 2048, DATA, "pipe_small_packets", NULL },
	{ 1, 1, 1, 8192, ABSENT, "pipe_headers_only", NULL },
};

int main(int argc, char **argv)
{
	struct CMUnitTest tests[ARRAY_SIZE(tcp_ways) + ARRAY_SIZE(pipe_ways)], *t = tests;

	for (unsigned int i = 0; i < ARRAY_SIZE(tcp_ways); i++)
		*t++ = (struct CMUnitTest){
			.name = tcp_ways[i].name, .test_func = tcp, .initial_state = &tcp_ways[i],
		};
	for (unsigned int i = 0; i < ARRAY_SIZE(pipe_ways); i++)
		*t++ = (struct CMUnitTest){
			.name = pipe_ways[i].name, .test_func = through_pipe,
			.initial_state = &pipe_ways[i],
		};
	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

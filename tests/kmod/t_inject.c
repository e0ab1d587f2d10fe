// SPDX-License-Identifier: GPL-2.0-only
/*
 * INJECT: bytes of the caller's own in a channel's stream. A receiver that knows what was
 * injected finds it whole, between two packets, in order, and on the right side of
 * each SYNC.
 */
#include "leak.h"
#include "one.h"
#include "take.h"

#include <sys/mman.h>

#define HEADER sizeof(struct mzp_wire_packet)
#define GREETING sizeof(struct mzp_wire_init)
#define ANY UINT64_MAX
#define CHANNELS 3

/* What an INJECT may have. */
#define MOST (2 * MIB)

/* What a slot of a ring takes, in pages. */
#define SLOT (1 + MZP_WIRE_PAGES + 2)

/* --- a receiver of one channel that knows what to expect */

struct injected {
	uint32_t tag, length;
	unsigned int syncs;	/* that were called before */
};

struct chan {
	struct rx rx;		/* of which it uses one channel */
	struct rx_chan *c;
	struct taker taker;
	struct injected want[1000];
	unsigned int wanted;	/* is written by who injects */
	unsigned int got;
	uint32_t at;		/* bytes of the next one that have come */
	uint64_t pages;
	uint8_t *buf;
};

/* A packet begins with a magic, whose first byte none of these has. */
static void fill(uint8_t *buf, const struct injected *i)
{
	uint64_t random = i->tag;

	for (uint32_t n = 0; n < i->length; n++)
		buf[n] = n % 8 ? buf[n - 1] * 5u + 1 : rnd(&random) & 0xff;
	if (buf[0] == (MZP_WIRE_MAGIC >> 24))
		buf[0]++;
}

static bool in_packet(const struct chan *ch, uint8_t next)
{
	if (ch->at)
		return false;
	return !rx_between_packets(ch->c) || next == (MZP_WIRE_MAGIC >> 24);
}

static size_t feed_bytes(struct chan *ch, const uint8_t *data, size_t n)
{
	const struct injected *i = &ch->want[ch->got];

	if (!ch->at) {
		must(ch->got < __atomic_load_n(&ch->wanted, __ATOMIC_ACQUIRE),
		     "bytes that nobody injected");
		must(ch->c->syncs == i->syncs, "%u SYNCs before it, not %u", ch->c->syncs,
		     i->syncs);
		fill(ch->buf, i);
	}
	n = min(n, i->length - ch->at);
	must(!memcmp(ch->buf + ch->at, data, n), "number %u, %u bytes, behind %u", ch->got,
	     i->length, ch->at);
	ch->at += n;
	if (ch->at == i->length) {
		ch->at = 0;
		ch->got++;
	}
	return n;
}

static void feed(void *arg, const uint8_t *data, size_t n)
{
	struct chan *ch = arg;

	while (n) {
		size_t part = min(n, rx_want(ch->c));

		if (in_packet(ch, *data))
			rx_feed(ch->c, data, part);
		else
			part = feed_bytes(ch, data, n);
		data += part;
		n -= part;
	}
}

/* This channel's part of a round is over. */
static void packet(struct rx_chan *c)
{
	struct chan *ch = (struct chan *)c->rx;

	if (!(be32toh(c->message.packet.flags) & MZP_WIRE_SYNC))
		return;
	ch->pages += c->rx->block[0].normal + c->rx->block[0].zero;
	rx_next_round(c->rx);
}

/* --- who injects */

struct flow {
	struct session s;
	struct mem m;
	struct chan ch[CHANNELS];
	uint64_t random, next, pages;
	unsigned int syncs;
	uint32_t tag;
	uint8_t *buf;
};

static void flow_open(struct flow *f, const struct mzp_setup *setup)
{
	session_open(&f->s, setup);
	f->buf = malloc(MOST);
	must(f->buf);
	mem_init(&f->m, "ram", 500);
	mem_add(&f->m, &f->s, NULL);
	for (uint64_t i = 0; i < f->m.pages; i++)
		mem_set(&f->m, i, i % 7 == 3 ? ZERO : DATA);
	for (unsigned int i = 0; i < CHANNELS; i++) {
		struct chan *ch = &f->ch[i];

		rx_init(&ch->rx, &f->s, RX_READ);
		rx_add_block(&ch->rx, f->m.idstr, f->m.pages, f->m.base);
		ch->rx.packet = packet;
		ch->c = &ch->rx.chan[i];
		ch->buf = malloc(MOST);
		must(ch->buf);
		taker_start(&ch->taker, f->s.ch[i], WAYS, feed, ch);
	}
}

static uint32_t any_length(struct flow *f)
{
	static const uint32_t edges[] = {
		1, 2, PAGE - 1, PAGE, PAGE + 1, SLOT * PAGE - 1, SLOT * PAGE, SLOT * PAGE + 1,
		2 * PAGE, MIB, MOST - 1, MOST,
	};

	switch (rnd_below(&f->random, 4)) {
	case 0:
		return edges[rnd_below(&f->random, ARRAY_SIZE(edges))];
	case 1:
		return 1 + rnd_below(&f->random, MOST);
	default:
		return 1 + rnd_below(&f->random, 3 * PAGE);
	}
}

static void flow_inject(struct flow *f)
{
	unsigned int id = rnd_below(&f->random, CHANNELS);
	struct chan *ch = &f->ch[id];
	struct injected *i = &ch->want[ch->wanted];

	must(ch->wanted < ARRAY_SIZE(ch->want));
	*i = (struct injected){ .tag = ++f->tag, .length = any_length(f), .syncs = f->syncs };
	fill(f->buf, i);
	__atomic_store_n(&ch->wanted, ch->wanted + 1, __ATOMIC_RELEASE);
	works(mzp_inject(f->s.fd, id, f->buf, i->length));
	/* it was copied, or was it? */
	memset(f->buf, 0x55, i->length);
}

static void flow_sync(struct flow *f)
{
	works(mzp_sync_blind(f->s.fd));
	f->syncs++;
	f->next = 0;
}

static void flow_send(struct flow *f)
{
	uint64_t count = 1 + rnd_below(&f->random, 60);

	if (f->next + count > f->m.pages)
		flow_sync(f);
	works(mzp_send_blind(f->s.fd, f->m.block_id, f->next, count));
	f->next += count;
	f->pages += count;
}

static void flow_step(struct flow *f)
{
	uint64_t dice = rnd_below(&f->random, 20);

	if (dice < 8)
		flow_inject(f);
	else if (dice < 16)
		flow_send(f);
	else if (dice < 18)
		flow_sync(f);
	else
		usleep(rnd_below(&f->random, 2000));
}

static void flow_end(struct flow *f)
{
	struct mzp_wait w = { 0 };
	uint64_t pages = 0;

	flow_sync(f);
	works(mzp_wait(f->s.fd, 0, -1, &w));
	must(!w.error && !mzp_status(f->s.fd).jobs);
	works(mzp_end(f->s.fd));
	for (unsigned int i = 0; i < CHANNELS; i++) {
		struct chan *ch = &f->ch[i];

		gives(0, taker_end(&ch->taker));
		must(ch->got == ch->wanted && !ch->at, "%u of %u", ch->got, ch->wanted);
		must(rx_between_packets(ch->c) && ch->c->syncs == f->syncs);
		pages += ch->pages;
		rx_free(&ch->rx);
		free(ch->buf);
	}
	must(pages == f->pages, "%ju pages, not %ju", (uintmax_t)pages, (uintmax_t)f->pages);
	must(!mzp_status(f->s.fd).pending_bytes);
	close(f->s.fd);
	mem_free(&f->m);
	free(f->buf);
}

static void among_packets(void **state)
{
	static const struct {
		unsigned int ring;
		enum mzp_method method;
		uint32_t flags;
	} cases[] = {
		{ 1, MZP_METHOD_NONE, 0 },
		{ 2, MZP_METHOD_NONE, 0 },
		{ 8, MZP_METHOD_NONE, 0 },
		{ 1, MZP_METHOD_NONE, MZP_SETUP_NO_WORKERS },
		{ 2, MZP_METHOD_ZSTD, 0 },
	};
	static struct flow f;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mzp_setup setup = setup_for(CHANNELS);

		memset(&f, 0, sizeof(f));
		f.random = i;
		setup.ring_packets = cases[i].ring;
		setup.method = cases[i].method;
		setup.flags = cases[i].flags;
		setup.packet_pages = 16;
		flow_open(&f, &setup);
		for (unsigned int n = 0; n < 300; n++)
			flow_step(&f);
		flow_end(&f);
	}
}

/* --- what it counts as */

static void pending(void **state)
{
	static uint8_t buf[MIB], got[MIB];
	struct mzp_wait_pending p;
	struct mzp_status before, after;
	struct mzp_wait w = { 0 };
	struct one o;
	uint64_t left;

	(void)state;
	one_open(&o, 50, 2, 8);
	read_exactly(o.ch, got, GREETING);
	session_send(&o.s, o.m.block_id, 0, 50, 0);
	/* the ring is full, so it cannot get anywhere yet */
	until(fd_number(o.ch, "mzp-ring:") == 2);
	until(mzp_status(o.s.fd).pending_pages == 50 - 2 * 8);
	before = mzp_status(o.s.fd);
	memset(buf, 0xa5, MIB);
	works(mzp_inject(o.s.fd, 0, buf, 100001));
	after = mzp_status(o.s.fd);
	must(after.pending_bytes == before.pending_bytes + 100001);
	must(after.bytes_made == before.bytes_made && after.ring_pages == before.ring_pages);
	must(after.jobs == before.jobs + 1 && after.submitted == before.submitted);
	must(after.pending_pages == before.pending_pages);
	works(mzp_inject(o.s.fd, 0, buf, 1));
	must(mzp_status(o.s.fd).pending_bytes == before.pending_bytes + 100002);
	gives(ETIMEDOUT, mzp_wait(o.s.fd, 0, 0, &w));

	/* each byte until it is taken */
	left = before.pending_bytes;
	read_exactly(o.ch, got, left);
	gives(ETIMEDOUT, mzp_wait_pending(o.s.fd, ANY, 100001, 0, &p));
	for (unsigned int n = 0; n < 100002; n += 33334) {
		read_exactly(o.ch, got, 33334);
		must(!memcmp(got, buf, 33334), "behind %u", n);
	}
	before = mzp_status(o.s.fd);
	must(before.bytes_taken == GREETING + left + 100002, "%ju",
	     (uintmax_t)before.bytes_taken);
	must(before.pending_bytes <= 2 * (HEADER + 8 * PAGE));

	/* END lets it out */
	works(mzp_inject(o.s.fd, 0, buf, MIB));
	works(mzp_end(o.s.fd));
	must(mzp_status(o.s.fd).state == MZP_STATE_ENDING);
	for (left = 0; ; left = mzp_status(o.s.fd).bytes_taken) {
		ssize_t n = sys(read(o.ch, got, MIB));

		if (!n)
			break;
	}
	after = mzp_status(o.s.fd);
	must(after.state == MZP_STATE_ENDED && !after.pending_bytes && after.bytes_taken == left);
	must(after.normal + after.zero == 50);
	session_close(&o.s);
	rx_free(&o.rx);
	mem_free(&o.m);
}

/* Without a page or a SYNC before or behind it, and on a channel that is waited at. */
static void alone(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < WAYS; i++) {
		struct taker t;
		struct one o;

		one_open(&o, 1, 1, 8);
		taker_start(&t, o.ch, i, NULL, NULL);
		taker_sleeps(&t);
		for (uint64_t n = 1; n <= 5; n++) {
			works(mzp_inject(o.s.fd, 0, "hello", 5));
			until(__atomic_load_n(&t.bytes, __ATOMIC_ACQUIRE) == GREETING + 5 * n);
		}
		works(mzp_end(o.s.fd));
		gives(0, taker_end(&t));
		must(t.bytes == GREETING + 25);
		close(o.s.fd);
		rx_free(&o.rx);
		mem_free(&o.m);
	}
}

static void arguments(void **state)
{
	static uint8_t buf[MOST + 1];
	struct mzp_inject inject = {
		.size = sizeof(inject), .flags = 1, .length = 1, .data = (uintptr_t)buf,
	};
	struct mzp_setup setup = setup_for(3);
	uint8_t *edge = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mzp_status status;
	struct session s;
	char got;
	int fd;

	(void)state;
	must(edge != MAP_FAILED);
	sys(munmap(edge + 2 * PAGE, PAGE));
	fd = mzp_open();
	gives(ENXIO, mzp_inject(fd, 0, buf, 1));
	close(fd);
	session_open(&s, &setup);
	for (unsigned int i = 0; i < GREETING; i++)
		read_exactly(s.ch[2], &got, 1);
	gives(EINVAL, mzp(s.fd, MZP_IOC_INJECT, &inject));
	gives(EINVAL, mzp_inject(s.fd, 3, buf, 1));
	gives(EINVAL, mzp_inject(s.fd, UINT32_MAX, buf, 1));
	gives(EINVAL, mzp_inject(s.fd, 2, buf, 0));
	gives(EINVAL, mzp_inject(s.fd, 2, buf, MOST + 1));
	gives(EINVAL, mzp_inject(s.fd, 2, buf, UINT32_MAX));
	gives(EFAULT, mzp_inject(s.fd, 2, NULL, 1));
	gives(EFAULT, mzp_inject(s.fd, 2, (void *)-8ul, 4));
	gives(EFAULT, mzp_inject(s.fd, 2, edge, 2 * PAGE + 1));
	gives(EFAULT, mzp_inject(s.fd, 2, edge + 1, 2 * PAGE));
	status = mzp_status(s.fd);
	must(!status.jobs && status.pending_bytes == 2 * GREETING);
	must(!readable(s.ch[2]));
	edge[2 * PAGE - 1] = 'x';
	works(mzp_inject(s.fd, 2, edge + 2 * PAGE - 1, 1));
	read_exactly(s.ch[2], &got, 1);
	must(got == 'x' && !readable(s.ch[2]));
	works(mzp_cancel(s.fd));
	gives(ECANCELED, mzp_inject(s.fd, 0, buf, 1));
	session_close(&s);
	munmap(edge, 2 * PAGE);
}

/* --- nothing is left of what was under way */

static void cancel_one(struct frames *f, unsigned int number)
{
	static uint8_t buf[MIB];
	struct mzp_setup setup = setup_for(2);
	struct session s;
	struct mem m;

	setup.ring_packets = 1 << number % 3;
	setup.packet_pages = 8;
	session_open(&s, &setup);
	mem_init(&m, "ram", 40);
	mem_set_range(&m, 0, 40, DATA);
	mem_add(&m, &s, NULL);
	f->nr = 0;
	frames_watch(f, m.base, 40);
	for (unsigned int i = 0; i < 10; i++) {
		works(mzp_inject(s.fd, i % 2, buf, MIB - i));
		if (i % 3 == 0)
			works(mzp_send_blind(s.fd, m.block_id, i * 4, 4));
		if (i % 5 == 4)
			works(mzp_sync_blind(s.fd));
	}
	/* some of one is gone, more than a slot of it, or nothing at all */
	if (number % 4)
		read_exactly(s.ch[0], buf, number % 4 * 300000);
	memset(buf, 0, sizeof(buf));
	if (number % 5 == 0)
		works(mzp_cancel(s.fd));
	if (number % 5 == 1)
		works(mzp_end(s.fd));
	/* in any order */
	if (number % 2) {
		sys(close(s.ch[0]));
		s.ch[0] = -1;
	}
	session_close(&s);
	mem_free(&m);
	all_gone(f);
}

/* In all, more than the user's jobs may hold, and much of this machine's memory. */
static void under_way(void **state)
{
	struct frames *f = frames_new();
	long before, after;

	(void)state;
	for (unsigned int i = 0; i < 10; i++)
		cancel_one(f, i);
	before = file_number("/proc/meminfo", "MemAvailable:");
	for (unsigned int i = 0; i < 110; i++)
		cancel_one(f, i);
	after = file_number("/proc/meminfo", "MemAvailable:");
	must(after > before - 100 * 1024, "%ld KiB less than before", before - after);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(among_packets),
		cmocka_unit_test(pending),
		cmocka_unit_test(alone),
		cmocka_unit_test(arguments),
		cmocka_unit_test(under_way),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

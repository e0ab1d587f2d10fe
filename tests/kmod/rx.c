// SPDX-License-Identifier: GPL-2.0-only
#include "rx.h"

#include <endian.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

/* What QEMU's receiver has room for, whatever the packet's size. */
#define PAYLOAD_MAX (2 * MZP_WIRE_PAGES * PAGE)

static bool compressed(const struct rx *rx)
{
	return rx->setup.method != MZP_METHOD_NONE;
}

void rx_init(struct rx *rx, const struct session *s, enum rx_how how)
{
	*rx = (struct rx){ .setup = s->setup };
	rx->chan = calloc(s->setup.channels, sizeof(*rx->chan));
	must(rx->chan);
	for (unsigned int i = 0; i < s->setup.channels; i++) {
		struct rx_chan *c = &rx->chan[i];

		*c = (struct rx_chan){ .rx = rx, .id = i, .fd = s->ch[i], .pipe = { -1, -1 } };
		if (how == RX_SPLICE)
			sys(pipe2(c->pipe, O_CLOEXEC));
		if (!compressed(rx))
			continue;
		decoder_init(&c->decoder, s->setup.method);
		c->payload = malloc(PAYLOAD_MAX);
		c->pages = malloc(MZP_WIRE_PAGES * PAGE + DECODER_SLACK);
		must(c->payload && c->pages);
	}
}

void rx_free(struct rx *rx)
{
	for (unsigned int i = 0; i < rx->setup.channels; i++) {
		if (rx->chan[i].pipe[0] >= 0) {
			close(rx->chan[i].pipe[0]);
			close(rx->chan[i].pipe[1]);
		}
		if (compressed(rx))
			decoder_free(&rx->chan[i].decoder);
		free(rx->chan[i].payload);
		free(rx->chan[i].pages);
	}
	for (unsigned int i = 0; i < rx->blocks; i++) {
		if (rx->block[i].shadow)
			munmap(rx->block[i].shadow, rx->block[i].pages * PAGE);
		munmap(rx->block[i].seen, rx->block[i].pages);
	}
	free(rx->chan);
	free(rx->nums);
}

static void *zeroed(uint64_t length)
{
	void *p = mmap(NULL, length, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(p != MAP_FAILED);
	return p;
}

struct rx_block *rx_add_block(struct rx *rx, const char *idstr, uint64_t pages, const void *source)
{
	struct rx_block *b = &rx->block[rx->blocks];

	must(rx->blocks < RX_BLOCKS);
	rx->blocks++;
	*b = (struct rx_block){ .pages = pages, .source = source };
	memcpy(b->idstr, idstr, strlen(idstr));
	b->seen = zeroed(pages);
	if (!source)
		b->shadow = zeroed(pages * PAGE);
	return b;
}

static bool all_zero(const void *data, size_t n)
{
	const uint8_t *p = data;

	return !n || (!p[0] && !memcmp(p, p + 1, n - 1));
}

static void check_init(struct rx_chan *c)
{
	const struct mzp_wire_init *init = &c->message.init;

	must(be32toh(init->magic) == MZP_WIRE_MAGIC);
	must(be32toh(init->version) == MZP_WIRE_VERSION);
	must(!memcmp(init->uuid, c->rx->setup.uuid, sizeof(init->uuid)));
	must(init->id == c->id, "%u, not %u", init->id, c->id);
	must(all_zero(init->unused1, sizeof(init->unused1)));
	must(all_zero(init->unused2, sizeof(init->unused2)));
}

static void check_packet_num(struct rx_chan *c, uint64_t num)
{
	struct rx *rx = c->rx;

	must(!c->numbered || num > c->last_num, "packet %ju behind %ju on channel %u",
	     (uintmax_t)num, (uintmax_t)c->last_num, c->id);
	c->numbered = true;
	c->last_num = num;
	must(num < 1 << 26, "packet number %ju", (uintmax_t)num);
	if (num >= rx->nums_room) {
		uint64_t room = (num | 65535) + 1;

		rx->nums = realloc(rx->nums, room / 8);
		must(rx->nums);
		memset(rx->nums + rx->nums_room / 64, 0, (room - rx->nums_room) / 8);
		rx->nums_room = room;
	}
	must(!(rx->nums[num / 64] >> num % 64 & 1), "packet %ju twice", (uintmax_t)num);
	rx->nums[num / 64] |= 1ull << num % 64;
}

static struct rx_block *find_block(struct rx *rx, const char *idstr)
{
	for (unsigned int i = 0; i < rx->blocks; i++) {
		/* all of it, so that the padding is compared, too */
		if (!memcmp(rx->block[i].idstr, idstr, MZP_WIRE_IDSTR))
			return &rx->block[i];
	}
	must(false, "no such block: %.255s", idstr);
	return NULL;
}

static void check_payload_size(const struct rx *rx, uint32_t size, uint32_t normal)
{
	uint32_t alloc = rx->setup.packet_pages ?: MZP_WIRE_PAGES;

	if (!compressed(rx) || !normal)
		must(size == normal * PAGE, "%u bytes for %u pages", size, normal);
	else
		must(size && size <= PAYLOAD_MAX && size <= 2 * alloc * PAGE,
		     "%u bytes for %u pages", size, normal);
}

static void check_packet(struct rx_chan *c)
{
	static const uint32_t wire[] = {
		[MZP_METHOD_NONE] = MZP_WIRE_NONE,
		[MZP_METHOD_ZLIB] = MZP_WIRE_ZLIB,
		[MZP_METHOD_ZSTD] = MZP_WIRE_ZSTD,
	};
	const struct mzp_wire_packet *p = &c->message.packet;
	uint32_t flags = be32toh(p->flags);
	uint32_t normal = be32toh(p->normal_pages), zero = be32toh(p->zero_pages);
	uint32_t alloc = c->rx->setup.packet_pages ?: MZP_WIRE_PAGES;

	must(be32toh(p->magic) == MZP_WIRE_MAGIC, "%x", be32toh(p->magic));
	must(be32toh(p->version) == MZP_WIRE_VERSION);
	must(be32toh(p->pages_alloc) == alloc, "%u", be32toh(p->pages_alloc));
	must(normal <= alloc && zero <= alloc && normal + zero <= alloc, "%u + %u", normal, zero);
	check_payload_size(c->rx, be32toh(p->payload_size), normal);
	must(all_zero(&p->unused32, sizeof(p->unused32)));
	must(all_zero(p->unused64, sizeof(p->unused64)));
	must(all_zero(&p->offset[normal + zero],
		      sizeof(p->offset) - (normal + zero) * sizeof(p->offset[0])));
	check_packet_num(c, be64toh(p->packet_num));
	c->packets++;

	if (flags & MZP_WIRE_SYNC) {
		must(flags == MZP_WIRE_SYNC, "flags %x", flags);
		must(!normal && !zero);
		must(all_zero(p->idstr, sizeof(p->idstr)));
		c->syncs++;
		return;
	}
	must(flags == wire[c->rx->setup.method], "flags %x", flags);
	must(normal + zero, "empty packet");
	must(!zero || c->rx->setup.detection == MZP_DETECTION_MULTIFD);
	c->rx->page_packets++;
	c->block = find_block(c->rx, p->idstr);
	for (uint32_t i = 0; i < normal + zero; i++) {
		uint64_t offset = be64toh(p->offset[i]), page = offset / PAGE;

		must(!(offset % PAGE) && page < c->block->pages, "offset %jx", (uintmax_t)offset);
		must(c->block->seen[page] == RX_NOTHING, "page %ju twice", (uintmax_t)page);
		if (i < normal) {
			c->block->seen[page] = RX_NORMAL;
			c->block->normal++;
			continue;
		}
		c->block->seen[page] = RX_ZERO;
		c->block->zero++;
		/* as QEMU does: what is zero is not written */
		if (c->block->shadow && !all_zero(c->block->shadow + offset, PAGE))
			memset(c->block->shadow + offset, 0, PAGE);
	}
}

size_t rx_want(const struct rx_chan *c)
{
	if (c->in_payload)
		return be32toh(c->message.packet.payload_size) - c->have;
	return (c->greeted ? sizeof(c->message.packet) : sizeof(c->message.init)) - c->have;
}

bool rx_between_packets(const struct rx_chan *c)
{
	return c->greeted && !c->have && !c->in_payload;
}

/* Put @n bytes of the packet's pages, from @pos on, where they belong. */
static void place(struct rx_chan *c, size_t pos, const uint8_t *data, size_t n)
{
	while (n) {
		size_t in_page = pos % PAGE, part = min(n, PAGE - in_page);
		uint64_t at = be64toh(c->message.packet.offset[pos / PAGE]) + in_page;

		if (c->block->shadow)
			memcpy(c->block->shadow + at, data, part);
		else
			must(!memcmp(c->block->source + at, data, part), "page %jx",
			     (uintmax_t)at / PAGE);
		pos += part;
		data += part;
		n -= part;
	}
}

static void payload(struct rx_chan *c, const uint8_t *data, size_t n)
{
	size_t want = be32toh(c->message.packet.normal_pages) * PAGE;

	if (compressed(c->rx))
		memcpy(c->payload + c->have, data, n);
	else
		place(c, c->have, data, n);
	c->have += n;
	if (!compressed(c->rx) || rx_want(c))
		return;
	decoder_packet(&c->decoder, c->payload, c->have, c->pages, want);
	place(c, 0, c->pages, want);
}

static void packet_done(struct rx_chan *c)
{
	if (c->rx->packet)
		c->rx->packet(c);
}

void rx_feed(struct rx_chan *c, const void *data, size_t n)
{
	while (n) {
		size_t part = min(n, rx_want(c));

		if (c->in_payload) {
			payload(c, data, part);
		} else {
			memcpy(c->message.bytes + c->have, data, part);
			c->have += part;
		}
		data = (const char *)data + part;
		n -= part;
		if (rx_want(c))
			continue;
		c->have = 0;
		if (!c->greeted) {
			check_init(c);
			c->greeted = true;
		} else if (c->in_payload) {
			c->in_payload = false;
			packet_done(c);
		} else {
			check_packet(c);
			c->in_payload = c->message.packet.payload_size;
			if (!c->in_payload)
				packet_done(c);
		}
	}
}

ssize_t rx_some(struct rx_chan *c)
{
	static __thread uint8_t buf[64 * 1024];
	size_t n = min(rx_want(c), sizeof(buf));
	ssize_t got;

	if (c->pipe[0] >= 0) {
		got = splice(c->fd, NULL, c->pipe[1], NULL, n, 0);
		if (got > 0)
			read_exactly(c->pipe[0], buf, got);
	} else {
		got = read(c->fd, buf, n);
	}
	if (got < 0)
		return -errno;
	must((size_t)got <= n);
	rx_feed(c, buf, got);
	return got;
}

void rx_round(struct rx *rx)
{
	struct pollfd p[255];
	unsigned int left = rx->setup.channels;

	rx->round++;
	for (unsigned int i = 0; i < rx->setup.channels; i++) {
		p[i] = (struct pollfd){ .fd = rx->chan[i].fd, .events = POLLIN };
		must(rx->chan[i].syncs == rx->round - 1);
	}
	while (left) {
		sys(poll(p, rx->setup.channels, -1));
		for (unsigned int i = 0; i < rx->setup.channels; i++) {
			struct rx_chan *c = &rx->chan[i];

			if (p[i].fd < 0 || !p[i].revents)
				continue;
			must(p[i].revents == POLLIN, "channel %u: poll gave %x", i, p[i].revents);
			must(rx_some(c) > 0, "channel %u ends before its SYNC", i);
			if (c->syncs == rx->round) {
				p[i].fd = -1;
				left--;
			}
		}
	}
}

static void *rx_round_thread(void *arg)
{
	rx_round(arg);
	return NULL;
}

void rx_round_start(struct rx *rx, struct thread *t)
{
	thread_start(t, rx_round_thread, rx);
}

void rx_end(struct rx *rx)
{
	for (unsigned int i = 0; i < rx->setup.channels; i++) {
		struct rx_chan *c = &rx->chan[i];
		ssize_t got;

		/* one that was never used has not even said hello yet */
		while (!c->greeted)
			must(rx_some(c) > 0);
		got = rx_some(c);
		must(got == 0, "channel %u: %zd behind the end", i, got);
		must(rx_between_packets(c));
	}
}

void rx_next_round(struct rx *rx)
{
	for (unsigned int i = 0; i < rx->blocks; i++) {
		struct rx_block *b = &rx->block[i];

		/* not given back: with the pages, kernels may free tables for them */
		memset(b->seen, RX_NOTHING, b->pages);
		b->normal = b->zero = 0;
	}
}

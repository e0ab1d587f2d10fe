// SPDX-License-Identifier: GPL-2.0-only
#include "mem.h"

#include <sys/mman.h>

void page_fill(void *page, enum kind kind, uint32_t tag, uint64_t number, uint32_t version)
{
	uint64_t seed = (uint64_t)tag << 40 ^ number << 12 ^ version, *word = page;
	uint64_t x = rnd(&seed);

	memset(page, 0, PAGE);
	if (kind == ONE) {
		/* every position comes up, the ends and their neighbours more often */
		static const uint16_t ends[] = { 0, 1, 7, 8, 63, 64, 2047, 2048, 4032, 4088, 4095 };
		uint64_t at = x % 3 ? (x >> 8) % PAGE : ends[(x >> 8) % ARRAY_SIZE(ends)];

		((uint8_t *)page)[at] = 1 << (x >> 32) % 8;
	} else if (kind == DATA) {
		for (unsigned int i = 0; i < PAGE / 8; i++)
			word[i] = x += 0x9e3779b97f4a7c15;
	}
}

bool page_is(const void *page, enum kind kind, uint32_t tag, uint64_t number, uint32_t version)
{
	uint64_t want[PAGE / 8];

	page_fill(want, kind, tag, number, version);
	return !memcmp(page, want, PAGE);
}

void mem_init_at(struct mem *m, const char *idstr, uint64_t pages, void *base, bool shared)
{
	static uint32_t tag;

	must(base != MAP_FAILED);
	*m = (struct mem){ .base = base, .pages = pages, .tag = ++tag, .shared = shared };
	memcpy(m->idstr, idstr, strlen(idstr) + 1);
	m->kind = calloc(pages, 1);
	m->version = calloc(pages, sizeof(*m->version));
	m->dst_kind = calloc(pages, 1);
	m->dst_version = calloc(pages, sizeof(*m->dst_version));
	m->sent = calloc(pages, 1);
	must(m->kind && m->version && m->dst_kind && m->dst_version && m->sent);
	if (shared)
		memset(m->kind, HOLE, pages);
}

void mem_init(struct mem *m, const char *idstr, uint64_t pages)
{
	void *base = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	mem_init_at(m, idstr, pages, base, false);
	thp_off(base, pages * PAGE);
}

void mem_add(struct mem *m, struct session *s, struct rx *rx)
{
	m->block_id = session_block(s, m->idstr, m->base, m->pages * PAGE);
	m->rx = rx ? rx_add_block(rx, m->idstr, m->pages, NULL) : NULL;
}

void mem_add_fd(struct mem *m, struct session *s, struct rx *rx, int fd, uint64_t offset)
{
	works(mzp_block_add_fd(s->fd, m->idstr, fd, offset, m->pages * PAGE, &m->block_id));
	m->rx = rx_add_block(rx, m->idstr, m->pages, NULL);
}

void mem_free(struct mem *m)
{
	munmap(m->base, m->pages * PAGE);
	free(m->kind);
	free(m->version);
	free(m->dst_kind);
	free(m->dst_version);
	free(m->sent);
}

void mem_set(struct mem *m, uint64_t page, enum kind kind)
{
	uint8_t *at = m->base + page * PAGE;

	m->kind[page] = kind;
	m->version[page]++;
	switch (kind) {
	case ABSENT:
	case HOLE:
		if (m->shared) {
			sys(madvise(at, PAGE, MADV_REMOVE));
			m->kind[page] = HOLE;
			break;
		}
		sys(madvise(at, PAGE, MADV_DONTNEED));
		if (kind == HOLE)
			must(!*(volatile uint8_t *)at);
		break;
	case ZERO:
		memset(at, 0, PAGE);
		/* also where it was zero: this must be a write */
		*(volatile uint8_t *)at = 0;
		break;
	default:
		page_fill(at, kind, m->tag, page, m->version[page]);
	}
}

void mem_set_range(struct mem *m, uint64_t page, uint64_t count, enum kind kind)
{
	while (count--)
		mem_set(m, page++, kind);
}

void mem_shuffle(struct mem *m, uint64_t *random)
{
	for (uint64_t page = 0; page < m->pages; ) {
		enum kind kind = rnd_below(random, KINDS);
		/* runs of one kind as well as single pages */
		uint64_t run = rnd_below(random, 2) ? 1 : 1 + rnd_below(random, 40);

		for (; run && page < m->pages; run--)
			mem_set(m, page++, kind);
	}
}

static bool bit(const uint64_t *bits, uint64_t n)
{
	return bits[n / 64] >> n % 64 & 1;
}

struct sent mem_send(struct mem *m, struct session *s, uint64_t first, uint64_t count,
		     const uint64_t *bits, enum mzp_send_format format, uint32_t flags)
{
	struct sent sent = { .m = m, .flags = flags, .first = first, .count = count };
	uint64_t words = (count + 63) / 64;
	struct mzp_range *range = NULL;
	struct mzp_send send = {
		.size = sizeof(send),
		.flags = flags,
		.block_id = m->block_id,
		.format = format,
		.first_page = first,
		.page_count = count,
	};

	sent.bits = calloc(words, 8);
	must(sent.bits);
	for (uint64_t n = 0; n < count; n++) {
		uint64_t page = first + n;

		if (format != MZP_SEND_ALL && !bit(bits, n))
			continue;
		sent.bits[n / 64] |= 1ull << n % 64;
		sent.pages++;
		m->sent[page] = 1;
		m->dst_kind[page] = m->kind[page];
		m->dst_version[page] = m->version[page];
	}

	if (format == MZP_SEND_BITMAP) {
		/* what lies behind the window is none of its business */
		uint64_t *dirty = malloc(words * 8);

		must(dirty);
		memcpy(dirty, sent.bits, words * 8);
		if (count % 64)
			dirty[words - 1] |= ~0ull << count % 64;
		send.input = (uintptr_t)dirty;
	} else if (format == MZP_SEND_RANGES) {
		range = calloc(count, sizeof(*range));
		must(range);
		send.input = (uintptr_t)range;
		send.ranges_base = (uintptr_t)m->base;
		for (uint64_t n = 0; n < count; n++) {
			uint64_t at = (uintptr_t)m->base + (first + n) * PAGE;

			if (!bit(sent.bits, n))
				continue;
			/* some neighbours in one range, some not */
			if (send.nr_ranges && range[send.nr_ranges - 1].end == at && n % 5) {
				range[send.nr_ranges - 1].end += PAGE;
				continue;
			}
			range[send.nr_ranges++] = (struct mzp_range){ at, at + PAGE, ~0ull };
		}
	}
	works(mzp(s->fd, MZP_IOC_SEND, &send));
	must(send.pages == sent.pages, "%ju, not %ju", (uintmax_t)send.pages,
	     (uintmax_t)sent.pages);
	if (send.input) {
		/* it was copied, or was it? */
		if (range)
			memset(range, 0xff, count * sizeof(*range));
		else
			memset((void *)(uintptr_t)send.input, 0xff, words * 8);
		free((void *)(uintptr_t)send.input);
	}
	sent.job = send.job_id;
	return sent;
}

/* Which outcomes are right for a page. */
enum { GONE = 1, AS_NORMAL = 2, AS_ZERO = 4 };
static unsigned int allowed(const struct session *s, const struct mem *m, uint64_t page,
			    uint32_t flags)
{
	static const unsigned int for_zero[] = {
		[MZP_DETECTION_NONE] = AS_NORMAL,
		[MZP_DETECTION_LEGACY] = GONE,
		[MZP_DETECTION_MULTIFD] = AS_ZERO,
	};
	unsigned int zero = for_zero[s->setup.detection];

	switch (m->kind[page]) {
	case ABSENT:
		return flags & MZP_SEND_FRESH ? GONE : zero;
	case HOLE:
		return flags & MZP_SEND_FRESH ? GONE | zero : zero;
	case ZERO:
		return zero;
	default:
		return AS_NORMAL;
	}
}

void mem_check_job(struct session *s, struct sent *sent)
{
	struct mem *m = sent->m;
	bool fresh = sent->flags & MZP_SEND_FRESH, legacy, keep;
	/* a word more than needed, and one that must stay as it is */
	uint64_t words = (sent->count + 63) / 64 + 1, *zeros = malloc((words + 1) * 8);
	uint64_t kinds[KINDS] = { 0 }, normal = 0, zero = 0, told = 0;
	struct mzp_wait w = { 0 };

	legacy = s->setup.detection == MZP_DETECTION_LEGACY;
	keep = legacy || sent->flags & MZP_SEND_ZERO_BITMAP;
	must(zeros);
	memset(zeros, 0xa5, (words + 1) * 8);
	if (keep) {
		w.zero_bitmap = (uintptr_t)zeros;
		w.zero_bitmap_pages = words * 64;
	}
	works(mzp_wait(s->fd, sent->job, -1, &w));
	must(!w.error, "job ended with %s", kit_errno(w.error));
	must(zeros[words] == 0xa5a5a5a5a5a5a5a5);
	must(w.submitted == sent->pages);
	must(w.normal + w.zero + w.absent == w.submitted);
	for (uint64_t n = 0; n < sent->count; n++) {
		uint64_t page = sent->first + n;
		unsigned int seen = 1 << m->rx->seen[page];
		bool tell = keep && bit(zeros, n);

		if (!bit(sent->bits, n)) {
			must(!tell, "page %ju was not even sent", (uintmax_t)page);
			continue;
		}
		kinds[m->kind[page]]++;
		must(seen & allowed(s, m, page, sent->flags), "page %ju, kind %u: %u",
		     (uintmax_t)page, m->kind[page], seen);
		normal += seen == AS_NORMAL;
		zero += seen == AS_ZERO;
		told += tell;
		if (!keep)
			continue;
		if (!legacy)
			must(tell == (seen == AS_ZERO), "page %ju", (uintmax_t)page);
		else if (m->kind[page] >= ONE || (m->kind[page] == ABSENT && fresh))
			must(!tell, "page %ju", (uintmax_t)page);
		else if (m->kind[page] == ZERO || !fresh)
			must(tell, "page %ju", (uintmax_t)page);
		/* the main connection's business */
		if (legacy && tell)
			memset(m->rx->shadow + page * PAGE, 0, PAGE);
	}
	if (keep && sent->count % 64)
		must(!(zeros[words - 2] >> sent->count % 64), "bits behind the window");

	must(w.absent >= kinds[ABSENT] && w.absent <= kinds[ABSENT] + kinds[HOLE],
	     "%ju absent", (uintmax_t)w.absent);
	switch (s->setup.detection) {
	case MZP_DETECTION_NONE:
		must(!w.zero);
		must(normal == (fresh ? w.normal : w.normal + w.absent));
		break;
	case MZP_DETECTION_LEGACY:
		must(normal == w.normal && !zero);
		must(told == (fresh ? w.zero : w.zero + w.absent));
		break;
	default:
		must(normal == w.normal);
		must(zero == (fresh ? w.zero : w.zero + w.absent));
	}
	free(zeros);
	free(sent->bits);
}

void mem_check(struct mem *m)
{
	for (uint64_t page = 0; page < m->pages; page++) {
		must(m->sent[page] || m->rx->seen[page] == RX_NOTHING, "page %ju came unasked",
		     (uintmax_t)page);
		must(page_is(m->rx->shadow + page * PAGE, m->dst_kind[page], m->tag, page,
			     m->dst_version[page]),
		     "page %ju of %s is not right", (uintmax_t)page, m->idstr);
	}
	memset(m->sent, 0, m->pages);
}

void mem_round(struct mem *m, struct session *s, struct rx *rx, uint32_t flags)
{
	struct sent sent = mem_send(m, s, 0, m->pages, NULL, MZP_SEND_ALL, flags);

	session_sync(s);
	rx_round(rx);
	mem_check_job(s, &sent);
	mem_check(m);
}

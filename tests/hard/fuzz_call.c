// SPDX-License-Identifier: GPL-2.0-only
#include "fuzz_call.h"

struct shared *shared;
int device[DEVICES], chan[CHANNELS], pipes[PIPES][2], files[FILES], sockets[SOCKETS];
int netlink, uffd;
uint8_t *memory, *lazy;

uint64_t pick(uint64_t *r, uint64_t n)
{
	return rnd_below(r, n);
}

bool chance(uint64_t *r, unsigned int percent)
{
	return pick(r, 100) < percent;
}

int any(const int *places, unsigned int nr, uint64_t *r)
{
	unsigned int at = pick(r, nr);

	/* Mostly one that there is. */
	for (unsigned int i = 0; i < nr; i++, at++) {
		int fd = __atomic_load_n(&places[at % nr], __ATOMIC_RELAXED);

		if (fd >= 0)
			return fd;
	}
	return -1;
}

void place(int *places, unsigned int nr, int fd, uint64_t *r)
{
	int old;

	if (fd < 0)
		return;
	old = __atomic_exchange_n(&places[pick(r, nr)], fd, __ATOMIC_RELAXED);
	if (old >= 0)
		close(old);
}

void take_out(int *places, unsigned int nr, uint64_t *r)
{
	int old = __atomic_exchange_n(&places[pick(r, nr)], -1, __ATOMIC_RELAXED);

	if (old >= 0)
		close(old);
}

uint64_t number(uint64_t *r)
{
	static const uint64_t special[] = {
		0, 1, 2, 7, 8, 63, 64, 127, 128, 129, 255, 256, 257, 1024, 4095, 4096, 4097,
		0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 1ull << 47, (1ull << 47) - 4096,
		1ull << 52, 1ull << 63, ~0ull, ~0ull << 12, ~0ull >> 12,
	};

	switch (pick(r, 4)) {
	case 0:
		return special[pick(r, ARRAY_SIZE(special))];
	case 1:
		return rnd(r) >> pick(r, 64);
	default:
		return pick(r, 16);
	}
}

void *address(uint64_t *r)
{
	switch (pick(r, 12)) {
	case 0:
		return NULL;
	case 1:
		return (void *)number(r);
	case 2:
		return memory + MEMORY_PAGES * PAGE - pick(r, 64);
	default:
		return memory + pick(r, MEMORY_PAGES) * PAGE + (chance(r, 20) ? pick(r, PAGE) : 0);
	}
}

void part(uint64_t *r, uint8_t **at, size_t *length)
{
	uint64_t first = pick(r, MEMORY_PAGES);

	if (chance(r, 20))
		first &= ~511ull;
	*at = memory + first * PAGE;
	*length = (1 + pick(r, min(MEMORY_PAGES - first, 600ul))) * PAGE;
	*length = min(*length, (MEMORY_PAGES - first) * PAGE);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * One migration that does not end: rounds of what a guest has written since the
 * last one, each checked at the receiver to the last byte, for as long as it
 * takes. What the kernel uses must be the same after the first minute and in the end.
 */
#include "genl.h"
#include "mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

enum { PAGES = 4096, BLOCKS = 2 };

static time_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/*
 * KiB that only the kernel has: slab, stacks, page tables, and what is nowhere
 * else in the books, as pages that were leaked.
 */
static long kernel_kib(void)
{
	static const char *const known[] = {
		"MemFree:", "Buffers:", "Cached:", "AnonPages:", "SwapCached:",
	};
	long kib = file_number("/proc/meminfo", "MemTotal:");

	for (unsigned int i = 0; i < ARRAY_SIZE(known); i++)
		kib -= file_number("/proc/meminfo", known[i]);
	return kib;
}

/* Freed objects that are kept back, for reuse or by KASAN. */
static void shrink_slabs(void)
{
	DIR *dir = opendir("/sys/kernel/slab");
	struct dirent *entry;
	char path[300];
	int fd;

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", entry->d_name);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		(void)!write(fd, "1", 1);
		close(fd);
	}
	if (dir)
		closedir(dir);
}

/* What can be given back is nobody's leak; lists per CPU are emptied. */
static long settled_kib(void)
{
	shrink_slabs();
	file_put("/proc/sys/vm/drop_caches", "3");
	file_put("/proc/sys/vm/compact_memory", "1");
	return kernel_kib();
}

struct ram {
	struct mem m[BLOCKS];
	struct sent sent[BLOCKS];
	uint64_t random;
};

/* Some pages are written, some given back; those are the dirty ones. */
static void dirty(struct mem *m, uint64_t *bits, uint64_t *random)
{
	memset(bits, 0, PAGES / 8);
	for (unsigned int i = 0; i < 300; i++) {
		uint64_t page = rnd_below(random, PAGES);

		mem_set(m, page, rnd_below(random, KINDS));
		bits[page / 64] |= 1ull << page % 64;
	}
}

static void one_round(struct session *s, struct rx *rx, struct ram *ram, bool first)
{
	static uint64_t bits[BLOCKS][PAGES / 64];

	for (unsigned int i = 0; i < BLOCKS; i++) {
		dirty(&ram->m[i], bits[i], &ram->random);
		ram->sent[i] = first ?
			mem_send(&ram->m[i], s, 0, PAGES, NULL, MZP_SEND_ALL, MZP_SEND_FRESH) :
			mem_send(&ram->m[i], s, 0, PAGES, bits[i],
				 rnd_below(&ram->random, 2) ? MZP_SEND_BITMAP : MZP_SEND_RANGES, 0);
	}
	session_sync(s);
	rx_round(rx);
	for (unsigned int i = 0; i < BLOCKS; i++) {
		mem_check_job(s, &ram->sent[i]);
		mem_check(&ram->m[i]);
	}
	session_wait(s, 0);
	rx_next_round(rx);
}

/* A session of its own now and then; the memory stays. */
static unsigned long migrate(struct ram *ram, enum rx_how how, time_t until)
{
	struct mzp_setup setup = setup_for(3);
	unsigned long nr = 0;
	struct session s;
	struct rx rx;

	session_open(&s, &setup);
	rx_init(&rx, &s, how);
	for (unsigned int i = 0; i < BLOCKS; i++) {
		memset(ram->m[i].dst_kind, 0, PAGES);
		memset(ram->m[i].dst_version, 0, PAGES * sizeof(*ram->m[i].dst_version));
		mem_add(&ram->m[i], &s, &rx);
	}
	do
		one_round(&s, &rx, ram, !nr);
	while (++nr % 200 && now() < until);
	session_close(&s);
	rx_free(&rx);
	return nr;
}

int main(int argc, char **argv)
{
	time_t seconds = argc > 1 ? atol(argv[1]) : 60, start, end, told;
	static struct ram ram = { .random = 1 };
	long first = 0, last, grown;
	unsigned long nr = 0;

	if (seconds < 1) {
		fprintf(stderr, "usage: soak [SECONDS]\n");
		return 2;
	}
	for (unsigned int i = 0; i < BLOCKS; i++)
		mem_init(&ram.m[i], i ? "two" : "one", PAGES);
	start = told = now();
	end = start + seconds;
	while (now() < end) {
		nr += migrate(&ram, nr % 400 ? RX_READ : RX_SPLICE, end);
		/* What is made once is there by then. */
		if (!first && now() - start >= min(60l, seconds / 4))
			first = settled_kib();
		if (now() - told >= 60) {
			told = now();
			printf("# %ld s: %lu rounds, kernel %ld KiB\n", told - start, nr,
			       kernel_kib());
			fflush(stdout);
		}
	}
	until(!genl_sessions());
	last = settled_kib();
	grown = last - first;
	printf("# %ld s, %lu rounds: kernel %ld KiB, then %ld KiB\n", now() - start, nr, first,
	       last);
	/* One page leaked in each round would be more than this after some thousands. */
	must(grown < 8192, "%ld KiB more", grown);
	printf("ok soak\n");
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <err.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "vmm_thread.h"

uint64_t bitmap[MAX_PAGES / 64];

int runs_wanted(int argc, char **argv)
{
	static const struct option options[] = {
		{ "runs", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 }
	};
	int runs = 5, option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'r')
			exit(2);
		runs = atoi(optarg);
	}
	if (optind != argc || runs < 1 || runs > MAX_RUNS)
		errx(2, "see the usage in the source");
	return runs;
}

unsigned char *guest_memory(void)
{
	void *base = mmap(NULL, MAX_PAGES * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		err(1, "memory");
	return base;
}

uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 33;
}

void print_figures(const char *name, const uint64_t *figures, int runs)
{
	printf(", \"%s\": [", name);
	for (int run = 0; run < runs; run++)
		printf("%s%" PRIu64, run ? ", " : "", figures[run]);
	printf("]");
}

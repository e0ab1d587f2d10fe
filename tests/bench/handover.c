// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a VMM's thread spends on handing over a round: SEND and SYNC, in which the module
 * copies what is to be sent and wakes who sends it. Nobody reads the channels, so the thread is
 * disturbed by workers only, and these do not count.
 *
 * Usage: handover [--runs N]
 *
 * A guest of so many pages, none of which is ever touched, is handed over
 *   all         without naming pages
 *   full        by a bitmap in which all bits are set
 *   scattered   by one in which every twentieth is, anywhere
 * Prints a line of JSON for each, and for each number of pages: the thread's CPU time of
 * each of the runs, ns; on one CPU that counts instructions, instructions.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/multifd_zp.h>

#include "call.h"

#define PAGE 4096ul
#define MAX_PAGES (1ul << 20)

static uint64_t bitmap[MAX_PAGES / 64];

static uint64_t thread_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* A session of two channels. Its block is all of @base. Return: the device. */
static int session(void *base, uint32_t *block)
{
	struct mzp_setup setup = {
		.size = sizeof(setup),
		.channels = 2,
		.detection = MZP_DETECTION_MULTIFD,
	};
	struct mzp_block_add add = {
		.size = sizeof(add),
		.idstr = (uintptr_t)"pc.ram",
		.idstr_len = 6,
		.length = MAX_PAGES * PAGE,
		.addr = (uintptr_t)base,
	};
	int dev = open("/dev/multifd_zp", O_RDWR | O_CLOEXEC);

	if (dev < 0)
		err(1, "/dev/multifd_zp");
	call(dev, MZP_IOC_SETUP, &setup, "SETUP");
	call(dev, MZP_IOC_BLOCK_ADD, &add, "BLOCK_ADD");
	*block = add.block_id;
	return dev;
}

/* Return: what a round of that took. */
static uint64_t handed_over(void *base, const struct mzp_send *what)
{
	struct mzp_sync sync = { .size = sizeof(sync) };
	struct mzp_send send = *what;
	uint64_t before, took;
	int dev = session(base, &send.block_id);

	before = thread_ns();
	call(dev, MZP_IOC_SEND, &send, "SEND");
	call(dev, MZP_IOC_SYNC, &sync, "SYNC");
	took = thread_ns() - before;
	close(dev);
	return took;
}

static void measure(void *base, const char *name, const struct mzp_send *send, int runs)
{
	/* the first finds nothing in caches, which there may be */
	handed_over(base, send);
	printf("{\"kind\": \"handover\", \"what\": \"%s\", \"pages\": %" PRIu64 ", \"ns\": [", name,
	       (uint64_t)send->page_count);
	for (int run = 0; run < runs; run++)
		printf("%s%" PRIu64, run ? ", " : "", handed_over(base, send));
	printf("]}\n");
	fflush(stdout);
}

/* One in twenty, of which nobody could say which, but the same each time. */
static void scatter(void)
{
	uint64_t state = 1;

	memset(bitmap, 0, sizeof(bitmap));
	for (uint64_t page = 0; page < MAX_PAGES; page++) {
		state = state * 6364136223846793005ull + 1442695040888963407ull;
		if ((state >> 33) % 20 == 0)
			bitmap[page / 64] |= 1ull << page % 64;
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "runs", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 }
	};
	int runs = 5, option;
	void *base;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'r')
			return 2;
		runs = atoi(optarg);
	}
	if (optind != argc || runs < 1)
		errx(2, "see the usage in the source");
	base = mmap(NULL, MAX_PAGES * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		err(1, "memory");
	for (uint64_t pages = 1 << 14; pages <= MAX_PAGES; pages *= 8) {
		struct mzp_send send = {
			.size = sizeof(send),
			.flags = MZP_SEND_FRESH,
			.page_count = pages,
		};

		measure(base, "all", &send, runs);
		send.format = MZP_SEND_BITMAP;
		send.input = (uintptr_t)bitmap;
		memset(bitmap, 0xff, sizeof(bitmap));
		measure(base, "full", &send, runs);
		scatter();
		measure(base, "scattered", &send, runs);
	}
	return 0;
}

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
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/multifd_zp.h>

#include "call.h"
#include "clock.h"
#include "vmm_thread.h"

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
	uint64_t ns[MAX_RUNS];

	/* the first finds nothing in caches, which there may be */
	handed_over(base, send);
	for (int run = 0; run < runs; run++)
		ns[run] = handed_over(base, send);
	printf("{\"kind\": \"handover\", \"what\": \"%s\", \"pages\": %" PRIu64, name,
	       (uint64_t)send->page_count);
	print_figures("ns", ns, runs);
	printf("}\n");
	fflush(stdout);
}

/* One in twenty, of which nobody could say which, but the same each time. */
static void scatter(void)
{
	uint64_t state = 1;

	memset(bitmap, 0, sizeof(bitmap));
	for (uint64_t page = 0; page < MAX_PAGES; page++) {
		if (next_random(&state) % 20 == 0)
			bitmap[page / 64] |= 1ull << page % 64;
	}
}

int main(int argc, char **argv)
{
	int runs = runs_wanted(argc, argv);
	void *base = guest_memory();

	for (uint64_t pages = MIN_PAGES; pages <= MAX_PAGES; pages *= 8) {
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

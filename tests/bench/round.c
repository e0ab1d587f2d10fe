// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a VMM's thread spends on a whole round by libmfd: to hand the pages over, and then to
 * wait for the round's end and to say so on the main connection. All else is done by other
 * threads, which do not count.
 *
 * Usage: round [--runs N]
 *
 * A guest of which one page in a hundred is in use, anywhere, hands all of them over by a
 * bitmap, on two channels, to a receiver in the same machine that throws everything away.
 * Prints a line of JSON for each number of pages: the thread's CPU time in each of the
 * runs for both parts, ns; on one CPU that counts instructions, instructions.
 */
#define _GNU_SOURCE
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <mfd.h>

#include "clock.h"
#include "receiver.h"
#include "vmm_thread.h"

#define CHANNELS 2

struct spent {
	uint64_t submit[MAX_RUNS];
	uint64_t end[MAX_RUNS];
};

static void must(int ret, const struct mfd_error *error)
{
	if (ret)
		errx(1, "%s", error->text);
}

static void measure_run(void *base, uint64_t pages, uint64_t *submit, uint64_t *end)
{
	struct mfd_params params = { .size = sizeof(params) };
	struct mfd_error error = { .size = sizeof(error) };
	struct mfd_round round = { .size = sizeof(round) };
	struct mfd_session *session;
	struct mfd_block *block;
	uint64_t began, submitted;
	struct receiver receiver;
	char address[64];

	receiver_start(&receiver, 1 + CHANNELS, 1 << 22);
	snprintf(address, sizeof(address), "tcp:127.0.0.1:%d", receiver.port);
	mfd_params_init(&params);
	params.channels = CHANNELS;
	params.detection = MFD_DETECTION_MULTIFD;
	params.flags &= ~MFD_PARAMS_RETURN_PATH;
	must(mfd_open(&session, NULL, &error), &error);
	must(mfd_setup(session, &params, &error), &error);
	must(mfd_block_add(session, "pc.ram", base, pages * PAGE, &block, &error), &error);
	must(mfd_connect(session, address, &error), &error);
	began = thread_ns();
	must(mfd_send_bitmap(block, 0, pages, bitmap, MFD_SEND_FRESH, &error), &error);
	submitted = thread_ns();
	must(mfd_round_finish(session, &round, &error), &error);
	*submit = submitted - began;
	*end = thread_ns() - submitted;
	if (round.normal < pages / 100 || round.normal + round.absent != pages)
		errx(1, "of %" PRIu64 " pages %" PRIu64 " were normal, %" PRIu64 " absent", pages,
		     round.normal, round.absent);
	must(mfd_finish(session, &error), &error);
	mfd_close(session);
	receiver_end(&receiver);
}

static void measure(void *base, uint64_t pages, int runs)
{
	struct spent spent;

	/* the first finds nothing in caches, which there may be */
	for (int run = -1; run < runs; run++)
		measure_run(base, pages, &spent.submit[run < 0 ? 0 : run],
			    &spent.end[run < 0 ? 0 : run]);
	printf("{\"kind\": \"round\", \"pages\": %" PRIu64, pages);
	print_figures("submit", spent.submit, runs);
	print_figures("end", spent.end, runs);
	printf("}\n");
	fflush(stdout);
}

/* One page in each hundred. */
static void use(unsigned char *base)
{
	uint64_t state = 1;

	for (uint64_t page = 0; page < MAX_PAGES; page += 100)
		base[(page + next_random(&state) % 76) * PAGE] = 1;
}

int main(int argc, char **argv)
{
	int runs = runs_wanted(argc, argv);
	unsigned char *base = guest_memory();

	/* where there are none it fails */
	madvise(base, MAX_PAGES * PAGE, MADV_NOHUGEPAGE);
	use(base);
	memset(bitmap, 0xff, sizeof(bitmap));
	for (uint64_t pages = MIN_PAGES; pages <= MAX_PAGES; pages *= 8)
		measure(base, pages, runs);
	return 0;
}

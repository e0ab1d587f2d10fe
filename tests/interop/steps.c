// SPDX-License-Identifier: GPL-2.0-only
/*
 * A source that stops at each step of a migration, for tests in which something happens to
 * the destination there.
 *
 * Usage: steps ADDRESS PAGES [silent] [devices]
 *
 * At each step it prints the step's name, and waits for a line on stdin. The one RAM block is
 * called ram0, and holds noise. Its pages take a second or two, by a limit of the rate, so
 * that something can happen on the way. silent: without a return path. devices: a part of
 * a device's state follows, which no destination takes for all of it.
 * Exit status 0: the destination has the guest; 1: it has not, and stderr says why.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <mfd.h>

#include "dial.h"

#define PAGE 4096ul
#define CHANNELS 3
#define RATE (16u << 20)

/* How a section of a device begins: there is more to come. */
static const char section[] = "\4\0\0\0\2\4te";

static struct mfd_error failure = { .size = sizeof(failure) };

static void must(int ret)
{
	if (ret)
		errx(1, "%s", failure.text);
}

static void step(const char *name)
{
	int c;

	puts(name);
	do
		c = getchar();
	while (c != '\n' && c != EOF);
}

static bool told(char **argv, const char *word)
{
	while (*argv && strcmp(*argv, word))
		argv++;
	return *argv;
}

static void *noise(size_t size)
{
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t done;
	ssize_t n;

	if (memory == MAP_FAILED)
		err(1, "memory");
	for (done = 0; done < size; done += n) {
		n = getrandom(memory + done, size - done, 0);
		if (n < 0)
			err(1, "getrandom");
	}
	return memory;
}

static void set_up(struct mfd_session **session, bool silent)
{
	struct mfd_params params = { .size = sizeof(params) };

	must(mfd_params_init(&params));
	params.channels = CHANNELS;
	params.rate = RATE;
	if (silent)
		params.flags &= ~MFD_PARAMS_RETURN_PATH;
	must(mfd_open(session, NULL, &failure));
	must(mfd_setup(*session, &params, &failure));
}

static void attach(struct mfd_session *session, const char *address)
{
	int fd = dial(address);
	unsigned int i;

	step("connected");
	must(mfd_attach_main(session, fd, &failure));
	step("main");
	for (i = 0; i < CHANNELS; i++) {
		must(mfd_attach_channel(session, i, dial(address), &failure));
		if (!i)
			step("a channel");
	}
	must(mfd_start(session, &failure));
	step("channels");
}

static void migrate(struct mfd_session *session, struct mfd_block *block, uint64_t pages)
{
	must(mfd_send_all(block, 0, &failure));
	step("first round");
	must(mfd_round_finish(session, NULL, &failure));
	step("flush");
	must(mfd_dirty_pages(block, 0, pages / 2, &failure));
	must(mfd_send_dirty(session, 0, &failure));
	step("second round");
	must(mfd_round_finish(session, NULL, &failure));
	step("rounds");
}

int main(int argc, char **argv)
{
	struct mfd_session *session;
	struct mfd_block *block;
	uint64_t pages;

	if (argc < 3)
		errx(2, "see the head of steps.c");
	setvbuf(stdout, NULL, _IOLBF, 0);
	pages = strtoull(argv[2], NULL, 10);
	set_up(&session, told(argv + 3, "silent"));
	must(mfd_block_add(session, "ram0", noise(pages * PAGE), pages * PAGE, &block, &failure));
	attach(session, argv[1]);
	migrate(session, block, pages);
	if (told(argv + 3, "devices")) {
		must(mfd_device_state(session, section, sizeof(section) - 1, &failure));
		step("devices");
	}
	must(mfd_finish(session, &failure));
	mfd_close(session);
	return 0;
}

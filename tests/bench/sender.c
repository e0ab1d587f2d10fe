// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VMM reduced to its migration: memory that is as a guest left it, sent with
 * libmfd. Run by source.py, which measures it from outside.
 *
 * Usage: sender --to ADDRESS --memory FILE [--private] [--channels N]
 *		[--method none|zlib|zstd] [--zero legacy|multifd]
 *		[--first all|bitmap] [--rounds N --dirty PERCENT] [--hold]
 *		[--machine TYPE] [--mute]
 *
 * FILE, on tmpfs, holds the memory; it is mapped, or with --private copied to
 * anonymous memory. What the file has pages for is mapped in beforehand, and what
 * it has none for stays untouched, as in a VMM whose guest has run. The first round
 * is all of it, handed over as such or as a bitmap. Before each of the others,
 * PERCENT of all pages, chosen at random, are written.
 *
 * --mute: what it sends to says nothing, so it is not asked how it went.
 *
 * It says so on a line when it is ready, and when it is through, and then waits
 * for a line on stdin; with --hold also before it ends the stream, and after the
 * first of several rounds.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mfd.h>

#include "clock.h"

#define PAGE 4096ul

struct options {
	const char *to;
	const char *file;
	bool private;
	bool hold;
	bool bitmap;
	unsigned int rounds;
	unsigned int dirty;
	struct mfd_params params;
};

struct memory {
	int fd;
	uint64_t size;
	unsigned char *mem;
	uint64_t *bitmap;
	bool whole;			/* the bitmap does not count */
	uint64_t seed;
};

/* What the submitting thread spent, and what the rounds were. */
struct result {
	uint64_t submit_ns;		/* to hand pages over */
	uint64_t wait_ns;		/* to wait for the round's end */
	uint64_t write_ns;		/* to write pages, which is not the migration */
	uint64_t round_ns;		/* wall, of all rounds but the first */
	struct mfd_progress end;
};

static void say(const char *what)
{
	char line[16];

	printf("{\"state\": \"%s\"}\n", what);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		errx(1, "nobody waits for me");
}

/* Bring in [@at, @end), of which the file has all. */
static void bring(struct memory *memory, bool private, off_t at, off_t end)
{
	if (!private && madvise(memory->mem + at, end - at, MADV_POPULATE_READ))
		err(1, "populate");
	while (private && at < end) {
		ssize_t n = pread(memory->fd, memory->mem + at, end - at, at);

		if (n <= 0)
			err(1, "read");
		at += n;
	}
}

static void load(struct memory *memory, const struct options *options)
{
	int flags = options->private ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
	off_t at = 0, hole;
	struct stat st;

	memory->fd = open(options->file, O_RDWR | O_CLOEXEC);
	if (memory->fd < 0 || fstat(memory->fd, &st))
		err(1, "%s", options->file);
	memory->size = st.st_size;
	memory->mem = mmap(NULL, memory->size, PROT_READ | PROT_WRITE, flags,
			   options->private ? -1 : memory->fd, 0);
	memory->bitmap = calloc(memory->size / PAGE / 64 + 1, sizeof(uint64_t));
	if (memory->mem == MAP_FAILED || !memory->bitmap)
		err(1, "memory");
	memory->whole = !options->bitmap;
	memset(memory->bitmap, 0xff, memory->size / PAGE / 8);
	while ((at = lseek(memory->fd, at, SEEK_DATA)) >= 0) {
		hole = lseek(memory->fd, at, SEEK_HOLE);
		bring(memory, options->private, at, hole);
		at = hole;
	}
}

static uint64_t rnd(uint64_t *seed)
{
	/* xorshift64 */
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* The guest writes, and its VMM logs it. */
static void dirty(struct memory *memory, unsigned int percent)
{
	uint64_t pages = memory->size / PAGE, left = pages * percent / 100, page;

	memory->whole = false;
	memset(memory->bitmap, 0, pages / 64 * 8 + 8);
	while (left) {
		page = rnd(&memory->seed) % pages;
		if (memory->bitmap[page / 64] >> page % 64 & 1)
			continue;
		memory->bitmap[page / 64] |= 1ull << page % 64;
		*(uint64_t *)(memory->mem + page * PAGE) = rnd(&memory->seed);
		left--;
	}
}

static int send_round(struct mfd_session *session, struct mfd_block *block,
		      struct memory *memory, bool first, struct result *result,
		      struct mfd_error *error)
{
	uint64_t start = thread_ns(), submitted;
	struct mfd_round round = { .size = sizeof(round) };
	int ret;

	ret = memory->whole ? mfd_send_all(block, MFD_SEND_FRESH, error) :
			      mfd_send_bitmap(block, 0, memory->size / PAGE, memory->bitmap,
					      first ? MFD_SEND_FRESH : 0, error);
	submitted = thread_ns();
	if (!ret)
		ret = mfd_round_finish(session, &round, error);
	result->submit_ns += submitted - start;
	result->wait_ns += thread_ns() - submitted;
	if (!ret && !first)
		result->round_ns += round.ns;
	return ret;
}

static int migrate(struct mfd_session *session, const struct options *options,
		   struct memory *memory, struct result *result, struct mfd_error *error)
{
	struct mfd_block *block;
	unsigned int round;
	uint64_t start;
	int ret;

	ret = mfd_setup(session, &options->params, error);
	if (!ret)
		ret = mfd_block_add(session, "ram0", memory->mem, memory->size, &block, error);
	if (!ret)
		ret = mfd_connect(session, options->to, error);
	for (round = 0; !ret && round < options->rounds; round++) {
		if (round) {
			start = thread_ns();
			dirty(memory, options->dirty);
			result->write_ns += thread_ns() - start;
		}
		ret = send_round(session, block, memory, !round, result, error);
		if (!ret && options->hold && (!round || round + 1 == options->rounds))
			say("held");
	}
	return ret ? ret : mfd_finish(session, error);
}

static void tell(const struct result *result, uint64_t wall)
{
	printf("{\"state\": \"done\", \"seconds\": %.6f, \"submit_ns\": %" PRIu64
	       ", \"wait_ns\": %" PRIu64 ", \"write_ns\": %" PRIu64 ", \"round_ns\": %" PRIu64
	       ", \"pages\": %" PRIu64 ", \"normal\": %" PRIu64 ", \"zero\": %" PRIu64
	       ", \"absent\": %" PRIu64 ", \"bytes\": %" PRIu64 "}\n",
	       wall / 1e9, result->submit_ns, result->wait_ns, result->write_ns,
	       result->round_ns, result->end.submitted, result->end.normal, result->end.zero,
	       result->end.absent, result->end.bytes);
	fflush(stdout);
}

static int choice(const char *text, const char *const *names)
{
	int i;

	for (i = 0; names[i]; i++)
		if (!strcmp(text, names[i]))
			return i;
	errx(2, "unknown: '%s'", text);
}

static void parse(struct options *options, int argc, char **argv)
{
	static const char *const detections[] = { "none", "legacy", "multifd", NULL };
	static const char *const methods[] = { "none", "zlib", "zstd", NULL };
	static const char *const firsts[] = { "all", "bitmap", NULL };
	static const struct option longs[] = {
		{ "to", required_argument, NULL, 't' },
		{ "memory", required_argument, NULL, 'm' },
		{ "private", no_argument, NULL, 'p' },
		{ "channels", required_argument, NULL, 'c' },
		{ "method", required_argument, NULL, 'M' },
		{ "zero", required_argument, NULL, 'z' },
		{ "first", required_argument, NULL, 'f' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "dirty", required_argument, NULL, 'd' },
		{ "hold", no_argument, NULL, 'h' },
		{ "machine", required_argument, NULL, 'T' },
		{ "mute", no_argument, NULL, 'u' },
		{ NULL, 0, NULL, 0 }
	};
	int c;

	mfd_params_init(&options->params);
	options->rounds = 1;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 't':
			options->to = optarg;
			break;
		case 'm':
			options->file = optarg;
			break;
		case 'p':
			options->private = true;
			break;
		case 'c':
			options->params.channels = atoi(optarg);
			break;
		case 'M':
			options->params.method = choice(optarg, methods);
			break;
		case 'z':
			options->params.detection = choice(optarg, detections);
			break;
		case 'f':
			options->bitmap = choice(optarg, firsts);
			break;
		case 'r':
			options->rounds = atoi(optarg);
			break;
		case 'd':
			options->dirty = atoi(optarg);
			break;
		case 'h':
			options->hold = true;
			break;
		case 'T':
			options->params.machine = optarg;
			break;
		case 'u':
			options->params.flags &= ~MFD_PARAMS_RETURN_PATH;
			break;
		default:
			exit(2);
		}
	}
	if (!options->to || !options->file)
		errx(2, "see the usage in the source");
}

/* The destination has taken the last write, too: leave what it must have. */
static void save(const struct memory *memory, const struct options *options)
{
	if (options->private && options->rounds > 1 &&
	    pwrite(memory->fd, memory->mem, memory->size, 0) != (ssize_t)memory->size)
		err(1, "%s", options->file);
}

int main(int argc, char **argv)
{
	struct options options = { .params.size = sizeof(options.params) };
	struct memory memory = { .seed = 1 };
	struct result result = { .end.size = sizeof(result.end) };
	struct mfd_session *session;
	struct mfd_error error = { .size = sizeof(error) };
	uint64_t start;

	parse(&options, argc, argv);
	load(&memory, &options);
	say("ready");
	start = clock_ns(CLOCK_MONOTONIC);
	if (mfd_open(&session, NULL, &error) || migrate(session, &options, &memory, &result, &error))
		errx(1, "%s", error.text);
	mfd_progress(session, &result.end);
	start = clock_ns(CLOCK_MONOTONIC) - start;
	mfd_close(session);
	save(&memory, &options);
	tell(&result, start);
	return fgetc(stdin) == EOF;
}

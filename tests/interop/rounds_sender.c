// SPDX-License-Identifier: GPL-2.0-only
/*
 * Migrates RAM blocks that change in every round in all the ways that a guest
 * can change them, and leaves what the destination must have in files.
 *
 * Usage: rounds_sender --to ADDRESS --channels N --zero none|legacy|multifd
 *		--flush section|round --machine NAME [--method none|zlib|zstd]
 *		[--level N] [--seed N] [--rounds N] [--ring-packets N] [--splice]
 *		[--by-fd] [--lose-page] [--image FILE] [--tls-creds DIR | --tls-psk FILE:USER]
 *		[--tls-hostname NAME] [--tls-priority TEXT] [--cancel MS]
 *		[--tls-mode auto|kernel|user] [--tls-key-records N]
 *		[--scribble SECONDS] IDSTR=PAGES=FILE[=KIND]…
 *
 * Blocks alternate between private anonymous memory and a shared mapping of
 * FILE; with --by-fd, the module gets the latter's fd instead of its address.
 * KIND says what their pages hold: random, text, image (memory of the guest whose
 * image --image names), zero (or nothing), mix (all of these), or any (the
 * default: all but text and image). Rounds are handed over in turn as everything
 * (fresh), as one bitmap, as ranges, and as two bitmaps whose seam is no multiple
 * of 64 pages. While a round is under way, pages change for the next one.
 *
 * --splice: the library moves the packets, not the module.
 *
 * --tls-…: encrypted; says how at the end.
 *
 * --cancel: the migration is cancelled so long after it began to connect; says how long
 * connecting took after that.
 *
 * --scribble: before the last round, the first block is sent over and over for so long,
 * while a thread writes to all of its pages all the time.
 *
 * --lose-page leaves one changed page out of the last round: whoever compares
 * the memory must notice.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <mfd.h>
#include <mfd_tls.h>

#define PAGE 4096ul
#define MAX_BLOCKS 8

/* What a page holds. */
enum state {
	ABSENT,		/* never touched, or given back */
	ZERO,		/* written, with zeros */
	SPARSE,		/* one byte is not zero */
	DATA,		/* what does not compress */
	TEXT,
	IMAGE,		/* what a guest had there */
	STATES
};

static const char *const state_name[STATES] = {
	"absent", "zero", "sparse", "data", "text", "image",
};

/* Which states a block's pages can be in, and whether neighbours are alike. */
struct kind {
	const char *name;
	bool runs;
	unsigned int nr;
	enum state state[STATES];
};

static const struct kind kinds[] = {
	{ "any", true, 4, { ABSENT, ZERO, SPARSE, DATA } },
	{ "random", true, 1, { DATA } },
	{ "text", true, 1, { TEXT } },
	{ "image", true, 1, { IMAGE } },
	{ "zero", true, 2, { ABSENT, ZERO } },
	{ "mix", false, 6, { ABSENT, ZERO, SPARSE, DATA, TEXT, IMAGE } },
};

struct block {
	char *idstr;
	const char *file;
	const struct kind *kind;
	uint64_t pages;
	unsigned char *mem;
	bool shared;
	int fd;
	unsigned char *state;
	uint64_t *dirty;
	struct mfd_block *handle;
};

static struct block blocks[MAX_BLOCKS];
static unsigned int nr_blocks;
static uint64_t rng_state;
static int image_fd = -1;
static uint64_t image_pages, image_page;

static uint64_t rng(void)
{
	/* xorshift64 */
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

/* Words of which some are frequent and most are not, with numbers in between. */
static void write_text(char *mem)
{
	static const char *const words[] = {
		"the", "page", "of", "guest", "memory", "and", "a", "to", "is", "channel",
		"migration", "packet", "dirty", "round", "destination", "kernel", "stream",
		"precopy", "downtime", "block", "offset", "compression", "window", "level",
	};
	const size_t nr = sizeof(words) / sizeof(words[0]);
	size_t at = 0;

	while (at < PAGE) {
		uint64_t r = rng();
		size_t word = (r & 0xffff) % nr * ((r >> 16 & 0xffff) % nr) / nr;
		int n = snprintf(mem + at, PAGE - at, r >> 60 ? "%s " : "%s, %u\n", words[word],
				 (unsigned int)(r >> 32 & 0xffff));

		at += n;
	}
}

/* What stands side by side in the guest does so here, too; mostly. */
static void read_image(unsigned char *mem)
{
	if (image_fd < 0)
		errx(2, "no --image");
	if (!(rng() % 32))
		image_page = rng();
	image_page = (image_page + 1) % image_pages;
	if (pread(image_fd, mem, PAGE, image_page * PAGE) != PAGE)
		err(2, "the image");
}

static void open_image(const char *file)
{
	off_t size;

	image_fd = open(file, O_RDONLY);
	size = image_fd < 0 ? 0 : lseek(image_fd, 0, SEEK_END);
	if (size < (off_t)PAGE)
		err(2, "%s", file);
	image_pages = size / PAGE;
}

static enum state any_state(const struct block *block)
{
	return block->kind->state[rng() % block->kind->nr];
}

static void change_page(struct block *block, uint64_t page, enum state to)
{
	unsigned char *mem = block->mem + page * PAGE;
	uint64_t word;
	size_t i;

	switch (to) {
	case ABSENT:
		if (madvise(mem, PAGE, block->shared ? MADV_REMOVE : MADV_DONTNEED))
			err(2, "madvise");
		break;
	case ZERO:
		memset(mem, 0, PAGE);
		break;
	case SPARSE:
		memset(mem, 0, PAGE);
		mem[rng() % PAGE] = 1 + rng() % 255;
		break;
	case TEXT:
		write_text((char *)mem);
		break;
	case IMAGE:
		read_image(mem);
		break;
	default:
		for (i = 0; i < PAGE; i += sizeof(word)) {
			word = rng();
			memcpy(mem + i, &word, sizeof(word));
		}
	}
	block->state[page] = to;
}

static void mark(struct block *block, uint64_t page)
{
	block->dirty[page / 64] |= 1ull << (page % 64);
}

/* A run of pages to be treated alike: most are up to @few, some up to @many. */
static uint64_t run_length(const struct block *block, unsigned int few, unsigned int many)
{
	return block->kind->runs ? 1 + rng() % (rng() % 4 ? few : many) : 1;
}

/* The memory before the first round; most of it in runs, as guests have it. */
static void fill(struct block *block)
{
	uint64_t page, run = 0;
	enum state to = DATA;

	for (page = 0; page < block->pages; page++, run--) {
		if (!run) {
			run = run_length(block, 8, 600);
			to = any_state(block);
		}
		if (to != ABSENT)
			change_page(block, page, to);
	}
}

/* Pages of some block can be in both states. */
static bool both(enum state from, enum state to)
{
	unsigned int i, n, found;

	for (i = 0; i < nr_blocks; i++) {
		const struct kind *kind = blocks[i].kind;

		for (n = 0, found = 0; n < kind->nr; n++)
			found |= (kind->state[n] == from) | (kind->state[n] == to) << 1;
		if (found == 3)
			return true;
	}
	return false;
}

/* Change pages of all blocks for the next round, each state into each other. */
static void change(unsigned int round)
{
	unsigned long count[STATES][STATES] = { 0 };
	unsigned int from, to, i;
	uint64_t page;

	for (i = 0; i < nr_blocks; i++) {
		struct block *block = &blocks[i];
		uint64_t run = 0;
		bool hit = false;

		for (page = 0; page < block->pages; page++, run--) {
			if (!run) {
				run = run_length(block, 4, 200);
				hit = !(rng() % (block->kind->runs ? 4 : 2));
			}
			/* the corners of a block, always */
			if (!hit && page && page != block->pages - 1)
				continue;
			to = any_state(block);
			count[block->state[page]][to]++;
			change_page(block, page, to);
			mark(block, page);
		}
	}
	printf("for round %u:", round);
	for (from = 0; from < STATES; from++) {
		for (to = 0; to < STATES; to++) {
			if (!both(from, to))
				continue;
			if (!count[from][to])
				errx(2, "nothing turned from %s to %s", state_name[from],
				     state_name[to]);
			printf(" %s>%s %lu", state_name[from], state_name[to], count[from][to]);
		}
	}
	printf("\n");
}

static int hand_over(struct mfd_session *session, struct block *block, bool by_fd,
		     struct mfd_error *error)
{
	uint64_t length = block->pages * PAGE;

	if (by_fd && block->shared)
		return mfd_block_add_fd(session, block->idstr, block->fd, 0, length,
					&block->handle, error);
	return mfd_block_add(session, block->idstr, block->mem, length, &block->handle, error);
}

static int send_ranges(struct block *block, const uint64_t *dirty, struct mfd_error *error)
{
	struct mfd_range *range = calloc(block->pages, sizeof(*range));
	uint64_t base = (uintptr_t)block->mem;
	uint32_t nr = 0;
	uint64_t page;
	int ret;

	if (!range)
		err(2, "calloc");
	for (page = 0; page < block->pages; page++) {
		if (!(dirty[page / 64] >> (page % 64) & 1))
			continue;
		if (!nr || range[nr - 1].end != base + page * PAGE)
			range[nr++].start = base + page * PAGE;
		range[nr - 1].end = base + (page + 1) * PAGE;
	}
	ret = mfd_send_ranges(block->handle, range, nr, base, 0, error);
	free(range);
	return ret;
}

/* The seam is at @seam: the second bitmap is shifted by it. */
static int send_two_bitmaps(struct block *block, const uint64_t *dirty, uint64_t seam,
			    struct mfd_error *error)
{
	uint64_t *second = calloc(block->pages / 64 + 1, sizeof(*second));
	uint64_t page;
	int ret;

	if (!second)
		err(2, "calloc");
	for (page = seam; page < block->pages; page++)
		if (dirty[page / 64] >> (page % 64) & 1)
			second[(page - seam) / 64] |= 1ull << ((page - seam) % 64);
	ret = mfd_send_bitmap(block->handle, 0, seam, dirty, 0, error);
	if (!ret)
		ret = mfd_send_bitmap(block->handle, seam, block->pages - seam, second, 0, error);
	free(second);
	return ret;
}

static int send_round(struct block *block, unsigned int round, const uint64_t *dirty,
		      struct mfd_error *error)
{
	if (!round)
		return mfd_send_all(block->handle, MFD_SEND_FRESH, error);
	switch (round % 3) {
	case 1:
		return mfd_send_bitmap(block->handle, 0, block->pages, dirty, 0, error);
	case 2:
		return send_ranges(block, dirty, error);
	default:
		return send_two_bitmaps(block, dirty, block->pages / 3 | 1, error);
	}
}

static void add_block(char *spec)
{
	struct block *block = &blocks[nr_blocks];
	char *pages = strchr(spec, '='), *file = pages ? strchr(pages + 1, '=') : NULL;
	char *kind = file ? strchr(file + 1, '=') : NULL;
	unsigned int i;

	if (!file || nr_blocks == MAX_BLOCKS)
		errx(2, "not a block: %s", spec);
	*pages++ = 0;
	*file++ = 0;
	if (kind)
		*kind++ = 0;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kind ?: "any", kinds[i].name))
			block->kind = &kinds[i];
	if (!block->kind)
		errx(2, "unknown kind of contents: %s", kind);
	block->idstr = spec;
	block->pages = strtoul(pages, NULL, 0);
	block->file = file;
	block->shared = nr_blocks++ % 2;
	block->fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (block->fd < 0 || ftruncate(block->fd, block->pages * PAGE))
		err(2, "%s", file);
	block->mem = mmap(NULL, block->pages * PAGE, PROT_READ | PROT_WRITE,
			  block->shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS,
			  block->shared ? block->fd : -1, 0);
	block->state = calloc(block->pages, 1);
	block->dirty = calloc(block->pages / 64 + 1, 8);
	if (block->mem == MAP_FAILED || !block->state || !block->dirty)
		err(2, "memory for %s", block->idstr);
}

static unsigned int cancel_ms;
static double cancelled_ms;

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void *cancel(void *session)
{
	usleep(cancel_ms * 1000);
	cancelled_ms = now_ms();
	mfd_cancel(session);
	return NULL;
}

static _Atomic bool scribbling;

/* As a guest would: whole pages, in no order, without asking anybody. */
static void *scribble(void *data)
{
	struct block *block = data;
	uint64_t state = 88172645463325252ull;

	while (scribbling) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		memset(block->mem + state % block->pages * PAGE, state >> 32, PAGE);
	}
	return NULL;
}

/* Send the block again and again while it changes; it is all dirty then. */
static int send_scribbled(struct mfd_session *session, struct block *block, unsigned int seconds,
			  struct mfd_error *error)
{
	time_t until = time(NULL) + seconds;
	unsigned int rounds = 0;
	pthread_t thread;
	int ret = 0;

	memset(block->dirty, 0xff, (block->pages / 64 + 1) * 8);
	scribbling = true;
	if (pthread_create(&thread, NULL, scribble, block))
		errx(1, "no thread");
	for (; !ret && time(NULL) < until; rounds++) {
		ret = mfd_send_all(block->handle, 0, error);
		if (!ret)
			ret = mfd_round_finish(session, NULL, error);
	}
	scribbling = false;
	pthread_join(thread, NULL);
	printf("%u rounds while it was written to\n", rounds);
	return ret;
}

static void tell_tls(struct mfd_tls *tls)
{
	struct mfd_tls_info info = { .size = sizeof(info) };

	if (tls && !mfd_tls_info(tls, &info))
		printf("tls: %s; %u connections, %u by the kernel, %u new keys\n", info.session,
		       info.connections, info.kernel, info.key_updates);
}

static void save(const struct block *block)
{
	uint64_t done = 0, length = block->pages * PAGE;

	if (block->shared)
		return;
	while (done < length) {
		ssize_t n = write(block->fd, block->mem + done, length - done);

		if (n < 0)
			err(2, "%s", block->file);
		done += n;
	}
}

static int choice(const char *what, const char *text, const char *const *names)
{
	int i;

	for (i = 0; names[i]; i++)
		if (!strcmp(text, names[i]))
			return i;
	errx(2, "unknown %s '%s'", what, text);
}

int main(int argc, char **argv)
{
	static const char *const detections[] = { "none", "legacy", "multifd", NULL };
	static const char *const flushes[] = { "section", "round", NULL };
	static const char *const methods[] = { "none", "zlib", "zstd", NULL };
	static const char *const modes[] = { "auto", "kernel", "user", NULL };
	static const struct option options[] = {
		{ "tls-creds", required_argument, NULL, 'C' },
		{ "tls-psk", required_argument, NULL, 'P' },
		{ "cancel", required_argument, NULL, 'x' },
		{ "tls-hostname", required_argument, NULL, 'H' },
		{ "tls-priority", required_argument, NULL, 'I' },
		{ "tls-mode", required_argument, NULL, 'O' },
		{ "tls-key-records", required_argument, NULL, 'K' },
		{ "scribble", required_argument, NULL, 'B' },
		{ "to", required_argument, NULL, 't' },
		{ "channels", required_argument, NULL, 'c' },
		{ "zero", required_argument, NULL, 'z' },
		{ "flush", required_argument, NULL, 'f' },
		{ "machine", required_argument, NULL, 'm' },
		{ "method", required_argument, NULL, 'M' },
		{ "level", required_argument, NULL, 'L' },
		{ "image", required_argument, NULL, 'i' },
		{ "seed", required_argument, NULL, 's' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "ring-packets", required_argument, NULL, 'p' },
		{ "splice", no_argument, NULL, 'S' },
		{ "by-fd", no_argument, NULL, 'b' },
		{ "lose-page", no_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 }
	};
	struct mfd_error error = { .size = sizeof(error) };
	struct mfd_session *session;
	unsigned int round, rounds = 4, i;
	struct mfd_params params = { .size = sizeof(params) };
	struct mfd_tls_params tls = { .size = sizeof(tls) };
	unsigned int scribble_s = 0;
	pthread_t canceller;
	const char *to = NULL;
	bool lose = false, by_fd = false;
	int c;

	setvbuf(stdout, NULL, _IOLBF, 0);
	mfd_params_init(&params);
	params.stall_ms = 30000;
	rng_state = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'C':
			tls.dir = optarg;
			break;
		case 'P':
			tls.psk_user = strrchr(optarg, ':') + 1;
			*strrchr(optarg, ':') = 0;
			tls.psk_file = optarg;
			break;
		case 'x':
			cancel_ms = atoi(optarg);
			break;
		case 'H':
			tls.hostname = optarg;
			break;
		case 'I':
			tls.priority = optarg;
			break;
		case 'O':
			tls.mode = choice("mode", optarg, modes);
			break;
		case 'K':
			tls.key_records = strtoull(optarg, NULL, 0);
			break;
		case 'B':
			scribble_s = atoi(optarg);
			break;
		case 't':
			to = optarg;
			break;
		case 'c':
			params.channels = atoi(optarg);
			break;
		case 'z':
			params.detection = choice("detection", optarg, detections);
			break;
		case 'f':
			params.flush = choice("flush", optarg, flushes);
			break;
		case 'm':
			params.machine = optarg;
			break;
		case 'M':
			params.method = choice("method", optarg, methods);
			break;
		case 'L':
			params.level = atoi(optarg);
			break;
		case 'i':
			open_image(optarg);
			break;
		case 's':
			rng_state = strtoul(optarg, NULL, 0) + 1;
			break;
		case 'r':
			rounds = atoi(optarg);
			break;
		case 'p':
			params.ring_packets = atoi(optarg);
			break;
		case 'S':
			params.flags |= MFD_PARAMS_SPLICE;
			break;
		case 'b':
			by_fd = true;
			break;
		case 'l':
			lose = true;
			break;
		default:
			return 2;
		}
	}
	for (; optind < argc; optind++)
		add_block(argv[optind]);
	if (!to || !nr_blocks || rounds < 2)
		errx(2, "see the usage in the source");

	if ((tls.dir || tls.psk_file) && mfd_tls_source(&params.tls, &tls, &error))
		errx(1, "%s", error.text);
	if (mfd_open(&session, NULL, &error) || mfd_setup(session, &params, &error))
		errx(1, "%s", error.text);
	for (i = 0; i < nr_blocks; i++) {
		fill(&blocks[i]);
		if (hand_over(session, &blocks[i], by_fd, &error))
			errx(1, "%s", error.text);
	}
	if (cancel_ms && pthread_create(&canceller, NULL, cancel, session))
		errx(1, "no thread");
	if (mfd_connect(session, to, &error)) {
		if (cancel_ms)
			printf("%.0f ms after it was cancelled\n", now_ms() - cancelled_ms);
		errx(1, "%s", error.text);
	}

	for (round = 0; round < rounds; round++) {
		struct mfd_round result = { .size = sizeof(result) };

		if (scribble_s && round == rounds - 1 &&
		    send_scribbled(session, &blocks[0], scribble_s, &error))
			errx(1, "while it was written to: %s", error.text);
		for (i = 0; i < nr_blocks; i++) {
			struct block *block = &blocks[i];

			/* page 0 is always among the changed ones */
			if (lose && round == rounds - 1 && !i) {
				block->dirty[0] &= ~1ull;
				memset(block->mem, 0xa5, PAGE);
			}
			if (send_round(block, round, block->dirty, &error))
				errx(1, "round %u: %s", round, error.text);
			memset(block->dirty, 0, (block->pages / 64 + 1) * 8);
		}
		if (round < rounds - 1)
			change(round + 1);
		if (mfd_round_finish(session, &result, &error))
			errx(1, "round %u: %s", round, error.text);
		printf("round %u: %llu pages, %llu normal, %llu zero, %llu absent\n", round,
		       (unsigned long long)result.pages, (unsigned long long)result.normal,
		       (unsigned long long)result.zero, (unsigned long long)result.absent);
	}
	if (mfd_finish(session, &error))
		errx(1, "%s", error.text);
	mfd_close(session);
	tell_tls(params.tls);
	mfd_tls_free(params.tls);
	for (i = 0; i < nr_blocks; i++)
		save(&blocks[i]);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Usage: comp_native IMAGE MEGABYTES RUNS METHOD:LEVEL…
 *
 * How fast the module's compressor is, and how small it makes a guest's memory,
 * beside the user-space library the way a stock QEMU calls it. Natively, on one
 * CPU. METHOD is zlib or zstd.
 *
 * The first MEGABYTES of IMAGE's pages that are not zero are compressed, in
 * packets of 128 pages taken from all over the image. Both take turns, RUNS
 * times. Every packet of ours is decompressed once, page by page as QEMU does
 * it, and compared. One line of JSON for each METHOD:LEVEL and contestant.
 */
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <zlib.h>
#include <zstd.h>

#include "decode.h"

#define PAGE 4096u
#define PACKET 128u
#define GROUP 8u	/* packets in a row that a stretch of the image has */
#define RUNS_MAX 99u

enum { ZLIB = 1, ZSTD = 2 };	/* enum mzp_method */

extern size_t bench_kernel_memory;
long bench_kernel_open(void **comp, unsigned int method, int level);
void bench_kernel_close(void *comp);
long bench_kernel_packet(void *comp, void *const *page, unsigned int nr, const void **payload);

static void **pages;
static size_t nr_packets;
static uint8_t *output;	/* as large as QEMU's */

/* --- a stock source */
struct peer {
	unsigned int method;
	z_stream zlib;
	ZSTD_CCtx *zstd;
	uint8_t page[PAGE];
};

static void peer_open(struct peer *peer, unsigned int method, int level)
{
	memset(peer, 0, sizeof(*peer));
	peer->method = method;
	if (method == ZSTD)
		peer->zstd = ZSTD_createCStream();
	if (method == ZSTD ? ZSTD_isError(ZSTD_initCStream(peer->zstd, level)) :
			     deflateInit(&peer->zlib, level) != Z_OK)
		errx(1, "no stream of level %d", level);
}

static void peer_close(struct peer *peer)
{
	ZSTD_freeCStream(peer->zstd);
	if (peer->method == ZLIB)
		deflateEnd(&peer->zlib);
}

/* QEMU copies a page for zlib, which breaks when its input changes; not for zstd. */
static size_t peer_zlib(struct peer *peer, void *const *page)
{
	unsigned int i;

	peer->zlib.next_out = output;
	peer->zlib.avail_out = 2 * PACKET * PAGE;
	for (i = 0; i < PACKET; i++) {
		memcpy(peer->page, page[i], PAGE);
		peer->zlib.next_in = peer->page;
		peer->zlib.avail_in = PAGE;
		if (deflate(&peer->zlib, i == PACKET - 1 ? Z_SYNC_FLUSH : Z_NO_FLUSH) != Z_OK)
			errx(1, "deflate failed");
	}
	return peer->zlib.next_out - output;
}

static size_t peer_zstd(struct peer *peer, void *const *page)
{
	ZSTD_outBuffer out = { output, 2 * PACKET * PAGE, 0 };
	unsigned int i;

	for (i = 0; i < PACKET; i++) {
		ZSTD_EndDirective flush = i == PACKET - 1 ? ZSTD_e_flush : ZSTD_e_continue;
		ZSTD_inBuffer in = { page[i], PAGE, 0 };
		size_t left;

		do {
			left = ZSTD_compressStream2(peer->zstd, &out, &in, flush);
			if (ZSTD_isError(left))
				errx(1, "zstd: %s", ZSTD_getErrorName(left));
		} while (in.pos < PAGE || (flush == ZSTD_e_flush && left));
	}
	return out.pos;
}

/* --- a stock destination */
static void check(struct decode *decode, const void *payload, size_t size, void *const *page)
{
	static uint8_t to[PACKET * PAGE];
	const char *why = decode_packet(decode, payload, size, to, PACKET);
	unsigned int i;

	if (why)
		errx(1, "a destination would refuse a packet: %s", why);
	for (i = 0; i < PACKET; i++)
		if (memcmp(to + i * PAGE, page[i], PAGE))
			errx(1, "page %u of a packet is not what it was", i);
}

/* --- measuring */
static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return time.tv_sec + time.tv_nsec * 1e-9;
}

/* Return: seconds; compressed bytes in @bytes. */
static double run_ours(unsigned int method, int level, size_t *bytes, struct decode *decode)
{
	const void *payload;
	double seconds;
	void *comp;
	size_t i;

	*bytes = 0;
	bench_kernel_memory = 0;
	if (bench_kernel_open(&comp, method, level))
		errx(1, "the module takes no level %d", level);
	seconds = now();
	for (i = 0; i < nr_packets; i++) {
		long size = bench_kernel_packet(comp, &pages[i * PACKET], PACKET, &payload);

		if (size < 0)
			errx(1, "the module's compressor failed: %ld", size);
		if (decode)
			check(decode, payload, size, &pages[i * PACKET]);
		*bytes += size;
	}
	seconds = now() - seconds;
	bench_kernel_close(comp);
	return seconds;
}

static double run_peer(unsigned int method, int level, size_t *bytes)
{
	struct peer peer;
	double seconds;
	size_t i;

	*bytes = 0;
	peer_open(&peer, method, level);
	seconds = now();
	for (i = 0; i < nr_packets; i++)
		*bytes += method == ZLIB ? peer_zlib(&peer, &pages[i * PACKET]) :
					   peer_zstd(&peer, &pages[i * PACKET]);
	seconds = now() - seconds;
	peer_close(&peer);
	return seconds;
}

static void print(const char *what, const char *who, const double *seconds, unsigned int runs,
		  size_t bytes, size_t memory)
{
	double size = (double)nr_packets * PACKET * PAGE;
	unsigned int i;

	printf("{\"what\": \"%s\", \"who\": \"%s\", \"ratio\": %.4f, \"memory\": %zu, \"mb_s\": [",
	       what, who, size / bytes, memory);
	for (i = 0; i < runs; i++)
		printf("%s%.1f", i ? ", " : "", size / 1e6 / seconds[i]);
	printf("]}\n");
	fflush(stdout);
}

static void measure(const char *what, unsigned int runs)
{
	double ours[RUNS_MAX], peer[RUNS_MAX];
	size_t bytes_ours, bytes_peer = 0;
	unsigned int method, i;
	struct decode *decode;
	char name[8];
	int level;

	if (sscanf(what, "%7[a-z]:%d", name, &level) != 2)
		errx(1, "not METHOD:LEVEL: %s", what);
	method = strcmp(name, "zlib") ? ZSTD : ZLIB;
	decode = decode_open(method == ZSTD);
	run_ours(method, level, &bytes_ours, decode);
	decode_close(decode);
	for (i = 0; i < runs; i++) {
		ours[i] = run_ours(method, level, &bytes_ours, NULL);
		peer[i] = run_peer(method, level, &bytes_peer);
	}
	print(what, "module", ours, runs, bytes_ours, bench_kernel_memory);
	print(what, "library", peer, runs, bytes_peer, 0);
}

/* The image's pages that are not zero; of those, stretches from all over it. */
static void load(const char *name, size_t megabytes)
{
	static const uint8_t zero[PAGE];
	int fd = open(name, O_RDONLY);
	size_t nr = 0, groups, all, count, i;
	struct stat stat;
	uint8_t *image;

	if (fd < 0 || fstat(fd, &stat))
		err(1, "%s", name);
	count = stat.st_size / PAGE;
	image = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	pages = calloc(count, sizeof(*pages));
	output = malloc(2 * PACKET * PAGE);
	if (image == MAP_FAILED || !pages || !output)
		err(1, "%s", name);
	for (i = 0; i < count; i++)
		if (memcmp(image + i * PAGE, zero, PAGE))
			pages[nr++] = image + i * PAGE;
	all = nr / (GROUP * PACKET);
	groups = (megabytes << 20) / (GROUP * PACKET * PAGE);
	if (groups > all)
		groups = all;
	if (!groups)
		errx(1, "%s is too small", name);
	for (i = 0; i < groups; i++)
		memmove(&pages[i * GROUP * PACKET], &pages[i * all / groups * GROUP * PACKET],
			GROUP * PACKET * sizeof(*pages));
	nr_packets = groups * GROUP;
}

int main(int argc, char **argv)
{
	unsigned int runs = argc > 4 ? strtoul(argv[3], NULL, 10) : 0;
	cpu_set_t cpus;
	int i;

	if (!runs || runs > RUNS_MAX)
		errx(2, "usage: comp_native IMAGE MEGABYTES RUNS METHOD:LEVEL...");
	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	load(argv[1], strtoul(argv[2], NULL, 10));
	for (i = 4; i < argc; i++)
		measure(argv[i], runs);
	return 0;
}

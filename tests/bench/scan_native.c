// SPDX-License-Identifier: GPL-2.0-only
/*
 * Usage: scan_native MEGABYTES RUNS
 *
 * How fast zero pages are found, natively, on one CPU, in memory that no cache
 * holds: by the module; by a loop of AVX2 instructions with the same look at three
 * words first, as a stock QEMU has it; and beside these, what the machine can do:
 * reading every byte of these pages and nothing else, in vectors, and memcpy().
 *
 * Pages come in calls of 128, either one behind the other or, as a guest's are,
 * in any order. All contestants take turns, RUNS times. One line of JSON for each
 * memory and contestant: nanoseconds a page of every run; and how long calls took
 * in all runs, since between two calls the module lets others have the CPU.
 */
#include <err.h>
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE 4096ul
#define CALL 128u
#define HUGE (2ul << 20)
#define RUNS_MAX 99u

unsigned int bench_kernel_zeros(void *const *page, unsigned int nr);

static uint8_t *memory;
static size_t nr_pages;
static void **pages;
static uint8_t copy[CALL * PAGE];

/* --- contestants: how many of @nr pages are zero */
__attribute__((target("avx2"))) static bool avx2_zero(const uint8_t *page)
{
	size_t i;

	for (i = 0; i < PAGE; i += 128) {
		const __m256i *at = (const __m256i *)(page + i);
		__m256i all = _mm256_or_si256(_mm256_or_si256(at[0], at[1]),
					      _mm256_or_si256(at[2], at[3]));

		if (!_mm256_testz_si256(all, all))
			return false;
	}
	return true;
}

static bool samples_zero(const uint64_t *word)
{
	return !(word[0] | word[PAGE / 16] | word[PAGE / 8 - 1]);
}

static unsigned int by_avx2(void *const *page, unsigned int nr)
{
	unsigned int i, zeros = 0;

	for (i = 0; i < nr; i++)
		zeros += samples_zero(page[i]) && avx2_zero(page[i]);
	return zeros;
}

/* Every byte, whatever it is; the sum is only there to be needed. */
__attribute__((target("avx2"))) static unsigned int by_reading(void *const *page,
							       unsigned int nr)
{
	__m256i a = _mm256_setzero_si256(), b = a;
	unsigned int i;
	size_t byte;

	for (i = 0; i < nr; i++) {
		for (byte = 0; byte < PAGE; byte += 128) {
			const __m256i *at = (const __m256i *)((uint8_t *)page[i] + byte);

			a = _mm256_or_si256(_mm256_or_si256(a, at[0]), at[1]);
			b = _mm256_or_si256(_mm256_or_si256(b, at[2]), at[3]);
		}
	}
	a = _mm256_or_si256(a, b);
	return _mm256_testz_si256(a, a) ? nr : 0;
}

static unsigned int by_copying(void *const *page, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		memcpy(copy + i * PAGE, page[i], PAGE);
	return 0;
}

static const struct {
	const char *name;
	unsigned int (*zeros)(void *const *page, unsigned int nr);
	bool counts;
} who[] = {
	{ "module", bench_kernel_zeros, true },
	{ "AVX2", by_avx2, true },
	{ "reading", by_reading, false },
	{ "memcpy", by_copying, false },
};

#define WHO (sizeof(who) / sizeof(*who))

/* --- memories */
static void scatter(void)
{
	size_t i;

	srandom(1);
	for (i = nr_pages - 1; i; i--) {
		size_t other = random() % (i + 1);
		void *page = pages[i];

		pages[i] = pages[other];
		pages[other] = page;
	}
}

static const struct memory {
	const char *name;
	bool scattered;
	unsigned int data;	/* one page of so many is not zero; 0: none */
} memories[] = {
	{ "zero, in order", false, 0 },
	{ "zero, scattered", true, 0 },
	{ "every other zero, scattered", true, 2 },
	{ "not zero, scattered", true, 1 },
};

/* Return: how many pages are zero. */
static size_t fill(const struct memory *what)
{
	size_t i, zeros = nr_pages;

	/* touched, not only mapped */
	memset(memory, 1, nr_pages * PAGE);
	memset(memory, 0, nr_pages * PAGE);
	for (i = 0; i < nr_pages; i++)
		pages[i] = memory + i * PAGE;
	if (what->scattered)
		scatter();
	for (i = 0; what->data && i < nr_pages; i += what->data, zeros--)
		memset(pages[i], 0x5a, PAGE);
	return zeros;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

/* All pages once; each call's time goes to @call. Return: nanoseconds a page. */
static double run(unsigned int contestant, size_t expected, float *call)
{
	double start = now(), before = start, after;
	size_t i, zeros = 0;

	for (i = 0; i < nr_pages; i += CALL, before = after) {
		zeros += who[contestant].zeros(pages + i, CALL);
		after = now();
		*call++ = (after - before) / 1000;
	}
	if (who[contestant].counts && zeros != expected)
		errx(1, "%s: %zu zero pages instead of %zu", who[contestant].name, zeros,
		     expected);
	return (before - start) / nr_pages;
}

static int compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void print(const struct memory *what, unsigned int contestant, const double *ns,
		  float *call, unsigned int runs)
{
	size_t calls = nr_pages / CALL * runs;
	unsigned int n;

	qsort(call, calls, sizeof(*call), compare);
	printf("{\"what\": \"%s\", \"who\": \"%s\", \"ns_page\": [", what->name,
	       who[contestant].name);
	for (n = 0; n < runs; n++)
		printf("%s%.1f", n ? ", " : "", ns[n]);
	printf("], \"call_us\": {\"p50\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f, \"max\": %.1f}}\n",
	       call[calls / 2], call[calls * 99 / 100], call[calls * 999 / 1000],
	       call[calls - 1]);
}

static void measure(const struct memory *what, unsigned int runs)
{
	static double ns[WHO][RUNS_MAX];
	size_t zeros = fill(what), calls = nr_pages / CALL;
	float *call = calloc(WHO * runs * calls, sizeof(*call));
	unsigned int i, n;

	if (!call)
		err(1, "memory");
	for (n = 0; n < runs; n++)
		for (i = 0; i < WHO; i++)
			ns[i][n] = run(i, zeros, call + (i * runs + n) * calls);
	for (i = 0; i < WHO; i++)
		print(what, i, ns[i], call + i * runs * calls, runs);
	fflush(stdout);
	free(call);
}

/* Aligned to huge pages, and made of them if there are any: as the kernel maps memory. */
static void make_memory(size_t size)
{
	uint8_t *map = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		err(1, "%zu MiB", size >> 20);
	memory = (uint8_t *)(((uintptr_t)map + HUGE - 1) & ~(HUGE - 1));
	madvise(memory, size, MADV_HUGEPAGE);
	nr_pages = size / PAGE;	/* whole calls, since these are whole MiB */
	pages = calloc(nr_pages, sizeof(*pages));
	if (!pages)
		err(1, "memory");
}

int main(int argc, char **argv)
{
	unsigned long megabytes = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long runs = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	size_t i;

	if (!megabytes || !runs || runs > RUNS_MAX)
		errx(2, "usage: scan_native MEGABYTES RUNS");
	if (!__builtin_cpu_supports("avx2"))
		errx(1, "this CPU has no AVX2");
	make_memory(megabytes << 20);
	for (i = 0; i < sizeof(memories) / sizeof(*memories); i++)
		measure(&memories[i], runs);
	return 0;
}

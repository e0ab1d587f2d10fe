// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jobs, as they are begun and canceled: SEND takes what is in the block and refuses
 * all else, whatever it is told about the input; after CANCEL, everything is over.
 */
#include "fix.h"

#include <sys/mman.h>

static void errors(void **state)
{
	static uint64_t bits[RAM_PAGES / 64] = { 1 };
	static struct mzp_range range[4];
	void *hole = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mzp_send send;
	struct fix f;

	(void)state;
	fix_open(&f);
#define TRY(want, ...)                                                         \
	do {                                                                   \
		send = (struct mzp_send){                                      \
			.size = sizeof(send), .block_id = f.block,             \
			.page_count = 8,                                       \
		};                                                             \
		__VA_ARGS__;                                                   \
		gives(want, mzp(f.fd, MZP_IOC_SEND, &send));                   \
	} while (0)
#define BITMAP (send.format = MZP_SEND_BITMAP, send.input = (uintptr_t)bits)
#define RANGE(n, from, to) (range[n] = (struct mzp_range){ (from) * PAGE, (to) * PAGE, 0 })
#define RANGES(n)                                                              \
	(send.format = MZP_SEND_RANGES, send.input = (uintptr_t)range,         \
	 send.nr_ranges = (n), send.page_count = RAM_PAGES)

	TRY(ENOENT, send.block_id += 1000);
	TRY(ENOENT, send.block_id = UINT32_MAX);
	TRY(EINVAL, send.format = 3);
	TRY(EINVAL, send.format = UINT32_MAX);
	TRY(EINVAL, send.page_count = 0);
	TRY(ERANGE, send.page_count = RAM_PAGES + 1);
	TRY(ERANGE, send.first_page = RAM_PAGES);
	TRY(ERANGE, (send.first_page = RAM_PAGES - 7));
	TRY(ERANGE, (send.first_page = 1, send.page_count = RAM_PAGES));
	TRY(ERANGE, send.page_count = 1ul << 52);
	TRY(ERANGE, (send.first_page = 1ul << 52, send.page_count = 1));
	TRY(ERANGE, (send.first_page = 1ul << 63, send.page_count = 1));
	TRY(EOVERFLOW, (send.first_page = UINT64_MAX, send.page_count = 1));
	TRY(EOVERFLOW, (send.first_page = 1, send.page_count = UINT64_MAX));
	TRY(EOVERFLOW, (send.first_page = 1ul << 63, send.page_count = 1ul << 63));

	/* input that does not belong to the format */
	TRY(EINVAL, send.input = (uintptr_t)bits);
	TRY(EINVAL, send.nr_ranges = 1);
	TRY(EINVAL, (BITMAP, send.nr_ranges = 1));

	TRY(EFAULT, (BITMAP, send.input = 0));
	TRY(EFAULT, (BITMAP, send.input = (uintptr_t)hole));
	TRY(EFAULT, (BITMAP, send.input = (uintptr_t)hole - 4));
	TRY(EFAULT, (BITMAP, send.input = -8ul));
	TRY(EFAULT, (BITMAP, send.input = 1ul << 63));

	TRY(EFAULT, (RANGES(1), send.input = 0));
	TRY(EFAULT, (RANGES(1), send.input = (uintptr_t)hole));
	TRY(EFAULT, (RANGES(1), send.input = -8ul));
	TRY(EINVAL, (RANGE(0, 3, 3), RANGES(1)));
	TRY(EINVAL, (RANGE(0, 4, 3), RANGES(1)));
	TRY(EINVAL, (RANGE(0, 4, 6), RANGE(1, 2, 3), RANGES(2)));
	TRY(EINVAL, (RANGE(0, 4, 6), RANGE(1, 5, 7), RANGES(2)));
	TRY(EINVAL, (RANGE(0, 4, 6), RANGE(1, 4, 6), RANGES(2)));
	TRY(EINVAL, (RANGE(0, 4, 6), RANGE(1, 6, 6), RANGES(2)));
	TRY(EINVAL, (RANGE(0, 4, 6), range[0].start++, RANGES(1)));
	TRY(EINVAL, (RANGE(0, 4, 6), range[0].end--, RANGES(1)));
	TRY(EINVAL, (RANGE(0, 4, 6), RANGES(1), send.ranges_base = 1));
	TRY(ERANGE, (RANGE(0, 4, RAM_PAGES + 1), RANGES(1)));
	TRY(ERANGE, (RANGE(0, RAM_PAGES, RAM_PAGES + 1), RANGES(1)));
	TRY(ERANGE, (RANGE(0, 4, 6), RANGE(1, 1ul << 51, (1ul << 51) + 1), RANGES(2)));
	TRY(ERANGE, (RANGE(0, 4, 6), RANGES(1), send.first_page = 5, send.page_count = 9));
	TRY(ERANGE, (RANGE(0, 4, 6), RANGES(1), send.page_count = 5));
	/* positions that wrap round to something below the base */
	TRY(ERANGE, (RANGE(0, 4, 6), RANGES(1), send.ranges_base = 5 * PAGE));
	TRY(ERANGE, (RANGE(0, 4, 6), RANGES(1), send.ranges_base = 8 * PAGE));
	TRY(ERANGE, (RANGE(0, 4, 6), RANGES(1), send.ranges_base = -PAGE));
	TRY(ERANGE, (RANGE(0, 0, (1ul << 52) - 1), RANGES(1)));

	/* any number of them is not a reason to allocate that much */
	RANGE(0, 4, 6);
	range[1] = range[2] = range[3] = range[0];
	for (unsigned int i = 0; i < 32; i++) {
		send = (struct mzp_send){ .size = sizeof(send), .block_id = f.block };
		RANGES(1u << i | 5);
		must(mzp(f.fd, MZP_IOC_SEND, &send) != 0);
		send.input = (uintptr_t)hole;
		must(mzp(f.fd, MZP_IOC_SEND, &send) != 0);
	}

	/* and what is just allowed */
	TRY(0, (RANGE(0, 4, 6), RANGE(1, 6, 7), RANGES(2)));
	TRY(0, (RANGE(0, 4, 6), RANGES(1), send.first_page = 4, send.page_count = 2));
	TRY(0, (send.first_page = RAM_PAGES - 1, send.page_count = 1));
	TRY(0, BITMAP);
	TRY(0, (BITMAP, send.page_count = RAM_PAGES));
#undef TRY
	munmap(hole, PAGE);
	fix_close(&f);
}

/* A block as large as the address space: lengths that no allocation can have. */
static void enormous_block(void **state)
{
	struct mzp_setup setup = setup_for(1);
	const uint64_t pages = task_size() / PAGE;
	struct mzp_send send;
	struct fix f;
	uint32_t id;

	(void)state;
	fix_open_bare(&f);
	works(mzp_setup(f.fd, &setup));
	works(mzp_block_add(f.fd, "all", NULL, pages * PAGE, &id));
	for (unsigned int shift = 26; shift < 36; shift++) {
		/* in between it is a lot, but can be had */
		if (shift >= 29 && shift <= 33)
			continue;
		send = (struct mzp_send){
			.size = sizeof(send),
			.block_id = id,
			.format = MZP_SEND_BITMAP,
			.page_count = min(1ul << shift, pages),
		};
		/* not there, so nothing of it can be read */
		must(mzp(f.fd, MZP_IOC_SEND, &send) != 0);
		send.input = 1ul << 63;
		must(mzp(f.fd, MZP_IOC_SEND, &send) != 0);
	}
	/* no input, but a result that would need 4 GiB */
	send = (struct mzp_send){
		.size = sizeof(send),
		.flags = MZP_SEND_ZERO_BITMAP,
		.block_id = id,
		.page_count = pages,
	};
	if (pages / 8 > INT32_MAX)
		gives(ENOMEM, mzp(f.fd, MZP_IOC_SEND, &send));
	else
		print_message("# address spaces are too small for a result of 4 GiB\n");
	/* the session is as it was */
	works(mzp_sync(f.fd, NULL));
	fix_close(&f);
}

static void zero_bitmap_needs_detection(void **state)
{
	struct mzp_setup setup = setup_for(1);
	struct mzp_wait w = { 0 };
	uint64_t bits[2], job;
	struct fix f;

	(void)state;
	fix_open_bare(&f);
	setup.detection = MZP_DETECTION_NONE;
	works(mzp_setup(f.fd, &setup));
	works(mzp_block_add(f.fd, "ram", f.ram, RAM_PAGES * PAGE, &f.block));
	gives(EINVAL, mzp_send_all(f.fd, f.block, 0, 1, MZP_SEND_ZERO_BITMAP, &job));
	works(mzp_send_all(f.fd, f.block, 0, 1, 0, &job));
	w.zero_bitmap = (uintptr_t)bits;
	w.zero_bitmap_pages = 64;
	gives(ENODATA, mzp_wait(f.fd, job, -1, &w));
	w.zero_bitmap = w.zero_bitmap_pages = 0;
	works(mzp_wait(f.fd, job, -1, &w));
	fix_close(&f);
}

static void too_many_jobs(void **state)
{
	unsigned int max = mzp_info().max_jobs;
	uint64_t *job = calloc(max, sizeof(*job)), more;
	struct mzp_setup setup = setup_for(1);
	uint64_t none = 0;
	struct mzp_wait w = { 0 };
	struct mzp_send send;
	struct fix f;

	(void)state;
	must(job);
	fix_open_bare(&f);
	works(mzp_setup(f.fd, &setup));
	works(mzp_block_add(f.fd, "ram", f.ram, RAM_PAGES * PAGE, &f.block));
	/* with nothing to send, so that no reader is needed */
	for (unsigned int i = 0; i < max; i++) {
		send = (struct mzp_send){
			.size = sizeof(send), .block_id = f.block, .format = MZP_SEND_BITMAP,
			.page_count = 5, .input = (uintptr_t)&none,
		};
		works(mzp(f.fd, MZP_IOC_SEND, &send));
		must(!send.pages && send.job_id);
		job[i] = send.job_id;
		for (unsigned int j = 0; j < i; j++)
			must(job[i] != job[j]);
	}
	gives(EAGAIN, mzp_send_all(f.fd, f.block, 0, 1, 0, &more));
	gives(EAGAIN, mzp_sync(f.fd, &more));
	works(mzp_wait(f.fd, job[max / 2], -1, &w));
	works(mzp_sync(f.fd, &more));
	gives(EAGAIN, mzp_sync(f.fd, &more));
	works(mzp_wait(f.fd, 0, -1, &w));
	must(!w.error && !w.submitted);
	for (unsigned int i = 0; i < max; i++)
		gives(ENOENT, mzp_wait(f.fd, job[i], 0, &w));
	works(mzp_sync(f.fd, &more));
	fix_close(&f);
}

static void cancel(void **state)
{
	struct mzp_wait w = { 0 };
	uint64_t job;
	struct fix f;
	union arg a;
	char c;
	int ch;

	(void)state;
	fix_open_full(&f);
	works(mzp_channel(f.fd, 0, 0, &ch));
	works(mzp_sync(f.fd, &job));
	for (unsigned int i = 0; i < 3; i++)
		works(mzp_cancel(f.fd));
	gives(ECANCELED, mzp_send_all(f.fd, f.block, 0, 1, 0, NULL));
	gives(ECANCELED, mzp_sync(f.fd, NULL));
	gives(ECANCELED, mzp_block_add(f.fd, "more", f.ram, PAGE, NULL));
	gives(ECANCELED, mzp_block_remove(f.fd, f.block));
	gives(ECANCELED, mzp_channel(f.fd, 0, 0, &(int){ 0 }));
	a.setup = setup_for(1);
	must(mzp(f.fd, MZP_IOC_SETUP, &a) == EBUSY || mzp(f.fd, MZP_IOC_SETUP, &a) == ECANCELED);
	a = (union arg){ .size = sizeof(a.info) };
	works(mzp(f.fd, MZP_IOC_INFO, &a));
	/* jobs are over, and can be asked how */
	works(mzp_wait(f.fd, f.job, -1, &w));
	must(w.error == ECANCELED);
	works(mzp_wait(f.fd, job, 0, &w));
	must(w.error == ECANCELED);
	gives(ENOENT, mzp_wait(f.fd, f.job, -1, &w));
	refuses(ECANCELED, read(ch, &c, 1));
	works(mzp_cancel(f.fd));
	close(ch);
	fix_close(&f);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors),
		cmocka_unit_test(enormous_block),
		cmocka_unit_test(zero_bitmap_needs_detection),
		cmocka_unit_test(too_many_jobs),
		cmocka_unit_test(cancel),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

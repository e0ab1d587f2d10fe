// SPDX-License-Identifier: GPL-2.0-only
/*
 * Limits, at their edges: the last value that is allowed works, and not only on
 * paper; the first one beyond it is refused with the error that is documented.
 * Those that are refused before anything happens are in t_setup, t_block and t_send,
 * too.
 */
#include "mem.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* A session with one channel, whose packets are looked at as they are. */
static void open_one(struct session *s, uint8_t *ram, uint64_t pages, uint32_t *block)
{
	struct mzp_setup setup = setup_for(1);
	struct mzp_wire_init init;

	session_open(s, &setup);
	read_exactly(s->ch[0], &init, sizeof(init));
	if (ram)
		*block = session_block(s, "r", ram, pages * PAGE);
}

/* The next packet must be of this page only. */
static void expect_page(struct session *s, const char *idstr, uint64_t offset, const void *want)
{
	struct mzp_wire_packet header;
	uint8_t page[PAGE];

	read_exactly(s->ch[0], &header, sizeof(header));
	must(!strcmp(header.idstr, idstr), "%.255s", header.idstr);
	must(be32toh(header.normal_pages) == 1 && !header.zero_pages);
	must(be64toh(header.offset[0]) == offset, "%jx", (uintmax_t)be64toh(header.offset[0]));
	read_exactly(s->ch[0], page, sizeof(page));
	must(!memcmp(page, want, PAGE), "the page at %jx is not right", (uintmax_t)offset);
}

/* --- where a block may be */

static bool can_be_mapped(uint64_t addr)
{
	void *page = mmap((void *)addr, PAGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (page == MAP_FAILED)
		return errno == EEXIST;
	munmap(page, PAGE);
	return true;
}

/* The end of the address space, as the kernel has it with its page tables. */
static uint64_t address_space_end(void)
{
	uint64_t can = 1ul << 40, cannot = 1ul << 63;

	while (cannot - can > PAGE) {
		uint64_t middle = can + (cannot - can) / 2 / PAGE * PAGE;

		if (can_be_mapped(middle))
			can = middle;
		else
			cannot = middle;
	}
	return cannot;
}

/* A page with data at this very place. At the end of memory, the stack may be there. */
static void *page_at(uint64_t addr, uint32_t tag)
{
	void *page = mmap((void *)addr, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (page == MAP_FAILED) {
		must(errno == EEXIST, "%jx: %s", (uintmax_t)addr, strerror(errno));
		return (void *)addr;
	}
	/* Not to be taken for a null pointer. */
	__asm__("" : "+r"(page));
	page_fill(page, DATA, tag, 0, 0);
	return page;
}

static void address_space(void **state)
{
	const uint64_t end = address_space_end();
	void *first = page_at(0, 1), *last = page_at(end - PAGE, 2);
	struct session s;
	uint32_t all, id;

	(void)state;
	open_one(&s, NULL, 0, NULL);
#define ADD(want, name, addr, length) \
	gives(want, mzp_block_add(s.fd, name, (void *)(addr), length, &id))
	ADD(EOVERFLOW, "a", end - PAGE, 2 * PAGE);
	ADD(EOVERFLOW, "a", end, PAGE);
	ADD(EOVERFLOW, "a", PAGE, end);
	ADD(EOVERFLOW, "a", 0ul, end + PAGE);
	ADD(0, "last", end - PAGE, PAGE);
	ADD(0, "all", 0ul, end);
#undef ADD
	/* its id is the newest */
	all = id;
	session_send(&s, all, 0, 1, 0);
	expect_page(&s, "all", 0, first);
	session_send(&s, all, end / PAGE - 1, 1, 0);
	expect_page(&s, "all", end - PAGE, last);
	session_send(&s, all - 1, 0, 1, 0);
	expect_page(&s, "last", 0, last);
	gives(ERANGE, mzp_send_all(s.fd, all, end / PAGE, 1, 0, NULL));
	session_wait(&s, 0);
	session_close(&s);
	munmap(first, PAGE);
}

/* A file as long as files can be, with data in its last page only. */
static void largest_file(void **state)
{
	const uint64_t end = (1ul << 63) - PAGE, last = end - PAGE;
	int file = sys(memfd_create("largest", MFD_CLOEXEC));
	struct mzp_wait w = { 0 };
	uint8_t page[PAGE];
	struct session s;
	uint32_t all, id;
	uint64_t job;

	(void)state;
	page_fill(page, DATA, 3, 0, 0);
	sys(ftruncate(file, end));
	must(pwrite(file, page, PAGE, last) == PAGE);
	open_one(&s, NULL, 0, NULL);
	gives(EOVERFLOW, mzp_block_add_fd(s.fd, "f", file, last, 2 * PAGE, &id));
	gives(EOVERFLOW, mzp_block_add_fd(s.fd, "f", file, end, PAGE, &id));
	gives(EOVERFLOW, mzp_block_add_fd(s.fd, "f", file, 0, end + PAGE, &id));
	works(mzp_block_add_fd(s.fd, "last", file, last, PAGE, &id));
	works(mzp_block_add_fd(s.fd, "all", file, 0, end, &all));

	/* all of its pages, counted to the last one */
	job = session_send(&s, all, 0, end / PAGE, MZP_SEND_FRESH);
	expect_page(&s, "all", last, page);
	w = session_wait(&s, job);
	must(w.submitted == end / PAGE && w.normal == 1 && w.absent == end / PAGE - 1);
	session_send(&s, id, 0, 1, 0);
	expect_page(&s, "last", 0, page);
	gives(ERANGE, mzp_send_all(s.fd, all, end / PAGE, 1, 0, NULL));
	session_wait(&s, 0);

	/* and where there is none any more, which its reader finds out */
	sys(ftruncate(file, last));
	job = session_send(&s, all, last / PAGE - 1, 2, MZP_SEND_FRESH);
	sys(fcntl(s.ch[0], F_SETFL, O_NONBLOCK));
	while (mzp_wait(s.fd, job, 0, &w) == ETIMEDOUT)
		refuses(EAGAIN, read(s.ch[0], page, 1));
	must(w.error == EFAULT && w.error_block == all && w.error_offset == last,
	     "%s at %jx", kit_errno(w.error), (uintmax_t)w.error_offset);
	session_close(&s);
	close(file);
}

/* --- what SEND and WAIT take */

static uint8_t *edge_of_memory(void)
{
	uint8_t *two = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	must(two != MAP_FAILED);
	sys(munmap(two + PAGE, PAGE));
	return two + PAGE;
}

/* As many words as the window needs, and no byte more, are read and written. */
static void bitmap_sizes(void **state)
{
	static const unsigned int windows[] = { 1, 63, 64, 65, 127, 128, 129 };
	uint8_t *edge = edge_of_memory();
	uint8_t *ram = mmap(NULL, 130 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mzp_wait w = { 0 };
	struct session s;
	uint32_t block;

	(void)state;
	must(ram != MAP_FAILED);
	open_one(&s, ram, 130, &block);
	for (unsigned int i = 0; i < ARRAY_SIZE(windows); i++) {
		size_t words = (windows[i] + 63) / 64;
		struct mzp_send send = {
			.size = sizeof(send), .format = MZP_SEND_BITMAP, .block_id = block,
			.flags = MZP_SEND_FRESH | MZP_SEND_ZERO_BITMAP,
			.page_count = windows[i],
		};

		memset(edge - PAGE, 0xff, PAGE);
		send.input = (uintptr_t)edge - words * 8 + 1;
		gives(EFAULT, mzp(s.fd, MZP_IOC_SEND, &send));
		send.input--;
		works(mzp(s.fd, MZP_IOC_SEND, &send));
		must(send.pages == windows[i], "%ju", (uintmax_t)send.pages);

		w.zero_bitmap = send.input;
		w.zero_bitmap_pages = (words - 1) * 64;
		gives(ENOSPC, mzp_wait(s.fd, send.job_id, -1, &w));
		w.zero_bitmap_pages = words * 64 - 1;
		gives(EINVAL, mzp_wait(s.fd, send.job_id, -1, &w));
		w.zero_bitmap_pages = UINT64_MAX;
		gives(EINVAL, mzp_wait(s.fd, send.job_id, -1, &w));
		/* what there is room for is not what is written */
		w.zero_bitmap_pages = i % 2 ? words * 64 : -64ul;
		w.zero_bitmap++;
		gives(EFAULT, mzp_wait(s.fd, send.job_id, -1, &w));
		w.zero_bitmap--;
		works(mzp_wait(s.fd, send.job_id, -1, &w));
		must(w.submitted == windows[i] && w.absent == windows[i] && !w.error);
	}
	session_close(&s);
	munmap(ram, 130 * PAGE);
	munmap(edge - PAGE, PAGE);
}

/* One that is copied in more than one part: 1 MiB of bitmap, and a bit more or less. */
static void bitmap_parts(void **state)
{
	static const uint64_t part = 8 * MIB, windows[] = { part - 1, part, part + 1, part + 64 };
	const uint64_t marked[] = { 0, part - 1, part, part + 1 };
	uint64_t *bits = calloc(part / 64 + 1, 8), pages = part + 64;
	uint8_t *ram = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct session s;
	uint32_t block;

	(void)state;
	must(bits && ram != MAP_FAILED);
	thp_off(ram, pages * PAGE);
	for (unsigned int i = 0; i < ARRAY_SIZE(marked); i++) {
		page_fill(ram + marked[i] * PAGE, DATA, 4, marked[i], 0);
		bits[marked[i] / 64] |= 1ull << marked[i] % 64;
	}
	open_one(&s, ram, pages, &block);
	for (unsigned int i = 0; i < ARRAY_SIZE(windows); i++) {
		struct mzp_send send = {
			.size = sizeof(send), .format = MZP_SEND_BITMAP, .block_id = block,
			.page_count = windows[i], .input = (uintptr_t)bits,
		};
		struct mzp_wire_packet header;
		uint64_t want = 0;
		struct mzp_wait w;

		while (want < ARRAY_SIZE(marked) && marked[want] < windows[i])
			want++;
		works(mzp(s.fd, MZP_IOC_SEND, &send));
		must(send.pages == want, "%ju of %ju", (uintmax_t)send.pages, (uintmax_t)want);
		w = session_wait(&s, send.job_id);
		must(w.normal == want);
		read_exactly(s.ch[0], &header, sizeof(header));
		must(be32toh(header.normal_pages) == want);
		for (unsigned int n = 0; n < want; n++) {
			uint8_t page[PAGE];

			must(be64toh(header.offset[n]) == marked[n] * PAGE);
			read_exactly(s.ch[0], page, PAGE);
			must(page_is(page, DATA, 4, marked[n], 0), "page %ju",
			     (uintmax_t)marked[n]);
		}
	}
	session_close(&s);
	munmap(ram, pages * PAGE);
	free(bits);
}

/* As many as the window has pages; more cannot be disjoint and not empty. */
static void number_of_ranges(void **state)
{
	enum { PAGES = 4096 };
	struct mzp_range *range = calloc(PAGES + 1, sizeof(*range));
	static const unsigned int windows[] = { 1, 2, 1023, 1024, 1025, PAGES - 1 };
	uint8_t *ram = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct session s;
	uint32_t block;

	(void)state;
	must(range && ram != MAP_FAILED);
	for (unsigned int i = 0; i <= PAGES; i++)
		range[i] = (struct mzp_range){ i * PAGE, (i + 1) * PAGE, 0 };
	open_one(&s, ram, PAGES, &block);
	for (unsigned int i = 0; i < ARRAY_SIZE(windows); i++) {
		struct mzp_send send = {
			.size = sizeof(send), .format = MZP_SEND_RANGES, .block_id = block,
			.flags = MZP_SEND_FRESH, .page_count = windows[i],
			.input = (uintptr_t)range,
		};
		struct mzp_wait w;

		gives(EINVAL, mzp(s.fd, MZP_IOC_SEND, &send));
		send.nr_ranges = windows[i] + 1;
		gives(EINVAL, mzp(s.fd, MZP_IOC_SEND, &send));
		/* the last one is behind the window, but in the block */
		send.input = (uintptr_t)(range + 1);
		send.nr_ranges = windows[i];
		gives(ERANGE, mzp(s.fd, MZP_IOC_SEND, &send));
		send.input = (uintptr_t)range;
		works(mzp(s.fd, MZP_IOC_SEND, &send));
		must(send.pages == windows[i]);
		w = session_wait(&s, send.job_id);
		must(w.absent == windows[i]);
	}
	session_close(&s);
	munmap(ram, PAGES * PAGE);
	free(range);
}

/* --- what jobs hold */

/* Jobs of this many pages have 128 MiB of bitmap; so many may be held at a time. */
#define HELD_PAGES (1ull << 30)
#define HELD_BYTES (HELD_PAGES / 8)
enum { HELD_JOBS = 8 };

/* Memory of which nothing is there, and nothing will be. */
static void *vast(void)
{
	void *at = mmap(NULL, HELD_PAGES * PAGE, PROT_READ,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(at != MAP_FAILED);
	return at;
}

static int send_held(struct session *s, uint32_t block, enum mzp_send_format format,
		     const void *input, uint64_t *job)
{
	struct mzp_send send = {
		.size = sizeof(send), .block_id = block, .page_count = HELD_PAGES,
		.format = format, .input = (uintptr_t)input,
		.flags = MZP_SEND_FRESH | (input ? 0 : MZP_SEND_ZERO_BITMAP),
	};
	int err = mzp(s->fd, MZP_IOC_SEND, &send);

	*job = send.job_id;
	return err;
}

static void send_empty(struct session *s, uint32_t block, const void *none)
{
	uint64_t job;

	works(send_held(s, block, MZP_SEND_BITMAP, none, &job));
	until(fd_number(s->fd, "mzp-jobs-unfinished:") == 0);
}

/* Of a zone's pages, the part that all CPUs together may keep for themselves; 0: it depends. */
#define FREE_PAGES_OF_CPUS "/proc/sys/vm/percpu_pagelist_high_fraction"

/* By how much less memory can be had than then. */
static long missing_kib(long before)
{
	return before - file_number("/proc/meminfo", "MemAvailable:");
}

/* Bitmaps of jobs that are done are not kept until somebody asks what came of them. */
static void input_is_freed_child(void *arg)
{
	void *none = mmap(NULL, HELD_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *ram = vast();
	struct session s;
	uint32_t block;
	long before;

	(void)arg;
	must(none != MAP_FAILED);
	become(SOMEBODY);
	/* so that fdinfo is still ours to read */
	sys(prctl(PR_SET_DUMPABLE, 1));
	open_one(&s, NULL, 0, NULL);
	block = session_block(&s, "r", ram, HELD_PAGES * PAGE);
	/* what reading the input takes is there now */
	send_empty(&s, block, none);
	before = file_number("/proc/meminfo", "MemAvailable:");
	for (unsigned int i = 0; i < HELD_JOBS; i++)
		send_empty(&s, block, none);
	/* newer kernels give large areas of memory back a moment later */
	for (unsigned int i = 0; missing_kib(before) * 1024 >= (long)HELD_BYTES / 2; i++) {
		must(i < 3000, "%ld KiB are missing, and in use by vmalloc() %ld KiB",
		     missing_kib(before), file_number("/proc/meminfo", "VmallocUsed:"));
		usleep(10000);
	}
	close(s.fd);
}

static void input_is_freed(void **state)
{
	(void)state;
	/* since 6.7 CPUs may keep so many free pages that these look used */
	file_put(FREE_PAGES_OF_CPUS, "1000");
	sys(chmod(DEVICE, 0666));
	reap(child(input_is_freed_child, NULL), 0);
	sys(chmod(DEVICE, 0660));
	file_put(FREE_PAGES_OF_CPUS, "0");
	until(!module_refs());
}

/*
 * What a user's jobs hold comes to an end: inputs of those that are under way, and bitmaps
 * that nobody has fetched, of all sessions together.
 */
static void jobs_hold_child(void *arg)
{
	uint8_t *ram = vast(), *first = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t *bits = calloc(1, HELD_BYTES), job[HELD_JOBS], more;
	struct mzp_setup setup = setup_for(1);
	struct session s, other;
	uint32_t block, blocks;
	struct sink sink;

	(void)arg;
	must(bits && first != MAP_FAILED);
	/* one page that is there, for which the ring has no room */
	sys(mprotect(ram, PAGE, PROT_READ | PROT_WRITE));
	ram[0] = bits[0] = 1;
	become(SOMEBODY);
	setup.ring_packets = 1;
	session_open(&s, &setup);
	session_open(&other, &setup);
	block = session_block(&s, "r", ram, HELD_PAGES * PAGE);
	blocks = session_block(&other, "r", ram, HELD_PAGES * PAGE);
	works(send_held(&s, block, MZP_SEND_BITMAP, bits, &job[0]));
	for (unsigned int i = 1; i < HELD_JOBS; i++)
		works(send_held(i % 2 ? &s : &other, i % 2 ? block : blocks, MZP_SEND_ALL, NULL,
				&job[i]));
	gives(ENOMEM, send_held(&s, block, MZP_SEND_ALL, NULL, &more));
	gives(ENOMEM, send_held(&other, blocks, MZP_SEND_BITMAP, bits, &more));
	gives(ENOMEM, send_held(&other, blocks, MZP_SEND_ALL, NULL, &more));

	/* a job under way comes to its end */
	sink_start(&sink, s.ch[0]);
	until(send_held(&other, blocks, MZP_SEND_ALL, NULL, &more) == 0);
	gives(ENOMEM, send_held(&other, blocks, MZP_SEND_ALL, NULL, &more));
	/* a result is fetched */
	session_wait(&s, job[1]);
	works(send_held(&s, block, MZP_SEND_ALL, NULL, &more));
	gives(ENOMEM, send_held(&other, blocks, MZP_SEND_ALL, NULL, &more));
	/* a session ends */
	close(s.fd);
	sink_end(&sink);
	close(s.ch[0]);
	until(send_held(&other, blocks, MZP_SEND_ALL, NULL, &more) == 0);
}

static void jobs_hold(void **state)
{
	(void)state;
	if (file_number("/proc/meminfo", "MemAvailable:") * 1024ul < 10 * HELD_BYTES)
		skip_since("there is not enough memory");
	sys(chmod(DEVICE, 0666));
	reap(child(jobs_hold_child, NULL), 0);
	sys(chmod(DEVICE, 0660));
	until(!module_refs());
}

/* --- what SETUP and CHANNEL take */

/* A ring holds as many packets as it was told to, the first message being one. */
static void ring_sizes(void **state)
{
	const uint32_t sizes[] = { 1, 2, mzp_info().max_ring_packets };
	enum { PAGES = 300 };
	uint8_t *buf = malloc(PAGES * (PAGE + sizeof(struct mzp_wire_packet)));

	(void)state;
	must(buf);
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct mzp_setup setup = setup_for(1);
		struct mzp_wait w = { 0 };
		char full[32];
		struct session s;
		struct mem m;
		uint64_t job;

		setup.ring_packets = sizes[i];
		setup.packet_pages = 1;
		mem_init(&m, "ram", PAGES);
		mem_set_range(&m, 0, PAGES, DATA);
		session_open(&s, &setup);
		job = session_send(&s, session_block(&s, "ram", m.base, PAGES * PAGE), 0, PAGES, 0);
		until(fd_number(s.ch[0], "mzp-ring-full:"));
		snprintf(full, sizeof(full), "mzp-ring:\t%u/%u\n", sizes[i], sizes[i]);
		/* a key that is not there fails the test */
		fd_number(s.ch[0], full);
		gives(ETIMEDOUT, mzp_wait(s.fd, job, 0, &w));
		must(w.normal == sizes[i] - 1, "%ju pages in a ring of %u", (uintmax_t)w.normal,
		     sizes[i]);
		read_exactly(s.ch[0], buf, sizeof(struct mzp_wire_init));
		read_exactly(s.ch[0], buf, PAGES * (PAGE + sizeof(struct mzp_wire_packet)));
		must(session_wait(&s, job).normal == PAGES);
		session_close(&s);
		mem_free(&m);
	}
	free(buf);
}

/* All channels, rings and packets that there can be: what they may hold is charged. */
static void largest_session_child(void *arg)
{
	struct mzp_info info = mzp_info();
	struct mzp_setup setup = setup_for(info.max_channels);
	rlim_t bytes = (rlim_t)info.max_channels * info.max_ring_packets *
		       info.max_packet_pages * PAGE;
	struct rlimit limit = { bytes - 1, bytes };
	int fd;

	(void)arg;
	setup.ring_packets = info.max_ring_packets;
	setup.packet_pages = info.max_packet_pages;
	sys(setrlimit(RLIMIT_MEMLOCK, &limit));
	become(SOMEBODY);
	fd = mzp_open();
	gives(ENOMEM, mzp_setup(fd, &setup));
	limit.rlim_cur = bytes;
	sys(setrlimit(RLIMIT_MEMLOCK, &limit));
	works(mzp_setup(fd, &setup));
	works(mzp_sync(fd, NULL));
	close(fd);
}

static void largest_session(void **state)
{
	(void)state;
	sys(chmod(DEVICE, 0666));
	reap(child(largest_session_child, NULL), 0);
	sys(chmod(DEVICE, 0660));
}

/* A session counts until its last channel is closed, which holds what it holds. */
static void sessions_left_in_channels_child(void *arg)
{
	unsigned int max = mzp_info().max_sessions;
	struct mzp_setup setup = setup_for(1);
	int *fd = calloc(max, sizeof(*fd)), ch;

	(void)arg;
	must(fd);
	become(SOMEBODY);
	for (unsigned int i = 0; i < max; i++)
		fd[i] = mzp_open();
	setup.ring_packets = setup.packet_pages = 1;
	works(mzp_setup(fd[0], &setup));
	works(mzp_channel(fd[0], 0, 0, &ch));
	refuses(EMFILE, open(DEVICE, O_RDWR | O_CLOEXEC));
	close(fd[0]);
	refuses(EMFILE, open(DEVICE, O_RDWR | O_CLOEXEC));
	close(ch);
	until((fd[0] = open(DEVICE, O_RDWR | O_CLOEXEC)) >= 0);
	refuses(EMFILE, open(DEVICE, O_RDWR | O_CLOEXEC));
}

static void sessions_left_in_channels(void **state)
{
	(void)state;
	sys(chmod(DEVICE, 0666));
	reap(child(sessions_left_in_channels_child, NULL), 0);
	sys(chmod(DEVICE, 0660));
}

/* The last CPU that there can be, the one behind it, and masks that are too long. */
static void last_cpu(void **state)
{
	unsigned int cpus = sysconf(_SC_NPROCESSORS_CONF);
	static uint8_t mask[PAGE];
	struct mzp_setup setup = setup_for(1);
	int fd = mzp_open();

	(void)state;
	setup.cpus = (uintptr_t)mask;
	setup.cpus_size = sizeof(mask);
	mask[cpus / 8] = 1 << cpus % 8;
	gives(EINVAL, mzp_setup(fd, &setup));
	mask[cpus / 8] = 0;
	mask[(cpus - 1) / 8] = 1 << (cpus - 1) % 8;
	setup.cpus_size = UINT32_MAX;
	works(mzp_setup(fd, &setup));
	close(fd);
	/* a byte less than would reach it */
	fd = mzp_open();
	setup.cpus_size = (cpus - 1) / 8;
	gives(EINVAL, mzp_setup(fd, &setup));
	setup.cpus_size++;
	works(mzp_setup(fd, &setup));
	close(fd);
}

static void channel_ids(void **state)
{
	unsigned int max = mzp_info().max_channels;
	struct mzp_setup setup = setup_for(max);
	struct rlimit old, files;
	int fd = mzp_open(), ch;

	(void)state;
	setup.ring_packets = 1;
	works(mzp_setup(fd, &setup));
	gives(EINVAL, mzp_channel(fd, max, 0, &ch));
	/* as many descriptors as there are */
	sys(getrlimit(RLIMIT_NOFILE, &old));
	files = (struct rlimit){ sys(dup(0)), old.rlim_max };
	close(files.rlim_cur);
	sys(setrlimit(RLIMIT_NOFILE, &files));
	gives(EMFILE, mzp_channel(fd, max - 1, 0, &ch));
	files.rlim_cur++;
	sys(setrlimit(RLIMIT_NOFILE, &files));
	works(mzp_channel(fd, max - 1, 0, &ch));
	sys(setrlimit(RLIMIT_NOFILE, &old));
	gives(EBUSY, mzp_channel(fd, max - 1, 0, &(int){ 0 }));
	close(ch);
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_space),
		cmocka_unit_test(largest_file),
		cmocka_unit_test(bitmap_sizes),
		cmocka_unit_test(bitmap_parts),
		cmocka_unit_test(number_of_ranges),
		cmocka_unit_test(input_is_freed),
		cmocka_unit_test(jobs_hold),
		cmocka_unit_test(ring_sizes),
		cmocka_unit_test(largest_session),
		cmocka_unit_test(sessions_left_in_channels),
		cmocka_unit_test(last_cpu),
		cmocka_unit_test(channel_ids),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a block may be made of: files, huge pages, what is in swap or shared with a
 * child. What goes out is what its user would read there, and nothing that its
 * user could not.
 */
#include "mem.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/*
 * One round of memory that is already there, whatever it is made of: by
 * address, or as contents of @fd from @offset on.
 */
static void one_round_of(struct mem *m, int fd, uint64_t offset, uint32_t flags)
{
	for (unsigned int detection = 0; detection < 3; detection++) {
		struct mzp_setup setup = setup_for(2);
		struct session s;
		struct rx rx;

		setup.detection = detection;
		setup.packet_pages = 50;
		session_open(&s, &setup);
		rx_init(&rx, &s, detection % 2 ? RX_SPLICE : RX_READ);
		if (fd < 0)
			mem_add(m, &s, &rx);
		else
			mem_add_fd(m, &s, &rx, fd, offset);
		mem_round(m, &s, &rx, flags);
		session_close(&s);
		rx_free(&rx);
	}
}

static void one_round(struct mem *m, uint32_t flags)
{
	one_round_of(m, -1, 0, flags);
}

static int file_of(uint64_t length)
{
	int fd = sys(memfd_create("guest", MFD_CLOEXEC));

	sys(ftruncate(fd, length));
	return fd;
}

static void memfd_shared(void **state)
{
	uint64_t random = 21;
	int fd = file_of(500 * PAGE);
	struct mem m;

	(void)state;
	mem_init_at(&m, "shared", 500, mmap(NULL, 500 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
					    fd, 0), true);
	mem_shuffle(&m, &random);
	one_round(&m, 0);
	mem_shuffle(&m, &random);
	one_round(&m, MZP_SEND_FRESH);
	mem_free(&m);
	close(fd);
}

/* The file itself, from its start and from somewhere else on, mapped or not. */
static void memfd_by_fd(void **state)
{
	enum { BEFORE = 77, PAGES = 500 };
	uint64_t random = 22;
	int fd = file_of((BEFORE + PAGES) * PAGE), ro;
	char path[64];
	struct mem m;

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = sys(open(path, O_RDONLY | O_CLOEXEC));
	for (uint64_t before = 0; before <= BEFORE; before += BEFORE) {
		mem_init_at(&m, "file", PAGES, mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
						    MAP_SHARED, fd, before * PAGE), true);
		for (uint64_t i = 0; i < PAGES; i++)
			mem_set(&m, i, ABSENT);
		mem_shuffle(&m, &random);
		one_round_of(&m, ro, before * PAGE, MZP_SEND_FRESH);
		mem_shuffle(&m, &random);
		one_round_of(&m, fd, before * PAGE, 0);
		munmap(m.base, PAGES * PAGE);
		one_round_of(&m, ro, before * PAGE, 0);
		mem_free(&m);
	}
	close(fd);
	close(ro);
}

static void memfd_huge(void **state)
{
	struct mem m;
	int fd;

	(void)state;
	if (huge_pool(4) < 4)
		skip();
	fd = sys(memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB));
	sys(ftruncate(fd, 8 * MIB));
	mem_init_at(&m, "huge", 1536, mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
					   0), true);
	/* the second huge page is a hole, and so is the fourth, which is not in the block */
	mem_set_range(&m, 5, 300, DATA);
	mem_set(&m, 511, ONE);
	mem_set_range(&m, 1024, 100, DATA);
	one_round(&m, MZP_SEND_FRESH);
	one_round_of(&m, fd, 0, 0);
	one_round_of(&m, fd, 0, MZP_SEND_FRESH);
	/* a block that starts and ends within huge pages */
	m.base += 100 * PAGE;
	m.kind += 100;
	m.version += 100;
	m.pages = 1000;
	for (unsigned int i = 0; i < 1000; i++) {
		if (m.kind[i] >= ZERO)
			mem_set(&m, i, DATA);
	}
	one_round(&m, 0);
	one_round_of(&m, fd, 100 * PAGE, 0);
	must(file_number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", NULL) == 2);
	m.base -= 100 * PAGE;
	m.kind -= 100;
	m.version -= 100;
	m.pages = 2048;
	mem_free(&m);
	close(fd);
	huge_pool(0);
}

/* Allocated, and never written: logically zero, whatever is in that memory. */
static void memfd_fallocated(void **state)
{
	int fd = file_of(400 * PAGE);
	uint8_t *before = mmap(NULL, 16 * MIB, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mem m;

	(void)state;
	must(before != MAP_FAILED);
	/* what it must not be made of */
	memset(before, 0xbd, 16 * MIB);
	munmap(before, 16 * MIB);
	sys(fallocate(fd, 0, 0, 300 * PAGE));
	mem_init_at(&m, "fallocated", 400, mmap(NULL, 400 * PAGE, PROT_READ | PROT_WRITE,
						MAP_SHARED, fd, 0), true);
	one_round_of(&m, fd, 0, 0);
	one_round(&m, 0);
	for (unsigned int i = 0; i < 400; i += 3)
		mem_set(&m, i, i % 2 ? DATA : ZERO);
	one_round_of(&m, fd, 0, 0);
	one_round_of(&m, fd, 0, MZP_SEND_FRESH);
	one_round(&m, 0);
	mem_free(&m);
	close(fd);
}

/* The block keeps what it needs: the caller's fd may go. */
static void fd_is_kept(void **state)
{
	struct mzp_setup setup = setup_for(1);
	uint64_t random = 4;
	int fd = file_of(100 * PAGE);
	struct session s;
	struct mem m;
	struct rx rx;

	(void)state;
	mem_init_at(&m, "kept", 100, mmap(NULL, 100 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
					  0), true);
	mem_shuffle(&m, &random);
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	mem_add_fd(&m, &s, &rx, fd, 0);
	close(fd);
	munmap(m.base, 100 * PAGE);
	mem_round(&m, &s, &rx, 0);
	session_close(&s);
	rx_free(&rx);
	mem_free(&m);
}

/* Pages that only the file has, and page tables do not: never absent. */
static void memfd_not_mapped_yet(void **state)
{
	int fd = file_of(300 * PAGE);
	uint64_t page[PAGE / 8];
	struct mem m;

	(void)state;
	mem_init_at(&m, "cached", 300, mmap(NULL, 300 * PAGE, PROT_READ, MAP_SHARED, fd, 0), true);
	for (unsigned int i = 0; i < 300; i += 2) {
		m.kind[i] = DATA;
		page_fill(page, DATA, m.tag, i, 0);
		must(pwrite(fd, page, PAGE, i * PAGE) == PAGE);
	}
	one_round(&m, MZP_SEND_FRESH);
	mem_free(&m);
	close(fd);
}

/* The file's page where it was not written, the process's where it was. */
static void private_file(void **state)
{
	int fd = file_of(300 * PAGE);
	uint64_t page[PAGE / 8];
	struct mem m;

	(void)state;
	mem_init_at(&m, "private", 300, mmap(NULL, 300 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE,
					     fd, 0), true);
	for (unsigned int i = 0; i < 300; i += 3) {
		m.kind[i] = DATA;
		page_fill(page, DATA, m.tag, i, 0);
		must(pwrite(fd, page, PAGE, i * PAGE) == PAGE);
	}
	for (unsigned int i = 0; i < 300; i += 4)
		mem_set(&m, i, i % 8 ? ZERO : DATA);
	one_round(&m, MZP_SEND_FRESH);
	one_round(&m, 0);
	mem_free(&m);
	close(fd);
}

/* A file that is not in memory at all, ending in the middle of a page. */
static void ordinary_file(void **state)
{
	static const int prots[] = { MAP_SHARED, MAP_PRIVATE };
	struct stat st;
	uint64_t pages;
	int fd = sys(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));

	(void)state;
	sys(fstat(fd, &st));
	pages = (st.st_size + PAGE - 1) / PAGE;
	for (unsigned int i = 0; i < 2; i++) {
		uint8_t *want = calloc(pages, PAGE);
		struct mzp_setup setup = setup_for(1);
		struct session s;
		struct rx rx;
		void *map = mmap(NULL, pages * PAGE, PROT_READ, prots[i], fd, 0);
		uint32_t id;

		must(want && map != MAP_FAILED);
		session_open(&s, &setup);
		rx_init(&rx, &s, RX_READ);
		rx_add_block(&rx, "file", pages, NULL);
		id = session_block(&s, "file", map, pages * PAGE);
		session_send(&s, id, 0, pages, 0);
		session_sync(&s);
		rx_round(&rx);
		for (ssize_t done = 0; done < st.st_size; ) {
			ssize_t n = sys(pread(fd, want + done, st.st_size - done, done));

			must(n > 0);
			done += n;
		}
		for (uint64_t page = 0; page < pages; page++)
			must(rx.block[0].seen[page]);
		must(!memcmp(rx.block[0].shadow, want, pages * PAGE));
		session_close(&s);
		rx_free(&rx);
		munmap(map, pages * PAGE);
		free(want);
	}
	close(fd);
}

/* Huge pages, whole, split and with a window that starts within one. */
static void transparent_huge(void **state)
{
	uint8_t *area = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *base = (uint8_t *)(((uintptr_t)area + 2 * MIB - 1) & -2 * MIB);
	struct mem m;

	(void)state;
	mem_init_at(&m, "thp", 1536, base, false);
	thp_on(base, 6 * MIB);
	/* touching one page brings in the neighbours, as zeros */
	mem_set(&m, 0, DATA);
	memset(m.kind + 1, HOLE, 511);
	mem_set_range(&m, 100, 30, DATA);
	mem_set(&m, 511, ONE);
	mem_set(&m, 512, DATA);
	memset(m.kind + 513, HOLE, 511);
	mem_set_range(&m, 600, 3, ONE);
	/* a hole in the middle splits it */
	mem_set_range(&m, 700, 10, ABSENT);
	/* only read: perhaps the huge zero page */
	must(!*(volatile uint8_t *)(base + 5 * MIB));
	memset(m.kind + 1024, HOLE, 512);
	/* not known, with any number of zeros in between, which ABSENT is */
	for (unsigned int i = 0; i < 1024; i++)
		m.kind[i] = m.kind[i] == ABSENT ? HOLE : m.kind[i];
	one_round(&m, 0);
	one_round(&m, MZP_SEND_FRESH);
	/* give the rest back to mmap's length */
	mem_free(&m);
}

static void hugetlb(void **state)
{
	struct mem m;
	void *base;

	(void)state;
	if (huge_pool(4) < 2)
		skip();
	base = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	mem_init_at(&m, "hugetlb", 1024, base, false);
	memset(m.kind, HOLE, 1024);
	mem_set_range(&m, 3, 200, DATA);
	mem_set(&m, 511, ONE);
	one_round(&m, 0);
	mem_set(&m, 700, DATA);
	one_round(&m, 0);
	mem_free(&m);
	huge_pool(0);
}

/* What is in swap is data. */
static void swapped(void **state)
{
	int fd = file_of(1000 * PAGE);
	struct mem m;
	long out;

	(void)state;
	swap_on();
	mem_init(&m, "swapped", 2000);
	for (unsigned int i = 0; i < 2000; i++)
		mem_set(&m, i, i % 7 ? DATA : i % 2 ? ABSENT : ONE);
	sys(madvise(m.base, m.pages * PAGE, MADV_PAGEOUT));
	out = file_number("/proc/self/status", "VmSwap:");
	must(out > 1000, "only %ld kB went out", out);
	one_round(&m, MZP_SEND_FRESH);
	sys(madvise(m.base, m.pages * PAGE, MADV_PAGEOUT));
	one_round(&m, 0);
	mem_free(&m);

	mem_init_at(&m, "swapped", 1000, mmap(NULL, 1000 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
					      fd, 0), true);
	for (unsigned int i = 0; i < 1000; i++) {
		if (i % 5)
			mem_set(&m, i, DATA);
	}
	for (unsigned int i = 0; i < 4; i++) {
		/* only what is mapped goes out */
		for (unsigned int j = 0; j < 1000; j++)
			must(j % 5 == 0 || *(volatile uint64_t *)(m.base + j * PAGE));
		sys(madvise(m.base, m.pages * PAGE, MADV_PAGEOUT));
		out = file_number("/proc/meminfo", "SwapFree:");
		out = file_number("/proc/meminfo", "SwapTotal:") - out;
		must(out > 1000, "only %ld kB went out", out);
		one_round_of(&m, i % 2 ? fd : -1, 0, i / 2 ? MZP_SEND_FRESH : 0);
	}
	mem_free(&m);
	close(fd);
	swap_off();
}

/* Shared with a child since fork: right contents, and neither of them gets copies. */
static void forked(void **state)
{
	struct mem m;
	uint64_t before[200], after[200];
	int fd, go[2];
	pid_t pid;

	(void)state;
	mem_init(&m, "forked", 200);
	mem_set_range(&m, 0, 150, DATA);
	sys(pipe2(go, O_CLOEXEC));
	pid = sys(fork());
	if (!pid) {
		char c;

		close(go[1]);
		_exit(read(go[0], &c, 1) != 0);
	}
	fd = sys(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	must(pread(fd, before, sizeof(before), (uintptr_t)m.base / PAGE * 8) == sizeof(before));
	must(before[0] & ((1ull << 55) - 1), "no page frame numbers");
	one_round(&m, 0);
	must(pread(fd, after, sizeof(after), (uintptr_t)m.base / PAGE * 8) == sizeof(after));
	assert_memory_equal(before, after, sizeof(before));
	close(go[1]);
	reap(pid, 0);
	close(fd);
	mem_free(&m);
}

/* Memory that the caller itself cannot read does not go out either. */
static void not_readable(void **state)
{
	struct mzp_setup setup = setup_for(1);
	struct mzp_wait w = { 0 };
	struct session s;
	struct rx rx;
	void *map = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t id[4];
	unsigned int blocks = 0;
	void *vvar = NULL;
	char line[256], name[32];
	FILE *smaps;
	int fd;

	(void)state;
	session_open(&s, &setup);
	rx_init(&rx, &s, RX_READ);
	id[blocks++] = session_block(&s, "none", map, PAGE);
	/*
	 * The kernel's own pages, in a process's address space. Since 7.1, those
	 * that are not as a device's may be read like any.
	 */
	smaps = fopen("/proc/self/smaps", "re");
	must(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		if (strstr(line, " [vvar")) {
			vvar = (void *)strtoul(line, NULL, 16);
			must(sscanf(strchr(line, '['), "[%31[a-z_]]", name) == 1);
		} else if (!strncmp(line, "VmFlags:", 8)) {
			if (vvar && strstr(line, " io "))
				id[blocks++] = session_block(&s, name, vvar, PAGE);
			vvar = NULL;
		}
	}
	fclose(smaps);
	/* x86-64 has one or two that are */
#ifdef __x86_64__
	must(blocks == 2 || blocks == 3);
#endif
	fd = syscall(SYS_memfd_secret, O_CLOEXEC);
	if (fd >= 0) {
		sys(ftruncate(fd, PAGE));
		map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		must(map != MAP_FAILED);
		memset(map, 1, PAGE);
		id[blocks++] = session_block(&s, "secret", map, PAGE);
	}
	must(rx_some(&rx.chan[0]) == 64);
	for (unsigned int i = 0; i < blocks; i++) {
		uint64_t job = session_send(&s, id[i], 0, 1, 0);

		/* who reads the channel finds out, and has nothing to read */
		sys(fcntl(s.ch[0], F_SETFL, O_NONBLOCK));
		while (mzp_wait(s.fd, job, 0, &w) == ETIMEDOUT)
			refuses(EAGAIN, read(s.ch[0], line, 1));
		sys(fcntl(s.ch[0], F_SETFL, 0));
		/* what even looking at it does not make readable, is given up after a while */
		must(w.error == EFAULT || w.error == EBUSY, "block %u: %s", i, kit_errno(w.error));
		must(w.error_block == id[i] && !w.error_offset);
		must(!w.normal && !w.zero && !w.absent);
	}
	session_sync(&s);
	rx_round(&rx);
	must(!rx.page_packets);
	session_close(&s);
	rx_free(&rx);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(memfd_shared),
		cmocka_unit_test(memfd_by_fd),
		cmocka_unit_test(memfd_huge),
		cmocka_unit_test(memfd_fallocated),
		cmocka_unit_test(fd_is_kept),
		cmocka_unit_test(memfd_not_mapped_yet),
		cmocka_unit_test(private_file),
		cmocka_unit_test(ordinary_file),
		cmocka_unit_test(transparent_huge),
		cmocka_unit_test(hugetlb),
		cmocka_unit_test(swapped),
		cmocka_unit_test(forked),
		cmocka_unit_test(not_readable),
	};

	return kit_main(tests, ARRAY_SIZE(tests), argc, argv);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What sending a kind of memory costs at the source, and whether a stock QEMU
 * gets the right bytes.
 *
 * Usage: cost list
 *	  cost migrate KIND ADDRESS FILE	to a QEMU at ADDRESS; FILE: what it must have then
 *	  cost absent KIND GIB			memory that was never touched
 *	  cost resident KIND MIB		memory that is all data
 *	  cost sparse KIND GIB PAGES		that many pages of data in all of it
 *
 * Prints a JSON object. Times are of everything from SEND on; the stream's
 * readers splice it to /dev/null. cpu_ms is the user and system time of this
 * process, readers included, and the time that the module's workers were busy.
 */
#include "guest.h"

#include <linux/memfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <mfd.h>

#define KSM "/sys/kernel/mm/ksm/"
#define THP "/sys/kernel/mm/transparent_hugepage/"
#define DISK "/run/cost.disk"
#define DISK_MOUNT "/run/cost"

struct memory_kind {
	const char *name, *title;
	enum { PRIVATE, MEMFD, HUGETLB, DISK_FILE } memory;
	unsigned int flags;
};

enum {
	BY_FD = 1, THP_ADVISED = 2, SWAPPED = 4, MERGED = 8, FORKED = 16,
	PRIVATE_MAP = 32, UNMAPPED = 64, SHARED_ANON = 128,
};

static const struct memory_kind kinds[] = {
	{ "anon", "private anonymous, 4 KiB pages", PRIVATE, 0 },
	{ "anon-thp", "private anonymous, huge pages", PRIVATE, THP_ADVISED },
	{ "anon-swapped", "private anonymous, swapped out", PRIVATE, SWAPPED },
	{ "anon-ksm", "private anonymous, merged by KSM", PRIVATE, MERGED },
	{ "anon-forked", "private anonymous, shared after fork", PRIVATE, FORKED },
	{ "shmem", "memfd, mapped", MEMFD, 0 },
	{ "shmem-cached", "memfd, mapped but not touched by this process", MEMFD, UNMAPPED },
	{ "shmem-fd", "memfd, by fd", MEMFD, BY_FD | UNMAPPED },
	{ "shmem-thp-fd", "memfd of huge pages, by fd", MEMFD, BY_FD | THP_ADVISED },
	{ "shmem-swapped", "memfd, swapped out", MEMFD, SWAPPED },
	{ "shmem-swapped-fd", "memfd, swapped out, by fd", MEMFD, BY_FD | SWAPPED },
	{ "shmem-private", "memfd, private mapping", MEMFD, PRIVATE_MAP },
	{ "shared-anon", "shared anonymous", MEMFD, SHARED_ANON },
	{ "hugetlb", "hugetlbfs 2 MiB, shared", HUGETLB, 0 },
	{ "hugetlb-fd", "hugetlbfs 2 MiB, by fd", HUGETLB, BY_FD },
	{ "hugetlb-private", "hugetlbfs 2 MiB, private", HUGETLB, PRIVATE_MAP },
	{ "ext4", "file on ext4, shared mapping, cached", DISK_FILE, 0 },
	{ "ext4-private", "file on ext4, private mapping, cached", DISK_FILE, PRIVATE_MAP },
};

static bool huge_kind(const struct memory_kind *kind)
{
	return kind->memory == HUGETLB || kind->flags & THP_ADVISED;
}

/* What is to be in a page; @mixed as a guest has it. */
static void fill(struct guest *g, const struct memory_kind *kind, bool mixed,
		 void (*write)(struct guest *g, uint64_t page, enum kind kind))
{
	uint64_t step = huge_kind(kind) ? 512 : 1, seed = 3;

	for (uint64_t page = 0; page < g->pages; page += step) {
		uint64_t what = mixed ? rnd_below(&seed, 4) : 2;

		if (!what)
			continue;
		if (step == 1) {
			write(g, page, what == 1 ? ZERO : DATA);
			continue;
		}
		/* a huge page is there as a whole */
		for (uint64_t i = 0; i < step; i++) {
			if (!mixed || rnd_below(&seed, 3))
				write(g, page + i, DATA);
			else
				g->kind[page + i] = ZERO;
		}
	}
}

static void wait_for_death(void *arg)
{
	(void)arg;
	for (;;)
		pause();
}

static void merge(struct guest *g)
{
	long scans;

	for (uint64_t page = 0; page < g->pages; page++) {
		if (g->kind[page] != DATA)
			continue;
		g->id[page] = 1000000 + page / 8;
		guest_data(g->base + page * PAGE, g->id[page]);
	}
	sysfs_put(KSM "sleep_millisecs", 0);
	sysfs_put(KSM "pages_to_scan", 10000);
	sys(madvise(g->base, g->pages * PAGE, MADV_MERGEABLE));
	sysfs_put(KSM "run", 1);
	scans = file_number(KSM "full_scans", NULL);
	until(file_number(KSM "full_scans", NULL) >= scans + 4);
	sysfs_put(KSM "run", 0);
}

static int disk_file(void)
{
	if (system("modprobe -q loop && modprobe -q ext4 && truncate -s 700M " DISK " && "
		   "mke2fs -q -t ext4 -F " DISK " && mkdir -p " DISK_MOUNT " && "
		   "mount -o loop " DISK " " DISK_MOUNT))
		must(false, "no ext4");
	return sys(open(DISK_MOUNT "/image", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

enum fill { EMPTY, MIXED, FULL };

static struct guest *make(const struct memory_kind *kind, uint64_t pages, enum fill how)
{
	bool private = kind->memory == PRIVATE || kind->flags & PRIVATE_MAP;
	int flags = private ? MAP_PRIVATE : MAP_SHARED, fd = -1;
	struct guest *g = guest_new(pages);

	if (kind->memory == PRIVATE || kind->flags & SHARED_ANON)
		flags |= MAP_ANONYMOUS;
	if (kind->memory == HUGETLB) {
		sysfs_put("/proc/sys/vm/nr_hugepages", how == EMPTY ? 4 : pages / 512 + 4);
		fd = sys(memfd_create("ram", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB));
	} else if (kind->memory == DISK_FILE) {
		fd = disk_file();
	} else if (!(flags & MAP_ANONYMOUS)) {
		file_put(THP "shmem_enabled", kind->flags & THP_ADVISED ? "force" : "never");
		fd = sys(memfd_create("ram", MFD_CLOEXEC));
	}
	if (fd >= 0)
		sys(ftruncate(fd, pages * PAGE));
	guest_map(g, 0, RW, flags, fd, 0);
	if (kind->memory != HUGETLB)
		sys(madvise(g->base, pages * PAGE,
			    kind->flags & THP_ADVISED ? MADV_HUGEPAGE : MADV_NOHUGEPAGE));
	g->fd = fd;
	if (how != EMPTY)
		fill(g, kind, how == MIXED,
		     kind->memory == DISK_FILE || kind->flags & UNMAPPED ? guest_pwrite : guest_write);
	if (kind->memory == DISK_FILE) {
		for (uint64_t page = 0; page < pages; page++) {
			uint64_t word;

			must(pread(fd, &word, 8, page * PAGE) == 8);
			if (g->kind[page] == ABSENT)
				g->kind[page] = ZERO;
		}
		sys(fsync(fd));
	}
	if (how != EMPTY && kind->flags & MERGED)
		merge(g);
	if (how != EMPTY && kind->flags & SWAPPED)
		sys(madvise(g->base, pages * PAGE, MADV_PAGEOUT));
	if (kind->flags & FORKED)
		g->other = child(wait_for_death, NULL);
	return g;
}

static void unmake(const struct memory_kind *kind, struct guest *g)
{
	guest_free(g);
	if (kind->flags & MERGED) {
		sysfs_put(KSM "run", 2);
		sysfs_put(KSM "run", 0);
	}
	if (kind->memory == HUGETLB)
		sysfs_put("/proc/sys/vm/nr_hugepages", 0);
	if (kind->memory == DISK_FILE)
		must(!system("umount " DISK_MOUNT " && rm -f " DISK));
	file_put(THP "shmem_enabled", "never");
}

static void print_growth(const struct footprint *a, const struct footprint *b)
{
	printf("\"rss\": %ld, \"anon\": %ld, \"dirty\": %ld, \"file\": %ld, \"swap\": %ld, "
	       "\"huge\": %ld, \"unmerged\": %ld, \"tables\": %ld",
	       b->rss - a->rss + b->hugetlb - a->hugetlb, b->anon - a->anon, b->dirty - a->dirty,
	       b->file - a->file, b->swap - a->swap,
	       (a->free_huge - b->free_huge) + (a->free_giant - b->free_giant),
	       a->ksm_sharing - b->ksm_sharing, b->tables - a->tables);
}

static int migrate(const struct memory_kind *kind, const char *address, const char *file)
{
	struct guest *g = make(kind, 32 * MIB / PAGE, MIXED);
	struct footprint before, after;
	struct mfd_session *session;
	struct mfd_params params = { .size = sizeof(params) };
	struct mfd_error error = { .size = sizeof(error) };
	struct mfd_block *block;
	struct mfd_round round = { .size = sizeof(round) };
	int out, err;

	mfd_params_init(&params);
	must(!mfd_open(&session, NULL, &error), "%s", error.text);
	must(!mfd_setup(session, &params, &error), "%s", error.text);
	if (kind->flags & BY_FD)
		err = mfd_block_add_fd(session, "ram0", g->fd, 0, g->pages * PAGE, &block, &error);
	else
		err = mfd_block_add(session, "ram0", g->base, g->pages * PAGE, &block, &error);
	must(!err, "%s", error.text);
	footprint(g);
	before = footprint(g);
	must(!mfd_connect(session, address, &error), "%s", error.text);
	must(!mfd_send_all(block, MFD_SEND_FRESH, &error), "%s", error.text);
	must(!mfd_round_finish(session, &round, &error), "%s", error.text);
	/* again, as in a later round */
	must(!mfd_send_all(block, 0, &error), "%s", error.text);
	must(!mfd_round_finish(session, &round, &error), "%s", error.text);
	must(!mfd_finish(session, &error), "%s", error.text);
	mfd_close(session);
	after = footprint(g);

	out = sys(open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
	sys(ftruncate(out, g->pages * PAGE));
	for (uint64_t page = 0; page < g->pages; page++) {
		uint64_t contents[PAGE / 8];

		if (g->kind[page] != DATA)
			continue;
		guest_data(contents, g->id[page]);
		must(pwrite(out, contents, PAGE, page * PAGE) == PAGE);
	}
	close(out);
	printf("{ \"normal\": %llu, \"zero\": %llu, \"absent\": %llu, \"was_swapped\": %ld, ",
	       (unsigned long long)round.normal, (unsigned long long)round.zero,
	       (unsigned long long)round.absent, before.swap);
	print_growth(&before, &after);
	printf(" }\n");
	unmake(kind, g);
	return 0;
}

/* --- what it costs */

static void *drain(void *arg)
{
	int ch = *(int *)arg, p[2], null = sys(open("/dev/null", O_WRONLY | O_CLOEXEC));

	sys(pipe2(p, O_CLOEXEC));
	sys(fcntl(p[1], F_SETPIPE_SZ, MIB));
	for (;;) {
		ssize_t n = sys(splice(ch, NULL, p[1], NULL, MIB, SPLICE_F_MOVE));

		if (!n)
			break;
		while (n)
			n -= sys(splice(p[0], NULL, null, NULL, n, SPLICE_F_MOVE));
	}
	return NULL;
}

static double used_ms(void)
{
	struct rusage r;

	sys(getrusage(RUSAGE_SELF, &r));
	return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e3 +
	       (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e3;
}

static uint64_t channel_stat(const struct session *s, const char *key)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < s->setup.channels; i++)
		sum += fd_number(s->ch[i], key);
	return sum;
}

static void measure(const struct memory_kind *kind, struct guest *g, uint32_t flags, const char *name)
{
	struct mzp_setup setup = setup_for(2);
	struct footprint before, after;
	struct mzp_wait w = { 0 };
	struct thread t[2];
	struct session s;
	double wall, cpu;
	uint64_t job, sync;
	uint32_t id;

	session_open(&s, &setup);
	for (unsigned int i = 0; i < 2; i++)
		thread_start(&t[i], drain, &s.ch[i]);
	if (kind->flags & BY_FD)
		works(mzp_block_add_fd(s.fd, "ram0", g->fd, 0, g->pages * PAGE, &id));
	else
		id = session_block(&s, "ram0", g->base, g->pages * PAGE);
	/* so that the readers are where they will be */
	works(mzp_wait(s.fd, session_sync(&s), -1, &w));
	before = footprint(g);
	cpu = used_ms();
	wall = now_ms();
	job = session_send(&s, id, 0, g->pages, flags);
	sync = session_sync(&s);
	works(mzp_wait(s.fd, job, -1, &w));
	must(!w.error, "%s", kit_errno(w.error));
	works(mzp_wait(s.fd, sync, -1, &(struct mzp_wait){ 0 }));
	while (channel_stat(&s, "mzp-bytes-read:") < channel_stat(&s, "mzp-bytes:"))
		usleep(100);
	wall = now_ms() - wall;
	cpu = used_ms() - cpu + channel_stat(&s, "mzp-busy-ns:") / 1e6;
	after = footprint(g);
	printf("\"%s\": { \"wall_ms\": %.3f, \"cpu_ms\": %.3f, \"bytes\": %ju, \"normal\": %ju, "
	       "\"zero\": %ju, \"absent\": %ju, ",
	       name, wall, cpu, (uintmax_t)channel_stat(&s, "mzp-bytes:"), (uintmax_t)w.normal,
	       (uintmax_t)w.zero, (uintmax_t)w.absent);
	print_growth(&before, &after);
	printf(" }");
	session_end(&s);
	for (unsigned int i = 0; i < 2; i++) {
		thread_join(&t[i]);
		sys(close(s.ch[i]));
	}
}

static int absent(const struct memory_kind *kind, uint64_t gib)
{
	struct guest *g = make(kind, gib * GIB / PAGE, EMPTY);

	printf("{ \"gib\": %ju, ", (uintmax_t)gib);
	measure(kind, g, MZP_SEND_FRESH, "fresh");
	printf(", ");
	measure(kind, g, 0, "later");
	printf(" }\n");
	unmake(kind, g);
	return 0;
}

static int resident(const struct memory_kind *kind, uint64_t mib)
{
	struct guest *g = make(kind, mib * MIB / PAGE, FULL);

	printf("{ \"mib\": %ju, ", (uintmax_t)mib);
	measure(kind, g, MZP_SEND_FRESH, "fresh");
	printf(" }\n");
	unmake(kind, g);
	return 0;
}

static int sparse(const struct memory_kind *kind, uint64_t gib, uint64_t touched)
{
	struct guest *g = make(kind, gib * GIB / PAGE, EMPTY);
	uint64_t seed = 9;

	for (uint64_t i = 0; i < touched; i++) {
		uint64_t page = i * (g->pages / touched) + rnd_below(&seed, g->pages / touched);

		if (g->fd >= 0)
			guest_pwrite(g, page, DATA);
		else
			guest_write(g, page, DATA);
	}
	printf("{ \"gib\": %ju, ", (uintmax_t)gib);
	measure(kind, g, MZP_SEND_FRESH, "fresh");
	printf(" }\n");
	unmake(kind, g);
	return 0;
}

static const struct memory_kind *find(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	must(false, "no kind %s", name);
	return NULL;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && !strcmp(argv[1], "list")) {
		for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
			printf("%s\t%s\n", kinds[i].name, kinds[i].title);
		return 0;
	}
	if (argc == 5 && !strcmp(argv[1], "migrate"))
		return migrate(find(argv[2]), argv[3], argv[4]);
	if (argc == 4 && !strcmp(argv[1], "absent"))
		return absent(find(argv[2]), strtoul(argv[3], NULL, 0));
	if (argc == 4 && !strcmp(argv[1], "resident"))
		return resident(find(argv[2]), strtoul(argv[3], NULL, 0));
	if (argc == 5 && !strcmp(argv[1], "sparse"))
		return sparse(find(argv[2]), strtoul(argv[3], NULL, 0), strtoul(argv[4], NULL, 0));
	fprintf(stderr, "cost: see its source for how to use it\n");
	return 2;
}

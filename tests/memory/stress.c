// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rounds are sent without a pause while other threads work on the memory; each
 * stress is about something else that they do to it. What must arrive
 * nevertheless, see arena.h.
 */
#include "stress.h"
#include "arena.h"

#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define KSM "/sys/kernel/mm/ksm/"
#define SHMEM_HUGE "/sys/kernel/mm/transparent_hugepage/shmem_enabled"

const struct stress *stress;
static uint64_t seed0 = 1;
static volatile bool stop;
static uint64_t actions;

bool compressed(void)
{
	return stress->flags & (ZLIB | ZSTD);
}

/* --- what is done to the memory */

static void act_munmap(struct arena *a, uint64_t *seed, unsigned int me)
{
	const struct run *run = own_run(a, seed, me);

	take(a, run->first, run->count);
	sys(munmap(a->base + run->first * PAGE, run->count * PAGE));
	if (rnd_below(seed, 4) == 0)
		sched_yield();
	remap(a, run->first, run->count);
	give_back(a, run->first, run->count);
}

static void act_mremap(struct arena *a, uint64_t *seed, unsigned int me)
{
	const struct run *run = own_run(a, seed, me);
	size_t length = run->count * PAGE;
	uint8_t *at = a->base + run->first * PAGE, *away = PLACES + (10 + me) * GIB;
	bool leave = a->fd < 0 && rnd_below(seed, 3) == 0;

	away += rnd_below(seed, 512) * PAGE;
	take(a, run->first, run->count);
	must(mremap(at, length, length,
		    MREMAP_MAYMOVE | MREMAP_FIXED | (leave ? MREMAP_DONTUNMAP : 0), away) == away);
	if (rnd_below(seed, 4) == 0)
		sched_yield();
	must(mremap(away, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at);
	/* as it was before */
	for (uint64_t page = run->first; page < run->first + run->count; page++)
		must(*(uint64_t *)(a->base + page * PAGE) ==
		     word_of(page, a->started[page] - 2, 0));
	give_back(a, run->first, run->count);
}

static void act_dontneed(struct arena *a, uint64_t *seed, unsigned int me)
{
	const struct run *run = own_run(a, seed, me);

	take(a, run->first, run->count);
	sys(madvise(a->base + run->first * PAGE, run->count * PAGE, MADV_DONTNEED));
	give_back(a, run->first, run->count);
}

static void write_some(struct arena *a, uint64_t *seed, unsigned int me)
{
	const struct run *run = own_run(a, seed, me);

	take(a, run->first, run->count);
	give_back(a, run->first, run->count);
}

static void punch(struct arena *a, uint64_t *seed, unsigned int me)
{
	const struct run *run = own_run(a, seed, me);

	take(a, run->first, run->count);
	sys(fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, run->first * PAGE,
		      run->count * PAGE));
	give_back(a, run->first, run->count);
}

static void act_punch(struct arena *a, uint64_t *seed, unsigned int me)
{
	const struct run *run = own_run(a, seed, me);

	punch(a, seed, me);
	/* set aside, so that the pages are there before their contents are */
	if (rnd_below(seed, 2))
		return;
	take(a, run->first, run->count);
	sys(fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, run->first * PAGE,
		      run->count * PAGE));
	sys(fallocate(a->fd, FALLOC_FL_KEEP_SIZE, run->first * PAGE, run->count * PAGE));
	give_back(a, run->first, run->count);
}

static void act_truncate(struct arena *a, uint64_t *seed, unsigned int me)
{
	uint64_t first = a->pages / 2 + rnd_below(seed, a->pages / 2);

	(void)me;
	take(a, first, a->pages - first);
	sys(ftruncate(a->fd, first * PAGE));
	if (rnd_below(seed, 4) == 0)
		sched_yield();
	sys(ftruncate(a->fd, a->pages * PAGE));
	give_back(a, first, a->pages - first);
}

static void collapse(struct arena *a, uint64_t *seed)
{
	uint64_t first = rnd_below(seed, a->pages / 512) * 512;

	/* not possible at the moment: never mind */
	madvise(a->base + first * PAGE, HUGE, MADV_COLLAPSE);
}

static void act_collapse(struct arena *a, uint64_t *seed, unsigned int me)
{
	if (rnd_below(seed, 3))
		collapse(a, seed);
	else if (a->fd < 0)
		act_dontneed(a, seed, me);
	else
		punch(a, seed, me);
}

static void split(struct arena *a, uint64_t *seed)
{
	uint8_t *at;
	uint64_t length;
	char text[96];
	int fd = open("/sys/kernel/debug/split_huge_pages", O_WRONLY | O_CLOEXEC);

	must(fd >= 0);
	any_range(a, seed, &at, &length);
	snprintf(text, sizeof(text), "%d,0x%lx,0x%lx", getpid(), (unsigned long)at,
		 (unsigned long)at + length);
	/* says so if there was none */
	if (write(fd, text, strlen(text)) < 0)
		must(errno != EINVAL);
	close(fd);
}

static void act_thp(struct arena *a, uint64_t *seed, unsigned int me)
{
	uint8_t *at;

	switch (rnd_below(seed, 5)) {
	case 0:
		split(a, seed);
		break;
	case 1:
		/* splits the mapping; at a page that nobody else writes to meanwhile */
		at = a->base + own_run(a, seed, me)->first * PAGE;
		sys(mprotect(at, PAGE, PROT_READ));
		sys(mprotect(at, PAGE, RW));
		break;
	case 2:
		write_some(a, seed, me);
		break;
	default:
		collapse(a, seed);
	}
}

static void act_pageout(struct arena *a, uint64_t *seed, unsigned int me)
{
	uint8_t *at;
	uint64_t length;

	any_range(a, seed, &at, &length);
	length = min(length, 100 * PAGE);
	switch (rnd_below(seed, 5)) {
	case 0:
		sys(madvise(at, length, MADV_COLD));
		break;
	case 1:
		write_some(a, seed, me);
		break;
	default:
		sys(madvise(at, length, MADV_PAGEOUT));
	}
}

/* The child writes to all of it, which is none of our business. */
static void act_fork(struct arena *a, uint64_t *seed, unsigned int me)
{
	pid_t pid = sys(fork());
	uint64_t random = *seed;

	if (!pid) {
		for (unsigned int i = 0; i < 300; i++) {
			uint64_t page = rnd_below(&random, a->pages);

			memset(a->base + page * PAGE, 0x99, PAGE);
		}
		_exit(0);
	}
	for (unsigned int i = 0; i < 20; i++)
		write_some(a, seed, me);
	must(waitpid(pid, NULL, 0) == pid);
}

/* Whole page tables come and go, with the memory around them. */
static void act_tables(struct arena *a, uint64_t *seed, unsigned int me)
{
	const struct run *run = own_run(a, seed, me);

	if (run->count < 512) {
		act_dontneed(a, seed, me);
		return;
	}
	take(a, run->first, run->count);
	if (rnd_below(seed, 2)) {
		sys(munmap(a->base + run->first * PAGE, run->count * PAGE));
		remap(a, run->first, run->count);
	} else {
		sys(madvise(a->base + run->first * PAGE, run->count * PAGE, MADV_DONTNEED));
	}
	give_back(a, run->first, run->count);
}

static void act_migrate(struct arena *a, uint64_t *seed, unsigned int me)
{
	enum { MANY = 64 };
	void *at[MANY];
	int node[MANY], status[MANY];

	switch (rnd_below(seed, 40)) {
	case 0:
		file_put("/proc/sys/vm/compact_memory", "1");
		break;
	case 1 ... 5:
		write_some(a, seed, me);
		break;
	default: {
		uint64_t first = rnd_below(seed, a->pages - MANY);

		for (unsigned int i = 0; i < MANY; i++) {
			at[i] = a->base + (first + i) * PAGE;
			node[i] = rnd_below(seed, 2);
		}
		/* with one node only, there is only the compaction */
		syscall(SYS_move_pages, 0, (unsigned long)MANY, at, node, status, 2 /* MOVE */);
	}
	}
}

static void act_ksm(struct arena *a, uint64_t *seed, unsigned int me)
{
	switch (rnd_below(seed, 50)) {
	case 0:
		/* take all apart, and begin again */
		sysfs_put(KSM "run", 2);
		sysfs_put(KSM "run", 1);
		break;
	case 1:
		sysfs_put(KSM "use_zero_pages", rnd_below(seed, 2));
		break;
	default:
		write_some(a, seed, me);
		usleep(1000);
	}
}

/* --- what some need */

static void begin_huge_files(void)
{
	file_put(SHMEM_HUGE, "advise");
}

static void end_huge_files(void)
{
	file_put(SHMEM_HUGE, "never");
}

/* Free memory in small pieces, so that compaction has something to do. */
static uint8_t *fragments;
#define FRAGMENTS (64 * MIB)
#define BALANCING "/proc/sys/kernel/numa_balancing"

static void begin_migrate(void)
{
	/* by itself as well */
	if (!access(BALANCING, W_OK))
		file_put(BALANCING, "1");
	fragments = mmap(NULL, FRAGMENTS, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(fragments != MAP_FAILED);
	thp_off(fragments, FRAGMENTS);
	memset(fragments, 1, FRAGMENTS);
	for (uint64_t at = 0; at < FRAGMENTS; at += 2 * PAGE)
		sys(madvise(fragments + at, PAGE, MADV_DONTNEED));
}

static void end_migrate(void)
{
	munmap(fragments, FRAGMENTS);
	if (!access(BALANCING, W_OK))
		file_put(BALANCING, "0");
}

static void begin_ksm(void)
{
	sysfs_put(KSM "sleep_millisecs", 1);
	sysfs_put(KSM "pages_to_scan", 2000);
	sysfs_put(KSM "run", 1);
	for (unsigned int i = 0; i < nr_arenas; i++)
		sys(madvise(arenas[i]->base, arenas[i]->pages * PAGE, MADV_MERGEABLE));
	until(file_number(KSM "pages_sharing", NULL) > 0);
}

static void end_ksm(void)
{
	sysfs_put(KSM "run", 2);
	sysfs_put(KSM "run", 0);
	sysfs_put(KSM "use_zero_pages", 0);
}

static const struct stress all[] = {
	{ "munmap", ANON | FILES, 2, true, act_munmap, NULL, NULL },
	{ "mremap", ANON | FILES | LARGE, 2, true, act_mremap, NULL, NULL },
	{ "dontneed", ANON | HUGE_TOO, 2, false, act_dontneed, NULL, NULL },
	{ "collapse", ANON | FILES | HUGE_ONLY, 2, false, act_collapse, begin_huge_files,
	  end_huge_files },
	{ "pageout", ANON | FILES | SWAP, 2, false, act_pageout, NULL, NULL },
	{ "punch", FILES, 2, false, act_punch, NULL, NULL },
	{ "truncate", FILES | UPPER_HALF, 1, true, act_truncate, NULL, NULL },
	{ "fork", ANON, 1, false, act_fork, NULL, NULL },
	{ "tables", ANON | LARGE, 2, true, act_tables, NULL, NULL },
	{ "thp", ANON | FILES | HUGE_ONLY, 2, false, act_thp, begin_huge_files, end_huge_files },
	{ "migrate", ANON | FILES, 1, false, act_migrate, begin_migrate, end_migrate },
	{ "ksm", ANON | SAME, 1, false, act_ksm, begin_ksm, end_ksm },
	{ "exec", ANON, 0, true, NULL, NULL, NULL },
	{ "zlib", ANON | FILES | ZLIB, 2, false, write_some, NULL, NULL },
	{ "zlib-harder", ANON | FILES | ZLIB | HARDER, 2, false, write_some, NULL, NULL },
	{ "zstd", ANON | FILES | ZSTD, 2, false, write_some, NULL, NULL },
	{ "zstd-harder", ANON | FILES | ZSTD | HARDER, 2, false, write_some, NULL, NULL },
};

/* --- a round */

static uint64_t send_bits(struct session *s, uint32_t id, const struct arena *a,
			  const uint64_t *bits, uint32_t flags)
{
	struct mzp_send send = {
		.size = sizeof(send),
		.flags = flags,
		.block_id = id,
		.format = MZP_SEND_BITMAP,
		.page_count = a->pages,
		.input = (uintptr_t)bits,
	};

	works(mzp(s->fd, MZP_IOC_SEND, &send));
	return send.job_id;
}

static void check_view(struct session *s, struct arena *a, struct view *v, uint32_t flags,
		       bool by_fd)
{
	struct mzp_wait stable = { 0 }, wild = { 0 };
	const char *how = by_fd ? "by fd" : a->fd < 0 ? "anonymous" : "by address";

	works(mzp_wait(s->fd, v->stable_job, -1, &stable));
	works(mzp_wait(s->fd, v->wild_job, -1, &wild));
	must(!stable.error, "%s: stable pages: %s at %ju", how, kit_errno(stable.error),
	     (uintmax_t)(stable.error_offset / PAGE));
	must(stable.normal == stable.submitted, "%s: stable: %ju zero, %ju absent", how,
	     (uintmax_t)stable.zero, (uintmax_t)stable.absent);
	must(!wild.error || (stress->may_fail && wild.error == EFAULT), "%s: %s at %ju", how,
	     kit_errno(wild.error), (uintmax_t)(wild.error_offset / PAGE));
	if (wild.error)
		must(bit(a->wild, wild.error_offset / PAGE));
	for (uint64_t page = 0; page < a->pages; page++) {
		if (bit(a->stable, page)) {
			must(v->rx->seen[page] == RX_NORMAL, "%s: stable page %ju came as %u", how,
			     (uintmax_t)page, v->rx->seen[page]);
			must(!memcmp(v->rx->shadow + page * PAGE, a->want + page * PAGE, PAGE),
			     "%s: stable page %ju is wrong", how, (uintmax_t)page);
		} else {
			check_wild(a, v, page, flags, wild.error);
		}
	}
}

static void *aggressor(void *arg)
{
	unsigned int me = (uintptr_t)arg;
	uint64_t seed = seed0 * 1000 + me;

	while (!stop) {
		stress->act(arenas[rnd_below(&seed, nr_arenas)], &seed, me);
		__atomic_fetch_add(&actions, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static bool over(const struct timespec *end)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > end->tv_sec ||
	       (now.tv_sec == end->tv_sec && now.tv_nsec >= end->tv_nsec);
}

static void one_round(struct session *s, struct rx *rx, uint32_t flags)
{
	struct mzp_wait w = { 0 };

	for (unsigned int i = 0; i < nr_arenas; i++) {
		struct arena *a = arenas[i];

		for (uint64_t page = 0; page < a->pages; page++)
			a->lo[page] = __atomic_load_n(&a->committed[page], __ATOMIC_SEQ_CST);
		for (unsigned int n = 0; n < a->views; n++) {
			a->view[n].stable_job = send_bits(s, a->view[n].id, a, a->stable, flags);
			a->view[n].wild_job = send_bits(s, a->view[n].id, a, a->wild, flags);
		}
	}
	session_sync(s);
	rx_round(rx);
	for (unsigned int i = 0; i < nr_arenas; i++)
		for (unsigned int n = 0; n < arenas[i]->views; n++)
			check_view(s, arenas[i], &arenas[i]->view[n], flags, n);
	rx_next_round(rx);
	/* the SYNC's result */
	works(mzp_wait(s->fd, 0, -1, &w));
}

static void add_views(struct session *s, struct rx *rx, struct arena *a, unsigned int n)
{
	char idstr[16];

	snprintf(idstr, sizeof(idstr), "mapped%u", n);
	a->view[0].id = session_block(s, idstr, a->base, a->pages * PAGE);
	a->view[0].rx = rx_add_block(rx, idstr, a->pages, NULL);
	a->views = 1;
	if (a->fd < 0)
		return;
	snprintf(idstr, sizeof(idstr), "file%u", n);
	works(mzp_block_add_fd(s->fd, idstr, a->fd, 0, a->pages * PAGE, &a->view[1].id));
	a->view[1].rx = rx_add_block(rx, idstr, a->pages, NULL);
	a->views = 2;
}

static void rounds(const struct timespec *end, uint64_t *nr_rounds, uint64_t *pages)
{
	struct mzp_setup setup = setup_for(2);
	struct thread t[2];
	struct session s;
	uint64_t seed = seed0;
	struct rx rx;

	for (unsigned int kind = 0; kind < 2; kind++) {
		if (stress->flags & (kind ? FILES : ANON))
			arenas[nr_arenas++] = arena_new(kind, &seed);
	}
	if (stress->begin)
		stress->begin();
	setup.ring_packets = 4;
	if (compressed()) {
		setup.method = stress->flags & ZLIB ? MZP_METHOD_ZLIB : MZP_METHOD_ZSTD;
		setup.level = stress->flags & HARDER ? 6 : 1;
	}
	session_open(&s, &setup);
	rx_init(&rx, &s, seed0 % 2 ? RX_SPLICE : RX_READ);
	for (unsigned int i = 0; i < nr_arenas; i++)
		add_views(&s, &rx, arenas[i], i);
	/* once in peace */
	one_round(&s, &rx, MZP_SEND_FRESH);
	for (unsigned int i = 0; i < stress->threads; i++)
		thread_start(&t[i], aggressor, (void *)(uintptr_t)i);
	do {
		one_round(&s, &rx, *nr_rounds % 2 ? 0 : MZP_SEND_FRESH);
		++*nr_rounds;
		for (unsigned int i = 0; i < nr_arenas; i++)
			*pages += arenas[i]->pages * arenas[i]->views;
	} while (!over(end));
	stop = true;
	for (unsigned int i = 0; i < stress->threads; i++)
		thread_join(&t[i]);
	one_round(&s, &rx, 0);
	if (stress->end)
		stress->end();
	session_close(&s);
	rx_free(&rx);
}

/* --- a process that sends its memory, and becomes another program meanwhile */

struct handed {
	int fd, ch[2];
	uint64_t job;
};

static void become_another(struct arena *a, struct handed *handed, uint64_t delay)
{
	static char *const args[] = { "true", NULL }, *const env[] = { NULL };
	struct mzp_setup setup = setup_for(2);
	struct session s;
	uint64_t job;
	uint32_t id;

	setup.ring_packets = 2;
	session_open(&s, &setup);
	*handed = (struct handed){ .fd = s.fd, .ch = { s.ch[0], s.ch[1] } };
	id = session_block(&s, "exec", a->base, a->pages * PAGE);
	job = send_bits(&s, id, a, a->stable, 0);
	session_sync(&s);
	__atomic_store_n(&handed->job, job, __ATOMIC_SEQ_CST);
	for (volatile uint64_t i = 0; i < delay; i++)
		;
	execve("/bin/true", args, env);
	_exit(1);
}

static void execs(const struct timespec *end, uint64_t *nr_rounds, uint64_t *pages)
{
	struct handed *handed = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t seed = seed0, whole = 0, stable = 0;
	struct arena *a;

	must(handed != MAP_FAILED);
	a = arenas[nr_arenas++] = arena_new(false, &seed);
	for (uint64_t page = 0; page < a->pages; page++)
		stable += bit(a->stable, page);
	do {
		uint64_t delay = rnd_below(&seed, 3) ? rnd_below(&seed, 200000) : 0, got = 0;
		struct session s = { .setup = setup_for(2) };
		struct rx_block *b;
		struct rx rx;
		pid_t pid;

		*handed = (struct handed){ .fd = -1 };
		/* its fds are ours, too */
		pid = sys(syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL));
		if (!pid)
			become_another(a, handed, delay);
		until(__atomic_load_n(&handed->job, __ATOMIC_SEQ_CST));
		s.fd = handed->fd;
		memcpy(s.ch, handed->ch, sizeof(handed->ch));
		rx_init(&rx, &s, RX_SPLICE);
		b = rx_add_block(&rx, "exec", a->pages, NULL);
		rx_round(&rx);
		for (uint64_t page = 0; page < a->pages; page++) {
			if (b->seen[page] == RX_NOTHING)
				continue;
			must(bit(a->stable, page) && b->seen[page] == RX_NORMAL,
			     "page %ju came as %u", (uintmax_t)page, b->seen[page]);
			must(!memcmp(b->shadow + page * PAGE, a->want + page * PAGE, PAGE),
			     "page %ju is wrong", (uintmax_t)page);
			got++;
		}
		whole += got == stable;
		*pages += got;
		++*nr_rounds;
		reap(pid, 0);
		session_close(&s);
		rx_free(&rx);
	} while (!over(end));
	printf("# exec: %ju of %ju rounds were complete before it\n", (uintmax_t)whole,
	       (uintmax_t)*nr_rounds);
	until(!module_refs());
}

static int skipped(const char *why)
{
	printf("# skipped: %s\nok stress-%s # SKIP\n", why, stress->name);
	return 0;
}

static int run(unsigned long seconds)
{
	struct timespec end;
	uint64_t nr_rounds = 0, pages = 0;

	printf("# %s: seed %ju, %lu s\n", stress->name, (uintmax_t)seed0, seconds);
	if (stress->flags & SWAP && !have_swap())
		return skipped("no swap space");
	if (stress->flags & HUGE_ONLY && !thp_there())
		return skipped("the kernel has no transparent huge pages");
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += seconds;
	if (stress->act)
		rounds(&end, &nr_rounds, &pages);
	else
		execs(&end, &nr_rounds, &pages);
	for (unsigned int i = 0; i < nr_arenas; i++)
		arena_free(arenas[i]);
	printf("ok stress-%s rounds=%ju pages=%ju actions=%ju\n", stress->name,
	       (uintmax_t)nr_rounds, (uintmax_t)pages, (uintmax_t)actions);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long seconds = 60;
	int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	seed0 = time(NULL) & 0xffff;
	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-l")) {
			for (unsigned int n = 0; n < ARRAY_SIZE(all); n++)
				puts(all[n].name);
			return 0;
		}
		if (!strcmp(argv[i], "--seconds") && i + 1 < argc)
			seconds = strtoul(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			seed0 = strtoul(argv[++i], NULL, 0);
		else
			break;
	}
	for (unsigned int n = 0; i == argc - 1 && n < ARRAY_SIZE(all); n++) {
		stress = &all[n];
		if (!strcmp(argv[i], stress->name))
			return run(seconds);
	}
	fprintf(stderr, "Usage: stress [--seconds N] [--seed N] NAME | -l\n");
	return 2;
}

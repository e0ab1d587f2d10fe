// SPDX-License-Identifier: GPL-2.0-only
/*
 * Anybody may do anything, in any order and from anywhere: random calls on the
 * device, its channels, the memory behind them and netlink, by several threads
 * of several processes, with signals, faults that are injected, and CPUs that
 * come and go. Nothing is expected but that the kernel stands it, answers only
 * with errors that are documented, and has nothing left in the end.
 *
 * A life is a process that makes some hundred calls. What it does comes from
 * its genes, a few numbers: the first makes the whole list of calls, each further
 * one changes some of them. A life that reaches code that none had reached
 * before is kept, and later ones are mostly such lives with one gene more.
 * Genes are in the kernel's log before a life begins, and `--genes` lives it
 * again; only how its threads meet is then up to the scheduler.
 */
#include "fuzz_life.h"
#include "genl.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum {
	CORPUS = 4096,
	PATIENCE = 120,			/* seconds that a life may last */
	/* before a thread that waits gets a signal */
	OTHERS_CALLS = 8, OTHERS_LOOKS = 20,
};

static uint64_t seed = 1;
static struct genes corpus[CORPUS];
static unsigned int corpus_nr;
static int cov_file = -1;
static off_t cov_at;
static size_t cov_size;
static unsigned int cov_seen;

static void cov_open(void)
{
	char line[32] = "";
	uint64_t text;
	int sections;

	cov_file = open("/sys/kernel/debug/mzp_cov", O_RDONLY | O_CLOEXEC);
	if (cov_file < 0)
		return;
	sections = sys(open("/sys/module/multifd_zp/sections/.text", O_RDONLY | O_CLOEXEC));
	must(read(sections, line, sizeof(line) - 1) > 0);
	close(sections);
	text = strtoull(line, NULL, 16);
	cov_size = file_number("/sys/module/multifd_zp/coresize", NULL) / 8 + 8;
	cov_at = (text & ((1 << 24) - 1)) / 8;
	/* where it goes round, only the first part is looked at */
	cov_size = min(cov_size, (size_t)((1 << 21) - cov_at));
}

/* How many points of the code have been reached so far. */
static unsigned int cov_count(void)
{
	static uint64_t bits[1 << 18];
	unsigned int nr = 0;
	ssize_t got;

	if (cov_file < 0)
		return 0;
	got = pread(cov_file, bits, cov_size, cov_at);
	for (ssize_t i = 0; i < got / 8; i++)
		nr += __builtin_popcountll(bits[i]);
	return nr;
}

static struct genes conceive(uint64_t *r)
{
	struct genes g = { .nr = 1, .gene = { rnd(r) } };

	if (corpus_nr && chance(r, 75)) {
		g = corpus[pick(r, corpus_nr)];
		if (g.nr == GENES)
			memmove(&g.gene[1], &g.gene[2], (--g.nr - 1) * sizeof(g.gene[0]));
		g.gene[g.nr++] = rnd(r);
	}
	return g;
}

static struct genes_text {
	char text[GENES * 17 + 1];
} genes_text(const struct genes *g)
{
	struct genes_text to;
	int n = 0;

	for (unsigned int i = 0; i < g->nr; i++)
		n += sprintf(to.text + n, "%s%lx", i ? ":" : "", g->gene[i]);
	return to;
}

static bool genes_parse(const char *text, struct genes *g)
{
	char *end;

	for (g->nr = 0; g->nr < GENES; text = end + 1) {
		g->gene[g->nr++] = strtoull(text, &end, 16);
		if (!*end)
			return true;
		if (*end != ':')
			return false;
	}
	return false;
}

struct running {
	pid_t pid;
	struct genes genes;
	time_t since;
	bool stuck;
};

static time_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* CPU 1 goes and comes, all the time. */
static void hotplug(void)
{
	static unsigned int turn;
	int fd;

	if (turn++ % 256)
		return;
	fd = open("/sys/devices/system/cpu/cpu1/online", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!write(fd, turn / 256 % 2 ? "0" : "1", 1);
	close(fd);
}

static void begin_life(struct running *run, struct progress *progress, uint64_t *r,
		       const struct genes *only, int log)
{
	memset(progress, 0, sizeof(*progress) * THREADS);
	run->genes = only ? *only : conceive(r);
	run->since = now();
	run->stuck = false;
	dprintf(log, "<7>fuzz: life %s\n", genes_text(&run->genes).text);
	run->pid = fork();
	must(run->pid >= 0);
	if (!run->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		life(&run->genes, progress);
	}
}

/* What the kernel says of each thread of a process. */
static void tell_where(pid_t pid)
{
	char path[64], line[256];
	struct dirent *task;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && (task = readdir(tasks))) {
		FILE *status;

		snprintf(path, sizeof(path), "/proc/%d/task/%.12s/status", pid, task->d_name);
		status = fopen(path, "re");
		while (status && fgets(line, sizeof(line), status))
			if (!strncmp(line, "State", 5) || !strncmp(line, "Sig", 3) ||
			    !strncmp(line, "Shd", 3) || !strncmp(line, "Pid", 3))
				fprintf(stderr, "#   %s", line);
		if (status)
			fclose(status);
	}
	if (tasks)
		closedir(tasks);
}

/* Nothing waits for as long: somebody should have been woken. */
static void kill_stuck(struct running *run)
{
	if (!run->pid || run->stuck || now() - run->since <= PATIENCE)
		return;
	fprintf(stderr, "# a life does not end: %s\n", genes_text(&run->genes).text);
	tell_where(run->pid);
	run->stuck = true;
	shared->stuck++;
	kill(run->pid, SIGKILL);
}

/*
 * No call waits for long: a thread that is where it was gets a signal. But what it waits
 * for may be what the other one does: that one has some calls before, or some time if it
 * waits, too.
 */
static void nudge(const struct running *run, const struct progress *progress)
{
	static struct { unsigned int calls, all, looks; } before[LIVES][THREADS];
	unsigned int life = (progress - shared->progress[0]) / THREADS, all = 0;

	for (unsigned int i = 0; i < THREADS; i++)
		all += __atomic_load_n(&progress[i].calls, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < THREADS && run->pid; i++) {
		pid_t tid = __atomic_load_n(&progress[i].tid, __ATOMIC_RELAXED);
		unsigned int nr = __atomic_load_n(&progress[i].calls, __ATOMIC_RELAXED);
		bool still = tid && nr == before[life][i].calls;

		if (still && all - before[life][i].all < OTHERS_CALLS &&
		    ++before[life][i].looks < OTHERS_LOOKS)
			continue;
		if (still)
			syscall(SYS_tgkill, run->pid, tid, SIGUSR1);
		before[life][i].calls = nr;
		before[life][i].all = all;
		before[life][i].looks = 0;
	}
}

static void end_life(struct running *run, int status)
{
	unsigned int seen = cov_count();

	run->pid = 0;
	shared->lives++;
	if (WIFEXITED(status) && WEXITSTATUS(status)) {
		fprintf(stderr, "# a life ended with %d\n", WEXITSTATUS(status));
		shared->bad_errno++;
	}
	if (seen > cov_seen) {
		corpus[corpus_nr < CORPUS ? corpus_nr++ : rnd(&seed) % CORPUS] = run->genes;
		cov_seen = seen;
	}
}

static void report(time_t start)
{
	time_t took = now() - start;

	printf("# %ld s: %lu calls, %lu a second (%lu returned no error), %lu lives, %u kept, %u points of code\n",
	       took, shared->calls, shared->calls / (took ? took : 1), shared->good, shared->lives,
	       corpus_nr, cov_seen);
	fflush(stdout);
}

static void evolve(time_t seconds, uint64_t most, const struct genes *only)
{
	int log = sys(open("/dev/kmsg", O_WRONLY | O_CLOEXEC)), keep = mzp_open(), status;
	const struct timespec a_moment = { 0, 5000000 };
	time_t start = now(), told = start;
	struct running run[LIVES] = { };
	sigset_t child;
	uint64_t r = seed;
	unsigned int alive = 0;
	bool over = false;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sys(sigprocmask(SIG_BLOCK, &child, NULL));
	while (!over || alive) {
		pid_t pid;

		over = over || now() - start >= seconds || shared->calls >= most;
		for (unsigned int i = 0; i < LIVES && !over; i++) {
			if (run[i].pid)
				continue;
			begin_life(&run[i], shared->progress[i], &r, only, log);
			alive++;
		}
		hotplug();
		pid = waitpid(-1, &status, WNOHANG);
		if (pid <= 0)
			sigtimedwait(&child, NULL, &a_moment);
		for (unsigned int i = 0; i < LIVES && pid <= 0; i++)
			nudge(&run[i], shared->progress[i]);
		for (unsigned int i = 0; i < LIVES; i++) {
			if (pid > 0 && run[i].pid == pid) {
				end_life(&run[i], status);
				alive--;
			}
			kill_stuck(&run[i]);
		}
		if (now() - told >= 30) {
			told = now();
			report(start);
		}
	}
	report(start);
	close(keep);
	close(log);
}

static int usage(void)
{
	fprintf(stderr, "usage: fuzz [--seed N] [--seconds N] [--calls N] [--genes A:B:…]\n");
	return 2;
}

int main(int argc, char **argv)
{
	uint64_t most = ~0ull;
	time_t seconds = 60;
	struct genes only;
	bool again = false, failed;

	for (int i = 1; i < argc; i += 2) {
		if (i + 1 == argc)
			return usage();
		if (!strcmp(argv[i], "--seed"))
			seed = strtoull(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--seconds"))
			seconds = atol(argv[i + 1]);
		else if (!strcmp(argv[i], "--calls"))
			most = strtoull(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--genes"))
			again = genes_parse(argv[i + 1], &only);
		else
			return usage();
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	must(shared != MAP_FAILED);
	printf("# seed %lu\n", seed);
	close(genl_open());
	faults_quiet();
	cov_open();
	evolve(seconds, most, again ? &only : NULL);
	report_calls();
	/* Nothing is left of anybody. */
	until(!genl_sessions());
	until(!module_refs());
	failed = shared->bad_errno || shared->stuck;
	printf("%sok fuzz\n", failed ? "not " : "");
	return failed;
}

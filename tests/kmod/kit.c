// SPDX-License-Identifier: GPL-2.0-only
#include "kit.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

static pid_t main_pid;

const char *kit_errno(int err)
{
	return err ? strerrorname_np(err) : "success";
}

void kit_fail(const char *file, int line, const char *what, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "# %s:%d: %s:%s\n", file, line, what, text);
	/* Only the test's own thread may unwind into the framework. */
	if (getpid() != main_pid || gettid() != main_pid)
		_exit(1);
	_fail(file, line);
	abort();
}

int kit_main(const struct CMUnitTest *tests, size_t count, int argc, char **argv)
{
	int status = 0;

	main_pid = getpid();
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (argc == 1)
		return _cmocka_run_group_tests("all", tests, count, NULL, NULL) ? 1 : 0;
	for (int i = 1; i < argc; i++) {
		bool known = false;

		for (size_t t = 0; t < count; t++) {
			if (!strcmp(argv[i], "-l")) {
				known = true;
				puts(tests[t].name);
			} else if (!strcmp(argv[i], tests[t].name)) {
				known = true;
				status |= !!_cmocka_run_group_tests("one", tests + t, 1, NULL, NULL);
			}
		}
		if (!known) {
			fprintf(stderr, "no test %s here\n", argv[i]);
			status = 2;
		}
	}
	return status;
}

int mzp(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) ? errno : 0;
}

int mzp_open(void)
{
	return sys(open(DEVICE, O_RDWR | O_CLOEXEC));
}

struct mzp_info mzp_info(void)
{
	struct mzp_info info = { .size = sizeof(info) };
	int fd = mzp_open();

	works(mzp(fd, MZP_IOC_INFO, &info));
	close(fd);
	return info;
}

struct mzp_setup setup_for(unsigned int channels)
{
	struct mzp_setup setup = {
		.size = sizeof(setup),
		.channels = channels,
		.detection = MZP_DETECTION_MULTIFD,
	};

	for (unsigned int i = 0; i < sizeof(setup.uuid); i++)
		setup.uuid[i] = 0x11 * i + 3;
	return setup;
}

int mzp_setup(int fd, const struct mzp_setup *setup)
{
	struct mzp_setup copy = *setup;

	if (!copy.level)
		copy.flags |= MZP_SETUP_DEFAULT_LEVEL;
	return mzp(fd, MZP_IOC_SETUP, &copy);
}

static int block_add(int fd, const char *idstr, struct mzp_block_add *add, uint32_t *id)
{
	int err;

	add->size = sizeof(*add);
	add->idstr = (uintptr_t)idstr;
	add->idstr_len = strlen(idstr);
	err = mzp(fd, MZP_IOC_BLOCK_ADD, add);
	if (id)
		*id = add->block_id;
	return err;
}

int mzp_block_add(int fd, const char *idstr, const void *addr, uint64_t length, uint32_t *id)
{
	struct mzp_block_add add = { .length = length, .addr = (uintptr_t)addr };

	return block_add(fd, idstr, &add, id);
}

int mzp_block_add_fd(int fd, const char *idstr, int file, uint64_t offset, uint64_t length,
		     uint32_t *id)
{
	struct mzp_block_add add = {
		.flags = MZP_BLOCK_FD, .length = length, .fd = file, .offset = offset,
	};

	return block_add(fd, idstr, &add, id);
}

int mzp_block_remove(int fd, uint32_t id)
{
	struct mzp_block_remove remove = { .size = sizeof(remove), .block_id = id };

	return mzp(fd, MZP_IOC_BLOCK_REMOVE, &remove);
}

int mzp_channel(int fd, uint32_t channel, uint32_t flags, int *ch)
{
	struct mzp_channel_get get = {
		.size = sizeof(get), .flags = flags, .channel = channel, .fd = -1,
	};
	int err = mzp(fd, MZP_IOC_CHANNEL, &get);

	*ch = get.fd;
	return err;
}

int mzp_send_all(int fd, uint32_t block, uint64_t first, uint64_t count, uint32_t flags,
		 uint64_t *job)
{
	struct mzp_send send = {
		.size = sizeof(send),
		.flags = flags,
		.block_id = block,
		.format = MZP_SEND_ALL,
		.first_page = first,
		.page_count = count,
	};
	int err = mzp(fd, MZP_IOC_SEND, &send);

	if (!err)
		must(send.job_id != 0 && send.pages == count);
	if (job)
		*job = send.job_id;
	return err;
}

int mzp_sync(int fd, uint64_t *job)
{
	struct mzp_sync sync = { .size = sizeof(sync) };
	int err = mzp(fd, MZP_IOC_SYNC, &sync);

	if (job)
		*job = sync.job_id;
	return err;
}

int mzp_wait(int fd, uint64_t job, int64_t timeout_ns, struct mzp_wait *w)
{
	w->size = sizeof(*w);
	w->job_id = job;
	w->timeout_ns = timeout_ns;
	w->error = w->error_block = 0;
	w->error_offset = w->submitted = w->normal = w->zero = w->absent = 0;
	return mzp(fd, MZP_IOC_WAIT, w);
}

int mzp_end(int fd)
{
	struct mzp_end end = { .size = sizeof(end) };

	return mzp(fd, MZP_IOC_END, &end);
}

int mzp_cancel(int fd)
{
	struct mzp_cancel cancel = { .size = sizeof(cancel) };

	return mzp(fd, MZP_IOC_CANCEL, &cancel);
}

struct mzp_pump pump_to(int socket)
{
	return (struct mzp_pump){ .size = sizeof(struct mzp_pump), .socket = socket };
}

int mzp_pump(int ch, struct mzp_pump *pump)
{
	return mzp(ch, MZP_IOC_PUMP, pump);
}

struct mzp_status mzp_status(int fd)
{
	struct mzp_status status = { .size = sizeof(status) };

	works(mzp(fd, MZP_IOC_STATUS, &status));
	return status;
}

int mzp_wait_pending(int fd, uint64_t pages, uint64_t bytes, int64_t timeout_ns,
		     struct mzp_wait_pending *p)
{
	*p = (struct mzp_wait_pending){
		.size = sizeof(*p),
		.max_pages = pages,
		.max_bytes = bytes,
		.timeout_ns = timeout_ns,
	};
	return mzp(fd, MZP_IOC_WAIT_PENDING, p);
}

int mzp_inject(int fd, uint32_t channel, const void *data, uint32_t length)
{
	struct mzp_inject inject = {
		.size = sizeof(inject),
		.channel = channel,
		.length = length,
		.data = (uintptr_t)data,
	};

	return mzp(fd, MZP_IOC_INJECT, &inject);
}

int mzp_rate(int fd, uint64_t rate)
{
	struct mzp_rate arg = { .size = sizeof(arg), .rate = rate };

	return mzp(fd, MZP_IOC_RATE, &arg);
}

int mzp_send_blind(int fd, uint32_t block, uint64_t first, uint64_t count)
{
	struct mzp_send send = {
		.size = sizeof(send),
		.flags = MZP_SEND_NO_RESULT,
		.block_id = block,
		.first_page = first,
		.page_count = count,
		.job_id = 1,
	};
	int err = mzp(fd, MZP_IOC_SEND, &send);

	if (!err)
		must(!send.job_id && send.pages == count);
	return err;
}

int mzp_sync_blind(int fd)
{
	struct mzp_sync sync = {
		.size = sizeof(sync), .flags = MZP_SYNC_NO_RESULT, .job_id = 1,
	};
	int err = mzp(fd, MZP_IOC_SYNC, &sync);

	if (!err)
		must(!sync.job_id);
	return err;
}

void session_open(struct session *s, const struct mzp_setup *setup)
{
	s->setup = *setup;
	s->fd = mzp_open();
	works(mzp_setup(s->fd, setup));
	for (unsigned int i = 0; i < setup->channels; i++)
		works(mzp_channel(s->fd, i, 0, &s->ch[i]));
}

uint32_t session_block(struct session *s, const char *idstr, const void *addr, uint64_t length)
{
	uint32_t id;

	works(mzp_block_add(s->fd, idstr, addr, length, &id));
	return id;
}

uint64_t session_send(struct session *s, uint32_t block, uint64_t first, uint64_t count,
		      uint32_t flags)
{
	uint64_t job;

	works(mzp_send_all(s->fd, block, first, count, flags, &job));
	return job;
}

uint64_t session_sync(struct session *s)
{
	uint64_t job;

	works(mzp_sync(s->fd, &job));
	return job;
}

struct mzp_wait session_wait(struct session *s, uint64_t job)
{
	struct mzp_wait w = { 0 };

	works(mzp_wait(s->fd, job, -1, &w));
	must(!w.error, "job ended with %s", kit_errno(w.error));
	must(w.submitted == w.normal + w.zero + w.absent);
	return w;
}

void session_end(struct session *s)
{
	works(mzp_end(s->fd));
	sys(close(s->fd));
}

void session_close(struct session *s)
{
	sys(close(s->fd));
	for (unsigned int i = 0; i < s->setup.channels; i++) {
		if (s->ch[i] >= 0)
			sys(close(s->ch[i]));
	}
}

pid_t child(void (*fn)(void *), void *arg)
{
	pid_t pid;

	fflush(stdout);
	pid = sys(fork());
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fn(arg);
		_exit(0);
	}
	return pid;
}

void reap(pid_t pid, int sig)
{
	int status;

	sys(waitpid(pid, &status, 0));
	if (sig)
		must(WIFSIGNALED(status) && WTERMSIG(status) == sig, "status %x", status);
	else
		must(!status, "status %x", status);
}

void become(uid_t uid)
{
	sys(setresgid(uid, uid, uid));
	sys(setresuid(uid, uid, uid));
}

void stay_on(unsigned int cpu, int policy)
{
	struct sched_param param = { .sched_priority = policy == SCHED_FIFO };
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sys(sched_setaffinity(0, sizeof(cpus), &cpus));
	sys(sched_setscheduler(0, policy, &param));
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	__atomic_store_n(&t->tid, gettid(), __ATOMIC_RELEASE);
	return t->fn(t->arg);
}

void interrupt(int sig)
{
	(void)sig;
}

void thread_start(struct thread *t, void *(*fn)(void *), void *arg)
{
	t->tid = 0;
	t->fn = fn;
	t->arg = arg;
	must(!pthread_create(&t->pthread, NULL, thread_main, t));
	until(__atomic_load_n(&t->tid, __ATOMIC_ACQUIRE));
}

void *thread_join(struct thread *t)
{
	void *result;

	must(!pthread_join(t->pthread, &result));
	return result;
}

static void *sink(void *arg)
{
	struct sink *s = arg;
	static __thread uint8_t buf[65536];
	ssize_t n;

	while ((n = read(s->ch, buf, sizeof(buf))) > 0)
		;
	return (void *)(intptr_t)(n ? errno : 0);
}

void sink_start(struct sink *s, int ch)
{
	s->ch = ch;
	thread_start(&s->thread, sink, s);
}

int sink_end(struct sink *s)
{
	return (intptr_t)thread_join(&s->thread);
}

long huge_pool(long pages)
{
	static const char nr[] = "/proc/sys/vm/nr_hugepages";
	char text[20];

	if (access(nr, F_OK)) {
		print_message("# the kernel has no huge pages\n");
		return 0;
	}
	snprintf(text, sizeof(text), "%ld", pages);
	file_put(nr, text);
	return file_number(nr, NULL);
}

uint64_t task_size(void)
{
	uint64_t low = 0, high = (1ul << 47) - PAGE;

	/* Some architectures end before. What is in use already is told from what cannot be. */
	while (low < high) {
		uint64_t middle = (low + (high - low) / 2) & -PAGE;
		void *at = mmap((void *)middle, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
				MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

		if (at != MAP_FAILED)
			sys(munmap(at, PAGE));
		if (at != MAP_FAILED || errno == EEXIST || middle < GIB)
			low = middle + PAGE;
		else
			high = middle;
	}
	return high;
}

bool blocked_in(pid_t pid, pid_t tid, long nr)
{
	char path[64];

	if (access("/proc/self/syscall", F_OK)) {
		print_message("# the kernel does not tell where a thread sleeps\n");
		skip();
	}
	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
	/* "running" while it is not asleep */
	return file_number(path, NULL) == nr;
}

void until_blocked_in(pid_t pid, pid_t tid, long nr)
{
	until(blocked_in(pid, tid, nr));
}

int poll_events(int fd, int events)
{
	struct pollfd p = { .fd = fd, .events = events };

	sys(poll(&p, 1, 0));
	return p.revents;
}

double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

bool readable(int fd)
{
	return poll_events(fd, POLLIN) & POLLIN;
}

void read_exactly(int fd, void *buf, size_t n)
{
	while (n) {
		ssize_t got = sys(read(fd, buf, n));

		must(got > 0, "end of file with %zu bytes missing", n);
		buf = (char *)buf + got;
		n -= got;
	}
}

void write_exactly(int fd, const void *buf, size_t n)
{
	while (n) {
		ssize_t put = sys(write(fd, buf, n));

		buf = (const char *)buf + put;
		n -= put;
	}
}

long file_number(const char *path, const char *key)
{
	static __thread char text[16384];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *at = text, *end;
	ssize_t n;
	long value;

	must(fd >= 0, "%s: %s", path, strerror(errno));
	n = sys(read(fd, text, sizeof(text) - 1));
	close(fd);
	text[n] = 0;
	if (key) {
		at = strstr(text, key);
		must(at, "no %s in %s", key, path);
		at += strlen(key);
	}
	errno = 0;
	value = strtol(at, &end, 0);
	return end == at ? -1 : value;
}

void file_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	must(fd >= 0, "%s: %s", path, strerror(errno));
	must(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s: %s", path,
	     strerror(errno));
	close(fd);
}

bool thp_there(void)
{
	return !access("/sys/kernel/mm/transparent_hugepage", F_OK);
}

void thp_off(void *base, uint64_t length)
{
	if (thp_there())
		sys(madvise(base, length, MADV_NOHUGEPAGE));
	else
		refuses(EINVAL, madvise(base, length, MADV_NOHUGEPAGE));
}

void thp_needed(void)
{
	if (!thp_there())
		skip_since("the kernel has no transparent huge pages");
}

void thp_on(void *base, uint64_t length)
{
	thp_needed();
	sys(madvise(base, length, MADV_HUGEPAGE));
}

long module_refs(void)
{
	return file_number("/sys/module/multifd_zp/refcnt", NULL);
}

long fd_number(int fd, const char *key)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return file_number(path, key);
}

void swap_on(void)
{
	/* a test that failed has left its own */
	if (!file_number("/proc/meminfo", "SwapTotal:") &&
	    system("{ modprobe zram && echo 64M >/sys/block/zram0/disksize && "
		   "mkswap /dev/zram0 && swapon /dev/zram0; } >/dev/null 2>&1"))
		skip_since("no swap space");
}

void swap_off(void)
{
	must(!system("swapoff /dev/zram0 && echo 1 >/sys/block/zram0/reset"));
}

uint64_t rnd(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint64_t rnd_below(uint64_t *state, uint64_t n)
{
	return rnd(state) % n;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What all test programs of this folder share: failing from any thread or
 * child, the ioctls as functions, children and threads, and waiting for
 * something to become true.
 */
#ifndef KIT_H
#define KIT_H

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/multifd_wire.h>
#include <linux/multifd_zp.h>

#define DEVICE "/dev/multifd_zp"
#define PAGE 4096ul
#define MIB (1ul << 20)
#define GIB (1ul << 30)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define min(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ < b_ ? a_ : b_; })
#define max(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ > b_ ? a_ : b_; })

/*
 * must(condition) or must(condition, format, …): fail the test otherwise.
 * Works in the test's own thread, in other threads (ends the program) and in
 * children (end with status 1, which reap() notices).
 */
#define must(cond, ...)                                                        \
	do {                                                                   \
		if (!(cond))                                                   \
			kit_fail(__FILE__, __LINE__, #cond, " " __VA_ARGS__);  \
	} while (0)
void kit_fail(const char *file, int line, const char *what, const char *format, ...)
	__attribute__((noreturn, format(printf, 4, 5)));

/* The value of a system call that must not fail. */
#define sys(call)                                                              \
	({                                                                     \
		long sys_ = (long)(call);                                      \
		must(sys_ != -1, "%s: %s", #call, strerror(errno));            \
		sys_;                                                          \
	})

/* A call that returns 0 or an errno must return this one. */
#define gives(want, call)                                                      \
	do {                                                                   \
		int got_ = (call);                                             \
		must(got_ == (want), "%s gave %s, not %s", #call,              \
		     kit_errno(got_), kit_errno(want));                        \
	} while (0)
#define works(call) gives(0, call)
/* A system call must fail with this errno. */
#define refuses(want, call)                                                    \
	do {                                                                   \
		errno = 0;                                                     \
		long got_ = (long)(call);                                      \
		must(got_ == -1 && errno == (want), "%s gave %ld, %s, not %s", \
		     #call, got_, kit_errno(errno), kit_errno(want));          \
	} while (0)
const char *kit_errno(int err);

/*
 * A test program's main(): `-l` lists the tests, names select some, `-n` leaves
 * the testing framework's own exception handlers out of the way.
 */
int kit_main(const struct CMUnitTest *tests, size_t count, int argc, char **argv);

/* The ioctls: 0 or an errno. */
int mzp(int fd, unsigned long cmd, void *arg);
int mzp_open(void);
struct mzp_info mzp_info(void);
/* Arguments for a session that differ from these in what a test is about. */
struct mzp_setup setup_for(unsigned int channels);
/* Level 0 stands for the method's default here. */
int mzp_setup(int fd, const struct mzp_setup *setup);
int mzp_block_add(int fd, const char *idstr, const void *addr, uint64_t length, uint32_t *id);
/* The same of a file's contents, which need not be mapped. */
int mzp_block_add_fd(int fd, const char *idstr, int file, uint64_t offset, uint64_t length,
		     uint32_t *id);
int mzp_block_remove(int fd, uint32_t id);
int mzp_channel(int fd, uint32_t channel, uint32_t flags, int *ch);
/* SEND of all pages first … first + count - 1. */
int mzp_send_all(int fd, uint32_t block, uint64_t first, uint64_t count, uint32_t flags,
		 uint64_t *job);
int mzp_sync(int fd, uint64_t *job);
/* Fills @w for @job and keeps the zero bitmap members that are already in it. */
int mzp_wait(int fd, uint64_t job, int64_t timeout_ns, struct mzp_wait *w);
int mzp_end(int fd);
int mzp_cancel(int fd);
/* Of a channel's fd. */
struct mzp_pump pump_to(int socket);
int mzp_pump(int ch, struct mzp_pump *pump);
/* Of a session that was set up. */
struct mzp_status mzp_status(int fd);
/* @p gets what is pending. */
int mzp_wait_pending(int fd, uint64_t pages, uint64_t bytes, int64_t timeout_ns,
		     struct mzp_wait_pending *p);
int mzp_inject(int fd, uint32_t channel, const void *data, uint32_t length);
int mzp_rate(int fd, uint64_t rate);
/* SEND of all of these pages, and SYNC, that nobody will ask for. */
int mzp_send_blind(int fd, uint32_t block, uint64_t first, uint64_t count);
int mzp_sync_blind(int fd);

/* A session that was set up, with all its channels handed out. */
struct session {
	int fd;
	struct mzp_setup setup;
	int ch[255];
};
void session_open(struct session *s, const struct mzp_setup *setup);
uint32_t session_block(struct session *s, const char *idstr, const void *addr, uint64_t length);
uint64_t session_send(struct session *s, uint32_t block, uint64_t first, uint64_t count,
		      uint32_t flags);
uint64_t session_sync(struct session *s);
/* The result of a job that must end without an error. */
struct mzp_wait session_wait(struct session *s, uint64_t job);
void session_close(struct session *s);
/* END, and close the session's own fd. */
void session_end(struct session *s);

/* A thread whose id is known, so that others can look at its state. */
struct thread {
	pthread_t pthread;
	pid_t tid;
	void *(*fn)(void *);
	void *arg;
};
void thread_start(struct thread *t, void *(*fn)(void *), void *arg);
void *thread_join(struct thread *t);

/*
 * A thread that reads a channel until that ends or fails, to nowhere: what has to be
 * waited for gets on only while somebody reads.
 */
struct sink {
	struct thread thread;
	int ch;
};
void sink_start(struct sink *s, int ch);
/* Wait until it is over: 0 at a proper end, or an errno. */
int sink_end(struct sink *s);

/* Children end with the test at the latest; they run @fn and exit with 0. */
pid_t child(void (*fn)(void *), void *arg);
/* The child must end by itself with status 0, or by signal @sig if not 0. */
void reap(pid_t pid, int sig);

/* From now on be another user, without privileges. */
#define SOMEBODY 54321
void become(uid_t uid);

/* Have the calling thread on this CPU only, and scheduled like this; FIFO with the least priority. */
void stay_on(unsigned int cpu, int policy);

/* A handler for signals that are to interrupt a call and do no more. */
void interrupt(int sig);

/* Have so many huge pages in the pool; how many there are, 0 if the kernel has none. */
long huge_pool(long pages);
/* The end of what can be mapped with page tables of 4 levels. */
uint64_t task_size(void);
/* "0" and "1" have the second CPU go and come; not writable where it cannot. */
#define CPU1 "/sys/devices/system/cpu/cpu1/online"

/* Whether a thread sleeps in system call @nr; skips the test if the kernel cannot tell. */
bool blocked_in(pid_t pid, pid_t tid, long nr);
/* What poll() calls; newer architectures have only the other one. */
#ifdef SYS_poll
#define SYS_OF_POLL SYS_poll
#else
#define SYS_OF_POLL SYS_ppoll
#endif
/* Wait until it does. */
void until_blocked_in(pid_t pid, pid_t tid, long nr);
/* Wait until something is true; fail when that takes absurdly long. */
#define until(cond)                                                            \
	do {                                                                   \
		unsigned int tries_ = 0;                                       \
		while (!(cond)) {                                              \
			must(tries_++ < 30000, "in vain");                     \
			usleep(1000);                                          \
		}                                                              \
	} while (0)
bool readable(int fd);
int poll_events(int fd, int events);

/* Milliseconds from some time on. */
double now_ms(void);

/* Whole transfers, or the test fails. */
void read_exactly(int fd, void *buf, size_t n);
void write_exactly(int fd, const void *buf, size_t n);

/* First integer in a file, or behind @key in a file of "key: value" lines. */
long file_number(const char *path, const char *key);
void file_put(const char *path, const char *text);
long module_refs(void);
/* The same of what fdinfo says of one of our own descriptors. */
long fd_number(int fd, const char *key);

/* Ends the test as one that cannot run here, and says why. */
#define skip_since(why)                                                        \
	do {                                                                   \
		printf("# skipped: %s\n", why);                                \
		skip();                                                        \
	} while (0)

/* Whether the kernel has huge pages for anonymous memory; one for real-time may not. */
bool thp_there(void);
/* Skip the test where it has not. */
void thp_needed(void);
/* Have only small pages in this memory. */
void thp_off(void *base, uint64_t length);
/* Have huge pages in this memory, or skip the test. */
void thp_on(void *base, uint64_t length);

/* Have some swap space; skips the test if there can be none. */
void swap_on(void);
void swap_off(void);

/* Numbers that look random and are the same in each run. */
uint64_t rnd(uint64_t *state);
uint64_t rnd_below(uint64_t *state, uint64_t n);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The calls of the fuzzer, and what their arguments are made of: places that hold
 * descriptors, memory, and numbers that are likely to matter.
 */
#ifndef FUZZ_CALL_H
#define FUZZ_CALL_H

#include "kit.h"

enum {
	THREADS = 2, LIVES = 4,
	DEVICES = 4, CHANNELS = 8, PIPES = 3, FILES = 3, SOCKETS = 8,
	MEMORY_PAGES = 1024, LAZY_PAGES = 64,
	/* results of a call beside 0: an errno, or these */
	NO_ERRNO = 250, NOT_MADE, RESULTS,
};

/* What all processes of a run share. */
struct shared {
	uint64_t calls, good, lives, bad_errno, stuck;
	uint64_t results[64][RESULTS];
	struct progress {
		pid_t tid;
		unsigned int calls;
	} progress[LIVES][THREADS];
};
extern struct shared *shared;

/* What the threads of a life share; each place is taken out by exchange, so nobody closes twice. */
extern int device[DEVICES], chan[CHANNELS], pipes[PIPES][2], files[FILES], sockets[SOCKETS];
extern int netlink;
extern uint8_t *memory;
/* Memory that is nothing but a block, whose pages a userfaultfd has to supply. */
extern uint8_t *lazy;
extern int uffd;

uint64_t pick(uint64_t *r, uint64_t n);
bool chance(uint64_t *r, unsigned int percent);
/* A descriptor of one of these places; -1 if there is none. */
int any(const int *places, unsigned int nr, uint64_t *r);
/* Put it at one of these places; what was there is closed. */
void place(int *places, unsigned int nr, int fd, uint64_t *r);
/* Close what is at one of these places. */
void take_out(int *places, unsigned int nr, uint64_t *r);
/* A number that is likely to matter. */
uint64_t number(uint64_t *r);
/* Some address: mostly good memory, at times at its edge, or none. */
void *address(uint64_t *r);
/* Some pages of the memory. */
void part(uint64_t *r, uint8_t **at, size_t *length);

/*
 * The calls, whose arguments come from the random numbers of @r. Return: 0, an errno,
 * NOT_MADE, or 1 if errno is to tell.
 */

/* fuzz_ioctl.c */
/* Make an ioctl: 0 or an errno, which must be one that is documented. */
int ask(int fd, unsigned long cmd, void *arg);
/* The same with an argument that is spoiled at times: a member, its size, or where it lies. */
int ask_spoiled(int fd, unsigned long cmd, void *arg, size_t size, uint64_t *r);
int call_open(uint64_t *r);
int call_setup(uint64_t *r);
int call_block_add(uint64_t *r);
int call_block_remove(uint64_t *r);
int call_channel(uint64_t *r);
int call_begin(uint64_t *r);
int call_send(uint64_t *r);
int call_sync(uint64_t *r);
int call_wait(uint64_t *r);
int call_wait_spoiled(uint64_t *r);
int call_info(uint64_t *r);
int call_status(uint64_t *r);
int call_wait_pending(uint64_t *r);
int call_inject(uint64_t *r);
int call_rate(uint64_t *r);
int call_end(uint64_t *r);
int call_cancel(uint64_t *r);
int call_garbage(uint64_t *r);

/* fuzz_file.c */
int call_read(uint64_t *r);
int call_readv(uint64_t *r);
int call_splice(uint64_t *r);
int call_tee(uint64_t *r);
int call_drain(uint64_t *r);
int call_sendfile(uint64_t *r);
int call_poll(uint64_t *r);
int call_readable(uint64_t *r);
int call_dup(uint64_t *r);
int call_close(uint64_t *r);
int call_other(uint64_t *r);
int call_fdinfo(uint64_t *r);

/* fuzz_socket.c */
int call_pump(uint64_t *r);
int call_receive(uint64_t *r);
int call_connect(uint64_t *r);
int call_disturb(uint64_t *r);
int call_scm(uint64_t *r);

/* fuzz_memory.c */
int call_map(uint64_t *r);
int call_unmap(uint64_t *r);
int call_remap(uint64_t *r);
int call_advise(uint64_t *r);
int call_protect(uint64_t *r);
int call_touch(uint64_t *r);
int call_file(uint64_t *r);
int call_supply(uint64_t *r);

/* fuzz_other.c */
int call_netlink(uint64_t *r);
int call_fork(uint64_t *r);
int call_signal(uint64_t *r);
int call_unload(uint64_t *r);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SOURCE_COST_AMOUNTS_H
#define SOURCE_COST_AMOUNTS_H

#include <stdint.h>
#include <sys/types.h>

/*
 * CPU time of this process's threads, of the module's, of ksoftirqd and of the receiver, and
 * time, in ns; tasks that were switched and TCP segments that were sent, by all of the machine.
 * Packets, those of them that readers made, and records are for the caller to fill in.
 */
struct amounts {
	uint64_t threads;
	uint64_t workers;
	uint64_t softirq;
	uint64_t receiver;
	uint64_t wall;
	uint64_t switches;
	uint64_t segments;
	uint64_t packets;
	uint64_t reader_packets;
	uint64_t records;
};

/* Must have been called once before amounts_now(): which threads of the kernel count. */
void amounts_find_tasks(void);
/* @receiver: 0 if there is none */
struct amounts amounts_now(pid_t receiver);

#endif /* SOURCE_COST_AMOUNTS_H */

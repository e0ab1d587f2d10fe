/* SPDX-License-Identifier: GPL-2.0-only */
/* A machine under KVM: memory, a vCPU with its thread, a device. */
#ifndef DEMO_VM_H
#define DEMO_VM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "log.h"
#include "ram.h"
#include "serial.h"

/*
 * What the guest has in one piece, and the migration in one block, can be several slots to
 * KVM, as on a PC: here the first MiB, and the rest.
 */
#define VM_SLOTS	2
#define VM_LOW_PAGES	256

struct vm {
	int kvm, fd, vcpu;
	struct kvm_run *run;
	size_t run_size;
	struct ram *ram;
	struct kvm_userspace_memory_region slots[VM_SLOTS];
	struct serial serial;
	struct log log;
	uint64_t rate;			/* pages a second that the guest may write */

	pthread_t thread;
	bool running;			/* the thread has been started */
	atomic_bool stop;		/* it shall end */
	uint64_t paced_ns, paced;	/* when it was started, and what had been taken then */
	struct mfd_error failure;	/* why it has ended by itself; read when it has */
};

/*
 * @vm: its files are -1, its rate is set, all else is 0. vm_destroy() it also if this fails.
 * @ram: larger than the first slot
 */
int vm_create(struct vm *vm, struct ram *ram, enum dirty_log dirty_log, struct mfd_error *err);

int vm_start(struct vm *vm, struct mfd_error *err);

/*
 * When it returns the vCPU does not run, and is between two instructions: what KVM asked for
 * has been done and KVM knows.
 */
int vm_stop(struct vm *vm, struct mfd_error *err);

void vm_destroy(struct vm *vm);

#endif /* DEMO_VM_H */

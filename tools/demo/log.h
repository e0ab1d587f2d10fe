/* SPDX-License-Identifier: GPL-2.0-only */
/* KVM's dirty log, in its three ways. */
#ifndef DEMO_LOG_H
#define DEMO_LOG_H

#include <linux/kvm.h>
#include <pthread.h>

#include "guest.h"

struct vm;

struct log {
	enum dirty_log kind;
	struct mfd_session *session;	/* while it is on; under @lock */
	struct mfd_block *block;
	uint64_t *bitmap;		/* as large as the largest slot wants it */
	pthread_mutex_t lock;		/* who empties the ring */
	struct kvm_dirty_gfn *ring;
	uint32_t entries;		/* of it */
	uint32_t at;			/* the next entry; under @lock */
	struct mfd_gfn *copies;		/* of entries; under @lock */
	unsigned long full;		/* times that the vCPU had to */
	struct mfd_error unmarked;	/* why pages could not be marked, if so; under @lock */
};

/* What KVM has to know before there is a vCPU. */
int log_prepare(struct log *log, struct vm *vm, enum dirty_log kind, struct mfd_error *err);

/* And after that. */
int log_create(struct log *log, struct vm *vm, struct mfd_error *err);

int log_start(struct log *log, struct vm *vm, struct mfd_session *session,
	      struct mfd_block *block, struct mfd_error *err);

/* Mark what was written since the last time. */
int log_fetch(struct log *log, struct vm *vm, struct mfd_error *err);

/* The vCPU's thread: KVM says that the ring is full. Fails only if KVM does. */
int log_full(struct log *log, struct vm *vm, struct mfd_error *err);

void log_stop(struct log *log, struct vm *vm);
void log_destroy(struct log *log);

#endif /* DEMO_LOG_H */

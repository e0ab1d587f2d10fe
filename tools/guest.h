/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A toy guest: RAM, "vCPU" threads that keep writing to it, and a dirty log, as
 * a VMM gets them from KVM.
 */
#ifndef GUEST_H
#define GUEST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/mfd.h"

#define GUEST_PAGE 4096

enum guest_memory { GUEST_ANON, GUEST_MEMFD };

struct guest;

struct vcpu {
	struct guest *guest;
	pthread_t thread;
	unsigned int id;
	uint64_t random;
};

struct guest {
	uint8_t *ram;
	uint64_t size;
	uint64_t pages;
	_Atomic uint64_t *dirty;	/* the log: a bit for each page */
	struct vcpu *vcpus;
	unsigned int nr_vcpus;
	unsigned int running;		/* threads that were started */
	unsigned int write_rate;	/* pages per second and vCPU */
	atomic_bool stop;
};

/*
 * Untouched memory, or what lies in the file @image; its holes stay untouched.
 */
int guest_create(struct guest *guest, uint64_t size, enum guest_memory memory,
		 const char *image, struct mfd_error *err);

/* Let vCPUs run, each writing @write_rate pages per second. */
int guest_start(struct guest *guest, unsigned int nr_vcpus, unsigned int write_rate,
		struct mfd_error *err);

/* When it returns no vCPU runs any more. */
void guest_stop(struct guest *guest);

/*
 * Get and clear the dirty log, as KVM_GET_DIRTY_LOG does, but keep the bits
 * that are set in @bitmap already. Return: how many are set then.
 */
uint64_t guest_fetch_dirty(struct guest *guest, uint64_t *bitmap);

/* Write the memory to @file. */
int guest_dump(const struct guest *guest, const char *file, struct mfd_error *err);

void guest_destroy(struct guest *guest);

#endif /* GUEST_H */

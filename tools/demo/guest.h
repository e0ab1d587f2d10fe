/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest as its migration sees it: memory that is written to while it runs, a log of what
 * was written, and the state of its vCPUs and devices.
 */
#ifndef DEMO_GUEST_H
#define DEMO_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ram.h"

/* How KVM says what was written. */
enum dirty_log { DIRTY_BITMAP, DIRTY_MANUAL, DIRTY_RING };

struct guest_options {
	uint64_t size;
	enum ram_kind memory;
	const char *image;		/* what is in the toy's memory, or NULL */
	unsigned long vcpus;		/* the toy's */
	unsigned long write_rate;	/* pages per second and vCPU */
	enum dirty_log dirty_log;	/* KVM's */
	bool incoming;			/* memory and state are to arrive, nothing is in it */
};

struct guest;

/*
 * start: let it run, for the first time or on.
 * stop: when it returns no vCPU runs any more. It fails if one has ended by itself.
 * log_start, before the first page is handed over: from now on note what is written.
 * log_fetch: mark what was written since the log was fetched last, for mfd_send_dirty().
 * log_stop, while the session is still there.
 *
 * The others are NULL for a guest without state:
 * send_state, of a stopped guest, by mfd_device_section().
 * take_state: @data is what has arrived of it so far. Return: 1: that was all, and the
 *	guest has it; 0: there must be more.
 * print_state: in text, so that both ends can be compared.
 * check, of a stopped guest: are its memory, vCPU and devices what its program made them?
 * tell: where it is, in a few words.
 */
struct guest_ops {
	int (*start)(struct guest *guest, struct mfd_error *err);
	int (*stop)(struct guest *guest, struct mfd_error *err);
	int (*log_start)(struct guest *guest, struct mfd_session *session,
			 struct mfd_block *block, struct mfd_error *err);
	int (*log_fetch)(struct guest *guest, struct mfd_error *err);
	void (*log_stop)(struct guest *guest);
	void (*destroy)(struct guest *guest);

	int (*send_state)(struct guest *guest, struct mfd_session *session,
			  struct mfd_error *err);
	int (*take_state)(struct guest *guest, const void *data, size_t size,
			  struct mfd_error *err);
	int (*print_state)(struct guest *guest, FILE *file, struct mfd_error *err);
	int (*check)(struct guest *guest, struct mfd_error *err);
	void (*tell)(struct guest *guest, char *text, size_t size);
};

struct guest {
	const struct guest_ops *ops;
	struct ram ram;
};

/* Threads that write: for machines without KVM, and for destinations that are QEMUs. */
int guest_toy(struct guest **guest, const struct guest_options *options, struct mfd_error *err);

/* A vCPU under KVM. -EOPNOTSUPP: not on such machines. */
int guest_kvm(struct guest **guest, const struct guest_options *options, struct mfd_error *err);

#endif /* DEMO_GUEST_H */

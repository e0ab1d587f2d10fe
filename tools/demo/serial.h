/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only device of the KVM guest: a port that takes a number at a time.
 *
 * It has state, which goes with the guest: how many it took, and the last one. And it writes
 * to the guest's memory, where KVM's log does not see it: how many, into a page of its own.
 */
#ifndef DEMO_SERIAL_H
#define DEMO_SERIAL_H

#include <stdatomic.h>
#include <stdint.h>

#include "ram.h"

#define SERIAL_PORT	0x10
/* the page that it writes to */
#define SERIAL_PAGE	9

/* What goes with the guest. */
struct serial_state {
	uint64_t taken;
	uint64_t last;
};

struct serial {
	struct ram *ram;
	struct serial_state state;
	atomic_bool written;		/* its page, since somebody looked */
};

/* The guest's OUT: by the vCPU's thread. */
void serial_take(struct serial *serial, uint32_t value);

/* How many the guest can read that it has taken. */
uint64_t serial_shown(const struct serial *serial);

#endif /* DEMO_SERIAL_H */

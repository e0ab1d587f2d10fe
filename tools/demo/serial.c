// SPDX-License-Identifier: GPL-2.0-only
/* A port that takes a number at a time; see serial.h. */
#include "serial.h"

static uint64_t *page(const struct serial *serial)
{
	return (uint64_t *)(serial->ram->base + SERIAL_PAGE * RAM_PAGE);
}

/* As in the toy: first write, then say so, and who sends it looks the other way round. */
void serial_take(struct serial *serial, uint32_t value)
{
	serial->state.taken++;
	serial->state.last = value;
	*page(serial) = serial->state.taken;
	atomic_store(&serial->written, true);
}

uint64_t serial_shown(const struct serial *serial)
{
	return *page(serial);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/* A guest's memory: one RAM block. */
#ifndef DEMO_RAM_H
#define DEMO_RAM_H

#include <stdint.h>

#include "lib/mfd.h"

#define RAM_PAGE 4096

enum ram_kind { RAM_ANON, RAM_MEMFD };

struct ram {
	uint8_t *base;
	uint64_t size;
	uint64_t pages;
};

/* Untouched memory of @size bytes. */
int ram_map(struct ram *ram, uint64_t size, enum ram_kind kind, struct mfd_error *err);

/* Fill it with what is in the file @image; its holes stay untouched. */
int ram_load(struct ram *ram, const char *image, struct mfd_error *err);

/* Write it to @file. */
int ram_dump(const struct ram *ram, const char *file, struct mfd_error *err);

void ram_unmap(struct ram *ram);

#endif /* DEMO_RAM_H */

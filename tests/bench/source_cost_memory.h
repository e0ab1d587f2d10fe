/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SOURCE_COST_MEMORY_H
#define SOURCE_COST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#define MEMORY_KINDS 5

struct memory_kind {
	const char *name;
	/* of memfd_create(2), for one */
	unsigned int file_flags;
	bool file, by_fd;
	int advice;
};

/* Memory of which all pages have data. */
struct memory {
	const struct memory_kind *kind;
	unsigned char *base;
	size_t size;
	int fd;
};

/* Return: the kind of that name; without one, the program ends. */
const struct memory_kind *memory_kind(const char *name);
void memory_make(struct memory *memory, const struct memory_kind *kind, size_t size);
void memory_drop(struct memory *memory);

#endif /* SOURCE_COST_MEMORY_H */

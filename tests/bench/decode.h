/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A channel's compressed stream as a stock QEMU destination takes it: a packet
 * at a time, each page of it asked for by itself, and what the packet still has
 * when its last page is there is forgotten.
 */
#ifndef DECODE_H
#define DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DECODE_PAGE 4096

struct decode;

/* @zstd: zstd, else zlib. Never fails: it aborts if there is no memory. */
struct decode *decode_open(bool zstd);
void decode_close(struct decode *decode);

/*
 * Decode a packet of @nr pages to @to. Return: NULL, or why QEMU would refuse it,
 * or fall out of step later.
 */
const char *decode_packet(struct decode *decode, const void *payload, size_t size, uint8_t *to,
			  unsigned int nr);

#endif

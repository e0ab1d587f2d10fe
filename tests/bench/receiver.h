/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RECEIVER_H
#define RECEIVER_H

#include <stddef.h>
#include <stdint.h>

#include "beside.h"

/* A process in the same machine that throws away what comes: the program `sink`. */
struct receiver {
	struct beside sink;
	int port;
};

/* @at_once: bytes that it takes in one call, at most */
void receiver_start(struct receiver *receiver, int connections, size_t at_once);
/* Wait until all connections have ended. Return: how many bytes came. */
uint64_t receiver_bytes(struct receiver *receiver);
void receiver_end(struct receiver *receiver);

#endif /* RECEIVER_H */

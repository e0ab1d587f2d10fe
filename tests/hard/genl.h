/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The module's generic netlink family, by hand: requests that are wrong, or are
 * to fail, want to be under control to the last byte.
 */
#ifndef GENL_H
#define GENL_H

#include "kit.h"

#include <linux/multifd_zp_netlink.h>

/* A socket; the family's number is asked for once. */
int genl_open(void);

/* Whether there is the family, whose number is new each time that it is loaded. */
bool genl_known(void);

/* A request under construction. */
struct genl_request {
	uint32_t length;
	uint8_t bytes[8192] __attribute__((aligned(4)));
};
void genl_begin(struct genl_request *r, uint8_t cmd, bool dump);
void genl_put(struct genl_request *r, uint16_t type, const void *data, size_t size);
void genl_put_u32(struct genl_request *r, uint16_t type, uint32_t value);
void genl_put_u64(struct genl_request *r, uint16_t type, uint64_t value);

/*
 * Send it and receive all of the answer; each message that is not the end is
 * passed to @fn, if there is one. Return: 0 or an errno: the family's, or that
 * of sending or receiving.
 */
int genl_ask(int fd, const struct genl_request *r,
	     void (*fn)(const uint8_t *attrs, size_t size, void *arg), void *arg);
/* An attribute of 32 bits; fails if it is not there. */
uint32_t genl_u32(const uint8_t *attrs, size_t size, uint16_t type);
uint64_t genl_u64(const uint8_t *attrs, size_t size, uint16_t type);

/* How many sessions there are. */
unsigned int genl_sessions(void);
/* The number of a session, from its device's fdinfo. */
uint64_t session_number(int fd);

#endif

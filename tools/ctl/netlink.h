/* SPDX-License-Identifier: GPL-2.0-only */
/* Requests to the module, and what comes back, over generic netlink. */
#ifndef CTL_NETLINK_H
#define CTL_NETLINK_H

#include <stdint.h>

struct ctl_link;
struct mfd_error;
struct nlattr;

/* Called for each message that arrives: its command and attributes. */
typedef void (*ctl_message)(uint8_t cmd, const struct nlattr *attrs, int len, void *opaque);

/*
 * Find the module. Returns 0 or a negative errno: ENOENT if there is none, with
 * what to do about it. All functions here say in @err what went wrong, in the
 * kernel's own words where it has some.
 */
int ctl_link_open(struct ctl_link **link, struct mfd_error *err);
void ctl_link_close(struct ctl_link *link);

/*
 * Build a request, send it with ctl_request() or ctl_dump(); these free it. A
 * request that ran out of memory on the way is found out when it is sent.
 */
struct ctl_request;
struct ctl_request *ctl_request_new(struct ctl_link *link, uint8_t cmd);
void ctl_request_u32(struct ctl_request *request, int attr, uint32_t value);
void ctl_request_u64(struct ctl_request *request, int attr, uint64_t value);
void ctl_request_text(struct ctl_request *request, int attr, const char *text);

/*
 * Send the request and wait for its end. @reply, which may be NULL, is called
 * for each answer.
 */
int ctl_request(struct ctl_request *request, ctl_message reply, void *opaque,
		struct mfd_error *err);
/*
 * The same for all objects of a kind. Returns -EAGAIN, without an @err, if they
 * changed so much meanwhile that the answers do not belong together.
 */
int ctl_dump(struct ctl_request *request, ctl_message reply, void *opaque,
	     struct mfd_error *err);

/*
 * Subscribe to events, and to the module's coming and going: a link that does so is good
 * for nothing else. Events that come from now on wait to be read.
 */
int ctl_listen(struct ctl_link *link, struct mfd_error *err);
/*
 * The same on a link that did so before, after the module went: waits until there is one.
 */
int ctl_listen_again(struct ctl_link *link, struct mfd_error *err);
/*
 * Wait for events and pass them on. Returns 0 once there were some; without an @err:
 * -ENOBUFS if some were lost, -ENODEV if the module was unloaded.
 */
int ctl_events(struct ctl_link *link, ctl_message event, void *opaque, struct mfd_error *err);

#endif /* CTL_NETLINK_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* All that can be seen at one time. */
#ifndef CTL_SNAPSHOT_H
#define CTL_SNAPSHOT_H

#include "attr.h"

struct ctl_link;
struct ctl_request;
struct mfd_error;

/* What to ask for besides the sessions. */
enum { CTL_CHANNELS = 1 << 0, CTL_WORKERS_TOO = 1 << 1, CTL_TOTALS = 1 << 2 };

/**
 * struct ctl_list - structures of one set, in the order of their ids
 * @set: what they are
 * @item: the structures, one behind the other
 * @nr: how many
 * @room: how many would fit
 * @failed: one did not fit, and there was no memory
 */
struct ctl_list {
	const struct ctl_set *set;
	void *item;
	size_t nr, room;
	bool failed;
};

/**
 * struct ctl_snapshot - all that can be seen at one time
 * @ns: when; CLOCK_MONOTONIC
 * @info: the module
 * @totals: what all sessions come to; without any attribute unless asked for
 * @host: what is set for the whole host; likewise
 * @sessions: of struct ctl_session
 * @channels: of struct ctl_channel; empty unless asked for
 * @workers: of struct ctl_worker; likewise
 */
struct ctl_snapshot {
	uint64_t ns;
	struct ctl_info info;
	struct ctl_totals totals;
	struct ctl_host host;
	struct ctl_list sessions, channels, workers;
};

/*
 * Ask the module; @session: for one session only, unless NULL. Returns 0 or a
 * negative errno. ctl_snapshot_free() in either case; it may be called twice.
 */
int ctl_snapshot_take(struct ctl_snapshot *snapshot, struct ctl_link *link,
		      const uint64_t *session, unsigned int what, struct mfd_error *err);
void ctl_snapshot_free(struct ctl_snapshot *snapshot);

/* Also what only administrators see, if the caller is one. */
int ctl_snapshot_take_more(struct ctl_snapshot *snapshot, struct ctl_link *link,
			   struct mfd_error *err);

/* Send a request with one answer, which is @item, of that @set. Returns 0 or a negative errno. */
int ctl_get(struct ctl_request *request, const struct ctl_set *set, void *item,
	    struct mfd_error *err);

/*
 * The last sessions that are gone, or the one of this id. Returns 0 or a negative errno;
 * @records->item is to be freed in either case.
 */
int ctl_history_take(struct ctl_list *records, struct ctl_link *link, const uint64_t *session,
		     struct mfd_error *err);

/* The session of this id, or NULL. */
const struct ctl_session *ctl_snapshot_session(const struct ctl_snapshot *snapshot,
					       uint64_t id);

/**
 * struct ctl_speed - what two samples of a session say about the time between them
 * @seconds: how long that is
 * @pages: that were dealt with, per second
 * @bytes: that readers took, per second
 * @cpus: how many CPUs the workers kept busy
 *
 * Without an earlier sample: about all the time since the session began.
 */
struct ctl_speed {
	double seconds, pages, bytes, cpus;
};
struct ctl_speed ctl_speed(const struct ctl_session *now, const struct ctl_session *before);

/* Pages of a session that are accounted for. */
uint64_t ctl_pages_done(const struct ctl_session *session);

#define ctl_for_each(pos, list)							\
	for ((pos) = (list)->item; (pos) < (__typeof__(pos))(list)->item + (list)->nr; (pos)++)

#endif /* CTL_SNAPSHOT_H */

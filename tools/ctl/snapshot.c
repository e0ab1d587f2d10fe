// SPDX-License-Identifier: GPL-2.0-only
/* All that can be seen at one time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netlink.h"
#include "snapshot.h"
#include "lib/error.h"
#include "report.h"

/* Sessions come and go; a dump that they disturbed is asked for again so often. */
#define TRIES 20

static void add(uint8_t cmd, const struct nlattr *attrs, int len, void *opaque)
{
	struct ctl_list *list = opaque;
	void *grown;

	(void)cmd;
	if (list->nr == list->room) {
		grown = realloc(list->item, (list->room * 2 + 16) * list->set->size);
		if (!grown) {
			list->failed = true;
			return;
		}
		list->item = grown;
		list->room = list->room * 2 + 16;
	}
	ctl_parse(list->set, attrs, len, (char *)list->item + list->nr++ * list->set->size);
}

static int finish(const struct ctl_list *list, int ret, struct mfd_error *err)
{
	return !ret && list->failed ? mfd_error_set(err, ENOMEM, "out of memory") : ret;
}

/* All of a kind; @attr, if not 0, restricts them to those of one session. */
static int dump(struct ctl_list *list, struct ctl_link *link, uint8_t cmd, int attr,
		const uint64_t *session, struct mfd_error *err)
{
	int tries = TRIES, ret;

	do {
		struct ctl_request *request = ctl_request_new(link, cmd);

		if (attr && session)
			ctl_request_u64(request, attr, *session);
		list->nr = 0;
		ret = ctl_dump(request, add, list, err);
	} while (ret == -EAGAIN && --tries);
	/* not all that exists at one time, but each of them is right */
	return finish(list, ret == -EAGAIN ? 0 : ret, err);
}

static int one_session(struct ctl_list *list, struct ctl_link *link, uint8_t cmd, uint64_t id,
		       struct mfd_error *err)
{
	struct ctl_request *request = ctl_request_new(link, cmd);
	int ret;

	ctl_request_u64(request, MZP_A_SESSION_ID, id);
	ret = finish(list, ctl_request(request, add, list, err), err);
	if (ret)
		mfd_error_prefix(err, "session %ju", (uintmax_t)id);
	return ret;
}

int ctl_history_take(struct ctl_list *records, struct ctl_link *link, const uint64_t *session,
		     struct mfd_error *err)
{
	*records = (struct ctl_list) { .set = &ctl_session_set };
	return session ? one_session(records, link, MZP_NL_CMD_HISTORY_GET, *session, err) :
			 dump(records, link, MZP_NL_CMD_HISTORY_GET, 0, NULL, err);
}

struct answer {
	const struct ctl_set *set;
	void *item;
};

static void take(uint8_t cmd, const struct nlattr *attrs, int len, void *opaque)
{
	const struct answer *answer = opaque;

	(void)cmd;
	ctl_parse(answer->set, attrs, len, answer->item);
}

int ctl_get(struct ctl_request *request, const struct ctl_set *set, void *item,
	    struct mfd_error *err)
{
	struct answer answer = { .set = set, .item = item };

	return ctl_request(request, take, &answer, err);
}

int ctl_snapshot_take_more(struct ctl_snapshot *snapshot, struct ctl_link *link,
			   struct mfd_error *err)
{
	int ret = ctl_get(ctl_request_new(link, MZP_NL_CMD_TOTALS_GET), &ctl_totals_set,
			      &snapshot->totals, err);

	if (!ret)
		ret = ctl_get(ctl_request_new(link, MZP_NL_CMD_HOST_GET), &ctl_host_set,
			      &snapshot->host, err);
	return ret == -EPERM ? 0 : ret;
}

int ctl_snapshot_take(struct ctl_snapshot *snapshot, struct ctl_link *link,
		      const uint64_t *session, unsigned int what, struct mfd_error *err)
{
	int ret;

	*snapshot = (struct ctl_snapshot) {
		.ns = now_ns(),
		.sessions.set = &ctl_session_set,
		.channels.set = &ctl_channel_set,
		.workers.set = &ctl_worker_set,
	};
	ret = ctl_get(ctl_request_new(link, MZP_NL_CMD_INFO_GET), &ctl_info_set,
			      &snapshot->info, err);
	if (!ret)
		ret = session ? one_session(&snapshot->sessions, link, MZP_NL_CMD_SESSION_GET,
					    *session, err) :
			dump(&snapshot->sessions, link, MZP_NL_CMD_SESSION_GET, 0, NULL, err);
	if (!ret && (what & CTL_CHANNELS))
		ret = dump(&snapshot->channels, link, MZP_NL_CMD_CHANNEL_GET,
			   MZP_A_CHANNEL_SESSION, session, err);
	if (!ret && (what & CTL_WORKERS_TOO))
		ret = dump(&snapshot->workers, link, MZP_NL_CMD_WORKER_GET, 0, NULL, err);
	if (!ret && (what & CTL_TOTALS))
		ret = ctl_get(ctl_request_new(link, MZP_NL_CMD_TOTALS_GET), &ctl_totals_set,
			      &snapshot->totals, err);
	return ret;
}

void ctl_snapshot_free(struct ctl_snapshot *snapshot)
{
	free(snapshot->sessions.item);
	free(snapshot->channels.item);
	free(snapshot->workers.item);
	memset(snapshot, 0, sizeof(*snapshot));
}

const struct ctl_session *ctl_snapshot_session(const struct ctl_snapshot *snapshot, uint64_t id)
{
	const struct ctl_session *session;

	ctl_for_each(session, &snapshot->sessions)
		if (session->id == id)
			return session;
	return NULL;
}

uint64_t ctl_pages_done(const struct ctl_session *session)
{
	const struct ctl_counters *count = &session->count;

	return count->normal + count->zero + count->absent + count->lost;
}

struct ctl_speed ctl_speed(const struct ctl_session *now, const struct ctl_session *before)
{
	static const struct ctl_session nothing;
	struct ctl_speed speed = { 0 };

	if (!before)
		before = &nothing;
	if (now->age <= before->age)
		return speed;
	speed.seconds = (now->age - before->age) / 1e9;
	speed.pages = (ctl_pages_done(now) - ctl_pages_done(before)) / speed.seconds;
	speed.bytes = (now->count.bytes_read - before->count.bytes_read) / speed.seconds;
	speed.cpus = (now->count.busy - before->count.busy) / 1e9 / speed.seconds;
	return speed;
}

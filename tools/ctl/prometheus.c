// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can be seen, in Prometheus' text format: names in base units, all samples
 * of a name together behind its HELP and TYPE.
 */
#include <stdbool.h>
#include <string.h>

#include <linux/multifd_zp.h>

#include "export.h"

#define PREFIX "multifd_zp_"

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), tail = strlen(end);

	return len >= tail && !strcmp(text + len - tail, end);
}

static void begin(FILE *to, const char *set, const char *metric, const char *help)
{
	fprintf(to, "# HELP " PREFIX "%s_%s %s\n", set, metric, help);
	fprintf(to, "# TYPE " PREFIX "%s_%s %s\n", set, metric,
		ends_with(metric, "_total") ? "counter" : "gauge");
}

/* A label's value; @name starts with a comma if it is not the first. */
static void label(FILE *to, const char *name, const char *value)
{
	fprintf(to, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '\n')
			fputs("\\n", to);
		else
			fprintf(to, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
	}
	fputc('"', to);
}

/* The labels that tell the structures of a set apart; those of one alone have none. */
static void labels(FILE *to, const struct ctl_snapshot *snapshot, const struct ctl_set *set,
		   const void *item)
{
	const struct ctl_session *session = item;
	const struct ctl_channel *channel = item;
	const struct ctl_worker *worker = item;

	if (set == &ctl_session_set) {
		fprintf(to, "{slot=\"%u\"}", session->slot);
	} else if (set == &ctl_channel_set) {
		session = ctl_snapshot_session(snapshot, channel->session);
		fprintf(to, "{slot=\"%u\",channel=\"%u\"}", session->slot, channel->id);
	} else if (set == &ctl_worker_set) {
		fprintf(to, "{cpu=\"%u\"}", worker->cpu);
	}
}

static void number(FILE *to, const struct ctl_field *field, const void *member)
{
	uint64_t value = field->type == CTL_U64 ? *(const uint64_t *)member :
			 *(const uint32_t *)member;

	if (strstr(field->metric, "_seconds"))
		fprintf(to, "%ju.%09u", (uintmax_t)(value / 1000000000),
			(unsigned int)(value % 1000000000));
	else
		fprintf(to, "%ju", (uintmax_t)value);
}

/* A channel whose session had not been there yet when sessions were asked for. */
static bool is_orphan(const struct ctl_snapshot *snapshot, const struct ctl_set *set,
		      const void *item)
{
	const struct ctl_channel *channel = item;

	return set == &ctl_channel_set && !ctl_snapshot_session(snapshot, channel->session);
}

/* What all sessions come to is the module's. */
static const char *prefix(const struct ctl_set *set)
{
	return set == &ctl_totals_set ? "module" : set->name;
}

static void metric(FILE *to, const struct ctl_snapshot *snapshot, const struct ctl_list *list,
		   const struct ctl_field *field)
{
	bool begun = false;
	size_t i;

	for (i = 0; i < list->nr; i++) {
		const char *item = (const char *)list->item + i * list->set->size;

		if (!(*(const uint64_t *)item >> field->attr & 1) || is_orphan(snapshot, list->set, item))
			continue;
		if (!begun)
			begin(to, prefix(list->set), field->metric, field->help);
		begun = true;
		fprintf(to, PREFIX "%s_%s", prefix(list->set), field->metric);
		labels(to, snapshot, list->set, item);
		fputc(' ', to);
		number(to, field, item + field->offset);
		fputc('\n', to);
	}
}

static void metrics(FILE *to, const struct ctl_snapshot *snapshot, const struct ctl_list *list)
{
	unsigned int i;

	for (i = 0; i < list->set->nr; i++)
		if (list->set->field[i].metric)
			metric(to, snapshot, list, &list->set->field[i]);
}

/* What is there only once. */
static void metrics_of_one(FILE *to, const struct ctl_snapshot *snapshot, const struct ctl_set *set,
			   const void *item)
{
	const struct ctl_list list = { .set = set, .item = (void *)item, .nr = 1 };

	metrics(to, snapshot, &list);
}

/* How the sessions that are gone were over, by reasons as JSON has them. */
static void sessions_over(FILE *to, const struct ctl_totals *totals)
{
	const struct {
		uint32_t reason;
		uint64_t count;
	} over[] = {
		{ MZP_REASON_CANCELLED, totals->cancelled },
		{ MZP_REASON_ADMIN, totals->cancelled_admin },
		{ MZP_REASON_CLOSED, totals->failed_closed },
		{ MZP_REASON_READER, totals->failed_reader },
		{ MZP_REASON_JOB, totals->failed_job },
		{ MZP_REASON_COMPRESSOR, totals->failed_compressor },
		{ MZP_REASON_MEMORY, totals->failed_memory },
		{ MZP_REASON_NETWORK, totals->failed_network },
	};
	size_t i;

	if (!totals->has)
		return;
	begin(to, "module", "sessions_ended_total", "Sessions that have ended well.");
	fprintf(to, PREFIX "module_sessions_ended_total %ju\n", (uintmax_t)totals->ended);
	begin(to, "module", "sessions_failed_total", "Sessions that failed or were cancelled.");
	for (i = 0; i < sizeof(over) / sizeof(over[0]); i++)
		fprintf(to, PREFIX "module_sessions_failed_total{reason=\"%s\"} %ju\n",
			ctl_name(ctl_reason_names, over[i].reason), (uintmax_t)over[i].count);
}

/* How many sessions there are, in each state. */
static void states(FILE *to, const struct ctl_snapshot *snapshot)
{
	const struct ctl_session *session;
	uint32_t state;

	begin(to, "module", "visible_sessions", "Sessions that could be seen, by their states.");
	for (state = 0; ctl_state_names[state]; state++) {
		unsigned int count = 0;

		ctl_for_each(session, &snapshot->sessions)
			count += session->state == state;
		fprintf(to, PREFIX "module_visible_sessions{state=\"%s\"} %u\n",
			ctl_state_names[state], count);
	}
}

/* What is left of that which was handed over, and how fast the guest writes. */
static void progress(FILE *to, const struct ctl_snapshot *snapshot)
{
	const struct ctl_session *session;
	bool begun = false;

	ctl_for_each(session, &snapshot->sessions) {
		if (!ctl_has(session, MZP_A_SESSION_SUBMITTED))
			continue;
		if (!begun)
			begin(to, "session", "remaining_pages",
			      "Pages that were handed over and not dealt with.");
		begun = true;
		fprintf(to, PREFIX "session_remaining_pages{slot=\"%u\"} %ju\n", session->slot,
			(uintmax_t)(session->submitted - ctl_pages_done(session)));
	}
	begun = false;
	ctl_for_each(session, &snapshot->sessions) {
		if (!ctl_has(session, MZP_A_SESSION_DIRTY_TIME) || !session->dirty_time)
			continue;
		if (!begun)
			begin(to, "session", "dirty_bytes_per_second",
			      "How fast the guest wrote before the last complete round.");
		begun = true;
		fprintf(to, PREFIX "session_dirty_bytes_per_second{slot=\"%u\"} %.0f\n",
			session->slot, (double)session->dirty_pages * snapshot->info.page_size /
			(session->dirty_time / 1e9));
	}
}

/* Who has a slot now, in labels. */
static void identities(FILE *to, const struct ctl_snapshot *snapshot)
{
	const struct ctl_session *session;

	if (snapshot->sessions.nr)
		begin(to, "session", "info", "What a session is, in labels; always 1.");
	ctl_for_each(session, &snapshot->sessions) {
		fprintf(to, PREFIX "session_info{slot=\"%u\",session=\"%ju\",pid=\"%u\"",
			session->slot, (uintmax_t)session->id, session->pid);
		label(to, ",comm", session->comm);
		fprintf(to, ",uid=\"%u\",state=\"%s\"", session->uid,
			ctl_name(ctl_state_names, session->state));
		if (ctl_has(session, MZP_A_SESSION_UUID))
			fprintf(to, ",uuid=\"%s\"", session->uuid);
		if (ctl_has(session, MZP_A_SESSION_METHOD))
			fprintf(to, ",method=\"%s\",detection=\"%s\"",
				ctl_name(ctl_method_names, session->method),
				ctl_name(ctl_detection_names, session->detection));
		fputs("} 1\n", to);
	}
}

void ctl_prometheus(FILE *to, const struct ctl_snapshot *snapshot, bool identify)
{
	begin(to, "module", "info", "The module, in labels; always 1.");
	fputs(PREFIX "module_info{", to);
	label(to, "version", snapshot->info.version);
	fputs("} 1\n", to);
	begin(to, "module", "sessions", "Sessions that exist, whoever's.");
	fprintf(to, PREFIX "module_sessions %u\n", snapshot->info.sessions);
	begin(to, "module", "workers", "Workers that take work.");
	fprintf(to, PREFIX "module_workers %u\n", snapshot->info.workers);
	states(to, snapshot);
	metrics_of_one(to, snapshot, &ctl_totals_set, &snapshot->totals);
	sessions_over(to, &snapshot->totals);
	metrics_of_one(to, snapshot, &ctl_host_set, &snapshot->host);
	if (identify)
		identities(to, snapshot);
	progress(to, snapshot);
	metrics(to, snapshot, &snapshot->sessions);
	metrics(to, snapshot, &snapshot->channels);
	metrics(to, snapshot, &snapshot->workers);
}

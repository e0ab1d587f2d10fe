// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can be seen, in Prometheus' text format: names in base units, all samples
 * of a name together behind its HELP and TYPE.
 */
#include <stdbool.h>
#include <string.h>

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

static void session_labels(FILE *to, const struct ctl_session *session, uint64_t id)
{
	fprintf(to, "session=\"%ju\"", (uintmax_t)id);
	if (!session)
		return;
	fprintf(to, ",pid=\"%u\"", session->pid);
	label(to, ",comm", session->comm);
}

/* The labels that tell the structures of a set apart. */
static void labels(FILE *to, const struct ctl_snapshot *snapshot, const struct ctl_set *set,
		   const void *item)
{
	if (set == &ctl_session_set) {
		const struct ctl_session *session = item;

		session_labels(to, session, session->id);
	} else if (set == &ctl_channel_set) {
		const struct ctl_channel *channel = item;

		session_labels(to, ctl_snapshot_session(snapshot, channel->session),
			       channel->session);
		fprintf(to, ",channel=\"%u\"", channel->id);
	} else {
		const struct ctl_worker *worker = item;

		fprintf(to, "cpu=\"%u\"", worker->cpu);
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

static void metric(FILE *to, const struct ctl_snapshot *snapshot, const struct ctl_list *list,
		   const struct ctl_field *field)
{
	bool begun = false;
	size_t i;

	for (i = 0; i < list->nr; i++) {
		const char *item = (const char *)list->item + i * list->set->size;

		if (!(*(const uint64_t *)item >> field->attr & 1))
			continue;
		if (!begun)
			begin(to, list->set->name, field->metric, field->help);
		begun = true;
		fprintf(to, PREFIX "%s_%s{", list->set->name, field->metric);
		labels(to, snapshot, list->set, item);
		fputs("} ", to);
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

/* What is a word goes by labels of a metric that is always 1. */
static void session_info(FILE *to, const struct ctl_snapshot *snapshot)
{
	const struct ctl_session *session;

	if (snapshot->sessions.nr)
		begin(to, "session", "info", "What a session is, in labels; always 1.");
	ctl_for_each(session, &snapshot->sessions) {
		fputs(PREFIX "session_info{", to);
		session_labels(to, session, session->id);
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

void ctl_prometheus(FILE *to, const struct ctl_snapshot *snapshot)
{
	begin(to, "module", "info", "The module, in labels; always 1.");
	fputs(PREFIX "module_info{", to);
	label(to, "version", snapshot->info.version);
	fputs("} 1\n", to);
	begin(to, "module", "sessions", "Sessions that exist, whoever's.");
	fprintf(to, PREFIX "module_sessions %u\n", snapshot->info.sessions);
	begin(to, "module", "workers", "Workers that take work.");
	fprintf(to, PREFIX "module_workers %u\n", snapshot->info.workers);
	session_info(to, snapshot);
	metrics(to, snapshot, &snapshot->sessions);
	metrics(to, snapshot, &snapshot->channels);
	metrics(to, snapshot, &snapshot->workers);
}

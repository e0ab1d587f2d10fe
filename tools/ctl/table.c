// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tables of sessions and channels that fit: what matters most has a column first.
 *
 * A column is given room in the order of its rank, and shown in the order of the array. One
 * for which there is no room is left out, and a narrower one behind it may still be there.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "table.h"
#include "text.h"
#include "output.h"

struct column {
	const char *name;
	unsigned int width;
	bool left;		/* aligned; numbers are not */
	unsigned int rank;	/* from 0 on */
	struct ctl_text (*text)(const void *item);
};

const char *const ctl_orders[CTL_ORDERS] = {
	[CTL_BY_BYTES] = "bytes", [CTL_BY_PAGES] = "pages", [CTL_BY_CPUS] = "cpus",
	[CTL_BY_SESSION] = "session",
};

/* --- which columns there are */

/* Bit n: column n. */
static unsigned int choose(const struct column *columns, unsigned int nr, unsigned int width)
{
	unsigned int used = 0, chosen = 0, rank, i;

	for (rank = 0; rank < nr; rank++) {
		for (i = 0; columns[i].rank != rank; i++)
			;
		/* a blank between two */
		if (used + !!used + columns[i].width > width)
			continue;
		used += !!used + columns[i].width;
		chosen |= 1u << i;
	}
	return chosen;
}

static void print(FILE *to, const struct column *columns, unsigned int nr, unsigned int width,
		  const void *item)
{
	unsigned int chosen = choose(columns, nr, width), i;
	bool first = true;

	for (i = 0; i < nr; i++) {
		struct ctl_text text;
		size_t length;

		if (!(chosen >> i & 1))
			continue;
		if (item)
			text = columns[i].text(item);
		else
			snprintf(text.s, sizeof(text.s), "%s", columns[i].name);
		if (!first)
			fputc(' ', to);
		first = false;
		length = strlen(text.s);
		if (columns[i].left && chosen >> (i + 1))
			/* it may be in any language, and hold what does not belong on a terminal */
			ctl_put(to, text.s, columns[i].width);
		else if (columns[i].left)
			ctl_put(to, text.s, length < columns[i].width ? length : columns[i].width);
		else
			fprintf(to, "%*s", (int)columns[i].width, text.s);
	}
}

unsigned int ctl_output_width(void)
{
	return isatty(STDOUT_FILENO) ? output_columns(STDOUT_FILENO) : CTL_ANY_WIDTH;
}

/* --- sessions */

#define TEXT(name, item_type, format, ...)				\
static struct ctl_text name(const void *data)				\
{									\
	const item_type *item = data;					\
	struct ctl_text text;						\
									\
	snprintf(text.s, sizeof(text.s), format, __VA_ARGS__);		\
	return text;							\
}

#define SESSION_TEXT(name, format, ...) TEXT(name, struct ctl_row, format, __VA_ARGS__)

SESSION_TEXT(session_id, "%" PRIu64, item->session->id)
SESSION_TEXT(session_pid, "%u", item->session->pid)
SESSION_TEXT(session_user, "%s", ctl_user(item->session->uid).s)
SESSION_TEXT(session_command, "%.60s", item->session->comm)
SESSION_TEXT(session_state, "%s", ctl_name(ctl_state_names, item->session->state))
SESSION_TEXT(session_rounds, "%" PRIu64, item->session->count.syncs)
SESSION_TEXT(session_done, "%s",
	     ctl_percent(ctl_pages_done(item->session), item->session->submitted).s)
SESSION_TEXT(session_pages, "%s", ctl_number(item->speed.pages).s)
SESSION_TEXT(session_bytes, "%s", ctl_bytes(item->speed.bytes).s)
SESSION_TEXT(session_zero, "%s",
	     ctl_percent(item->session->count.zero + item->session->count.absent,
			 ctl_pages_done(item->session)).s)
SESSION_TEXT(session_rings, "%s", ctl_percent(item->session->count.ring_packets,
					      item->session->count.ring_size).s)
SESSION_TEXT(session_cpus, "%.1f", item->speed.cpus)
SESSION_TEXT(session_bottleneck, "%s", ctl_bottleneck_word(item->bottleneck))

static const struct column session_columns[] = {
	{ "SESSION", 7, false, 0, session_id },
	{ "PID", 7, false, 6, session_pid },
	{ "USER", 8, true, 10, session_user },
	{ "COMMAND", 15, true, 4, session_command },
	{ "STATE", 6, true, 5, session_state },
	{ "ROUNDS", 6, false, 11, session_rounds },
	{ "DONE", 5, false, 3, session_done },
	{ "PAGES/s", 8, false, 7, session_pages },
	{ "BYTES/s", 9, false, 2, session_bytes },
	{ "ZERO", 5, false, 9, session_zero },
	{ "RINGS", 5, false, 12, session_rings },
	{ "CPUS", 5, false, 8, session_cpus },
	{ "BOTTLENECK", 12, true, 1, session_bottleneck },
};

#define NR_SESSION_COLUMNS (sizeof(session_columns) / sizeof(session_columns[0]))

void ctl_session_columns(FILE *to, unsigned int width)
{
	print(to, session_columns, NR_SESSION_COLUMNS, width, NULL);
}

void ctl_session_row(FILE *to, const struct ctl_row *row, unsigned int width)
{
	print(to, session_columns, NR_SESSION_COLUMNS, width, row);
}

static double sort_value(const struct ctl_row *row, enum ctl_order order)
{
	switch (order) {
	case CTL_BY_BYTES:
		return row->speed.bytes;
	case CTL_BY_PAGES:
		return row->speed.pages;
	case CTL_BY_CPUS:
		return row->speed.cpus;
	case CTL_BY_SESSION:
	case CTL_ORDERS:
		break;
	}
	return 0;
}

/* The largest first; equals by session, so that they do not jump. */
static int compare(const void *a, const void *b, void *order)
{
	const struct ctl_row *one = a, *other = b;
	double first = sort_value(one, *(enum ctl_order *)order);
	double second = sort_value(other, *(enum ctl_order *)order);

	if (first != second)
		return first < second ? 1 : -1;
	return one->session->id < other->session->id ? -1 : 1;
}

static bool matches(const struct ctl_row *row, const char *filter)
{
	return strstr(session_id(row).s, filter) || strstr(session_pid(row).s, filter) ||
	       strstr(session_user(row).s, filter) || strstr(row->session->comm, filter);
}

struct ctl_rows ctl_rows(const struct ctl_snapshot *now, const struct ctl_snapshot *before,
			 enum ctl_order order, const char *filter)
{
	struct ctl_rows rows = { .row = calloc(now->sessions.nr + 1, sizeof(*rows.row)) };
	const struct ctl_session *session;

	if (!rows.row)
		return rows;
	ctl_for_each(session, &now->sessions) {
		const struct ctl_session *last = ctl_snapshot_session(before, session->id);

		rows.row[rows.nr] = (struct ctl_row) {
			.session = session,
			.speed = ctl_speed(session, last),
			.bottleneck = ctl_bottleneck(session, last),
		};
		rows.nr += matches(&rows.row[rows.nr], filter);
	}
	qsort_r(rows.row, rows.nr, sizeof(*rows.row), compare, &order);
	return rows;
}

/* --- channels */

/* In eight characters. */
static struct ctl_text busy(uint64_t ns)
{
	uint64_t s = ns / 1000000000;
	struct ctl_text text;

	if (s < 60)
		return ctl_duration(ns);
	if (s < 3600)
		snprintf(text.s, sizeof(text.s), "%u:%02u min", (unsigned int)s / 60,
			 (unsigned int)s % 60);
	else
		snprintf(text.s, sizeof(text.s), "%ju:%02u h", (uintmax_t)s / 3600,
			 (unsigned int)(s / 60 % 60));
	return text;
}

static uint64_t pages(const struct ctl_channel *channel)
{
	return channel->count.normal + channel->count.zero + channel->count.absent;
}

#define CHANNEL_TEXT(name, format, ...) TEXT(name, struct ctl_channel, format, __VA_ARGS__)

CHANNEL_TEXT(channel_id, "%u", item->id)
CHANNEL_TEXT(channel_cpu, "%u", item->cpu)
CHANNEL_TEXT(channel_packets, "%s", ctl_number(item->count.packets).s)
CHANNEL_TEXT(channel_pages, "%s", ctl_number(pages(item)).s)
CHANNEL_TEXT(channel_bytes, "%s", ctl_bytes(item->count.bytes_read).s)
CHANNEL_TEXT(channel_zero, "%s",
	     ctl_percent(item->count.zero + item->count.absent, pages(item)).s)
CHANNEL_TEXT(channel_ring, "%u/%u", item->count.ring_packets, item->count.ring_size)
CHANNEL_TEXT(channel_full, "%s", ctl_number(item->count.ring_full).s)
CHANNEL_TEXT(channel_empty, "%s", ctl_number(item->count.ring_empty).s)
CHANNEL_TEXT(channel_waits, "%s", ctl_number(item->count.waits).s)
/* Workers; readers' time has what they wait for in it. */
CHANNEL_TEXT(channel_busy, "%s", item->open ? busy(item->count.busy).s : "unopened")

static const struct column channel_columns[] = {
	{ "channel", 7, false, 0, channel_id },
	{ "CPU", 4, false, 6, channel_cpu },
	{ "packets", 7, false, 7, channel_packets },
	{ "pages", 6, false, 4, channel_pages },
	{ "bytes", 7, false, 1, channel_bytes },
	{ "zero", 5, false, 5, channel_zero },
	{ "ring", 7, false, 2, channel_ring },
	{ "full", 6, false, 8, channel_full },
	{ "empty", 6, false, 9, channel_empty },
	{ "waits", 6, false, 10, channel_waits },
	{ "busy", 8, false, 3, channel_busy },
};

#define NR_CHANNEL_COLUMNS (sizeof(channel_columns) / sizeof(channel_columns[0]))

void ctl_channel_columns(FILE *to, unsigned int width)
{
	print(to, channel_columns, NR_CHANNEL_COLUMNS, width, NULL);
}

void ctl_channel_row(FILE *to, const struct ctl_channel *channel, unsigned int width)
{
	print(to, channel_columns, NR_CHANNEL_COLUMNS, width, channel);
}

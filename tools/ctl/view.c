// SPDX-License-Identifier: GPL-2.0-only
/* mfdctl top on a terminal: what is shown, and what keys do. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/multifd_zp_netlink.h>

#include "netlink.h"
#include "screen.h"
#include "text.h"
#include "view.h"
#include "lib/error.h"

/* Rows that are no list: two above it, one below. */
#define ABOVE 2
#define AROUND 3

static const char *const help[] = {
	"up, down, PgUp, PgDn, Home, End   choose a session",
	"Enter   its channels",
	"l       limit its rate (takes CAP_NET_ADMIN)",
	"x       cancel it (likewise)",
	"/       only sessions with this in their id, pid, user or command",
	"b       sort by bytes per second",
	"p       by pages per second",
	"c       by CPUs that are busy for it",
	"s       by session",
	"Ctrl-L  draw all anew",
	"q       quit, or back to the sessions",
	"",
	"Columns that do not fit are left out, the least important ones first.",
	"DONE: of the pages that were handed over. ZERO: zero or never touched, of",
	"those done. RINGS: how full they are. CPUS: that workers keep busy for it.",
	"BOTTLENECK: what it waits for: see mfdctl stats --help.",
};

#define NR_HELP (sizeof(help) / sizeof(help[0]))

/* --- lines */

/* A line that is printed and then drawn. */
struct line {
	FILE *to;
	char *text;
	size_t length;
};

static bool begin(struct line *line)
{
	line->to = open_memstream(&line->text, &line->length);
	return line->to;
}

static void draw(struct line *line, unsigned int row, unsigned int columns, enum ctl_look look)
{
	fclose(line->to);
	/* what may be more than one byte a character is cut in a table already */
	if (line->length > columns && strspn(line->text, "\t -~") == line->length)
		line->text[columns] = '\0';
	ctl_screen_row(row, line->text, look);
	free(line->text);
}

void ctl_view_head(FILE *to, const struct ctl_snapshot *now, const struct ctl_snapshot *before)
{
	const struct ctl_worker *worker;
	time_t clock = time(NULL);
	double busy = 0;
	char text[16];
	struct tm tm;

	localtime_r(&clock, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	fprintf(to, "mfdctl top, %s: %s", text, ctl_count(now->info.sessions, "session").s);
	if (now->info.sessions != now->sessions.nr)
		fprintf(to, " (%zu shown)", now->sessions.nr);
	fprintf(to, ", %s", ctl_count(now->info.workers, "worker").s);
	if (before->workers.nr != now->workers.nr || now->ns <= before->ns)
		return;
	ctl_for_each(worker, &now->workers)
		busy += worker->busy;
	ctl_for_each(worker, &before->workers)
		busy -= worker->busy;
	fprintf(to, ", %.1f of them busy", busy / (now->ns - before->ns));
}

static void foot(FILE *to, const struct ctl_view *view, size_t shown, size_t all)
{
	switch (view->ask) {
	case CTL_ASK_FILTER:
		fprintf(to, "Only sessions with: %s_", view->typed);
		return;
	case CTL_ASK_LIMIT:
		fprintf(to, "Rate of session %" PRIu64 " (100M, none): %s_", view->selected,
			view->typed);
		return;
	case CTL_ASK_CANCEL:
		fprintf(to, "Cancel session %" PRIu64 "? Its migration fails. (y/n)",
			view->selected);
		return;
	case CTL_ASK_NOTHING:
		break;
	}
	if (*view->message) {
		fputs(view->message, to);
		return;
	}
	if (all)
		fprintf(to, "%zu-%zu of %zu  ", view->first + 1, view->first + shown, all);
	fprintf(to, "?: help  q: quit  by %s", ctl_orders[view->order]);
	if (*view->filter)
		fprintf(to, "  only \"%s\"", view->filter);
	fputs(view->page == CTL_PAGE_SESSIONS ? "  Enter: channels  l: limit  x: cancel" : "", to);
}

/* --- lists */

/* Keep what is selected on the screen, and the screen full. */
static void scroll(struct ctl_view *view, size_t selected, size_t nr, size_t room)
{
	if (view->first > selected)
		view->first = selected;
	if (selected >= view->first + room)
		view->first = selected - room + 1;
	if (view->first + room > nr)
		view->first = nr > room ? nr - room : 0;
}

/* Where the selected session is; the first one if it is gone. */
static size_t find_selected(struct ctl_view *view, const struct ctl_rows *rows)
{
	size_t i;

	for (i = 0; view->chosen && i < rows->nr; i++)
		if (rows->row[i].session->id == view->selected)
			return i;
	if (rows->nr)
		view->selected = rows->row[0].session->id;
	view->chosen = rows->nr;
	return 0;
}

static size_t draw_sessions(struct ctl_view *view, const struct ctl_rows *rows, size_t room,
			    unsigned int columns)
{
	size_t selected = find_selected(view, rows), i;
	struct line line;

	scroll(view, selected, rows->nr, room);
	if (begin(&line)) {
		ctl_session_columns(line.to, columns);
		draw(&line, 1, columns, CTL_BOLD);
	}
	for (i = 0; i < room && view->first + i < rows->nr && begin(&line); i++) {
		ctl_session_row(line.to, &rows->row[view->first + i], columns);
		draw(&line, ABOVE + i, columns,
		     view->first + i == selected ? CTL_MARKED : CTL_PLAIN);
	}
	return i;
}

/* @all: how many it has. Return: how many are shown. */
static size_t draw_channels(struct ctl_view *view, const struct ctl_snapshot *now, size_t room,
			    unsigned int columns, size_t *all)
{
	const struct ctl_channel *channel;
	struct line line;
	size_t shown = 0, at = 0;

	*all = 0;
	ctl_for_each(channel, &now->channels)
		*all += channel->session == view->selected;
	scroll(view, view->first, *all, room);
	if (begin(&line)) {
		ctl_channel_columns(line.to, columns);
		draw(&line, 1, columns, CTL_BOLD);
	}
	ctl_for_each(channel, &now->channels) {
		if (channel->session != view->selected || at++ < view->first ||
		    shown == room || !begin(&line))
			continue;
		ctl_channel_row(line.to, channel, columns);
		draw(&line, ABOVE + shown++, columns, CTL_PLAIN);
	}
	return shown;
}

static size_t draw_help(struct ctl_view *view, size_t room, unsigned int columns)
{
	struct line line;
	size_t i;

	scroll(view, view->first, NR_HELP, room);
	ctl_screen_row(1, "", CTL_PLAIN);
	for (i = 0; i < room && view->first + i < NR_HELP && begin(&line); i++) {
		fputs(help[view->first + i], line.to);
		draw(&line, ABOVE + i, columns, CTL_PLAIN);
	}
	return i;
}

void ctl_view_draw(struct ctl_view *view, const struct ctl_snapshot *now,
		   const struct ctl_snapshot *before)
{
	struct ctl_rows rows = ctl_rows(now, before, view->order, view->filter);
	unsigned int height, columns;
	size_t room, shown = 0, all = rows.nr;
	struct line line;

	ctl_screen_size(&height, &columns);
	room = height > AROUND ? height - AROUND : 0;
	if (begin(&line)) {
		if (view->page == CTL_PAGE_CHANNELS)
			fprintf(line.to, "Channels of session %" PRIu64, view->selected);
		else
			ctl_view_head(line.to, now, before);
		draw(&line, 0, columns, CTL_PLAIN);
	}
	if (view->page == CTL_PAGE_SESSIONS)
		shown = draw_sessions(view, &rows, room, columns);
	else if (view->page == CTL_PAGE_CHANNELS)
		shown = draw_channels(view, now, room, columns, &all);
	else
		shown = draw_help(view, room, columns), all = NR_HELP;
	ctl_screen_show(ABOVE + shown);
	/* behind that, since the rest of the screen is empty now */
	if (height && begin(&line)) {
		foot(line.to, view, shown, all);
		/* a character in the last column of the last row might scroll it */
		draw(&line, height - 1, columns - 1, CTL_BOLD);
	}
	ctl_screen_show(height);
	free(rows.row);
}

/* --- what an administrator does */

static void act(struct ctl_view *view, uint8_t cmd, const uint64_t *rate, const char *done)
{
	struct mfd_error err = { .size = sizeof(err) };
	struct ctl_request *request = ctl_request_new(view->link, cmd);

	ctl_request_u64(request, MZP_A_SESSION_ID, view->selected);
	if (rate)
		ctl_request_u64(request, MZP_A_SESSION_RATE, *rate);
	snprintf(view->message, sizeof(view->message), "session %" PRIu64 ": %.100s",
		 view->selected, ctl_request(request, NULL, NULL, &err) ? err.text : done);
}

static void limit(struct ctl_view *view)
{
	struct mfd_error err = { .size = sizeof(err) };
	uint64_t rate;

	if (ctl_parse_rate(view->typed, &rate, &err))
		snprintf(view->message, sizeof(view->message), "%.150s", err.text);
	else
		act(view, MZP_NL_CMD_SESSION_LIMIT, &rate, rate ? "limited" : "not limited");
}

/* What was typed is complete. */
static void answer(struct ctl_view *view)
{
	if (view->ask == CTL_ASK_LIMIT && *view->typed)
		limit(view);
	else if (view->ask == CTL_ASK_FILTER)
		snprintf(view->filter, sizeof(view->filter), "%s", view->typed);
	view->ask = CTL_ASK_NOTHING;
}

static void type(struct ctl_view *view, int key)
{
	size_t length = strlen(view->typed);

	if (view->ask == CTL_ASK_CANCEL) {
		if (key == 'y' || key == 'Y')
			act(view, MZP_NL_CMD_SESSION_CANCEL, NULL, "cancelled");
		view->ask = CTL_ASK_NOTHING;
	} else if (key == CTL_KEY_ENTER) {
		answer(view);
	} else if (key == CTL_KEY_ESCAPE) {
		view->ask = CTL_ASK_NOTHING;
	} else if (key == CTL_KEY_ERASE && length) {
		view->typed[length - 1] = '\0';
	} else if (key >= ' ' && key <= '~' && length < sizeof(view->typed) - 1) {
		view->typed[length] = key;
		view->typed[length + 1] = '\0';
	}
}

/* --- keys */

static void ask(struct ctl_view *view, enum ctl_ask what)
{
	if (what != CTL_ASK_FILTER && !view->chosen)
		return;
	view->ask = what;
	snprintf(view->typed, sizeof(view->typed), "%s",
		 what == CTL_ASK_FILTER ? view->filter : "");
}

static void turn_to(struct ctl_view *view, enum ctl_page page)
{
	view->page = page;
	view->first = 0;
}

/* By how many a key moves, among @nr with @room for some. */
static long step(int key, size_t nr, size_t room)
{
	switch (key) {
	case CTL_KEY_UP:
	case 'k':
		return -1;
	case CTL_KEY_DOWN:
	case 'j':
		return 1;
	case CTL_KEY_PAGE_UP:
		return -(long)room;
	case CTL_KEY_PAGE_DOWN:
		return room;
	case CTL_KEY_FIRST:
		return -(long)nr;
	case CTL_KEY_LAST:
		return nr;
	}
	return 0;
}

static void move_by(struct ctl_view *view, int key, const struct ctl_snapshot *now,
		    const struct ctl_snapshot *before)
{
	struct ctl_rows rows = ctl_rows(now, before, view->order, view->filter);
	unsigned int height, columns;
	long by, to;

	ctl_screen_size(&height, &columns);
	by = step(key, now->sessions.nr + now->channels.nr + NR_HELP,
		  height > AROUND ? height - AROUND : 1);
	if (view->page == CTL_PAGE_SESSIONS && rows.nr) {
		to = (long)find_selected(view, &rows) + by;
		to = to < 0 ? 0 : to >= (long)rows.nr ? (long)rows.nr - 1 : to;
		view->selected = rows.row[to].session->id;
	} else {
		/* too far is put right when it is drawn */
		to = (long)view->first + by;
		view->first = to < 0 ? 0 : to;
	}
	free(rows.row);
}

static void sort(struct ctl_view *view, int key)
{
	unsigned int i;

	for (i = 0; i < CTL_ORDERS; i++)
		if (key == ctl_orders[i][0])
			view->order = i;
}

bool ctl_view_key(struct ctl_view *view, int key, const struct ctl_snapshot *now,
		  const struct ctl_snapshot *before)
{
	bool sessions = view->page == CTL_PAGE_SESSIONS;

	if (key == CTL_KEY_NONE)
		return true;
	view->message[0] = '\0';
	if (view->ask)
		type(view, key);
	else if (key == 'q' || key == 'Q' || key == CTL_KEY_ESCAPE) {
		if (sessions)
			return key == CTL_KEY_ESCAPE;
		turn_to(view, CTL_PAGE_SESSIONS);
	} else if (key == '?' || key == 'h')
		turn_to(view, CTL_PAGE_HELP);
	else if (key == CTL_KEY_ENTER && view->chosen)
		turn_to(view, sessions ? CTL_PAGE_CHANNELS : CTL_PAGE_SESSIONS);
	else if (key == '/')
		ask(view, CTL_ASK_FILTER);
	else if (key == 'l')
		ask(view, CTL_ASK_LIMIT);
	else if (key == 'x')
		ask(view, CTL_ASK_CANCEL);
	else if (step(key, 1, 1))
		move_by(view, key, now, before);
	else
		sort(view, key);
	return true;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/* mfdctl top on a terminal: what is shown, and what keys do. */
#ifndef CTL_VIEW_H
#define CTL_VIEW_H

#include "table.h"

struct ctl_link;

enum ctl_page { CTL_PAGE_SESSIONS, CTL_PAGE_CHANNELS, CTL_PAGE_HELP };
enum ctl_ask { CTL_ASK_NOTHING, CTL_ASK_FILTER, CTL_ASK_LIMIT, CTL_ASK_CANCEL };

/**
 * struct ctl_view - what is looked at
 * @link: for what an administrator does
 * @order: of the sessions
 * @page: what is shown
 * @ask: what is being typed
 * @typed: so far
 * @filter: only these sessions
 * @message: about what was done last, until the next key
 * @selected: a session's id; what is done is done to it
 * @chosen: there is one
 * @first: of the rows that are shown, the first one
 */
struct ctl_view {
	struct ctl_link *link;
	enum ctl_order order;
	enum ctl_page page;
	enum ctl_ask ask;
	char typed[32];
	char filter[32];
	char message[160];
	uint64_t selected;
	bool chosen;
	size_t first;
};

/* The first line of a table. */
void ctl_view_head(FILE *to, const struct ctl_snapshot *now, const struct ctl_snapshot *before);

/* Draw it all. */
void ctl_view_draw(struct ctl_view *view, const struct ctl_snapshot *now,
		   const struct ctl_snapshot *before);

/* Do what the key says. Return: false to end. */
bool ctl_view_key(struct ctl_view *view, int key, const struct ctl_snapshot *now,
		  const struct ctl_snapshot *before);

#endif /* CTL_VIEW_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* Tables of sessions and channels that fit: what matters most has a column first. */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#include "bottleneck.h"
#include "snapshot.h"

/* As wide as it wants to be. */
#define CTL_ANY_WIDTH 1000

/* What the table of sessions can be sorted by; the names are those of ctl_orders. */
enum ctl_order { CTL_BY_BYTES, CTL_BY_PAGES, CTL_BY_CPUS, CTL_BY_SESSION, CTL_ORDERS };
extern const char *const ctl_orders[CTL_ORDERS];

/* A line of it. */
struct ctl_row {
	const struct ctl_session *session;
	struct ctl_speed speed;
	enum ctl_bottleneck bottleneck;
};

/**
 * struct ctl_rows - sessions in order
 * @row: they point into the snapshot
 * @nr: how many
 */
struct ctl_rows {
	struct ctl_row *row;
	size_t nr;
};

/*
 * The sessions of @now, about the time since @before. @filter: only those where it is a part
 * of the id, the pid, the user or the command; "" is a part of all. free() the rows.
 */
struct ctl_rows ctl_rows(const struct ctl_snapshot *now, const struct ctl_snapshot *before,
			 enum ctl_order order, const char *filter);

/* Without newlines, and not wider than @width. */
void ctl_session_columns(FILE *to, unsigned int width);
void ctl_session_row(FILE *to, const struct ctl_row *row, unsigned int width);

/* Likewise channels. */
void ctl_channel_columns(FILE *to, unsigned int width);
void ctl_channel_row(FILE *to, const struct ctl_channel *channel, unsigned int width);

/* How wide standard output is; CTL_ANY_WIDTH if it is no terminal. */
unsigned int ctl_output_width(void);

#endif /* CTL_TABLE_H */

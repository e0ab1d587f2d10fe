/* SPDX-License-Identifier: GPL-2.0-only */
/* What can be seen, for programs: JSON, and Prometheus' text format. */
#ifndef CTL_EXPORT_H
#define CTL_EXPORT_H

#include <stdio.h>

#include "snapshot.h"

struct json_object;

/* An object with those attributes of @set that the structure at @from has, by their names. */
struct json_object *ctl_json(const struct ctl_set *set, const void *from);
/* Put a list of such objects into @object. */
void ctl_json_list(struct json_object *object, const char *name, const struct ctl_list *list);
/* Seconds since 1970. */
void ctl_json_time(struct json_object *object);
/* Print the object on one line, and free it. */
void ctl_json_print(struct json_object *object);

/*
 * All of the snapshot as metrics: channels, workers, totals and the host if they are in it.
 * A session's label is its slot, so that there are no more series than there were sessions at
 * one time; @identify: also one whose labels say who has which slot.
 */
void ctl_prometheus(FILE *to, const struct ctl_snapshot *snapshot, bool identify);

#endif /* CTL_EXPORT_H */

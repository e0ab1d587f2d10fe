/* SPDX-License-Identifier: GPL-2.0-only */
/* Ending by a signal where there is no migration that could be cancelled. */
#ifndef LEAVE_H
#define LEAVE_H

#include "report.h"

/*
 * From now on a signal ends the program with @status, after @what was said about it. With
 * PROGRAM_UNREPORTED it is over, and whatever is being written may be waiting for ever.
 */
void leave_with(const struct report *report, int status, const char *what);

#endif /* LEAVE_H */

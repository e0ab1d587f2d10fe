// SPDX-License-Identifier: GPL-2.0-only
/* Ending by a signal where there is no migration that could be cancelled. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "leave.h"
#include "output.h"
#include "program.h"
#include "signals.h"

/* A copy of the report: whose it was may have returned when a signal comes at the very end. */
static struct {
	struct report report;
	int status;
	const char *what;
} leaving;

/* Standard error may be what cannot be written, too. */
static void say(const char *text)
{
	if (!output_would_wait(STDERR_FILENO))
		dprintf(STDERR_FILENO, "%s: %s\n", leaving.report.program, text);
}

/* Another thread is in the midst of something, perhaps with the lock of a FILE. */
static void leave(void *unused)
{
	struct mfd_error err = { .size = sizeof(err), .code = ECANCELED };

	(void)unused;
	snprintf(err.text, sizeof(err.text), "%s (%s)", leaving.what, signals_name());
	if (leaving.status == PROGRAM_UNREPORTED) {
		say(err.text);
	} else {
		report_error(&leaving.report, &err);
		fflush(stdout);
	}
	_exit(leaving.status);
}

void leave_with(const struct report *report, int status, const char *what)
{
	/* what is there now looks at these */
	signals_act(NULL, NULL);
	leaving.report = *report;
	leaving.status = status;
	leaving.what = what;
	signals_act(leave, NULL);
}

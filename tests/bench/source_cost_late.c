// SPDX-License-Identifier: GPL-2.0-only
#include "beside.h"
#include "source_cost_late.h"

static struct beside late;

void late_begin(void)
{
	char line[8];

	beside_start(&late, (const char *const[]) { "latency", "--fifo", NULL });
	beside_line(&late, line, sizeof(line));
}

const char *late_end(void)
{
	static char line[1 << 16];

	beside_finish(&late);
	beside_line(&late, line, sizeof(line));
	beside_end(&late);
	return line;
}

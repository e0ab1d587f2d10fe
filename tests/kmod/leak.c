// SPDX-License-Identifier: GPL-2.0-only
#include "leak.h"

long huge_pages(const char *what)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-2048kB/%s", what);
	return access(path, F_OK) ? 0 : file_number(path, NULL);
}

void all_gone(const struct frames *f)
{
	until(!module_refs());
	until(huge_pages("free_hugepages") == huge_pages("nr_hugepages"));
	if (f)
		frames_gone(f);
}

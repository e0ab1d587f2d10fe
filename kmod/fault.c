// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults for tests, in kernels built for that. Like the kernel's own they count
 * in a task's fail-nth; nothing else makes them happen.
 */
#include "fault.h"

#ifdef CONFIG_FAULT_INJECTION
#include <linux/fault-inject.h>

/* Without a word in the log, which tests would fill. */
static struct fault_attr mzp_fault_attr = { .interval = 1, .times = ATOMIC_INIT(-1) };

/**
 * mzp_fault - whether what comes now is to fail
 *
 * Context: any.
 */
bool mzp_fault(void)
{
	return should_fail(&mzp_fault_attr, 1);
}
#endif

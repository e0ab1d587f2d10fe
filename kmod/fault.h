/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_FAULT_H
#define MZP_FAULT_H

#include <linux/types.h>

/*
 * Places where things fail that tests cannot make fail from outside. They do
 * through the kernel's fault injection, which is not in kernels that people use.
 */
#ifdef CONFIG_FAULT_INJECTION
bool mzp_fault(void);
#else
static inline bool mzp_fault(void)
{
	return false;
}
#endif

#endif /* MZP_FAULT_H */

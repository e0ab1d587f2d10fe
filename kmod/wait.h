/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_WAIT_H
#define MZP_WAIT_H

#include <linux/ktime.h>
#include <linux/types.h>
#include <linux/wait.h>

int mzp_wait_result(int err, s64 *timeout_ns, __s64 __user *user, ktime_t end);

/*
 * Wait in queue @wq until @condition holds, for as long as *@timeout_ns says (0: only look;
 * negative: without end). If a signal comes first, what is left of that is written to
 * @user, so that the command can simply be run again. Return: 0; -ETIMEDOUT; -ERESTARTSYS;
 * or -EFAULT.
 */
#define mzp_wait_event(wq, condition, timeout_ns, user)					\
({											\
	ktime_t _end = ktime_add_safe(ktime_get(), ns_to_ktime(*(timeout_ns)));		\
	int _err = *(timeout_ns) < 0 ?							\
		wait_event_interruptible(wq, condition) :				\
		wait_event_interruptible_hrtimeout(wq, condition,			\
						   ns_to_ktime(*(timeout_ns)));		\
											\
	mzp_wait_result(_err, timeout_ns, user, _end);					\
})

#endif /* MZP_WAIT_H */

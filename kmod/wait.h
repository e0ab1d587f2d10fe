/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_WAIT_H
#define MZP_WAIT_H

#include <linux/ktime.h>
#include <linux/types.h>

ktime_t mzp_wait_time(s64 timeout_ns);
int mzp_wait_result(int err, s64 *timeout_ns, __s64 __user *user, ktime_t end);

#endif /* MZP_WAIT_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MZP_ZERO_H
#define MZP_ZERO_H

#include <linux/types.h>

bool mzp_page_is_zero(const void *page);

#endif /* MZP_ZERO_H */

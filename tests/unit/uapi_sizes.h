/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sizes of the ioctl structures, which must be the same for 32-bit
 * programs: compiled by the unit tests, and with -m32 by the static checks.
 */
#include <linux/multifd_zp.h>

#define SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type)

SIZE(mzp_info, 72);
SIZE(mzp_setup, 72);
SIZE(mzp_block_add, 56);
SIZE(mzp_block_remove, 16);
SIZE(mzp_channel_get, 16);
SIZE(mzp_range, 24);
SIZE(mzp_send, 72);
SIZE(mzp_sync, 16);
SIZE(mzp_wait, 96);
SIZE(mzp_cancel, 8);
SIZE(mzp_pump, 40);
SIZE(mzp_status, 136);
SIZE(mzp_wait_pending, 48);
SIZE(mzp_end, 8);
SIZE(mzp_inject, 24);
SIZE(mzp_rate, 16);

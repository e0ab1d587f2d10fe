/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_DIRTY_H
#define MFD_PRIVATE_DIRTY_H

#include "block.h"

/* Free what is kept for the block. */
void mfd_dirty_free(struct mfd_block *block);

#endif /* MFD_PRIVATE_DIRTY_H */

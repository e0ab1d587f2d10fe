/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_SPLICE_H
#define MFD_PRIVATE_SPLICE_H

#include "pump.h"

/*
 * Bring a channel to its socket, until the stream ends, by splice(2). Called by a
 * thread that blocks SIGPIPE. Return: 0 at the end, or an error.
 */
int mfd_splice(struct mfd_pump *pump, struct mfd_error *err);

#endif /* MFD_PRIVATE_SPLICE_H */

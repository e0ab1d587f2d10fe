/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_RECORDS_H
#define MFD_PRIVATE_RECORDS_H

#include "pump.h"

/*
 * Bring a channel to its connection, until the stream ends, as TLS records made in this
 * process. Return: 0 at the end, or an error.
 */
int mfd_records(struct mfd_pump *pump, struct mfd_error *err);

#endif /* MFD_PRIVATE_RECORDS_H */

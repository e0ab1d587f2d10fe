/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MFD_PRIVATE_PUMP_WAIT_H
#define MFD_PRIVATE_PUMP_WAIT_H

#include "pump.h"

/* Wait until the channel has data or has ended. Return: 0, or the socket's error. */
int mfd_pump_wait_channel(struct mfd_pump *pump, struct mfd_error *err);

/* Wait until the socket takes something, as long as it may take. Return: 0 or an error. */
int mfd_pump_wait_socket(struct mfd_pump *pump, struct mfd_error *err);

#endif /* MFD_PRIVATE_PUMP_WAIT_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* The destination: a guest that comes from another mfddemo. */
#ifndef DEMO_INCOMING_H
#define DEMO_INCOMING_H

#include "guest.h"
#include "lib/mfd_recv.h"
#include "report.h"

struct incoming {
	const char *listen;
	const char *idstr;
	const struct mfd_recv_params *params;	/* what the source is like */
	struct report *report;
	struct guest *guest;		/* to be given memory and state */
};

/* Return: 0: the guest is here, and can be started. */
int incoming_receive(const struct incoming *incoming, struct mfd_error *err);

#endif /* DEMO_INCOMING_H */

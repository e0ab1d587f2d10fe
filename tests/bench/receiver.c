// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>

#include "receiver.h"

void receiver_start(struct receiver *receiver, int connections, size_t at_once)
{
	char nr[16], bytes[32], port[16];

	snprintf(nr, sizeof(nr), "%d", connections);
	snprintf(bytes, sizeof(bytes), "%zu", at_once);
	beside_start(&receiver->sink, (const char *const[]) { "sink", nr, bytes, NULL });
	beside_line(&receiver->sink, port, sizeof(port));
	receiver->port = atoi(port);
}

uint64_t receiver_bytes(struct receiver *receiver)
{
	char bytes[32];

	beside_line(&receiver->sink, bytes, sizeof(bytes));
	return strtoull(bytes, NULL, 10);
}

void receiver_end(struct receiver *receiver)
{
	beside_end(&receiver->sink);
}

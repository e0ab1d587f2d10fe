/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SOURCE_COST_LATE_H
#define SOURCE_COST_LATE_H

/* Begin to look how late a thread of each CPU gets it: the program `latency`, beside this one. */
void late_begin(void);
/* Return: what it says, a list in JSON, until the next call. */
const char *late_end(void);

#endif /* SOURCE_COST_LATE_H */

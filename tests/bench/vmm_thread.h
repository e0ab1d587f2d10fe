/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VMM_THREAD_H
#define VMM_THREAD_H

#include <stdint.h>

/* What measures a VMM's thread: a guest, of which parts count, and figures for each run. */

#define PAGE 4096ul
#define MIN_PAGES (1ul << 14)
#define MAX_PAGES (1ul << 20)
#define MAX_RUNS 100

/* For each page of the guest, if it is to be handed over. */
extern uint64_t bitmap[MAX_PAGES / 64];

/* The programs' only option. Return: how many runs it wants, or 5. */
int runs_wanted(int argc, char **argv);
/* Return: the guest's memory, MAX_PAGES that are not touched. */
unsigned char *guest_memory(void);
/* A pseudorandom number, the same each time. @state: begins with anything. */
uint32_t next_random(uint64_t *state);
/* The member of a JSON object that has the figures of all runs. */
void print_figures(const char *name, const uint64_t *figures, int runs);

#endif /* VMM_THREAD_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* What a session is waiting for. */
#ifndef CTL_BOTTLENECK_H
#define CTL_BOTTLENECK_H

#include "attr.h"

/**
 * enum ctl_bottleneck - what would make a session faster
 * @CTL_IDLE: nothing: all that was handed over is sent
 * @CTL_RATE: a higher rate limit
 * @CTL_NETWORK: a faster reader: the network, or the destination behind it
 * @CTL_PAGES: source pages that are at hand: they are swapped out, or locked
 * @CTL_CPUS: more or faster CPUs, or less compression
 */
enum ctl_bottleneck { CTL_IDLE, CTL_RATE, CTL_NETWORK, CTL_PAGES, CTL_CPUS };

/*
 * Decide from two samples of a session; @before is NULL for all the time since
 * it began. Documentation/mfdctl.rst has the rule in words.
 */
enum ctl_bottleneck ctl_bottleneck(const struct ctl_session *now,
				   const struct ctl_session *before);

/* In a word, as in JSON; and in a sentence. */
const char *ctl_bottleneck_word(enum ctl_bottleneck bottleneck);
const char *ctl_bottleneck_sentence(enum ctl_bottleneck bottleneck);

#endif /* CTL_BOTTLENECK_H */

# SPDX-License-Identifier: GPL-2.0-only
"""Distributions as tests/bench/latency.c prints them: lists of [up to, how often]."""


def together(distributions):
    """All of them as one, in order."""
    merged = {}
    for distribution in distributions:
        for value, count in distribution:
            merged[value] = merged.get(value, 0) + count
    return sorted(merged.items())


def percentile(distribution, share):
    """What so large a share is not above."""
    left = share * sum(count for _, count in distribution)
    for value, count in distribution:
        left -= count
        if left <= 0:
            return value
    return distribution[-1][0]

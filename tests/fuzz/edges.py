#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Inputs at the edges of what a packet's header may say, for the channel's fuzzer.

Usage: edges.py FOLDER

The corpus keeps what reaches new code, and a value one too large reaches none as
long as it is refused. So that a check that is off by one is noticed in a short run
as well, these inputs are made anew each time: a good packet of two normal pages and
a zero page, with one field set to each value of interest.
"""

import os
import struct
import sys

PAGE = 4096
COUNTS = (0, 1, 2, 3, 126, 127, 128, 129, 130, 1 << 31, (1 << 32) - 1)
SIZES = (0, 1, PAGE, 2 * PAGE - 1, 2 * PAGE, 2 * PAGE + 1, 3 * PAGE, 1 << 20, (1 << 20) + 1,
         (1 << 32) - 1)
# in ram0 of four pages, or b of one
OFFSETS = (0, 1, PAGE, 2 * PAGE, 3 * PAGE, 3 * PAGE + 1, 4 * PAGE, 5 * PAGE, 1 << 32, 1 << 63,
           (1 << 64) - PAGE, (1 << 64) - 1)
# where a field is, its format, and its values
FIELDS = ((8, ">I", tuple(1 << bit for bit in range(32))), (12, ">I", COUNTS),
          (16, ">I", COUNTS), (20, ">I", SIZES), (32, ">I", COUNTS),
          (320, ">Q", OFFSETS), (328, ">Q", OFFSETS), (336, ">Q", OFFSETS))


def packet(flags, idstr):
    """A header, and as much behind it as it says."""
    header = struct.pack(">6IQI28x256s128Q", 0x11223344, 1, flags, 128, 2, 2 * PAGE, 0, 1, idstr,
                         0, PAGE if idstr == b"ram0" else 0, *(0,) * 126)
    return header + bytes(range(256)) * (2 * PAGE // 256)


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        return
    os.makedirs(sys.argv[1], exist_ok=True)
    number = 0
    for method, flags in enumerate((0, 2, 4)):
        for idstr in (b"ram0", b"b", b"b" * 255, b"b" * 256):
            for offset, form, values in FIELDS:
                for value in values:
                    data = bytearray(packet(flags, idstr))
                    struct.pack_into(form, data, offset, value)
                    with open(f"{sys.argv[1]}/edge.{number}", "wb") as out:
                        out.write(bytes([method]) + data)
                    number += 1


if __name__ == "__main__":
    main()

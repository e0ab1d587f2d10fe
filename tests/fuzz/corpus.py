#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A fuzzer's corpus as one text file: each line is an input, compressed, in base64.

Usage: corpus.py unpack FILE FOLDER
       corpus.py pack FOLDER FILE

Inputs are mostly zeros, so this is a tenth of their size, and it is text.
"""

import base64
import hashlib
import os
import sys
import zlib

HEAD = "# SPDX-License-Identifier: GPL-2.0-only\n"


def unpack(path, folder):
    """Each input becomes a file named after its digest."""
    os.makedirs(folder, exist_ok=True)
    with open(path, encoding="ascii") as lines:
        for line in lines:
            if line.startswith("#"):
                continue
            data = zlib.decompress(base64.b64decode(line, validate=False))
            with open(f"{folder}/{hashlib.sha1(data).hexdigest()}", "wb") as out:
                out.write(data)


def pack(folder, path):
    """Smallest first."""
    inputs = []
    for name in os.listdir(folder):
        with open(f"{folder}/{name}", "rb") as file:
            inputs.append(file.read())
    with open(path, "w", encoding="ascii") as out:
        out.write(HEAD)
        for data in sorted(inputs, key=lambda data: (len(data), data)):
            out.write(base64.b64encode(zlib.compress(data, 9)).decode() + "\n")


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("pack", "unpack"):
        print(__doc__)
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    {"pack": pack, "unpack": unpack}[sys.argv[1]](*sys.argv[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main())

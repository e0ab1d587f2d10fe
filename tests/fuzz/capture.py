#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Seeds for the fuzzers: what stock QEMUs send of a guest of four pages.

Usage: capture.py FOLDER QEMU…

Each QEMU migrates with each compression method, detection and number of channels
that it has. FOLDER/main and FOLDER/channel get what came on each connection, with
the byte in front that the fuzz targets read their settings from.
"""

import itertools
import os
import socket
import sys
import tempfile
import threading

sys.path.insert(0, f"{os.path.dirname(os.path.abspath(__file__))}/../interop")
from qemu import Failed  # noqa: E402
from qemu_dest import PAGE  # noqa: E402
from qemu_source import Source  # noqa: E402

PAGES = 4
METHODS = ("none", "zlib", "zstd")
# None: as the source does it if it is not told
DETECTIONS = (None, "none", "legacy", "multifd")


def collect(connection, streams):
    """Read a connection to its end."""
    data = b""
    while part := connection.recv(65536):
        data += part
    streams.append(data)


def capture(qemu, settings):
    """What the connections of one migration carry."""
    streams, threads = [], []
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        memory = f"{folder}/memory"
        with open(memory, "wb") as out:
            out.write(bytes(PAGE) + b"data" * (PAGE // 4) + bytes(PAGE)
                      + bytes(i * i % 251 for i in range(PAGE)))
        listener.bind(f"{folder}/migration")
        listener.listen(8)
        try:
            source = Source(qemu, folder, memory, PAGES * PAGE, **settings)
        except Failed as error:
            # before 9.0 there is nothing to choose
            print(f"{qemu}: {error}", file=sys.stderr)
            return []
        with source:
            source.migrate(f"unix:{folder}/migration")
            for _ in range(1 + settings["multifd_channels"]):
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=collect, args=(connection, streams)))
                threads[-1].start()
            source.wait()
        for thread in threads:
            thread.join()
    return streams


def main():
    if len(sys.argv) < 3:
        print(__doc__)
        return
    folder, *qemus = sys.argv[1:]
    for kind in ("main", "channel"):
        os.makedirs(f"{folder}/{kind}", exist_ok=True)
    number = 0
    for qemu in qemus:
        for method, detection in itertools.product(METHODS, DETECTIONS):
            settings = {"multifd_compression": method, "multifd_channels": 2 if detection else 1}
            if detection:
                settings["zero_page_detection"] = detection
            for data in capture(qemu, settings):
                number += 1
                is_main = data.startswith(b"QEVM")
                # the targets' settings: that somebody takes the devices' state; that
                # there is a first message, and the method
                first = 0x40 if is_main else 0x80 | METHODS.index(method)
                kind = "main" if is_main else "channel"
                with open(f"{folder}/{kind}/{number:03d}", "wb") as out:
                    out.write(bytes([first]) + data)


if __name__ == "__main__":
    main()

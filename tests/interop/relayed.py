# SPDX-License-Identifier: GPL-2.0-only
"""Stock destinations behind a socat, from TCP to a UNIX socket; a part of cases.py.

Whatever happens to one side of it, the other one may see nothing but an end in good order. So
only what the destination says on the return path can tell how it went.
"""

import contextlib
import re
import subprocess
import time

import killed
import matrix
from matrix import BUILD, FOLDER, ONE, PROMPT, Failed

LAST = len(killed.POINTS) - 1


@contextlib.contextmanager
def relay(address):
    """A socat that passes on all connections to @address. Yields where it listens.

    A source ends its side before the answer comes; socat would wait for half a second only.
    """
    messages = f"{FOLDER}/socat.messages"
    with open(messages, "wb") as log, \
            subprocess.Popen(["socat", "-t", "600", "-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1,fork",
                              address.replace("unix:", "UNIX-CONNECT:")],
                             stdin=subprocess.DEVNULL, stdout=log, stderr=log) as socat:
        try:
            deadline = time.monotonic() + PROMPT
            while not (found := re.search(r"listening on \S+ (\S+:\d+)", matrix.said(messages))):
                if socat.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"socat does not listen: {matrix.said(messages)}")
                time.sleep(0.01)
            yield f"tcp:{found[1]}"
        finally:
            socat.terminate()


def arrives():
    """All of it, and the destination says so."""
    with matrix.qemu("stable", ONE, 3, "unix") as destination, relay(destination.address) as address:
        sender = matrix.start(f"{BUILD}/mfdsend", "--to", address, "--channels", 3, "--block",
                              f"ram0={matrix.image(*ONE[0])}")
        matrix.must_work(sender, destination)
        matrix.compare(destination, lambda idstr: matrix.image(*ONE[0]))


def dies(tries):
    """Never a success: at each point in turn, beginning with the last one."""
    for number in range(tries):
        point = LAST - number % (LAST + 1)
        try:
            killed.kill_at(point, "unix", False, relay)
        except Failed as error:
            raise Failed(f"try {number + 1}, killed {killed.POINTS[point][0]}: {error}") from error


def register():
    """Make these cases known."""
    matrix.case("through socat")(arrives)
    matrix.case("killed behind socat", 1)(dies)
    matrix.case("killed behind socat, 20 times", 20, quick=False)(dies)

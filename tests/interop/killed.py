# SPDX-License-Identifier: GPL-2.0-only
"""Stock destinations that are killed on the way; a part of cases.py.

They must never be taken for good, wherever that happens, and nobody may wait for ever. A
source that stops at each step (steps.c) is held there until the destination is gone.
"""

import contextlib
import os
import signal
import subprocess
import time

import matrix
from matrix import BUILD, FOLDER, ONE, PAGE, PEER, PROMPT, REASON, Failed
from qemu import end

# Where, in the order of a migration: the step that the source is at, and how much of its
# memory the destination has by then, in hundredths.
POINTS = (("before a word is said", "connected", 0),
          ("with the main connection alone", "main", 0),
          ("with one channel of three", "a channel", 0),
          ("with all channels", "channels", 0),
          ("with a tenth of the memory", "first round", 10),
          ("with nine tenths of the memory", "first round", 90),
          ("at the flush between rounds", "flush", 0),
          ("in the second round", "second round", 0),
          ("amid a device's state", "devices", 0),
          ("before it reads the end", "rounds", 0))
QUICK = ((2, "unix"), (5, "tcp"), (8, "unix"), (9, "tcp"), (9, "unix"))


class Steps:
    """The source that stops at each step."""

    def __init__(self, address, *options):
        with open(f"{FOLDER}/sender.messages", "wb") as log:
            self.process = subprocess.Popen(
                [f"{BUILD}/interop/steps", address, str(ONE[0][1]), *options],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)

    def reach(self, step):
        """Let it go on to that step, and stay there."""
        while name := self.process.stdout.readline().decode().strip():
            if name == step:
                return
            self.go_on()
        _, text = matrix.finish(self.process, PROMPT)
        raise Failed(f"it does not get to '{step}': {text}")

    def go_on(self):
        """From the step that it is at."""
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)
        self.process.stdin.close()
        self.process.stdout.close()


def wait_for_memory(destination, percent):
    """Until the destination has as much of it: its file is allocated where it was written."""
    path, size = destination.memory("ram0"), ONE[0][1] * PAGE
    deadline = time.monotonic() + PROMPT
    while os.stat(path).st_blocks * 512 < size * percent // 100:
        if time.monotonic() > deadline:
            raise Failed(f"the destination does not get {percent} % of the memory")
        time.sleep(0.001)


def end_is_sent(source):
    """All of it is in the sockets of a destination that does not look. Any moment would do."""
    source.go_on()
    time.sleep(1)
    if source.process.poll() is not None:
        raise Failed(f"ended early: {matrix.finish(source.process, 1)}")


def kill_at(point, uri, silent, way=contextlib.nullcontext):
    """The destination is killed at that point; then the source goes on.

    way: from the destination's address makes a context of the one that the source is told.
    """
    _, step, percent = POINTS[point]
    options = ["silent"] * silent + ["devices"] * (step == "devices")
    with matrix.qemu("stable", ONE, 3, uri) as destination, way(destination.address) as address, \
            Steps(address, *options) as source:
        source.reach(step)
        wait_for_memory(destination, percent)
        if step == "rounds":
            destination.process.send_signal(signal.SIGSTOP)
            end_is_sent(source)
        destination.kill()
        if step != "rounds":
            source.go_on()
        # the steps behind that one, if it gets there
        source.process.stdin.close()
        matrix.must_fail(source.process, REASON)


def not_killed(uri, silent):
    """Or else nothing would be said by its failing."""
    with matrix.qemu("stable", ONE, 3, uri) as destination, \
            Steps(destination.address, *["silent"] * silent) as source:
        source.reach("rounds")
        source.go_on()
        matrix.must_work(source.process, destination)


def unread(version, uri, *options):
    """It accepts connections but reads nothing: more than sockets can hold is under way."""
    with matrix.qemu(version, ONE, 1, uri) as destination:
        destination.process.send_signal(signal.SIGSTOP)
        sender = matrix.mfdsend(destination, "--channels", 1, "--compat", matrix.COMPAT[version], *options)
        time.sleep(2)
        if sender.poll() is not None:
            raise Failed(f"ended early: {matrix.finish(sender, 1)}")
        destination.kill()
        matrix.must_fail(sender, REASON)


def running_guest(stop):
    """A guest that goes on writing, from mfddemo; perhaps to one that reads no more."""
    with matrix.qemu("stable", ONE, 2, "unix") as destination:
        sender = matrix.start(f"{BUILD}/mfddemo", "--to", destination.address, *PEER,
                              "--size", str(ONE[0][1] * PAGE), "--image", matrix.image(*ONE[0]),
                              "--bandwidth", "16M", "--min-rounds", 3, "--max-rounds", 3)
        wait_for_memory(destination, 30)
        if stop:
            destination.process.send_signal(signal.SIGSTOP)
            time.sleep(1)
        destination.kill()
        matrix.must_fail(sender, REASON)


def register():
    """Make these cases known."""
    for uri in ("tcp", "unix"):
        for silent in (False, True):
            how = f"{uri}, {'no' if silent else 'a'} return path"
            matrix.case(f"not killed, {how}", uri, silent,
                        quick=silent and uri == "tcp")(not_killed)
            for point, (where, _, _) in enumerate(POINTS):
                matrix.case(f"killed {where}, {how}", point, uri, silent,
                            quick=(point, uri) in QUICK and silent == (point == 9))(kill_at)
    matrix.case("killed unread, stable, tcp", "stable", "tcp", "--zero", "none")(unread)
    matrix.case("killed unread, stable, unix", "stable", "unix")(unread)
    matrix.case("killed unread, oldest, unix", "oldest", "unix")(unread)
    for stop in (False, True):
        matrix.case(f"killed under mfddemo{', unread' * stop}", stop, quick=not stop)(running_guest)

# SPDX-License-Identifier: GPL-2.0-only
"""What all tests of this folder share: being tests, and running mfdctl."""

import json
import os
import platform
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback

TOP = os.path.realpath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
BUILD = os.environ.get("MZP_BUILD", f"{TOP}/build")
# A copy: the project may be in a folder that other users may not enter.
MFDCTL = "/dev/shm/mfdctl"
shutil.copy(f"{BUILD}/mfdctl", MFDCTL)
MODULE = os.environ.get("MZP_MODULE", f"{TOP}/build/kmod/{platform.release()}/multifd_zp.ko")
NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")

with open("/proc/self/comm", encoding="utf-8") as _comm:
    COMM = _comm.read().rstrip("\n")
# All there are, as a list such as 0-2.
with open("/sys/devices/system/cpu/possible", encoding="ascii") as _cpus:
    CPUS = _cpus.read().rstrip("\n")

TESTS = []


def test(function):
    """A test: it ends, or fails by raising something."""
    TESTS.append(function)
    return function


class Failed(Exception):
    """A test has failed."""


class Skipped(Exception):
    """A test cannot run here; says why."""


def must(condition, *what):
    if not condition:
        raise Failed(" ".join(str(thing) for thing in what))


def same(got, want, what=""):
    must(got == want, f"{what}: {got!r} instead of {want!r}")


def load(*parameters):
    """Load the module, for all to use."""
    subprocess.run(["insmod", MODULE, *parameters], check=True)
    os.chmod("/dev/multifd_zp", 0o666)


def until(condition, what, timeout=100):
    """Wait until something is true, and return that; for what nobody announces."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        must(time.monotonic() < deadline, "in vain:", what)
        time.sleep(0.02)
    return value


def mfdctl(*arguments, under=(), status=0):
    """What it printed on standard output; on standard error, if it is to fail."""
    done = subprocess.run([*under, MFDCTL, *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False)
    same(done.returncode, status, f"mfdctl {arguments}, {done.stdout!r}, {done.stderr!r}")
    if status:
        # an error is an object, too
        if "--json" not in arguments:
            same(done.stdout, "", "standard output")
        return done.stderr
    same(done.stderr, "", "standard error")
    return done.stdout


def stats(*arguments, under=()):
    """Counters, and what follows from all of them: at once."""
    return json.loads(mfdctl("stats", "--json", "--since-start", *arguments, under=under))


def session_stats(number):
    """One session, and its channels."""
    seen = stats(number, "--channels")
    same(len(seen["sessions"]), 1)
    return seen["sessions"][0], seen["channels"]


def bottleneck_now(number):
    """What a session waits for, not since it began but at present."""
    return json.loads(mfdctl("stats", number, "--json"))["sessions"][0]["bottleneck"]


class Monitor:
    """mfdctl monitor, which listens already; `before` is what it has told of what exists."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([MFDCTL, "monitor", *arguments],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.lines = []
        self.rest = b""
        self.before = []
        while not re.search(r" listening$|\"event\":\"listening\"", line := self.line()):
            self.before.append(line)

    def more(self, timeout):
        """Wait for lines; those that have been printed and not been asked for."""
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        if ready:
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            must(data, "mfdctl monitor has ended")
            *lines, self.rest = (self.rest + data).split(b"\n")
            self.lines += [line.decode() for line in lines]
        return self.lines

    def line(self, timeout=60):
        while not self.lines:
            must(self.more(timeout) or self.rest, "mfdctl monitor says nothing")
        return self.lines.pop(0)

    def event(self):
        return json.loads(self.line())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def _child(function, result):
    """Run a test in this process, which is its own; result: a file for why it was skipped."""
    os.setpgid(0, 0)
    try:
        function()
    except Skipped as skipped:
        os.write(result, str(skipped).encode())
    except BaseException:  # pylint: disable=broad-except
        for line in traceback.format_exc().splitlines():
            print(f"# {line}")
        sys.stdout.flush()
        return 1
    return 0


def _run(function, limit):
    """How a test's line begins, and how it ends."""
    sys.stdout.flush()
    result = os.memfd_create("result")
    pid = os.fork()
    if not pid:
        os._exit(_child(function, result))
    try:
        os.setpgid(pid, pid)
    except OSError:
        pass
    pidfd = os.pidfd_open(pid)
    ready, _, _ = select.select([pidfd], [], [], limit)
    os.close(pidfd)
    if not ready:
        print(f"# did not end within {limit} s")
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    # its leftovers
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    why = os.pread(result, 1000, 0).decode()
    os.close(result)
    return "not ok" if status else "ok", f" # SKIP {why}" if why else ""


def _chosen(names):
    """The tests of these names, or files, or both as they are printed; without any: all."""
    def known_by(function):
        return {function.__name__, function.__module__,
                f"{function.__module__}.{function.__name__}"}

    unknown = set(names).difference(*map(known_by, TESTS))
    if unknown:
        sys.exit(f"no such test, or file of tests: {' '.join(sorted(unknown))}")
    return [function for function in TESTS if not names or known_by(function) & set(names)]


def main(names):
    """Run the tests that have been asked for."""
    limit = int(os.environ.get("MZP_TEST_TIMEOUT", "200"))
    failed = False
    for function in _chosen(names):
        began = time.monotonic()
        outcome, skipped = _run(function, limit)
        failed |= outcome != "ok"
        if os.environ.get("MZP_TEST_TIMES"):
            print(f"# {time.monotonic() - began:.1f} s")
        print(f"{outcome} {function.__module__}.{function.__name__}{skipped}", flush=True)
    return 1 if failed else 0

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Guests under KVM from one mfddemo to another; run in the VM by tests/interop/run-kvm.

The guest's program counts, and what it counted to decides what has to be in each page,
register and device (tools/demo/code.c). mfddemo looks whether that is so at the destination,
after the guest has run on. Here both ends' memory and state are compared as well, and what
they say of the count.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback

from qemu import Failed, end
from qemu_dest import difference

TOP = os.path.realpath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
MFDDEMO = os.environ.get("MZP_BUILD", f"{TOP}/build") + "/mfddemo"
FOLDER = "/dev/shm/kvm"
LOGS = ("bitmap", "manual", "ring")
PATIENCE = 200
PROGRAM_PAGE = 7
KVM_EXIT_SHUTDOWN = 8
WHERE = r"count (\d+), rip (\w+), serial (\d+)(?:, dirty ring full (\d+) times)?"


class Skipped(Exception):
    """Nothing was wrong, but it was not what the case is for."""


class Unreliable(Skipped):
    """The machine that the case ran on went wrong, before anything was migrated."""


class Demo:
    """An mfddemo at work."""

    def __init__(self, name, *options):
        self.name = name
        self.dump, self.state = f"{FOLDER}/{name}.dump", f"{FOLDER}/{name}.state"
        self.messages = f"{FOLDER}/{name}.messages"
        with open(self.messages, "wb") as log:
            self.process = subprocess.Popen(
                [MFDDEMO, "--size", "4M", "--dump", self.dump, "--state", self.state,
                 *(str(o) for o in options)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def said(self):
        """What it wrote, on one line."""
        with open(self.messages, encoding="utf-8", errors="replace") as log:
            return " | ".join(line.strip() for line in log if line.strip()) or "(nothing)"

    def wait_for(self, pattern):
        """Until it has said that."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.said())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{self.name} does not say '{pattern}': {self.said()}")
            time.sleep(0.02)
        return found

    def ends(self, status):
        """It ends with that status."""
        try:
            got = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{self.name} hangs: {self.said()[-600:]}") from error
        if got != status:
            raise Failed(f"{self.name} ends with status {got}: {self.said()[-600:]}")

    def where(self, what):
        """Where it says that the guest was: the count, rip, the device's count; and how often
        its ring was full."""
        found = re.search(f"{what}: {WHERE}", self.said())
        if not found:
            raise Failed(f"{self.name} does not say where '{what}' was: {self.said()[-600:]}")
        return (int(found[1]), found[2], int(found[3])), int(found[4] or 0)

    def parts(self):
        """The guest's state, by its parts' names."""
        with open(self.state, encoding="ascii") as state:
            return dict(line.split() for line in state)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)


def destination(*options):
    demo = Demo("destination", "--listen", f"unix:{FOLDER}/migration", "--run-for", 1, *options)
    demo.wait_for("listening at")
    return demo


def source(*options):
    return Demo("source", "--guest", "kvm", "--to", f"unix:{FOLDER}/migration", *options)


def fresh_folder():
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.mkdir(FOLDER)


def compare(here, there):
    """Memory and state of both ends, when the guest did not run."""
    what = difference(there.dump, here.dump)
    if what:
        raise Failed(f"memory: {what}")
    mine, its = here.parts(), there.parts()
    # this one goes on while the guest is on its way
    mine.pop("vcpu/tsc")
    its.pop("vcpu/tsc")
    if mine.keys() != its.keys() or "vcpu/regs" not in mine:
        raise Failed(f"the states have the parts {list(mine)} and {list(its)}")
    for name, value in mine.items():
        if its[name] != value:
            raise Failed(f"{name}: {its[name][:600]} instead of {value[:600]}")


def emulated():
    """Is the CPU that runs KVM one of QEMU's?"""
    with open("/proc/cpuinfo", encoding="ascii") as cpuinfo:
        return "QEMU TCG CPU" in cpuinfo.read()


def trust(rip, events=bytes(4)):
    """The program is in one page, and can cause no exception. An emulated CPU has been seen to
    forget where the guest was when it stops, once in a hundred times: then rip is an address of
    the kernel's, and the guest is lost, with or without a migration."""
    if emulated() and (rip >> 12 != PROGRAM_PAGE or events[0] or events[3]):
        raise Unreliable(f"KVM stopped the vCPU at {rip:#x} with exception {events[1]}, where its "
                         "program cannot be")


def leaves(here):
    """The guest leaves the source. If the emulated CPU forgot where it was while it ran, it has
    come to a page fault by then, and to its end: it has no table for exceptions."""
    try:
        here.ends(0)
    except Failed as error:
        if emulated() and f"KVM's exit reason is {KVM_EXIT_SHUTDOWN}" in here.said():
            raise Unreliable("the guest shut down where it was, and its program cannot") from error
        raise


def migrate(log, fast):
    """Fast: the guest writes as fast as it can, and slow is the way, so that a ring gets full.
    Slow: it waits for its device most of the time, and is stopped there."""
    fresh_folder()
    rate = 100000 if fast else 400
    bandwidth = "512K" if fast and log == "ring" else "1M"
    with destination("--write-rate", rate) as there, \
            source("--write-rate", rate, "--dirty", log, "--warm-up", 3 if fast else 1,
                   "--bandwidth", bandwidth, "--min-rounds", 2, "--max-rounds", 2) as here:
        leaves(here)
        left, full = here.where("the guest has gone")
        trust(int(left[1], 16), bytes.fromhex(here.parts()["vcpu/events"]))
        there.ends(0)
        came, _ = there.where("the guest has come")
        after, _ = there.where("it ran on, and its memory is what it should be")
        compare(here, there)
    if left != came:
        raise Failed(f"the guest left at {left}, and came at {came}")
    if after[0] <= came[0] or after[2] < came[2]:
        raise Failed(f"the guest came at {came}, and after a while was at {after}")
    if fast and log == "ring" and not full:
        raise Skipped(f"the guest was too slow to fill the ring, it counted to {left[0]}")


def called_off(number):
    """The destination is told to stop while nobody has come."""
    fresh_folder()
    with destination() as there:
        there.process.send_signal(number)
        there.ends(1)
        if f"cancelled ({number.name})" not in there.said():
            raise Failed(f"it does not say why: {there.said()}")
    if os.path.exists(f"{FOLDER}/migration"):
        raise Failed("it leaves its socket")


def stays(log, number=signal.SIGKILL):
    """The destination ends on the way: the guest goes on where it is."""
    fresh_folder()
    with destination() as there, \
            source("--write-rate", 100000, "--dirty", log, "--warm-up", 2, "--bandwidth",
                   "2M", "--min-rounds", 1000, "--max-rounds", 1000, "--run-for", 1) as here:
        here.wait_for(r" 2 +\d+ +\d+ +\d+")
        there.process.send_signal(number)
        if number != signal.SIGKILL:
            there.ends(1)
        here.ends(1)
        stopped, _ = here.where("the guest goes on here")
        trust(int(stopped[1], 16))
        after, _ = here.where("it ran on, and its memory is what it should be")
    if not 0 < stopped[0] < after[0]:
        raise Failed(f"the guest failed to leave at {stopped}, and after a while was at {after}")


def no_state():
    """Memory alone is no guest."""
    fresh_folder()
    with destination() as there, \
            Demo("source", "--guest", "toy", "--to", f"unix:{FOLDER}/migration"):
        there.ends(1)
        if "no state: did it come from mfddemo --guest kvm?" not in there.said():
            raise Failed(f"it gives another reason: {there.said()}")


def run(name, function, *arguments):
    """Returns whether it failed."""
    if not re.search(sys.argv[2] if len(sys.argv) > 2 else "", name):
        return False
    began, problem, skipped = time.monotonic(), None, ""
    try:
        for attempts_left in (2, 1, 0):
            try:
                function(*arguments)
                break
            except Unreliable as error:
                if not attempts_left:
                    raise
                print(f"# {name}, once more: {error}", flush=True)
    except Skipped as error:
        skipped = f" # SKIP {error}"
    except Failed as error:
        problem = str(error)
    except Exception:  # a case must not take the others with it
        problem = " | ".join(traceback.format_exc().split("\n")[-4:])
    took = f"({time.monotonic() - began:.1f} s)"
    print(f"ok {name} {took}{skipped}" if problem is None else f"not ok {name}: {problem} {took}",
          flush=True)
    return problem is not None


def kvm():
    """Load KVM's module for this CPU. Returns whether the CPU can do it at all."""
    with open("/proc/cpuinfo", encoding="ascii") as cpuinfo:
        flags = cpuinfo.read().split()
    for flag, module in (("svm", "kvm_amd"), ("vmx", "kvm_intel")):
        if flag in flags:
            subprocess.run(["modprobe", module], check=True)
            return True
    return False


def main():
    times = int(sys.argv[1])
    # a command in the background of a shell ignores it, and so would all that begin here
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not kvm():
        print("ok guests under KVM # SKIP the VM's CPU has no virtualisation of its own")
        return 0
    failed = 0
    for log in LOGS:
        for number in range(times):
            fast = number % 2 == 0
            failed += run(f"KVM, {log}, {'fast' if fast else 'slow'}, {number + 1}", migrate,
                          log, fast)
        failed += run(f"KVM, {log}, the destination dies", stays, log)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        failed += run(f"KVM, {number.name} while the destination waits", called_off, number)
    failed += run("KVM, SIGTERM to the destination on the way", stays, LOGS[0], signal.SIGTERM)
    failed += run("KVM, a guest without state", no_state)
    return failed != 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Whole migrations, ours and a stock QEMU's by turns, to the same stock QEMU; run in
the VM by tests/bench/migration, which see. Prints a line of JSON for each run, and
how far it is on stderr."""

import argparse
import json
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import time

TOP = os.path.realpath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
sys.path[1:1] = [f"{TOP}/tests/interop"]
from qemu import Failed, NotStarted  # noqa: E402
from qemu_dest import PAGE  # noqa: E402
from source import (OURS, PROGRAMS, Latency, Ours, Receiver, Sink, Stock,  # noqa: E402
                    Syscalls, Window, status_of)

FOLDER = "/dev/shm/bench"
MEMORY = "/dev/shm/memory"
CONTENTS = "/dev/shm/contents"
MIB = 1 << 20
ROUNDS, DIRTY = 6, 5                # how often, and per cent of the pages
QEMU = "QEMU 10.0"
ZERO_COPY = "QEMU 10.0, zero-copy"
LEGACY = "QEMU 10.0, legacy"
NEWER = "QEMU 11.1"
NEWER_ZERO_COPY = "QEMU 11.1, zero-copy"
BOTH = (OURS, QEMU)
ALL = (OURS, QEMU, ZERO_COPY, LEGACY)


# --- what memory holds

def write_pages(path, megabytes, share):
    """A file with that share of its pages, anywhere; the others are holes."""
    pages = megabytes * MIB // PAGE
    with open(path, "wb") as out:
        out.truncate(megabytes * MIB)
        for number in random.Random(1).sample(range(pages), round(pages * share)):
            out.seek(number * PAGE)
            out.write(os.urandom(PAGE))


def normal(path, megabytes):
    with open(path, "wb") as out:
        for _ in range(megabytes):
            out.write(os.urandom(MIB))


def zero(path, megabytes):
    with open(path, "wb") as out:
        for _ in range(megabytes):
            out.write(bytes(MIB))


def half(path, megabytes):
    """What stands side by side is not alike, which is the harder half."""
    zero(path, megabytes)
    write_pages(f"{path}.pages", megabytes, 0.5)
    subprocess.run(["dd", f"if={path}.pages", f"of={path}", "bs=4k", "conv=sparse,notrunc",
                    "status=none"], check=True)
    os.unlink(f"{path}.pages")


def untouched(path, megabytes):
    write_pages(path, megabytes, 0)


def sparse(path, megabytes):
    write_pages(path, megabytes, 0.01)


def image(path, megabytes):
    """What a real guest had, which is to have touched all of it."""
    subprocess.run(["cp", "--sparse=auto", os.environ["MZP_IMAGE"], path], check=True)
    os.truncate(path, megabytes * MIB)


class Workload:
    """A guest's memory: contents, megabytes, and whether in anonymous memory."""

    def __init__(self, fill, megabytes, private=False):
        self.fill = fill
        self.megabytes = megabytes
        self.private = private


WORKLOADS = {
    "normal": Workload(normal, 128),
    "zero": Workload(zero, 128),
    "untouched": Workload(untouched, 1024),
    "half zero": Workload(half, 128),
    "guest image": Workload(image, 192),
    "sparse 1 %": Workload(sparse, 1024),
    "normal, anonymous": Workload(normal, 128, True),
    "normal, again": Workload(normal, 256),
    "a million pages": Workload(sparse, 4096),
}


def contents_of(workload):
    return f"{CONTENTS}.{workload.fill.__name__}.{workload.megabytes}"


def make_memory(workload):
    """The memory, made if it was not put back."""
    wanted = contents_of(workload)
    if not os.path.exists(wanted):
        for name in os.listdir("/dev/shm"):
            if f"/dev/shm/{name}".startswith((CONTENTS, MEMORY)):
                os.unlink(f"/dev/shm/{name}")
        workload.fill(wanted, workload.megabytes)
    os.rename(wanted, MEMORY)
    return allocated()


def put_back(workload, before):
    """For the next run, unless it has grown: a source that reads holes can fill them."""
    if allocated() == before:
        os.rename(MEMORY, contents_of(workload))


# --- one migration

class Case:
    """What is migrated, and how."""

    def __init__(self, workload, method="none", channels=2, peers=BOTH):
        self.name = workload
        self.workload = WORKLOADS[workload]
        self.method = method
        self.channels = channels
        self.peers = peers

    def title(self):
        return f"{self.name}, {self.method}, {self.channels} channels"

    def describe(self):
        return {"workload": self.name, "method": self.method, "channels": self.channels,
                "bytes": self.workload.megabytes * MIB}


def make_source(who, case, address, hold=False, **options):
    workload = case.workload
    common = (FOLDER, MEMORY, address, case.channels, case.method)
    if who == OURS:
        return Ours(*common, private=workload.private, hold=hold, **options)
    qemu = os.environ["MZP_QEMU_NEWEST" if who.startswith(NEWER) else "MZP_QEMU_STABLE"]
    return Stock(qemu, *common, zero="legacy" if who == LEGACY else None, hold=hold,
                 zero_copy=who in (ZERO_COPY, NEWER_ZERO_COPY), private=workload.private,
                 **options)


def make_destination(case, sink=False, machine=None):
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.mkdir(FOLDER)
    if sink:
        return Sink(case.channels)
    arguments = (os.environ["MZP_QEMU_STABLE"], FOLDER, case.workload.megabytes * MIB,
                 case.channels, case.method, machine)
    try:
        return Receiver(*arguments)
    except NotStarted as error:
        # Nothing that is measured was involved yet; say so, and see if that lasts.
        print(f"# once more: {error}", file=sys.stderr, flush=True)
        shutil.rmtree(FOLDER)
        os.mkdir(FOLDER)
        return Receiver(*arguments)


def allocated():
    return os.stat(MEMORY).st_blocks * 512


def migrate(who, case, sink=False, watch=False, **options):
    """One migration: what it took; with `watch`, how late timers were meanwhile."""
    file = make_memory(case.workload)
    if sink and who == OURS:
        options["mute"] = True
    with make_destination(case, sink) as destination:
        with make_source(who, case, destination.address, **options) as source:
            before = status_of(source.pid)
            latency = Latency() if watch else None
            window = Window(source, destination.pid)
            source.go()
            destination.arrived()
            figures = window.end()
            if watch:
                figures["distribution"] = latency.end()
            figures.update(source.finish())
            after = status_of(source.pid)
            figures["grown_file"] = allocated() - file
            for name in after:
                figures[f"grown_{name}"] = after[name] - before[name]
            if who == OURS:
                source.go()
            destination.check(MEMORY)
    put_back(case.workload, file)
    return figures


def count(who, case):
    """The same with counters that would be in the way of times."""
    file = make_memory(case.workload)
    with make_destination(case) as destination:
        with make_source(who, case, destination.address, hold=True) as source:
            syscalls = Syscalls(source.pid)
            source.go()
            figures = source.held()
            if who == OURS:
                source.go()
            destination.arrived()
            figures["syscalls"] = syscalls.end()
            said = source.finish()
            if who == OURS:
                source.go()
                figures["vmm_s"] = said["submit_s"] + said["wait_s"]
            figures.update(said)
            destination.check(MEMORY)
    put_back(case.workload, file)
    return figures


def rounds(who, case):
    """What is written is sent again: CPU time of the first round, and of the others."""
    file = make_memory(case.workload)
    with make_destination(case, machine="pc") as destination:
        with make_source(who, case, destination.address, hold=True, rounds=ROUNDS,
                         dirty=DIRTY, machine=destination.machine) as source:
            first = source.first_round()
            others = source.other_rounds()
            source.go_on()
            destination.arrived()
            said = source.finish()
            if who == OURS:
                source.go()
            destination.check(MEMORY)
    put_back(case.workload, file)
    return {"first_s": first, "others_s": others - said.get("write_s", 0), "others": ROUNDS - 1,
            "again": DIRTY * (ROUNDS - 1) / 100 * case.workload.megabytes * MIB, **said}


# --- the plan

def result(kind, case, who, run, figures):
    line = {"kind": kind, **(case.describe() if case else {}), "who": who, "run": run, **figures}
    print(json.dumps(line), flush=True)


def runs_of(cases, runs, kind="run", **options):
    """Each case so often, sources by turns."""
    for case in cases:
        for run in range(runs):
            for who in case.peers:
                yield (f"{kind}: {case.title()}: {who}",
                       lambda case=case, who=who, run=run: result(
                           kind, case, who, run, migrate(who, case, **options)))


def counts_of(cases):
    for case in cases:
        for who in case.peers:
            yield (f"count: {case.title()}: {who}",
                   lambda case=case, who=who: result("count", case, who, 0, count(who, case)))


def rounds_of(cases, runs):
    for case in cases:
        for run in range(runs):
            for who in case.peers:
                yield (f"rounds: {case.title()}: {who}",
                       lambda case=case, who=who, run=run: result(
                           "rounds", case, who, run, rounds(who, case)))


def latency_idle():
    latency = Latency()
    time.sleep(5)
    result("latency", None, "idle", 0, {"distribution": latency.end()})


def ceilings(runs):
    subprocess.run([f"{PROGRAMS}/ceiling", "128", str(runs), "VM"], check=True)


def environment(arguments):
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        cpu = next(line.partition(":")[2].strip() for line in info
                   if line.startswith("model name"))
    with open("/proc/meminfo", encoding="ascii") as info:
        memory = int(info.readline().split()[1]) * 1024
    with open("/sys/devices/system/clocksource/clocksource0/current_clocksource",
              encoding="ascii") as name:
        clock = name.read().strip()
    print(json.dumps({"kind": "environment", "kernel": platform.release(), "cpu": cpu,
                      "clock": clock, "host_load": float(os.environ["MZP_HOST_LOAD"]),
                      "accelerator": "TCG" if "TCG" in cpu else "KVM",
                      "cpus": os.cpu_count(), "memory": memory, "quick": arguments.quick,
                      "full": arguments.full, "runs": arguments.runs}), flush=True)


def plan(arguments):
    """All there is to do, as (title, function)."""
    runs, quick = arguments.runs, arguments.quick
    newer = (NEWER,) if arguments.full else ()
    newest = (NEWER, NEWER_ZERO_COPY) if arguments.full else ()
    everything = [
        Case("normal", peers=ALL + newest),
        Case("zero", peers=(OURS, QEMU, LEGACY)),
        Case("untouched"),
        Case("half zero", peers=BOTH + newer),
        Case("guest image", peers=ALL + newest),
        Case("sparse 1 %"),
        Case("normal, anonymous", peers=(OURS, QEMU, ZERO_COPY)),
    ]
    compressed = [Case("guest image", method, peers=BOTH + newer) for method in ("zlib", "zstd")]
    channels = [Case("normal", channels=n) for n in ((4,) if quick else (1, 4, 8))]
    watched = [Case("normal"), Case("guest image")]
    alone = [Case("normal", channels=n, peers=BOTH) for n in (1, 2)]
    alone += [Case("guest image", "zstd", n) for n in (1, 2)]
    again = [Case("normal, again", peers=(OURS, QEMU, ZERO_COPY) + newer)]
    million = [Case("a million pages", peers=(OURS,))]
    if quick:
        everything = [Case("normal", peers=(OURS, QEMU, ZERO_COPY)), Case("untouched"),
                      Case("guest image")]
        compressed, watched, alone = compressed[1:], watched[:1], alone[1:2]
        again = [Case("normal, again")]
    yield "ceilings", lambda: ceilings(runs)
    yield from runs_of(everything + compressed + channels, runs)
    counted = everything[:1] if quick else everything + compressed
    yield from counts_of([Case(case.name, case.method, case.channels) for case in counted])
    yield "latency: idle", latency_idle
    yield from runs_of(watched, 1 if quick else 2 * runs, "latency", watch=True)
    yield from runs_of(alone, runs, "alone", sink=True)
    yield from rounds_of(again, runs)
    yield from runs_of(million, runs, "million", first="bitmap")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.runs = 1
    subprocess.run(["mount", "-o", "remount,size=100%", "/dev/shm"], check=True)
    environment(arguments)
    steps = [step for step in plan(arguments) if re.search(arguments.only, step[0])]
    began, failed = time.monotonic(), 0
    for number, (title, function) in enumerate(steps):
        spent = time.monotonic() - began
        left = f", {spent / number * (len(steps) - number) / 60:.0f} min left" if number else ""
        print(f"# {number + 1} of {len(steps)}{left}: {title}", file=sys.stderr, flush=True)
        try:
            function()
        except Failed as error:
            failed += 1
            print(f"# FAILED: {title}: {error}", file=sys.stderr, flush=True)
    print(json.dumps({"kind": "end", "steps": len(steps), "failed": failed,
                      "seconds": round(time.monotonic() - began)}), flush=True)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What tests/bench/qemu measures, in the VM: a line of JSON for each migration."""

import glob
import json
import os
import re
import shutil
import sys
import threading

TOP = os.path.realpath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
sys.path[1:1] = [f"{TOP}/tests/interop"]
from qemu_guest import MIB, Guest, same_memory  # noqa: E402
from source import (process_seconds, status_of, thread_name,  # noqa: E402
                    thread_seconds, workers_seconds)

FOLDER = "/dev/shm/bench"
OURS, STOCK = os.environ["MZP_QEMU_OURS"], os.environ["MZP_QEMU"]
SECTORS, IMAGE = os.environ["MZP_SECTORS"], os.environ["MZP_IMAGE"]
MACHINE = "pc-q35-10.0"
FULL = {"sector": f"{SECTORS}/boot_guest_full.img", "size": 256 * MIB}
WORKING = {"sector": f"{SECTORS}/boot_guest.img"}
# name: the guest, whether it stands still, parameters
WORKLOADS = {
    "normal, anonymous": ({**FULL, "to": "memfd"}, True, {}),
    "normal, both anonymous": (FULL, True, {}),
    "normal, memfd": ({**FULL, "memory": "memfd"}, True, {}),
    "image": ({"sector": None, "size": os.path.getsize(IMAGE), "memory": IMAGE}, True, {}),
    "untouched": ({"sector": None, "size": 512 * MIB}, True, {}),
    "hardly any": ({"sector": None, "size": 2 * MIB}, True, {}),
    "working": (WORKING, False, {}),
    "working, 8 MB/s": (WORKING, False, {"max_bandwidth": 8000000, "downtime_limit": 300}),
}
# What a source's downtime is made of: each part, and the mark in QEMU's trace that ends it
DOWNTIME = {"stop": "src-vm-stopped", "ram": "src-iterable-saved",
            "devices": "src-non-iterable-saved", "end": "src-downtime-end"}


class Spent:
    """What has been spent so far: by QEMU without the guest, by the module; and the memory."""

    def __init__(self, pid):
        vcpus = [thread for thread in glob.glob(f"/proc/{pid}/task/*")
                 if thread_name(thread).startswith("CPU ")]
        self.process = process_seconds(pid) - sum(map(thread_seconds, vcpus))
        self.workers = workers_seconds()
        self.resident = status_of(pid)["VmRSS"]


class Watch(threading.Thread):
    """Of QEMU's migration thread, which is gone when it could be asked: so again and again."""

    def __init__(self, pid):
        super().__init__()
        self.pid, self.seconds, self.over = pid, 0, threading.Event()

    def run(self):
        found = None
        while not self.over.wait(0.01):
            try:
                found = found or next(
                    thread for thread in glob.glob(f"/proc/{self.pid}/task/*")
                    if thread_name(thread) in ("live_migration", "mig/src/main"))
                self.seconds = thread_seconds(found)
            except (StopIteration, OSError):
                pass

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def traced(path):
    """Options by which a QEMU writes what it thinks is left, and what marks its downtime."""
    return ["-msg", "timestamp=on", "-D", path, "-trace", "enable=migrate_pending_*",
            "-trace", "enable=vmstate_downtime_checkpoint"]


def downtime_of(path):
    """How many bytes were left when it began, and how long each part of it took, in ms."""
    with open(path, encoding="utf-8") as file:
        trace = file.read()
    left = re.findall(r":migrate_pending_\w+ .* size (\d+)", trace.split("src-downtime-start")[0])
    at = {mark: float(seconds) * 1000 for seconds, mark in
          re.findall(r"@(\d+\.\d+):vmstate_downtime_checkpoint (\S+)", trace)}
    parts, last = {}, at["src-downtime-start"]
    for part, mark in DOWNTIME.items():
        parts[part], last = at[mark] - last, at[mark]
    return {"left": int(left[-1]), "parts": parts}


def migrate(name, backend):
    """One migration. Returns what it took."""
    guest, still, parameters = WORKLOADS[name]
    guest = dict(guest)
    memory = guest.pop("to", guest.get("memory", "anonymous"))
    shutil.rmtree(FOLDER, ignore_errors=True)
    for role in ("source", "destination"):
        os.makedirs(f"{FOLDER}/{role}")
    with Guest(STOCK, f"{FOLDER}/destination", MACHINE, incoming=True,
               **{**guest, "memory": memory}) as there, \
            Guest(OURS, f"{FOLDER}/source", MACHINE, **guest,
                  options=["-global", f"migration.multifd-ram-backend={backend}",
                           "-name", "source,debug-threads=on",
                           *traced(f"{FOLDER}/source/trace"),
                           *([] if guest["sector"] else ["-S"])]) as here:
        if guest["sector"]:
            here.work()
        if still:
            here.qmp("stop")
        there.multifd()
        here.multifd(**{"max_bandwidth": 0, "downtime_limit": 300, **parameters})
        pid = here.process.pid
        before = Spent(pid)
        with Watch(pid) as thread:
            here.qmp("migrate", uri=there.listen("tcp"))
            said = here.until("completed")
            there.until("completed")
        after = Spent(pid)
        result = {"workload": name, "backend": backend,
                  "process": after.process - before.process,
                  "workers": after.workers - before.workers,
                  "thread": thread.seconds,
                  "grown": after.resident - before.resident,
                  "bytes": guest.get("size", 64 * MIB), "total": said["total-time"],
                  **downtime_of(f"{FOLDER}/source/trace"),
                  **{key: said["ram"][key] for key in (
                      "transferred", "normal", "duplicate", "dirty-sync-count")}}
        if guest["sector"]:
            same_memory(here, there)
    return result


def main():
    runs, only = int(sys.argv[1]), re.compile(sys.argv[2])
    print(json.dumps({"kernel": os.uname().release, "runs": runs,
                      "load": float(os.environ["MZP_HOST_LOAD"])}), flush=True)
    names = [name for name in WORKLOADS if only.search(name)]
    for run in range(runs):
        for number, name in enumerate(names):
            # by turns, and each begins half of the time
            for backend in ("threads", "kernel") if run % 2 else ("kernel", "threads"):
                print(json.dumps(migrate(name, backend)), flush=True)
            print(f"# run {run + 1} of {runs}, {number + 1} of {len(names)}: {name}",
                  file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)

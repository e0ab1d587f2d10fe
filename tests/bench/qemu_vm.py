#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What tests/bench/qemu measures, in the VM: a line of JSON for each migration."""

import json
import os
import re
import shutil
import sys
import time

TOP = os.path.realpath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
sys.path.insert(0, f"{TOP}/tests/interop")
from qemu_guest import MIB, Guest, same_memory  # pylint: disable=wrong-import-position

FOLDER = "/dev/shm/bench"
OURS, STOCK = os.environ["MZP_QEMU_OURS"], os.environ["MZP_QEMU"]
SECTORS, IMAGE = os.environ["MZP_SECTORS"], os.environ["MZP_IMAGE"]
MACHINE = "pc-q35-10.0"
FULL = {"sector": f"{SECTORS}/boot_guest_full.img", "size": 256 * MIB}
WORKING = {"sector": f"{SECTORS}/boot_guest.img"}
# name: the guest, whether it stands still, parameters
WORKLOADS = {
    "normal, anonymous": (FULL, True, {}),
    "normal, memfd": ({**FULL, "memory": "memfd"}, True, {}),
    "image": ({"sector": None, "size": os.path.getsize(IMAGE), "memory": IMAGE}, True, {}),
    "untouched": ({"sector": None, "size": 512 * MIB}, True, {}),
    "working": (WORKING, False, {}),
    "working, 8 MB/s": (WORKING, False, {"max_bandwidth": 8000000, "downtime_limit": 300}),
}


def threads_cpu(pid, name):
    """Seconds of the process's threads whose names match."""
    seconds = 0.0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as comm:
                if not re.search(name, comm.read()):
                    continue
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as stat:
                seconds += int(stat.read().split()[0]) / 1e9
        except OSError:
            pass
    return seconds


def process_cpu(pid):
    """All seconds of a process, also of threads that have ended."""
    return time.clock_gettime(~pid << 3 | 2)


def workers_cpu():
    """Seconds of the module's threads."""
    seconds = 0.0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm", encoding="ascii") as comm:
                if not comm.read().startswith("multifd_zp"):
                    continue
            with open(f"/proc/{pid}/schedstat", encoding="ascii") as stat:
                seconds += int(stat.read().split()[0]) / 1e9
        except OSError:
            pass
    return seconds


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) * 1024


def migrate(name, backend):
    """One migration. Returns what it took."""
    guest, still, parameters = WORKLOADS[name]
    shutil.rmtree(FOLDER, ignore_errors=True)
    for role in ("source", "destination"):
        os.makedirs(f"{FOLDER}/{role}")
    with Guest(STOCK, f"{FOLDER}/destination", MACHINE, incoming=True, **guest) as there, \
            Guest(OURS, f"{FOLDER}/source", MACHINE, **guest,
                  options=["-global", f"migration.multifd-ram-backend={backend}",
                           "-name", "source,debug-threads=on",
                           *([] if guest["sector"] else ["-S"])]) as here:
        if guest["sector"]:
            here.work()
        if still:
            here.qmp("stop")
        there.set()
        here.set(**{"max_bandwidth": 0, "downtime_limit": 300, **parameters})
        pid = here.process.pid
        before = process_cpu(pid), threads_cpu(pid, r"^CPU \d"), workers_cpu(), resident(pid)
        here.qmp("migrate", uri=there.listen("tcp"))
        said = here.until("completed")
        there.until("completed")
        cpu = process_cpu(pid) - before[0] - (threads_cpu(pid, r"^CPU \d") - before[1])
        result = {"workload": name, "backend": backend, "process": cpu,
                  "workers": workers_cpu() - before[2], "grown": resident(pid) - before[3],
                  "bytes": guest.get("size", 64 * MIB), "total": said["total-time"],
                  "downtime": said["downtime"], **{key: said["ram"][key] for key in (
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

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What `make demo-qemu` shows; run in the VM by tests/demo."""

import os
import time

from demo import show, step
from qemu import Failed
from qemu_guest import MIB, Guest, same_memory

FOLDER = "/dev/shm/demo"
MACHINE = "pc-q35-10.0"


def progress(source):
    """A line now and then, until it is over. Returns what the source says then."""
    print("      seconds  remaining, MiB  sent, MiB   normal     zero  rounds")
    began = shown = time.monotonic()
    while True:
        said = source.migration()
        over = said["status"] not in ("setup", "active", "device")
        now = time.monotonic()
        if "ram" in said and (over or now > shown):
            ram = said["ram"]
            print(f"      {now - began:7.1f} {ram['remaining'] / MIB:15.1f} "
                  f"{ram['transferred'] / MIB:10.1f} {ram['normal']:8} {ram['duplicate']:8} "
                  f"{ram['dirty-sync-count']:7}", flush=True)
            shown = now + 0.5
        if over:
            return said
        time.sleep(0.02)


def main():
    for name in ("source", "destination"):
        os.makedirs(f"{FOLDER}/{name}")
    sector = os.environ["MZP_SECTOR"]
    with Guest(os.environ["MZP_QEMU"], f"{FOLDER}/destination", MACHINE, sector,
               incoming=True) as there, \
            Guest(os.environ["MZP_QEMU_OURS"], f"{FOLDER}/source", MACHINE, sector,
                  options=["-global", "migration.multifd-ram-backend=kernel"]) as here:
        here.work()
        there.multifd()
        step(1, "A QEMU with the module for its RAM runs a guest, which writes to its memory over\n"
                f"   and over, and looks each time whether all is as it left it: pass {here.passes()}.")
        address = there.listen("tcp")
        step(2, f"A stock QEMU waits for it at {address}: the same machine, {MACHINE}.")
        here.multifd(max_bandwidth=20 * MIB)
        step(3, "The guest migrates, at 20 MiB/s at most:\n")
        here.qmp("migrate", uri=address)
        said = progress(here)
        if said["status"] != "completed":
            raise Failed(f"the source says {said['status']}: {said.get('error-desc', '')}")
        there.until("completed")
        print(f"\n   Completed, the guest stood still for {said['downtime']} ms.")
        same_memory(here, there)
        step(4, "Comparing memory and firmware of both, byte for byte: they are EQUAL.")
        passes = there.passes()
        there.qmp("cont")
        there.work()
        step(5, f"The guest goes on at the stock QEMU, where it was: pass {passes}, and now "
                f"{there.passes()}.")
    print("\nA running guest, with its devices, went from QEMU through multifd_zp.ko into a stock"
          " QEMU.")
    return 0


if __name__ == "__main__":
    show(main)

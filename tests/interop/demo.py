#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What `make demo` shows; run in the VM by tests/demo."""

import os
import subprocess
import sys
import time

from qemu import Failed
from qemu_dest import PAGE, Destination, difference

TOP = os.path.realpath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
FOLDER = "/dev/shm/demo"
CHANNELS = 2


def zero_pages(path):
    """How many pages of a file are zero, and how many it has."""
    zero_page, zero = bytes(PAGE), 0
    with open(path, "rb") as image:
        while page := image.read(PAGE):
            zero += page == zero_page
    return zero, os.path.getsize(path) // PAGE


def step(number, text):
    print(f"{number}. {text}", flush=True)


def main():
    image = os.environ["MZP_IMAGE"]
    size = os.path.getsize(image)
    os.mkdir(FOLDER)
    with open("/proc/sys/kernel/osrelease", encoding="ascii") as release:
        print(f"In the VM: Linux {release.read().strip()}, multifd_zp.ko loaded.\n")

    with Destination(os.environ["MZP_QEMU"], FOLDER, [("ram0", size)], CHANNELS) as destination:
        version = ".".join(str(n) for n in destination.version)
        step(1, f"A stock QEMU {version} waits for a migration: {size >> 20} MiB of RAM in a file,\n"
                f"   multifd with {CHANNELS} channels, at {destination.address}.")
        step(2, "mfddemo, a toy VMM, runs a guest with the memory of a real one\n"
                f"   ({os.environ['MZP_VCPUS']} vCPUs that keep writing), and migrates it there:\n")
        began = time.monotonic()
        status = subprocess.run(
            [f"{TOP}/build/mfddemo", "--to", destination.address,
             "--peer-qmp", destination.peer_qmp, "--image", image,
             "--vcpus", os.environ["MZP_VCPUS"], "--write-rate", os.environ["MZP_RATE"],
             "--min-rounds", "4", "--dump", f"{FOLDER}/dump"],
            stdin=subprocess.DEVNULL, check=False).returncode
        if status:
            raise Failed(f"mfddemo ended with status {status}")
        destination.wait()
        print(f"\n   QEMU says that the migration is completed ({time.monotonic() - began:.1f} s"
              " with starting and dumping the guest).")

        zero, pages = zero_pages(f"{FOLDER}/dump")
        step(3, f"Comparing {pages} pages ({zero * 100 / pages:.0f} % of them zero), byte for byte:"
                " the destination's memory\n   and what the guest had when it was stopped.")
        what = difference(destination.memory("ram0"), f"{FOLDER}/dump")
        if what:
            raise Failed(f"the memories differ: {what}")
        same = difference(image, f"{FOLDER}/dump")
        print("   They are EQUAL.", end="")
        print(" (And not what the guest began with: it really ran.)" if same else "")
    print("\nA live guest's memory went through multifd_zp.ko into a stock QEMU,"
          " and arrived complete.")
    return 0


def show(function):
    """Show it, and end with its status."""
    try:
        sys.exit(function())
    except Failed as error:
        print(f"\nIt did not work: {error}")
        sys.exit(1)


if __name__ == "__main__":
    show(main)

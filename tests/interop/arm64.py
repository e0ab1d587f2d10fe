#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""An arm64 source, and destinations on this machine; run by tests/interop/run-arm64.

All destinations wait while one VM for arm64 boots, in which mfdsend sends the same memory to
one after the other, through the VM's network card.
"""

import contextlib
import os
import shutil
import subprocess
import sys

import matrix
import recv_matrix
from matrix import AARCH64, PAGE, QEMU, TOP, Failed, difference, image
from qemu_dest import Destination
from recv_matrix import Receiver

FOLDER = matrix.FOLDER = recv_matrix.FOLDER = "/dev/shm/arm64"
OUT = f"{TOP}/build/interop-arm64"
PAGES = 6146
HOST = "10.0.2.2"

# Who, with which program, what mfdsend is told of it, and what it is told itself.
STOCK = (
    ("qemu-system-aarch64, virt-10.0", AARCH64, ("--machine", "virt-10.0"),
     {"machine": "virt-10.0"}),
    ("the stable, zstd", QEMU["stable"], ("--method", "zstd"),
     {"multifd_compression": "zstd"}),
    ("the oldest, zlib, legacy", QEMU["oldest"], ("--compat", "7.2", "--method", "zlib"),
     {"multifd_compression": "zlib"}),
)


def stock(number, program, settings):
    folder = f"{FOLDER}/{number}"
    os.mkdir(folder)
    return Destination(program, folder, [("ram0", PAGES * PAGE)], 2, "tcp", **settings)


def sends(addresses):
    """What the VM is to do: a line for each destination, which says how that ended."""
    lines = ["cp --sparse=always $MZP_OUT/ram0 /dev/shm/ram0"]
    for number, (address, options) in enumerate(addresses):
        port = address.rsplit(":", 1)[1]
        lines.append(f"build/arm64/mfdsend --to tcp:{HOST}:{port} --channels 2 {options} "
                     f"--block ram0=/dev/shm/ram0 >$MZP_OUT/said.{number} 2>&1; "
                     f"echo $? >$MZP_OUT/status.{number}")
    return "\n".join(lines)


def run_vm(kernel, script):
    os.environ["MZP_OUT"] = OUT
    done = subprocess.run([f"{TOP}/tests/vm/run", "--kernel", kernel, "--network", "--out", OUT,
                           "--mem", "1500M", "--", "bash", "-c", script], check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise Failed(f"the VM ends with {done.returncode}: {done.stdout[-600:]}")


def outcome(number):
    """How a destination's mfdsend ended."""
    with open(f"{OUT}/status.{number}", encoding="ascii") as status, \
            open(f"{OUT}/said.{number}", encoding="utf-8") as said:
        if status.read() != "0\n":
            raise Failed(f"mfdsend fails: {said.read().strip()[-600:]}")


def look(name, number, arrived):
    """Print what came of a destination. Return: whether it is well."""
    try:
        outcome(number)
        what = difference(arrived(), f"{OUT}/ram0")
        if what:
            raise Failed(what)
    except Failed as error:
        print(f"not ok arm64 to {name}: {error}")
        return False
    print(f"ok arm64 to {name}")
    return True


def migrations(kernel, destinations, receiver):
    """From one VM to all of them. Return: whether all are well."""
    addresses = [(destination.address, " ".join(options))
                 for destination, (_, _, options, _) in zip(destinations, STOCK)]
    run_vm(kernel, sends([*addresses, (receiver.address, "")]))

    def memory_of(destination):
        destination.wait()
        return destination.memory("ram0")

    def memory_received():
        receiver.must_work()
        return receiver.memory("ram0")

    good = [look(name, number, lambda at=number: memory_of(destinations[at]))
            for number, (name, *_) in enumerate(STOCK)]
    return all([*good, look("mfdrecv", len(STOCK), memory_received)])


def main():
    kernel, = sys.argv[1:]
    for folder in (FOLDER, OUT):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
    shutil.copyfile(image("ram0", PAGES), f"{OUT}/ram0")
    with contextlib.ExitStack() as stack:
        destinations = [stack.enter_context(stock(number, program, settings))
                        for number, (_, program, _, settings) in enumerate(STOCK)]
        receiver = stack.enter_context(Receiver("--channels", "2", blocks=(("ram0", PAGES),),
                                                uri="tcp"))
        good = migrations(kernel, destinations, receiver)
    shutil.rmtree(FOLDER)
    return not good


if __name__ == "__main__":
    sys.exit(main())

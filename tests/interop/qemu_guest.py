# SPDX-License-Identifier: GPL-2.0-only
"""A QEMU with a guest at work, as the source or the destination of a migration.

The guest is tests/interop/boot_guest.S, or a Debian kernel whose first process is
tests/interop/offload_guest.
"""

import os
import re
import subprocess
import time

from qemu import Failed, Qemu

MIB = 1 << 20
# Of boot_guest.S
STATUS = 0x9000
# So much is compared at once.
PIECE = 64 * MIB
# The firmware, and where the PC has it.
BIOS = (0xfffc0000, 0x40000)


class Guest(Qemu):
    """A PC with a guest.

    qemu       the program
    folder     an empty folder of its own, in memory
    machine    the machine type
    accel      tcg or kvm
    memory     of what kind the guest's is: anonymous, memfd, hugetlb, or a file, of which it
               gets a copy
    size       how much of it, in bytes
    linux      (kernel, initrd): what it runs, instead of the boot sector
    sector     the boot sector's image, or None: it has nothing to run
    incoming   wait for a migration, and do not run yet
    options    further arguments, also in place of those above
    before     a command that starts it, such as prlimit
    """

    def __init__(self, qemu, folder, machine, sector, memory="anonymous", size=64 * MIB,
                 linux=None, incoming=False, accel="tcg", options=(), before=()):
        self.role = "the destination" if incoming else "the source"
        self.folder, self.size = folder, size
        self.serial = f"{folder}/serial"
        backend = {"anonymous": f"memory-backend-ram,id=ram,size={size}",
                   "memfd": f"memory-backend-memfd,id=ram,size={size},share=on",
                   "hugetlb": f"memory-backend-memfd,id=ram,size={size},share=on,hugetlb=on,"
                              "hugetlbsize=2M"}.get(memory)
        if not backend:
            backend = (f"memory-backend-file,id=ram,size={size},share=on,"
                       f"mem-path={folder}/ram")
            if not incoming:
                subprocess.run(["cp", "--sparse=always", memory, f"{folder}/ram"], check=True)
        arguments = [*before, qemu, "-machine", f"{machine},memory-backend=ram,vmport=off",
                     "-accel", accel, "-cpu", "qemu64,-svm", "-m", f"{size}B",
                     "-object", backend, "-nodefaults", "-no-user-config", "-display", "none",
                     "-device", "VGA,vgamem_mb=16,romfile=",
                     "-serial", f"file:{self.serial}",
                     "-qmp", f"unix:{folder}/qmp,server=on,wait=off", *options]
        if linux:
            arguments += ["-kernel", linux[0], "-initrd", linux[1], "-append",
                          "console=ttyS0 loglevel=3 mitigations=off random.trust_cpu=on "
                          "no_timer_check panic=-1 memhp_default_state=online_movable"]
        elif sector:
            arguments += ["-drive", f"if=none,id=disk,file={sector},format=raw,snapshot=on,"
                                    "file.locking=off",
                          "-device", "ide-hd,bus=ide.0,drive=disk"]
        self.linux = linux
        if incoming:
            arguments += ["-S", "-incoming", "defer"]
        super().__init__([str(a) for a in arguments], f"{folder}/qmp", f"{folder}/messages")

    def passes(self):
        """How often the guest has done its work. Raises Failed if it found its data broken."""
        if self.linux:
            with open(self.serial, encoding="utf-8", errors="replace") as serial:
                text = serial.read()
            if "BROKEN" in text:
                raise Failed(f"{self.role}'s guest: {text[-300:]}")
            return len(re.findall(r"pass \d+", text))
        words = self.qmp("human-monitor-command", command_line=f"xp /2wx {STATUS:#x}")
        passes, broken = (int(word, 16) for word in words.split(":")[1].split())
        if broken:
            raise Failed(f"{self.role}'s guest has found {broken} pages that were not as it had "
                         "left them")
        return passes

    def work(self, more=3, timeout=100):
        """Until the guest has done so many passes more."""
        deadline = time.monotonic() + timeout
        start = self.passes()
        while (now := self.passes()) < start + more:
            state = self.qmp("query-status")["status"]
            if time.monotonic() > deadline or state in ("shutdown", "internal-error"):
                raise Failed(f"{self.role}'s guest hangs at pass {now}, {state}")
            time.sleep(0.05)

    def dump(self, base, size):
        """Guest memory, when it does not run."""
        path = f"{self.folder}/dump"
        self.qmp("pmemsave", val=base, size=size, filename=path)
        with open(path, "rb") as file:
            data = file.read()
        os.unlink(path)
        return data


def same_registers(source, destination):
    """The same: where their guests are, and what is in general registers."""
    here, there = (re.findall(r"\b[ER](?:[ABCD]X|[SD]I|[BSI]P)=[0-9a-f]+",
                              qemu.qmp("human-monitor-command", command_line="info registers"))
                   for qemu in (source, destination))
    if here != there or len(here) < 9:
        raise Failed(f"registers are {there}, and were {here}")


def pieces_of(guest):
    """Its RAM, as (address, size)."""
    return [(at, min(PIECE, guest.size - at)) for at in range(0, guest.size, PIECE)]


def data_pages(guest):
    """How many pages of a guest that has stopped are not zero."""
    zero = bytes(4096)
    return sum(data[at:at + 4096] != zero
               for data in (guest.dump(*piece) for piece in pieces_of(guest))
               for at in range(0, len(data), 4096))


def same_memory(source, destination):
    """Both have stopped: their memory is the same."""
    pieces = [("RAM", *piece) for piece in pieces_of(source)]
    for name, base, size in (*pieces, ("the firmware", *BIOS)):
        here, there = source.dump(base, size), destination.dump(base, size)
        if here != there:
            pages = [at for at in range(0, size, 4096) if here[at:at + 4096] != there[at:at + 4096]]
            raise Failed(f"{name}: {len(pages)} pages differ from {base + pages[0]:#x} on")

# SPDX-License-Identifier: GPL-2.0-only
"""A domain of libvirt's, and the guest in it: tests/interop/boot_guest.S, whose memory can be
seen from outside, as it is a memfd's."""

import os
import re
import time

from libvirt_host import EMULATOR, IMAGE
from qemu import Failed
from qemu_guest import MIB, PIECE, STATUS

NAME = "guest"
SIZE = 64 * MIB
# Of boot_guest.img: what it fills once.
DATA = (16 * MIB, 40 * MIB)


def definition(*options, emulator=EMULATOR, machine="pc-q35-10.0", more=""):
    """The domain, as XML. `options` are of QEMU's migration, set on the command line."""
    arguments = "".join(f"<qemu:arg value='-global'/><qemu:arg value='migration.{option}'/>"
                        for option in options)
    return f"""
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{NAME}</name>
  <uuid>6f2e60cc-3ec4-4c3d-8ce2-8b0d5f4dbb39</uuid>
  <memory unit='b'>{SIZE}</memory>
  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
  {more}
  <os><type arch='x86_64' machine='{machine}'>hvm</type></os>
  <features><acpi/></features>
  <cpu mode='custom'><model>qemu64</model></cpu>
  <devices>
    <emulator>{emulator}</emulator>
    <controller type='usb' model='none'/>
    <disk type='file' device='disk'>
      <source file='{IMAGE}'/>
      <target dev='vda' bus='virtio'/>
      <readonly/>
    </disk>
    <video><model type='none'/></video>
    <memballoon model='none'/>
  </devices>
  {f'<qemu:commandline>{arguments}</qemu:commandline>' if options else ''}
</domain>
"""


class Domain:
    """The domain that a host has. Its memory can be read also when it is gone from there."""

    def __init__(self, host):
        self.host = host
        with open(f"{host.folder}/run/qemu/{NAME}.pid", encoding="ascii") as file:
            self.pid = int(file.read())
        folder = f"/proc/{self.pid}/fd"
        for name in os.listdir(folder):
            if os.readlink(f"{folder}/{name}").startswith("/memfd:"):
                self.memory = open(f"{folder}/{name}", "rb", buffering=0)
                return
        raise Failed(f"{host.name}'s domain has no memfd")

    def state(self):
        """What libvirt says."""
        return self.host.virsh("domstate", NAME).strip()

    def said(self):
        """What QEMU wrote, and libvirt about it."""
        with open(f"{self.host.folder}/var/log/libvirt/qemu/{NAME}.log", encoding="utf-8") as log:
            return log.read()

    def read(self, base, size):
        """Guest memory."""
        return os.pread(self.memory.fileno(), size, base)

    def passes(self):
        """How often the guest has done its work. Raises Failed if it found its data broken."""
        words = self.read(STATUS, 8)
        if broken := int.from_bytes(words[4:], "little"):
            raise Failed(f"{self.host.name}'s guest has found {broken} pages that were not as it "
                         "had left them")
        return int.from_bytes(words[:4], "little")

    def work(self, more=3, timeout=100):
        """Until the guest has done so many passes more."""
        deadline = time.monotonic() + timeout
        start = self.passes()
        while (now := self.passes()) < start + more:
            if time.monotonic() > deadline:
                raise Failed(f"{self.host.name}'s guest hangs at pass {now}, {self.state()}")
            time.sleep(0.02)

    def limit(self, name):
        """A limit of the process's, in bytes."""
        with open(f"/proc/{self.pid}/limits", encoding="ascii") as file:
            return int(re.search(rf"^{name} +(\d+)", file.read(), re.M)[1])


def same(here, there, base=0, end=SIZE):
    """Their memory is."""
    for at in range(base, end, PIECE):
        size = min(PIECE, end - at)
        a, b = here.read(at, size), there.read(at, size)
        if a != b:
            pages = [page for page in range(0, size, 4096)
                     if a[page:page + 4096] != b[page:page + 4096]]
            raise Failed(f"{len(pages)} pages differ from {at + pages[0]:#x} on")

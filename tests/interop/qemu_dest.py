# SPDX-License-Identifier: GPL-2.0-only
"""A stock QEMU as the destination of a migration.

Its RAM blocks are files, so that the memory it received can be compared byte for
byte. One block: a machine of type "none", which is RAM and nothing else. Several
blocks: a PC whose NUMA nodes have a backend each; the PC's own blocks (firmware)
are not in the stream, and QEMU leaves alone what the stream does not name.

QEMU wants the sizes of all blocks together to be a multiple of 8 KiB; a
single block may be an odd number of pages only if there are several.
"""

import os

from qemu import Qemu

PAGE = 4096


class Destination(Qemu):
    """A QEMU that waits for a migration.

    qemu      the program
    folder    an empty folder of its own, in memory
    blocks    list of (idstr, bytes)
    uri       "tcp" or "unix"; `address` then says where it listens, in mfdsend's words
    machine   the machine type, if it is not to be the default described above
    stays     it does not exit when the migration fails, and can be asked why (from 9.1 on)
    options   further arguments, e.g. objects
    settings  further migration parameters, by QEMU's name with _ for -
    """

    role = "the destination"

    def __init__(self, qemu, folder, blocks, channels, uri="unix", machine=None,
                 uuid=None, stays=False, options=(), **settings):
        self.folder = folder
        self.blocks = blocks
        total = sum(size for _, size in blocks)
        self.machine = machine or ("none" if len(blocks) == 1 else "pc")
        if total % (2 * PAGE):
            raise ValueError("QEMU rounds the size of all blocks up to 8 KiB")
        arguments = [qemu]
        if len(blocks) == 1:
            arguments += ["-machine", f"{self.machine},memory-backend={blocks[0][0]}"]
        else:
            arguments += ["-machine", self.machine]
            for idstr, _ in blocks:
                arguments += ["-numa", f"node,memdev={idstr}"]
        for idstr, size in blocks:
            arguments += ["-object", f"memory-backend-file,id={idstr},size={size},share=on,"
                                     f"mem-path={self.memory(idstr)}"]
        if uuid:
            arguments += ["-uuid", uuid]
        # The second QMP socket is for others to ask this QEMU who it is.
        self.peer_qmp = f"{folder}/peer.qmp"
        arguments += ["-m", f"{total}B", "-accel", "tcg", "-nodefaults", "-no-user-config",
                      "-display", "none", "-S", "-incoming", "defer",
                      "-qmp", f"unix:{folder}/qmp,server=on,wait=off",
                      "-qmp", f"unix:{self.peer_qmp},server=on,wait=off"]
        self.uri = uri
        self.incoming = {"exit_on_error": False} if stays else {}
        self.settings = {"multifd_channels": channels, **settings}
        super().__init__([*arguments, *options], f"{folder}/qmp", f"{folder}/qemu.messages")

    def prepare(self):
        version = self.qmp.greeting["version"]["qemu"]
        self.version = (version["major"], version["minor"])
        if self.machine == "pc":
            # what the alias stands for is what the stream has to name
            for machine in self.qmp("query-machines"):
                if machine.get("alias") == "pc":
                    self.machine = machine["name"]
        self.multifd(**self.settings)
        self.address = self.listen(self.uri, **self.incoming)

    def memory(self, idstr):
        """Path of the file with a block's memory."""
        return f"{self.folder}/{idstr}.memory"

    def close(self):
        super().close()
        for idstr, _ in self.blocks:
            try:
                os.unlink(self.memory(idstr))
            except FileNotFoundError:
                pass


def difference(path, expected):
    """None if two files are equal, else what differs, in words."""
    sizes = os.path.getsize(path), os.path.getsize(expected)
    if sizes[0] != sizes[1]:
        return f"{sizes[0]} bytes, not {sizes[1]}"
    zero = bytes(PAGE)
    pages, first = 0, None
    with open(path, "rb") as a, open(expected, "rb") as b:
        for start in range(0, sizes[0], 256 * PAGE):
            got, want = a.read(256 * PAGE), b.read(256 * PAGE)
            if got == want:
                continue
            for page in range(0, len(want), PAGE):
                is_, should = got[page:page + PAGE], want[page:page + PAGE]
                if is_ != should:
                    pages += 1
                    if first is None:
                        first = (f"page {(start + page) // PAGE}: "
                                 f"{'zero' if is_ == zero else 'data'} instead of "
                                 f"{'zero' if should == zero else 'other data'}")
    return None if first is None else f"{pages} pages differ, the first is {first}"

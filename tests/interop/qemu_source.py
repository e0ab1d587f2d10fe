# SPDX-License-Identifier: GPL-2.0-only
"""A stock QEMU as the source of a migration.

By default it is a machine of type "none", whose one RAM block is a file, so that
what arrives can be compared with it byte for byte.
"""

from qemu import Qemu


class Source(Qemu):
    """A QEMU that can be told to migrate.

    qemu      the program
    folder    a folder for its sockets and messages
    memory    the file with the contents of its RAM, or None: `options` say all
    bytes     the size of its RAM
    options   further arguments, e.g. another machine and devices
    settings  migration parameters, by QEMU's name with _ for -
    """

    role = "the source"

    def __init__(self, qemu, folder, memory, size, options=(), **settings):
        arguments = [qemu, "-accel", "tcg", "-nodefaults", "-no-user-config",
                     "-display", "none", "-qmp", f"unix:{folder}/source.qmp,server=on,wait=off"]
        if memory:
            arguments += ["-machine", "none,memory-backend=ram0", "-S", "-m", f"{size}B",
                          "-object", f"memory-backend-file,id=ram0,size={size},share=on,"
                                     f"mem-path={memory}"]
        self.settings = settings
        super().__init__([*arguments, *options], f"{folder}/source.qmp",
                         f"{folder}/source.messages")

    def prepare(self):
        self.multifd(**self.settings)

    def migrate(self, uri):
        """Begin."""
        self.qmp("migrate", uri=uri)

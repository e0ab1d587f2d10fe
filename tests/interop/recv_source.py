# SPDX-License-Identifier: GPL-2.0-only
"""A stock QEMU as the source of a migration, driven over QMP.

Nothing of ours runs in it. By default it is a machine of type "none", whose one
RAM block is a file, so that what arrives can be compared with it byte for byte.
"""

import subprocess
import time

from qemu_dest import Failed, Qmp


class Source:
    """A QEMU that can be told to migrate.

    qemu      the program
    folder    a folder for its sockets and messages
    memory    the file with the contents of its RAM, or None: `options` say all
    bytes     the size of its RAM
    options   further arguments, e.g. another machine and devices
    settings  migration parameters, by QEMU's name with _ for -
    """

    def __init__(self, qemu, folder, memory, size, options=(), **settings):
        arguments = [qemu, "-accel", "tcg", "-nodefaults", "-no-user-config",
                     "-display", "none", "-qmp", f"unix:{folder}/source.qmp,server=on,wait=off"]
        if memory:
            arguments += ["-machine", "none,memory-backend=ram0", "-S", "-m", f"{size}B",
                          "-object", f"memory-backend-file,id=ram0,size={size},share=on,"
                                     f"mem-path={memory}"]
        self.messages = f"{folder}/source.messages"
        with open(self.messages, "wb") as log:
            self.process = subprocess.Popen([*arguments, *options], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        try:
            self.qmp = Qmp(f"{folder}/source.qmp", lambda: self.process.poll() is None)
            self.qmp("migrate-set-capabilities",
                     capabilities=[{"capability": "multifd", "state": True}])
            self.qmp("migrate-set-parameters", **settings)
        except Failed as error:
            self.kill()
            raise Failed(f"the source: {error}: {self.said()}") from error

    def said(self):
        """What it wrote, on one line."""
        with open(self.messages, encoding="utf-8", errors="replace") as log:
            return " ".join(log.read().split("\n")).strip() or "(QEMU said nothing)"

    def migrate(self, uri):
        """Begin."""
        self.qmp("migrate", uri=uri)

    def status(self):
        """What it says of the migration."""
        return self.qmp("query-migrate").get("status", "none")

    def wait(self, timeout=100):
        """Until the migration is over. Raises Failed if it has failed."""
        deadline = time.monotonic() + timeout
        while (status := self.status()) not in ("completed", "failed", "cancelled"):
            if time.monotonic() > deadline:
                raise Failed(f"the source still says {status} after {timeout} s")
            time.sleep(0.05)
        if status != "completed":
            raise Failed(f"the source says {status}: {self.said()}")

    def kill(self):
        """Away with it, whatever it is doing."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.qmp.close()

# SPDX-License-Identifier: GPL-2.0-only
"""A stock QEMU as a process that is driven over QMP. Nothing of ours runs in it."""

import json
import socket
import subprocess
import time


class Failed(Exception):
    """A QEMU, or what speaks with it, did not do what it was asked to."""


class NotStarted(Failed):
    """A QEMU could not be made ready; nothing has been sent to it."""


def end(process):
    """Away with a program, whatever it is doing."""
    if process.poll() is None:
        process.kill()
    process.wait()


class Qmp:
    """One QMP connection."""

    def __init__(self, path, alive, timeout=60):
        deadline = time.monotonic() + timeout
        while True:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            try:
                self.sock.connect(path)
                break
            except OSError as error:
                self.sock.close()
                if not alive():
                    raise Failed("QEMU ended before it could be spoken to") from error
                if time.monotonic() > deadline:
                    raise Failed(f"no QMP after {timeout} s") from error
                time.sleep(0.05)
        self.stream = self.sock.makefile("rb")
        self.greeting = self._line()["QMP"]
        self("qmp_capabilities")

    def _line(self):
        line = self.stream.readline()
        if not line:
            raise Failed("QEMU closed its QMP connection")
        return json.loads(line)

    def __call__(self, command, fds=(), **arguments):
        """Execute a command; its arguments' names have _ for -. File descriptors go with it."""
        request = {"execute": command}
        if arguments:
            request["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        line = json.dumps(request).encode() + b"\n"
        try:
            if fds:
                line = line[socket.send_fds(self.sock, [line], fds):]
            self.sock.sendall(line)
            while True:
                reply = self._line()
                if "return" in reply:
                    return reply["return"]
                if "error" in reply:
                    raise Failed(f"{command}: {reply['error']['desc']}")
        except OSError as error:
            raise Failed(f"{command}: {error}") from error

    def close(self):
        self.stream.close()
        self.sock.close()


class Qemu:
    """A QEMU with a QMP connection, `qmp`, to a socket that `arguments` name.

    messages  a file for what it says

    One that is to listen has a `folder`.
    """

    role = "QEMU"
    folder = None

    def __init__(self, arguments, path, messages):
        self.messages = messages
        with open(messages, "wb") as log:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        try:
            self.qmp = Qmp(path, lambda: self.process.poll() is None)
            self.prepare()
        except Failed as error:
            self.kill()
            raise NotStarted(f"{self.role}: {error}, status {self.process.returncode}: "
                             f"{self.said()}") from error

    def prepare(self):
        """What there is to say to it first."""

    def said(self):
        """What it wrote, on one line."""
        with open(self.messages, encoding="utf-8", errors="replace") as log:
            return " ".join(log.read().split("\n")).strip() or "(QEMU said nothing)"

    def multifd(self, capabilities=(), **parameters):
        """Switch multifd on, with other capabilities and parameters of migrations."""
        self.qmp("migrate-set-capabilities",
                 capabilities=[{"capability": name, "state": True}
                               for name in ("multifd", *capabilities)])
        self.qmp("migrate-set-parameters", **parameters)

    def listen(self, uri, **options):
        """Wait for a migration, over "tcp" or "unix" (in `folder`). Returns the address."""
        if uri == "unix":
            address = f"unix:{self.folder}/migration"
            self.qmp("migrate-incoming", uri=address, **options)
            return address
        self.qmp("migrate-incoming", uri="tcp:127.0.0.1:0", **options)
        where = self.qmp("query-migrate")["socket-address"][0]
        return f"tcp:{where['host']}:{where['port']}"

    def status(self):
        """What it says of the migration."""
        return self.qmp("query-migrate").get("status", "none")

    def migration(self):
        """All that it says of it. Raises Failed with its last words if it has ended."""
        try:
            return self.qmp("query-migrate")
        except Failed as error:
            self.kill()
            raise Failed(f"{self.role} gave up, status {self.process.returncode}: "
                         f"{self.said()}") from error

    def until(self, wanted, timeout=100):
        """Until the migration is in that state. Returns what it says of it then."""
        deadline = time.monotonic() + timeout
        while (status := (said := self.migration()).get("status", "none")) != wanted:
            if status in ("completed", "failed", "cancelled") or time.monotonic() > deadline:
                raise Failed(f"{self.role} says {status}, and not {wanted}: {self.said()} {said}")
            time.sleep(0.02)
        return said

    def wait(self, timeout=100):
        """Until the migration is over. Raises Failed if it is not complete."""
        self.until("completed", timeout)

    def kill(self):
        """Away with it, whatever it is doing."""
        end(self.process)

    def close(self):
        """The same, and nothing of it is left."""
        self.kill()
        self.qmp.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

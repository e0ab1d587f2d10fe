# SPDX-License-Identifier: GPL-2.0-only
"""What the module says of its sessions: that one was there, and what it has sent."""

import json
import os
import subprocess
import time

from qemu import Failed, end

PAGE = 4096


class Sessions:
    """All sessions from now on, by `mfdctl monitor`.

    mfdctl  the program
    path    a file for what it prints
    """

    def __init__(self, mfdctl, path):
        self.mfdctl, self.path = mfdctl, path
        with open(path, "wb") as out:
            self.process = subprocess.Popen([mfdctl, "monitor", "--json"], stdout=out,
                                            stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while self.process.poll() is None and not self._listens():
            if time.monotonic() > deadline:
                raise Failed("mfdctl monitor does not listen")
            time.sleep(0.05)
        if self.process.poll() is not None:
            raise Failed("mfdctl monitor ended at once")

    def _listens(self):
        """Does it have a netlink socket that is a member of a group?"""
        folder = f"/proc/{self.process.pid}/fd"
        try:
            mine = {os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}
        except FileNotFoundError:
            return False    # it has just closed one
        with open("/proc/net/netlink", encoding="ascii") as sockets:
            lines = [line.split() for line in sockets.readlines()[1:]]
        return any(f"socket:[{line[9]}]" in mine and int(line[3], 16) for line in lines)

    def now(self):
        """Those that are there at this moment."""
        shown = subprocess.run([self.mfdctl, "stats", "--json"], check=True, capture_output=True)
        return json.loads(shown.stdout)["sessions"]

    def events(self, pid):
        """Those of a process's sessions so far, the oldest first."""
        with open(self.path, encoding="utf-8") as file:
            lines = file.read().split("\n")[:-1]
        return [event for event in map(json.loads, lines) if event.get("pid") == pid]

    def last(self, pid, event):
        """The event that its last session is over with, which has to be this one."""
        deadline = time.monotonic() + 20
        while not (events := self.events(pid)) or \
                events[-1]["event"] not in ("session-ended", "session-failed"):
            if time.monotonic() > deadline:
                raise Failed(f"the module tells of no session's end: {events[-2:]}")
            time.sleep(0.02)
        if events[-1]["event"] != event:
            raise Failed(f"the module says {events[-1]}")
        return events[-1]

    def close(self):
        """Stop listening."""
        end(self.process)
        os.unlink(self.path)


def same_counts(end, ram):
    """What QEMU counts is what the module did. `ram` is of query-migrate."""
    if end["lost"] or end["normal"] != ram["normal"] or \
            end["zero"] + end["absent"] != ram["duplicate"]:
        raise Failed(f"QEMU counts {ram}, and the module {end}")
    if end["bytes-out"] != ram["multifd-bytes"]:
        raise Failed(f"QEMU counts {ram['multifd-bytes']} bytes on channels, and the module "
                     f"{end['bytes-out']}")

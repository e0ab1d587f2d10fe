#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Two migrations and what mfdctl shows of them; run in the VM by tests/netlink/screens."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time

from kit import BUILD, TOP, MFDCTL, mfdctl, must, stats, until
from sender import Memory, Session

sys.path.insert(0, f"{TOP}/tests/interop")
# pylint: disable=wrong-import-position
from qemu_dest import Destination  # noqa: E402

IMAGE = os.environ["MZP_IMAGE"]
SIZE = os.path.getsize(IMAGE)
FOLDER = "/dev/shm/screens"
OUT = os.environ["MZP_OUT"]


def save(name, *parts):
    with open(f"{OUT}/{name}.txt", "w", encoding="utf-8") as file:
        file.write("\n".join(part.rstrip("\n") + "\n" for part in parts))


def shown(*arguments):
    """A command line, and what it prints."""
    return f"$ mfdctl {' '.join(map(str, arguments))}\n{mfdctl(*arguments)}"


def destination(name):
    os.makedirs(f"{FOLDER}/{name}")
    return Destination(os.environ["MZP_QEMU_STABLE"], f"{FOLDER}/{name}", [("ram0", SIZE)], 2)


def program(*arguments):
    return subprocess.Popen([str(argument) for argument in arguments], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL)


def session_of(name):
    """Wait for the session of a program that has begun to send."""
    return until(lambda: [session for session in stats()["sessions"]
                          if session["comm"] == name and session.get("bytes-read")],
                 f"{name}'s session")[0]["id"]


def migrations():
    """A file at a limited rate, and a guest that keeps writing."""
    monitor = subprocess.Popen([MFDCTL, "monitor"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True)
    with destination("one") as one, destination("other") as other:
        sender = program(f"{BUILD}/mfdsend", "--to", one.address, "--block", f"ram0={IMAGE}",
                         "--channels", 2, "--quiet")
        limited = until(lambda: [session["id"] for session in stats()["sessions"]
                                 if session["comm"] == "mfdsend" and "channels" in session],
                        "mfdsend's session")[0]
        mfdctl("limit", limited, "--rate", "6M")
        demo = program(f"{BUILD}/mfddemo", "--to", other.address, "--peer-qmp", other.peer_qmp,
                       "--image", IMAGE, "--vcpus", 1, "--write-rate", 3000, "--min-rounds", 4,
                       "--bandwidth", "40M")
        guest = session_of("mfddemo")
        save("stats", shown("stats"), shown("stats", guest, "--channels", "--workers"))
        lines = mfdctl("top", "-b", "-n", 2, "-d", 1).split("\n\n")
        save("top", "$ mfdctl top\n" + lines[-1])
        lines = mfdctl("stats", guest, "--prometheus").split("\n")
        save("prometheus", f"$ mfdctl stats {guest} --prometheus | grep -e session_normal_ -e session_busy_\n" +
             "\n".join(line for line in lines
                       if "session_normal_" in line or "session_busy_" in line))
        demo.wait()
        must(demo.returncode == 0, "mfddemo has failed")
        mfdctl("cancel", limited)
        sender.wait()
    until(lambda: not stats()["sessions"], "no sessions")
    time.sleep(0.5)
    monitor.terminate()
    save("monitor", "$ mfdctl monitor\n" + monitor.communicate()[0])


def trace():
    """Three channels, of which one is read slowly."""
    script = f"{TOP}/Documentation/netlink/slowest.bt"
    slow = ["/usr/bin/python3", os.path.abspath(__file__), "slow"]
    said = output("bpftrace", script, "-c", " ".join(slow))
    save("bpftrace", "$ bpftrace slowest.bt", said)
    output("trace-cmd", "record", "-q", "-e", "multifd_zp", "-o", "/tmp/trace.dat", *slow)
    said = output("trace-cmd", "report", "-i", "/tmp/trace.dat").split("\n")
    save("trace-cmd", "$ trace-cmd record -e multifd_zp\n"
         "$ trace-cmd report | tail -n 20", "\n".join(said[-21:]))


def output(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=True).stdout


def slow_channel():
    memory = Memory(6000)
    with Session(3) as session:
        def read(fd, pause):
            # the session's end, which is no good one, wakes it
            with contextlib.suppress(OSError):
                while os.read(fd, 1 << 19):
                    time.sleep(pause)

        for number, fd in enumerate(session.channels):
            thread = threading.Thread(target=read, args=(fd, 0.05 if number == 1 else 0))
            thread.start()
            session.readers.append(thread)
        session.send(session.block(memory), 0, memory.pages)
        session.sync()
        session.wait()



if sys.argv[1:] == ["slow"]:
    slow_channel()
else:
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    migrations()
    trace()

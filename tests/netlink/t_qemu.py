# SPDX-License-Identifier: GPL-2.0-only
"""What is counted here is what a stock QEMU receives."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

from kit import (BUILD, TOP, Monitor, Skipped, bottleneck_now, must, same, session_stats, stats,
                 test, until)
from sender import PAGE
from t_stats import add_up, quiet

sys.path.insert(0, f"{TOP}/tests/interop")
# pylint: disable=wrong-import-position
from qemu_dest import Destination, difference  # noqa: E402

FOLDER = "/dev/shm/netlink"
CHANNELS = 3
# Pages: data, zero, holes.
MEMORY = (6000, 1500, 690)
SYNC = 1


def image(path):
    """A file with such pages, and no others."""
    with open(path, "wb") as file:
        for page in range(MEMORY[0]):
            file.write((page + 1).to_bytes(8, "little") * (PAGE // 8))
        file.write(bytes(MEMORY[1] * PAGE))
        file.truncate(sum(MEMORY) * PAGE)


def received(messages):
    """What the destination's channels tell of what they have got: {channel: (packets,
    SYNC packets, bytes of payload)}; None until they have ended."""
    with open(messages, encoding="utf-8", errors="replace") as log:
        text = log.read()
    ends = dict(re.findall(r"multifd_recv_thread_end channel (\d+) packets (\d+)", text))
    got = {channel: [int(packets), 0, 0] for channel, packets in ends.items()}
    if len(got) < CHANNELS:
        return None
    for channel, flags, size in re.findall(r"multifd_recv_unfill channel (\d+) packet_num \d+ "
                                           r"flags 0x(\w+) next packet size (\d+)", text):
        got[channel][1] += int(flags, 16) & SYNC
        got[channel][2] += int(size)
    return got


@test
def a_migration_to_qemu():
    """During and after: as mfdsend counts, and as QEMU does."""
    if "MZP_QEMU_STABLE" not in os.environ:
        raise Skipped("there is no stock QEMU for this machine")
    os.mkdir(FOLDER)
    image(f"{FOLDER}/image")
    pages = sum(MEMORY)
    os.mkdir(f"{FOLDER}/qemu")
    with Monitor("--json") as monitor, \
         Destination(os.environ["MZP_QEMU_STABLE"], f"{FOLDER}/qemu", [("ram0", pages * PAGE)],
                     CHANNELS) as destination:
        said = destination.qmp("human-monitor-command",
                               command_line="log trace:multifd_recv*")
        must(not said.strip(), "QEMU does not trace:", said)
        # As long as it stands still, nobody takes anything out of the sockets.
        destination.process.send_signal(signal.SIGSTOP)
        sender = subprocess.Popen([f"{BUILD}/mfdsend", "--to", destination.address,
                                   "--channels", str(CHANNELS), "--block-fd",
                                   f"ram0={FOLDER}/image", "--json", "--timeout", "150"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        number = until(lambda: [s["id"] for s in stats()["sessions"]
                                if s.get("submitted") == pages], "mfdsend's session")[0]
        quiet(number)
        shown, channels = session_stats(number)
        add_up(shown, channels)
        same((shown["pid"], shown["comm"], shown["uid"]), (sender.pid, "mfdsend", os.getuid()),
             "whose it is")
        same(bottleneck_now(number), "network", "bottleneck")
        must(0 < shown["normal"] < MEMORY[0], "in the middle of it:", shown)

        destination.process.send_signal(signal.SIGCONT)
        summary = json.loads(sender.communicate(timeout=150)[0])
        same(sender.returncode, 0, "mfdsend's status")
        destination.wait()
        same(difference(destination.memory("ram0"), f"{FOLDER}/image"), None, "memory")
        # QEMU keeps no counters of what it receives ...
        must("ram" not in destination.qmp("query-migrate"), "QEMU counts now: compare that")
        # ... but only what it had to write is allocated in its memory, ...
        same(os.stat(destination.memory("ram0")).st_blocks * 512 // PAGE, MEMORY[0],
             "pages in the destination's memory")
        # ... and its threads have told of each packet.
        theirs = until(lambda: received(destination.messages), "QEMU's channels' words")

        events = []
        while not events or events[-1]["event"] != "session-ended":
            events.append(monitor.event())
    rounds = [event["round"] for event in events[1:-1]]
    same([event["event"] for event in events],
         ["session-created"] + ["session-synced"] * len(rounds) + ["session-ended"], "events")
    end = events[-1]
    for name in ("normal", "zero", "absent"):
        same(end[name], summary[name], f"{name}, by mfdsend")
        same(sum(one[name] for one in rounds), summary[name], f"{name} of all rounds")
    same(end["submitted"], summary["pages"], "pages, by mfdsend")
    same((end["normal"], end["zero"], end["absent"]), MEMORY, "pages")
    same(end["syncs"], summary["rounds"], "rounds, by mfdsend")
    same([one["number"] for one in rounds], list(range(1, summary["rounds"] + 1)), "their numbers")
    for name, column in (("packets", 0), ("bytes-payload", 2)):
        same(end[name], sum(channel[column] for channel in theirs.values()), f"{name}, by QEMU")
    # one more than there are rounds, since QEMU wants one before the first page
    same({channel[1] for channel in theirs.values()}, {summary["rounds"] + 1}, "SYNCs, by QEMU")
    shutil.rmtree(FOLDER)

# SPDX-License-Identifier: GPL-2.0-only
"""What an administrator may do: limits, and an end."""

import errno
import json
import os
import socket
import subprocess
import time

from kit import (BUILD, COMM, CPUS, bottleneck_now, mfdctl, must, same, session_stats, stats,
                 test, until)
from sender import PACKET, PAGE, Memory, Session
from t_stats import quiet, settled

# What a packet is at most, with its header; and how much of a rate can be saved up.
PACKET_BYTES = PACKET * PAGE + 4096
CREDIT = 0.1


@test
def the_rate_holds():
    """Never more than the rate and a burst, between any two looks; and it ends."""
    rate, channels = 6000000, 3
    memory = Memory(6000)
    samples = []
    with Session(channels) as session:
        mfdctl("limit", session.id, "--rate", "6M")
        same(session_stats(session.id)[0]["rate"], rate, "rate")
        session.read_on()
        session.send(session.block(memory), 0, memory.pages)
        session.sync()
        while not samples or samples[-1]["jobs-unfinished"]:
            samples.append(session_stats(session.id)[0])
        same(session.wait(), (0, memory.pages, memory.pages, 0, 0), "WAIT")
        samples.append(session_stats(session.id)[0])
    burst = CREDIT * rate + channels * PACKET_BYTES
    for number, first in enumerate(samples[:-2]):
        # a sample's age is older than its bytes, so the time ends with a later one
        for second, later in zip(samples[number + 1:], samples[number + 2:]):
            sent = second["bytes-out"] - first["bytes-out"]
            allowed = rate * (later["age"] - first["age"]) / 1e9 + burst
            must(sent <= allowed, sent, "bytes where", allowed, "are allowed:", first, second)
    took = (samples[-2]["age"] - samples[0]["age"]) / 1e9
    sent = samples[-2]["bytes-out"] - samples[0]["bytes-out"]
    must(samples[-1]["throttled"], "nothing was held back:", samples[-1])
    print(f"# {sent / took / rate:.0%} of the rate over {took:.1f} s")


@test
def the_limit_is_seen_and_can_be_taken_away():
    memory = Memory(20000)
    with Session(2) as session:
        session.read_on()
        mfdctl("limit", session.id, "--rate", "1Mi")
        session.send(session.block(memory), 0, memory.pages)
        session.sync()
        until(lambda: session_stats(session.id)[0]["bottleneck"] == "rate-limit",
              "a session that waits for its rate limit")
        must("at most 1.05 MB/s" in mfdctl("stats", session.id), "the rate is not shown")
        # at this rate it would take more than a minute
        mfdctl("limit", session.id, "--rate", "none")
        same(session.wait(timeout=60)[0], 0, "WAIT")
        same(session_stats(session.id)[0]["rate"], 0, "rate")


@test
def a_new_limit_is_seen_at_once():
    """What has long gone well is not what it waits for now."""
    memory = Memory(20000)
    with Session(2) as session:
        session.read_on()
        block = session.block(memory)
        for _ in range(5):
            session.send(block, 0, memory.pages)
        session.wait()
        mfdctl("limit", session.id, "--rate", "1Mi")
        session.send(block, 0, memory.pages)
        began = time.monotonic()
        until(lambda: bottleneck_now(session.id) == "rate-limit", "the limit")
        took = time.monotonic() - began
        must("waits   for its rate limit" in mfdctl("stats", session.id), "not said to people")
        must(took < 2, "only after", took, "s")
        must(session_stats(session.id)[0]["bottleneck"] != "rate-limit",
             "it has been limited all the time: this test cannot fail")
        session.cancel()


@test
def the_lowest_rate_holds_nothing_up():
    """A session that may hardly send anything can still be ended, either way."""
    memory = Memory(1000)
    for end in ("cancel", "close"):
        with Session(2) as session:
            session.read_on()
            mfdctl("limit", session.id, "--rate", "1")
            session.send(session.block(memory), 0, memory.pages)
            until(lambda: session_stats(session.id)[0]["throttled"], "what is held back")
            if end == "cancel":
                mfdctl("cancel", session.id)
                same(session.wait()[0], errno.ECANCELED, "WAIT")
    until(lambda: not stats()["sessions"], "no sessions")


@test
def the_rate_is_for_pages_only():
    """The first packet is free. The next one would have to wait for days, but there is none:
    a SYNC goes out at once, and the session ends when it is closed."""
    memory = Memory(PACKET)
    with Session(2) as session:
        session.read_on()
        mfdctl("limit", session.id, "--rate", "1")
        session.send(session.block(memory), 0, memory.pages)
        same(session.wait(), (0, PACKET, PACKET, 0, 0), "WAIT")
        session.sync()
        same(session.wait()[0], 0, "WAIT for the SYNC")
        session.end()
        for reader in session.readers:
            reader.join()
        same(session_stats(session.id)[0]["state"], "ended", "state")
    until(lambda: not stats()["sessions"], "no sessions")


@test
def all_channels_go_on_when_the_limit_does():
    """They all wait, without looking again; then each of them hears of it."""
    channels, packet = 32, 16
    memory = Memory(channels * 4 * packet)
    with Session(channels, packet_pages=packet) as session:
        session.read_on()
        block = session.block(memory)
        for rate in ("none", "10G"):
            mfdctl("limit", session.id, "--rate", "1")
            before = {one["id"]: one["throttled"] for one in session_stats(session.id)[1]}
            session.send(block, 0, memory.pages)
            session.sync()
            until(lambda: all(one["throttled"] > before[one["id"]]  # noqa: B023
                              for one in session_stats(session.id)[1]),
                  "channels that are all held back")
            shown, _ = settled(session.id)
            must(shown["jobs-unfinished"] == 2, "it is over already:", shown)
            mfdctl("limit", session.id, "--rate", rate)
            same(session.wait()[0], 0, f"WAIT, with rate {rate}")


def packets():
    """What each CPU's worker has made."""
    return {worker["cpu"]: worker["packets"] for worker in stats("--workers")["workers"]}


@test
def the_work_moves_to_other_cpus():
    """What is done after the limit is done by these workers only."""
    memory = Memory(3000)
    # as long as nobody reads, there is room for all of it
    with Session(3, ring=128) as session:
        block = session.block(memory)
        session.send(block, 0, memory.pages)
        session.sync()
        session.wait()
        for cpu in (1, 0, 1):
            mfdctl("limit", session.id, "--cpus", cpu)
            shown, _ = session_stats(session.id)
            same(shown["cpus"], str(cpu), "CPUs")
            before, sent = packets(), shown["packets"]
            session.send(block, 0, memory.pages)
            session.sync()
            same(session.wait()[0], 0, "WAIT")
            after, (shown, channels) = packets(), session_stats(session.id)
            same({c: after[c] - before[c] for c in after},
                 {c: (c == cpu) * (shown["packets"] - sent) for c in after}, "packets by CPU")
            same({channel["cpu"] for channel in channels}, {cpu}, "where channels were last")
        mfdctl("limit", session.id, "--cpus", "all")
        same(session_stats(session.id)[0]["cpus"], CPUS, "CPUs")
        session.read_on()


@test
def the_work_moves_in_the_middle():
    """Of a job, while the rings are full."""
    memory = Memory(4000)
    with Session(2, ring=2) as session:
        session.send(session.block(memory), 0, memory.pages)
        quiet(session.id)
        mfdctl("limit", session.id, "--cpus", "0")
        before = packets()
        session.read_on()
        same(session.wait()[0], 0, "WAIT")
        after = packets()
        for cpu in before.keys() - {0}:
            same(after[cpu], before[cpu], f"packets that CPU {cpu} has made")


def online(cpu, value):
    with open(f"/sys/devices/system/cpu/cpu{cpu}/online", "w", encoding="ascii") as file:
        file.write(str(value))


@test
def a_limit_leads_nowhere_else():
    """When the CPU that a session is limited to goes away, it goes on on its others, and on
    no CPU that it was not set up with."""
    memory = Memory(2000)
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {1, 2})
    with Session(2, ring=64) as session:
        os.sched_setaffinity(0, everywhere)
        block = session.block(memory)
        mfdctl("limit", session.id, "--cpus", "2")
        online(2, 0)
        try:
            before, sent = packets(), session_stats(session.id)[0]["packets"]
            session.send(block, 0, memory.pages)
            session.sync()
            same(session.wait()[0], 0, "WAIT")
            after, sent = packets(), session_stats(session.id)[0]["packets"] - sent
            same({cpu: after[cpu] - before[cpu] for cpu in after}, {0: 0, 1: sent, 2: 0},
                 "packets by CPU")
            same(session_stats(session.id)[0]["cpus"], "2", "what it is limited to")
        finally:
            online(2, 1)
        # where it may be, now that it can be
        before = packets()
        session.send(block, 0, memory.pages)
        same(session.wait()[0], 0, "WAIT")
        must(packets()[2] > before[2], "it does not come back")


@test
def cancel_empties_what_has_ended():
    """All is done and in the rings, the device is closed, and nobody reads: an administrator
    can have that memory back. A reader is not to take it for complete."""
    memory = Memory(PACKET)
    with Session() as session:
        session.send(session.block(memory), 0, memory.pages)
        same(session.wait()[0], 0, "WAIT")
        session.end()
        shown, _ = session_stats(session.id)
        same((shown["state"], shown["pages-held"]), ("ended", PACKET), "state and pages")
        mfdctl("cancel", session.id)
        shown, _ = settled(session.id)
        same((shown["state"], shown["pages-held"]), ("failed", 0), "state and pages")
        try:
            os.read(session.channels[0], 1)
        except OSError as error:
            same(error.errno, errno.ECANCELED, "a reader")
        else:
            must(False, "a reader goes on")


@test
def cancel_ends_it():
    """With the error that everybody is told of; other sessions go on."""
    memory = Memory(2000)
    with Session(2, ring=2) as session, Session(1) as other:
        other.read_on()
        session.send(session.block(memory), 0, memory.pages)
        quiet(session.id)
        mfdctl("cancel", session.id)
        same(session.wait()[0], errno.ECANCELED, "WAIT")
        for fd in session.channels:
            try:
                os.read(fd, 1)
            except OSError as error:
                same(error.errno, errno.ECANCELED, "a reader")
            else:
                must(False, "a reader goes on")
        try:
            session.sync()
        except OSError as error:
            same(error.errno, errno.ECANCELED, "SYNC")
        shown, _ = session_stats(session.id)
        same((shown["state"], shown["error"]), ("failed", errno.ECANCELED), "what is shown")
        # twice does no harm
        mfdctl("cancel", session.id)
        other.send(other.block(memory), 0, memory.pages)
        same(other.wait()[0], 0, "the other's WAIT")
    must("no session" in mfdctl("cancel", session.id, status=1), "a session that is gone")


@test
def the_vmm_is_told_who_cancelled_it():
    """While it sends to somebody who takes what there is room for, and no more."""
    with socket.create_server(("127.0.0.1", 0)) as listener, \
            open("/dev/shm/cancelled", "wb") as image:
        image.write(b"1" * (PAGE * 20000))
        sender = subprocess.Popen([f"{BUILD}/mfdsend", "--to",
                                   f"tcp:127.0.0.1:{listener.getsockname()[1]}", "--channels", "2",
                                   "--block", "ram0=/dev/shm/cancelled", "--quiet"],
                                  stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        connections = [listener.accept()[0] for _ in range(3)]
        number = until(lambda: [one["id"] for one in stats()["sessions"] if one.get("submitted")],
                       "mfdsend's session")[0]
        mfdctl("cancel", number)
        said = sender.communicate(timeout=60)[1]
        for connection in connections:
            connection.close()
    os.unlink("/dev/shm/cancelled")
    same(sender.returncode, 1, "mfdsend's status")
    must("an administrator has cancelled the migration (mfdctl cancel)" in said, said)


@test
def what_was_done_is_said():
    """To people and to programs; and what could not be done as well."""
    with Session() as session:
        who = f"session {session.id} ({COMM}, pid {os.getpid()}, of root): "
        same(mfdctl("limit", session.id, "--rate", "100M"),
             f"{who}at most 100 MB/s; workers of CPUs {CPUS}\n", "limit")
        same(mfdctl("limit", session.id, "--rate", "none", "--cpus", "0"),
             f"{who}no limit of its rate; workers of CPUs 0\n", "limit")
        shown = json.loads(mfdctl("limit", session.id, "--rate", "1k", "--cpus", "all", "--json"))
        same({name: shown[name] for name in ("id", "pid", "uid", "rate", "cpus")},
             {"id": session.id, "pid": os.getpid(), "uid": 0, "rate": 1000, "cpus": CPUS}, "limit")
        must("there can be no such CPU" in mfdctl("limit", session.id, "--cpus", "99", status=1),
             "a CPU that there is not")
        same(mfdctl("cancel", session.id), f"{who}cancelled; its VMM is told so\n", "cancel")
        same(mfdctl("cancel", session.id), f"{who}had failed before\n", "cancel, again")
        same(json.loads(mfdctl("cancel", session.id, "--json"))["cancelled"], False, "cancel")
    with Session() as session:
        shown = json.loads(mfdctl("cancel", session.id, "--json"))
        same((shown["id"], shown["cancelled"]), (session.id, True), "cancel")

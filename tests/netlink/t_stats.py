# SPDX-License-Identifier: GPL-2.0-only
"""Counters: that they are right, and that mfdctl shows what the kernel says."""

import contextlib
import ctypes
import errno
import fcntl
import json
import mmap
import os
import select
import socket
import struct
import subprocess
import sys
import time

import yaml

from kit import TOP, mfdctl, must, same, session_stats, stats, test, until
from sender import FRESH, PACKET, PAGE, ZLIB, ZSTD, Memory, Session

UUID = bytes(range(16))
# What sessions and channels both count; a session's are its channels' sums. (But
# pages that no channel had taken yet are lost to none of them.)
SUMS = ("normal", "zero", "absent", "bytes-in", "bytes-payload", "bytes-out",
        "bytes-read", "bytes-encrypted", "packets", "ring-full", "ring-empty", "ring-packets", "ring-size",
        "throttled", "left", "waits", "reader-packets",
        "reader-time", "busy", "pages-held")

with open(f"{TOP}/Documentation/netlink/specs/multifd_zp.yaml", encoding="utf-8") as _spec:
    SPEC = yaml.safe_load(_spec)


def replied(operation):
    """The attributes of an operation's reply, as the spec has them."""
    for one in SPEC["operations"]["list"]:
        if one["name"] == operation:
            return set(one["do"]["reply"]["attributes"])
    raise KeyError(operation)


def ynl():
    """The kernel's own client, which goes by the spec."""
    sys.path.insert(0, os.environ["MZP_YNL"])
    # pylint: disable=import-outside-toplevel,import-error
    from lib import YnlFamily
    return YnlFamily(f"{TOP}/Documentation/netlink/specs/multifd_zp.yaml", schema="")


def add_up(session, channels):
    """A session is the sum of its channels, and each page is something."""
    for name in SUMS:
        same(session[name], sum(channel[name] for channel in channels), name)
    must(sum(channel["lost"] for channel in channels) <= session["lost"], session, channels)
    done = session["normal"] + session["zero"] + session["absent"] + session["lost"]
    must(done <= session["submitted"], "more is done than there is:", session)
    if not session["jobs-unfinished"]:
        same(done, session["submitted"], f"done and submitted, {session}")
    must(session["bytes-read"] <= session["bytes-out"], session)


def settled(number, enough=lambda session: True):
    """Wait until nothing changes any more. Return: the session and its channels."""
    last = None

    def unchanged():
        nonlocal last
        before, last = last, session_stats(number)
        del last[0]["age"]
        return before == last and enough(last[0])

    until(unchanged, "counters that stand still")
    return last


def quiet(number):
    """Wait until workers have filled the rings."""
    settled(number, lambda session: session["ring-packets"])


@test
def all_attributes_are_shown():
    """Each attribute of the spec's replies, by its name."""
    with Session(2, uuid=UUID) as session:
        shown, channels = session_stats(session.id)
        # these are there only if something has failed
        same(replied("session-get") - set(shown),
             {"error-block", "error-offset", "dirty-pages", "dirty-time"}, "not shown")
        same(set(shown) - replied("session-get"), {"bottleneck"}, "not in the spec")
        for channel in channels:
            same(set(channel), replied("channel-get"), "a channel's")
        for worker in stats("--workers")["workers"]:
            same(set(worker), replied("worker-get"), "a worker's")
        info = json.loads(mfdctl("info", "--json"))
        levels = info.pop("levels")
        same(set(info) | set(levels[0]), replied("info-get"), "the module's")
        same([level["method"] for level in levels],
             [name for name in info["methods"] if name != "none"], "methods with levels")
        same(shown["uuid"], "00010203-0405-0607-0809-0a0b0c0d0e0f", "UUID")


@test
def values_are_the_kernels():
    """mfdctl and the kernel's own client read the same."""
    client = ynl()
    with Session(2, ring=2, uuid=UUID) as session, Session(1, method=ZSTD) as other:
        memory = Memory(1000, 200, 50)
        for one in (session, other):
            one.send(one.block(memory), 0, memory.pages)
            quiet(one.id)
        for mine, theirs in ((stats()["sessions"], client.dump("session-get", {})),
                             ([session_stats(session.id)[0]],
                              [client.do("session-get", {"id": session.id})]),
                             (stats("--channels")["channels"], client.dump("channel-get", {})),
                             (stats(other.id, "--channels")["channels"],
                              client.dump("channel-get", {"session": other.id})),
                             (stats("--workers")["workers"], client.dump("worker-get", {}))):
            same(len(mine), len(theirs), "how many there are")
            for ours, its in zip(mine, theirs):
                ours.pop("bottleneck", None)
                if "age" in its:
                    must(its["age"] - ours["age"] < 60e9, "ages")
                    its["age"] = ours["age"]
                if "uuid" in its:
                    must(its["uuid"].replace(" ", "").replace("-", "") == UUID.hex()
                         if isinstance(its["uuid"], str) else its["uuid"] == UUID, its["uuid"])
                    its["uuid"] = ours["uuid"]
                same(ours, its, "mfdctl and the kernel's client")


@test
def counts_add_up_in_each_round():
    """Known memory, several rounds: each counter is what it must be."""
    data, zero, absent = 1500, 300, 700
    memory = Memory(data, zero, absent)
    with Session(3) as session:
        session.read_on()
        block = session.block(memory)
        add_up(*settled(session.id))
        session.send(block, 0, memory.pages, FRESH)
        session.sync()
        same(session.wait(), (0, memory.pages, data, zero, absent), "WAIT")
        shown, channels = settled(session.id)
        add_up(shown, channels)
        for name, want in (("submitted", memory.pages), ("normal", data), ("zero", zero),
                           ("absent", absent), ("lost", 0), ("syncs", 1),
                           ("bytes-in", data * PAGE), ("bytes-payload", data * PAGE),
                           ("error", 0), ("state", "active")):
            same(shown[name], want, name)
        for channel in channels:
            same(channel["syncs"], 1, "a channel's SYNCs")

        # the last pages of the data and the first zero ones
        session.send(block, data - 10, 20)
        session.sync()
        session.send(block, 0, 5)
        session.wait()
        shown, channels = settled(session.id)
        add_up(shown, channels)
        for name, want in (("submitted", memory.pages + 25), ("normal", data + 15),
                           ("zero", zero + 10), ("absent", absent), ("syncs", 2), ("jobs", 0),
                           ("jobs-unfinished", 0)):
            same(shown[name], want, name)
        until(lambda: session_stats(session.id)[0]["ring-packets"] == 0, "empty rings")
        shown, channels = settled(session.id)
        add_up(shown, channels)
        same(shown["bytes-read"], shown["bytes-out"], "read and written")
        same(shown["pages-held"], 0, "pages held")
        same(shown["bottleneck"], "idle", "bottleneck")
        session.end()
        for reader in session.readers:
            reader.join()
        # channels keep the session; what was read is what was counted
        shown, channels = session_stats(session.id)
        same([channel["bytes-read"] for channel in channels], session.read, "bytes read")
        same(shown["state"], "ended", "state")


@test
def what_the_guest_writes():
    """Pages of the last round, and the time from the beginning of the one before it."""
    memory = Memory(100)
    with Session() as session:
        session.read_on()
        block = session.block(memory)
        began = []
        for pages in (100, 30, 7):
            began.append(time.monotonic_ns())
            session.send(block, 0, pages)
            began.append(time.monotonic_ns())
            session.sync()
            session.wait()
            shown, _ = session_stats(session.id)
            if pages == 100:
                must("dirty-pages" not in shown, "the first round is not what was written:", shown)
                continue
            same(shown["dirty-pages"], pages, "pages")
            must(began[-2] - began[-3] <= shown["dirty-time"] <= began[-1] - began[-4],
                 shown["dirty-time"], began)


@test
def a_reader_that_waits_is_seen():
    """Nobody reads, then somebody does: rings, the reason, pages held."""
    memory = Memory(2000)
    with Session(2, ring=4) as session:
        session.send(session.block(memory), 0, memory.pages)
        quiet(session.id)
        shown, channels = settled(session.id)
        add_up(shown, channels)
        same(shown["ring-size"], 8, "room in rings")
        same(shown["ring-packets"], 8, "packets in rings")
        same(shown["jobs-unfinished"], 1, "unfinished jobs")
        must(shown["ring-full"] >= 2, "times that rings were full:", shown["ring-full"])
        same(shown["bottleneck"], "network", "bottleneck")
        # packets of data; the first message of each channel is one as well
        same(shown["pages-held"], shown["normal"], "pages held")
        must(PACKET * 6 <= shown["normal"] <= PACKET * 8, "pages in rings:", shown["normal"])
        session.read_on()
        same(session.wait()[0], 0, "WAIT")


@test
def compression_is_counted():
    memory = Memory(1000, 24)
    for method in (ZLIB, ZSTD):
        with Session(1, method=method) as session:
            session.read_on()
            session.send(session.block(memory), 0, memory.pages)
            session.sync()
            session.wait()
            shown, channels = settled(session.id)
            add_up(shown, channels)
            same(shown["bytes-in"], 1000 * PAGE, "bytes in")
            # pages that repeat eight bytes
            must(0 < shown["bytes-payload"] < shown["bytes-in"] // 10, "payload:", shown)
            must(shown["bytes-payload"] < shown["bytes-out"], "no headers:", shown)


@contextlib.contextmanager
def tcp_pair(*options):
    """Two ends of a connection, the first with (level, name, value) set."""
    with socket.create_server(("127.0.0.1", 0)) as listener, \
            socket.create_connection(listener.getsockname()) as near:
        far, _ = listener.accept()
        with far:
            for option in options:
                near.setsockopt(*option)
            yield near


@test
def what_the_kernel_encrypts_is_counted():
    """TLS with a key; not TLS that has none yet, and not plain connections."""
    subprocess.run(["modprobe", "tls"], check=True)
    sol_tls, tls_tx = 282, 1
    use = (socket.SOL_TCP, 31, b"tls")
    # TLS 1.3, AES-128-GCM: what a session without secrets can do with
    key = (sol_tls, tls_tx, struct.pack("=HH8s16s4s8s", 0x0304, 51, *[b""] * 4))
    memory = Memory(100)
    with Session(1) as session:
        session.send(session.block(memory), 0, memory.pages)
        encrypted = 0
        for options in ((), (use,), (use, key)):
            with tcp_pair(*options) as near:
                sent = session.pump(0, near, 40000)
                encrypted += sent * (len(options) == 2)
                must(sent > 0, "nothing was sent")
            shown, channels = settled(session.id)
            add_up(shown, channels)
            same(shown["bytes-encrypted"], encrypted, f"bytes, with {len(options)} options")
        must("100% encrypted by the kernel" not in mfdctl("stats", session.id), "all of it?")
        must("encrypted by the kernel" in mfdctl("stats", session.id), "not shown")
        session.cancel()


@test
def what_is_lost_is_counted():
    """Pages of a session that is cancelled, and of a job that fails."""
    memory = Memory(2000)
    with Session(2, ring=2) as session:
        session.send(session.block(memory), 0, memory.pages)
        quiet(session.id)
        session.cancel()
        same(session.wait()[0], errno.ECANCELED, "WAIT")
        shown, channels = settled(session.id)
        add_up(shown, channels)
        must(shown["lost"] > 0, "nothing is lost:", shown)
        same(shown["error"], errno.ECANCELED, "error")
        same(shown["state"], "failed", "state")
        same(shown["pages-held"], 0, "pages held")
    with Session(1) as session:
        session.read_on()
        block = session.block(memory, b"pc.ram")
        os.truncate(memory.fd, 1500 * PAGE)
        session.send(block, 0, memory.pages)
        same(session.wait()[0], errno.EFAULT, "WAIT")
        shown, channels = settled(session.id, lambda session: not session["ring-packets"])
        add_up(shown, channels)
        must(shown["lost"] >= 500, "pages that are not there are not lost:", shown)
        same((shown["error"], shown["error-block"], shown["error-offset"]),
             (errno.EFAULT, "pc.ram", 1500 * PAGE), "where it failed")
        must("pc.ram, at 0x5dc000" in mfdctl("stats", session.id), "mfdctl does not say where")


# linux/userfaultfd.h; what the device's ioctl takes is flags
UFFD_NEW, UFFD_API, UFFD_REGISTER = 0xaa00, 0xc018aa3f, 0xc020aa00
UFFD_VERSION, UFFD_MISSING = 0xaa, 1


def never_there(address, length):
    """From now on, reading this memory takes a handler, which does nothing. Its descriptor."""
    with open("/dev/userfaultfd", "rb", buffering=0) as device:
        # one that could block cannot be polled
        handler = fcntl.ioctl(device, UFFD_NEW, os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(handler, UFFD_API, struct.pack("=QQQ", UFFD_VERSION, 0, 0))
    fcntl.ioctl(handler, UFFD_REGISTER,
                struct.pack("=QQQQ", address, length, UFFD_MISSING, 0))
    return handler


@test
def what_a_channel_has_in_hand_is_lost():
    """A packet that is half done waits for a page, when the session is cancelled: none of its
    pages were sent, so its channel and the session both count all of them as lost."""
    memory = mmap.mmap(-1, PACKET * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(PACKET // 2):
        memory[page * PAGE] = 1
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    handler = never_there(address + PACKET // 2 * PAGE, PACKET // 2 * PAGE)
    with Session() as session:
        session.read_on()
        session.send(session.block_at(address, PACKET), 0, PACKET)
        must(select.select([handler], [], [], 60)[0], "nobody asks for the page")
        session.cancel()
        same(session.wait()[0], errno.ECANCELED, "WAIT")
        # the worker comes to it when it likes
        until(lambda: session_stats(session.id)[1][0]["lost"], "lost pages of the channel")
        shown, channels = settled(session.id)
        add_up(shown, channels)
        for one in (shown, channels[0]):
            same([one[name] for name in ("normal", "zero", "absent", "lost", "bytes-in")],
                 [0, 0, 0, PACKET, 0], "what became of the pages")


@test
def workers_did_what_sessions_count():
    """Over all CPUs: no more and no less than was done for sessions."""
    before = stats("--workers")["workers"]
    memory = Memory(3000)
    with Session(4) as session:
        session.read_on()
        session.send(session.block(memory), 0, memory.pages)
        session.sync()
        session.wait()
        until(lambda: all(not worker["queue"] for worker in stats("--workers")["workers"]),
              "workers with nothing to do")
        shown, _ = session_stats(session.id)
        after = stats("--workers")["workers"]
    packets = sum(b["packets"] - a["packets"] for a, b in zip(before, after))
    # each channel's first message is made by SETUP
    same(packets + shown["reader-packets"], shown["packets"],
         "packets of workers and readers, and of the session")
    must(sum(b["busy"] - a["busy"] for a, b in zip(before, after)) >= shown["busy"],
         "workers were busy for the session for longer than they were busy")

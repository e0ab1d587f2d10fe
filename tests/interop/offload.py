#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Running guests that leave a QEMU of ours through the module; run in the VM by
tests/interop/offload.

The source is tools/qemu's, destinations are stock QEMUs. That the module has sent RAM, and
not QEMU's own threads, the module has to say itself.
"""

import contextlib
import itertools
import json
import os
import platform
import random
import re
import shutil
import socket
import subprocess
import sys
import time

import matrix
from kvm import emulated
from kvm import kvm as load_kvm
from matrix import QEMU, Failed, case
from qemu_dest import difference
from qemu_guest import MIB, Guest, data_pages, same_memory, same_registers
from sessions import Sessions, same_counts

OURS = os.environ["MZP_QEMU_OURS"]
# The same, with devices whose state is sent on the channels, too
STATE = os.environ["MZP_QEMU_STATE"]
# A guest with 26 MiB of data, and one with 226.
SECTOR = os.environ["MZP_SECTORS"] + "/boot_guest.img"
FULL = {"sector": os.environ["MZP_SECTORS"] + "/boot_guest_full.img", "size": 256 * MIB}
LINUX = (os.environ["MZP_KERNEL"] + "/vmlinux", os.environ["MZP_INITRD"])
FOLDER = "/dev/shm/offload"
MODULE = os.environ.get("MZP_MODULE",
                        f"{matrix.BUILD}/kmod/{platform.release()}/multifd_zp.ko")
TIMES = 20 if matrix.FULL else 1
# So often what the guest has written meanwhile is sent, before the last time.
ROUNDS = 4
SESSIONS = None
# Only ours are wanted.
matrix.CASES.clear()


def fresh(name):
    """An empty folder for one of them."""
    shutil.rmtree(f"{FOLDER}/{name}", ignore_errors=True)
    os.makedirs(f"{FOLDER}/{name}")


def fresh_folder():
    shutil.rmtree(FOLDER, ignore_errors=True)
    for name in ("source", "destination"):
        fresh(name)


@contextlib.contextmanager
def is_refused(pattern, flags=0):
    """QEMU fails, with such words, what is tried in it."""
    try:
        yield
    except Failed as error:
        if not re.search(pattern, str(error), flags):
            raise Failed(f"it says: {error}") from error
    else:
        raise Failed("it is not refused")


def source(machine="pc-q35-10.0", backend="kernel", options=(), sector=SECTOR, folder="source",
           qemu=OURS, **guest):
    """With a guest at work."""
    return Guest(qemu, f"{FOLDER}/{folder}", machine, sector,
                 options=["-global", f"migration.multifd-ram-backend={backend}", *options],
                 **guest)


def destination(version="stable", machine="pc-q35-10.0", sector=SECTOR, qemu=None, **guest):
    return Guest(qemu or QEMU[version], f"{FOLDER}/destination", machine, sector, incoming=True,
                 **guest)


def limited_to(memlock):
    """A command, to start another one that cannot lock more."""
    return ("prlimit", f"--memlock={memlock}:{memlock}", "setpriv",
            "--bounding-set=-ipc_lock,-sys_resource", "--inh-caps=-ipc_lock,-sys_resource", "--")


def listen():
    return Sessions(f"{matrix.BUILD}/mfdctl", "/dev/shm/sessions")


def by_module(here, ram):
    """The module has sent it all, and QEMU has counted the same."""
    pid = here.process.pid
    same_counts(SESSIONS.last(pid, "session-ended"), ram)
    first = next(event for event in SESSIONS.events(pid) if event["event"] == "session-synced")
    if not first["round"]["submitted"]:
        raise Failed("a round ended before the first page")


def by_threads(here):
    """It was not asked."""
    if events := SESSIONS.events(here.process.pid):
        raise Failed(f"the module has had a session: {events[0]}")


def encrypt(here, there):
    """With keys that both know."""
    keys = f"{FOLDER}/keys"
    os.makedirs(keys, exist_ok=True)
    with open(f"{keys}/keys.psk", "w", encoding="ascii") as file:
        file.write("qemu:" + "5a" * 32 + "\n")
    for qemu, endpoint in ((here, "client"), (there, "server")):
        qemu.qmp("object-add", qom_type="tls-creds-psk", id="tls", dir=keys, endpoint=endpoint)
        qemu.qmp("migrate-set-parameters", tls_creds="tls", tls_hostname="localhost")


def go_on(here, timeout):
    """The guest works while there are some rounds, if it needs them; then it may stop."""
    deadline = time.monotonic() + timeout
    while (said := here.migration()).get("ram", {}).get("dirty-sync-count", 0) < ROUNDS and \
            said.get("status") in (None, "none", "setup", "active"):
        if time.monotonic() > deadline:
            raise Failed(f"the source does not get on: {said}")
        time.sleep(0.02)
    here.qmp("migrate-set-parameters", downtime_limit=60000)


def arrives(here, there, uri="unix", capabilities=(), module=True, timeout=100, also=None,
            **parameters):
    """The guest works here, and then there. Returns what the source says of it.

    also: looks whether more is the same, when it works nowhere.
    """
    shared = {name: parameters[name] for name in ("multifd_channels", "multifd_compression")
              if name in parameters}
    # so little may be left for the last round that there are some before it
    here.multifd(capabilities, **{"max_bandwidth": 0, "downtime_limit": 1, **parameters})
    there.multifd(**shared)
    if uri == "tls":
        encrypt(here, there)
    here.qmp("migrate", uri=there.listen("unix" if uri == "unix" else "tcp"))
    go_on(here, timeout)
    said = here.until("completed", timeout=timeout)
    there.until("completed")
    matrix.TRANSCRIPT.write(f"    {json.dumps(said)}\n")
    if module:
        by_module(here, said["ram"])
    else:
        by_threads(here)
    same_memory(here, there)
    same_registers(here, there)
    if also:
        also()
    there.qmp("cont")
    there.work()
    return said


# --- all kinds

AXES = {
    "machine": [("oldest", "pc-q35-7.2"), ("stable", "pc-i440fx-8.0"), ("stable", "pc-q35-8.2"),
                ("stable", "pc-q35-9.0"), ("stable", "pc-q35-10.0"), ("newest", "pc-q35-10.0")],
    "compression": ["none", "zlib", "zstd"],
    "detection": ["none", "legacy", "multifd"],
    "channels": [1, 4, 16],
    "memory": ["anonymous", "memfd", "hugetlb"],
    "uri": ["unix", "tcp", "tls"],
    "return path": [False, True],
}


def possible(one):
    """A QEMU before 9.0 does not know zero pages in packets."""
    return not (one[0][0] == "oldest" and one[2] == "multifd")


def covering(every, parts):
    """As few of them as are easily found that have whatever parts some have."""
    missing, chosen = set().union(*map(parts, every)), []
    while missing:
        chosen.append(max(every, key=lambda one: len(parts(one) & missing)))
        missing -= parts(chosen[-1])
    return chosen


def pairs(one):
    """Each two settings."""
    return set(itertools.combinations(enumerate(one), 2))


def few(one):
    """Each two settings, and the machine by itself: there are most of these."""
    return {pair for pair in pairs(one) if pair[0][0]} | {one[0]}


def combinations():
    """Some of those that are possible."""
    every = [one for one in itertools.product(*AXES.values()) if possible(one)]
    random.Random(1).shuffle(every)
    if not matrix.FULL:
        return covering(every, few)
    chosen = covering(every, pairs)
    return chosen + [one for one in every if one not in chosen][:60]


def kinds(machine, compression, detection, channels, memory, uri, answers):
    fresh_folder()
    with source(machine[1], memory=memory) as here, \
            destination(*machine, memory=memory) as there:
        here.work()
        arrives(here, there, uri, ["return-path"] if answers else (), multifd_channels=channels,
                multifd_compression=compression, zero_page_detection=detection)


for _one in combinations():
    case(" ".join((f"{_one[0][1]} to {_one[0][0]},", _one[1] + ",", f"zero pages {_one[2]},",
                   f"{_one[3]} channels,", _one[4] + ",", _one[5],
                   *(["return path"] if _one[6] else []))), *_one)(kinds)


@case("a Linux guest", quick=False)
def linux():
    fresh_folder()
    guest = {"linux": LINUX, "size": 192 * MIB}
    with source(**guest) as here, destination(**guest) as there:
        here.work(timeout=200)
        arrives(here, there, "tcp", multifd_channels=2)


def back_and_forth(times, **guest):
    """The guest goes from one of ours to a stock QEMU, and back, and so on."""
    fresh_folder()
    with contextlib.ExitStack() as both:
        here = both.enter_context(source(**guest))
        here.work()
        for number in range(times):
            name = ("destination", "source")[number % 2]
            fresh(name)
            there = both.enter_context(
                destination(**guest) if number % 2 == 0 else
                source(folder=name, incoming=True, **guest))
            arrives(here, there, ("unix", "tcp")[number // 2 % 2], module=number % 2 == 0,
                    multifd_channels=2)
            here.close()
            here = there


def under_kvm(times):
    """An emulated CPU has been seen to forget where a guest is (kvm.py): then this one comes to
    an exception, for which it is not prepared."""
    if not load_kvm():
        raise Failed("the VM's CPU has no virtualisation of its own")
    for attempts_left in (2, 1, 0):
        try:
            return back_and_forth(times, accel="kvm", options=("-no-reboot",))
        except Failed as error:
            if not emulated() or not attempts_left or \
                    not re.search("hangs at pass .* (shutdown|internal-error)", str(error)):
                raise
            print(f"# under KVM, once more: {error}", flush=True)


case("under KVM, there and back", 2)(under_kvm)
case("under KVM, there and back, 10 times", 20, quick=False)(under_kvm)


# --- memory that the guest does not have, or has given back

VIRTIO_MEM = 128 * MIB


def virtio_mem(folder, size, plugged):
    """Arguments for a guest of that size, with so much more, which it may take or not."""
    return ("-m", f"{size}B,slots=1,maxmem={size + VIRTIO_MEM}B",
            "-object", f"memory-backend-file,id=more,size={VIRTIO_MEM},share=on,"
                       f"mem-path={FOLDER}/{folder}/more",
            "-device", f"virtio-mem-pci,id=vm,memdev=more,requested-size={plugged}")


def more_memory(folder):
    """The file that has it."""
    return f"{FOLDER}/{folder}/more"


@case("memory that is discarded")
def discarded():
    """Whatever is there is the guest's no more, so that it must not be sent. The destination would
    throw it away."""
    fresh_folder()
    with source(options=virtio_mem("source", 64 * MIB, 0)) as here, \
            destination(options=virtio_mem("destination", 64 * MIB, 0)) as there:
        here.work()
        piece = os.urandom(MIB)
        with open(more_memory("source"), "r+b") as file:
            for _ in range(0, VIRTIO_MEM, MIB):
                file.write(piece)
        sent = arrives(here, there, multifd_channels=2)["ram"]["normal"]
        if sent * 4096 >= VIRTIO_MEM:
            raise Failed(f"{sent} pages were sent")


def until_equal(what, wanted, timeout=60):
    """Until it returns what is wanted."""
    deadline = time.monotonic() + timeout
    while (now := what()) != wanted:
        if time.monotonic() > deadline:
            raise Failed(f"it is {now}, and not {wanted}")
        time.sleep(0.05)


def same_more():
    """What it has of that memory, it has got."""
    if what := difference(more_memory("destination"), more_memory("source")):
        raise Failed(f"the memory that it has more: {what}")


def guest_has(qemu, memory, more):
    """So much memory, and so much of what it may have more: its drivers see to it."""
    qemu.qmp("balloon", value=memory)
    qemu.qmp("qom-set", path="/machine/peripheral/vm", property="requested-size", value=more)
    until_equal(lambda: qemu.qmp("query-balloon")["actual"], memory)
    until_equal(lambda: qemu.qmp("qom-get", path="/machine/peripheral/vm", property="size"), more)


@case("a Linux guest whose memory grows and shrinks", quick=False)
def resized():
    """Before, and after."""
    fresh_folder()
    size = 192 * MIB
    guest = {"linux": LINUX, "size": size}

    def options(folder):
        return (*virtio_mem(folder, size, 0), "-device", "virtio-balloon-pci")

    with source(options=options("source"), **guest) as here, \
            destination(options=options("destination"), **guest) as there:
        here.work(timeout=200)
        guest_has(here, size - 48 * MIB, VIRTIO_MEM)
        here.work(timeout=200)
        guest_has(here, size - 32 * MIB, VIRTIO_MEM // 2)
        arrives(here, there, "tcp", multifd_channels=2, also=same_more)
        guest_has(there, size, VIRTIO_MEM)
        there.work(timeout=200)


# --- the same figures as without

def counted(here, backend):
    """Send a guest that has stopped."""
    fresh("destination")
    with destination(**FULL) as there:
        here.multifd(max_bandwidth=0, multifd_ram_backend=backend)
        there.multifd()
        here.qmp("migrate", uri=there.listen("unix"))
        said = here.until("completed")
        there.until("completed")
        same_memory(here, there)
    if said["ram"]["remaining"]:
        raise Failed(f"{backend}: {said['ram']['remaining']} bytes remain")
    return said["ram"]


@case("the figures are those of QEMU's threads")
def figures():
    """Of much memory: QEMU's threads send a SYNC whenever there is nothing to do for them, so
    that a part of theirs is chance."""
    fresh_folder()
    with source(**FULL) as here:
        here.work()
        here.qmp("stop")
        then = data_pages(here)
        theirs = counted(here, "threads")
        by_threads(here)
        # it could not be sent again if it did not run
        here.qmp("cont")
        here.qmp("stop")
        written = data_pages(here) - then
        ours = counted(here, "kernel")
        by_module(here, ours)
    if ours["normal"] + ours["duplicate"] != theirs["normal"] + theirs["duplicate"]:
        raise Failed(f"{ours}, and {theirs} without")
    if ours["normal"] - theirs["normal"] != written:
        raise Failed(f"{ours['normal']} normal pages, and {theirs['normal']} without; in between "
                     f"{written} more had data")
    if abs(ours["transferred"] / theirs["transferred"] - 1) > 0.01:
        raise Failed(f"{ours['transferred']} bytes, and {theirs['transferred']} without")


def unlimited(here, there):
    """The rest of it, as fast as it can be; memory is the same."""
    here.qmp("migrate-set-parameters", max_bandwidth=0, downtime_limit=60000)
    here.until("completed")
    there.until("completed")
    same_memory(here, there)


def limited(rate):
    """Of memory of which all is sent, also what is zero, so that it takes a while."""
    fresh_folder()
    rates = []
    with source(size=288 * MIB) as here, destination(size=288 * MIB) as there:
        here.work()
        here.multifd(max_bandwidth=rate, downtime_limit=1, zero_page_detection="none")
        there.multifd()
        here.qmp("migrate", uri=there.listen("tcp"))
        here.until("active")
        for _ in range(4):
            before = here.migration(), time.monotonic()
            time.sleep(1)
            after = here.until("active"), time.monotonic()
            rates.append((after[0]["ram"]["transferred"] - before[0]["ram"]["transferred"]) /
                         (after[1] - before[1]))
        unlimited(here, there)
    text = ", ".join(f"{one / 1e6:.1f}" for one in rates) + " MB/s"
    matrix.TRANSCRIPT.write(f"    {text}\n")
    # it may begin with more, and a busy machine is not always as fast as it may be
    if max(rates[1:]) > rate * 1.1 or max(rates[1:]) < rate * 0.9:
        raise Failed(text)


case("10 MB/s at most", 10 * 1000 * 1000)(limited)
case("50 MB/s at most", 50 * 1000 * 1000, quick=False)(limited)


@case("1 MB/s at most, told evenly")
def evenly():
    """A packet takes half a second; QEMU looks ten times a second how fast it is."""
    fresh_folder()
    with source() as here, destination() as there:
        here.work()
        here.multifd(max_bandwidth=1000 * 1000, downtime_limit=1)
        there.multifd()
        here.qmp("migrate", uri=there.listen("tcp"))
        here.until("active")
        # before that rings are filled
        time.sleep(1)
        rates = []
        for _ in range(20):
            rates.append(here.until("active")["ram"]["mbps"])
            time.sleep(0.1)
        unlimited(here, there)
    text = ", ".join(f"{one:.1f}" for one in rates) + " Mbit/s"
    matrix.TRANSCRIPT.write(f"    {text}\n")
    # nothing, or four times as much, if a packet counts when it is taken
    if min(rates) < 3 or max(rates) > 14:
        raise Failed(text)


@contextlib.contextmanager
def busy(loops):
    """So many processes that use all of the CPUs that they get."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"])
                 for _ in range(loops)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@case("switches over at a limit, on busy CPUs")
def switches_over():
    """A guest writes to 2 MiB over and over, and 2.4 MB may be left: few rounds are enough."""
    for _ in range(5 if matrix.FULL else 1):
        fresh_folder()
        with busy(4), source() as here, destination() as there:
            here.work()
            here.multifd(max_bandwidth=8 * 1000 * 1000, downtime_limit=300)
            there.multifd()
            here.qmp("migrate", uri=there.listen("tcp"))
            rounds = here.until("completed", 60)["ram"]["dirty-sync-count"]
            there.until("completed")
            same_memory(here, there)
        matrix.TRANSCRIPT.write(f"    {rounds} rounds\n")
        if rounds > 8:
            raise Failed(f"it took {rounds} rounds")


# --- how much is under way

ZERO, BEHIND = 416 * MIB, 96 * MIB


def under_way(qemu):
    """How many pages it has handed over so far, and how many of these are not dealt with."""
    text = qemu.qmp("human-monitor-command", command_line="info migrate")
    found = re.search(r"(\d+) pages handed over, (\d+) under way", text)
    return tuple(map(int, found.groups())) if found else (0, 0)


@case("what is under way behind memory that is zero")
def behind_zero():
    """It was dealt with in no time, which says nothing of how long other memory takes."""
    fresh_folder()
    with open(f"{FOLDER}/image", "wb") as image:
        image.seek(ZERO)
        for _ in range(0, BEHIND, MIB):
            image.write(os.urandom(MIB))
    with source(memory=f"{FOLDER}/image", size=ZERO + BEHIND) as here, \
            destination(size=ZERO + BEHIND) as there:
        os.unlink(f"{FOLDER}/image")
        here.work()
        # so slow that 4096 pages, which always may be under way, take longer than they should
        here.multifd(max_bandwidth=20 * 1000 * 1000, downtime_limit=1)
        there.multifd()
        here.qmp("migrate", uri=there.listen("tcp"))
        here.until("active")
        most = handed_over = 0
        while handed_over < (ZERO + BEHIND // 2) // 4096:
            handed_over, waiting = under_way(here)
            if handed_over > ZERO // 4096:
                most = max(most, waiting)
            here.until("active")
            time.sleep(0.02)
        matrix.TRANSCRIPT.write(f"    {most} pages under way\n")
        # 4096 always may be; if empty rings were filled, these count; and there is a window more
        if most > 12288:
            raise Failed(f"{most} pages are under way")
        unlimited(here, there)


# --- state of devices on the channels

DEVICES = 4


def state_devices(pieces, more=""):
    """Arguments for some, each with a thread of its own."""
    return [argument for number in range(DEVICES) for argument in (
        "-device", f"multifd-test-state,id=state{number},number={number},pieces={pieces}{more}")]


def device(qemu, number, name):
    """What one of them says."""
    return qemu.qmp("qom-get", path=f"/machine/peripheral/state{number}", property=name)


def state_has_come(there, pieces):
    """All that the source's devices have handed over, whole."""
    for number in range(DEVICES):
        if (device(there, number, "received"), device(there, number, "wrong")) != (pieces, 0):
            raise Failed(f"device {number} has got {device(there, number, 'received')} pieces "
                         f"of {pieces}, and {device(there, number, 'wrong')} wrong ones")


def with_state(backend, pieces):
    """10 MiB of each device, in pieces of up to 1 MiB. A network card is there, too: it does not
    start if tools/qemu/build has not brought its ROM."""
    fresh_folder()
    options = [*state_devices(pieces), "-device", "virtio-net-pci"]
    with source(backend=backend, qemu=STATE, options=options) as here, \
            destination(qemu=STATE, options=options) as there:
        here.work()
        arrives(here, there, module=backend == "kernel", multifd_channels=3)
        state_has_come(there, pieces)


case("state on the channels", "kernel", 36)(with_state)
case("state on the channels, QEMU's threads", "threads", 36, quick=False)(with_state)


def held_back(here, enough):
    """Until it hands over nothing more, and it is enough. Meanwhile it does not answer."""
    before, deadline = None, time.monotonic() + 60
    while True:
        session = (SESSIONS.now() or [{}])[0]
        now = {name: session.get(name, 0) for name in ("memory", "jobs-unfinished")}
        if now == before and enough(now):
            break
        if time.monotonic() > deadline:
            raise Failed(f"not enough has to wait: {session}, {here.said()}")
        before = now
        time.sleep(0.3)
    matrix.TRANSCRIPT.write(f"    held back: {now}\n")
    if now["memory"] > 32 * MIB:
        raise Failed(f"too much is under way: {session}")


def state_waits(pieces, more, enough):
    """A destination that takes none for a while. Meanwhile what is under way is not so much that
    the source's kernel could have trouble with it."""
    fresh_folder()
    go = f"{FOLDER}/go"
    with source(qemu=STATE, options=state_devices(pieces, more)) as here, \
            destination(qemu=STATE,
                        options=state_devices(pieces, f"{more},wait-for={go}")) as there:
        here.work()
        here.multifd(max_bandwidth=0, downtime_limit=60000)
        there.multifd()
        here.qmp("migrate", uri=there.listen("unix"))
        held_back(here, enough)
        with open(go, "wb"):
            pass
        here.until("completed")
        there.until("completed")
        state_has_come(there, pieces)
        same_memory(here, there)


case("state that has to wait", 36, "", lambda held: held["memory"] > 8 * MIB)(state_waits)
case("state that has to wait, in small pieces", 3000, ",small=on",
     lambda held: held["jobs-unfinished"] > 3000)(state_waits)


@case("refused: by a device")
def unready():
    """When it is to save itself."""
    fresh_folder()
    with source(qemu=STATE, options=state_devices(1, ",refuses=on")) as here:
        here.work()
        here.multifd()
        with is_refused("multifd-test-state 0 refuses"):
            here.qmp("migrate", uri=f"unix:{FOLDER}/nobody")
        no_session()
        here.work()


# --- what cannot be done is said before anything is done

def refused(pattern, capabilities=(), uri=None, options=(), **parameters):
    """By QEMU itself when it is set, or else when it is to begin; the guest works on."""
    fresh_folder()
    with source(options=options) as here:
        here.work()
        with is_refused(pattern, re.I):
            here.multifd(capabilities, **parameters)
            here.qmp("migrate", uri=uri or f"unix:{FOLDER}/nobody")
        if SESSIONS.events(here.process.pid):
            raise Failed("the module has had a session")
        here.work()


NO_DEVICE = ("-global", "migration.multifd-ram-device=/dev/nothing")


@case("refused: no device")
def no_device():
    refused("Could not open '/dev/nothing'", options=NO_DEVICE)


@case("refused: another device")
def other_device():
    refused("another kind of device", options=("-global", "migration.multifd-ram-device=/dev/null"))


for _name, _pattern in (("zero-copy-send", "capability zero-copy-send"),
                        ("postcopy-ram", "postcopy"), ("x-colo", "colo"),
                        ("xbzrle", "xbzrle"), ("background-snapshot", "background-snapshot")):
    case(f"refused: {_name}", _pattern, [_name], quick=_name == "zero-copy-send")(refused)


@case("refused: into a file")
def mapped():
    refused("capability mapped-ram", ["mapped-ram"], f"file:{FOLDER}/image")


@case("refused: a level that the kernel has not")
def level():
    refused("levels", multifd_compression="zstd", multifd_zstd_level=20)


LITTLE = 32 << 10


@case("too little locked memory, 20 times, then with fewer channels")
def memlock():
    """Sixteen channels need a page each, at least; for one, this is a packet of eight pages."""
    fresh_folder()
    with source(before=limited_to(LITTLE)) as here, destination() as there:
        here.work()
        here.multifd(max_bandwidth=0, multifd_channels=16)
        for _ in range(20):
            with is_refused("cannot set up the migration: Cannot allocate memory"):
                here.qmp("migrate", uri=f"unix:{FOLDER}/nobody")
            no_session()
        here.work()
        arrives(here, there, multifd_channels=1)
        if (locked := SESSIONS.last(here.process.pid, "session-ended")["memlock"]) != LITTLE:
            raise Failed(f"{locked} bytes were locked")


def add_device(qemu):
    """As /dev/fdset/1 it has the device."""
    fd = os.open("/dev/multifd_zp", os.O_RDWR)
    try:
        qemu.qmp("add-fd", fds=[fd], fdset_id=1)
    finally:
        os.close(fd)


@case("a device that QEMU is given, for one attempt")
def given():
    fresh_folder()
    with source(options=("-global", "migration.multifd-ram-device=/dev/fdset/1")) as here, \
            destination() as there:
        here.work()
        here.multifd(max_bandwidth=0)
        add_device(here)
        here.qmp("migrate", uri=f"unix:{FOLDER}/nobody")
        here.until("failed")
        try:
            here.qmp("migrate", uri=f"unix:{FOLDER}/nobody")
        except Failed as error:
            if "Device or resource busy" not in str(error):
                raise
        else:
            raise Failed("what was used is taken again")
        here.qmp("remove-fd", fdset_id=1)
        no_session()
        add_device(here)
        here.work()
        arrives(here, there)


@case("auto, no device: threads, and a warning")
def fallback():
    fresh_folder()
    with source(backend="auto", options=NO_DEVICE) as here, destination() as there:
        here.work()
        arrives(here, there, module=False)
        if "warning: Could not open '/dev/nothing'" not in here.said():
            raise Failed(f"it says {here.said()}")


@case("without multifd, the parameter has no effect")
def no_multifd():
    fresh_folder()
    with source() as here, destination() as there:
        here.work()
        here.qmp("migrate-set-parameters", max_bandwidth=0)
        here.qmp("migrate", uri=there.listen("unix"))
        here.until("completed")
        there.until("completed")
        by_threads(here)
        same_memory(here, there)


def on_and_on():
    """From one of ours to the next, and then to a stock QEMU: each begins anew."""
    fresh_folder()
    with source() as first, \
            Guest(OURS, f"{FOLDER}/destination", "pc-q35-10.0", SECTOR, incoming=True) as second:
        first.work()
        arrives(first, second)
        first.close()
        fresh("source")
        with Guest(QEMU["stable"], f"{FOLDER}/source", "pc-q35-10.0", SECTOR,
                   incoming=True) as third:
            arrives(second, third, "tcp", multifd_ram_backend="kernel")


case("from one of ours to the next, and on")(on_and_on)


# --- what goes wrong before it is connected: nothing is left of it

def no_session():
    """Now, and not some time later."""
    if left := SESSIONS.now():
        raise Failed(f"the module still has a session: {left[0]}")


def module_goes():
    """It can be removed; and comes again."""
    global SESSIONS
    SESSIONS.close()
    subprocess.run(["rmmod", "multifd_zp"], check=True)
    subprocess.run(["insmod", MODULE], check=True)
    SESSIONS = listen()


@case("nobody listens")
def nobody():
    fresh_folder()
    with source() as here:
        here.work()
        for uri in ("tcp:127.0.0.1:9", f"unix:{FOLDER}/nobody"):
            for _ in range(TIMES):
                here.multifd(max_bandwidth=0)
                here.qmp("migrate", uri=uri)
                here.until("failed")
                no_session()
            module_goes()
        here.work()
        with destination() as there:
            arrives(here, there)


@contextlib.contextmanager
def deaf(path):
    """A socket that listens, but who connects to it waits until its end."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        yield f"unix:{path}"


@case("cancelled while it connects")
def unconnected():
    """QEMU does not begin anew before the first attempt has come to an end."""
    for _ in range(TIMES):
        fresh_folder()
        with source() as here, destination() as there:
            here.work()
            here.multifd(max_bandwidth=0)
            with deaf(f"{FOLDER}/deaf") as uri:
                here.qmp("migrate", uri=uri)
                here.until("setup")
                if not SESSIONS.now():
                    raise Failed("there is no session")
                here.qmp("migrate_cancel")
                here.until("cancelled")
                no_session()
                try:
                    here.qmp("migrate", uri=uri)
                except Failed as error:
                    if "duplicate yank instance" not in str(error):
                        raise
                else:
                    raise Failed("it begins anew")
                no_session()
            here.until("failed")
            here.work()
            arrives(here, there)


# --- what goes wrong on the way: the guest runs on, and the next attempt succeeds

def goes_wrong(what, state, before=()):
    """`what` is done to both when the migration is under way."""
    for _ in range(TIMES):
        fresh_folder()
        with source(before=before) as here:
            here.work()
            here.multifd(max_bandwidth=5 * 1000 * 1000)
            with destination() as there:
                there.multifd()
                here.qmp("migrate", uri=there.listen("tcp"))
                here.until("active")
                time.sleep(random.uniform(0, 1))
                what(here, there)
                here.until(state, timeout=20)
            SESSIONS.last(here.process.pid, "session-failed")
            here.work()
            fresh("destination")
            with destination() as there:
                arrives(here, there, "tcp")


def cancel(here, _):
    here.qmp("migrate_cancel")


def kill(_, there):
    there.process.kill()


def yank(here, _):
    here.qmp("yank", instances=[{"type": "migration"}])


def second_cpu(online):
    """Take it away, or bring it back."""
    with open("/sys/devices/system/cpu/cpu1/online", "w", encoding="ascii") as file:
        file.write(str(int(online)))


def is_held(here, _):
    """The module cannot be removed, and the CPU can."""
    if subprocess.run(["rmmod", "multifd_zp"], check=False, capture_output=True).returncode == 0:
        raise Failed("the module was removed")
    second_cpu(False)
    time.sleep(0.2)
    second_cpu(True)
    here.qmp("migrate_cancel")


case("cancelled", cancel, "cancelled")(goes_wrong)
case("the destination is killed", kill, "failed")(goes_wrong)
case("yanked", yank, "failed")(goes_wrong)
case("module held, CPU offline, cancelled", is_held, "cancelled")(goes_wrong)
case("8 MiB of locked memory, cancelled", cancel, "cancelled", limited_to(8 << 20),
     quick=False)(goes_wrong)


if __name__ == "__main__":
    with open("/proc/sys/vm/nr_hugepages", "w", encoding="ascii") as hugepages:
        hugepages.write("80")
    SESSIONS = listen()
    try:
        sys.exit(matrix.main())
    finally:
        SESSIONS.close()
        shutil.rmtree(FOLDER, ignore_errors=True)

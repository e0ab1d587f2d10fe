#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Migrations into mfdrecv; run by tests/interop/run-recv.

What comes from a stock QEMU needs no module, and is run where we are. With
MZP_IN_VM set, it is what comes from mfdsend and so from the module.
"""

import functools
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

import matrix
import tls
from matrix import PAGE, QEMU, UUID, Failed, case, difference, image
from qemu import end
from qemu_source import Source

IN_VM = "MZP_IN_VM" in os.environ
FOLDER = matrix.FOLDER = "/dev/shm/recv"
# Made once for all cases.
CREDENTIALS = f"{FOLDER}.tls"
BUILD = matrix.BUILD = os.environ.get("MZP_BUILD", matrix.BUILD)
PAGES = 6146
METHODS = ("none", "zlib", "zstd")
# Only ours are wanted.
matrix.CASES.clear()


class Receiver:
    """mfdrecv at work."""

    def __init__(self, *options, blocks=(("ram0", PAGES),), uri="unix", stdout=None, under=()):
        self.blocks = blocks
        self.stats_file = f"{FOLDER}/stats"
        self.messages = f"{FOLDER}/receiver.messages"
        arguments = [*under, f"{BUILD}/mfdrecv", "--stats-json", self.stats_file, "--listen",
                     {"unix": f"unix:{FOLDER}/migration", "tcp": "tcp:127.0.0.1:0"}.get(uri, uri)]
        for idstr, pages in blocks:
            arguments += ["--block", f"{idstr}={self.memory(idstr)}:{pages * PAGE}"]
        with open(self.messages, "wb") as log, open(stdout or self.messages, "ab") as out:
            self.process = subprocess.Popen([*arguments, *(str(o) for o in options)],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=log)
        deadline = time.monotonic() + matrix.PROMPT
        while not (found := re.search(r"listening at (\S+)", self.said())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"mfdrecv does not listen: {self.said()}")
            time.sleep(0.01)
        self.address = found.group(1)

    def memory(self, idstr):
        """Path of the file with a block's memory."""
        return f"{FOLDER}/{idstr.replace('/', '_')}.received"

    def said(self):
        """What it wrote, on one line."""
        return matrix.said(self.messages)

    def wait(self, timeout=100):
        """Its exit status."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"mfdrecv hangs: {self.said()[-600:]}") from error

    def must_work(self):
        """It succeeds. Returns its counters."""
        if self.wait():
            raise Failed(f"mfdrecv fails: {self.said()[-600:]}")
        with open(self.stats_file, encoding="utf-8") as stats:
            counters = json.load(stats)
        if not counters["complete"]:
            raise Failed("mfdrecv exits with 0, but says incomplete")
        return counters

    def must_fail(self, pattern):
        """It fails by itself, and says why."""
        status = self.wait(matrix.PROMPT)
        if status != 1:
            raise Failed(f"mfdrecv ends with {status}: {self.said()[-600:]}")
        if not re.search(pattern, self.said()):
            raise Failed(f"mfdrecv gives another reason: {self.said()[-600:]}")
        with open(self.stats_file, encoding="utf-8") as stats:
            if json.load(stats)["complete"]:
                raise Failed("mfdrecv fails, but says complete")

    def compare(self, expected):
        """All blocks byte for byte; `expected` maps an idstr to a file."""
        for idstr, _ in self.blocks:
            what = difference(self.memory(idstr), expected(idstr))
            if what:
                raise Failed(f"{idstr}: {what}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)
        for idstr, _ in self.blocks:
            if os.path.exists(self.memory(idstr)):
                os.unlink(self.memory(idstr))


def fresh_folder():
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.mkdir(FOLDER)


def source(version, channels, method, zero=None, capabilities=(), options=(), memory=None,
           size=PAGES * PAGE):
    """A stock source with the usual image, or with all its RAM in `options`."""
    settings = {"multifd_channels": channels, "multifd_compression": method}
    if zero:
        settings["zero_page_detection"] = zero
    it = Source(QEMU[version], FOLDER, memory or (None if options else image("ram0", PAGES)),
                size, options, **settings)
    if capabilities:
        it.qmp("migrate-set-capabilities",
               capabilities=[{"capability": c, "state": on} for c, on in capabilities])
    return it


def usual(_):
    return image("ram0", PAGES)


# --- stock sources

def stock(version, zero, method, channels):
    fresh_folder()
    # every other time nothing is known of the source
    options = ("--compat", matrix.COMPAT[version]) if channels == 1 else ("--uuid", "0" * 32)
    uri = "tcp" if method == "none" else "unix"
    with Receiver("--channels", channels, "--method", method, *options, uri=uri) as receiver, \
            source(version, channels, method, zero) as sender:
        sender.migrate(receiver.address)
        counters = receiver.must_work()
        sender.wait()
        receiver.compare(usual)
    if counters["normal"] + counters["zero"] < PAGES:
        raise Failed(f"only {counters['normal']} and {counters['zero']} pages are counted")
    if len([c for c in counters["channels"] if c["normal"]]) < channels:
        raise Failed("a channel had nothing to do")


for _version, _zeros in (("oldest", (None,)), ("stable", ("none", "legacy", "multifd")),
                         ("newest", ("none", "legacy", "multifd"))):
    for _zero in _zeros:
        for _method in METHODS:
            for _channels in (1, 4):
                if not IN_VM:
                    case(f"from QEMU {_version}, {_method}, {_zero or 'legacy'}, "
                         f"channels: {_channels}",
                         _version, _zero, _method, _channels)(stock)


def return_path(version, method, ack=None):
    """The source is told that all has arrived; it may ask to be told more before it ends."""
    fresh_folder()
    capabilities = [("return-path", True)] + ([("switchover-ack", True)] if ack else [])
    options = ("--switchover-ack",) if ack == "told" else ()
    with Receiver("--method", method, *options, uri="tcp" if ack else "unix") as receiver, \
            source(version, 2, method, capabilities=capabilities) as sender:
        sender.migrate(receiver.address)
        receiver.must_work()
        sender.wait()
        receiver.compare(usual)


for _version in ("oldest", "stable", "newest"):
    if not IN_VM:
        case(f"return path, QEMU {_version}", _version, "none")(return_path)
if not IN_VM:
    case("return path, the stable QEMU, switchover-ack, zstd", "stable", "zstd", "told")(return_path)
    # without a device that wants it
    case("return path, the newest QEMU, switchover-ack, zlib", "newest", "zlib", "not told")(return_path)


def told_of_failure(version, options, pattern, blocks=(("ram0", PAGES),)):
    """The source learns that the destination has failed, and goes on."""
    fresh_folder()
    with Receiver(*options, blocks=blocks) as receiver, \
            source(version, 2, "none", capabilities=(("return-path", True),)) as sender:
        sender.migrate(receiver.address)
        receiver.must_fail(pattern)
        deadline = time.monotonic() + matrix.PROMPT
        while sender.status() in ("none", "setup", "active", "device", "completing"):
            if time.monotonic() > deadline:
                raise Failed("the source does not learn of the failure")
            time.sleep(0.1)
        if sender.status() != "failed":
            raise Failed(f"the source says {sender.status()}")


# When mfdrecv refuses: at the beginning, or when the source has sent all and waits.
REFUSALS = {"at the set-up": ((), "unknown block", (("ramX", PAGES),)),
            "at the end": (("--device-state", "/dev/full"), "No space left on device")}


def again_and_again(function, *arguments):
    """What depends on who comes first may go well once."""
    for number in range(20):
        try:
            function(*arguments)
        except Failed as error:
            raise Failed(f"time {number + 1} of 20: {error}") from error


for _version in ("oldest", "stable", "newest"):
    if not IN_VM:
        case(f"return path, QEMU {_version}, 20 times", return_path, _version, "none",
             quick=False)(again_and_again)
        for _when, _refusal in REFUSALS.items():
            case(f"return path, QEMU {_version}, failure {_when}",
                 _version, *_refusal)(told_of_failure)
            case(f"return path, QEMU {_version}, failure {_when}, 20 times",
                 told_of_failure, _version, *_refusal, quick=False)(again_and_again)
if not IN_VM:
    case("return path, the stable QEMU, switchover-ack, 20 times", return_path, "stable", "none", "told",
         quick=False)(again_and_again)
    case("return path, the newest QEMU, switchover-ack, 20 times", return_path, "newest", "none",
         "not told", quick=False)(again_and_again)


def valgrind(method, refuse):
    """What valgrind finds becomes the exit status; that mfdrecv does not end with."""
    fresh_folder()
    options = ("--uuid", UUID) if refuse else ("--device-state", f"{FOLDER}/devices")
    with Receiver("--method", method, *options, under=matrix.VALGRIND) as receiver, \
            source("stable", 2, method, capabilities=(("return-path", True),)) as sender:
        sender.migrate(receiver.address)
        if refuse:
            receiver.must_fail("another UUID")
            return
        receiver.must_work()
        sender.wait()
        receiver.compare(usual)


if not IN_VM:
    for _method in METHODS:
        case(f"under valgrind, {_method}", _method, False)(valgrind)
    case("under valgrind, refused", "none", True)(valgrind)


def sparse(zero):
    """16 GiB of which 64 MiB hold data.

    The source's memory is anonymous, since a QEMU that looks for zero pages in a
    file's holes allocates them. Loaders put the data there.
    """
    size, data, places = 16 << 30, 64 << 20, 16
    fresh_folder()
    part, options = data // places, []
    with open(f"{FOLDER}/data", "wb") as out:
        out.write(os.urandom(part))
    offsets = [n * (size // places) + n * 37 * PAGE for n in range(places)]
    for offset in offsets:
        options += ["-device", f"loader,file={FOLDER}/data,addr={offset},force-raw=on"]
    options += ["-S", "-machine", "none,memory-backend=ram0", "-m", f"{size}B",
                "-object", f"memory-backend-ram,id=ram0,size={size}"]
    with Receiver(blocks=(("ram0", size // PAGE),)) as receiver, \
            source("stable", 2, "none", zero, options=options) as sender:
        sender.migrate(receiver.address)
        counters = receiver.must_work()
        sender.wait()
        allocated = os.stat(receiver.memory("ram0")).st_blocks * 512
        what = only_copies(receiver.memory("ram0"), f"{FOLDER}/data", offsets)
    if what:
        raise Failed(what)
    if allocated != data:
        raise Failed(f"{allocated >> 10} KiB are allocated, not {data >> 10}")
    if counters["zero"] < (size - data) // PAGE or counters["cleared"]:
        raise Failed(f"{counters['zero']} zero pages, {counters['cleared']} cleared")


def only_copies(path, part, offsets):
    """None if a file is copies of `part` at these offsets, and else holes."""
    with open(path, "rb") as memory, open(part, "rb") as out:
        expected, at = out.read(), 0
        for offset in offsets:
            try:
                at = os.lseek(memory.fileno(), at, os.SEEK_DATA)
            except OSError:
                return f"there is no data behind {at}"
            if at != offset:
                return f"there is data at {at}"
            if os.pread(memory.fileno(), len(expected), at) != expected:
                return f"the data at {at} is wrong"
            at += len(expected)
    return None


if not IN_VM:
    case("16 GiB with 64 MiB of data, multifd", "multifd")(sparse)
    case("16 GiB with 64 MiB of data, legacy", "legacy")(sparse)


def ram_blocks(qmp):
    """Name and used length of each of a QEMU's RAM blocks."""
    text = qmp("human-monitor-command", command_line="info ramblock")
    return [(m.group(1), int(m.group(2), 16)) for m in re.finditer(
        r"^\s*(\S+)\s+\d+ \wiB\s+0x\w+ (0x\w+) 0x\w+", text, re.M)]


def go_on(sender, rounds):
    """Let it send what was written meanwhile as often as that, if it needs so many."""
    deadline = time.monotonic() + 200
    while sender.qmp("query-migrate").get("ram", {}).get("dirty-sync-count", 0) < rounds and \
            sender.status() in ("setup", "active"):
        if time.monotonic() > deadline:
            raise Failed("the source does not get on")
        time.sleep(0.1)
    sender.qmp("migrate-set-parameters", max_bandwidth=1 << 40, downtime_limit=100000)


def guest(version, machine, method, keep, live):
    """A guest that has booted, with all its devices; if `live`, it goes on working.

    Not with the oldest: when it emulates, it now and then forgets that a page was written
    while it migrates, also to a destination of its own kind.
    """
    fresh_folder()
    memory, size = f"{FOLDER}/guest", 192 << 20
    options = ["-machine", f"{machine},memory-backend=pc.ram", "-m", f"{size}B", "-smp", "2",
               "-cpu", "max", "-object",
               f"memory-backend-file,id=pc.ram,size={size},share=on,mem-path={memory}",
               "-kernel", f"{os.environ['MZP_KERNEL']}/vmlinux",
               "-initrd", os.environ["MZP_INITRD"], "-append",
               "console=ttyS0 loglevel=3 panic=-1 mitigations=off random.trust_cpu=on",
               "-serial", f"file:{FOLDER}/console", "-device", "virtio-rng-pci"]
    with source(version, 2, method, options=options) as sender:
        deadline = time.monotonic() + 200
        while not os.path.exists(f"{FOLDER}/console") or \
                "at work" not in matrix.said(f"{FOLDER}/console"):
            if time.monotonic() > deadline:
                raise Failed("the guest does not boot: " +
                             matrix.said(f"{FOLDER}/console")[-300:])
            time.sleep(0.2)
        if not live:
            sender.qmp("stop")
        blocks = [(idstr, length // PAGE) for idstr, length in ram_blocks(sender.qmp)]
        # so little may be left for the last round that there are some before it
        sender.qmp("migrate-set-parameters", max_bandwidth=32 << 20, downtime_limit=1)
        options = ("--device-state", f"{FOLDER}/devices") if keep else ()
        with Receiver("--method", method, "--compat", machine.rsplit("-", 1)[1],
                      "--machine", machine, *options, blocks=blocks) as receiver:
            sender.migrate(receiver.address)
            go_on(sender, 5)
            counters = receiver.must_work()
            sender.wait()
            # it does not run any more, so the file is what it was when it stopped
            what = difference(receiver.memory("pc.ram"), memory)
            if what:
                raise Failed(f"pc.ram: {what}")
    if keep:
        devices(counters["device_bytes"])


def virtio_mem(version, machine):
    """A device whose section comes ahead of RAM; and a return path, since nothing else waits."""
    fresh_folder()
    memory, size = f"{FOLDER}/guest", 64 << 20
    options = ["-machine", f"{machine},memory-backend=pc.ram", "-m", f"{size}B,maxmem=1G", "-S",
               "-object", f"memory-backend-file,id=pc.ram,size={size},share=on,mem-path={memory}",
               "-object", "memory-backend-ram,id=more,size=128M", "-device",
               "virtio-mem-pci,id=vm,memdev=more,block-size=2M,requested-size=64M"]
    with source(version, 2, "none", capabilities=(("return-path", True),),
                options=options) as sender:
        blocks = [(idstr, length // PAGE) for idstr, length in ram_blocks(sender.qmp)]
        with Receiver("--machine", machine, "--device-state", f"{FOLDER}/devices",
                      blocks=blocks) as receiver:
            sender.migrate(receiver.address)
            counters = receiver.must_work()
            sender.wait()
            what = difference(receiver.memory("pc.ram"), memory)
            if what:
                raise Failed(f"pc.ram: {what}")
    devices(counters["device_bytes"], r".*virtio-mem-device-early")


def devices(size, expected="timer"):
    """What was captured is the devices' part of a QEMU stream."""
    with open(f"{FOLDER}/devices", "rb") as state:
        data = state.read()
    if len(data) != size:
        raise Failed(f"{len(data)} bytes of device state, not {size}")
    # end marker, type and length of the description
    found = re.search(rb'\x00\x06(....)(\{"(?:configuration|page_size)".*)', data, re.S)
    if not found or len(found.group(2)) != int.from_bytes(found.group(1), "big"):
        raise Failed("it does not end with a description")
    description = json.loads(found.group(2))
    names = [device["name"] for device in description["devices"]]
    # the first section that is no RAM, with its header: type, id, name
    first = data[6:6 + data[5]].decode()
    if data[0] != 4 or first != names[0] or not re.fullmatch(expected, first) or \
            "cpu" not in names:
        raise Failed(f"it begins with {first}, and describes {names}")


if not IN_VM:
    case("a guest at work in the stable QEMU, device state kept",
         "stable", "pc-q35-10.0", "none", True, True)(guest)
    case("virtio-mem in the stable QEMU, return path", "stable", "pc-q35-10.0")(virtio_mem)
    case("virtio-mem in the newest QEMU as pc-i440fx-8.1, return path",
         "newest", "pc-i440fx-8.1")(virtio_mem)
    case("a guest at work in the newest QEMU as pc-i440fx-8.0, zlib",
         "newest", "pc-i440fx-8.0", "zlib", False, True)(guest)
    case("a stopped guest in the oldest QEMU, zstd, device state dropped",
         "oldest", "pc-i440fx-7.2", "zstd", False, False)(guest)


# --- what must not be taken for a migration

def refused(version, pattern, receiver_options=(), channels=2, method="none", zero=None,
            capabilities=(), blocks=(("ram0", PAGES),), options=()):
    fresh_folder()
    with Receiver("--timeout", 5, *receiver_options, blocks=blocks) as receiver, \
            source(version, channels, method, zero, capabilities) as sender:
        sender.migrate(receiver.address)
        receiver.must_fail(pattern)


for _name, _pattern, _settings in (
        ("an older version than was said", "flushes in another way",
         {"version": "oldest", "receiver_options": ("--compat", "10.0")}),
        ("a newer version than was said", "flushes in another way",
         {"version": "stable", "receiver_options": ("--compat", "8.0")}),
        ("another method", r"channel \d, packet \d+: another compression method",
         {"version": "stable", "method": "zstd", "receiver_options": ("--method", "zlib")}),
        ("a method where none is", r"channel \d, packet \d+: another compression method",
         {"version": "oldest", "method": "zlib"}),
        ("more channels", "channel id out of range|more connections",
         {"version": "stable", "channels": 5}),
        ("fewer channels", "sent nothing",
         {"version": "stable", "channels": 1}),
        ("no multifd", "sent nothing",
         {"version": "stable", "capabilities": (("multifd", False),)}),
        ("another UUID", "another UUID",
         {"version": "stable", "receiver_options": ("--uuid", UUID)}),
        ("another machine type", "another machine type",
         {"version": "stable", "receiver_options": ("--machine", "pc-q35-10.0")}),
        ("another block", r"unknown block \(ram0, \d+ bytes",
         {"version": "stable", "blocks": (("ramX", PAGES),)}),
        ("a block less", "does not have this block",
         {"version": "stable", "blocks": (("ram0", PAGES), ("ram1", 1))}),
        ("a larger block", "a block has another length",
         {"version": "stable", "blocks": (("ram0", PAGES - 2),)}),
        ("a smaller block", "a block has another length",
         {"version": "oldest", "blocks": (("ram0", PAGES + 2),)}),
        ("postcopy", "postcopy-ram",
         {"version": "newest", "capabilities": (("postcopy-ram", True),)})):
    if not IN_VM:
        case(f"refused: {_name}", _settings.pop("version"), _pattern, *(
            _settings.pop(k, d) for k, d in (
                ("receiver_options", ()), ("channels", 2), ("method", "none"), ("zero", None),
                ("capabilities", ()), ("blocks", (("ram0", PAGES),)))))(refused)


def stock_case(name):
    """A case that needs no more than a stock QEMU."""
    return case(name) if not IN_VM else lambda function: function


@stock_case("a summary that cannot be written")
def unreported():
    fresh_folder()
    with Receiver(stdout="/dev/full") as receiver, source("stable", 2, "none") as sender:
        sender.migrate(receiver.address)
        sender.wait()
        if receiver.wait() != 3 or "standard output: No space left" not in receiver.said():
            raise Failed(f"status {receiver.wait()}: {receiver.said()}")
        receiver.compare(usual)


@stock_case("cancelled by a signal")
def cancelled():
    for number in (signal.SIGINT, signal.SIGTERM):
        fresh_folder()
        with Receiver() as receiver:
            receiver.process.send_signal(number)
            receiver.must_fail(rf"the migration was cancelled \({number.name}\)")
            if os.path.exists(f"{FOLDER}/migration"):
                raise Failed("the socket is left behind")


@stock_case("strangers before the source")
def strangers():
    fresh_folder()
    with Receiver() as receiver, source("stable", 2, "none") as sender:
        for word in (b"GET / HTTP/1.0\r\n\r\n", b""):
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.connect(f"{FOLDER}/migration")
                stranger.send(word)
        sender.migrate(receiver.address)
        if (counters := receiver.must_work())["strangers"] != 2:
            raise Failed(f"{counters['strangers']} strangers are counted, not 2")
        sender.wait()
        receiver.compare(usual)


# --- encrypted

@functools.cache
def credentials():
    """All that there are, good and bad, by name."""
    shutil.rmtree(CREDENTIALS, ignore_errors=True)
    ca, other = (tls.Authority(f"{CREDENTIALS}/{name}", name) for name in ("ca", "another"))
    # to a destination it looks as if it was the right one
    forged = tls.Authority(f"{CREDENTIALS}/forged", "ca")
    return {
        "x509": ca.certificates(f"{CREDENTIALS}/good"),
        "psk": tls.Keys(f"{CREDENTIALS}/psk", users=("qemu", "another")),
        "no certificate": ca.certificates(f"{CREDENTIALS}/bare", sides=()),
        "a certificate of another CA": other.certificates(f"{CREDENTIALS}/foreign",
                                                          trust=(ca, other)),
        "a forged certificate": forged.certificates(f"{CREDENTIALS}/forgery",
                                                    trust=(ca, forged)),
        "a certificate that is too old": ca.certificates(f"{CREDENTIALS}/old", expired=True),
        "trust in another CA": ca.certificates(f"{CREDENTIALS}/alien", trust=(other,)),
        "another key": tls.Keys(f"{CREDENTIALS}/wrong", users=("qemu",)),
        "another user": tls.Keys(f"{CREDENTIALS}/unknown", users=("nobody",)),
    }


def secure(version, creds, method="none", capabilities=(), hostname=tls.NAME, **properties):
    """A stock source that encrypts."""
    it = source(version, 2, method, capabilities=capabilities, memory=image("ram0", PAGES),
                options=creds.object("client", **properties))
    it.qmp("migrate-set-parameters", **creds.settings(hostname))
    return it


def encrypted(version, kind, method, uri, returns, under=()):
    """The name of the destination is that in tls-hostname, or its address."""
    fresh_folder()
    creds = credentials()[kind]
    with Receiver("--method", method, *creds.destination, uri=uri, under=under) as receiver, \
            secure(version, creds, method, (("return-path", returns),),
                   None if uri == "tcp" else tls.NAME) as sender:
        sender.migrate(receiver.address)
        counters = receiver.must_work()
        sender.wait()
        receiver.compare(usual)
    if "TLS1.3" not in counters.get("tls", ""):
        raise Failed(f"the counters say of encryption: {counters.get('tls')}")
    for what in ("encrypted: (TLS1.3", "3 connections"):
        if what not in receiver.said():
            raise Failed(f"the summary does not say {what}: {receiver.said()}")


# Each pair of values is there.
for _version, _kind, _method, _uri, _returns in (
        ("oldest", "x509", "none", "tcp", True), ("oldest", "psk", "zstd", "unix", False),
        ("stable", "x509", "zstd", "tcp", False), ("stable", "psk", "none", "unix", True),
        ("newest", "x509", "none", "unix", False), ("newest", "psk", "zstd", "tcp", True)):
    if not IN_VM:
        _name = (f"TLS, {_kind}, from QEMU {_version}, {_method}, {_uri}"
                 f"{', return path' if _returns else ''}")
        case(_name, _version, _kind, _method, _uri, _returns)(encrypted)
        case(f"{_name}, 20 times", encrypted, _version, _kind, _method, _uri, _returns,
             quick=False)(again_and_again)
for _version in ("oldest", "stable", "newest"):
    for _method in METHODS:
        for _returns in (False, True):
            if not IN_VM:
                case(f"TLS, all of it: x509, from QEMU {_version}, {_method}, "
                     f"return path: {_returns}", _version, "x509", _method, "tcp", _returns,
                     quick=False)(encrypted)
if not IN_VM:
    case("TLS under valgrind", "stable", "x509", "none", "unix", True,
         matrix.VALGRIND)(encrypted)


def turned_away(receiver, pattern, timeout=matrix.PROMPT):
    """It says so, and why."""
    deadline = time.monotonic() + timeout
    while not re.search(f"turned away: [^|]*{pattern}", receiver.said()):
        if receiver.process.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"nobody is turned away like that: {receiver.said()}")
        time.sleep(0.01)


def must_give_up(sender):
    """A source that was refused does not take that for success."""
    sender.until("failed", matrix.PROMPT)


def careless(version, creds):
    """A source that does not look whether its certificate is one that will be accepted."""
    properties = {"sanity_check": False} if isinstance(creds, tls.Certificates) else {}
    return secure(version, creds, **properties)


def unwelcome(version, here, there, pattern):
    """A source that has nothing, or not what it should have, to identify itself with.

    here   what the destination has, or None: nothing is encrypted
    there  the source
    """
    fresh_folder()
    options = credentials()[here].destination if here else ()
    with Receiver(*options, uri="tcp") as receiver:
        with careless(version, credentials()[there]) if there else \
                source(version, 2, "none") as sender:
            sender.migrate(receiver.address)
            turned_away(receiver, pattern)
            must_give_up(sender)
        if receiver.process.poll() is not None:
            raise Failed(f"it does not wait for another source: {receiver.said()}")


for _version, _here, _there, _pattern in (
        ("stable", "x509", "no certificate", "the source has no certificate of a CA in ca-cert.pem"),
        ("oldest", "x509", "a certificate of another CA",
         "the source has no certificate of a CA in ca-cert.pem"),
        ("stable", "x509", "a forged certificate",
         "the source's certificate is not accepted: .* issuer is unknown"),
        ("newest", "x509", "a certificate that is too old",
         "the source's certificate is not accepted: .* expired"),
        ("stable", "x509", "trust in another CA", "it may not accept server-cert.pem in "),
        ("newest", "psk", "another key", "the source's key is not its user's in .*keys.psk"),
        ("stable", "psk", "another user", "the source's user is not one of those in .*keys.psk"),
        ("oldest", "x509", "psk", "the source closed the connection during the handshake; its own"),
        ("newest", "psk", "x509", "the source does not offer a key"),
        ("oldest", "x509", None, "the source does not speak TLS"),
        ("stable", "x509", None, "the source does not speak TLS"),
        ("stable", None, "x509", "the source uses TLS, but no credentials were given"),
        ("newest", None, "psk", "the source uses TLS, but no credentials were given")):
    if not IN_VM:
        case(f"TLS refused, QEMU {_version}: {_there or 'nothing'} where it should be "
             f"{_here or 'nothing'}", _version, _here, _there, _pattern)(unwelcome)


def dial(receiver, word):
    """Connect to it and say something."""
    peer = socket.create_connection(("127.0.0.1", int(receiver.address.rsplit(":", 1)[1])))
    peer.sendall(word)
    return peer


# The beginning of a handshake, which is not gone on with.
HALF = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


@stock_case("TLS: strangers before the source, one of them stuck in the handshake")
def encrypted_strangers():
    """Nobody has to wait for it."""
    fresh_folder()
    creds = credentials()["x509"]
    with Receiver(*creds.destination, uri="tcp") as receiver, \
            dial(receiver, HALF), secure("stable", creds) as sender:
        for word in (b"GET / HTTP/1.0\r\n\r\n", b"", HALF + bytes(range(256)) * 2):
            dial(receiver, word).close()
        sender.migrate(receiver.address)
        if (counters := receiver.must_work())["strangers"] != 4:
            raise Failed(f"{counters['strangers']} strangers are counted, not 4: "
                         f"{receiver.said()}")
        sender.wait()
        receiver.compare(usual)


def late(begun, after=0):
    """By how much more than that it is more than half a second."""
    seconds = time.monotonic() - begun - after
    if seconds > 0.5:
        raise Failed(f"{seconds:.2f} s late")


@stock_case("TLS: a handshake that stalls")
def stalled():
    for word in (b"", HALF):
        fresh_folder()
        with Receiver("--timeout", 1, *credentials()["x509"].destination, uri="tcp") as receiver:
            begun = time.monotonic()
            with dial(receiver, word):
                turned_away(receiver, "has not completed its handshake for 1.0 s")
                late(begun, 1)
            with dial(receiver, word):
                begun = time.monotonic()
                receiver.process.send_signal(signal.SIGTERM)
                receiver.must_fail(r"the migration was cancelled \(SIGTERM\)")
                late(begun)


@stock_case("TLS: credentials that cannot be used")
def unusable():
    fresh_folder()
    good = credentials()
    readable = tls.Keys(f"{FOLDER}/readable").file
    os.chmod(readable, 0o644)
    for options, status, text in (
            (("--tls-creds", f"{FOLDER}/none"), 1, "ca-cert.pem"),
            (good["no certificate"].destination, 1, "server-cert.pem"),
            (good["a certificate that is too old"].destination, 1, "good only until"),
            (("--tls-psk", readable), 1, "readable"),
            (("--tls-priority", "NORMAL"), 2, "--tls-creds"),
            ((*good["x509"].destination, *good["psk"].destination), 2, "not both"),
            ((*good["x509"].destination, "--tls-priority", "FAST"), 1, "priority")):
        done = subprocess.run([f"{BUILD}/mfdrecv", "--listen", f"unix:{FOLDER}/migration",
                               "--block", f"ram0={FOLDER}/ram0.received:1M", *options],
                              capture_output=True, check=False, text=True, timeout=60)
        if done.returncode != status or text not in done.stderr:
            raise Failed(f"{options}: status {done.returncode}: {done.stderr}")
        if os.path.exists(f"{FOLDER}/ram0.received"):
            raise Failed(f"{options}: it made a file for nothing")


@stock_case("started without stdin, stdout and stderr")
def closed():
    """What is said goes nowhere, and above all not into memory. The buffers fill up with it."""
    fresh_folder()
    path, uri = f"{FOLDER}/ram0.received", f"unix:{FOLDER}/migration"
    command = (f"exec {BUILD}/mfdrecv --listen {uri} --block ram0={path}:{PAGES * PAGE} "
               "--channels 100 <&- >&- 2>&-")
    with source("stable", 100, "none") as sender, \
            subprocess.Popen(["sh", "-c", command]) as process:
        deadline = time.monotonic() + matrix.PROMPT
        while not os.path.exists(f"{FOLDER}/migration"):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise Failed("mfdrecv does not listen")
            time.sleep(0.01)
        sender.migrate(uri)
        sender.wait()
        if process.wait(matrix.PROMPT):
            raise Failed(f"mfdrecv ends with {process.returncode}")
    what = difference(path, usual(None))
    if what:
        raise Failed(what)


def killed(method):
    """The source is killed while it sends; slowly, so that it is not done before."""
    fresh_folder()
    with Receiver("--method", method) as receiver, source("stable", 2, method, "none") as sender:
        sender.qmp("migrate-set-parameters", max_bandwidth=1 << 20, downtime_limit=1)
        sender.migrate(receiver.address)
        deadline = time.monotonic() + matrix.PROMPT
        while sender.qmp("query-migrate").get("ram", {}).get("transferred", 0) < 1 << 20:
            if time.monotonic() > deadline:
                raise Failed("the source does not begin")
            time.sleep(0.05)
        sender.kill()
        receiver.must_fail("ended|gone")


if not IN_VM:
    case("the source is killed", "none")(killed)
    case("the source is killed, zstd", "zstd")(killed)


@case("files that hold something are left alone")
def occupied():
    fresh_folder()
    path = f"{FOLDER}/ram0.received"
    with open(path, "wb") as out:
        out.write(b"precious")
    command = [f"{BUILD}/mfdrecv", "--listen", f"unix:{FOLDER}/migration", "--block",
               f"ram0={path}:1M"]
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    if done.returncode != 1 or "holds data" not in done.stderr:
        raise Failed(f"status {done.returncode}: {done.stderr}")
    with open(path, "rb") as kept:
        if kept.read() != b"precious":
            raise Failed("it was written to")


@case("a file takes one thing only")
def one_file():
    """By whatever name; and what it holds is not lost."""
    fresh_folder()
    names = [f"{FOLDER}/same", f"{FOLDER}/link"]
    with open(names[0], "wb") as out:
        out.write(b"precious")
    os.link(*names)
    first = ("--block", f"a={names[0]}:8K", "--overwrite")
    for options in (("--block", f"b={names[0]}:4K"), ("--block", f"b={names[1]}:8K"),
                    ("--device-state", names[1]), ("--stats-json", names[1])):
        # if it got as far as that, it could not listen there
        done = subprocess.run([f"{BUILD}/mfdrecv", "--listen", f"unix:{FOLDER}/none/migration",
                               *first, *options], capture_output=True, check=False,
                              text=True, timeout=60)
        if done.returncode != 1 or "it takes block a already" not in done.stderr:
            raise Failed(f"{options[0]}: status {done.returncode}: {done.stderr.strip()}")
        with open(names[0], "rb") as kept:
            if kept.read() != b"precious":
                raise Failed(f"{options[0]}: it was written to")


@case("a flipped bit is noticed")
def flipped_bit():
    fresh_folder()
    with Receiver() as receiver:
        if IN_VM:
            run_sender(receiver)
        else:
            with source("stable", 2, "none") as sender:
                sender.migrate(receiver.address)
                receiver.must_work()
        receiver.must_work()
        receiver.compare(usual)
        with open(receiver.memory("ram0"), "r+b") as memory:
            memory.seek(9 * PAGE + 1234)
            byte = memory.read(1)[0]
            memory.seek(-1, os.SEEK_CUR)
            memory.write(bytes([byte ^ 16]))
        what = difference(receiver.memory("ram0"), image("ram0", PAGES))
        if not what or not what.startswith("1 pages differ, the first is page 9"):
            raise Failed(f"the comparison says: {what}")


# --- mfdsend

def run_sender(receiver, *options, program="mfdsend"):
    if program == "mfdsend":
        options += tuple(o for idstr, pages in receiver.blocks
                         for o in ("--block", f"{idstr}={image(idstr, pages)}"))
    else:
        options += tuple(f"{idstr}={pages}={FOLDER}/{idstr}.expected"
                         for idstr, pages in receiver.blocks)
    status, text = matrix.finish(matrix.start(f"{BUILD}/{program}", "--to", receiver.address,
                                              *options), 100)
    if status:
        raise Failed(f"{program} fails: {text[-300:]}; mfdrecv: {receiver.said()[-300:]}")


def ours(method, zero, flush, channels):
    fresh_folder()
    blocks = (("ram0", PAGES),) if channels == 1 else matrix.TWO
    options = ("--compat", "8.0" if flush == "section" else "10.0") if zero != "multifd" else ()
    with Receiver("--channels", channels, "--method", method, *options, blocks=blocks,
                  uri="tcp" if channels == 1 else "unix") as receiver:
        run_sender(receiver, "--channels", channels, "--method", method, "--zero", zero,
                   "--flush", flush)
        counters = receiver.must_work()
        receiver.compare(lambda idstr: image(idstr, dict(blocks)[idstr]))
        holes(receiver)
    announced = sum(c["zero"] for c in counters["channels"])
    if (zero == "multifd") != (announced > 0) or (zero == "none") != (counters["zero"] == 0):
        raise Failed(f"{counters['zero']} zero pages, {announced} of them on channels")


def ours_encrypted(kind, mode, uri, *options):
    """From the module through the kernel, if it can, or through mfdsend."""
    fresh_folder()
    creds = credentials()[kind]
    with Receiver(*creds.destination, blocks=matrix.TWO, uri=uri) as receiver:
        run_sender(receiver, *creds.source, "--tls-mode", mode, *options)
        counters = receiver.must_work()
        receiver.compare(lambda idstr: image(idstr, dict(matrix.TWO)[idstr]))
        if "3 connections" not in counters.get("tls", ""):
            raise Failed(f"the counters say of encryption: {counters.get('tls')}")


if IN_VM:
    case("from mfdsend, TLS, x509, auto, tcp", "x509", "auto", "tcp")(ours_encrypted)
    case("from mfdsend, TLS, psk, user, unix", "psk", "user", "unix")(ours_encrypted)


def abstract():
    fresh_folder()
    with Receiver(uri="unix:@migration") as receiver:
        run_sender(receiver)
        receiver.must_work()
        receiver.compare(usual)
    if os.path.exists("@migration"):
        raise Failed("it is a file")


def holes(receiver):
    """What the source never touched is not allocated here either."""
    for idstr, pages in receiver.blocks:
        there = os.stat(receiver.memory(idstr)).st_blocks
        here = os.stat(image(idstr, pages)).st_blocks
        if there > here:
            raise Failed(f"{idstr}: {there} blocks are allocated, at the source {here}")


def rounds(method, zero, flush, channels):
    fresh_folder()
    with Receiver("--channels", channels, "--method", method, blocks=matrix.TWO) as receiver:
        run_sender(receiver, "--channels", channels, "--method", method, "--zero", zero,
                   "--flush", flush, "--seed", channels, program="interop/rounds_sender")
        counters = receiver.must_work()
        receiver.compare(lambda idstr: f"{FOLDER}/{idstr}.expected")
    if zero != "none" and not counters["cleared"]:
        raise Failed("no page that held data was cleared")


def full(method):
    """The file system for the memory has room for a part of it."""
    fresh_folder()
    blocks, small = (("ram0", 256),), f"{FOLDER}/small"
    os.mkdir(small)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={16 * PAGE}", "small", small],
                   check=True)
    try:
        os.symlink(f"{small}/ram0", f"{FOLDER}/ram0.received")
        with Receiver("--method", method, blocks=blocks) as receiver:
            sender = matrix.start(f"{BUILD}/mfdsend", "--to", receiver.address, "--method",
                                  method, "--compat", "10.0", "--block",
                                  f"ram0={image(*blocks[0])}")
            receiver.must_fail(r"channel \d, packet \d+: guest memory cannot be written .*"
                               "No space left on device")
            # whether it learns of that depends on how much of it was read by then
            matrix.finish(sender, matrix.PROMPT)
    finally:
        subprocess.run(["umount", small], check=True)


for _method in METHODS:
    if IN_VM:
        case(f"a full file system, {_method}", _method)(full)


def many_channels(program):
    """As many as there may be, with the usual limit of open files."""
    fresh_folder()
    options = ("--block", f"ram0={image('ram0', PAGES)}") if program == "mfdsend" else \
        ("--size", PAGES * PAGE, "--write-rate", 0)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    try:
        with Receiver("--channels", 255, "--compat", "10.0") as receiver:
            status, text = matrix.finish(matrix.start(
                f"{BUILD}/{program}", "--to", receiver.address, "--channels", 255, "--ring", 2,
                "--compat", "10.0", *options), 100)
            if status:
                raise Failed(f"{program} fails: {text[-300:]}")
            receiver.must_work()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def many_rounds():
    """The same, with memory that changes on the way."""
    fresh_folder()
    with Receiver("--channels", 255, blocks=matrix.TWO) as receiver:
        run_sender(receiver, "--channels", 255, "--zero", "multifd", "--flush", "round",
                   "--ring-packets", 2, program="interop/rounds_sender")
        receiver.must_work()
        receiver.compare(lambda idstr: f"{FOLDER}/{idstr}.expected")


if IN_VM:
    case("255 channels of rounds_sender", quick=False)(many_rounds)
for _program in ("mfdsend", "mfddemo"):
    if IN_VM:
        case(f"255 channels of {_program}", _program)(many_channels)


if IN_VM:
    case("from mfdsend, at an abstract socket")(abstract)

# Without --full, of one and four channels only one in turn, and rounds that change
# memory not with all that compresses.
for _method in METHODS:
    for _zero in ("none", "legacy", "multifd"):
        for _flush in ("section", "round"):
            _odd = (METHODS.index(_method) + len(_zero) + len(_flush)) % 2
            for _channels in (1, 4):
                if IN_VM:
                    case(f"from mfdsend, {_method}, {_zero}, {_flush}, channels: {_channels}",
                         _method, _zero, _flush, _channels,
                         quick=_channels == (4 if _odd else 1))(ours)
            if IN_VM:
                case(f"rounds, {_method}, {_zero}, {_flush}", _method, _zero, _flush, 4,
                     quick=_method == "none" or (_zero, _flush) == ("multifd", "round"))(rounds)


def main(*folders):
    """The cases that are there; then the folders go."""
    # A shell's background job has it ignored, and its children would too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return matrix.main()
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        if not IN_VM and os.path.exists(image("ram0", PAGES)):
            os.unlink(image("ram0", PAGES))


if __name__ == "__main__":
    sys.exit(main(FOLDER, CREDENTIALS))

# SPDX-License-Identifier: GPL-2.0-only
"""Cases of libmfd and stock destinations, and what runs them; see cases.py."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback

from qemu import Failed, NotStarted, end
from qemu_dest import PAGE, Destination, difference

TOP = os.path.realpath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
BUILD = f"{TOP}/build"
FOLDER = "/dev/shm/interop"
# Stock ones by their roles (tests/vm/qemu), and what --compat is told of each.
COMPAT = {"oldest": "7.2", "stable": "10.0", "newest": "11.1"}
QEMU = {version: os.environ["MZP_QEMU_" + version.upper()] for version in COMPAT}
# The stable one for arm64, where a test wants it.
AARCH64 = os.environ.get("MZP_QEMU_AARCH64")
IMAGE = os.environ["MZP_IMAGE"]
UUID = "6f2e60cc-3ec4-4c3d-8ce2-8b0d5f4dbb39"
# Odd sizes: neither is a multiple of a packet's 128 pages, nor even.
TWO = (("ram0", 5123), ("ram1", 2309))
ONE = (("ram0", 6146),)
# What a compressor may meet, a block of each: rounds_sender's kinds of contents.
KINDS = (("random", 601), ("text", 602), ("image", 1201), ("zero", 603), ("mix", 2001))
# So small that all of it is in the sockets before the destination looks.
SMALL = (("ram0", 16),)
# A sender that has failed has to say so by then: a time that nobody could
# mistake for prompt, so that a busy machine does not fail the case.
PROMPT = 40

# For a program of ours: whatever it uses has been set, and nothing of its memory is lost.
VALGRIND = ("valgrind", "-q", "--error-exitcode=99", "--leak-check=full",
            "--errors-for-leak-kinds=definite", "--fair-sched=yes")

# With --out: what the programs said, also where all went well.
TRANSCRIPT = open(f"{os.environ['MZP_OUT']}/transcript" if "MZP_OUT" in os.environ
                  else os.devnull, "w", encoding="utf-8", buffering=1)

# With --full also what would take too long every time.
FULL = "--full" in sys.argv[1:]
CASES = []


def case(name, *arguments, quick=True):
    """Register a function as a case; it is called with the arguments."""
    def register(function):
        if quick or FULL:
            CASES.append((name, function, arguments))
        return function
    return register


def qemu(version, blocks, channels, uri, **options):
    """A fresh destination."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.mkdir(FOLDER)
    TRANSCRIPT.write(f"    QEMU {version}, {channels} channels, {uri}, {blocks}, {options}\n")
    program = AARCH64 if version == "aarch64" else QEMU[version]

    def make():
        return Destination(program, FOLDER, [(i, n * PAGE) for i, n in blocks], channels,
                           uri, **options)

    try:
        return make()
    except NotStarted as error:
        # Nothing of ours was involved yet; say so, and see if that lasts.
        print(f"# QEMU {version} did not start, once more: {error}", flush=True)
        TRANSCRIPT.write(f"    did not start: {error}\n")
        shutil.rmtree(FOLDER, ignore_errors=True)
        os.mkdir(FOLDER)
        return make()


def said(path):
    """What a program wrote, on one line."""
    with open(path, encoding="utf-8", errors="replace") as log:
        return " | ".join(line.strip() for line in log if line.strip()) or "(nothing)"


def start(*arguments, stdout=None):
    """Start a program of ours; what it says goes to a file."""
    with open(f"{FOLDER}/sender.messages", "wb") as log:
        return subprocess.Popen([str(a) for a in arguments], stdin=subprocess.DEVNULL,
                                stdout=stdout or log, stderr=log)


def finish(program, timeout):
    """Its status and what it said, or Failed if it does not end."""
    try:
        status = program.wait(timeout)
    except subprocess.TimeoutExpired as error:
        end(program)
        text = said(f"{FOLDER}/sender.messages")
        raise Failed(f"{os.path.basename(program.args[0])} hangs: {text[-600:]}") from error
    text = said(f"{FOLDER}/sender.messages")
    TRANSCRIPT.write(f"    exit status {status}: {text}\n")
    return status, text


def must_work(program, destination):
    """The sender succeeds, and the destination has everything."""
    # a compressor that is emulated on a busy machine takes its time
    status, text = finish(program, 400)
    if status:
        try:
            destination.wait(2)
            text += "; but the destination says completed"
        except Failed as error:
            text += f"; {error}"
        raise Failed(f"{os.path.basename(program.args[0])} exits with {status}: {text[-600:]}")
    destination.wait()
    return text


def must_fail(program, pattern, at=""):
    """The sender fails by itself, soon, with a reason on one line."""
    status, text = finish(program, PROMPT)
    if status == 0:
        raise Failed(f"exits with 0{at}: {text}")
    if status < 0:
        raise Failed(f"died of {signal.Signals(-status).name}{at}: {text}")
    if not re.search(pattern, text, re.I):
        raise Failed(f"gives no good reason{at}: {text}")


def compare(destination, expected):
    """All blocks byte for byte; `expected` maps an idstr to a file."""
    for idstr, _ in destination.blocks:
        what = difference(destination.memory(idstr), expected(idstr))
        if what:
            raise Failed(f"{idstr}: {what}")


def rounds(destination, channels, zero, flush, *options, by_kind=False):
    """Start the sender whose blocks change in every round.

    by_kind: a block's idstr says what its pages hold.
    """
    blocks = (f"{idstr}={size // PAGE}={FOLDER}/{idstr}.expected{'=' + idstr if by_kind else ''}"
              for idstr, size in destination.blocks)
    return start(f"{BUILD}/interop/rounds_sender", "--to", destination.address,
                 "--channels", channels, "--zero", zero, "--flush", flush,
                 "--machine", destination.machine, *options, *blocks)


def expected_of_rounds(idstr):
    return f"{FOLDER}/{idstr}.expected"


# --- what must work, in every combination

def matrix(version, zero, flush, channels, uri, options=(), machine=None):
    with qemu(version, TWO, channels, uri, machine=machine) as destination:
        if channels == 8:
            options += ("--by-fd",)
        must_work(rounds(destination, channels, zero, flush, "--seed", channels, *options),
                  destination)
        compare(destination, expected_of_rounds)


# What goes by splice(2): each version, detection and number of channels, and each two
# of these.
SPLICED = (("oldest", "none", 1), ("oldest", "legacy", 8),
           ("stable", "none", 8), ("stable", "legacy", 3), ("stable", "multifd", 1),
           ("newest", "none", 3), ("newest", "legacy", 1), ("newest", "multifd", 8))
for _version, _flush, _zeros in (("oldest", "section", ("none", "legacy")),
                                 ("stable", "round", ("none", "legacy", "multifd")),
                                 ("newest", "round", ("none", "legacy", "multifd"))):
    for _zero in _zeros:
        for _channels in (1, 3, 8):
            _uri = "unix" if _channels == 3 else "tcp"
            _options = ("--splice",) if (_version, _zero, _channels) in SPLICED else ()
            case(" ".join((f"QEMU {_version}, {_zero}, channels: {_channels}, {_uri}", *_options)),
                 _version, _zero, _flush, _channels, _uri, _options)(matrix)
# a newer QEMU that is asked to behave as the older machine type did
case("the stable QEMU as pc-i440fx-8.0, legacy, channels: 3",
     "stable", "legacy", "section", 3, "unix", (), "pc-i440fx-8.0")(matrix)


# --- compression

def compressed(version, zero, flush, method, level, channels):
    with qemu(version, KINDS, channels, "tcp" if channels == 1 else "unix",
              multifd_compression=method) as destination:
        options = {3: ("--by-fd",), 9: ("--splice",)}.get(level, ())
        must_work(rounds(destination, channels, zero, flush, "--rounds", 3, "--image", IMAGE,
                         "--method", method, "--level", level, "--seed", level, *options,
                         by_kind=True), destination)
        compare(destination, expected_of_rounds)


# Of all combinations, those that are always tried: each version with each
# method, level, and number of channels, and each two of these with each other. By
# splice(2) go those of the highest level.
PEERS = (("oldest", "legacy", "section"), ("stable", "multifd", "round"), ("newest", "multifd", "round"))
QUICK = (("oldest", "zlib", 1, 4), ("oldest", "zstd", 3, 1), ("oldest", "zlib", 9, 1),
         ("stable", "zstd", 1, 1), ("stable", "zlib", 3, 4), ("stable", "zstd", 9, 4),
         ("newest", "zlib", 1, 1), ("newest", "zstd", 3, 4), ("newest", "zstd", 9, 4))
for _version, _zero, _flush in PEERS:
    for _method in ("zlib", "zstd"):
        for _level in (1, 3, 9):
            for _channels in (1, 4):
                case(f"QEMU {_version}, {_method}-{_level}, channels: {_channels}",
                     _version, _zero, _flush, _method, _level, _channels,
                     quick=(_version, _method, _level, _channels) in QUICK)(compressed)


def wrong_method(method, theirs):
    with qemu("stable", ONE, 3, "unix", multifd_compression=theirs) as destination:
        must_fail(mfdsend(destination, *THREE, "--timeout", 5, "--method", method), REASON)


for _ours, _theirs in (("zlib", "zstd"), ("zstd", "none"), ("none", "zlib")):
    case(f"{_ours} to a destination of {_theirs}", _ours, _theirs)(wrong_method)


@case("a ring of one packet")
def small_ring():
    with qemu("stable", TWO, 3, "tcp") as destination:
        must_work(rounds(destination, 3, "multifd", "round", "--ring-packets", 1), destination)
        compare(destination, expected_of_rounds)


@case("a page that is not sent is noticed")
def lost_page():
    with qemu("stable", TWO, 2, "unix") as destination:
        must_work(rounds(destination, 2, "multifd", "round", "--lose-page"), destination)
        what = difference(destination.memory("ram0"), expected_of_rounds("ram0"))
        if not what or not what.startswith("1 pages differ"):
            raise Failed(f"the comparison says: {what}")
        what = difference(destination.memory("ram1"), expected_of_rounds("ram1"))
        if what:
            raise Failed(f"the other block differs: {what}")


# --- mfdsend

def image(idstr, pages):
    """Path of a block's contents: zeros, holes, and data."""
    path = f"/dev/shm/image.{idstr}.{pages}"
    if not os.path.exists(path):
        with open(path, "wb") as out:
            for start in range(0, pages, 64):
                length = min(64, pages - start) * PAGE
                kind = start // 64 % 4
                if kind == 0:
                    out.write(bytes(length))
                elif kind == 1:
                    out.seek(length, os.SEEK_CUR)
                else:
                    out.write(os.urandom(length))
            out.truncate(pages * PAGE)
    return path


def mfdsend(destination, *options, images=None, how="--block"):
    """Start mfdsend; `images` maps idstrs to files if they are not the usual ones."""
    images = images or {idstr: image(idstr, size // PAGE) for idstr, size in destination.blocks}
    blocks = []
    for idstr, path in images.items():
        blocks += [how, f"{idstr}={path}"]
    return start(f"{BUILD}/mfdsend", "--to", destination.address, *options, *blocks)


def send(version, blocks, uri, options, how="--block", method="none"):
    pages = dict(blocks)
    with qemu(version, blocks, 3, uri, multifd_compression=method) as destination:
        must_work(mfdsend(destination, "--channels", 3, *options, how=how), destination)
        compare(destination, lambda idstr: image(idstr, pages[idstr]))


PEER = ("--peer-qmp", f"{FOLDER}/peer.qmp")

case("mfdsend to the oldest, tcp, --compat 7.2", "oldest", ONE, "tcp", ("--compat", "7.2"))(send)
case("mfdsend to the oldest, unix, none", "oldest", ONE, "unix", ("--compat", "8.0", "--zero", "none"))(send)
case("mfdsend to the oldest, --peer-qmp", "oldest", ONE, "unix", PEER)(send)
case("mfdsend to the stable, tcp, the defaults", "stable", ONE, "tcp", ())(send)
case("mfdsend to the stable, unix, legacy and round", "stable", ONE, "unix",
     ("--zero", "legacy", "--flush", "round"))(send)
case("mfdsend to the stable, unix, by fd", "stable", ONE, "unix", ("--compat", "10.0"), "--block-fd")(send)
for _method, _level, _version, _options in (
        ("zlib", 1, "oldest", ("--compat", "8.0", "--zero", "legacy")),
        ("zstd", 1, "oldest", ("--compat", "8.0", "--zero", "legacy")),
        ("zlib", 6, "stable", ()), ("zstd", 3, "stable", ()), ("zstd", 1, "stable", ("--zero", "none"))):
    case(" ".join((f"mfdsend to {_version}, {_method}-{_level}", *_options)), _version, ONE, "unix",
         ("--method", _method, "--level", str(_level), *_options), "--block", _method)(send)
case("mfdsend to the stable, --peer-qmp, two blocks", "stable", TWO, "tcp", PEER)(send)
case("mfdsend to the newest, --peer-qmp, two blocks", "newest", TWO, "tcp", PEER)(send)


# Its pages could have other sizes, and it wants to be told.
@case("mfdsend to qemu-system-aarch64, virt-10.0", "virt-10.0")
@case("mfdsend to qemu-system-aarch64, virt-8.2", "virt-8.2")
def send_to_aarch64(machine):
    with qemu("aarch64", ONE, 2, "unix", machine=machine) as destination:
        must_work(mfdsend(destination, *PEER), destination)
        compare(destination, lambda idstr: image(idstr, dict(ONE)[idstr]))


@case("mfdsend with a machine type and a UUID")
def send_named():
    with qemu("stable", TWO, 1, "tcp", uuid=UUID) as destination:
        must_work(mfdsend(destination, "--channels", 1, "--compat", "10.0", "--uuid", UUID,
                          "--machine", destination.machine), destination)
        compare(destination, lambda idstr: image(idstr, dict(TWO)[idstr]))


@case("the peer's machine type counts, not its version")
def send_old_machine():
    with qemu("stable", TWO, 2, "unix", machine="pc-i440fx-8.0") as destination:
        must_work(mfdsend(destination, *PEER), destination)
        compare(destination, lambda idstr: image(idstr, dict(TWO)[idstr]))


@case("a flipped bit is noticed")
def flipped_bit():
    with qemu("stable", SMALL, 1, "unix") as destination:
        must_work(mfdsend(destination, "--channels", 1), destination)
        compare(destination, lambda idstr: image(*SMALL[0]))
        with open(destination.memory("ram0"), "r+b") as memory:
            memory.seek(9 * PAGE + 1234)
            byte = memory.read(1)[0]
            memory.seek(-1, os.SEEK_CUR)
            memory.write(bytes([byte ^ 16]))
        what = difference(destination.memory("ram0"), image(*SMALL[0]))
        if not what or not what.startswith("1 pages differ, the first is page 9"):
            raise Failed(f"the comparison says: {what}")


# --- what must be refused

def refused(version, *options):
    with qemu(version, ONE, 2, "unix") as destination:
        must_fail(mfdsend(destination, "--channels", 2, "--zero", "multifd", *options),
                  r"zero pages")
        status = destination.qmp("query-migrate").get("status", "none")
        if status not in ("none", "setup"):
            raise Failed(f"the destination was bothered nevertheless: {status}")


for _version in ("7.2", "8.0", "8.2"):
    case(f"multifd detection is refused, --compat {_version}",
         "oldest", "--compat", _version)(refused)
case("multifd detection is refused, --peer-qmp at the oldest", "oldest", *PEER)(refused)


# --- what must fail, but neither hang nor be taken for success

# A sentence at least.
REASON = r"\w+ \w+"


@case("the destination stops reading")
def stalled():
    with qemu("stable", ONE, 1, "unix") as destination:
        destination.process.send_signal(signal.SIGSTOP)
        must_fail(mfdsend(destination, "--channels", 1, "--timeout", 2), REASON)


@case("the sender is killed")
def sender_killed():
    with qemu("stable", ONE, 2, "unix") as destination:
        destination.process.send_signal(signal.SIGSTOP)
        sender = mfdsend(destination, "--channels", 2)
        time.sleep(1)
        sender.kill()
        sender.wait(PROMPT)
        destination.process.send_signal(signal.SIGCONT)
        try:
            destination.wait(PROMPT)
        except Failed as error:
            if "still" not in str(error):
                return
            raise
        raise Failed("the destination took a part of the memory for all of it")


def wrong(blocks, options, uuid=None, images=None, pattern=REASON):
    with qemu("stable", blocks, 3, "unix", uuid=uuid) as destination:
        if images:
            images = {idstr: image(*of) for idstr, of in images.items()}
        must_fail(mfdsend(destination, "--timeout", 5, *options, images=images), pattern)


THREE = ("--channels", 3)
for _size, _blocks in (("", ONE), (" (small)", SMALL)):
    _block = _blocks[0]
    _less = (_block[0], _block[1] - 1)
    case(f"wrong idstr{_size}", _blocks, THREE, None, {"ramX": _block})(wrong)
    case(f"wrong size of a block{_size}", _blocks, THREE, None, {"ram0": _less})(wrong)
    case(f"a block too many{_size}", _blocks, THREE, None,
         {"ram0": _block, "ram1": _block})(wrong)
    case(f"wrong UUID{_size}", _blocks, (*THREE, "--uuid", UUID))(wrong)
    case(f"no UUID where one is needed{_size}", _blocks, THREE, UUID)(wrong)
    case(f"wrong machine type{_size}", _blocks, (*THREE, "--machine", "pc-i440fx-10.0"))(wrong)
    case(f"more channels than the destination{_size}", _blocks, ("--channels", 5))(wrong)
    case(f"fewer channels than the destination{_size}", _blocks, ("--channels", 2))(wrong)
    case(f"the wrong way of flushing{_size}", _blocks, (*THREE, "--flush", "section"))(wrong)
case("fewer channels than --peer-qmp says", ONE, ("--channels", 2, *PEER), None, None,
     r"channels")(wrong)
case("another method than --peer-qmp says", ONE, ("--method", "zstd", *PEER), None, None,
     r"multifd-compression is none")(wrong)
case("another UUID than --peer-qmp says", ONE, ("--uuid", UUID, *PEER), None, None,
     r"-uuid is another one")(wrong)
case("wrong idstr, and --peer-qmp tells the end", ONE, PEER, None, {"ramX": ONE[0]},
     r"QEMU has ended")(wrong)
case("nobody listens", ONE, (*THREE, "--to", "tcp:127.0.0.1:9"))(wrong)


def told_why(version, blocks, options, pattern):
    """What the destination says of its failure is shown, and it does not have the guest."""
    with qemu(version, ONE, 3, "unix", stays=True) as destination:
        must_fail(mfdsend(destination, "--timeout", 5, *PEER, *options,
                          images={idstr: image(*of) for idstr, of in blocks.items()}), pattern)
        if destination.status() != "failed":
            raise Failed(f"the destination says {destination.status()}")


# QEMU 10.0 prints why, but says no more than that.
INVALID = "load of migration failed: Invalid argument"
for _what, _blocks, _options, _pattern in (
        ("wrong idstr", {"ramX": ONE[0]}, (), "device 'ram': Failed to load"),
        ("wrong size of a block", {"ram0": ("ram0", ONE[0][1] - 1)}, (),
         "device 'ram': Failed to load"),
        ("wrong machine type", {"ram0": ONE[0]}, ("--machine", "pc-i440fx-10.0"),
         "Machine type received is 'pc-i440fx-10.0' and local is 'none'")):
    case(f"{_what}, and the stable QEMU says why", "stable", _blocks, _options, INVALID)(told_why)
    case(f"{_what}, and the newest QEMU says why", "newest", _blocks, _options, _pattern)(told_why)


def wrong_and_unread(version, uri):
    """A destination that has all of it in its sockets before it looks, and gives up.

    It reads the main connection to the end, and closes it as if all were well.
    """
    with qemu(version, SMALL, 3, uri) as destination:
        destination.process.send_signal(signal.SIGSTOP)
        sender = mfdsend(destination, *THREE, "--compat", COMPAT[version], "--timeout", 20,
                         images={"ramX": image(*SMALL[0])})
        # Too short a time makes it the case above, which must fail as well.
        time.sleep(2)
        destination.process.send_signal(signal.SIGCONT)
        must_fail(sender, REASON)


for _version in QEMU:
    for _uri in ("tcp", "unix"):
        case(f"wrong idstr, noticed when all is sent, {_version}, {_uri}",
             _version, _uri)(wrong_and_unread)


# --- the toy VMM

def demo(version, method):
    with qemu(version, ONE, 2, "unix", multifd_compression=method) as destination:
        must_work(start(f"{BUILD}/mfddemo", "--to", destination.address, *PEER,
                        "--size", str(ONE[0][1] * PAGE), "--image", image(*ONE[0]),
                        "--method", method, "--min-rounds", 4, "--dump", f"{FOLDER}/dump"),
                  destination)
        compare(destination, lambda idstr: f"{FOLDER}/dump")


case("mfddemo to the stable", "stable", "none")(demo)
case("mfddemo to the newest, zlib", "newest", "zlib")(demo)
case("mfddemo to the newest, zstd", "newest", "zstd")(demo)


def own(*arguments, under=()):
    """libmfd to libmfd-recv, in one program of the tests' (own.c)."""
    os.makedirs(FOLDER, exist_ok=True)
    status, text = finish(start(*under, f"{BUILD}/interop/own", *arguments), 300)
    if status:
        raise Failed(text)


def own_valgrind(*arguments):
    """Both ends of libmfd, with the module."""
    own(*arguments, under=VALGRIND)


for _arguments in (("tcp",), ("unix", "threads"), ("tcp", "splice"), ("hotplug",)):
    case(f"under valgrind, {' '.join(_arguments)}", *_arguments,
         quick=_arguments == ("tcp",))(own_valgrind)


for _kind in ("tcp", "unix", "socketpair", "vsock"):
    for _how in ("", "threads", "splice"):
        case(f"own sockets, {_kind} {_how}".strip(), _kind, *_how.split())(own)
case("a child that closes the session", "fork")(own)
case("wrong arguments on the way", "hotplug")(own)
case("every wait can be cancelled", "cancel")(own)
for _bytes in (10_000_000, 100_000_000):
    for _channels in (1, 8):
        case(f"bandwidth, {_bytes // 1_000_000} MB/s, {_channels} channels",
             "rate", _bytes, _channels, quick=False)(own)


@case("the documentation's VMM in 30 lines")
def example():
    with qemu("stable", (("ram0", (64 << 20) // PAGE),), 2, "tcp") as destination:
        with open(f"{FOLDER}/dump", "wb") as dump:
            program = start(f"{BUILD}/interop/migrate", destination.address, stdout=dump)
        must_work(program, destination)
        compare(destination, lambda idstr: f"{FOLDER}/dump")


def main():
    patterns = [argument for argument in sys.argv[1:] if argument != "--full"]
    selected = re.compile(patterns[0] if patterns else "")
    failed = 0
    for name, function, arguments in CASES:
        if not selected.search(name):
            continue
        began = time.monotonic()
        problem = None
        TRANSCRIPT.write(f"{name}\n")
        try:
            function(*arguments)
        except Failed as error:
            problem = str(error)
        except Exception:  # a case must not take the others with it
            problem = " | ".join(traceback.format_exc().split("\n")[-4:])
        took = f"({time.monotonic() - began:.1f} s)"
        if problem is None:
            print(f"ok {name} {took}", flush=True)
        else:
            failed += 1
            print(f"not ok {name}: {problem} {took}", flush=True)
    return failed != 0

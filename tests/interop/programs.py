#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Programs whose surroundings are bad; run by tests/interop/run-programs.

They are started without some of the standard files, or with such as cannot be written, and
are ended by signals at points that are the same each time. Whatever happens: guests' memory
holds nothing that does not belong there, the status is the one that was documented, a sentence
says why, and nothing is left behind.

What concerns mfdrecv needs no module. With MZP_IN_VM set, it is the other programs.
"""

import contextlib
import json
import os
import re
import resource
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time

import matrix
import recv_matrix
import tls
from matrix import PAGE, PROMPT, Failed, case, difference, image
from qemu import end
from qemu_dest import Destination
from recv_matrix import BUILD, IN_VM, PAGES, source
from valve import Valve

sys.path.insert(0, f"{matrix.TOP}/tests/netlink")
# pylint: disable=wrong-import-position
from terminal import Terminal  # noqa: E402

FOLDER = matrix.FOLDER = "/dev/shm/programs"
recv_matrix.FOLDER = FOLDER
matrix.CASES.clear()

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SUBSETS = [tuple(fd for fd in range(3) if bits >> fd & 1) for bits in range(8)]
UNREPORTED, UNKNOWN = 3, 4
MEMORY = f"{FOLDER}/ram0.received"
STATS = f"{FOLDER}/stats"
SOCKET = f"{FOLDER}/migration"
SAYS = f"{FOLDER}/says"
RECEIVER = (f"{BUILD}/mfdrecv", "--listen", f"unix:{SOCKET}", "--stats-json", STATS,
            "--block", f"ram0={MEMORY}:{PAGES * PAGE}")


def here(name, *arguments, quick=True):
    """A case that needs no module."""
    return case(name, *arguments, quick=quick) if not IN_VM else lambda function: function


def there(name, *arguments, quick=True):
    """A case that does."""
    return case(name, *arguments, quick=quick) if IN_VM else lambda function: function


def fresh_folder():
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.mkdir(FOLDER)


class Program:
    """A program of ours; what it says goes to a file, or where it is told.

    closed   descriptors that it does not have
    pending  a signal that is there before it begins
    ignored  a signal that it is told to ignore, as by nohup
    """

    def __init__(self, *command, closed=(), pending=None, ignored=None, stdout=None, stderr=None,
                 limit=None):
        def prepare():
            # we may run under nohup ourselves
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN if number == ignored else signal.SIG_DFL)
            if pending:
                signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
                os.kill(os.getpid(), pending)
            if limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        arguments = [str(word) for word in command]
        if closed:
            arguments = ["sh", "-c", 'exec "$@" ' + " ".join(f"{fd}>&-" for fd in closed), "sh",
                         *arguments]
        with open(SAYS, "wb") as says:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL,
                                            stdout=stdout or says, stderr=stderr or says,
                                            preexec_fn=prepare)

    def said(self):
        return matrix.said(SAYS)

    def ended(self):
        return self.process.poll() is not None

    def until(self, condition, what):
        deadline = time.monotonic() + PROMPT
        while not condition():
            if self.ended() or time.monotonic() > deadline:
                raise Failed(f"in vain: {what}; status {self.process.poll()}: {self.said()}")
            time.sleep(0.002)

    def must_end(self, status, *words):
        try:
            got = self.process.wait(PROMPT)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"it hangs: {self.said()}") from error
        if got != status:
            raise Failed(f"it ends with {got}, not {status}: {self.said()}")
        for word in words:
            if word not in self.said():
                raise Failed(f"it does not say '{word}': {self.said()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)


def listening():
    return os.path.exists(SOCKET) and stat.S_ISSOCK(os.stat(SOCKET).st_mode)


def counters():
    with open(STATS, encoding="utf-8") as stats:
        return json.load(stats)


def gone(*paths):
    for path in paths:
        if os.path.lexists(path):
            raise Failed(f"{path} is left behind")


def only_of(path, expected):
    """Each page is that of the source, or a part of it and else empty."""
    with open(path, "rb") as memory, open(expected, "rb") as original:
        for page in range(PAGES):
            got, want = memory.read(PAGE), original.read(PAGE)
            if got != want and (part := got.rstrip(b"\0")) != want[:len(part)]:
                raise Failed(f"page {page} is neither the source's nor empty: {got[:40]}")


def must_equal(path, expected):
    if what := difference(path, expected):
        raise Failed(what)


def end_of_pipe():
    """A pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "wb")


@contextlib.contextmanager
def stuck_pipe():
    """A pipe that is full, and that nobody reads."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writer, bytes(4096)):
            pass
    os.set_blocking(writer, True)
    with os.fdopen(writer, "wb") as stuck:
        yield stuck
    os.close(reader)


# --- mfdrecv

def to_receiver(status, *words, complete=True, options=(), channels=2, **program):
    """A whole migration from a stock source."""
    fresh_folder()
    with Program(*RECEIVER, "--channels", channels, *options, **program) as receiver, \
            source("stable", channels, "none") as sender:
        receiver.until(listening, "it listens")
        sender.migrate(f"unix:{SOCKET}")
        receiver.must_end(status, *words)
        sender.wait()
    must_equal(MEMORY, image("ram0", PAGES))
    gone(SOCKET)
    if complete and not counters()["complete"]:
        raise Failed("the counters say that it is not complete")


for _closed in SUBSETS:
    # without stdout there is /dev/null
    here(f"mfdrecv without {_closed}", 0, quick=len(_closed) != 2)(
        lambda status, closed=_closed: to_receiver(status, closed=closed))


@here("mfdrecv, 100 channels, without stdin and stdout")
def without_many():
    """The lines about channels do not fit into a buffer."""
    to_receiver(0, closed=(0, 1), channels=100)


@here("mfdrecv, stdout full, or ended")
def stdout_bad():
    with open("/dev/full", "wb") as full:
        to_receiver(UNREPORTED, "standard output: No space left", stdout=full)
    with end_of_pipe() as ended:
        to_receiver(UNREPORTED, "standard output: Broken pipe", stdout=ended)


@here("mfdrecv, stderr full, or ended, with a line for each packet")
def stderr_bad():
    with open("/dev/full", "wb") as full:
        to_receiver(0, stderr=full, options=("--trace",))
    with end_of_pipe() as ended:
        to_receiver(0, stderr=ended, options=("--trace",))


@here("mfdrecv, counters that cannot be written")
def stats_bad():
    to_receiver(UNREPORTED, "/dev/full: No space left", complete=False,
                options=("--stats-json", "/dev/full"))


@here("mfdrecv, stdout in a file that may not grow")
def stdout_limited():
    fresh_folder()
    path = "/dev/shm/programs.stdout"
    with open(path, "wb") as out:
        out.truncate(PAGES * PAGE)
        out.seek(0, os.SEEK_END)
        to_receiver(UNREPORTED, "standard output: File too large", stdout=out, limit=PAGES * PAGE)
    os.unlink(path)


def at_once(*words, options, status=1):
    """It does not even listen, and leaves nothing."""
    with Program(f"{BUILD}/mfdrecv", "--listen", f"unix:{SOCKET}", *options) as receiver:
        receiver.must_end(status, *words)
    gone(SOCKET)


@here("mfdrecv, what is wrong is said before it listens")
def checked():
    fresh_folder()
    fifo, block = f"{FOLDER}/fifo", ("--block", f"ram0={MEMORY}:1M")
    os.mkfifo(fifo)
    for what, words in ((fifo, "not a file"), (FOLDER, "directory"), ("/dev/zero", "not a file"),
                        (f"{FOLDER}/none/x", "No such file")):
        at_once(words, options=("--block", f"ram0={what}:1M"))
    for option in ("--stats-json", "--device-state"):
        for what, words in ((fifo, "nobody reads this FIFO"), (FOLDER, "directory"),
                            (f"{FOLDER}/none/x", "No such file")):
            at_once(words, options=(*block, option, what))
            gone(MEMORY)
    at_once("cannot map it", options=("--block", f"ram0={MEMORY}:4096T"))
    gone(MEMORY)
    if sorted(os.listdir(FOLDER)) != ["fifo", "says"]:
        raise Failed(f"there is {os.listdir(FOLDER)}")
    with Program(f"{BUILD}/mfdrecv", "--listen", f"unix:{SOCKET}", *block, limit=PAGE) as receiver:
        receiver.must_end(1, "it may not be so large")
    gone(SOCKET, MEMORY)


@here("mfdrecv, block devices are refused")
def block_device():
    fresh_folder()
    device = next((f"/dev/{name}" for name in sorted(os.listdir("/dev"))
                   if stat.S_ISBLK(os.stat(f"/dev/{name}").st_mode)), None)
    if not device:
        # as in a container, where it is root that runs this
        device = f"{FOLDER}/device"
        os.mknod(device, stat.S_IFBLK | 0o600, os.makedev(7, 0))
    with Program(f"{BUILD}/mfdrecv", "--listen", f"unix:{SOCKET}", "--overwrite", "--block",
                 f"ram0={device}:1M") as receiver:
        receiver.must_end(1)
        # one without a medium cannot be opened
        if "block device" not in receiver.said() and "No such device" not in receiver.said():
            raise Failed(receiver.said())


@here("mfdrecv, errors as JSON")
def json_error():
    fresh_folder()
    for options, words in ((("--block", f"ram0={FOLDER}:1M"), "directory"),
                           (("--block", f"ram0={MEMORY}:1M", "--timeout", "1"), "cancelled")):
        read, write = os.pipe()
        with Program(f"{BUILD}/mfdrecv", "--json", "--listen", f"unix:{SOCKET}", *options,
                     stdout=write) as receiver:
            os.close(write)
            if words == "cancelled":
                receiver.until(listening, "it listens")
                receiver.process.terminate()
            receiver.must_end(1)
        with os.fdopen(read) as out:
            told = json.load(out)
        if told["complete"] or words not in told["error"]:
            raise Failed(f"it says {told}")


def cancel(program, number, status, *words):
    program.process.send_signal(number)
    program.must_end(status, number.name, *words)


def pending(number):
    with Program(*RECEIVER, pending=number) as receiver:
        receiver.must_end(1, number.name)
    gone(MEMORY, SOCKET)


def waiting(number, options=(), word=None):
    """Nobody has come, or somebody who does not go on."""
    with Program(*RECEIVER, *options) as receiver, socket.socket(socket.AF_UNIX) as stranger:
        receiver.until(listening, "it listens")
        if word is not None:
            stranger.connect(SOCKET)
            stranger.send(word)
            # until it is read
            receiver.until(lambda: os.path.exists(STATS), "it has opened its files")
        cancel(receiver, number, 1, "the migration was cancelled")
    gone(MEMORY, SOCKET)
    if counters()["complete"]:
        raise Failed("the counters say complete")


def in_handshake(number):
    waiting(number, tls.Keys(f"{FOLDER}/psk").destination, recv_matrix.HALF)


def receiving(number, most, ends=True):
    """So many bytes have come."""
    with Program(*RECEIVER) as receiver, source("stable", 2, "none") as sender:
        receiver.until(listening, "it listens")
        with Valve(f"{FOLDER}/valve", SOCKET, most, ends) as valve:
            sender.migrate(f"unix:{FOLDER}/valve")
            if not valve.wait(receiver.ended):
                raise Failed(f"the source has sent all: {receiver.said()}")
            cancel(receiver, number, 1, "the migration was cancelled")
    gone(SOCKET)
    if counters()["complete"]:
        raise Failed("the counters say complete")
    if os.path.exists(MEMORY):
        only_of(MEMORY, image("ram0", PAGES))
    elif most is None or most > DATA // 20:
        raise Failed("what came is lost")


def telling(number):
    """All is there, but nobody reads what it says."""
    with stuck_pipe() as stuck, Program(*RECEIVER, stdout=stuck) as receiver, \
            source("stable", 2, "none") as sender:
        receiver.until(listening, "it listens")
        sender.migrate(f"unix:{SOCKET}")
        sender.wait()
        # the source may go before that
        receiver.until(lambda: os.stat(STATS).st_size, "counters")
        cancel(receiver, number, UNREPORTED, "all is there")
    gone(SOCKET)
    must_equal(MEMORY, image("ram0", PAGES))
    if not counters()["complete"]:
        raise Failed("the counters say that it is not complete")


@here("mfdrecv, SIGHUP that it is told to ignore")
def ignoring():
    fresh_folder()
    with Program(*RECEIVER, ignored=signal.SIGHUP) as receiver, \
            source("stable", 2, "none") as sender:
        receiver.until(listening, "it listens")
        receiver.process.send_signal(signal.SIGHUP)
        sender.migrate(f"unix:{SOCKET}")
        sender.wait()
        receiver.must_end(0)
    must_equal(MEMORY, image("ram0", PAGES))


# A half of the image is data.
DATA = PAGES * PAGE // 2
RECEIVER_POINTS = (
    ("before it begins", pending), ("while it waits", waiting),
    ("with a stranger", waiting, (), b"G"), ("in the handshake", in_handshake),
    ("with the first byte", receiving, 1), ("with the first pages", receiving, 150000),
    ("with a tenth", receiving, DATA // 10), ("with a half", receiving, DATA // 2),
    ("with nine tenths", receiving, DATA * 9 // 10), ("before the end", receiving, None, False),
    ("when it tells", telling))


def signalled(number, function, *arguments):
    fresh_folder()
    function(number, *arguments)


def all_signals(who, points, register):
    """Each at each point; without --full one of them, in turn."""
    for at, (name, *what) in enumerate(points):
        for nr, number in enumerate(SIGNALS):
            register(f"{who}, {number.name} {name}", number, *what,
                     quick=nr == at % 3)(signalled)


all_signals("mfdrecv", RECEIVER_POINTS, here)


# --- on a terminal

def lines_of(terminal, program):
    """What the program has there, without what the shell has."""
    return [line for line in terminal.lines() if line.startswith(f"{program}: ")]


def progress(terminal, program):
    """The one progress line, of which nothing is left behind."""
    terminal.until(lambda text: re.search(rf"^{program}: \d+%", text, re.M), "progress")
    found = [line for line in lines_of(terminal, program) if re.match(rf"{program}: \d+%", line)]
    if len(found) != 1 or len(found[0]) >= terminal.columns:
        raise Failed(f"progress at {terminal.columns} columns: {terminal.lines()}")
    return found[0]


def until_ended(terminal):
    terminal.until(lambda text: "\nended" in f"\n{text}", "its end")


def last_line(terminal, program):
    until_ended(terminal)
    found = [line for line in terminal.all_text().split("\n")
             if re.match(rf"{program}: \d+%", line)]
    if len(found) != 1 or not re.match(rf"{program}: 100%, after \d+\.\d s", found[0]):
        raise Failed(f"in the end there is {found}")


def run_there(terminal, *words):
    """In the shell; "ended", which it does not echo, is said behind it."""
    terminal.type(f"clear; {shlex.join(str(word) for word in words)}; echo en''ded")


def shown_by_receiver(columns, narrower):
    fresh_folder()
    with Terminal(columns) as terminal, source("stable", 2, "none") as sender:
        run_there(terminal, *RECEIVER)
        terminal.shows("mfdrecv: waiting for the source")
        # while nothing has come, nothing is counted
        if "%" in terminal.text():
            raise Failed(f"it counts: {terminal.lines()}")
        # it lasts until it is let go: QEMU would soon take a burst for the bandwidth
        sender.qmp("migrate-set-parameters", max_bandwidth=1 << 20, downtime_limit=1)
        sender.migrate(f"unix:{SOCKET}")
        line = progress(terminal, "mfdrecv")
        wanted = ["%"] + ["MB/s"] * (columns > 20) + ["left"] * (columns >= 40) + \
            ["zero", "pages"] * (columns >= 80)
        if not all(word in line for word in wanted):
            raise Failed(f"at {columns} columns: {line}")
        terminal.resize(narrower, 24)
        terminal.until(lambda _: len(lines_of(terminal, "mfdrecv")[-1]) < narrower, "less")
        sender.qmp("migrate-set-parameters", max_bandwidth=1 << 40, downtime_limit=100000)
        last_line(terminal, "mfdrecv")
        sender.wait()
    must_equal(MEMORY, image("ram0", PAGES))


for _columns, _narrower in ((40, 30), (80, 40), (200, 80)):
    here(f"mfdrecv, progress at {_columns} columns", _columns, _narrower)(shown_by_receiver)


@here("mfdrecv, a terminal that is dumb, or stopped")
def bad_terminal():
    fresh_folder()
    with Terminal(TERM="dumb") as terminal, source("stable", 2, "none") as sender:
        run_there(terminal, *RECEIVER)
        terminal.shows("listening at")
        sender.migrate(f"unix:{SOCKET}")
        sender.wait()
        until_ended(terminal)
        if "%" in terminal.text() or "waiting" in terminal.text():
            raise Failed(f"it draws: {terminal.lines()}")
    os.unlink(MEMORY)
    # nobody waits for a terminal whose output is held up
    with Terminal() as terminal, source("stable", 2, "none") as sender:
        run_there(terminal, *RECEIVER)
        terminal.shows("waiting for the source")
        sender.qmp("migrate-set-parameters", max_bandwidth=6 << 20)
        terminal.press("C-s")
        sender.migrate(f"unix:{SOCKET}")
        sender.wait()
        terminal.press("C-q")
        until_ended(terminal)


def shown_by_demo(columns):
    with receiver_for("mfddemo") as receiver, Terminal(columns) as terminal:
        run_there(terminal, *command("mfddemo", receiver.address, "--bandwidth", "2M"))
        progress(terminal, "mfddemo")
        terminal.press("C-z")
        terminal.until(lambda text: "Stopped" in text, "it is stopped")
        # long enough to spoil an average since the beginning
        time.sleep(5)
        terminal.type("clear; fg; echo en''ded")
        line = terminal.until(lambda text: re.search(r"^mfddemo: \d+%.* (\d+) s left", text, re.M)
                              or columns < 40, "an estimate")
        left = re.search(r"(\d+) s left", line)
        if left and int(left[1]) > 12:
            raise Failed(f"it is to take {left[1]} s for 12 MB at 2 MB/s")
        last_line(terminal, "mfddemo")


for _columns in (40, 80, 200):
    there(f"mfddemo, progress at {_columns} columns", _columns,
          quick=_columns == 80)(shown_by_demo)


# --- as a service

def notified(sock):
    """What it has told so far."""
    told = []
    with contextlib.suppress(BlockingIOError):
        while word := sock.recv(1000, socket.MSG_DONTWAIT):
            told += word.decode().split("\n")
    return told


@here("mfdrecv, started when the source connects, as by systemd")
def activated():
    fresh_folder()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{FOLDER}/notify")
        with Program("env", f"NOTIFY_SOCKET={FOLDER}/notify", "systemd-socket-activate", "-E",
                     "NOTIFY_SOCKET", "-l", SOCKET, RECEIVER[0], "--listen", "fd:3",
                     *RECEIVER[3:]) as receiver, source("stable", 2, "none") as sender:
            receiver.until(listening, "systemd listens")
            gone(MEMORY)
            sender.migrate(f"unix:{SOCKET}")
            sender.wait()
            receiver.must_end(0)
        told = notified(manager)
    must_equal(MEMORY, image("ram0", PAGES))
    # it is systemd's
    if not listening():
        raise Failed("it has removed a socket that is not its own")
    if told[:1] != ["READY=1"] or told[-2:] != ["STOPPING=1", "STATUS=all is there"]:
        raise Failed(f"it has told {told}")


@here("mfdrecv, descriptors at which nobody listens")
def not_activated():
    fresh_folder()
    for address, words in (("fd:0", "nobody listens"), ("fd:77", "nobody listens"),
                           ("fd:", "fd:N is wanted"), ("fd:3x", "fd:N is wanted")):
        with Program(f"{BUILD}/mfdrecv", "--listen", address, "--block",
                     f"ram0={MEMORY}:1M") as receiver:
            receiver.must_end(1, words)
        gone(MEMORY)


# --- mfdsend and mfddemo

def command(program, address, *options):
    """A small toy guest, which does not write so much that there would be no end."""
    if program == "mfddemo":
        return (f"{BUILD}/mfddemo", "--guest", "toy", "--to", address, "--size", PAGES * PAGE,
                "--image", image("ram0", PAGES), "--write-rate", 0, *options)
    return (f"{BUILD}/mfdsend", "--to", address, "--block", f"ram0={image('ram0', PAGES)}",
            *options)


@contextlib.contextmanager
def receiver_for(program, options=(), status=0):
    """An mfdrecv that takes what it sends."""
    fresh_folder()
    before = os.stat(image("ram0", PAGES)).st_mtime_ns
    with recv_matrix.Receiver(*options) as receiver:
        yield receiver
        if status == 0:
            receiver.must_work()
            receiver.compare(lambda _: image("ram0", PAGES))
    if os.stat(image("ram0", PAGES)).st_mtime_ns != before:
        raise Failed(f"{program} has written to its image")


def sent(program, status, *words, options=(), **settings):
    with receiver_for(program) as receiver, \
            Program(*command(program, receiver.address, *options), **settings) as sender:
        sender.must_end(status, *words)


for _program in ("mfdsend", "mfddemo"):
    for _closed in SUBSETS:
        there(f"{_program} without {_closed}", _program,
              quick=_closed in ((0, 1, 2), (1,), (0, 2)))(
            lambda program, closed=_closed: sent(program, 0, closed=closed))

    @there(f"{_program}, stdout full, or ended", _program)
    def output_bad(program):
        with open("/dev/full", "wb") as full:
            sent(program, UNREPORTED, "standard output: No space left", stdout=full)
        with end_of_pipe() as ended:
            sent(program, UNREPORTED, "standard output: Broken pipe", stdout=ended)

    @there(f"{_program}, stderr ended", _program)
    def messages_bad(program):
        with end_of_pipe() as ended:
            sent(program, 0, stderr=ended)


def pending_sender(number, program):
    with Program(*command(program, f"unix:{SOCKET}"), pending=number) as sender:
        sender.must_end(1, number.name)


def silent(number, program, options):
    """A socket where somebody listens who says nothing."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(SOCKET)
        listener.listen()
        with Program(*command(program, f"unix:{SOCKET}", *options)) as sender:
            peer, _ = listener.accept()
            cancel(sender, number, 1)
            peer.close()


def in_source_handshake(number, program):
    silent(number, program, tls.Keys(f"{FOLDER}/psk").source)


def warm_up(number, program):
    with Program(*command(program, f"unix:{SOCKET}", "--warm-up", 1000)) as sender:
        comm = f"/proc/{sender.process.pid}/task"
        # the toy's threads have begun
        sender.until(lambda: len(os.listdir(comm)) >= 4, "the guest runs")
        cancel(sender, number, 1, "cancelled before it began")


def sending(number, program, most, ends=True, status=1):
    with receiver_for(program, status=status) as receiver, \
            Valve(f"{FOLDER}/valve", SOCKET, most, ends) as valve, \
            Program(*command(program, f"unix:{FOLDER}/valve", "--ring", 1)) as sender:
        if not valve.wait(sender.ended):
            raise Failed(f"it has ended: {sender.said()}")
        cancel(sender, number, status, "the migration was cancelled")
        # by then the destination has a part of it; a file that holds nothing it removes
        try:
            only_of(receiver.memory("ram0"), image("ram0", PAGES))
        except FileNotFoundError:
            if most is None or most >= DATA // 10:
                raise


def telling_sender(number, program):
    with stuck_pipe() as stuck, receiver_for(program) as receiver, \
            Program(*command(program, receiver.address), stdout=stuck) as sender:
        if receiver.wait():
            raise Failed(f"mfdrecv fails: {receiver.said()}")
        # it waits in a write
        sender.until(lambda: waits_for_pipe(sender.process.pid), "it writes")
        cancel(sender, number, UNREPORTED, "cancelled before that could be reported")


def waits_for_pipe(pid):
    with open(f"/proc/{pid}/syscall", encoding="ascii") as call:
        return call.read().split()[:2] == ["1", "0x1"]


SENDER_POINTS = (
    ("before it begins", pending_sender), ("while QMP is silent", silent, ("--peer-qmp", SOCKET)),
    ("in the handshake", in_source_handshake),
    ("with nothing sent", sending, 0), ("with the first byte", sending, 1),
    ("with the first pages", sending, 150000), ("with a tenth", sending, DATA // 10),
    ("with a half", sending, DATA // 2), ("with four fifths", sending, DATA * 4 // 5),
    ("before the end is taken", sending, None, False, UNKNOWN), ("when it tells", telling_sender))

for _program in ("mfdsend", "mfddemo"):
    all_signals(_program, [(name, function, _program, *rest)
                           for name, function, *rest in SENDER_POINTS], there)
there("mfddemo, SIGTERM while the guest warms up", signal.SIGTERM, warm_up,
      "mfddemo")(signalled)


@there("mfdsend, what is wrong with a file is said before it connects")
def images_checked():
    fresh_folder()
    fifo, empty, odd = (f"{FOLDER}/{name}" for name in ("fifo", "empty", "odd"))
    os.mkfifo(fifo)
    for path, size in ((empty, 0), (odd, 4097)):
        with open(path, "wb") as out:
            out.truncate(size)
    for what, words in ((fifo, "neither a file nor a block device"), (FOLDER, "it is a folder"),
                        ("/dev/zero", "neither a file"), (empty, "it is empty"),
                        (odd, "not a multiple of 4096"), (f"{FOLDER}/none", "No such file")):
        for how in ("--block", "--block-fd"):
            with Program(f"{BUILD}/mfdsend", "--to", f"unix:{SOCKET}", how,
                         f"ram0={what}") as sender:
                sender.must_end(1, words)


@there("mfdsend, a block device")
def from_block_device():
    fresh_folder()
    subprocess.run(["modprobe", "loop"], check=True)
    with open(image("ram0", PAGES), "rb") as memory, open(f"{FOLDER}/disk", "wb") as disk:
        disk.write(memory.read())
    device = subprocess.run(["losetup", "-f", "--show", f"{FOLDER}/disk"], check=True, text=True,
                            stdout=subprocess.PIPE).stdout.strip()
    try:
        with recv_matrix.Receiver() as receiver, \
                Program(f"{BUILD}/mfdsend", "--to", receiver.address, "--block",
                        f"ram0={device}") as sender:
            sender.must_end(0)
            receiver.must_work()
            receiver.compare(lambda _: image("ram0", PAGES))
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


@there("mfddemo, files for the end are looked at before")
def outputs_checked():
    fresh_folder()
    for option in ("--dump", "--state"):
        with Program(*command("mfddemo", f"unix:{SOCKET}", option, f"{FOLDER}/none/x")) as sender:
            sender.must_end(1, f"{FOLDER}/none/x: No such file")
    # and it is not lost if it is the same as another
    copy = f"{FOLDER}/copy"
    shutil.copy(image("ram0", PAGES), copy)
    with Program(f"{BUILD}/mfddemo", "--guest", "toy", "--to", f"unix:{SOCKET}", "--image", copy,
                 "--dump", copy) as sender:
        sender.must_end(1)
    must_equal(copy, image("ram0", PAGES))


@there("mfddemo, a dump that cannot be written")
def dump_bad():
    sent("mfddemo", UNREPORTED, "/dev/full: No space left", options=("--dump", "/dev/full"))


@there("mfdsend and mfddemo, summaries and errors as JSON")
def sender_json():
    for program in ("mfdsend", "mfddemo"):
        with receiver_for(program) as receiver:
            done = subprocess.run([str(word) for word in command(program, receiver.address,
                                                                 "--json")],
                                  check=False, capture_output=True, text=True, timeout=100)
            told = json.loads(done.stdout)
            if done.returncode or not told["complete"] or told["pages"] < PAGES:
                raise Failed(f"{program}: {done}")
        done = subprocess.run([str(word) for word in command(program, f"unix:{FOLDER}/none",
                                                             "--json")],
                              check=False, capture_output=True, text=True, timeout=100)
        told = json.loads(done.stdout)
        if done.returncode != 1 or told["complete"] or told["errno"] != "ENOENT":
            raise Failed(f"{program}: {done}")


def to_used_memory(options, equal):
    """A destination whose file holds something where the source has nothing."""
    fresh_folder()
    with open(f"{FOLDER}/ram0.memory", "wb") as memory:
        memory.write(b"old " * (PAGES * PAGE // 4))
    with Destination(matrix.QEMU["stable"], FOLDER, [("ram0", PAGES * PAGE)], 2) as destination:
        with Program(*command("mfdsend", destination.address, *options)) as sender:
            sender.must_end(0)
        destination.wait()
        if (difference(destination.memory("ram0"), image("ram0", PAGES)) is None) != equal:
            raise Failed(f"it is {'not ' * equal}the same")


there("mfdsend to a file that holds something, which QMP tells", ("--peer-qmp", f"{FOLDER}/peer.qmp"),
      True)(to_used_memory)
there("mfdsend to a file that holds something, --fresh no", ("--fresh", "no"), True)(to_used_memory)
there("mfdsend to a file that holds something, --fresh yes", ("--fresh", "yes", "--peer-qmp", f"{FOLDER}/peer.qmp"),
      False)(to_used_memory)


# --- mfdctl

def ctl(status, *arguments, **settings):
    with Program(f"{BUILD}/mfdctl", *arguments, **settings) as program:
        program.must_end(status)
        return program.said()


for _closed in SUBSETS:
    @there(f"mfdctl without {_closed}", _closed,
           quick=_closed in ((0, 1, 2), (1,)))
    def ctl_closed(closed):
        fresh_folder()
        for arguments in (("info",), ("stats", "--json"), ("top", "-b", "-n", "1")):
            ctl(0, *arguments, closed=closed)


@there("mfdctl, stdout full, or ended")
def ctl_bad():
    fresh_folder()
    for arguments in (("info",), ("stats",), ("top", "-n", "1"), ("--help",), ("--version",)):
        with open("/dev/full", "wb") as full:
            ctl(UNREPORTED, *arguments, stdout=full)
        with end_of_pipe() as ended:
            ctl(UNREPORTED, *arguments, stdout=ended)
    with end_of_pipe() as ended:
        for arguments in (("stats", "--watch=0.1"), ("top", "-b", "-d", "0.1")):
            with Program(f"{BUILD}/mfdctl", *arguments, stdout=ended) as program:
                if program.process.wait(PROMPT) not in (1, UNREPORTED):
                    raise Failed(f"{arguments}: {program.process.returncode}")


if __name__ == "__main__":
    sys.exit(recv_matrix.main(FOLDER))

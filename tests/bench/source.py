# SPDX-License-Identifier: GPL-2.0-only
"""Sources of a migration that can be measured side by side: ours, and a stock QEMU.

Both have the same memory, with the same pages mapped in, before the time begins.
CPU time is what the scheduler says, in nanoseconds, of the source's process with all
its threads, which make packets as well, and of the module's workers. Beside these
stands what the machine as a whole was busy, less the destination: whatever is charged to
nobody is in there.
"""

import json
import os
import random
import socket
import subprocess
import time

from qemu import Failed, Qmp
from qemu_dest import PAGE, Destination, difference
from qemu_source import Source

TOP = os.path.realpath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
BUILD = os.environ.get("MZP_BUILD", f"{TOP}/build")
PROGRAMS = f"{BUILD}/tests/bench"
PATIENCE = 300
OURS = "multifd_zp"


# --- what was spent

def process_seconds(pid):
    """CPU time of a process, with its threads that have ended."""
    # the kernel's own encoding: the scheduler's clock of a process
    return time.clock_gettime(~pid << 3 | 2)


def thread_seconds(task):
    """CPU time of one thread, by its folder below /proc."""
    with open(f"{task}/schedstat", encoding="ascii") as stat:
        return int(stat.read().split()[0]) / 1e9


def thread_name(task):
    with open(f"{task}/comm", encoding="utf-8", errors="replace") as comm:
        return comm.read().strip()


def module_threads(name):
    """The folders of the module's kernel threads that are called so, with a number."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if thread_name(f"/proc/{pid}").startswith(f"{name}/"):
                found.append(f"/proc/{pid}")
        except OSError:
            continue
    if not found:
        raise Failed(f"there is no kernel thread {name}")
    return found


def workers_seconds():
    """CPU time of the module's workers."""
    return sum(map(thread_seconds, module_threads("multifd_zp")))


def machine_idle():
    """Seconds that CPUs have been idle, all together."""
    with open("/proc/stat", encoding="ascii") as stat:
        fields = stat.readline().split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def loopback_bytes():
    with open("/sys/class/net/lo/statistics/tx_bytes", encoding="ascii") as stat:
        return int(stat.read())


class Window:
    """What is spent from now until end(), and by whom."""

    def __init__(self, source, destination):
        self.pids = {"process_s": source.pid, "destination_s": destination}
        self.workers = module_threads("multifd_zp")
        self.before = self.sample()

    def sample(self):
        now = {"wall_s": time.monotonic(), "idle": machine_idle(), "wire": loopback_bytes(),
               "workers_s": sum(map(thread_seconds, self.workers))}
        for name, pid in self.pids.items():
            now[name] = process_seconds(pid)
        return now

    def end(self):
        after = self.sample()
        spent = {name: after[name] - value for name, value in self.before.items()}
        busy = spent["wall_s"] * os.cpu_count() - spent.pop("idle")
        spent["machine_s"] = busy - spent["destination_s"]
        spent["source_s"] = spent["process_s"] + spent["workers_s"]
        return spent


class Syscalls:
    """Counts the system calls of a process and of the threads that it starts."""

    FOLDER = "/sys/kernel/tracing/instances/bench"

    def __init__(self, pid):
        if os.path.exists(self.FOLDER):
            # of a run that failed
            os.rmdir(self.FOLDER)
        os.mkdir(self.FOLDER)
        # only how many, so what the buffer cannot hold does not matter
        self.put("buffer_size_kb", 4)
        self.put("options/event-fork", 1)
        self.put("set_event_pid", " ".join(os.listdir(f"/proc/{pid}/task")))
        self.put("events/raw_syscalls/sys_enter/enable", 1)

    def put(self, name, value):
        with open(f"{self.FOLDER}/{name}", "w", encoding="ascii") as file:
            file.write(f"{value}\n")

    def end(self):
        """How many; and no more counting."""
        self.put("events/raw_syscalls/sys_enter/enable", 0)
        total = 0
        for cpu in os.listdir(f"{self.FOLDER}/per_cpu"):
            with open(f"{self.FOLDER}/per_cpu/{cpu}/stats", encoding="ascii") as stats:
                for line in stats:
                    name, _, value = line.partition(":")
                    if name in ("entries", "overrun"):
                        total += int(value)
        os.rmdir(self.FOLDER)
        return total


class Latency:
    """How late threads get their CPUs, from now until end()."""

    def __init__(self):
        self.program = subprocess.Popen([f"{PROGRAMS}/latency"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        if not self.program.stdout.readline():
            raise Failed("the latencies cannot be measured")

    def end(self):
        """The distribution: a list of [microseconds, how often]."""
        return json.loads(self.program.communicate()[0])


def status_of(pid):
    """What a process has in memory, in bytes.

    What a thread maps is counted up to 64 faults late by Linux before 6.2: for a file,
    where a fault maps 16 pages, that is up to 4 MiB."""
    status = {}
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name in ("VmHWM", "VmRSS", "RssAnon", "RssShmem", "VmPTE"):
                status[name] = int(value.split()[0]) * 1024
    return status


# --- memory

def extents(file, size):
    """The parts of a file that it has pages for."""
    at = 0
    while True:
        try:
            at = os.lseek(file, at, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(file, at, os.SEEK_HOLE)
        yield at, min(end, size)
        at = end


def differs(path, expected):
    """None or what differs, without reading what neither file has pages for."""
    if os.path.getsize(path) != os.path.getsize(expected):
        return difference(path, expected)
    size, step = os.path.getsize(path), 256 * PAGE
    with open(path, "rb", buffering=0) as a, open(expected, "rb", buffering=0) as b:
        for file in (a, b):
            for at, end in extents(file.fileno(), size):
                for start in range(at, end, step):
                    length = min(step, end - start)
                    if (os.pread(a.fileno(), length, start) !=
                            os.pread(b.fileno(), length, start)):
                        return difference(path, expected)
    return None


# --- sources

class Ours:
    """The sender of these benchmarks, on libmfd and the module."""

    def __init__(self, folder, memory, address, channels, method, zero=None, private=False,
                 rounds=1, dirty=0, hold=False, first="all", machine="none", mute=False):
        arguments = [f"{PROGRAMS}/sender", "--to", address, "--memory", memory,
                     "--channels", str(channels), "--method", method, "--first", first,
                     "--machine", machine, "--rounds", str(rounds), "--dirty", str(dirty)]
        arguments += ["--zero", zero] if zero else []
        arguments += ["--private"] if private else []
        arguments += ["--hold"] if hold else []
        arguments += ["--mute"] if mute else []
        self.workers = workers_seconds()
        self.messages = f"{folder}/sender.messages"
        with open(self.messages, "wb") as log:
            self.program = subprocess.Popen(arguments, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log, text=True)
        self.pid = self.program.pid
        try:
            self.expect("ready")
        except Failed:
            self.kill()
            raise

    def expect(self, state):
        """Wait for what it says next."""
        line = self.program.stdout.readline()
        said = json.loads(line) if line else {"state": "ended"}
        if said["state"] != state:
            with open(self.messages, encoding="utf-8") as log:
                raise Failed(f"the sender is {said['state']}, not {state}: {log.read().strip()}")
        return said

    def go(self):
        """On with it."""
        self.program.stdin.write("\n")
        self.program.stdin.flush()

    def spent(self):
        """CPU time of all that work for the migration, so far."""
        return process_seconds(self.pid) + workers_seconds()

    def first_round(self):
        """Begin, and stop when all pages have been sent once. Return its CPU time."""
        before = self.spent()
        self.go()
        self.expect("held")
        return self.spent() - before

    def other_rounds(self):
        """Send what is written again and again, and stop before the end. Return the CPU
        time, with that of writing, which is in finish()."""
        return self.first_round()

    def go_on(self):
        """To the end."""
        self.go()

    def held(self):
        """When all is in the rings: what the module says of the session."""
        self.expect("held")
        threads = {"workers_s": workers_seconds() - self.workers}
        done = subprocess.run([f"{BUILD}/mfdctl", "stats", "--json"], stdout=subprocess.PIPE,
                              check=True)
        session = json.loads(done.stdout)["sessions"][0]
        return {**threads, "busy_s": session["busy"] / 1e9,
                "reader_s": session["reader-time"] / 1e9, "memory": session["memory"],
                "left": session["left"], "ring_full": session["ring-full"],
                "ring_empty": session["ring-empty"], "packets": session["packets"]}

    def finish(self):
        """When it is through: its own figures."""
        said = self.expect("done")
        return {"sent": said["bytes"], "pages": said["pages"], "normal": said["normal"],
                "said_s": said["seconds"], "submit_s": said["submit_ns"] / 1e9,
                "wait_s": said["wait_ns"] / 1e9, "write_s": said["write_ns"] / 1e9,
                "rounds_s": said["round_ns"] / 1e9}

    def kill(self):
        self.program.kill()
        self.program.wait()
        self.program.stdin.close()
        self.program.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class EventQmp(Qmp):
    """A QMP connection that can wait for a migration's state."""

    def __init__(self, path, alive):
        self.states = []
        self.passes = 0
        super().__init__(path, alive)
        self.sock.settimeout(PATIENCE)
        self("migrate-set-capabilities",
             capabilities=[{"capability": "events", "state": True}])

    def _line(self):
        line = super()._line()
        if line.get("event") == "MIGRATION":
            self.states.append(line["data"]["status"])
        if line.get("event") == "MIGRATION_PASS":
            self.passes = line["data"]["pass"]
        return line

    def until(self, state):
        """Wait for an event that says so."""
        self._wait(state, lambda: state in self.states, ("failed",))

    def until_pass(self, number):
        """Wait until it has looked for written pages for that time."""
        self._wait(f"pass {number}", lambda: self.passes >= number,
                   ("failed", "pre-switchover", "completed"))

    def _wait(self, what, condition, too_late):
        try:
            while not condition():
                for state in too_late:
                    if state in self.states:
                        raise Failed(f"the migration is {state}, and was not {what}")
                self._line()
        except OSError as error:
            raise Failed(f"not {what} after {PATIENCE} s, but {self.states}") from error


class Writer:
    """Writes to pages of a QEMU's guest that is stopped, as its devices would."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        try:
            self.sock.connect(path)
        except OSError as error:
            raise Failed(f"{path}: {error}") from error
        self.answers = self.sock.makefile("rb")

    def write(self, pages):
        """Eight bytes of each; QEMU has noted all of them when this returns."""
        lines = [f"write {page * PAGE:#x} 8 0x{random.randbytes(8).hex()}\n" for page in pages]
        try:
            # what they are answered with fits in the socket, so nobody waits for anybody
            self.sock.sendall("".join(lines).encode())
            wrong = [line for line in lines if self.answers.readline() != b"OK\n"]
        except OSError as error:
            raise Failed(f"QEMU does not write to its memory: {error}") from error
        if wrong:
            raise Failed(f"QEMU did not do {len(wrong)} of {len(lines)} writes: {wrong[0]}")

    def close(self):
        self.answers.close()
        self.sock.close()


class Stock:
    """A stock QEMU that has this memory.

    With several rounds its guest's pages are written while it migrates. A QEMU makes its
    rounds by itself, one after the other until few pages are left, so it is held back
    by its limit of bandwidth at the beginning of each until the pages for the next are
    written. That makes its rounds last, but is nothing to its CPUs. And it has to be a
    machine with a CPU, which does not run: QEMU writes through that.
    """

    FAST, SLOW = 1 << 40, 1 << 20

    def __init__(self, qemu, folder, memory, address, channels, method, zero=None,
                 private=False, zero_copy=False, hold=False, rounds=1, dirty=0, machine=None):
        size = os.path.getsize(memory)
        options = ["-name", "source,debug-threads=on",
                   "-qmp", f"unix:{folder}/events.qmp,server=on,wait=off"]
        settings = {"multifd_channels": channels, "multifd_compression": method,
                    "max_bandwidth": self.FAST if rounds == 1 else self.SLOW}
        if zero:
            settings["zero_page_detection"] = zero
        if hold:
            # as little as can be is left for when it has paused
            settings["downtime_limit"] = 1
        if private:
            options += ["-machine", "none,memory-backend=ram0", "-S", "-m", f"{size}B",
                        "-object", f"memory-backend-ram,id=ram0,size={size}"]
        if rounds > 1:
            options += ["-machine", machine, "-qtest-log", "none",
                        "-qtest", f"unix:{folder}/qtest,server=on,wait=off"]
        self.address = address
        self.rounds = rounds
        self.dirty = size // PAGE * dirty // 100
        # below are places that are not memory
        self.pages = range((1 << 20) // PAGE, size // PAGE)
        self.writer = None
        self.source = Source(qemu, folder, None if private else memory, size, options, **settings)
        self.pid = self.source.process.pid
        try:
            self.events = EventQmp(f"{folder}/events.qmp",
                                   lambda: self.source.process.poll() is None)
            self.capability("zero-copy-send", zero_copy)
            self.capability("pause-before-switchover", hold)
            self.bring(memory, size, private)
            if rounds > 1:
                self.writer = Writer(f"{folder}/qtest")
        except Failed:
            self.source.kill()
            raise

    def capability(self, name, state):
        self.source.qmp("migrate-set-capabilities",
                        capabilities=[{"capability": name, "state": state}])

    def where(self, memory, size, private):
        """The address of its RAM."""
        with open(f"/proc/{self.pid}/maps", encoding="utf-8") as maps:
            for line in maps:
                addresses, *_, name = line.split()
                start, end = (int(address, 16) for address in addresses.split("-"))
                if name == memory and not private or private and end - start == size:
                    return start
        raise Failed("QEMU's memory is not to be found")

    def bring(self, memory, size, private):
        """Map in what the file has pages for, as a guest would have by using it."""
        start = self.where(memory, size, private)
        with open(memory, "rb", buffering=0) as file, \
                open(f"/proc/{self.pid}/mem", "r+b", buffering=0) as mem:
            for at, end in extents(file.fileno(), size):
                for part in range(at, end, 256 * PAGE):
                    length = min(256 * PAGE, end - part)
                    if private:
                        os.pwrite(mem.fileno(), os.pread(file.fileno(), length, part),
                                  start + part)
                    else:
                        os.pread(mem.fileno(), length, start + part)

    def go(self):
        self.source.migrate(self.address)

    def spent(self):
        """CPU time of the threads that migrate, so far."""
        return sum(self.threads().values())

    def first_round(self):
        """Begin, and hold back when all pages have been sent once. Return its CPU time."""
        self.go()
        self.events.until("active")
        self.dirty_and_on()
        self.events.until_pass(2)
        self.speed(self.SLOW)
        return self.spent()

    def other_rounds(self):
        """Send what is written again and again, and stop before the end. Return the CPU
        time; what writes is another thread."""
        before = self.spent()
        for number in range(2, self.rounds):
            self.events.until_pass(number)
            self.speed(self.SLOW)
            self.dirty_and_on()
        self.events.until_pass(self.rounds)
        self.speed(self.FAST)
        self.events.until("pre-switchover")
        return self.spent() - before

    def go_on(self):
        """To the end."""
        self.source.qmp("migrate-continue", state="pre-switchover")

    def speed(self, limit):
        self.source.qmp("migrate-set-parameters", max_bandwidth=limit)

    def dirty_and_on(self):
        self.writer.write(random.sample(self.pages, self.dirty))
        self.speed(self.FAST)

    def held(self):
        """Before the end: what its threads have spent."""
        self.events.until("pre-switchover")
        threads = self.threads()
        self.go_on()
        return threads

    def threads(self):
        """What the threads that migrate have spent, by their kind."""
        threads = {}
        for tid in os.listdir(f"/proc/{self.pid}/task"):
            task = f"/proc/{self.pid}/task/{tid}"
            name = thread_name(task)
            if name.startswith("mig/src/"):
                kind = "vmm_s" if name == "mig/src/main" else "channels_s"
                threads[kind] = threads.get(kind, 0) + thread_seconds(task)
        if "vmm_s" not in threads:
            raise Failed("QEMU has no migration thread")
        return threads

    def finish(self):
        self.source.wait()
        said = self.source.qmp("query-migrate")
        return {"sent": said["ram"]["transferred"], "pages": said["ram"]["total"] // PAGE,
                "normal": said["ram"]["normal"], "said_s": said["total-time"] / 1000}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.writer:
            self.writer.close()
        self.events.close()
        self.source.__exit__()


# --- destinations

class Receiver(Destination):
    """A stock QEMU that says when it has everything."""

    def __init__(self, qemu, folder, size, channels, method, machine=None):
        super().__init__(qemu, folder, [("ram0", size)], channels, "tcp", machine=machine,
                         multifd_compression=method)
        try:
            self.events = EventQmp(self.peer_qmp, lambda: self.process.poll() is None)
        except Failed:
            self.kill()
            raise
        self.pid = self.process.pid

    def arrived(self):
        self.events.until("completed")

    def check(self, expected):
        """Failed if it has not what it should have."""
        what = differs(self.memory("ram0"), expected)
        if what:
            raise Failed(f"the memories differ: {what}")

    def __exit__(self, *arguments):
        self.events.close()
        super().__exit__(*arguments)


class Sink:
    """A destination that throws everything away."""

    def __init__(self, channels):
        self.process = subprocess.Popen([f"{PROGRAMS}/sink", str(channels + 1)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        text=True)
        self.pid = self.process.pid
        self.address = f"tcp:127.0.0.1:{self.process.stdout.readline().strip()}"

    def arrived(self):
        if not self.process.stdout.readline():
            raise Failed("the sink has given up")

    def check(self, expected):
        """It has nothing."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.stdout.close()
        self.process.wait()

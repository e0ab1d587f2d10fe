# SPDX-License-Identifier: GPL-2.0-only
"""Everybody at once: sessions come and go while others look, limit, cancel and listen."""

import errno
import mmap
import os
import platform
import random
import subprocess

from genl import NR, Link, Refused, text, u32, u64
from kit import NOBODY, TOP, must, same, stats, test, until
from sender import FRESH, NONE, ZLIB, Memory, Session

LIVES = 40
# What a session can never take: its memory is counted in differences.
ABSURD = 1 << 40
# A session that has gone meanwhile, or is not set up yet.
LATE = (errno.ENOENT, errno.ENXIO)
# No such family; or it is just about to go.
GONE = (errno.ENOENT, errno.EPROTONOSUPPORT)


def value(attrs, name):
    """A session that is not set up has less to say."""
    return int.from_bytes(attrs.get(NR["MZP_A_" + name], b""), "little")


def late(call, *arguments):
    """The call, which may come too late; None then."""
    try:
        return call(*arguments)
    except Refused as error:
        must(error.errno in LATE, arguments, error)
    return None


def live(rnd):
    """Sessions of all kinds, one after the other, that end in all ways."""
    memory = Memory(300, 100, 50)
    cut_off = (errno.ECANCELED, errno.EPIPE, errno.ETIMEDOUT)
    for _ in range(LIVES):
        try:
            with Session(rnd.choice((0, 1, 2, 4)), method=rnd.choice((NONE, NONE, ZLIB)),
                         ring=rnd.choice((1, 8)), packet_pages=rnd.choice((7, 128))) as session:
                if not session.channels:
                    continue
                if rnd.random() < 0.8:
                    session.read_on()
                block = session.block(memory)
                for _ in range(rnd.randrange(1, 4)):
                    session.send(block, 0, memory.pages, rnd.choice((0, FRESH)))
                    session.sync()
                if session.readers and rnd.random() < 0.7:
                    session.wait(timeout=0.2)
        except OSError as error:
            must(error.errno in cut_off, error)


def look(rnd, stop):
    """At all of them and at each; what they say must make sense."""
    link = Link()
    while not stop():
        for cmd, kind, key in (("SESSION_GET", "SESSION", "SESSION_ID"),
                               ("CHANNEL_GET", "CHANNEL", "CHANNEL_SESSION")):
            seen = link.dump(cmd)
            for one in seen:
                for name in ("MEMORY", "PAGES_HELD", "RING_PACKETS"):
                    must(value(one, f"{kind}_{name}") < ABSURD, kind, name, one)
                must(value(one, f"{kind}_RING_PACKETS") <= value(one, f"{kind}_RING_SIZE"), one)
            if seen:
                number = value(rnd.choice(seen), key)
                late(link.do, "SESSION_GET", u64("SESSION_ID", number))
                late(link.do, "CHANNEL_GET",
                     u64("CHANNEL_SESSION", number) + u32("CHANNEL_ID", 0))
                late(link.dump, "CHANNEL_GET", u64("CHANNEL_SESSION", number))
        link.dump("WORKER_GET")
    link.close()


def rule(rnd, stop):
    """Limit all of them in all ways, and cancel some."""
    link = Link()
    while not stop():
        for one in link.dump("SESSION_GET"):
            number = u64("SESSION_ID", value(one, "SESSION_ID"))
            dice = rnd.random()
            if dice < 0.1:
                late(link.do, "SESSION_CANCEL", number)
            elif dice < 0.6:
                rate = rnd.choice((0, 0, 50000, 1000000, 1 << 40, (1 << 64) - 1))
                late(link.do, "SESSION_LIMIT", number + u64("SESSION_RATE", rate))
            else:
                cpus = rnd.choice(("", "0", "1", "0-1"))
                late(link.do, "SESSION_LIMIT", number + text("SESSION_CPUS", cpus))
    link.close()


def listen(_, stop):
    """With little room, so that events are lost."""
    link = Link(4096)
    link.listen()
    link.sock.settimeout(0.2)
    while not stop():
        try:
            link.events()
        except TimeoutError:
            pass
    link.close()


def pry(_, stop):
    """As another user: nothing is to be seen or done."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    link = Link()
    number = 1
    while not stop():
        same(link.dump("SESSION_GET") + link.dump("CHANNEL_GET"), [], "what others see")
        for cmd in ("SESSION_GET", "SESSION_CANCEL", "SESSION_LIMIT"):
            number += 1
            try:
                link.do(cmd, u64("SESSION_ID", number))
            except Refused as error:
                must(error.errno in (errno.EPERM, errno.ENOENT), cmd, error)
            else:
                must(False, cmd, "is done for another user")
    link.close()


def start(what, seed, *arguments):
    """In a process of its own, which ends with status 0 if all is well."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        what(random.Random(seed), *arguments)
        status = 0
    except BaseException as error:  # pylint: disable=broad-except
        print(f"# {what.__name__}: {error!r}", flush=True)
    finally:
        os._exit(status)


def sessions():
    link = Link()
    count = value(link.do("INFO_GET"), "INFO_SESSIONS")
    link.close()
    return count


@test
def everybody_at_once():
    """Until three have lived all their sessions: no errors but those of coming too late, no
    counters that cannot be, and nothing is left."""
    flag = "/tmp/stop-it"
    others = [start(what, seed, lambda: os.path.exists(flag)) for seed, what in
              enumerate((look, look, rule, listen, pry))]
    lives = [start(live, 10 + seed) for seed in range(3)]
    status = [os.waitpid(pid, 0)[1] for pid in lives]
    with open(flag, "wb"):
        pass
    status += [os.waitpid(pid, 0)[1] for pid in others]
    os.unlink(flag)
    same(status, [0] * 8, "how they ended")
    until(lambda: not sessions(), "no sessions")
    same(stats()["sessions"], [], "sessions")


def ask(_, stop, seen, at):
    """Whatever there is, from a module that comes and goes; @seen counts what was found."""
    while not stop():
        try:
            link = Link()
            while not stop():
                link.dump("CHANNEL_GET")
                link.dump("WORKER_GET")
                link.do("INFO_GET")
                seen[at] += 1
            link.close()
        except Refused as error:
            must(error.errno in GONE, error)
            seen[at + 1] += 1


@test
def unloaded_while_asked():
    """Requests either find the module or do not, and it can always be unloaded."""
    flag = "/tmp/stop-asking"
    module = os.environ.get("MZP_MODULE",
                            f"{TOP}/build/kmod/{platform.release()}/multifd_zp.ko")
    seen = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
    pids = [start(ask, 0, lambda: os.path.exists(flag), seen, at) for at in (0, 2)]

    def next_one(kind):
        before = list(seen[kind:4:2])
        until(lambda: all(now > old for now, old in zip(seen[kind:4:2], before)),
              "two who ask" if kind == 0 else "two who ask in vain")

    for _ in range(10):
        next_one(0)
        until(lambda: not subprocess.run(["rmmod", "multifd_zp"], check=False,
                                         stderr=subprocess.DEVNULL).returncode, "unloading")
        next_one(1)
        subprocess.run(["insmod", module], check=True)
    with open(flag, "wb"):
        pass
    status = [os.waitpid(pid, 0)[1] for pid in pids]
    os.unlink(flag)
    same(status, [0, 0], "how they ended")
    print(f"# asked {seen[0] + seen[2]} times, and {seen[1] + seen[3]} times in vain")

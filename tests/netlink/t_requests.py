# SPDX-License-Identifier: GPL-2.0-only
"""Requests that are wrong: each gets an error and an explanation, and changes nothing."""

import contextlib
import errno
import os
import struct
import subprocess
import sys

from genl import ACK, DUMP, NR, Link, Refused, attr, text, u32, u64
from kit import must, same, session_stats, stats, test, until
from sender import ZLIB, ZSTD, Session

# What the kernel's parser of lists says, and what is said of things that are none.
PARSER = (errno.EINVAL, errno.ERANGE, errno.EOVERFLOW)
NONE = (errno.EINVAL, errno.ERANGE, errno.EOPNOTSUPP, errno.ENOENT)
# MULTIFD_ZP_CPUS_LEN
CPUS_LEN = 2048


def refused(code, said, call, *arguments):
    """The call must fail with this error, or one of these, and with words that say so."""
    try:
        got = call(*arguments)
    except Refused as error:
        must(error.errno in (code if isinstance(code, tuple) else (code,)),
             str(arguments)[:200], error)
        must(error.said, arguments, "is refused without a word")
        must(said in error.said, f"{arguments}: {error.said!r} does not say {said!r}")
        return
    must(False, arguments, "is not refused:", got)


@test
def what_a_request_lacks():
    link = Link()
    with Session() as session, Session(0) as new:
        for cmd in ("SESSION_GET", "SESSION_CANCEL", "SESSION_LIMIT"):
            refused(errno.EINVAL, "id is missing", link.do, cmd)
        refused(errno.EINVAL, "missing", link.do, "CHANNEL_GET")
        refused(errno.EINVAL, "missing", link.do, "CHANNEL_GET",
                u64("CHANNEL_SESSION", session.id))
        refused(errno.EINVAL, "missing", link.do, "CHANNEL_GET", u32("CHANNEL_ID", 0))
        refused(errno.EINVAL, "missing", link.do, "WORKER_GET")
        # what there is not
        for cmd in ("SESSION_GET", "SESSION_CANCEL", "SESSION_LIMIT"):
            refused(errno.ENOENT, "no session", link.do, cmd, u64("SESSION_ID", 1 << 63))
            refused(errno.ENOENT, "no session", link.do, cmd, u64("SESSION_ID", 0))
        refused(errno.ENOENT, "no session", link.do, "CHANNEL_GET",
                u64("CHANNEL_SESSION", 1 << 63) + u32("CHANNEL_ID", 0))
        refused(errno.ENOENT, "no session", link.dump, "CHANNEL_GET",
                u64("CHANNEL_SESSION", 1 << 63))
        for number in (1, 255, 0xffffffff):
            refused(errno.ENOENT, "channel", link.do, "CHANNEL_GET",
                    u64("CHANNEL_SESSION", session.id) + u32("CHANNEL_ID", number))
        refused(errno.ENOENT, "CPU", link.do, "WORKER_GET", u32("WORKER_CPU", 0xffffffff))
        # what is not set up has nothing to cancel or to limit, and no channels
        for cmd in ("SESSION_CANCEL", "SESSION_LIMIT"):
            refused(errno.ENXIO, "not set up", link.do, cmd, u64("SESSION_ID", new.id))
        refused(errno.ENXIO, "not set up", link.do, "CHANNEL_GET",
                u64("CHANNEL_SESSION", new.id) + u32("CHANNEL_ID", 0))
        same(link.dump("CHANNEL_GET", u64("CHANNEL_SESSION", new.id)), [], "its channels")
        same(session_stats(session.id)[0]["state"], "active", "state")
    link.close()


@test
def attributes_of_wrong_kinds():
    """Unknown, too short, too long, out of range, without an end, nested where none belongs."""
    link = Link()
    with Session() as session:
        good = u64("SESSION_ID", session.id)
        for cmd in ("SESSION_GET", "SESSION_CANCEL", "SESSION_LIMIT"):
            for wrong in (attr("SESSION_ID", b""), attr("SESSION_ID", b"\1"),
                          attr("SESSION_ID", b"\1\0\0\0"), attr("SESSION_ID", bytes(16)),
                          # nested, it says
                          attr(NR["MZP_A_SESSION_ID"] | 0x8000, struct.pack("=Q", session.id)),
                          good + u64("SESSION_AGE", 1), good + u64(200, 1), good + u32(0, 1),
                          good + u64(0x3fff, 1)):
                refused(errno.EINVAL, "", link.do, cmd, wrong)
        for wrong in (attr("SESSION_RATE", b"\1\0\0\0"), attr("SESSION_RATE", b"")):
            refused(errno.EINVAL, "", link.do, "SESSION_LIMIT", good + wrong)
        for wrong in (attr("SESSION_CPUS", b"0"), attr("SESSION_CPUS", b"")):
            refused(errno.EINVAL, "", link.do, "SESSION_LIMIT", good + wrong)
        refused(errno.EINVAL, "", link.do, "SESSION_LIMIT",
                good + text("SESSION_CPUS", "0," * 1024 + "0"))
        for method in (3, 0xffffffff):
            refused(errno.ERANGE, "", link.do, "INFO_GET", u32("INFO_METHOD", method))
        refused(errno.EINVAL, "", link.do, "INFO_GET", u32("INFO_SESSIONS", 1))
        refused(errno.EINVAL, "", link.do, "WORKER_GET", u32("WORKER_CPU", 0) + u32("WORKER_UP", 1))
        shown, _ = session_stats(session.id)
        same((shown["state"], shown["rate"]), ("active", 0), "what has changed")
    link.close()


@test
def cpus_that_cannot_be():
    link = Link()
    os.sched_setaffinity(0, {0})
    with Session() as session:
        before, _ = session_stats(session.id)
        same(before["cpus"], "0", "CPUs that the caller may run on")
        good = u64("SESSION_ID", session.id)
        for wrong in ("x", "0-", "-1", "0-x", "1-0", "0,,x", "0xf", "0;1", "0-1:2/0",
                      "4294967296", "\xff"):
            refused(PARSER, "list of CPUs", link.do, "SESSION_LIMIT",
                    good + text("SESSION_CPUS", wrong))
        # a list, but of CPUs that there cannot be
        for wrong in ("99999", "63", "0,63", "0-63"):
            refused(errno.ERANGE, "no such CPU", link.do, "SESSION_LIMIT",
                    good + text("SESSION_CPUS", wrong))
        # a list, but of CPUs that the session was not set up with
        refused(errno.EINVAL, "none of these CPUs", link.do, "SESSION_LIMIT",
                good + text("SESSION_CPUS", "1"))
        # one that does not fit changes nothing else either
        refused(errno.EINVAL, "none of these CPUs", link.do, "SESSION_LIMIT",
                good + text("SESSION_CPUS", "1") + u64("SESSION_RATE", 5))
        shown, _ = session_stats(session.id)
        same((shown["cpus"], shown["rate"]), (before["cpus"], 0), "what is in force")
        # an empty one is what it was set up with; the largest rate is one
        link.do("SESSION_LIMIT", good + text("SESSION_CPUS", "0-1"))
        same(session_stats(session.id)[0]["cpus"], "0", "CPUs")
        link.do("SESSION_LIMIT", good + text("SESSION_CPUS", "") +
                u64("SESSION_RATE", (1 << 64) - 1))
        shown, _ = session_stats(session.id)
        same((shown["cpus"], shown["rate"]), (before["cpus"], (1 << 64) - 1), "what is in force")
    link.close()


@test
def the_last_of_each_kind():
    """What is there is there up to the last one; the next one is refused."""
    link = Link()
    workers = len(stats("--workers")["workers"])
    with Session(3) as session:
        good = u64("SESSION_ID", session.id)
        newest = session.id + 1
        for cmd in ("SESSION_GET", "SESSION_CANCEL", "SESSION_LIMIT"):
            refused(errno.ENOENT, "no session", link.do, cmd, u64("SESSION_ID", newest))
        with Session(0) as other:
            same(other.id, newest, "the next session's id")
            link.do("SESSION_GET", u64("SESSION_ID", newest))
        channel = u64("CHANNEL_SESSION", session.id)
        link.do("CHANNEL_GET", channel + u32("CHANNEL_ID", 2))
        refused(errno.ENOENT, "channel", link.do, "CHANNEL_GET", channel + u32("CHANNEL_ID", 3))
        link.do("WORKER_GET", u32("WORKER_CPU", workers - 1))
        refused(errno.ENOENT, "CPU", link.do, "WORKER_GET", u32("WORKER_CPU", workers))
        link.do("INFO_GET", u32("INFO_METHOD", ZSTD))
        refused(errno.ERANGE, "", link.do, "INFO_GET", u32("INFO_METHOD", ZSTD + 1))
        last = str(workers - 1)
        link.do("SESSION_LIMIT", good + text("SESSION_CPUS", last))
        same(session_stats(session.id)[0]["cpus"], last, "CPUs")
        refused(errno.ERANGE, "no such CPU", link.do, "SESSION_LIMIT",
                good + text("SESSION_CPUS", str(workers)))
        # a list of as many characters as it may have, without the NUL, and one more
        longest = "0," * (CPUS_LEN // 2 - 1) + "00"
        same(len(longest), CPUS_LEN, "the longest list")
        link.do("SESSION_LIMIT", good + text("SESSION_CPUS", longest))
        same(session_stats(session.id)[0]["cpus"], "0", "CPUs")
        refused(errno.EINVAL, "", link.do, "SESSION_LIMIT",
                good + text("SESSION_CPUS", longest + "0"))
        link.do("SESSION_LIMIT", good + u64("SESSION_RATE", 1))
        same(session_stats(session.id)[0]["rate"], 1, "rate")
    link.close()


@contextlib.contextmanager
def hardly_any_time():
    """All CPUs are kept busy; functions to be one who gets 3 ms of a second then, also within
    the kernel, where newer ones let a cgroup's limit wait; and to end it."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"])
            for _ in range(os.cpu_count())]

    def end():
        while busy:
            one = busy.pop()
            one.kill()
            one.wait()

    try:
        yield lambda: os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)), end
    finally:
        end()


def refused_setup(session):
    """All that it takes in user space has been done once afterwards, and is in memory."""
    try:
        session.set_up(0)
    except OSError as error:
        same(error.errno, errno.EINVAL, "no channels")
    else:
        must(False, "no channels are enough")


def in_setup(pid):
    with open(f"/proc/{pid}/stack", encoding="ascii") as stack:
        return "mzp_ioctl_setup" in stack.read()


@test
def a_setup_that_takes_long_holds_nobody_up():
    """By a process that gets hardly any CPU time: meanwhile, others can look at all sessions,
    that one too, and ask for families. Where the machine is busy, they can be slower than SETUP
    all the same; then it is tried again."""
    must(any(not setup_is_over_first() for _ in range(10)), "SETUP was too fast to tell")


def setup_is_over_first():
    """Others look at a session meanwhile. Was it over before they were done?"""
    with hardly_any_time() as (join, end), Session(0) as session:
        child = os.fork()
        if not child:
            status = 1
            try:
                refused_setup(session)
                join()
                # much memory to be cleared
                session.set_up(255, ZLIB, ring=1)
                status = 0
            finally:
                os._exit(status)
        try:
            until(lambda: in_setup(child), "SETUP")
            for _ in range(3):
                link = Link()
                same(len(link.dump("SESSION_GET")), 1, "sessions")
                link.do("SESSION_GET", u64("SESSION_ID", session.id))
                link.close()
            over = not in_setup(child)
        finally:
            end()
            status = os.waitpid(child, 0)[1]
        same(status, 0, "status of the one who sets up")
    return over


@test
def commands_that_are_none():
    link = Link()
    for cmd in (0, NR["MZP_NL_CMD_SESSION_CREATED"], NR["MZP_NL_CMD_SESSION_ENDED"],
                NR["__MZP_NL_CMD_MAX"], 255):
        for flags in (ACK, DUMP):
            try:
                link.ask(link.family, cmd, b"", flags)
            except Refused as error:
                same(error.errno, errno.EOPNOTSUPP, f"command {cmd}")
            else:
                must(False, "command", cmd, "is taken")
    # no dump of what can only be done
    for cmd in ("INFO_GET", "SESSION_CANCEL", "SESSION_LIMIT"):
        try:
            link.dump(cmd)
        except Refused as error:
            same(error.errno, errno.EOPNOTSUPP, cmd)
        else:
            must(False, "dump of", cmd)
    link.close()


@test
def dumps_with_what_they_do_not_know():
    """Garbage is refused there as well, and a dump that was refused leaves nothing behind."""
    link = Link()
    with Session() as session:
        for cmd, wrong in (("SESSION_GET", attr("SESSION_ID", b"\1")),
                           ("SESSION_GET", u64(77, 1)),
                           ("CHANNEL_GET", attr("CHANNEL_SESSION", b"\1\0\0\0")),
                           ("CHANNEL_GET", u64("CHANNEL_SESSION", session.id) + u32(99, 1)),
                           ("WORKER_GET", attr("WORKER_CPU", b"\1")),
                           ("WORKER_GET", u32(99, 1))):
            refused(errno.EINVAL, "", link.dump, cmd, wrong)
            same(len(link.dump("CHANNEL_GET", u64("CHANNEL_SESSION", session.id))), 1,
                 "channels, afterwards")
    link.close()


@test
def messages_that_are_cut_off():
    """Whatever their lengths say, there is an error or nothing; and it goes on working."""
    link = Link()
    with Session() as session:
        # a message without its own header, and one with half of it
        whole = link.message(link.family, NR["MZP_NL_CMD_SESSION_GET"],
                             u64("SESSION_ID", session.id), ACK)
        for length in range(16, 20):
            link.send(struct.pack("=I", length) + whole[4:length])
            try:
                link.answer()
            except Refused as error:
                same(error.errno, errno.EINVAL, f"{length} bytes")
            else:
                must(False, length, "bytes are a request")
        # attributes that are longer than the message, or than nothing
        for length in (0, 1, 3, 5, 11, 13, 100, 0xffff):
            wrong = struct.pack("=HHQ", length, NR["MZP_A_SESSION_ID"], session.id)
            try:
                link.do("SESSION_GET", wrong)
            except Refused as error:
                same(error.errno, errno.EINVAL, f"an attribute of {length} bytes")
            else:
                must(False, "an attribute of", length, "bytes is taken")
        # what is reserved in the header is not for use
        reserved = link.message(link.family, NR["MZP_NL_CMD_INFO_GET"], b"", ACK)
        link.send(reserved[:18] + b"\1\0")
        try:
            link.answer()
        except Refused as error:
            same(error.errno, errno.EINVAL, "reserved bytes")
        else:
            must(False, "reserved bytes are taken")
        # headers that lie about the message: nobody has to answer
        for length in (0, 4, 15, 10000, 0xffffffff):
            link.send(struct.pack("=I", length) + whole[4:])
        link.send(whole[:10])
        link.send(b"\0")
        # bytes behind the attributes, too few for another one, are refused
        refused(errno.EINVAL, "", link.do, "SESSION_GET", u64("SESSION_ID", session.id) + b"\1\2\3")
        found = link.do("SESSION_GET", u64("SESSION_ID", session.id))
        same(found[NR["MZP_A_SESSION_ID"]], struct.pack("=Q", session.id), "afterwards")
    link.close()


@test
def every_length_of_every_request():
    """All requests, cut at each byte, with each attribute's length changed: no answer but
    a good one or an error, and all sessions are as they were."""
    link = Link()
    with Session() as session:
        good = u64("SESSION_ID", session.id) + text("SESSION_CPUS", "0-1") + \
            u64("SESSION_RATE", 0) + u64("CHANNEL_SESSION", session.id) + u32("CHANNEL_ID", 0)
        tried = 0
        for cmd in ("INFO_GET", "SESSION_GET", "CHANNEL_GET", "WORKER_GET", "SESSION_LIMIT",
                    "TOTALS_GET", "HISTORY_GET", "HOST_GET"):
            for flags in (ACK, DUMP):
                for end in range(len(good) + 1):
                    try:
                        link.ask(link.family, NR["MZP_NL_CMD_" + cmd], good[:end], flags)
                    except Refused as error:
                        must(error.errno in NONE, error)
                    tried += 1
        must(tried > 500, tried)
        same([one["id"] for one in stats()["sessions"]], [session.id], "sessions")
        same(session_stats(session.id)[0]["state"], "active", "state")
    link.close()

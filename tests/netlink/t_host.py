# SPDX-License-Identifier: GPL-2.0-only
"""What an administrator sets for the whole host: drain, and limits, at their edges."""

import errno
import json
import os
import select
import subprocess
import time

from genl import Link, Refused, u32, u64
from kit import (AS_NOBODY, BUILD, MFDCTL, load, mfdctl, must, same, session_stats, stats, test,
                 until)
from sender import PACKET, PAGE, Memory, Session

PACKET_BYTES = PACKET * PAGE + 4096
CREDIT = 0.1
NOTHING = {"draining": 0, "max-sessions": 0, "default-rate": 0, "max-rate": 0, "total-rate": 0}


def host(*arguments):
    """What is in force, without what it has come to."""
    shown = json.loads(mfdctl("host", "--json", *arguments))
    return {name: shown[name] for name in NOTHING}


def host_count(name):
    return json.loads(mfdctl("host", "--json"))[name]


def refused(*arguments):
    """The error that SETUP gives; the session is not set up, and is closed."""
    try:
        with Session(*arguments):
            pass
    except OSError as error:
        return error.errno
    return 0


class Lifted:
    """All that was set is taken back."""

    def __enter__(self):
        same(host(), NOTHING, "what is set at first")

    def __exit__(self, *_):
        mfdctl("drain", "--off")
        mfdctl("host", "--max-sessions", "none", "--default-rate", "none", "--max-rate", "none",
               "--total-rate", "none")


@test
def drained():
    """While three migrations run: no other begins, and is told why; the three end as they
    would have, whoever waits for that sees it, and the module can be removed."""
    memory = Memory(1000)
    with open("/dev/shm/one-page", "wb") as file:
        file.write(bytes(PAGE))
    with Lifted():
        sessions = [Session(2, ring=2) for _ in range(3)]
        for session in sessions:
            session.send(session.block(memory), 0, memory.pages)
        before = host_count("refused")
        with subprocess.Popen([MFDCTL, "drain", "--wait", "--json"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as drain:
            said = drain.stderr.readline()
            must(all(f" {session.id} (" in said for session in sessions) and
                 "waiting for 3 sessions:" in said, said)
            same(refused(), errno.ESHUTDOWN, "SETUP")
            done = subprocess.run([f"{BUILD}/mfdsend", "--to", "tcp:127.0.0.1:1", "--block",
                                   "ram0=/dev/shm/one-page", "--quiet"], capture_output=True,
                                  stdin=subprocess.DEVNULL, text=True, timeout=60, check=False)
            must(done.returncode == 1 and "an administrator lets no migration begin on this host "
                 "now (mfdctl drain)" in done.stderr, done)
            same(host_count("refused"), before + 2, "refused")
            same(host()["draining"], 1, "draining")
            must("the host is drained" in mfdctl("host"), "not told to people")
            for session in sessions:
                must(not select.select([drain.stdout], [], [], 0.5)[0], "it does not wait")
                session.read_on()
                same(session.wait(), (0, memory.pages, memory.pages, 0, 0), "WAIT")
                session.end()
                session.close()
            same(json.loads(drain.stdout.read())["sessions"], 0, "sessions")
            same(drain.wait(), 0, "status")
        # as who upgrades it does
        subprocess.run(["rmmod", "multifd_zp"], check=True)
        load()
        same(refused(), 0, "a new module is not drained")
        mfdctl("drain")
        same(refused(), errno.ESHUTDOWN, "SETUP")
        mfdctl("drain", "--off")
        same(refused(), 0, "SETUP, afterwards")
    os.unlink("/dev/shm/one-page")


@test
def no_more_sessions_than_may_be():
    with Lifted(), Session() as first:
        same(host("--max-sessions", 3)["max-sessions"], 3, "the limit")
        second = Session()
        with Session(0) as not_set_up, Session():
            same(host_count("sessions"), 3, "sessions that are set up")
            same(refused(), errno.EUSERS, "one too many")
            must("3 set up, at most 3; " in mfdctl("host"), mfdctl("host"))
            # fewer than there are: nobody has to go
            mfdctl("host", "--max-sessions", 1)
            same(len(stats()["sessions"]), 4, "sessions")
            same(refused(), errno.EUSERS, "one too many")
            mfdctl("host", "--max-sessions", 3)
            second.close()
            until(lambda: host_count("sessions") == 2, "it is gone")
            # a SETUP that fails takes no place
            same(refused(1, 99), errno.EINVAL, "a method that is none")
            same(refused(256), errno.EINVAL, "too many channels")
            try:
                not_set_up.set_up(1)
            except OSError as error:
                must(False, "there is room for one:", error)
            same(refused(), errno.EUSERS, "one too many again")
        until(lambda: host_count("sessions") == 1, "they are gone")
        mfdctl("cancel", first.id)
        # it is over, but there, with all that it holds
        same(host_count("sessions"), 1, "sessions")


@test
def many_at_once():
    """Of many that want to be set up at the same moment, as many are as may be."""
    with Lifted():
        mfdctl("host", "--max-sessions", 5)
        for _ in range(4):
            start, go = os.pipe()
            ready, tell = os.pipe()
            done, finish = os.pipe()
            pids = []
            for _ in range(12):
                pids.append(os.fork())
                if not pids[-1]:
                    os.close(go)
                    os.close(finish)
                    with Session(0) as session:
                        os.read(start, 1)
                        try:
                            session.set_up(1)
                            os.write(tell, b"+")
                        except OSError as error:
                            os.write(tell, b"-" if error.errno == errno.EUSERS else b"?")
                        os.read(done, 1)
                    os._exit(0)
            os.close(go)
            said = b""
            while len(said) < 12:
                said += os.read(ready, 12)
            same((said.count(b"+"), said.count(b"-")), (5, 7), "let in, and refused")
            os.close(finish)
            for pid in pids:
                os.waitpid(pid, 0)
            for fd in (start, ready, tell, done):
                os.close(fd)
            until(lambda: not host_count("sessions"), "they are gone")


@test
def which_rate_holds():
    """The VMM's own or else the host's default; and not more than the administrator has
    given it, or else the host allows."""
    def rate(session):
        return session_stats(session.id)[0]["rate"]

    with Lifted(), Session() as session, Session(0) as later:
        same(host("--default-rate", "4M", "--max-rate", "6M"),
             NOTHING | {"default-rate": 4000000, "max-rate": 6000000}, "what is set")
        later.set_up(1)
        with Session() as new:
            for one in (session, later, new):
                same(rate(one), 4000000, "by default")
        session.set_rate(9000000)
        same(rate(session), 6000000, "more than it may")
        session.set_rate(1000)
        same(rate(session), 1000, "its own")
        mfdctl("limit", later.id, "--rate", "20M")
        same(rate(later), 4000000, "an administrator allows more than it wants")
        later.set_rate(15000000)
        same(rate(later), 15000000, "an administrator allows it more than others")
        mfdctl("limit", later.id, "--rate", "none")
        same(rate(later), 6000000, "and takes that back")
        mfdctl("host", "--max-rate", "none")
        same((rate(session), rate(later)), (1000, 15000000), "no limit")
        session.set_rate(0)
        mfdctl("host", "--default-rate", "9T")
        same(rate(session), 9 * 10 ** 12, "the new default")


@test
def the_default_rate_holds_from_the_beginning():
    memory = Memory(1500)
    with Lifted():
        mfdctl("host", "--default-rate", "3M")
        began = time.monotonic()
        with Session(2) as session:
            session.read_on()
            session.send(session.block(memory), 0, memory.pages)
            session.sync()
            same(session.wait()[0], 0, "WAIT")
            took = time.monotonic() - began
            shown, _ = session_stats(session.id)
        least = (shown["bytes-out"] - 3 * PACKET_BYTES) / 3e6 - CREDIT
        must(took >= least, "it took", took, "s, where", least, "are the least")
        must(shown["throttled"], "nothing was held back")


@test
def the_total_rate_holds():
    """Over all sessions together, between any two looks; they share it; and it can be
    taken away in the middle."""
    # so slow that nobody's turn is over because the machine was held up
    rate = 3000000
    memory = Memory(4000)
    # and in packets so small that chance, who comes first, evens out
    small = 16
    packet = small * PAGE + 4096
    with Lifted(), Session(2, packet_pages=small) as one, \
            Session(2, packet_pages=small) as other:
        mfdctl("host", "--total-rate", rate)
        for session in (one, other):
            session.read_on()
            session.send(session.block(memory), 0, memory.pages)
        samples = []
        end = time.monotonic() + 5
        while time.monotonic() < end:
            before = time.monotonic()
            shown = {session["id"]: session["bytes-out"] for session in stats()["sessions"]}
            samples.append((before, time.monotonic(), shown))
        for number, (first, _, old) in enumerate(samples):
            for _, second, new in samples[number + 1:]:
                sent = sum(new.values()) - sum(old.values())
                allowed = rate * (second - first + CREDIT) + 4 * packet
                must(sent <= allowed, sent, "bytes where", allowed, "are allowed")
        (began, _, old), (_, ended, new) = samples[0], samples[-1]
        shares = [new[session.id] - old[session.id] for session in (one, other)]
        must(sum(shares) > 0.7 * rate * (ended - began) - 4 * packet, "too little:", shares)
        must(min(shares) > 0.3 * sum(shares), "no fair shares:", shares)
        print(f"# {sum(shares) / rate / (ended - began):.0%} of the rate, {shares} bytes")
        same([session_stats(session.id)[0]["bottleneck"] for session in (one, other)],
             ["rate-limit"] * 2, "what they wait for")
        mfdctl("host", "--total-rate", "1")
        mfdctl("host", "--total-rate", "none")
        for session in (one, other):
            same(session.wait()[0], 0, "WAIT")


@test
def parameters_hold_from_the_beginning():
    subprocess.run(["rmmod", "multifd_zp"], check=True)
    try:
        load("max_sessions=1", "default_rate=5000000", "max_rate=7000000", "total_rate=9000000")
        same(host(), {"draining": 0, "max-sessions": 1, "default-rate": 5000000,
                      "max-rate": 7000000, "total-rate": 9000000}, "what is set")
        with Session() as session:
            same(session_stats(session.id)[0]["rate"], 5000000, "rate")
            same(refused(), errno.EUSERS, "another one")
        mfdctl("host", "--max-sessions", 2)
        with open("/sys/module/multifd_zp/parameters/max_sessions", encoding="ascii") as file:
            same(file.read(), "2\n", "the parameter")
    finally:
        subprocess.run(["rmmod", "multifd_zp"], check=True)
        load()


@test
def wrong_settings():
    """From the command line and in requests, and by those who may not; nothing changes."""
    for arguments, said in ((("host", "--max-sessions", "0"), "from 1 on"),
                            (("host", "--max-sessions", "4294967296"), "from 1 on"),
                            (("host", "--max-sessions", "x"), "from 1 on"),
                            (("host", "--max-rate", "fast"), "is no rate"),
                            (("host", "--total-rate", "0.1"), "too low"),
                            (("host", "1"), "unexpected"), (("drain", "1"), "unexpected"),
                            (("drain", "--off", "--wait"), "nothing to wait for"),
                            (("drain", "--on"), "unrecognized")):
        must(said in mfdctl(*arguments, status=2), arguments)
    for under in (AS_NOBODY, ("unshare", "--net"), (*AS_NOBODY, "unshare", "--user",
                                                    "--map-root-user")):
        for command in (("host",), ("host", "--max-rate", "1"), ("drain",), ("drain", "--off")):
            must("CAP_NET_ADMIN" in mfdctl(*command, under=under, status=1), command, under)
    link = Link()
    for wrong, code in ((u32("HOST_DRAINING", 2), errno.ERANGE),
                        (u64("HOST_MAX_SESSIONS", 1), errno.EINVAL),
                        (u32("HOST_MAX_RATE", 1), errno.EINVAL),
                        (u32("HOST_SESSIONS", 1), errno.EINVAL),
                        (u64("HOST_REFUSED", 1), errno.EINVAL)):
        try:
            link.do("HOST_SET", wrong)
        except Refused as error:
            same(error.errno, code, "a wrong setting")
        else:
            must(False, "a wrong setting is taken:", wrong)
    link.do("HOST_SET")
    link.close()
    same(host(), NOTHING, "what is set")

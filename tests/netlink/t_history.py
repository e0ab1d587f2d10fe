# SPDX-License-Identifier: GPL-2.0-only
"""What stays of sessions that are gone: sums over all of them, and a record of each."""

import errno
import json
import os
import re
import socket
import time

from genl import NR, Link, Refused, u64
from kit import AS_NOBODY, COMM, mfdctl, must, same, session_stats, test, until
from sender import PACKET, Memory, Session
from t_stats import quiet, replied

UUID = bytes(range(16))
RECORDS = 256
OVER = ("ended", "cancelled", "cancelled-admin", "failed-closed", "failed-reader", "failed-job",
        "failed-compressor", "failed-memory", "failed-network")
SUMS = ("normal", "zero", "absent", "lost", "bytes-in", "bytes-out", "bytes-read",
        "bytes-encrypted")


def totals():
    return json.loads(mfdctl("stats", "--json", "--since-start", "--totals"))["totals"]


def history(*arguments):
    return json.loads(mfdctl("history", "--json", *arguments))["sessions"]


def gone(number):
    """Wait until a session is gone; its record."""
    return until(lambda: [one for one in history() if one["id"] == number], "its record")[0]


def ended(session):
    session.read_on()
    session.wait()
    session.end()


def cancelled(session):
    session.cancel()


def by_admin(session):
    mfdctl("cancel", session.id)


def closed(session):
    session.close_device()


def reader_gone(session):
    os.close(session.channels.pop())


def network_gone(session):
    near, far = socket.socketpair()
    with near:
        far.close()
        try:
            session.pump(0, near, 0)
        except OSError as error:
            same(error.errno, errno.EPIPE, "PUMP to nobody")
        else:
            must(False, "PUMP to nobody works")
    session.cancel()


def busy_socket(session):
    """One that has no room is not broken."""
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    with near, far:
        must(session.pump(0, near, 100) <= 100, "PUMP")
    session.cancel()


@test
def each_end_is_counted_once():
    """By its reason, in the sums and in a record, when it is gone and not before."""
    memory = Memory(PACKET * 3, 40, 30)
    for end, counted, reason, state, error in (
            (ended, "ended", "none", "ended", 0),
            (cancelled, "cancelled", "cancelled", "failed", errno.ECANCELED),
            (by_admin, "cancelled-admin", "admin", "failed", errno.ECANCELED),
            (closed, "failed-closed", "closed", "failed", errno.ECANCELED),
            (reader_gone, "failed-reader", "reader", "failed", errno.EPIPE),
            (network_gone, "failed-network", "network", "failed", errno.ECANCELED),
            (busy_socket, "cancelled", "cancelled", "failed", errno.ECANCELED)):
        before = totals()
        began = time.time_ns()
        with Session(1, uuid=UUID) as session:
            session.send(session.block(memory), 0, memory.pages)
            session.sync()
            until(lambda: not session_stats(session.id)[0]["jobs-unfinished"],  # noqa: B023
                  "that all is in the ring")
            same(totals()["started"], before["started"] + 1, "started")
            end(session)
            same(sum(totals()[name] for name in OVER), sum(before[name] for name in OVER),
                 f"over while it is still there, {end.__name__}")
            must(session.id not in [one["id"] for one in history()], "a record of one that is here")
        record = gone(session.id)
        after = totals()
        same({name: after[name] - before[name] for name in OVER},
             {name: int(name == counted) for name in OVER}, f"over, {end.__name__}")
        same((record["reason"], record["state"], record["error"]), (reason, state, error),
             end.__name__)
        same((record["pid"], record["uid"], record["comm"], record["channels"], record["syncs"]),
             (os.getpid(), 0, COMM, 1, 1), "who it was")
        same(record["uuid"], "00010203-0405-0607-0809-0a0b0c0d0e0f", "UUID")
        same((record["normal"], record["zero"], record["absent"], record["lost"]),
             (PACKET * 3, 40, 30, 0), "its pages")
        same({name: after[name] - before[name] for name in SUMS},
             {name: record[name] for name in SUMS}, "what is added to the sums")
        same(after["time"] - before["time"], record["duration"], "time")
        must(began - 1e9 < record["end-time"] < time.time_ns() + 1e9, "when it was over")
        must(0 < record["duration"] < time.time_ns() - began, "duration")
        same(history(session.id), [record], "the one that was asked for")
        same(set(record), replied("history-get"), "attributes")


@test
def a_page_that_fails_behind_the_end():
    """END was called, and the last job fails: the session cannot end well."""
    before = totals()
    memory = Memory(PACKET * 20)
    with Session(1, ring=1, packet_pages=16) as session:
        session.send(session.block(memory), 0, memory.pages)
        quiet(session.id)
        os.truncate(memory.fd, PACKET * 4096)
        session.end()
        session.read_on()
    record = gone(session.id)
    same((record["reason"], record["error"]), ("job", errno.EFAULT), "why")
    same(record["normal"] + record["lost"], memory.pages, "pages")
    must(record["lost"] >= PACKET * 18, "too few are lost:", record)
    same(totals()["failed-job"], before["failed-job"] + 1, "sessions that failed so")
    same(totals()["lost"], before["lost"] + record["lost"], "pages that are lost")


@test
def running_sessions_are_in_the_sums():
    """As far as they are; and what was never set up is nothing."""
    memory = Memory(2000, 300)
    before = totals()
    with Session(0), Session(2, ring=2) as session:
        session.send(session.block(memory), 0, memory.pages)
        quiet(session.id)
        shown, _ = session_stats(session.id)
        now = totals()
        for name in ("normal", "zero", "bytes-in", "bytes-out", "bytes-read"):
            same(now[name] - before[name], shown[name], name)
        must(0 < now["normal"] - before["normal"] < 2000, "in the middle of it")
        later = totals()
        must(later["time"] > now["time"], "time passes")
        same({name: later[name] for name in SUMS}, {name: now[name] for name in SUMS}, "sums")
        session.read_on()
        session.wait()
        session.end()
    gone(session.id)
    after = totals()
    same((after["normal"] - before["normal"], after["zero"] - before["zero"]), (2000, 300), "pages")
    same(after["started"], before["started"] + 1, "started")


def number(attrs, name):
    return int.from_bytes(attrs[NR["MZP_A_" + name]], "little")


def _watch(stop):
    """Ask again and again: no sum goes back, and no more are over than have started."""
    link = Link()
    last = None
    asked = 0
    while not os.path.exists(stop):
        now = link.do("TOTALS_GET")
        if last:
            for kind, value in now.items():
                must(int.from_bytes(value, "little") >= int.from_bytes(last[kind], "little"),
                     "attribute", kind, "goes back")
        over = sum(number(now, "TOTALS_" + name.upper().replace("-", "_")) for name in OVER)
        must(over <= number(now, "TOTALS_STARTED"), over, "are over")
        ids = [number(one, "SESSION_ID") for one in link.dump("HISTORY_GET")]
        same(len(ids), len(set(ids)), "records, and different ones")
        last = now
        asked += 1
    link.close()
    print(f"# asked {asked} times", flush=True)


@test
def sums_are_exact_while_others_look():
    """Many short sessions, and two who ask all the time: nothing is counted twice or missing,
    and the records of the last ones are there."""
    stop = "/tmp/stop-asking-for-sums"
    memory = Memory(50, 10)
    before = totals()
    watchers = []
    for _ in range(2):
        pid = os.fork()
        if not pid:
            status = 1
            try:
                _watch(stop)
                status = 0
            except BaseException as error:  # pylint: disable=broad-except
                print(f"# {error!r}", flush=True)
            finally:
                os._exit(status)
        watchers.append(pid)
    count = RECORDS + 60
    for _ in range(count):
        with Session(2) as session:
            session.read_on()
            session.send(session.block(memory), 0, memory.pages)
            session.wait()
            session.end()
    gone(session.id)
    with open(stop, "wb"):
        pass
    for pid in watchers:
        same(os.waitpid(pid, 0)[1], 0, "status of one who asks")
    os.unlink(stop)
    until(lambda: sum(totals()[name] - before[name] for name in OVER) == count, "all are gone")
    after = totals()
    same((after["started"] - before["started"], after["ended"] - before["ended"]), (count, count),
         "sessions")
    same((after["normal"] - before["normal"], after["zero"] - before["zero"],
          after["lost"] - before["lost"]), (50 * count, 10 * count, 0), "pages")
    same(after["bytes-read"] - before["bytes-read"], after["bytes-out"] - before["bytes-out"],
         "bytes")
    records = history()
    same(len(records), RECORDS, "records")
    same({record["normal"] for record in records}, {50}, "pages of each")
    same(records[-1]["id"], session.id, "the last one")


@test
def history_in_words():
    memory = Memory(100, 100, 200)
    with Session() as session, Session() as other:
        session.send(session.block(memory), 0, memory.pages)
        session.sync()
        ended(session)
        mfdctl("cancel", other.id)
    for one in (session, other):
        gone(one.id)
    text = mfdctl("history")
    stamp = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d "
    must(re.search(stamp + rf"session {session.id} \({COMM}, pid {os.getpid()}, of root\) ended "
                   r"after [^:]*: 400 pages, 25% with data, 25% zero, 50% never touched; .* sent, "
                   r"1 round$", text, re.M), text)
    must(re.search(stamp + rf"session {other.id} .* failed, cancelled by an administrator, after",
                   text, re.M), text)
    said = mfdctl("stats", "--totals")
    must("since the module was loaded:\n  started " in said and " by an administrator)" in said, said)


@test
def only_administrators_see_it():
    """Not those who owned a session, and nobody from another network namespace."""
    link = Link()
    for cmd in ("HISTORY_GET", "TOTALS_GET"):
        for under in (AS_NOBODY, ("unshare", "--net"), (*AS_NOBODY, "unshare", "--user",
                                                        "--map-root-user")):
            command = ("history",) if cmd == "HISTORY_GET" else ("stats", "--totals")
            must("CAP_NET_ADMIN" in mfdctl(*command, under=under, status=1), command, under)
    for wrong in (0, 1 << 63):
        try:
            link.do("HISTORY_GET", u64("SESSION_ID", wrong))
        except Refused as error:
            same((error.errno, error.said), (errno.ENOENT, "multifd_zp: none of the last sessions "
                                             "has this id"), "no such record")
        else:
            must(False, "a record of", wrong)
    for call, attrs in ((link.do, b""), (link.dump, u64("SESSION_ID", 1))):
        try:
            call("HISTORY_GET", attrs)
        except Refused as error:
            same(error.errno, errno.EINVAL, "a request that lacks something, or has too much")
        else:
            must(False, "is not refused")
    link.close()

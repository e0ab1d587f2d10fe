# SPDX-License-Identifier: GPL-2.0-only
"""Events, and what becomes of those who do not read them."""

import errno
import json
import os
import re
import signal
import subprocess

from genl import NR, Link, u64
from kit import (COMM, MFDCTL, Monitor, load, mfdctl, must, same, session_stats, stats, test,
                 until)
from sender import FRESH, NO_ROUND, Memory, Session

NAMES = {NR[f"MZP_NL_CMD_SESSION_{what}"]: what for what in
         ("CREATED", "SYNCED", "FAILED", "ENDED")}
ID = NR["MZP_A_SESSION_ID"]


def number(data):
    return int.from_bytes(data, "little")


@test
def rounds_have_their_numbers():
    """One event for each round, in order, with what the round was; and the end."""
    memory = Memory(600, 100, 300)
    with Monitor("--json") as monitor:
        with Session(2) as session:
            session.read_on()
            block = session.block(memory)
            # a receiver wants it first; it is not counted, here or at the end
            session.sync(NO_ROUND)
            session.send(block, 0, memory.pages, FRESH)
            session.sync()
            # the next round is handed over before this one is over
            session.send(block, 590, 20)
            session.send(block, 0, 7)
            session.sync()
            session.sync()
            session.sync(NO_ROUND)
            session.wait()
            session.end()
        events = [monitor.event() for _ in range(5)]
    same([event["event"] for event in events],
         ["session-created"] + 3 * ["session-synced"] + ["session-ended"], "events")
    for event in events:
        same((event["id"], event["pid"], event["uid"]), (session.id, os.getpid(), 0), "whose")
    for event, (count, want) in zip(events[1:], enumerate((
            (1000, 600, 100, 300), (27, 17, 10, 0), (0, 0, 0, 0)), 1)):
        shown = event["round"]
        same(shown["number"], count, "number")
        same((shown["submitted"], shown["normal"], shown["zero"], shown["absent"]), want,
             f"round {count}")
        same(shown["lost"], 0, "lost")
    must(events[1]["round"]["duration"] > 0, "no time has passed")
    end = events[-1]
    same((end["submitted"], end["normal"], end["zero"], end["absent"], end["syncs"]),
         (1027, 617, 110, 300, 3), "in the end")
    same(end["state"], "ended", "state")


@test
def failures_are_told():
    """Cancelled; a reader that goes; a device that is closed too early."""
    memory = Memory(2000)

    def cancel(session):
        session.cancel()

    def reader_goes(session):
        os.close(session.channels.pop(1))

    def early(session):
        session.close_device()

    with Monitor("--json") as monitor:
        for end, error in ((cancel, errno.ECANCELED), (reader_goes, errno.EPIPE),
                           (early, errno.ECANCELED)):
            with Session(2, ring=2) as session:
                session.send(session.block(memory), 0, memory.pages)
                end(session)
                same(monitor.event()["event"], "session-created", "first")
                event = monitor.event()
            same((event["event"], event["id"], event["error"], event["state"]),
                 ("session-failed", session.id, error, "failed"), end.__name__)
            same(event["normal"] + event["lost"], memory.pages, "all pages")


@test
def lines_for_people():
    memory = Memory(100, 100, 200)
    with Monitor() as monitor:
        with Session(1) as session:
            session.read_on()
            session.send(session.block(memory), 0, memory.pages, FRESH)
            session.sync()
            session.wait()
            session.end()
        lines = [monitor.line() for _ in range(3)]
    for line, part in zip(lines, (") created: 1 channel, compression none, zero-page detection "
                                  "multifd", ") round 1: 400 pages in ", ") ended after ")):
        must(f"session {session.id} ({COMM}, pid {os.getpid()}, of root" in line and part in line,
             part, "is not in", line)
    must("25% with data, 25% zero, 50% never touched" in lines[1], lines[1])
    must("400 of 400 pages done, 1 round," in lines[2], lines[2])


@test
def a_listener_that_never_reads_does_no_harm():
    """Its queue overflows, it is told so, and nobody else notices anything."""
    deaf = Link(buffer=4096)
    deaf.listen()
    memory = Memory(300, 50, 50)
    with Session(2) as session:
        session.read_on()
        block = session.block(memory)
        # many more events than there is room for
        for _ in range(200):
            session.send(block, 0, memory.pages)
            session.sync()
            same(session.wait()[0], 0, "WAIT")
        shown, _ = session_stats(session.id)
        same((shown["normal"], shown["zero"] + shown["absent"], shown["syncs"]),
             (60000, 20000, 200), "what was sent")
    same(deaf.events(), None, "a queue that has overflowed")
    # what was in the queue is still good, and then it works as before
    told = deaf.events()
    same(NAMES[told[0][0]], "CREATED", "the first event")
    deaf.sock.settimeout(0.2)
    count = 0
    try:
        while deaf.events() is not False:
            count += 1
    except TimeoutError:
        pass
    must(count < 150, "there was room for", count, "events")
    deaf.sock.settimeout(20)
    with Session() as session:
        cmd, attrs = deaf.events()[0]
        same((NAMES[cmd], number(attrs[ID])), ("CREATED", session.id), "afterwards")
    deaf.close()


def events_were_dropped():
    """By the socket of anybody who listens on generic netlink."""
    with open("/proc/net/netlink", encoding="ascii") as file:
        rows = [line.split() for line in file][1:]
    return any(row[1] == "16" and int(row[3], 16) and int(row[8]) for row in rows)


@test
def mfdctl_tells_that_events_were_lost():
    with Monitor("--json") as monitor:
        os.kill(monitor.process.pid, signal.SIGSTOP)
        # how much fits into its queue depends on the kernel
        for _ in range(100000):
            with Session():
                pass
            if events_were_dropped():
                break
        os.kill(monitor.process.pid, signal.SIGCONT)
        lost = False
        while not lost:
            lost = monitor.event()["event"] == "lost"
        # and then what exists now
        while monitor.event()["event"] != "listening":
            pass
        # it goes on, once it has read what had been left in its queue
        later = set()

        def shows_later_ones():
            with Session() as session:
                later.add(session.id)
            while monitor.lines:
                if monitor.event().get("id") in later:
                    return True
            monitor.more(0.1)
            return False

        until(shows_later_ones, "events after the loss")


def _some_lives(count, stop=None):
    """Sessions of all ends, so many or until told to stop; each has two rounds."""
    memory = Memory(20)
    n = 0
    while n < count or (stop and not os.path.exists(stop)):
        with Session(1 + n % 2) as session:
            session.read_on()
            block = session.block(memory)
            for _ in range(2):
                session.send(block, 0, memory.pages)
                session.sync()
                session.wait()
            if n % 3 == 0:
                session.cancel()
            elif n % 3 == 1:
                session.end()
        n += 1


def lives(processes, *arguments):
    """Processes that live such lives: their PIDs."""
    pids = []
    for _ in range(processes):
        pids.append(os.fork())
        if not pids[-1]:
            status = 1
            try:
                _some_lives(*arguments)
                status = 0
            finally:
                os._exit(status)
    return pids


def check_told(events, whole):
    """Of each session: that it exists or was created, its rounds from there, how it ended;
    each once and in this order; all of it, if @whole. Return: how many sessions."""
    told = {}
    for event in events:
        if "id" in event:
            told.setdefault(event["id"], []).append(event)
    for number_, its in told.items():
        first, *rest = its
        if first["event"] not in ("session-exists", "session-created"):
            # it was over between listening and looking, so only its last events are told
            must(its[-1]["event"] in ("session-failed", "session-ended"), number_, "is", its)
            continue
        rounds = [one["round"]["number"] for one in rest if one["event"] == "session-synced"]
        begun = first["syncs"] + 1
        same(rounds, list(range(begun, begun + len(rounds))), f"rounds of session {number_}")
        over = [one["event"] for one in rest if one["event"] != "session-synced"]
        over += [f"session-{first['state']}"] * (first["state"] in ("failed", "ended"))
        must(over in (["session-failed"], ["session-ended"]) or (not whole and not over),
             number_, "is over:", its)
        must(not whole or begun + len(rounds) == 3, number_, "lacks rounds:", its)
    return len(told)


def until_told(monitor, number_):
    """All that is told until a session is over."""
    events = [json.loads(line) for line in monitor.before]
    while not (events and events[-1].get("id") == number_ and
               events[-1]["event"] in ("session-failed", "session-ended")):
        events.append(monitor.event())
    return events


@test
def what_exists_then_each_event_once():
    """Whoever begins to listen in the middle of it: 100 sessions that start and end."""
    with Session(2, ring=2) as lasting, Session(0):
        memory = Memory(1000)
        block = lasting.block(memory)
        lasting.read_on()
        for _ in range(2):
            lasting.send(block, 0, 5)
            lasting.sync()
        lasting.wait()
        pids = lives(4, 25)
        until(lambda: len(stats()["sessions"]) > 4, "sessions")
        with Monitor("--json") as monitor:
            for pid in pids:
                same(os.waitpid(pid, 0)[1], 0, "status of one who lives")
            mfdctl("cancel", lasting.id)
            events = until_told(monitor, lasting.id)
        same([one["event"] for one in events if one.get("id") == lasting.id],
             ["session-exists", "session-failed"], "the one that exists all the time")
        must(all(one["state"] != "new" for one in events if one["event"] == "session-exists"),
             "one that was not set up is told")
        print(f"# {check_told(events, True)} sessions were told of")


@test
def events_between_listening_and_looking():
    """What comes just then is in the queue, and in what exists as well: many try to hit it."""
    stop = "/tmp/stop-living"
    pids = lives(4, 1, stop)
    told = 0
    for _ in range(25):
        with Monitor("--json") as monitor:
            with Session() as last:
                pass
            told += check_told(until_told(monitor, last.id), False)
    with open(stop, "wb"):
        pass
    for pid in pids:
        same(os.waitpid(pid, 0)[1], 0, "status of one who lives")
    os.unlink(stop)
    print(f"# {told} sessions were told of")


@test
def only_one_session():
    with Session() as one, Session() as other:
        with Monitor("--json", "--session", str(one.id)) as monitor:
            same([json.loads(line)["id"] for line in monitor.before], [one.id], "what exists")
            other.cancel()
            one.cancel()
            event = monitor.event()
            same((event["event"], event["id"]), ("session-failed", one.id), "the first event")
            must(not monitor.more(0.5), "more events:", monitor.lines)


@test
def where_no_events_are_told():
    """Root in a network namespace of its own would wait for ever."""
    must("events are told in the host's initial network namespace, and this is another one" in
         mfdctl("monitor", under=("unshare", "--net"), status=1), "it does not say so")
    same([json.loads(mfdctl("info", "--json", under=under))["events"]
          for under in ((), ("unshare", "--net"))], [1, 0], "what info tells")


@test
def the_module_is_loaded_anew():
    """It is noticed and told, and what comes then as well."""
    stamp = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d "
    with Monitor("--json") as monitor, Monitor() as lines:
        for _ in range(3):
            subprocess.run(["rmmod", "multifd_zp"], check=True)
            same(monitor.event()["event"], "module-unloaded", "event")
            must(re.search(stamp + "the module was unloaded$", lines.line()), "not in words")
            load()
            event = monitor.event()
            same((event["event"], event["version"]),
                 ("module-loaded", json.loads(mfdctl("info", "--json"))["version"]), "event")
            must(re.search(stamp + r"the module was loaded, version [\d.]+$", lines.line()), "words")
            same(monitor.event()["event"], "listening", "event")
            must(re.search(stamp + "listening$", lines.line()), "words")
            with Session() as session:
                event = monitor.event()
                same((event["event"], event["id"]), ("session-created", session.id), "event")
                must(re.search(stamp + rf"session {session.id} .* created: ", lines.line()), "words")
            same(monitor.event()["event"], "session-failed", "event")
            must(" failed, its VMM closed the device or died, after " in lines.line(), "words")
    # who was in the middle of something is told what has happened
    for command in (("stats", "--watch=0.1"), ("top", "-b", "-d", "0.1")):
        with subprocess.Popen([MFDCTL, *command], stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdout.readline()
            subprocess.run(["rmmod", "multifd_zp"], check=True)
            load()
            said = process.communicate(timeout=30)[1]
        same(process.returncode, 1, "status")
        must("was unloaded, or loaded anew, meanwhile" in said or "is not loaded" in said, said)


def _dump_on(stop, lived, kinds):
    """Dump until told to stop; each dump has each of those that live through it once."""
    link = Link()
    dumps = 0
    while not dumps or not os.path.exists(stop):
        for kind, attribute in kinds:
            ids = [number(found[NR[attribute]]) for found in link.dump(kind)]
            for one, times in lived.items():
                same(ids.count(one), times if kind == "CHANNEL_GET" else 1,
                     f"{kind}: session {one}")
            if kind == "SESSION_GET":
                same(len(ids), len(set(ids)), "sessions, and different ones")
                same(ids, sorted(ids), "order")
        dumps += 1
    link.close()
    print(f"# {dumps} dumps", flush=True)


@test
def sessions_come_and_go_while_others_dump():
    """1000 of them, and two who dump all the time: nothing twice, nothing missing."""
    stop = "/tmp/stop-dumping"
    lasting = [Session(1 + n % 7) for n in range(40)]
    lived = {session.id: len(session.channels) for session in lasting}
    kinds = (("SESSION_GET", "MZP_A_SESSION_ID"), ("CHANNEL_GET", "MZP_A_CHANNEL_SESSION"))
    dumpers = []
    for order in (kinds, kinds[::-1]):
        pid = os.fork()
        if not pid:
            status = 1
            try:
                _dump_on(stop, lived, order)
                status = 0
            finally:
                os._exit(status)
        dumpers.append(pid)
    for n in range(1000):
        with Session(n % 4, ring=2):
            pass
    with open(stop, "wb"):
        pass
    for pid in dumpers:
        same(os.waitpid(pid, 0)[1], 0, "status of one who dumps")
    os.unlink(stop)
    same(sorted(session["id"] for session in stats()["sessions"]), sorted(lived), "left")
    for session in lasting:
        session.close()
    until(lambda: not stats()["sessions"], "no sessions")
    link = Link()
    same(number(link.do("INFO_GET")[NR["MZP_A_INFO_SESSIONS"]]), 0, "sessions")
    for one in lived:
        try:
            link.do("SESSION_GET", u64("SESSION_ID", one))
        except OSError as error:
            same(error.errno, errno.ENOENT, "a session that is gone")
        else:
            must(False, "session", one, "is still there")
    link.close()

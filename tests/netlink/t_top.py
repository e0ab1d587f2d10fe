# SPDX-License-Identifier: GPL-2.0-only
"""mfdctl on terminals of several sizes."""

import os
import re
import signal
import subprocess

from kit import AS_NOBODY, COMM, MFDCTL, TOP, mfdctl, must, same, stats, test, until
from sender import Memory, Session
from t_stats import quiet
from terminal import Terminal

# Of the table, the one with the names.
NAMES = 1


def top(terminal, *options):
    terminal.type(" ".join((MFDCTL, "top", "-d", "0.2", *options)))
    return terminal.shows("BOTTLENECK", "?: help")


def table(text):
    """Names of the columns, and rows; each session's is one."""
    lines = text.split("\n")
    return lines[NAMES].split(), [line for line in lines[NAMES + 1:-1] if line.strip()]


def fits(terminal):
    for line in terminal.lines():
        must(len(line) <= terminal.columns, f"{line!r} at {terminal.columns} columns")


@test
def what_matters_has_a_column():
    memory = Memory(2000)
    with Session(2, ring=2) as session:
        session.send(session.block(memory), 0, memory.pages)
        quiet(session.id)
        for columns, wanted in ((40, "SESSION DONE BYTES/s BOTTLENECK"),
                                (80, "SESSION PID COMMAND STATE DONE PAGES/s BYTES/s "
                                     "BOTTLENECK"),
                                (200, "SESSION PID USER COMMAND STATE ROUNDS DONE PAGES/s BYTES/s "
                                      "ZERO RINGS CPUS BOTTLENECK")):
            with Terminal(columns) as terminal:
                top(terminal)
                text = terminal.shows("network")
                names, rows = table(text)
                same(names, wanted.split(), f"at {columns} columns")
                same(len(rows), 1, "rows")
                must(re.match(rf" *{session.id} .* network *$", rows[0]), rows)
                must(columns < 80 or COMM in rows[0], rows)
                fits(terminal)
                must("mfdctl top, " in text, text)
                terminal.press("q")
                terminal.is_put_back()


@test
def it_is_stopped_and_goes_on():
    with Session(), Terminal() as terminal:
        top(terminal)
        same(terminal.ask("alternate_on"), "1", "a screen of its own")
        for _ in range(2):
            terminal.press("C-z")
            terminal.until(lambda text: "Stopped" in text, "it is stopped")
            terminal.is_put_back()
            terminal.type("fg")
            terminal.shows("BOTTLENECK", "?: help")
            same(terminal.ask("cursor_flag"), "0", "no cursor")
        # keys are read one by one again
        terminal.press("?")
        terminal.shows("Ctrl-L")
        terminal.press("q")
        terminal.shows("BOTTLENECK")
        terminal.press("q")
        terminal.is_put_back()


@test
def whatever_ends_it_puts_the_terminal_back():
    with Session(), Terminal() as terminal:
        for key in ("C-c", "C-\\"):
            top(terminal)
            terminal.press(key)
            terminal.until(lambda text: "BOTTLENECK" not in text, "it has ended")
            terminal.is_put_back()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV, signal.SIGABRT):
            top(terminal)
            pid = subprocess.run(["pgrep", "-n", "-x", "mfdctl"], check=True, text=True,
                                 stdout=subprocess.PIPE).stdout
            os.kill(int(pid), number)
            terminal.until(lambda text: "BOTTLENECK" not in text, "it has ended")
            terminal.is_put_back()


@test
def it_follows_the_size():
    with Session(), Terminal() as terminal:
        top(terminal)
        for columns, rows, there in ((40, 10, "DONE"), (120, 30, "RINGS"), (20, 3, "SESSION"),
                                     (1, 1, ""), (80, 24, "COMMAND")):
            terminal.resize(columns, rows)
            terminal.until(lambda text, there=there, columns=columns:
                           there in text and (columns > 40) == ("STATE" in text),
                           f"a table of {columns} columns")
            fits(terminal)
        terminal.press("q")
        terminal.is_put_back()


@test
def many_sessions():
    """More than there are rows; and those of others, since nobody may have so many."""
    more = subprocess.Popen(
        [*AS_NOBODY, "/usr/bin/python3", "-c", "import os\nfds = [os.open('/dev/multifd_zp', os.O_RDWR) "
         "for _ in range(50)]\nprint(len(fds), flush=True)\ninput()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    must(more.stdout.readline(), "50 sessions")
    sessions = [Session(0) for _ in range(50)]
    ids = sorted(session["id"] for session in stats()["sessions"])
    same(len(ids), 100, "sessions")

    def until_shown(wanted, what):
        wanted = [str(number) for number in wanted]
        terminal.until(lambda text: [row.split()[0] for row in table(text)[1]] == wanted, what)

    with Terminal() as terminal:
        top(terminal, "-s", "session")
        terminal.shows("1-21 of 100")
        until_shown(ids[:21], "the first")
        terminal.press("End")
        terminal.shows("80-100 of 100")
        until_shown(ids[-21:], "the last")
        terminal.press("PageUp")
        terminal.press("PageUp")
        until_shown(ids[57:78], "two pages up")
        terminal.press("Home")
        for _ in range(21):
            terminal.press("Down")
        until_shown(ids[1:22], "a row down")
        terminal.press("Home", "PageDown", "Up")
        terminal.press("/")
        terminal.type("nobody")
        terminal.shows("of 50", 'only "nobody"')
        terminal.press("/")
        terminal.press(*["BSpace"] * 6)
        terminal.type("no such")
        until_shown([], "none")
        terminal.press("/")
        terminal.press(*["BSpace"] * 7)
        terminal.press("Enter")
        terminal.shows("of 100")
        terminal.press("q")
        terminal.is_put_back()
    for session in sessions:
        session.close()
    more.communicate(b"\n")


@test
def keys_do_something():
    with Session(3, ring=2) as session, Terminal() as terminal:
        top(terminal)
        for key, name in (("s", "session"), ("p", "pages"), ("c", "cpus"), ("b", "bytes")):
            terminal.press(key)
            terminal.shows(f"by {name}")
        terminal.press("Enter")
        text = terminal.shows(f"Channels of session {session.id}", "1-3 of 3", "1/2")
        must("waits" in text and "busy" in text, text)
        fits(terminal)
        terminal.press("q")
        terminal.press("l")
        terminal.shows(f"Rate of session {session.id}")
        terminal.type("fast")
        terminal.shows("is no rate")
        terminal.press("l")
        terminal.type("20M")
        terminal.shows(f"session {session.id}: limited")
        same(stats(session.id)["sessions"][0]["rate"], 20000000, "rate")
        terminal.press("l")
        terminal.press("Escape")
        terminal.press("x")
        terminal.shows(f"Cancel session {session.id}?")
        terminal.press("n")
        terminal.shows("?: help")
        must(not stats(session.id)["sessions"][0].get("error"), "it was cancelled")
        terminal.press("x", "y")
        terminal.shows(f"session {session.id}: cancelled")
        until(lambda: stats(session.id)["sessions"][0].get("error"), "it is cancelled")
        terminal.press("q")
        terminal.is_put_back()


@test
def others_may_not():
    with Session(1) as session, Terminal() as terminal:
        terminal.type(" ".join(("chmod 666 /dev/multifd_zp;", "setpriv", "--inh-caps=-all",
                                "--bounding-set=-all", MFDCTL, "top", "-d", "0.2")))
        terminal.shows("BOTTLENECK", str(session.id))
        terminal.press("x", "y")
        terminal.shows("ermi")
        terminal.press("q")
        terminal.is_put_back()


@test
def without_a_screen():
    """A plain table, and the last one stays."""
    with Session(1) as session:
        with Terminal(TERM="dumb") as terminal:
            text = terminal.run(f"{MFDCTL} top -n 2 -d 0.1")
            same(terminal.ask("alternate_on"), "0", "another screen")
            same(text.count("BOTTLENECK"), 2, "tables")
            fits(terminal)
        with Terminal() as terminal:
            text = terminal.run(f"{MFDCTL} top -n 2 -d 0.1")
            same(terminal.ask("alternate_on"), "0", "another screen")
            same(text.count("BOTTLENECK"), 1, "tables")
            must(re.search(rf"^ *{session.id} .*network", text, re.M), text)


@test
def what_is_printed_fits():
    memory = Memory(3000)
    with Session(3, ring=2) as session, Terminal() as terminal:
        session.send(session.block(memory), 0, memory.pages)
        quiet(session.id)
        for command in ("info", "top -b -n 1"):
            terminal.run(f"{MFDCTL} {command}")
            # each line is one of the terminal
            same(len(terminal.all_text().split("\n")), len(terminal.lines()),
                 f"lines of {command}")
        for line in mfdctl("stats", "--channels", "--since-start").split("\n"):
            must(not re.match(r" *(channel|\d)", line) or len(line) <= 80, line)


def shape(text):
    """What does not change: headings of tables, and what other lines begin with."""
    lines = [line.strip() for line in text.split("\n")]
    headings = {line for line in lines if re.match("(SESSION|channel|worker) ", line)}
    return headings, {line.split()[0] for line in lines if re.match("[a-z]+ ", line)}


@test
def the_documentation_shows_what_there_is():
    """But for numbers: tests/netlink/screens makes it anew."""
    memory = Memory(3000)
    with Session(2, ring=2) as session:
        session.send(session.block(memory), 0, memory.pages)
        quiet(session.id)
        for name, live in (
                ("top", mfdctl("top", "-b", "-n", 1)),
                ("stats", mfdctl("stats", "--channels", "--workers"))):
            with open(f"{TOP}/Documentation/netlink/{name}.inc", encoding="utf-8") as shown:
                headings, begins = shape(shown.read().split("::", 1)[1])
            there, labels = shape(live)
            must(there and headings <= there, f"{name}.inc: {headings} instead of {there}")
            must(begins <= labels, f"{name}.inc: {begins - labels} is not there any more")

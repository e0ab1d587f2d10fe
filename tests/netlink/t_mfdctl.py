# SPDX-License-Identifier: GPL-2.0-only
"""mfdctl as people and programs use it."""

import errno
import json
import os
import re
import subprocess

import yaml
from prometheus_client.parser import text_string_to_metric_families

from kit import (AS_NOBODY, BUILD, COMM, MFDCTL, TOP, Monitor, load, mfdctl, must, same,
                 session_stats, stats, test, until)
from sender import PACKET, PAGE, ZSTD, Memory, Session, short_session
from t_stats import quiet

# A process may call itself anything.
NAME = b'a"b\\c\n\x1b[2J{\xff'
SHOWN = 'a"b\\c\n\x1b[2J{\ufffd'


def families(*arguments):
    """{name: family} of the metrics, which have to be well-formed."""
    found, text = {}, mfdctl("stats", "--prometheus", *arguments)
    checked = subprocess.run([os.environ["MZP_PROMTOOL"], "check", "metrics"], input=text,
                             capture_output=True, text=True, check=False)
    same((checked.returncode, checked.stdout, checked.stderr), (0, "", ""), "promtool check metrics")
    for family in text_string_to_metric_families(text):
        must(family.name.startswith("multifd_zp_"), family.name)
        must(family.name not in found, family.name, "comes twice")
        must(family.documentation.endswith("."), family.name, "has no description")
        must(family.samples, family.name, "has no samples")
        labels = [tuple(sorted(sample.labels.items())) for sample in family.samples]
        same(len(labels), len(set(labels)), f"samples of {family.name}, and different ones")
        found[family.name] = family
    return found


REASONS = {"cancelled": "cancelled", "admin": "cancelled-admin"} | {
    reason: f"failed-{reason}" for reason in ("closed", "reader", "job", "compressor", "memory",
                                              "network")}


def series(*arguments):
    """What Prometheus would store: names with their labels."""
    return {(sample.name, *sorted(sample.labels.items()))
            for family in families(*arguments).values() for sample in family.samples}


def value(family, **labels):
    """The one sample with these labels."""
    values = [sample.value for sample in family.samples
              if all(sample.labels[name] == value for name, value in labels.items())]
    same(len(values), 1, f"samples of {family.name} with {labels}")
    return values[0]


@test
def prometheus_is_what_json_is():
    """A real parser reads it, with names that need quotes; numbers are the same."""
    with open("/proc/self/comm", "wb") as comm:
        comm.write(NAME)
    memory = Memory(1000, 100)
    with Session(0) as new, Session(2, ring=2) as session, Session(1, method=ZSTD) as other:
        session.send(session.block(memory), 0, memory.pages)
        quiet(session.id)
        metrics = families("--channels", "--workers", "--identify")
        shown, channels = session_stats(session.id)
        who = {"slot": str(shown["slot"])}
        for name, metric, kind, factor in (
                ("submitted", "submitted_pages", "counter", 1),
                ("normal", "normal_pages", "counter", 1), ("zero", "zero_pages", "counter", 1),
                ("lost", "lost_pages", "counter", 1), ("bytes-in", "in_bytes", "counter", 1),
                ("bytes-out", "out_bytes", "counter", 1),
                ("bytes-read", "read_bytes", "counter", 1), ("packets", "packets", "counter", 1),
                ("busy", "busy_seconds", "counter", 1e-9), ("ring-full", "ring_full", "counter", 1),
                ("throttled", "throttled", "counter", 1), ("ring-packets", "ring_packets", "gauge", 1),
                ("ring-size", "ring_size_packets", "gauge", 1), ("memory", "memory_bytes", "gauge", 1),
                ("jobs-unfinished", "unfinished_jobs", "gauge", 1)):
            family = metrics[f"multifd_zp_session_{metric}"]
            same(family.type, kind, metric)
            must(abs(value(family, **who) - shown[name] * factor) < 1e-9, metric, name)
            if metric not in ("submitted_pages", "unfinished_jobs"):
                for channel in channels:
                    must(abs(value(metrics[f"multifd_zp_channel_{metric}"],
                                   channel=str(channel["id"]), **who) -
                             channel[name] * factor) < 1e-9, metric, channel)
        info = metrics["multifd_zp_session_info"]
        same(value(info, session=str(other.id), method="zstd", state="active"), 1, "info")
        same(value(info, session=str(new.id), state="new"), 1, "info")
        same(value(info, session=str(session.id), pid=str(os.getpid()), comm=SHOWN, **who), 1, "who")
        done = sum(shown[name] for name in ("normal", "zero", "absent", "lost"))
        same(value(metrics["multifd_zp_session_remaining_pages"], **who), shown["submitted"] - done,
             "pages that are left")
        states = metrics["multifd_zp_module_visible_sessions"]
        same([value(states, state=state) for state in ("new", "active", "ended", "failed")],
             [1, 2, 0, 0], "states")
        totals = stats("--totals")["totals"]
        for name, metric in (("started", "sessions_started"), ("ended", "sessions_ended"),
                             ("normal", "normal_pages"), ("bytes-out", "out_bytes")):
            same(value(metrics[f"multifd_zp_module_{metric}"]), totals[name], metric)
        same({sample.labels["reason"]: sample.value
              for sample in metrics["multifd_zp_module_sessions_failed"].samples},
             {reason: totals[name] for reason, name in REASONS.items()}, "failed, by reason")
        same(value(metrics["multifd_zp_module_sessions"]), 3, "sessions")
        same(value(metrics["multifd_zp_worker_up"], cpu="1"), 1, "worker")
        # only what was asked for
        must(not any(re.match("multifd_zp_(channel|worker)_", name) for name in families(session.id)),
             "channels or workers that nobody has asked for")
    families()


@test
def ten_thousand_sessions_are_few_series():
    """As many as there were sessions at one time, and no more; and all were counted."""
    families()
    with Session(2), Session(1), Session(1):
        seen = series("--channels")
    number = stats("--totals")["totals"]["started"]
    for n in range(10000 - 3):
        short_session()
        if n % 500 == 0:
            with Session(2), Session(1):
                more = series("--channels") - seen
                must(not more, "new series:", more)
    with Session(2), Session(1), Session(1):
        same(series("--channels"), seen, "series")
        same(stats("--totals")["totals"]["started"], number + 10000 - 3 + 2 * 20 + 3, "started")
        must(len(series("--identify") - seen) == 3, "who they are is told only if wanted")


@test
def what_was_short_is_seen_by_who_looks_rarely():
    """A migration of 0.3 s and one that failed, between two scrapes."""
    memory = Memory(1000)
    before = families()
    with Session(2) as good:
        good.read_on()
        good.send(good.block(memory), 0, memory.pages)
        good.wait()
        good.end()
    with Session(1) as bad:
        bad.send(bad.block(memory), 0, memory.pages)
        os.close(bad.channels.pop())
    until(lambda: not stats()["sessions"], "both are gone")
    after = families()
    for metric, labels, more in (("sessions_started", {}, 2), ("sessions_ended", {}, 1),
                                 ("sessions_failed", {"reason": "reader"}, 1),
                                 ("sessions_failed", {"reason": "network"}, 0)):
        name = f"multifd_zp_module_{metric}"
        same(value(after[name], **labels) - value(before[name], **labels), more, metric)
    pages = "multifd_zp_module_normal_pages"
    must(value(after[pages]) - value(before[pages]) >= 1000, "pages")


@test
def users_get_the_metrics_that_are_theirs():
    text = mfdctl("stats", "--prometheus", under=AS_NOBODY)
    must("multifd_zp_module_sessions 0\n" in text and "_total" not in text and
         "multifd_zp_host_" not in text, text)


@test
def a_textfile_is_whole_and_never_stale():
    """Whatever the umask is, others can read it; and it goes with the module."""
    folder = "/dev/shm/textfiles"
    path = f"{folder}/multifd_zp.prom"
    os.mkdir(folder)
    os.umask(0o077)
    for _ in range(2):
        same(mfdctl("stats", "--prometheus", "--output", path), "", "standard output")
        same(os.stat(path).st_mode & 0o777, 0o644, "mode")
        with open(path, encoding="utf-8") as file:
            must("\nmultifd_zp_module_sessions_started_total " in file.read(), "metrics")
    same(os.listdir(folder), ["multifd_zp.prom"], "files")
    must("No such file" in mfdctl("stats", "--prometheus", "--output", f"{folder}/no/such",
                                  status=1), "a folder that is not there")
    subprocess.run(["rmmod", "multifd_zp"], check=True)
    try:
        same(mfdctl("stats", "--prometheus", "--output", path), "", "standard output")
        same(mfdctl("stats", "--prometheus", "--output", path), "", "standard output")
    finally:
        load()
    same(os.listdir(folder), [], "files")
    os.rmdir(folder)


@test
def alerts_and_dashboard_name_what_there_is():
    """Each metric that they name exists; panels lie side by side on Grafana's grid."""
    memory = Memory(100)
    with Session() as session:
        session.read_on()
        block = session.block(memory)
        for _ in range(2):
            session.send(block, 0, 100)
            session.sync()
            session.wait()
        there = {sample.name for family in families("--channels", "--workers", "--identify").values()
                 for sample in family.samples}
    folder = f"{TOP}/tools/prometheus"
    with open(f"{folder}/multifd_zp.rules.yml", encoding="utf-8") as file:
        rules = [rule for group in yaml.safe_load(file)["groups"] for rule in group["rules"]]
    same(len({rule["alert"] for rule in rules}), len(rules), "alerts, and different ones")
    with open(f"{folder}/grafana.json", encoding="utf-8") as file:
        board = json.load(file)
    panels = board["panels"]
    same(sorted(panel["id"] for panel in panels), list(range(1, len(panels) + 1)), "ids")
    cells = [(x, y) for at in (panel["gridPos"] for panel in panels)
             for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
    same(len(cells), len(set(cells)), "panels that lie on others")
    same({x for x, _ in cells}, set(range(24)), "columns of the grid")
    variables = {one["name"] for one in board["templating"]["list"]}
    for panel in panels:
        must(panel["title"] and panel["type"] in ("stat", "timeseries"), panel)
        same(panel["datasource"]["uid"], "${datasource}", "data source")
        must(panel["targets"], panel["title"], "shows nothing")
    for expression in [rule["expr"] for rule in rules] + \
            [target["expr"] for panel in panels for target in panel["targets"]]:
        named = set(re.findall(r"\bmultifd_zp_\w+", expression))
        must(named and named <= there, expression, named - there)
        must(set(re.findall(r"\$(\w+)", expression)) <= variables, expression)
    must({"multifd_zp_module_info"} <= there, "what the list of hosts is made of")


@test
def names_do_nothing_to_a_terminal():
    with open("/proc/self/comm", "wb") as comm:
        comm.write(NAME)
    with Monitor() as monitor, Session() as session:
        for output in (mfdctl("stats"), mfdctl("top", "--once"), monitor.line()):
            must("\x1b" not in output and 'a"b\\c??[2J{\ufffd' in output, repr(output))
        same(stats(session.id)["sessions"][0]["comm"], SHOWN, "comm")


@test
def watching_goes_on():
    """One object a line, or one picture after another, until it is ended."""
    with Session() as session:
        for arguments, mark in ((("stats", "--json", "--watch=0.1"), '"sessions":[{'),
                                (("stats", "--watch=0.1", session.id), "session "),
                                (("top", "-b", "-d", "0.1"), "mfdctl top, ")):
            process = subprocess.Popen([MFDCTL, *map(str, arguments)], text=True,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            seen = 0
            while seen < 3:
                line = process.stdout.readline()
                must(line, arguments, "has ended")
                if "--json" in arguments:
                    json.loads(line)
                seen += mark in line
            process.kill()
            process.wait()
            process.stdout.close()
        # one that is gone is an error, not silence
        process = subprocess.Popen([MFDCTL, "stats", "--watch=0.1", str(session.id)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        process.stdout.readline()
    said = process.communicate(timeout=30)[1]
    same(process.returncode, 1, "status")
    must("no session" in said, said)


@test
def top_has_a_line_for_each():
    memory = Memory(2000, 0, 2000)
    with Session(0) as new, Session(2, ring=2) as session:
        session.send(session.block(memory), 0, memory.pages)
        quiet(session.id)
        pictures = mfdctl("top", "-n", 2, "-b", "-d", "0.1", "-s", "session").split("\n\n")
        same(len(pictures), 2, "pictures")
        for picture in pictures:
            head, columns, *rows = picture.rstrip("\n").split("\n")
            must(f"2 sessions, {os.cpu_count()} workers" in head, head)
            same(columns.split()[0], "SESSION", "columns")
            same([int(row.split()[0]) for row in rows], [new.id, session.id], "order")
            must(re.search(rf" root +{COMM} +active +0 .* 100% +\d\.\d network$", rows[1]), rows[1])
            must(re.search(rf" root +{COMM} +new .* idle$", rows[0]), rows[0])
        # the one that has done something
        first = mfdctl("top", "--once", "--sort", "pages").split("\n")[2]
        same(int(first.split()[0]), session.id, "the first by pages")


@test
def sessions_are_completed():
    """What bash would offer."""
    def offers(*words):
        script = (f'. {TOP}/tools/completion/bash; PATH={BUILD}:$PATH; '
                  'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                  '_multifd_zp mfdctl "${@: -1}" "${@: -2:1}"; echo "${COMPREPLY[@]}"')
        return subprocess.run(["bash", "-c", script, "bash", "mfdctl", *words], check=True,
                              capture_output=True, text=True).stdout.split()

    with Session() as session, Session() as other:
        ids = [str(session.id), str(other.id)]
        same(offers("st"), ["stats"], "commands")
        for command in ("stats", "limit", "cancel"):
            must(set(ids) <= set(offers(command, "")), command, offers(command, ""))
        same(sorted(offers("cancel", "")), sorted(["--json", "--help", *ids]), "after cancel")
        same(offers("limit", ids[0], "--r"), ["--rate"], "options of limit")
        same(offers("limit", ids[0], "--rate", "n"), ["none"], "rates")
        must("all" in offers("limit", ids[0], "--cpus", ""), "CPUs")
        must(not set(ids) & set(offers("top", "")), "top takes no session")


@test
def wrong_command_lines():
    for arguments, said in ((("stats", "x"), "is no session"), (("stats", "1", "2"), "one session"),
                            (("stats", "--prometheus", "--json"), "neither with"),
                            (("stats", "--identify"), "are for --prometheus"),
                            (("stats", "--output", "x"), "are for --prometheus"),
                            (("stats", "--watch=0"), "seconds"), (("info", "1"), "unexpected"),
                            (("limit", "1"), "--cpus or --rate"), (("limit", "--rate", "1k"), "which"),
                            (("limit", "1", "--rate", "fast"), "is no rate"),
                            (("limit", "1", "--cpus", ""), "a list such as"),
                            (("cancel",), "which session"), (("top", "-n", "0"), "-n"),
                            (("monitor", "--xml"), "unrecognized"), (("start",), "no command"),
                            ((), "a command is missing")):
        must(said in mfdctl(*arguments, status=2), arguments)
    must("there is no session" in mfdctl("stats", 1 << 60, status=1), "no such session")
    for command in ("stats", "top", "monitor", "history", "info", "limit", "cancel", "host",
                    "drain", "version", "bugreport"):
        same(mfdctl("help", command), mfdctl(command, "-h"), command)
        must(mfdctl(command, "--help").startswith(f"Usage: mfdctl {command} "), command)


def shell(command):
    """What a command of the documentation prints, as a shell there would run it."""
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False,
                          env=os.environ | {"PATH": f"{BUILD}:{os.environ['PATH']}"})
    same((done.returncode, done.stderr), (0, ""), command)
    return done.stdout


def jq_examples():
    """All commands with jq that the manual and the help show: {command: where}."""
    texts = {page: open(f"{TOP}/{page}", encoding="utf-8").read()
             for page in ("Documentation/mfdctl.rst", "tools/man/mfdctl.8")}
    texts |= {command: mfdctl("help", command) for command in ("stats", "history", "monitor")}
    found = {}
    for where, text in texts.items():
        for command in re.findall(r"^(?:\.Dl| +) *(mfdctl [^\n]*\| jq '[^']*')", text, re.M):
            found[" ".join(command.split())] = where
    return found


@test
def examples_with_jq_work():
    """Each of them says what it is there for."""
    examples = jq_examples()
    same(len(examples), 4, f"examples: {examples}")
    memory = Memory(2000)
    with Session(2, ring=2) as session, Session() as idle:
        idle.read_on()
        session.send(session.block(memory), 0, memory.pages)
        quiet(session.id)
        for command, where in examples.items():
            # each time, since only the last ones are kept
            with Session() as failed:
                failed.cancel()
            until(lambda session=failed: f'"id":{session.id},' in mfdctl("history", "--json"),
                  "its record")
            if " monitor " in command:
                # it goes on until it is ended
                command = command.replace("mfdctl monitor", "timeout 5 mfdctl monitor")
                process = subprocess.Popen(["bash", "-c", f"PATH={BUILD}:$PATH; {command}"],
                                           stdout=subprocess.PIPE, text=True)
                while process.poll() is None:
                    with Session() as other:
                        other.read_on()
                        other.sync()
                        other.wait()
                said = process.stdout.read()
                process.stdout.close()
                must(re.search(r"\[\s*\d+,\s*1,\s*[\d.e-]+\s*\]", said), where, said)
                continue
            said = shell(command)
            if "bottleneck ==" in command:
                same(said, f"{os.getpid()}\n", where)
            elif "submitted" in command:
                must(f'"submitted": {memory.pages}' in said and '"bottleneck": "idle"' in said, said)
            elif "end-time" in command:
                must(f'"id": {failed.id}' in said and '"reason": "cancelled"' in said, where, said)
            else:
                must(False, "no example that is known:", command, where)


@test
def a_report_has_what_it_needs():
    """And no memory of a guest; also by a user, and without the module."""
    secret = b"what the guest keeps to itself!!"
    memory = Memory(PACKET)
    for page in range(PACKET):
        os.pwrite(memory.fd, secret * (PAGE // len(secret)), page * PAGE)
    with Session(2, uuid=bytes(range(16))) as session:
        session.send(session.block(memory, b"some-block"), 0, memory.pages)
        quiet(session.id)
        device = session.fd
        # it may be so long ago that it is not in a small log any more
        loaded = "multifd_zp: loading out-of-tree module"
        logged = loaded in subprocess.run(["dmesg"], stdout=subprocess.PIPE, check=True,
                                          text=True).stdout
        report = mfdctl("bugreport")
        of_user = mfdctl("bugreport", under=AS_NOBODY)
    with open("/sys/module/multifd_zp/srcversion", encoding="ascii") as file:
        source = file.read().strip()
    for part in ("No memory of any guest is in it", os.uname().release, f"srcversion: {source}",
                 "max_sessions: 0", f"process {os.getpid()}, descriptor {device}",
                 f"mzp-session: {session.id}\n", "mzp-ring:", '"totals":{', '"channels":[',
                 "== the kernel's messages that name the module", "\n== history --json\n"):
        must(part in report, part, "is not in", report)
    same(loaded in report, logged, "whether it is said that the module was loaded")
    must(secret.decode() not in report, "what the guest keeps to itself is told")
    must("cannot be had: this takes CAP_NET_ADMIN" in of_user or
         "cannot be had: not permitted" in of_user, of_user)
    must(f"mzp-session: {session.id}\n" not in of_user, "a user sees root's descriptors")
    subprocess.run(["rmmod", "multifd_zp"], check=True)
    try:
        must("is not loaded" in mfdctl("bugreport"), "without a module")
    finally:
        load()


@test
def errors_are_objects_too():
    """On standard output with --json, and in words on standard error as ever."""
    for command, status, code, name, part in (
            (("stats", 1 << 60, "--json"), 1, errno.ENOENT, "ENOENT", "no session with this id"),
            (("cancel", "1", "--json"), 1, errno.ENOENT, "ENOENT", "session 1: there is no"),
            (("limit", "x", "--rate", "1k", "--json"), 2, errno.EINVAL, "EINVAL", "is no session"),
            (("history", "--json", "--xml"), 2, errno.EINVAL, "EINVAL", "arguments are wrong")):
        done = subprocess.run([MFDCTL, *map(str, command)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, check=False)
        same(done.returncode, status, command)
        error = json.loads(done.stdout)["error"]
        same((error["status"], error["errno"], error["name"]), (status, code, name), command)
        must(part in error["message"], error)
        must(done.stderr.startswith("mfdctl"), done.stderr)


@test
def versions_are_told():
    """Of the program, the library and the module, and a warning if one is another."""
    with open(f"{TOP}/Kbuild", encoding="utf-8") as file:
        version = re.search(r"^MZP_VERSION := (.*)$", file.read(), re.M).group(1)
    with_library = ("env", f"LD_LIBRARY_PATH={BUILD}")
    for command in ("version", "--version", "-V"):
        same(mfdctl(command, under=with_library),
             f"mfdctl {version}\nlibmfd {version}\nmultifd_zp.ko {version}\n", command)
    same(json.loads(mfdctl("version", "--json", under=with_library)),
         {"mfdctl": version, "libmfd": version, "module": version, "one-version": True}, "JSON")
    # The same library, which says that it is another one.
    other, theirs = "/dev/shm/other-version", re.sub(r"\d", "9", version)
    os.mkdir(other)
    with open(f"{BUILD}/libmfd.so.0", "rb") as ours, open(f"{other}/libmfd.so.0", "wb") as library:
        library.write(ours.read().replace(f"{version}\0".encode(), f"{theirs}\0".encode()))
    done = subprocess.run([MFDCTL, "version"], capture_output=True, text=True, check=True,
                          env=os.environ | {"LD_LIBRARY_PATH": other})
    must(f"libmfd {theirs}\n" in done.stdout and "different versions" in done.stderr, done)


@test
def the_module_is_not_there():
    """It is unloaded, so this comes last."""
    subprocess.run(["rmmod", "multifd_zp"], check=True)
    try:
        for command in (("stats",), ("top", "-b"), ("monitor",), ("info",), ("cancel", "1"),
                        ("limit", "1", "--rate", "1M")):
            must("not loaded (modprobe" in mfdctl(*command, status=1), command)
    finally:
        load()
    same(stats()["sessions"], [], "sessions")

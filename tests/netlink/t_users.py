# SPDX-License-Identifier: GPL-2.0-only
"""Who may see and do what."""

import errno
import os
import resource
import signal

from genl import NR, Link, Refused, text, u32, u64
from kit import AS_NOBODY, CPUS, NOBODY, mfdctl, must, same, session_stats, stats, test
from sender import Memory, Session

# root in a user namespace of its own, as any user can be
USERNS = (*AS_NOBODY, "unshare", "--user", "--map-root-user")


class Stranger:
    """A process of another user with a session, until it is told to end."""

    def __init__(self):
        ready, tell = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                resource.setrlimit(resource.RLIMIT_MEMLOCK, (8 << 20, 8 << 20))
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
                session = Session(1, ring=2)
                session.send(session.block(Memory(1000)), 0, 1000)
                os.write(tell, str(session.id).encode())
                signal.pause()
            finally:
                os._exit(1)
        os.close(tell)
        self.id = int(os.read(ready, 20) or b"0")
        os.close(ready)
        must(self.id, "a user could not set up a session")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def ids(under=()):
    seen = stats("--channels", "--workers", under=under)
    sessions = [one["id"] for one in seen["sessions"]]
    same(sorted({one["session"] for one in seen["channels"]}), sessions, "whose channels")
    must(seen["workers"], "no workers")
    return sessions


@test
def users_see_their_own():
    with Session() as mine, Stranger() as other:
        same(ids(), [mine.id, other.id], "what root sees")
        same(ids(AS_NOBODY), [other.id], "what a user sees")
        same(stats(other.id)["sessions"][0]["uid"], NOBODY, "whose it is")
        same(stats(other.id, under=AS_NOBODY)["sessions"][0]["pid"], other.pid, "its process")
        for arguments in (("stats", mine.id), ("stats", mine.id, "--channels")):
            must("CAP_NET_ADMIN" in mfdctl(*arguments, under=AS_NOBODY, status=1), arguments)
    with Session():
        must("no sessions of yours, and 1 of others" in mfdctl("stats", under=AS_NOBODY),
             "what a user without a session is told")
        same(ids(AS_NOBODY), [], "what a user without a session sees")


@test
def users_change_nothing():
    """Not even of their own: that is what ioctls are for."""
    with Session() as mine, Stranger() as other:
        for one in (mine.id, other.id):
            for arguments in (("cancel", one), ("limit", one, "--rate", "1k"),
                              ("limit", one, "--cpus", "0")):
                must("CAP_NET_ADMIN" in mfdctl(*arguments, under=AS_NOBODY, status=1),
                     arguments)
                must("CAP_NET_ADMIN" in mfdctl(*arguments, under=USERNS, status=1), arguments)
        must("CAP_NET_ADMIN" in mfdctl("monitor", under=AS_NOBODY, status=1), "events")
        must("CAP_NET_ADMIN" in mfdctl("monitor", under=USERNS, status=1), "events")
        for one in (mine.id, other.id):
            shown, _ = session_stats(one)
            same((shown["state"], shown["rate"], shown["cpus"]), ("active", 0, CPUS), "it")


@test
def root_of_a_user_namespace_is_a_user():
    with Session() as mine, Stranger() as other:
        same(ids(USERNS), [other.id], "what it sees")
        same(stats(under=USERNS)["sessions"][0]["uid"], 0, "its user, as it calls it")
        # in a network namespace where it is the administrator, too
        same(ids((*USERNS, "--net")), [other.id], "what it sees there")
        for more in ((), ("--net",)):
            for arguments in (("cancel", mine.id), ("cancel", other.id), ("stats", mine.id)):
                must("CAP_NET_ADMIN" in mfdctl(*arguments, under=(*USERNS, *more), status=1),
                     arguments, more)
        same(sorted(one["state"] for one in stats()["sessions"]), ["active", "active"], "states")


@test
def other_network_namespaces():
    """Root of a network namespace is nobody special: it sees its own sessions, by the PID
    namespace that they have in common, and does nothing to any."""
    there = ("unshare", "--net")
    with Session() as mine, Stranger() as other:
        same(ids(there), [mine.id], "what root sees")
        same(ids((*there, *AS_NOBODY)), [other.id], "what a user sees")
        for session in (mine.id, other.id):
            for command in (("limit", session, "--rate", "1M"), ("cancel", session)):
                said = mfdctl(*command, under=there, status=1)
                must("CAP_NET_ADMIN in the host's own namespaces" in said, said)
        same(session_stats(other.id)[0]["rate"], 0, "rate")
        same(session_stats(mine.id)[0]["state"], "active", "state")
        same(session_stats(mine.id)[0]["netns"], os.stat("/proc/self/ns/net").st_ino, "netns")


@test
def containers_are_not_the_host():
    """Root with a PID and a network namespace of its own, as in a container, without
    capabilities and with CAP_NET_ADMIN: it is root, and sees nothing of the host's."""
    there = ("unshare", "--net", "--pid", "--fork", "--mount-proc")
    with Session() as mine, Stranger() as other:
        for caps in ("-all", "-all,+net_admin"):
            inside = (*there, "setpriv", "--inh-caps", caps, "--bounding-set", caps)
            same(ids(inside), [], "what a container's root sees")
            for session in (mine.id, other.id):
                mfdctl("cancel", session, under=inside, status=1)
        same(session_stats(mine.id)[0]["state"], "active", "state")


@test
def other_pid_namespaces():
    """Processes that a reader cannot see have no number there."""
    there = ("unshare", "--pid", "--fork", "--kill-child")
    with Session() as mine:
        same(stats(mine.id)["sessions"][0]["pid"], os.getpid(), "pid")
        same(stats(mine.id, under=there)["sessions"][0]["pid"], 0, "pid, where it is not visible")


@test
def a_socket_has_the_rights_of_who_opened_it_and_who_sends():
    """One that root opened is of no use to a user who got it."""
    link = Link()
    listener = Link()
    with Session() as mine, Stranger() as other:
        ready, tell = os.pipe()
        pid = os.fork()
        if not pid:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            words = []
            for cmd, attrs in (("SESSION_CANCEL", u64("SESSION_ID", mine.id)),
                               ("SESSION_LIMIT", u64("SESSION_ID", mine.id) +
                                u64("SESSION_RATE", 1)),
                               ("SESSION_LIMIT", u64("SESSION_ID", mine.id) +
                                text("SESSION_CPUS", "0")),
                               ("SESSION_GET", u64("SESSION_ID", mine.id)),
                               ("CHANNEL_GET", u64("CHANNEL_SESSION", mine.id) +
                                u32("CHANNEL_ID", 0))):
                try:
                    link.do(cmd, attrs)
                    words.append(f"{cmd} is allowed")
                except Refused as error:
                    if error.errno != errno.EPERM:
                        words.append(f"{cmd}: {error}")
            seen = [int.from_bytes(one[NR["MZP_A_SESSION_ID"]], "little")
                    for one in link.dump("SESSION_GET")]
            if seen != [other.id]:
                words.append(f"sees {seen}")
            try:
                listener.listen()
                words.append("may listen")
            except PermissionError:
                pass
            os.write(tell, "; ".join(words).encode() or b"fine")
            os._exit(0)
        os.close(tell)
        said = os.read(ready, 10000).decode()
        os.close(ready)
        os.waitpid(pid, 0)
        same(said, "fine", "what a user could do with it")
    link.close()
    listener.close()


@test
def privileges_of_the_sender_are_not_enough():
    """A socket that was opened without them is not to be trusted: perhaps it is the
    standard output that a user has given to a privileged program."""
    with Session() as mine:
        os.seteuid(NOBODY)
        link = Link()
        os.seteuid(0)
        for cmd in ("SESSION_CANCEL", "SESSION_LIMIT"):
            try:
                link.do(cmd, u64("SESSION_ID", mine.id) + u64("SESSION_RATE", 1) *
                        (cmd == "SESSION_LIMIT"))
            except Refused as error:
                same(error.errno, errno.EPERM, cmd)
            else:
                must(False, cmd, "is done")
        link.close()
        shown, _ = session_stats(mine.id)
        same((shown["state"], shown["rate"]), ("active", 0), "the session")

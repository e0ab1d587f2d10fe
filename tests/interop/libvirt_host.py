# SPDX-License-Identifier: GPL-2.0-only
"""Hosts with a libvirt each, in namespaces of one machine.

They are set up as Documentation/qemu.rst tells users to, on what Debian's packages have.
"""

import grp
import json
import os
import pwd
import re
import shutil
import subprocess
import time
import uuid

from qemu import Failed, end

HERE = os.path.dirname(os.path.abspath(__file__))
DEVICE = "/dev/multifd_zp"
# What Debian's libvirt lets QEMU use; qemu.conf has them in a comment.
ACL = ["/dev/null", "/dev/full", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/ptmx",
       "/dev/kvm"]
# Whom Debian's libvirt runs QEMU as, and the group that our udev rule gives the device to.
USER, GROUP = "libvirt-qemu", "kvm"
EMULATOR = "/usr/local/bin/qemu-system-x86_64"
IMAGE = "/var/lib/libvirt/images/guest.img"
DAEMON_CONF = """listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
"""


def run(*command, timeout=200):
    """What it prints; Failed with its words if it fails."""
    done = subprocess.run([str(a) for a in command], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise Failed(" ".join((done.stderr.strip() or done.stdout).split("\n")))
    return done.stdout


def poll(what, problem, timeout=200):
    """Until `what` returns something, which is returned; else Failed with what `problem` says."""
    deadline = time.monotonic() + timeout
    while not (result := what()):
        if time.monotonic() > deadline:
            raise Failed(problem())
        time.sleep(0.02)
    return result


def connect(hosts):
    """A network namespace for each of two hosts, and a cable between them."""
    first, second = hosts
    for name in hosts:
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
    run("ip", "link", "add", "wire", "netns", first, "type", "veth",
        "peer", "name", "wire", "netns", second)
    for name, address in hosts.items():
        run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "wire")
        run("ip", "-n", name, "link", "set", "wire", "up")


def number_of(of, name, default):
    """A user's or a group's number on this machine, if it has it."""
    try:
        return of(name)[2]
    except KeyError:
        return default


UID = number_of(pwd.getpwnam, USER, 64055)
GID = number_of(grp.getgrnam, GROUP, 64056)


class Host:
    """A host with a libvirtd.

    name     also of its network namespace
    folder   an empty folder of its own, in memory
    hosts    {name: address} of all
    files    a folder with the /etc of Debian's package libvirt-daemon-system, and of those that
             it needs
    """

    def __init__(self, name, folder, hosts, files):
        self.name, self.folder, self.address = name, folder, hosts[name]
        self.process = self.settings = None
        self.log = f"{folder}/libvirtd.messages"
        shutil.copytree(f"{files}/etc", f"{folder}/etc", symlinks=True)
        # what packages make when they are installed
        for name in ("usr.sbin.libvirtd", "usr.lib.libvirt.virt-aa-helper"):
            self.write(f"/etc/apparmor.d/local/{name}", "")
        self.lines("/etc/passwd", f"{USER}:x:{UID}:{GID}::/var/lib/libvirt:/usr/sbin/nologin")
        self.lines("/etc/group", f"{GROUP}:x:{GID}:", f"{USER}:x:{UID}:{USER}")
        self.write("/etc/hosts", "127.0.0.1 localhost\n" +
                   "".join(f"{address} {host}\n" for host, address in hosts.items()))
        self.write("/etc/libvirt/libvirtd.conf",
                   f'{DAEMON_CONF}listen_addr = "{self.address}"\nhost_uuid = "{uuid.uuid4()}"\n')

    def here(self, path):
        """Where the machine has a file of the host's. What is below a mount that is there must
        not be changed but through it."""
        return (f"/proc/{self.process.pid}/root" if self.process else self.folder) + path

    def write(self, path, text, mode=0o644):
        """A file of the host's. Returns its path there."""
        here = self.here(path)
        os.makedirs(os.path.dirname(here), exist_ok=True)
        with open(here, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(here, mode)
        return path

    def lines(self, path, *lines):
        """The machine's file, with those lines for whose names there is none yet."""
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.write(path, text + "".join(
            line + "\n" for line in lines
            if not re.search(f"^{re.escape(line.split(':')[0])}:", text, re.M)))

    def install(self, source, path, mode=0o755, gid=0):
        """Copy a file to the host."""
        here = self.here(path)
        os.makedirs(os.path.dirname(here), exist_ok=True)
        shutil.copy(source, here)
        os.chmod(here, mode)
        os.chown(here, 0, gid)

    def configure(self, **settings):
        """Start libvirtd, or start it anew if it has other settings of qemu.conf."""
        settings = {"stdio_handler": "file", "migration_host": self.address,
                    "security_driver": "none", **settings}
        if self.process and self.settings == settings:
            return
        self.stop()
        self.settings = settings
        # lists and strings are written as in JSON
        self.write("/etc/libvirt/qemu.conf", "".join(f"{name} = {json.dumps(value)}\n"
                                                     for name, value in settings.items()))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([f"{HERE}/libvirt_daemon", self.name, self.folder],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ready(self):
        """Until libvirtd serves others."""
        def answers():
            if self.process.poll() is not None:
                raise Failed(f"{self.name}: libvirtd ended: {self.said()}")
            return os.path.exists(f"{self.folder}/run/libvirt-sock") and subprocess.run(
                self.command("-c", f"qemu+tcp://{self.name}/system", "uri"), check=False,
                stdin=subprocess.DEVNULL, capture_output=True).returncode == 0

        poll(answers, lambda: f"{self.name}: libvirtd does not answer: {self.said()}")

    def said(self):
        """The last of what libvirtd wrote."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return " ".join(log.read()[-600:].split("\n"))

    def command(self, *arguments):
        """virsh, as a user of this host would call it."""
        return ["nsenter", "-t", str(self.process.pid), "-m", "-u", "-n", "-C", "virsh", "-q",
                *map(str, arguments)]

    def virsh(self, *arguments):
        """What it prints, or Failed with what it says."""
        return run(*self.command(*arguments))

    def domains(self):
        """The names of those that are there."""
        return self.virsh("list", "--all", "--name").split() if self.process else []

    def stop(self):
        """Away with its domains, and then with libvirtd."""
        if not self.process:
            return
        if self.process.poll() is None:
            for name in self.domains():
                self.virsh("destroy", name)
        end(self.process)
        self.process = None

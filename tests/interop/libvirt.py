#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Running guests that libvirt moves from a QEMU of ours, through the module, to a stock QEMU
on another host, and back; run in the VM by tests/interop/libvirt.

That the module has sent RAM, and not QEMU's own threads, the module has to say itself.
"""

import glob
import os
import re
import shutil
import subprocess
import sys

import matrix
from libvirt_guest import DATA, NAME, Domain, definition, same
from libvirt_host import ACL, DEVICE, EMULATOR, GID, IMAGE, UID, USER, Host, connect, poll, run
from matrix import QEMU, Failed, case
from qemu import end
from sessions import Sessions

FOLDER = "/dev/shm/libvirt"
TIMES = int(os.environ["MZP_TIMES"])
HOSTS = {"hosta": "10.77.0.1", "hostb": "10.77.0.2"}
KERNEL = "multifd-ram-backend=kernel"
# A host with the module, one with stock QEMUs, and what the module says.
A = B = SESSIONS = None
# How the domain was started that is on host a.
STARTED = None
# Only ours are wanted.
matrix.CASES.clear()


def prepare():
    """The machine, and what is installed on its hosts."""
    global A, B
    run("modprobe", "overlay")
    os.chown(DEVICE, 0, GID)
    connect(HOSTS)
    A, B = (Host(name, f"{FOLDER}/{name}", HOSTS, os.environ["MZP_LIBVIRT"]) for name in HOSTS)
    for host in (A, B):
        host.install(f"{os.environ['MZP_SECTORS']}/boot_guest.img", IMAGE, 0o644)
    # as users install it
    ours = os.environ["MZP_QEMU_OURS"]
    built = os.path.dirname(ours)
    A.install(f"{ours}.bin", EMULATOR)
    for path in glob.glob(f"{built}/usr/share/*/*.bin") + glob.glob(f"{built}/usr/share/*/*.rom"):
        A.install(path, f"/usr/local/share/qemu/{os.path.basename(path)}", 0o644)
    for version, program in QEMU.items():
        stock(version, program)


def stock(version, program):
    """A stock QEMU on host b. It is where it was fetched to, and only root may look there."""
    there, here = os.path.dirname(program), f"/run/stock/{version}"
    os.makedirs(here)
    run("mount", "--bind", there, here)
    with open(program, encoding="utf-8") as launcher:
        B.write(emulator(version), launcher.read().replace(there, here), 0o755)


def emulator(version):
    """Of host b's."""
    return f"/usr/local/bin/qemu-{version}"


def start(*options, more="", machine="pc-q35-10.0", acl=(DEVICE,), mode=0o660, **settings):
    """A guest at work on host a, as on a host that is set up as documented: the one that is
    there, if it is the same."""
    global STARTED
    how = (options, more, machine, acl, mode, settings)
    if how != STARTED or A.domains() != [NAME] or B.domains():
        STARTED = None
        A.configure(cgroup_device_acl=[*ACL, *acl], **settings)
        B.configure()
        for host in (A, B):
            host.ready()
            for name in host.domains():
                host.virsh("destroy", name)
        if os.path.exists(DEVICE):
            os.chmod(DEVICE, mode)
        A.virsh("create", A.write("/etc/domain.xml",
                                  definition(*options, more=more, machine=machine)))
        STARTED = how
    domain = Domain(A)
    domain.work()
    return domain


def command(here, there, *options, xml=None, parallel=("--parallel", "--parallel-connections", 2)):
    """The one that migrates the domain."""
    path = here.write("/etc/destination.xml", xml or definition(emulator=emulator("stable")))
    return here.command("migrate", NAME, f"qemu+tcp://{there.name}/system", "--live", *parallel,
                        "--xml", path, *options)


def home():
    """The domain as it is on host a."""
    return definition(KERNEL)


def by_module(here, job):
    """The module has sent all, and libvirt has counted the same."""
    said = SESSIONS.last(here.pid, "session-ended")
    normal, constant = (int(re.search(rf"{name} pages: +(\d+)", job)[1])
                        for name in ("Normal", "Constant"))
    matrix.TRANSCRIPT.write(f"    {' '.join(job.split())}\n    {said}\n")
    if said["lost"] or (said["normal"], said["zero"] + said["absent"]) != (normal, constant):
        raise Failed(f"libvirt counts {normal} normal pages and {constant} constant ones, "
                     f"and the module {said}")
    if said["uid"] != UID:
        raise Failed(f"QEMU runs as user {said['uid']}")
    return said


def by_threads(here, before=0):
    """The module has had no session, beside those with so many events."""
    if events := SESSIONS.events(here.pid)[before:]:
        raise Failed(f"the module has had a session: {events[0]}")


def arrives(here, to, *options, module=True, stopped=True, **how):
    """The guest works here, and then on host `to`. Returns the domain there, and what the
    module says. If it is to stop on the way, all memory is compared."""
    run(*command(here.host, to, *options, *(["--suspend"] if stopped else []), **how))
    there = Domain(to)
    if here.host.domains() or to.domains() != [NAME]:
        raise Failed(f"{here.host.domains()} and {to.domains()} are there")
    if stopped:
        same(here, there)
        to.virsh("resume", NAME)
    else:
        same(here, there, *DATA)
    there.work()
    if there.state() != "running":
        raise Failed(f"the domain is {there.state()}")
    job = to.virsh("domjobinfo", NAME, "--completed")
    said = by_module(here, job) if module else by_threads(here)
    here.memory.close()
    return there, said


def confined(domain):
    """QEMU's user, its devices and its cgroup are what libvirt on Debian makes them."""
    devices = os.listdir(f"/proc/{domain.pid}/root/dev")
    if "multifd_zp" not in devices or "mem" in devices:
        raise Failed(f"QEMU sees the devices {devices}")
    if os.stat(f"/proc/{domain.pid}").st_uid != UID:
        raise Failed(f"QEMU is not of the user {USER}")
    with open(f"/proc/{domain.pid}/cgroup", encoding="ascii") as file:
        cgroup = file.read().strip()
    if "/machine/qemu-" not in cgroup:
        raise Failed(f"QEMU is in the cgroup {cgroup}")


def runs_on(here, problem):
    """It is still here, and nowhere else."""
    if here.host.domains() != [NAME] or B.domains():
        raise Failed(f"after {problem}: {here.host.domains()} and {B.domains()} are there")
    if here.state() != "running":
        raise Failed(f"after {problem} the domain is {here.state()}")
    here.work()


@case("aborted", quick=False)
def aborted():
    """When some is sent. The next attempt succeeds."""
    here = start(KERNEL)
    for _ in range(TIMES):
        migration = subprocess.Popen(command(A, B, "--bandwidth", 1), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            def sends():
                if migration.poll() is not None:
                    raise Failed(f"it ended: {migration.stderr.read()}")
                return re.search(r"Memory processed: +\d+\.\d+ MiB", A.virsh("domjobinfo", NAME))

            poll(sends, lambda: "it does not begin")
            A.virsh("domjobabort", NAME)
            said = migration.communicate(timeout=100)[1]
        finally:
            end(migration)
        if not migration.returncode or "canceled by client" not in said:
            raise Failed(f"virsh exits with {migration.returncode}: {said}")
        runs_on(here, said)
        SESSIONS.last(here.pid, "session-failed")
    arrives(here, B)


@case(f"there, and back, {TIMES} times")
def there_and_back():
    """By turns, the guest stops on the way, or never does."""
    domain = start(KERNEL)
    confined(domain)
    for i in range(TIMES):
        domain, _ = arrives(domain, B, stopped=i % 2 == 0)
        domain, _ = arrives(domain, A, module=False, stopped=i % 2 == 0, xml=home())


@case("without --parallel, the module is not used", quick=False)
def not_parallel():
    arrives(start(KERNEL), B, module=False, parallel=())


def to_other(version, machine):
    arrives(start(KERNEL, machine=machine), B,
            xml=definition(emulator=emulator(version), machine=machine))


case("to stock oldest", "oldest", "pc-q35-7.2", quick=False)(to_other)
case("to stock newest", "newest", "pc-q35-10.0", quick=False)(to_other)


# --- what virsh can ask for

def has_zstd():
    """Does this libvirt know it?"""
    version = re.search(r"(\d+)\.(\d+)", A.virsh("--version"))
    return tuple(map(int, version.groups())) >= (9, 4)


@case("--compressed --comp-methods zstd")
def compressed():
    """libvirt can ask for it from 9.4 on."""
    here = start(KERNEL)
    options = ("--compressed", "--comp-methods", "zstd")
    if has_zstd():
        _, said = arrives(here, B, *options)
        if said["method"] != "zstd":
            raise Failed(f"the module says {said}")
    else:
        stays(here, "[Uu]nsupported compression method", *options)


@case("--bandwidth", quick=False)
def bandwidth():
    """In MiB/s, and the module itself keeps to it."""
    limit = 8
    _, said = arrives(start(KERNEL), B, "--bandwidth", limit)
    rate = said["bytes-out"] / said["age"] * 1e9 / (1 << 20)
    matrix.TRANSCRIPT.write(f"    {rate:.2f} MiB/s\n")
    # a busy machine may be slower
    if not limit * 0.4 < rate < limit * 1.05 or not said["throttled"]:
        raise Failed(f"{rate:.2f} MiB/s, {said['throttled']} times throttled")


@case("zstd, by the definition", quick=False)
def compressed_by_definition():
    """Any libvirt leaves alone what it does not know."""
    option = "multifd-compression=zstd"
    _, said = arrives(start(KERNEL, option), B,
                      xml=definition(option, emulator=emulator("stable")))
    if said["method"] != "zstd" or said["bytes-out"] > said["bytes-in"] / 2:
        raise Failed(f"the module says {said}")


def certificates():
    """An authority, and what each host needs of it, where libvirt looks for them."""
    folder = f"{FOLDER}/pki"
    os.makedirs(folder)

    def certtool(name, template, *arguments):
        with open(f"{folder}/{name}.info", "w", encoding="ascii") as file:
            file.write(template)
        # QEMU wants one that can encipher keys, which others than RSA's cannot
        run("certtool", "--generate-privkey", "--key-type", "rsa", "--bits", 2048,
            "--outfile", f"{folder}/{name}-key.pem")
        run("certtool", "--template", f"{folder}/{name}.info", "--load-privkey",
            f"{folder}/{name}-key.pem", "--outfile", f"{folder}/{name}-cert.pem", *arguments)

    certtool("ca", "cn = authority\nca\ncert_signing_key\nexpiration_days = 2\n",
             "--generate-self-signed")
    for host in (A, B):
        certtool(host.name, f"cn = {host.name}\ndns_name = {host.name}\n"
                 f"ip_address = {host.address}\ntls_www_server\ntls_www_client\nsigning_key\n"
                 "encryption_key\n"
                 "expiration_days = 2\n", "--generate-certificate",
                 "--load-ca-certificate", f"{folder}/ca-cert.pem",
                 "--load-ca-privkey", f"{folder}/ca-key.pem")
        there = "/etc/pki/qemu"
        host.install(f"{folder}/ca-cert.pem", f"{there}/ca-cert.pem", 0o644)
        for role in ("client", "server"):
            host.install(f"{folder}/{host.name}-cert.pem", f"{there}/{role}-cert.pem", 0o644)
            host.install(f"{folder}/{host.name}-key.pem", f"{there}/{role}-key.pem", 0o640, GID)


@case("--tls", quick=False)
def tls():
    """Refused without certificates, and with them the channels are encrypted."""
    here = start(KERNEL)
    stays(here, "Unable to access credentials", "--tls")
    certificates()
    arrives(here, B, "--tls")


# --- what is refused: the guest stays, and runs on

def stays(here, pattern, *options):
    """The migration is refused with these words, and the module has had no session."""
    before = len(SESSIONS.events(here.pid))
    try:
        run(*command(here.host, B, *options))
    except Failed as error:
        matrix.TRANSCRIPT.write(f"    {error}\n")
        if not re.search(pattern, str(error)):
            raise Failed(f"it says: {error}") from error
        runs_on(here, error)
        by_threads(here, before)
    else:
        raise Failed("it is not refused")


COULD_NOT = f"unable to execute QEMU command 'migrate': Could not open '{DEVICE}': "


def refused(pattern, **how):
    """On a host that is not as documented."""
    stays(start(KERNEL, **how), COULD_NOT + pattern)


@case("refused: the device is not the group's", quick=False)
def not_the_groups():
    refused("Permission denied", mode=0o600)


@case("refused: not in cgroup_device_acl")
def not_in_acl():
    refused("No such file or directory", acl=())


@case("auto, not in cgroup_device_acl: threads, and a warning", quick=False)
def fallback():
    here = start("multifd-ram-backend=auto", acl=())
    text = here.said
    arrives(here, B, module=False)
    if f"warning: Could not open '{DEVICE}'" not in text():
        raise Failed(f"it says {text()[-600:]}")


@case("refused: not in cgroup_device_acl, no mount namespace", quick=False)
def not_in_acl_only():
    refused("Operation not permitted", acl=(), namespaces=[])


# --- locked memory

def rings(more, channels=32):
    """What the session's rings may hold, and QEMU's limit."""
    here = start(KERNEL, more=more)
    limit = here.limit("Max locked memory")
    _, said = arrives(here, B, parallel=("--parallel", "--parallel-connections", channels))
    matrix.TRANSCRIPT.write(f"    limit {limit}, charged {said['memlock']}\n")
    if said["memlock"] > limit:
        raise Failed(f"{said['memlock']} bytes are charged, and the limit is {limit}")
    return said["memlock"]


@case("locked memory: what fits, and all with hard_limit", quick=False)
def locked():
    few = rings("")
    many = rings("<memtune><hard_limit unit='GiB'>1</hard_limit></memtune>")
    if many <= few:
        raise Failed(f"{few} bytes are charged without, and {many} with hard_limit")


# --- AppArmor

LOCAL = "/etc/apparmor.d/local/abstractions/libvirt-qemu"


def rules(*more):
    """What the profiles of all guests get beside Debian's."""
    A.stop()
    A.write(LOCAL, "".join(f"{rule}\n" for rule in more))


PROGRAM = (f"{EMULATOR} rmix,", "/usr/local/share/qemu/** r,")


@case("AppArmor, not allowed", quick=False)
def apparmor_denies():
    rules(*PROGRAM)
    refused("Permission denied", security_driver="apparmor")


@case("AppArmor, allowed", quick=False)
def apparmor_allows():
    rules(*PROGRAM, f"{DEVICE} rw,")
    here = start(KERNEL, security_driver="apparmor")
    with open(f"/proc/{here.pid}/attr/current", encoding="ascii") as file:
        profile = file.read().strip()
    if not re.fullmatch(r"libvirt-[0-9a-f-]+ \(enforce\)", profile):
        raise Failed(f"QEMU is confined by {profile}")
    arrives(here, B)


# --- the last one, as the module has gone then

@case("refused: no module", quick=False)
def no_module():
    """It goes while the domain is there, or has never been there."""
    here = start(KERNEL)
    run("rmmod", "multifd_zp")
    stays(here, COULD_NOT + "No such device")
    A.virsh("destroy", NAME)
    refused("No such file or directory")


def keep():
    """What the hosts said, where it can be looked at."""
    if "MZP_OUT" in os.environ:
        for host in (A, B):
            for path in (host.log, *glob.glob(f"{host.folder}/var/log/libvirt/qemu/*.log")):
                if os.path.exists(path):
                    shutil.copy(path, f"{os.environ['MZP_OUT']}/{host.name}.{os.path.basename(path)}")


if __name__ == "__main__":
    os.makedirs(FOLDER)
    prepare()
    SESSIONS = Sessions(f"{matrix.BUILD}/mfdctl", "/dev/shm/sessions")
    try:
        sys.exit(matrix.main())
    finally:
        keep()
        for _host in (A, B):
            _host.stop()
        SESSIONS.close()
